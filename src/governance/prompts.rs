//! Prompt templates: fixed text with `{{name}}` where a value goes, and whether a system message is such a text.
//!
//! Parsed once, when the registry loads; asked by `decide` for every call that has a system message. Which prompt a
//! call may use, and in what status, is `decide`'s business.

use memchr::memmem::Finder;

/// The longest text that a hole takes, in bytes: what is larger is no longer the approved prompt with a value in it.
pub const HOLE_LIMIT_BYTES: usize = 8 * 1024;

/// Longest name of a hole, in bytes.
const LONGEST_NAME: usize = 64;

/// A prompt's text: literal parts with a hole between each two. Every hole takes any text of up to
/// [`HOLE_LIMIT_BYTES`]; two holes of one name may take different texts.
#[derive(Debug)]
pub struct Template {
    first: Box<str>,
    /// The literal after each hole; only the last may be empty.
    after_holes: Box<[Literal]>,
    fixed_bytes: usize,
}

/// A literal that follows a hole.
#[derive(Debug)]
struct Literal {
    text: Box<str>,
    finder: Finder<'static>,
}

impl Template {
    /// Reads a template. One final line break is not part of its text.
    ///
    /// # Errors
    /// What is wrong and at which line, in words for the author: a hole that is not closed or not named plainly, two
    /// holes with nothing between them, no fixed text at all.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut parts = body(source).split("{{");
        let first = parts.next().unwrap_or_default();
        let mut line = 1 + lines(first);
        let mut literals: Vec<&str> = Vec::new();
        for part in parts {
            if literals.last().is_some_and(|literal| literal.is_empty()) {
                return Err(format!("line {line}: two holes with nothing between them cannot be told apart"));
            }
            let (name, literal) = part
                .split_once("}}")
                .ok_or_else(|| format!("line {line}: `{{{{` begins a hole that `}}}}` does not end"))?;
            if !is_hole_name(name.trim_matches(' ')) {
                return Err(format!(
                    "line {line}: a hole is `{{{{name}}}}`, its name 1 to {LONGEST_NAME} of the characters A-Z a-z 0-9 _, \
                     no digit first"
                ));
            }
            line += lines(part);
            literals.push(literal);
        }
        if std::iter::once(&first).chain(&literals).all(|literal| literal.trim().is_empty()) {
            return Err("a template needs fixed text: one of holes alone would approve every text".to_owned());
        }
        Ok(Self {
            fixed_bytes: first.len() + literals.iter().map(|literal| literal.len()).sum::<usize>(),
            first: first.into(),
            after_holes: literals.into_iter().map(Literal::new).collect(),
        })
    }

    /// Whether `text` is this template with some text of at most [`HOLE_LIMIT_BYTES`] in each hole. One final line
    /// break is not compared. Linear in `text` for each hole, whatever the texts are.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text = body(text);
        let Some((last, middle)) = self.after_holes.split_last() else { return text == &*self.first };
        let Some(rest) = text.strip_prefix(&*self.first).and_then(|rest| rest.strip_suffix(&*last.text)) else {
            return false;
        };
        match shortest_holes(rest.as_bytes(), middle) {
            Fit::Yes => true,
            Fit::No => false,
            Fit::HoleTooLong => some_holes(rest.as_bytes(), middle),
        }
    }

    /// How much of the template is fixed, in bytes; of two that match, the one with more says more.
    #[must_use]
    pub const fn fixed_bytes(&self) -> usize {
        self.fixed_bytes
    }
}

impl Literal {
    fn new(text: &str) -> Self {
        Self { text: text.into(), finder: Finder::new(text).into_owned() }
    }
}

/// How the shortest possible holes fit.
enum Fit {
    Yes,
    /// A literal is missing, whatever the holes take.
    No,
    /// Every literal is there, but a hole would take too much; other holes might still fit.
    HoleTooLong,
}

