//! The pieces of a request that carry text, in order, with their sources.
//!
//! A piece without escapes is a range of the body; others are decoded once, into one buffer. Readers add, `risk`
//! and `governance` iterate. Binary media and labels are no text; see `content`.

use std::fmt;
use std::ops::Range;

use super::json::{Value, decode};
use crate::speech::Source;

/// Pieces of text and who wrote them; ranges into the body, or into text that had escapes to decode.
#[derive(Default)]
pub(crate) struct Texts {
    pieces: Vec<Piece>,
    decoded: String,
    tokens: u64,
    /// Whether something besides text stands among the system's instructions.
    mixes_system: bool,
}

#[derive(Clone, Copy)]
struct Piece {
    source: Source,
    /// Whether the range is one of `decoded` instead of the body.
    decoded: bool,
    start: u32,
    end: u32,
}

impl Piece {
    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Shows counts only: texts are content.
impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Texts({} pieces, {} bytes)", self.pieces.len(), self.bytes())
    }
}

impl Texts {
    /// Adds what `value` says: a string's text; a list or object whole, names included, as JSON with its escapes
    /// decoded. Numbers, booleans and null say nothing.
    pub(crate) fn add(&mut self, source: Source, value: Value<'_>) {
        if let Some(range) = value.text_range() {
            self.add_range(source, value, range);
        } else if value.is_container() {
            self.add_range(source, value, value.range());
        }
    }

    fn add_range(&mut self, source: Source, value: Value<'_>, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if value.may_have_escapes() {
            let start = self.decoded.len();
            decode(value.within(range), &mut self.decoded);
            self.push(source, true, start..self.decoded.len());
        } else {
            self.push(source, false, range);
        }
    }

    /// Notes that the system says something besides its text, so that no template is all of what it says.
    pub(crate) const fn mix_system(&mut self) {
        self.mixes_system = true;
    }

    /// Whether the system says something besides its text.
    pub(crate) const fn mixes_system(&self) -> bool {
        self.mixes_system
    }

    /// Adds text that stands in the body as it is meant.
    pub(crate) fn add_plain(&mut self, source: Source, range: Range<usize>) {
        if !range.is_empty() {
            self.push(source, false, range);
        }
    }

    fn push(&mut self, source: Source, decoded: bool, range: Range<usize>) {
        // The body is shorter than 4 GiB (`json` sees to it) and decoding never lengthens.
        let (Ok(start), Ok(end)) = (u32::try_from(range.start), u32::try_from(range.end)) else { return };
        self.pieces.push(Piece { source, decoded, start, end });
    }

    /// Counts input that came as token numbers instead of text.
    pub(crate) const fn add_tokens(&mut self, count: u64) {
        self.tokens = self.tokens.saturating_add(count);
    }

    /// Tokens that came as numbers.
    pub(crate) const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// All pieces' length in bytes of UTF-8.
    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| u64::from(piece.end - piece.start)).sum()
    }

    /// The pieces in the order in which they stand in the body, as bytes of UTF-8: the whole body was checked and ranges
    /// end at quotes or braces.
    pub(crate) fn iter<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = (Source, &'a [u8])> {
        self.pieces.iter().map(|piece| {
            let from: &[u8] = if piece.decoded { self.decoded.as_bytes() } else { body };
            (piece.source, from.get(piece.range()).unwrap_or_default())
        })
    }
}
