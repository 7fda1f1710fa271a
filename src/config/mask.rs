//! Which bytes of a config file may not be shown: values of secret keys, credentials in URLs, words that look like keys.
//!
//! Works on lines of text rather than on the tree, because an excerpt is also shown of a file that could not be
//! parsed. Where it cannot tell, it hides.

use std::ops::Range;

/// Last words of keys whose values are secret.
const SECRET_WORDS: [&str; 9] =
    ["token", "secret", "password", "passwd", "hash", "credential", "authorization", "apikey", "passphrase"];

/// Beginnings of words that are credentials.
const SECRET_STARTS: [&str; 5] = ["sk-", "pcl_", "pat_", "ghp_", "AKIA"];

/// Shortest word with such a beginning that is hidden.
const SHORTEST_SECRET: usize = 12;

/// Whether the values of this key are never shown.
#[must_use]
pub(crate) fn is_secret_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let mut words = lower.split(['_', '-', '.', ' ']).rev();
    match words.next() {
        Some("key") => words.next().is_some(),
        Some(last) => SECRET_WORDS.contains(&last),
        None => false,
    }
}

/// The byte ranges of `text` that may not be shown, in order, not overlapping. Linear in the text.
#[must_use]
pub(crate) fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut inside: Option<Block> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end_matches(['\n', '\r']);
        inside = inside.and_then(|block| block.hide(body, at, &mut found));
        if inside.is_none() {
            inside = hide_in_line(body, at, &mut found);
        }
        at += line.len();
    }
    merged(found)
}

/// A secret value that goes on in the next line.
#[derive(Clone, Copy)]
enum Block {
    /// Lines deeper than the key's indentation belong to it.
    DeeperThan(usize),
    /// It goes on to this closing quote.
    Until(u8),
}

impl Block {
    /// Hides what of a line belongs to the value; `None` when the value has ended before or in this line.
    fn hide(self, line: &str, at: usize, found: &mut Vec<Range<usize>>) -> Option<Self> {
        match self {
            Self::DeeperThan(indent) => {
                let blank = line.trim().is_empty();
                if !blank && indentation(line) <= indent {
                    return None;
                }
                found.push(at..at + line.len());
                Some(self)
            }
            Self::Until(quote) => {
                // The rest of the line is hidden with it: what follows a closing quote is seldom worth the risk.
                found.push(at..at + line.len());
                if closing(line.as_bytes(), quote).is_some() { Some(Self::DeeperThan(usize::MAX)) } else { Some(self) }
            }
        }
    }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Hides the secrets of one line and says whether one goes on in the next.
fn hide_in_line(line: &str, at: usize, found: &mut Vec<Range<usize>>) -> Option<Block> {
    hide_words(line, at, found);
    let mut block = None;
    let mut from = 0;
    let first_bracket = line.find(['{', '[']);
    while let Some((key, value)) = next_key(line, from) {
        from = value;
        if !is_secret_key(line.get(key.clone()).unwrap_or_default()) {
            continue;
        }
        let rest = line.get(value..).unwrap_or_default();
        let start = value + (rest.len() - rest.trim_start().len());
        let flow = first_bracket.is_some_and(|bracket| bracket < key.start);
        let (end, goes_on) = value_end(line, start, flow);
        found.push(at + start..at + end);
        if let Some(quote) = goes_on {
            return Some(Block::Until(quote));
        }
        // A block, a value that begins in the next line, and a bare scalar of several lines stand in deeper lines.
        if !flow {
            block = Some(Block::DeeperThan(key_column(line, key.start)));
        }
        from = end.max(value);
    }
    block
}

/// Where the key's own line is indented to, the dashes of a list counted in.
fn key_column(line: &str, key: usize) -> usize {
    let before = line.get(..key).unwrap_or_default();
    if before.trim_matches([' ', '-', '"', '\'', '?']).is_empty() { before.len() } else { indentation(line) }
}

/// The next `key:` from byte `from` on: the key's bytes and where its value begins.
fn next_key(line: &str, from: usize) -> Option<(Range<usize>, usize)> {
    let bytes = line.as_bytes();
    let mut search = from;
    loop {
        let colon = search + bytes.get(search..)?.iter().position(|b| *b == b':')?;
        search = colon + 1;
        if !matches!(bytes.get(colon + 1), None | Some(b' ' | b'\t' | b'"' | b'\'')) {
            continue;
        }
        let head = line.get(from..colon)?.trim_end_matches(['"', '\'', ' ']);
        let start = from + head.rfind(|c: char| !is_key_char(c)).map_or(0, |i| i + char_len(head, i));
        let end = from + head.len();
        if start < end {
            return Some((start..end, colon + 1));
        }
    }
}

const fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn char_len(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8)
}

/// Where the value that begins at `start` ends in this line, and the quote it still waits for.
fn value_end(line: &str, start: usize, flow: bool) -> (usize, Option<u8>) {
    let rest = line.as_bytes().get(start..).unwrap_or_default();
    if let Some((quote @ (b'"' | b'\''), inner)) = rest.split_first() {
        return match closing(inner, *quote) {
            Some(end) => (start + 1 + end + 1, None),
            None => (line.len(), Some(*quote)),
        };
    }
    let end = if flow { rest.iter().position(|b| matches!(b, b',' | b'}' | b']')) } else { None };
    (start + end.unwrap_or(rest.len()), None)
}

