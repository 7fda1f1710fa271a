//! Lines of JSON (NDJSON), found in bytes that arrive in any pieces.
//!
//! A line that lies whole in one piece is lent out without a copy; only what straddles pieces is kept, up to a bound.
//! Relays nothing: the bytes go by untouched.

use memchr::memchr;

/// Longest line that is looked into, in bytes.
pub(crate) const LONGEST_LINE: usize = 1 << 20;

/// Splits a stream into lines.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come.
    kept: Vec<u8>,
    /// Bytes of the current line, kept or not.
    size: usize,
    /// Lines that were too long to look into.
    oversized: u64,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({} bytes kept)", self.kept.len())
    }
}

impl Lines {
    /// Takes the next bytes and hands out the lines that end in them; blank ones are no lines.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut seen: impl FnMut(&[u8])) {
        let mut rest = chunk;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, ending) = rest.split_at(at);
            rest = ending.get(1..).unwrap_or_default();
            self.size = self.size.saturating_add(line.len());
            if self.size > LONGEST_LINE {
                self.oversized += 1;
            } else if self.kept.is_empty() {
                hand_out(line, &mut seen);
            } else {
                self.kept.extend_from_slice(line);
                hand_out(&self.kept, &mut seen);
            }
            self.kept.clear();
            self.size = 0;
        }
        self.size = self.size.saturating_add(rest.len());
        if self.size <= LONGEST_LINE {
            self.kept.extend_from_slice(rest);
        } else {
            self.kept = Vec::new();
        }
    }

    /// Lines that were too long to look into.
    pub(crate) const fn oversized(&self) -> u64 {
        self.oversized
    }

    /// Whether the last bytes are the beginning of a line whose end has not come.
    pub(crate) const fn is_within_one(&self) -> bool {
        self.size > 0
    }
}

fn hand_out(line: &[u8], seen: &mut impl FnMut(&[u8])) {
    let line = line.trim_ascii();
    if !line.is_empty() {
        seen(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST_LINE, Lines};

    fn lines<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, u64, bool) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.feed(chunk, |line| found.push(line.to_vec()));
        }
        (found, lines.oversized(), lines.is_within_one())
    }

    #[test]
    fn lines_end_with_a_line_feed_and_blank_ones_are_none() {
        let (found, oversized, open) = lines([&b"{1}\r\n\n \n{2}\n{3"[..]]);
        assert_eq!((found, oversized, open), (vec![b"{1}".to_vec(), b"{2}".to_vec()], 0, true));
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_the_next_one_is_read() {
        let long = format!("{}\n{{2}}\n", "x".repeat(LONGEST_LINE + 1));
        let expected = (vec![b"{2}".to_vec()], 1, false);
        assert_eq!(lines([long.as_bytes()]), expected);
        assert_eq!(lines(long.as_bytes().chunks(1000)), expected);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            text in proptest::collection::vec(prop_oneof![
                Just("{\"a\":1}"), Just("\n"), Just("\r\n"), Just(" "), Just("\u{e9}")], 0..40),
            size in 1..12usize) {
            let text = text.concat();
            prop_assert_eq!(lines([text.as_bytes()]), lines(text.as_bytes().chunks(size)));
        }
    }
}
