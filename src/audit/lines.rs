//! Reads a segment line by line in bounded memory. Used by recovery, `verify` and `tail`.

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use super::chain::LONGEST_LINE;

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line, without its newline.
    Whole(&'a [u8]),
    /// The file ends inside a line.
    Cut(&'a [u8]),
    /// More bytes without a newline than any line has.
    TooLong,
}

/// A segment's lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    bytes: u64,
}

impl Lines<BufReader<std::fs::File>> {
    /// Opens a segment.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(BufReader::with_capacity(64 * 1024, std::fs::File::open(path)?)))
    }
}

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`.
    pub(super) const fn of(reader: R) -> Self {
        Self { reader, line: Vec::new(), bytes: 0 }
    }

    /// Bytes of all whole lines so far, newlines included.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        self.line.clear();
        let bound = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.reader.by_ref().take(bound).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        match self.line.strip_suffix(b"\n") {
            Some(line) => {
                self.bytes = self.bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                Ok(Some(Piece::Whole(line)))
            }
            None if self.line.len() > LONGEST_LINE => Ok(Some(Piece::TooLong)),
            None => Ok(Some(Piece::Cut(&self.line))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_LINE, Lines, Piece};

    #[test]
    fn a_line_has_a_bound_and_an_end() {
        let mut lines = Lines::of(&b"one\n\ntwo"[..]);
        assert_eq!(lines.next().unwrap(), Some(Piece::Whole(b"one")));
        assert_eq!(lines.next().unwrap(), Some(Piece::Whole(b"")));
        assert_eq!(lines.next().unwrap(), Some(Piece::Cut(b"two")));
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.bytes(), 5);
        let long = vec![b'x'; LONGEST_LINE + 1];
        assert_eq!(Lines::of(&long[..]).next().unwrap(), Some(Piece::TooLong));
    }
}
