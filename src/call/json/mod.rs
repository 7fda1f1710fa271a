//! A strict JSON reader: bytes to a flat tape that is walked without copying and without recursion.
//!
//! Own code because the gate's promise hangs on it: it refuses every text that two parsers could read differently,
//! and the ranges it reports are positions in the very bytes that are sent. What a document means is for the readers
//! of each dialect; this room knows JSON only (RFC 8259, RFC 3629).

mod parse;
mod text;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

pub(crate) use text::decode;

/// Deepest nesting of lists and objects. One below the 128 at which `serde_json` gives up.
pub(crate) const DEPTH_LIMIT: usize = 127;

/// Most values and names in one document; bounds the tape to 16 MB.
pub(crate) const NODE_LIMIT: usize = 1_000_000;

/// Why bytes are no JSON text with exactly one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlawKind {
    NotUtf8,
    ByteOrderMark,
    Truncated,
    Unexpected,
    ControlCharacter,
    BadEscape,
    LoneSurrogate,
    BadNumber,
    DuplicateName,
    TooDeep,
    TooManyNodes,
    TooLong,
    TrailingData,
}

impl FlawKind {
    const fn words(self) -> &'static str {
        match self {
            Self::NotUtf8 => "invalid UTF-8",
            Self::ByteOrderMark => "byte order mark",
            Self::Truncated => "unfinished document",
            Self::Unexpected => "unexpected character",
            Self::ControlCharacter => "control character in a string",
            Self::BadEscape => "invalid escape",
            Self::LoneSurrogate => "lone surrogate",
            Self::BadNumber => "invalid number",
            Self::DuplicateName => "duplicate member name",
            Self::TooDeep => "nested too deeply",
            Self::TooManyNodes => "too many values",
            Self::TooLong => "too long",
            Self::TrailingData => "data after the document",
        }
    }
}

/// A flaw and the byte at which it shows. Never any content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) at: usize,
    pub(crate) kind: FlawKind,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind.words(), self.at)
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string without escapes: its bytes are its text.
    Text,
    /// A string with escapes to decode.
    EscapedText,
    List,
    Object,
}

/// One value or member name. A container's contents follow it up to `next`; an object's are name, value, name, value.
#[derive(Clone, Copy)]
struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    next: u32,
}

impl Node {
    /// A string's range without its quotes.
    const fn inside(self) -> Range<usize> {
        self.start as usize + 1..(self.end as usize).saturating_sub(1)
    }
}

/// A JSON text that has exactly one reading.
pub(crate) struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes, {} nodes)", self.text.len(), self.nodes.len())
    }
}

impl<'a> Document<'a> {
    /// Reads `bytes` whole.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(Flaw { at: 0, kind: FlawKind::TooLong });
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| Flaw { at: error.valid_up_to(), kind: FlawKind::NotUtf8 })?;
        let nodes = parse::Parser::new(text).run()?;
        Ok(Self { text, nodes })
    }

    /// The document's one value.
    pub(crate) const fn root(&self) -> Value<'_> {
        Value { document: self, at: 0 }
    }
}

/// A value in a document.
#[derive(Clone, Copy)]
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    at: usize,
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.kind(), self.range())
    }
}

impl<'d> Value<'d> {
    fn node(self) -> Node {
        self.document.nodes.get(self.at).copied().unwrap_or(Node { kind: Kind::Null, start: 0, end: 0, next: 0 })
    }

    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    /// Where it stands in the bytes; a string with its quotes.
    pub(crate) fn range(self) -> Range<usize> {
        let node = self.node();
        node.start as usize..node.end as usize
    }

    /// The bytes of the value as written.
    pub(crate) fn raw(self) -> &'d str {
        self.document.text.get(self.range()).unwrap_or_default()
    }

    /// Where a string's text stands in the bytes, without quotes, escapes as written. `None` for what is no string.
    pub(crate) fn text_range(self) -> Option<Range<usize>> {
        let node = self.node();
        matches!(node.kind, Kind::Text | Kind::EscapedText).then(|| node.inside())
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Whether it is a list or an object.
    pub(crate) fn is_container(self) -> bool {
        matches!(self.kind(), Kind::List | Kind::Object)
    }

    /// Whether its bytes as written may differ from what they say: exact for strings, by a search for containers.
    pub(crate) fn may_have_escapes(self) -> bool {
        match self.kind() {
            Kind::EscapedText => true,
            Kind::List | Kind::Object => memchr::memchr(b'\\', self.raw().as_bytes()).is_some(),
            Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::Text => false,
        }
    }

    /// The document's bytes in `range`.
    pub(crate) fn within(self, range: Range<usize>) -> &'d str {
        self.document.text.get(range).unwrap_or_default()
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self.kind(), Kind::Text | Kind::EscapedText)
    }

    /// A string's text, decoded.
    pub(crate) fn text(self) -> Option<Cow<'d, str>> {
        let raw = self.document.text.get(self.text_range()?)?;
        Some(if self.kind() == Kind::EscapedText {
            let mut decoded = String::new();
            decode(raw, &mut decoded);
            Cow::Owned(decoded)
        } else {
            Cow::Borrowed(raw)
        })
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            Kind::Null | Kind::Number | Kind::Text | Kind::EscapedText | Kind::List | Kind::Object => None,
        }
    }

    /// A number that is written as a whole number and fits.
    pub(crate) fn whole<N: std::str::FromStr>(self) -> Option<N> {
        if self.kind() == Kind::Number { self.raw().parse().ok() } else { None }
    }

    /// An object's members in order; nothing for what is no object.
    pub(crate) fn members(self) -> Members<'d> {
        let end = if self.kind() == Kind::Object { self.node().next as usize } else { 0 };
        Members { document: self.document, at: self.at + 1, end }
    }

    /// A list's elements in order; nothing for what is no list.
    pub(crate) fn elements(self) -> Elements<'d> {
        let end = if self.kind() == Kind::List { self.node().next as usize } else { 0 };
        Elements { document: self.document, at: self.at + 1, end }
    }

    /// The member of exactly this name.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        self.members().find(|(found, _)| found.is(name)).map(|(_, value)| value)
    }
}

/// A member's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<'d>(Value<'d>);

impl<'d> Name<'d> {
    /// The decoded name.
    pub(crate) fn text(self) -> Cow<'d, str> {
        self.0.text().unwrap_or_default()
    }

    /// Whether the decoded name is exactly `name`.
    pub(crate) fn is(self, name: &str) -> bool {
        if self.0.kind() == Kind::Text {
            self.0.text_range().and_then(|range| self.0.document.text.get(range)) == Some(name)
        } else {
            self.text() == name
        }
    }

    /// The name as a value: a string.
    pub(crate) const fn value(self) -> Value<'d> {
        self.0
    }

    /// The byte at which it begins.
    pub(crate) fn offset(self) -> usize {
        self.0.range().start
    }
}

/// The members of an object.
#[derive(Debug)]
pub(crate) struct Members<'d> {
    document: &'d Document<'d>,
    at: usize,
    end: usize,
}

impl<'d> Iterator for Members<'d> {
    type Item = (Name<'d>, Value<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let name = Name(Value { document: self.document, at: self.at });
        let value = Value { document: self.document, at: self.at + 1 };
        self.at = value.node().next as usize;
        Some((name, value))
    }
}

/// The elements of a list.
#[derive(Debug)]
pub(crate) struct Elements<'d> {
    document: &'d Document<'d>,
    at: usize,
    end: usize,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { document: self.document, at: self.at };
        self.at = value.node().next as usize;
        Some(value)
    }
}

#[cfg(test)]
mod tests;