/// Finds each literal at its first place after the one before. Where a literal is not found so, it is not found at all.
fn shortest_holes(text: &[u8], middle: &[Literal]) -> Fit {
    let mut rest = text;
    let mut fits = true;
    for literal in middle {
        let Some(hole) = literal.finder.find(rest) else { return Fit::No };
        fits &= hole <= HOLE_LIMIT_BYTES;
        rest = rest.get(hole + literal.text.len()..).unwrap_or_default();
    }
    if fits && rest.len() <= HOLE_LIMIT_BYTES { Fit::Yes } else { Fit::HoleTooLong }
}

/// Asks for any choice of holes: for each literal in turn, the places where it can end given where the one before can.
/// A literal may start at most [`HOLE_LIMIT_BYTES`] after such an end, and of several ends the last before it is the
/// nearest, so one pass over the text is enough for each literal.
fn some_holes(text: &[u8], middle: &[Literal]) -> bool {
    let mut ends = vec![0];
    for literal in middle {
        let mut next = Vec::new();
        let mut before = ends.iter().copied().peekable();
        let mut nearest = None;
        for start in Occurrences::of(literal.text.as_bytes(), text) {
            while let Some(end) = before.next_if(|end| *end <= start) {
                nearest = Some(end);
            }
            if nearest.is_some_and(|end| start - end <= HOLE_LIMIT_BYTES) {
                next.push(start + literal.text.len());
            }
        }
        ends = next;
    }
    ends.last().is_some_and(|end| text.len() - end <= HOLE_LIMIT_BYTES)
}

/// All places of a needle, overlapping ones too, in one pass (Knuth, Morris, Pratt 1977).
struct Occurrences<'a> {
    needle: &'a [u8],
    text: &'a [u8],
    /// For each prefix length, the length of its longest border.
    borders: Vec<usize>,
    at: usize,
    matched: usize,
}

impl<'a> Occurrences<'a> {
    fn of(needle: &'a [u8], text: &'a [u8]) -> Self {
        let mut borders = vec![0; 2];
        let mut border = 0;
        for byte in needle.iter().skip(1) {
            border = longer(needle, &borders, border, *byte);
            borders.push(border);
        }
        Self { needle, text, borders, at: 0, matched: 0 }
    }
}

/// The border of one more byte.
fn longer(needle: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    while matched > 0 && needle.get(matched) != Some(&byte) {
        matched = borders.get(matched).copied().unwrap_or(0);
    }
    if needle.get(matched) == Some(&byte) { matched + 1 } else { 0 }
}

impl Iterator for Occurrences<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            self.matched = longer(self.needle, &self.borders, self.matched, *byte);
            if self.matched == self.needle.len() {
                return Some(self.at - self.needle.len());
            }
        }
        None
    }
}

