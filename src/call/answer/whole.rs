//! Finds the member `usage` (or of another name) of an answer that is one JSON document, in bytes that arrive in any pieces.
//!
//! A scanner, not a parser: it follows strings and nesting only, keeps the value of that one member up to a bound,
//! and skips the rest at memory speed, because an answer of embeddings is megabytes of numbers.

use memchr::memchr2;

/// Longest usage value that is kept, in bytes.
const LONGEST_USAGE: usize = 16 * 1024;

/// Where a byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    #[default]
    Outside,
    InString,
    AfterBackslash,
}

/// Follows one document.
pub(super) struct Scanner {
    /// The member's name.
    name: &'static str,
    depth: u32,
    place: Place,
    /// The next string at depth 1 is a member's name.
    at_name: bool,
    /// How much of the current name has matched, or `None` when it is another name.
    matched: Option<usize>,
    keeping: bool,
    kept: Vec<u8>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanner(depth {}, {} bytes kept)", self.depth, self.kept.len())
    }
}

impl Scanner {
    /// For the member of this name.
    pub(super) const fn of(name: &'static str) -> Self {
        Self { name, depth: 0, place: Place::Outside, at_name: false, matched: None, keeping: false, kept: Vec::new() }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let kept_before = self.keeping;
            let taken = if self.place == Place::Outside { self.outside(rest) } else { self.in_text(rest) };
            let (now, after) = rest.split_at(taken.clamp(1, rest.len()));
            // The colon before the value and the comma or brace after it are not the value's.
            if kept_before && self.keeping {
                self.keep(now);
            }
            rest = after;
        }
    }

    /// The value of the last member of the name, or nothing.
    pub(super) fn usage(&self) -> &[u8] {
        &self.kept
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.kept.len() + bytes.len() > LONGEST_USAGE {
            self.kept = Vec::new();
            self.keeping = false;
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    /// Follows a string; answers how many bytes were followed.
    fn in_text(&mut self, rest: &[u8]) -> usize {
        if self.place == Place::AfterBackslash {
            self.place = Place::InString;
            return 1;
        }
        let end = memchr2(b'"', b'\\', rest);
        if self.depth == 1 && self.at_name {
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.matched = self.matched.and_then(|matched| {
                let expected = self.name.as_bytes().get(matched..)?;
                expected.starts_with(part).then_some(matched + part.len())
            });
        }
        match end {
            None => rest.len(),
            Some(at) if rest.get(at) == Some(&b'"') => {
                self.place = Place::Outside;
                at + 1
            }
            Some(at) => {
                self.place = Place::AfterBackslash;
                self.matched = None;
                at + 1
            }
        }
    }

    /// Follows what is no string; answers how many bytes were followed.
    fn outside(&mut self, rest: &[u8]) -> usize {
        let skipped = if self.depth > 1 { unstructured(rest) } else { 0 };
        let Some(byte) = rest.get(skipped) else { return skipped };
        match byte {
            b'"' => {
                self.place = Place::InString;
                self.matched = Some(0);
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.at_name = self.depth == 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.keeping = false;
                }
            }
            b',' if self.depth == 1 => {
                self.keeping = false;
                self.at_name = true;
            }
            b':' if self.depth == 1 => {
                self.at_name = false;
                if self.matched == Some(self.name.len()) {
                    self.kept.clear();
                    self.keeping = true;
                }
                self.matched = None;
            }
            _ => {}
        }
        skipped + 1
    }
}

/// How many bytes stand before the first quote or bracket.
fn unstructured(bytes: &[u8]) -> usize {
    let is_structure = |byte: u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
    let (blocks, _) = bytes.as_chunks::<64>();
    let mut at = 0;
    for block in blocks {
        // Without early exit inside a block, so that the compiler makes vector compares. `| 0x20` folds the square
        // brackets onto the curly ones.
        let hit = block.iter().fold(0, |hit, byte| {
            let folded = byte | 0x20;
            hit | u8::from(*byte == b'"') | u8::from(folded == b'{') | u8::from(folded == b'}')
        });
        if hit != 0 {
            break;
        }
        at += 64;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| is_structure(*byte)).unwrap_or(rest.len())
}
