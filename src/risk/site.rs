//! A place in a text at which a detector looks: the bytes around an anchor, with bounded look-around.
//!
//! Everything here reads at most as many bytes as its caller names, so that a detector costs the same however the
//! text around it was made.

use std::ops::Range;

/// Where an anchor was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'t> {
    /// The whole text.
    pub(super) text: &'t [u8],
    /// Where the anchor starts, in bytes.
    pub(super) at: usize,
}

impl<'t> Site<'t> {
    /// The byte at `i`, if there is one.
    pub(super) fn byte(&self, i: usize) -> Option<u8> {
        self.text.get(i).copied()
    }

    /// The byte before `i`, if there is one.
    pub(super) fn before(&self, i: usize) -> Option<u8> {
        i.checked_sub(1).and_then(|i| self.byte(i))
    }

    /// The bytes of `range`, cut to the text.
    pub(super) fn bytes(&self, range: Range<usize>) -> &'t [u8] {
        self.text.get(range.start..range.end.min(self.text.len())).unwrap_or_default()
    }

    /// Whether `word` stands at `i`, letter for letter.
    pub(super) fn has(&self, i: usize, word: &str) -> bool {
        self.text.get(i..).is_some_and(|rest| rest.starts_with(word.as_bytes()))
    }

    /// Where a run of bytes that `of` accepts ends, starting at `from`; looks at `most` bytes and one more, so a run that
    /// is longer answers more than `from + most`.
    pub(super) fn run(&self, from: usize, most: usize, of: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes(from..from.saturating_add(most).saturating_add(1));
        from + rest.iter().position(|b| !of(*b)).unwrap_or(rest.len())
    }

    /// Where a run of bytes that `of` accepts and that ends at `to` (exclusive) starts; looks at `most` bytes at most.
    pub(super) fn run_back(&self, to: usize, most: usize, of: impl Fn(u8) -> bool) -> usize {
        let before = self.bytes(to.saturating_sub(most)..to);
        to - before.iter().rev().position(|b| !of(*b)).unwrap_or(before.len())
    }

    /// Whether one of `words` stands within the `within` bytes before `i`, as a word of its own, whatever its case. A word
    /// is letters, or bytes of other than ASCII characters, and a `#` at its end.
    pub(super) fn mentions(&self, i: usize, within: usize, words: &[&str]) -> bool {
        let lettered = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b'#' | 0x80..);
        let window = self.bytes(i.saturating_sub(within)..i);
        let cut = if i > within && self.byte(i - within - 1).is_some_and(|b| lettered(&b)) {
            window.iter().position(|b| !lettered(b)).unwrap_or(window.len())
        } else {
            0
        };
        let whole = window.get(cut..).unwrap_or_default();
        whole
            .split(|b| !lettered(b))
            .filter(|here| here.len() >= 2)
            .any(|here| words.iter().any(|word| here.eq_ignore_ascii_case(word.as_bytes())))
    }
}

/// A letter or digit: what may not touch a token on either side.
pub(super) const fn alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

/// A byte of base64url, the alphabet of most vendors' tokens.
pub(super) const fn base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

/// A byte of base64.
pub(super) const fn base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')
}

/// Whether a token is made up: few different characters, or a word that only documentation puts there.
pub(super) fn is_placeholder(token: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"EXAMPLE", b"PLACEHOLDER", b"YOUR", b"XXXX", b"REDACTED", b"CHANGEME"];
    let mut seen = [0_u64; 4];
    for b in token {
        if let Some(word) = seen.get_mut(usize::from(b >> 6)) {
            *word |= 1 << (b & 63);
        }
    }
    let different: u32 = seen.iter().map(|word| word.count_ones()).sum();
    different < 6 || WORDS.iter().any(|word| token.windows(word.len()).any(|here| here.eq_ignore_ascii_case(word)))
}

/// Whether a token mixes small letters, capitals and digits, as random base62 of 20 and more characters does.
pub(super) fn is_mixed(token: &[u8]) -> bool {
    token.iter().any(u8::is_ascii_lowercase)
        && token.iter().any(u8::is_ascii_uppercase)
        && token.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stops_at_its_bound() {
        let site = Site { text: b"aaaaaaaaaa", at: 0 };
        assert_eq!(site.run(2, 3, alnum), 6);
        assert_eq!(site.run(2, 30, alnum), 10);
        assert_eq!(site.run_back(8, 3, alnum), 5);
        assert_eq!(site.run(99, 3, alnum), 99);
    }

    #[test]
    fn a_mention_is_a_word_of_its_own() {
        let site = Site { text: b"My SSN: 1, lesson 2", at: 0 };
        assert!(site.mentions(8, 20, &["ssn"]));
        assert!(!site.mentions(18, 7, &["ss", "son"]));
        assert!(!site.mentions(8, 3, &["ssn"]));
    }

    #[test]
    fn made_up_tokens_are_told_from_random_ones() {
        assert!(is_placeholder(b"xxxxxxxxxxxxxxxxxxxxxxxx"));
        assert!(is_placeholder(b"IOSFODNN7EXAMPLE"));
        assert!(!is_placeholder(b"b37cQ9sL2mX8vR4t"));
    }
}
