//! What links the lines: sequence and prevhash, and the checker that recovery and `verify` share.
//!
//! The hash is over a line's bytes as written, without its newline. Nothing is ever serialised again to be checked.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Longest line, its newline not counted, in bytes.
pub const LONGEST_LINE: usize = 60 * 1024;

/// Digits of a sequence number in a record and in a segment's name.
pub(super) const SEQUENCE_DIGITS: usize = 20;

/// What a line says of the one before it: base64 of its SHA-256, or nothing for the first line of all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(Option<[u8; 44]>);

impl Link {
    /// The first line's: there is none before it.
    pub(super) const FIRST: Self = Self(None);

    /// The link to `line` (without its newline).
    pub(super) fn to(line: &[u8]) -> Self {
        let mut text = [b'='; 44];
        let hash = digest::digest(&digest::SHA256, line);
        // 32 bytes are 44 characters, so the slice always fits; were it otherwise, the link would match no line.
        let _length = STANDARD.encode_slice(hash.as_ref(), &mut text).unwrap_or_default();
        Self(Some(text))
    }

    /// The link as it stands in a record.
    pub(super) const fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Some(text) => text,
            None => b"",
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(self.as_bytes()).unwrap_or_default())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

/// The parts of a line that the checkers read. All other fields are only required to be well-formed JSON.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    /// Names the record.
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    /// What kind of record it is.
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    /// When it was made.
    #[serde(borrow)]
    pub(super) time: Cow<'a, str>,
    #[serde(borrow)]
    sequence: Cow<'a, str>,
    #[serde(borrow)]
    prevhash: Cow<'a, str>,
    /// The decision that an outcome belongs to.
    #[serde(borrow)]
    pub(super) causationid: Option<Cow<'a, str>>,
    /// What happened.
    #[serde(borrow)]
    pub(super) data: HeadData<'a>,
}

/// The one part of `data` that the checkers read.
#[derive(Debug, Deserialize)]
pub(super) struct HeadData<'a> {
    /// What was done.
    #[serde(borrow)]
    pub(super) action: Option<Cow<'a, str>>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Longer than any line that the gate writes.
    #[error("the line is longer than {LONGEST_LINE} bytes")]
    TooLong,
    /// Not a record.
    #[error("the line is not a well-formed record")]
    NotARecord,
    /// Not the next number.
    #[error("the sequence is {found} where {expected} was due")]
    Sequence {
        /// What was due.
        expected: u64,
        /// What stands there; 0 for what is no number.
        found: u64,
    },
    /// Not linked to the line before.
    #[error("prevhash is not the hash of the line before")]
    PrevHash,
}

/// Walks along the chain, line by line, in constant memory.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    next: Option<u64>,
    link: Option<Link>,
}

impl Walk {
    /// From a line of this sequence. The first line of all has no hash before it; of any other first line the
    /// hash before it cannot be known here.
    pub(super) fn from(first: u64) -> Self {
        Self { next: Some(first), link: (first == 1).then_some(Link::FIRST) }
    }

    /// From a line of this sequence whose own link is not to be checked.
    pub(super) const fn resume_at(sequence: u64) -> Self {
        Self { next: Some(sequence), link: None }
    }

    /// Onwards from a known line.
    pub(super) const fn after(sequence: u64, link: Link) -> Self {
        Self { next: Some(sequence.saturating_add(1)), link: Some(link) }
    }

    /// Takes the next line (without its newline) and says what it is.
    ///
    /// # Errors
    /// [`BadLine`] when the line does not belong here; the walk then stands where it stood.
    pub(super) fn step<'a>(&mut self, line: &'a [u8]) -> Result<(u64, Head<'a>), BadLine> {
        if line.len() > LONGEST_LINE {
            return Err(BadLine::TooLong);
        }
        let head: Head<'a> = serde_json::from_slice(line).map_err(|_| BadLine::NotARecord)?;
        let sequence = parse_sequence(&head.sequence).unwrap_or_default();
        let expected = self.next.unwrap_or(sequence);
        if sequence == 0 || sequence != expected {
            return Err(BadLine::Sequence { expected, found: sequence });
        }
        if self.link.is_some_and(|link| link.as_bytes() != head.prevhash.as_bytes()) {
            return Err(BadLine::PrevHash);
        }
        self.next = sequence.checked_add(1);
        self.link = Some(Link::to(line));
        Ok((sequence, head))
    }

    /// The sequence that is due next.
    pub(super) fn next(&self) -> u64 {
        self.next.unwrap_or(1)
    }

    /// The link to the last line taken, when it is known.
    pub(super) const fn link(&self) -> Option<Link> {
        self.link
    }
}

/// Reads exactly twenty digits.
pub(super) fn parse_sequence(text: &str) -> Option<u64> {
    let digits = text.len() == SEQUENCE_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{BadLine, Link, Walk, parse_sequence};

    fn line(sequence: u64, link: Link) -> String {
        format!(r#"{{"id":"i","type":"t","time":"now","sequence":"{sequence:020}","prevhash":"{link}","data":{{}}}}"#)
    }

    #[test]
    fn a_walk_takes_only_the_next_line_with_the_right_link() {
        let first = line(1, Link::FIRST);
        let second = line(2, Link::to(first.as_bytes()));
        let mut walk = Walk::from(1);
        walk.step(first.as_bytes()).unwrap();
        assert_eq!(walk.step(first.as_bytes()).unwrap_err(), BadLine::Sequence { expected: 2, found: 1 });
        assert_eq!(walk.step(line(2, Link::FIRST).as_bytes()).unwrap_err(), BadLine::PrevHash);
        walk.step(second.as_bytes()).unwrap();
        assert_eq!(walk.next(), 3);
    }

    #[test]
    fn a_sequence_is_twenty_digits_and_nothing_else() {
        assert_eq!(parse_sequence("00000000000000000012"), Some(12));
        for bad in ["12", "+0000000000000000012", "0000000000000000001x", ""] {
            assert_eq!(parse_sequence(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_link_is_the_base64_of_the_sha256() {
        assert_eq!(Link::to(b"").to_string(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
