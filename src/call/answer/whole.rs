//! Finds the members of an answer that report its usage, in one JSON document whose bytes arrive in any pieces.
//!
//! A scanner, not a parser: it follows strings and nesting only, keeps the values of these top-level members up to a
//! bound, and skips the rest at memory speed, because an answer of embeddings is megabytes of numbers.

use memchr::memchr2;

/// Longest value that is kept, in bytes.
const LONGEST_VALUE: usize = 16 * 1024;

/// Most members that are looked for.
const MOST_WANTED: usize = 2;

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
    /// The names of the members that are kept.
    wanted: &'static [&'static str],
    depth: u32,
    place: Place,
    /// The next string at depth 1 is a member's name.
    at_name: bool,
    /// Which of the wanted names the current one may still be, a bit each.
    may_be: u8,
    /// How much of it has come.
    matched: usize,
    /// Whose value is being kept, as its place among the wanted ones.
    keeping: Option<usize>,
    kept: [Vec<u8>; MOST_WANTED],
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanner(depth {}, {} bytes kept)", self.depth, self.kept.iter().map(Vec::len).sum::<usize>())
    }
}

impl Scanner {
    /// Looks for the top-level members of these names.
    pub(super) const fn wanting(wanted: &'static [&'static str]) -> Self {
        debug_assert!(wanted.len() <= MOST_WANTED, "every one of them has its room");
        Self {
            wanted,
            depth: 0,
            place: Place::Outside,
            at_name: false,
            may_be: 0,
            matched: 0,
            keeping: None,
            kept: [const { Vec::new() }; MOST_WANTED],
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let kept_before = self.keeping;
            let taken = if self.place == Place::Outside { self.outside(rest) } else { self.in_text(rest) };
            let (now, after) = rest.split_at(taken.clamp(1, rest.len()));
            // The colon before the value and the comma or brace after it are not the value's.
            if kept_before.is_some() && self.keeping == kept_before {
                self.keep(now);
            }
            rest = after;
        }
    }

    /// The names that were found, each with the value that stood last for it.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.wanted.iter().zip(&self.kept).filter(|(_, kept)| !kept.is_empty()).map(|(name, kept)| (*name, &**kept))
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(kept) = self.keeping.and_then(|at| self.kept.get_mut(at)) else { return };
        if kept.len() + bytes.len() > LONGEST_VALUE {
            *kept = Vec::new();
            self.keeping = None;
        } else {
            kept.extend_from_slice(bytes);
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
            for (at, wanted) in self.wanted.iter().enumerate() {
                let rest = wanted.as_bytes().get(self.matched..);
                self.may_be &= !(u8::from(!rest.is_some_and(|rest| rest.starts_with(part))) << at);
            }
            self.matched += part.len();
        }
        match end {
            None => rest.len(),
            Some(at) if rest.get(at) == Some(&b'"') => {
                self.place = Place::Outside;
                at + 1
            }
            Some(at) => {
                self.place = Place::AfterBackslash;
                self.may_be = 0;
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
                if self.depth == 1 && self.at_name {
                    (self.may_be, self.matched) = (u8::MAX, 0);
                }
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.at_name = self.depth == 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.keeping = None;
                }
            }
            b',' if self.depth == 1 => {
                self.keeping = None;
                self.at_name = true;
            }
            b':' if self.depth == 1 => {
                self.at_name = false;
                let is_it = |(at, wanted): (usize, &&str)| self.may_be >> at & 1 == 1 && wanted.len() == self.matched;
                self.keeping = self.wanted.iter().enumerate().position(is_it);
                self.may_be = 0;
                if let Some(kept) = self.keeping.and_then(|at| self.kept.get_mut(at)) {
                    kept.clear();
                }
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