/// Where the quoted text ends: backslashes escape in double quotes, doubled quotes in single ones.
fn closing(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        let escape = *b == b'\\' && quote == b'"';
        let doubled = *b == quote && quote == b'\'' && bytes.get(at + 1) == Some(&quote);
        if escape || doubled {
            at += 2;
        } else if *b == quote {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// Hides credentials in URLs and words that look like keys, wherever they stand.
fn hide_words(line: &str, at: usize, found: &mut Vec<Range<usize>>) {
    for (mark, _) in line.match_indices("://") {
        let start = mark + 3;
        let authority = line.get(start..).unwrap_or_default();
        let end = authority.find(['/', ' ', '"', '\'', '?', '#']).unwrap_or(authority.len());
        if let Some(user) = authority.get(..end).and_then(|a| a.rfind('@')) {
            found.push(at + start..at + start + user);
        }
    }
    for start in SECRET_STARTS {
        let mut done = 0;
        for (from, _) in line.match_indices(start) {
            // A word that begins so again and again is looked through once.
            if from < done {
                continue;
            }
            let word = line.get(from..).unwrap_or_default();
            let len = word.find(|c: char| !is_key_char(c)).unwrap_or(word.len());
            done = from + len;
            if len >= SHORTEST_SECRET {
                found.push(at + from..at + from + len);
            }
        }
    }
}

/// The same ranges in order, those that touch joined.
pub(crate) fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|r| r.start < r.end);
    ranges.sort_by_key(|r| r.start);
    let mut out: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            Some(_) | None => out.push(range),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{hidden, is_secret_key};

    fn shown(text: &str) -> String {
        let mut out = String::new();
        let mut at = 0;
        for range in hidden(text) {
            out.push_str(&text[at..range.start]);
            out.push('•');
            at = range.end;
        }
        out.push_str(&text[at..]);
        out
    }

    #[test]
    fn values_of_secret_keys_are_hidden_in_every_spelling() {
        for text in [
            "api_key: SECRET",
            "    api_key: SECRET # comment",
            "- token: SECRET",
            "\"api_key\": \"SECRET\"",
            "'upstream-token' : 'it''s SECRET'",
            "a: {hash: \"SECRET\", x: 1}",
            "a: {hash: SECRET, x: 1}",
            "api_key: \"a\\\"SECRET\"",
            "api_key:\n  SECRET\n",
            "api_key: |\n  SECRET\n\n  SECRET\n",
            "api_key: a\n  SECRET\n",
            "- token: |\n    SECRET\n",
            "api_key: \"a\n SECRET\"\n",
            "url: https://user:SECRET@host/x",
            "# key: sk-SECRET-0123456789",
            "- {name: x, token: SECRET}",
        ] {
            assert!(!shown(text).contains("SECRET"), "{text:?} → {:?}", shown(text));
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        for text in [
            "max_output_tokens: 16384",
            "tokens_per_minute: 200000",
            "keys: [a, b]",
            "url: https://api.openai.com/v1",
            "tls: {cert: a.pem, key: b.pem}",
            "change_reason: \"a shorter token\"",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("a: {hash: \"x\", roles: [client]}\n"), "a: {hash: •, roles: [client]}\n");
        assert_eq!(shown("api_key: x\nretries: 1\n"), "api_key: •\nretries: 1\n");
        assert_eq!(shown("a:\n  api_key: |\n    x\n  retries: 1\n"), "a:\n  api_key: •\n•\n  retries: 1\n");
    }

    #[test]
    fn secret_keys_are_told_by_their_last_word() {
        for key in ["api_key", "token", "client-secret", "HASH", "db.password", "apikey"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["key", "keys", "max_output_tokens", "tokens", "token_limit", ""] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn lines_made_to_be_slow_are_not() {
        for line in ["sk-", "a_key: {", "a_key: \"", "://", "x@://", "token:", "{token: a,", "a_key:\n"] {
            assert!(hidden(&line.repeat(500_000 / line.len())).len() < 500_000);
        }
    }

    proptest! {
        #[test]
        fn any_text_has_ranges_in_order_on_character_borders(text in "[ -~\\n\u{e4}\u{1f600}{}:'\"|@/-]{0,200}") {
            let mut last = 0;
            for range in hidden(&text) {
                prop_assert!(range.start >= last && range.start < range.end && range.end <= text.len());
                prop_assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
                last = range.end;
            }
        }

        #[test]
        fn a_secret_never_shows_whatever_stands_around_it(
            before in "( {0,4}|[a-z]{1,4}: \\{)", key in "(api_key|token|hash)", quote in "[\"']?", after in "[ ,}#a-z]{0,10}",
        ) {
            let text = format!("{before}{key}: {quote}S3CR3T{quote}{after}\n");
            prop_assert!(!shown(&text).contains("S3CR3T"));
        }
    }
}
