//! The tree of a YAML file: what is written, how, and where. `yaml` grows it; `shape` and `de` read it.

/// Where something stands: lines and columns from 1 (columns in characters), bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Place {
    /// Line, from 1; 0 when there is no place in a file.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
    /// 0 for the file itself; otherwise which overriding variable it came from (see `reading`).
    pub origin: u32,
}

/// One value of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins; for a scalar also where it ends.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A single value.
    Scalar(Scalar),
    /// `- item` or `[item]`.
    List(Vec<Node>),
    /// `key: value` or `{key: value}`, in the order of the file.
    Map(Vec<Entry>),
}

/// A single value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, unquoted.
    pub text: String,
    /// How it was written.
    pub style: Style,
}

/// How a scalar was written; decides whether it may be a number, a boolean or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bare.
    Plain,
    /// In quotes or as a block: always text.
    Quoted,
    /// Filled in from the environment: may be a number or a boolean, is never nothing, is never shown.
    Filled,
    /// Should have been filled in and could not be, which was told already.
    Unset,
}

/// One `key: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// The value.
    pub value: Node,
}

/// Something wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub place: Place,
    /// What is wrong, in one lowercase line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Flaw {
    /// A flaw without advice.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Node {
    /// An empty map that stands at `place`.
    #[must_use]
    pub const fn empty_map(place: Place) -> Self {
        Self { place, kind: Kind::Map(Vec::new()) }
    }

    /// The scalar, when it is one.
    #[must_use]
    pub const fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The value under `key`, when this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            Kind::Scalar(_) | Kind::List(_) => None,
        }
    }
}

/// YAML 1.2 core schema: what a bare scalar stands for. Text in quotes stands for itself.
impl Scalar {
    /// Whether it stands for nothing: bare and empty, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The boolean it stands for.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        match self.text.as_str() {
            _ if self.style == Style::Quoted => None,
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// The whole number it stands for.
    #[must_use]
    pub fn integer(&self) -> Option<i128> {
        if self.style == Style::Quoted {
            return None;
        }
        let text = self.text.as_str();
        if let Some(hex) = text.strip_prefix("0x") {
            return digits(hex, 16);
        }
        if let Some(octal) = text.strip_prefix("0o") {
            return digits(octal, 8);
        }
        match text.strip_prefix('-') {
            Some(rest) => digits(rest, 10).map(|n| -n),
            None => digits(text.strip_prefix('+').unwrap_or(text), 10),
        }
    }

    /// Whether it stands for a fraction, an exponent, an infinity or not-a-number.
    fn is_float(&self) -> bool {
        let text = self.text.trim_start_matches(['-', '+']);
        if matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
            return true;
        }
        text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && text.bytes().any(|b| b.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
            && text.parse::<f64>().is_ok()
    }

    /// Whether it stands for anything but text.
    pub(super) fn is_not_text(&self) -> bool {
        self.style == Style::Plain
            && (self.is_null() || self.boolean().is_some() || self.integer().is_some() || self.is_float())
    }
}

/// An unsigned number without sign, underscore or blank.
fn digits(text: &str, radix: u32) -> Option<i128> {
    if text.is_empty() || text.len() > 32 || !text.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    i128::from_str_radix(text, radix).ok()
}

/// `text` in backticks, its control characters escaped, cut after 80 characters: how a message shows what was written.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(96) + 2);
    shown.push('`');
    for (count, c) in text.chars().enumerate() {
        if count == 80 {
            shown.push('…');
            break;
        }
        if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown.push('`');
    shown
}

#[cfg(test)]
mod tests {
    use super::{Scalar, Style, quoted};

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), style: Style::Plain }
    }

    #[test]
    fn a_bare_no_stays_text_and_a_quoted_number_too() {
        assert_eq!(plain("no").boolean(), None);
        assert_eq!(plain("off").boolean(), None);
        assert_eq!(plain("true").boolean(), Some(true));
        assert_eq!(plain("1").integer(), Some(1));
        assert_eq!(plain("0x1f").integer(), Some(31));
        assert_eq!(plain("-3").integer(), Some(-3));
        assert!(plain("~").is_null());
        for style in [Style::Quoted, Style::Filled] {
            assert!(!Scalar { text: String::new(), style }.is_null());
        }
        assert_eq!(Scalar { text: "1".to_owned(), style: Style::Quoted }.integer(), None);
        assert_eq!(Scalar { text: "1".to_owned(), style: Style::Filled }.integer(), Some(1));
    }

    #[test]
    fn numbers_of_odd_form_are_text() {
        for odd in ["1_000", "+-1", "1 ", "", "0x", "99999999999999999999999999999999999"] {
            assert_eq!(plain(odd).integer(), None, "{odd:?}");
        }
    }

    #[test]
    fn what_a_message_shows_is_short_and_has_no_control_character() {
        assert_eq!(quoted("a\u{1b}[2Jb"), "`a\\u{1b}[2Jb`");
        assert!(quoted(&"x".repeat(500)).chars().count() < 90);
    }
}