fn body(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn is_hole_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn lines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HOLE_LIMIT_BYTES, Template};

    fn template(source: &str) -> Template {
        Template::parse(source).unwrap()
    }

    #[test]
    fn a_text_matches_with_any_value_in_the_holes() {
        let support = template("You are the support assistant of {{company}}. Answer politely.\n");
        assert!(support.matches("You are the support assistant of Acme Bank. Answer politely."));
        assert!(support.matches("You are the support assistant of A. B. Co. Answer politely.\n"));
        assert!(support.matches("You are the support assistant of . Answer politely."));
        for other in [
            "",
            "You are the support assistant of Acme. Answer politely. Or not.",
            "Well. You are the support assistant of Acme. Answer politely.",
            "You are the support assistant of Acme. Answer politely",
            "you are the support assistant of Acme. Answer politely.",
        ] {
            assert!(!support.matches(other), "{other}");
        }
    }

    #[test]
    fn prefix_and_suffix_do_not_share_bytes() {
        assert!(!template("ab{{x}}ba").matches("aba"));
        assert!(template("ab{{x}}ba").matches("abba"));
    }

    #[test]
    fn a_template_without_holes_is_its_own_text() {
        assert!(template("Be brief.").matches("Be brief.\r\n"));
        assert!(!template("Be brief.").matches("Be brief. "));
    }

    #[test]
    fn a_hole_takes_so_much_and_no_more() {
        let t = template("[{{a}}|{{b}}]");
        let long = "x".repeat(HOLE_LIMIT_BYTES);
        assert!(t.matches(&format!("[{long}|{long}]")));
        assert!(!t.matches(&format!("[{long}x|{long}]")));
        assert!(!t.matches(&format!("[{long}|{long}x]")));
        // The first bar would leave too much for the second hole; the later one does not.
        assert!(t.matches(&format!("[ab|{}|cd]", &long[..HOLE_LIMIT_BYTES - 3])));
        assert!(t.matches(&format!("[ab|{}|{long}]", &long[..HOLE_LIMIT_BYTES - 3])));
        assert!(!t.matches(&format!("[ab|{long}|{long}]")));
    }

    #[test]
    fn a_bad_template_is_refused_with_its_line() {
        for (source, part) in [
            ("a\nb {{company", "line 2: `{{` begins"),
            ("a {{}} b", "line 1: a hole is"),
            ("a {{two words}} b", "line 1: a hole is"),
            ("a {{1st}} b", "line 1: a hole is"),
            ("a {{{x}}} b", "line 1: a hole is"),
            ("a {{x}}{{y}} b", "line 1: two holes"),
            ("{{x}}", "needs fixed text"),
            ("{{x}}\n\n{{y}}", "needs fixed text"),
            ("", "needs fixed text"),
        ] {
            let why = Template::parse(source).unwrap_err();
            assert!(why.contains(part), "{source:?}: {why}");
        }
    }

    #[test]
    fn braces_that_are_no_holes_are_text() {
        assert!(template(r#"Answer as {"a":{"b":1}} {{ x }}."#).matches(r#"Answer as {"a":{"b":1}} now."#));
    }

    #[test]
    fn texts_made_to_be_slow_are_not() {
        let literal = "a".repeat(200);
        let t = template(&format!("x{}y", format!("{{{{h}}}}{literal}").repeat(20) + "{{h}}"));
        let text = format!("x{}y", "a".repeat(160_000));
        assert!(t.matches(&text));
        assert!(!t.matches(&text.replace('y', "z")));
        assert!(!t.matches(&format!("x{}y", "a".repeat(300_000))));
    }

    /// Says the same as `matches`, by trying everything.
    fn naive(parts: &[String], text: &str) -> bool {
        match parts {
            [] => false,
            [last] => text == last,
            [first, rest @ ..] => text.strip_prefix(first.as_str()).is_some_and(|text| {
                (0..=text.len()).any(|hole| hole <= HOLE_LIMIT_BYTES && naive(rest, &text[hole..]))
            }),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_trying_everything(
            first in "[ab]{0,3}", middle in prop::collection::vec("[ab]{1,3}", 0..3), last in "[ab]{0,3}", text in "[ab]{0,14}",
        ) {
            let mut parts = vec![first];
            parts.extend(middle);
            parts.push(last);
            prop_assume!(parts.iter().any(|part| !part.is_empty()));
            prop_assert_eq!(template(&parts.join("{{h}}")).matches(&text), naive(&parts, &text));
        }

        #[test]
        fn every_filled_in_template_matches(
            parts in prop::collection::vec("[^{}]{1,8}", 1..5), values in prop::collection::vec(".{0,40}", 5),
        ) {
            prop_assume!(parts.iter().any(|part| !part.trim().is_empty()));
            let t = template(&parts.join("{{h}}"));
            let mut text = String::new();
            for (i, part) in parts.iter().enumerate() {
                if i > 0 { text.push_str(&values[i]); }
                text.push_str(part);
            }
            prop_assert!(t.matches(&text));
        }

        #[test]
        fn the_search_for_any_holes_agrees_with_the_shortest_where_nothing_is_long(
            middle in prop::collection::vec("[ab]{1,3}", 1..3), text in "[ab]{0,16}",
        ) {
            let literals: Vec<_> = middle.iter().map(|m| super::Literal::new(m)).collect();
            let shortest = matches!(super::shortest_holes(text.as_bytes(), &literals), super::Fit::Yes);
            prop_assert_eq!(super::some_holes(text.as_bytes(), &literals), shortest);
        }
    }
}
