//! The words that must stand near an anchor, arranged so that a word of the text is compared with few of them.

/// Sets of beginnings of words, of each of which one has to stand there.
#[derive(Debug)]
pub(super) struct Needs {
    /// How many sets.
    sets: usize,
    /// All words with the number of their set, ordered by the key of their first two bytes.
    words: Vec<(&'static str, usize)>,
    /// Where the words with each key stand.
    by_key: Vec<(usize, usize)>,
}

/// A key of the first two bytes, the same for both cases of a letter.
fn key(text: &[u8]) -> u8 {
    match text {
        [a, b, ..] => (a | 0x20).wrapping_mul(31) ^ (b | 0x20),
        [a] => a | 0x20,
        [] => 0,
    }
}

impl Needs {
    pub(super) fn compile(sets: &[&[&'static str]]) -> Self {
        let mut words: Vec<_> =
            sets.iter().enumerate().flat_map(|(i, set)| set.iter().map(move |word| (*word, i))).collect();
        let key_of = |word: &str| key(word.as_bytes());
        words.sort_by_key(|(word, _)| key_of(word));
        let range = |k| {
            (words.partition_point(|(word, _)| key_of(word) < k), words.partition_point(|(word, _)| key_of(word) <= k))
        };
        Self { sets: sets.len(), by_key: (0..=u8::MAX).map(range).collect(), words }
    }

    /// Whether each set has a word in `before` or `after`.
    pub(super) fn stand_in(&self, before: &[u8], after: &[u8]) -> bool {
        let mut missing = (1_u32 << self.sets) - 1;
        for text in [after, before] {
            let mut inside = false;
            for (i, b) in text.iter().enumerate() {
                if missing == 0 {
                    return true;
                }
                // Every character of Chinese, Japanese and Korean starts a word.
                let wide = matches!(b, 0xE3..=0xED);
                let word = b.is_ascii_alphanumeric() || *b >= 0x80 || *b == b'\'';
                if wide || (word && !inside) {
                    missing &= !self.sets_of(text.get(i..).unwrap_or_default());
                }
                inside = word;
            }
        }
        missing == 0
    }

    /// The sets, a bit each, that have a word with which `text` starts.
    fn sets_of(&self, text: &[u8]) -> u32 {
        let (from, to) = self.by_key.get(usize::from(key(text))).copied().unwrap_or_default();
        let candidates = self.words.get(from..to).unwrap_or_default();
        candidates.iter().filter(|(word, _)| super::starts_with(text, word)).fold(0, |bits, (_, set)| bits | 1 << set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_must_have_a_word_on_either_side() {
        let needs = Needs::compile(&[&["previous", "all"], &["rule", "指示"]]);
        assert!(needs.stand_in(b"all of ", b" the Rules"));
        assert!(needs.stand_in("以前の指示".as_bytes(), b"ALL"));
        assert!(!needs.stand_in(b"all previous", b"overrule"));
        assert!(Needs::compile(&[]).stand_in(b"", b""));
    }
}
