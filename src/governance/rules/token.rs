//! Words of a rule: splits `when` into tokens, CEL's spellings of strings and numbers included.
//!
//! Called by `syntax`. The lexis is that of the CEL language definition ("Syntax"); what the subset has no use for is
//! named in the fault, so that an author learns what to write instead.

use crate::governance::rules::Fault;

/// One token and where it begins, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lexeme<'a> {
    pub(super) at: usize,
    pub(super) token: Token<'a>,
}

/// A word of the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Name(&'a str),
    /// The magnitude; a sign is a symbol of its own.
    Int(u64),
    Text(String),
    Symbol(&'static str),
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 17] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "-", "(", ")", "[", "]", ",", ".", "="];

/// What CEL has and a rule has not.
const UNSUPPORTED: [&str; 9] = ["+", "*", "/", "%", "?", ":", "{", "}", "`"];

/// Splits `source`; the last token is [`Token::End`].
pub(super) fn read(source: &str) -> Result<Vec<Lexeme<'_>>, Fault> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += blank(rest(source, at));
        let text = rest(source, at);
        let (token, length) = match text.chars().next() {
            None => {
                words.push(Lexeme { at, token: Token::End });
                return Ok(words);
            }
            Some(c) if quoted(text) => string(c, text, at)?,
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let length = span(text, |b| b.is_ascii_alphanumeric() || b == b'_');
                (Token::Name(head(text, length)), length)
            }
            Some(c) if c.is_ascii_digit() => number(text, at)?,
            Some(c) => symbol(text, c, at)?,
        };
        words.push(Lexeme { at, token });
        at += length;
    }
}

fn rest(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

fn head(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or_default()
}

fn span(text: &str, is: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|b| is(*b)).count()
}

/// Bytes of white space and `//` comments that `text` begins with.
fn blank(text: &str) -> usize {
    let mut at = 0;
    loop {
        at += span(rest(text, at), |b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c'));
        if !rest(text, at).starts_with("//") {
            return at;
        }
        at += span(rest(text, at), |b| b != b'\n');
    }
}

fn symbol(text: &str, c: char, at: usize) -> Result<(Token<'static>, usize), Fault> {
    if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| text.starts_with(symbol)) {
        return if symbol == "=" {
            Err(Fault::new(at, "`=` is no operator: compare with `==`"))
        } else {
            Ok((Token::Symbol(symbol), symbol.len()))
        };
    }
    Err(match UNSUPPORTED.into_iter().find(|symbol| text.starts_with(symbol)) {
        Some(symbol) => Fault::new(at, format!("`{symbol}` is not part of the rule language")),
        None if c == '&' || c == '|' => Fault::new(at, format!("`{c}` is no operator: write `{c}{c}`")),
        None => Fault::new(at, format!("`{}` has no meaning here", c.escape_debug())),
    })
}

fn number(text: &str, at: usize) -> Result<(Token<'static>, usize), Fault> {
    let length = span(text, |b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
    let word = head(text, length);
    let parsed = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => word.parse().ok(),
    };
    parsed.map(|n| (Token::Int(n), length)).ok_or_else(|| {
        Fault::new(
            at,
            format!("`{word}` is not a number that a rule knows: whole numbers of 64 bits, decimal or `0x…`"),
        )
    })
}

/// Whether a string begins here, its prefix included.
fn quoted(text: &str) -> bool {
    let prefix = span(text, |b| matches!(b, b'r' | b'R' | b'b' | b'B'));
    prefix <= 2 && rest(text, prefix).starts_with(['"', '\''])
}

fn string(first: char, text: &str, at: usize) -> Result<(Token<'static>, usize), Fault> {
    let prefix = span(text, |b| b.is_ascii_alphabetic());
    if head(text, prefix).to_ascii_lowercase().contains('b') {
        return Err(Fault::new(at, "bytes are not part of the rule language: leave out the `b`"));
    }
    if prefix > 1 {
        return Err(Fault::new(at, format!("`{first}` stands twice before a string")));
    }
    let raw = prefix == 1;
    let body = rest(text, prefix);
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|q| body.starts_with(q)).unwrap_or("\"");
    let open = prefix + quote.len();
    let mut out = String::new();
    let mut here = open;
    loop {
        let tail = rest(text, here);
        if tail.starts_with(quote) {
            return Ok((Token::Text(out), here + quote.len()));
        }
        match tail.chars().next() {
            None => return Err(Fault::new(at, "the string is not closed")),
            Some('\n' | '\r') if quote.len() == 1 => {
                return Err(Fault::new(at, "the string is not closed on its line"));
            }
            Some('\\') if !raw => {
                let (c, length) = escape(rest(tail, 1)).ok_or_else(|| bad_escape(at + here, tail))?;
                out.push(c);
                here += 1 + length;
            }
            Some(c) => {
                out.push(c);
                here += c.len_utf8();
            }
        }
    }
}

fn bad_escape(at: usize, tail: &str) -> Fault {
    let shown: String = tail.chars().take(2).collect();
    Fault::new(at, format!("`{}` begins no escape that CEL knows; a backslash is written `\\\\`", shown.escape_debug()))
}

/// The character that the escape after a backslash means, and the escape's length.
fn escape(text: &str) -> Option<(char, usize)> {
    let plain = |c| Some((c, 1));
    match text.chars().next()? {
        'a' => plain('\x07'),
        'b' => plain('\x08'),
        'f' => plain('\x0c'),
        'n' => plain('\n'),
        'r' => plain('\r'),
        't' => plain('\t'),
        'v' => plain('\x0b'),
        c @ ('\\' | '?' | '"' | '\'' | '`') => plain(c),
        'x' | 'X' => digits(text, 1, 2, 16),
        'u' => digits(text, 1, 4, 16),
        'U' => digits(text, 1, 8, 16),
        '0'..='3' => digits(text, 0, 3, 8),
        _ => None,
    }
}

fn digits(text: &str, from: usize, count: usize, radix: u32) -> Option<(char, usize)> {
    let word = text.get(from..from + count)?;
    if !word.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((char::from_u32(u32::from_str_radix(word, radix).ok()?)?, from + count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Token, read};

    fn tokens(source: &str) -> Vec<Token<'_>> {
        read(source).unwrap().into_iter().map(|word| word.token).collect()
    }

    #[test]
    fn every_spelling_of_a_string_is_read() {
        for (source, text) in [
            (r#""a'b""#, "a'b"),
            (r#"'a"b'"#, "a\"b"),
            (r"'''a'b'''", "a'b"),
            ("\"\"\"a\nb\"\"\"", "a\nb"),
            (r#"r"a\n""#, r"a\n"),
            (r"R'''\d'e'''", r"\d'e"),
            (r#""\a\b\f\n\r\t\v\\\?\"\'\`""#, "\x07\x08\x0c\n\r\t\x0b\\?\"'`"),
            (r#""\x41\X42\u00e4\U0001F600\101""#, "ABä\u{1F600}A"),
            ("\"\"", ""),
        ] {
            assert_eq!(tokens(source), [Token::Text(text.to_owned()), Token::End], "{source}");
        }
    }

    #[test]
    fn a_bad_word_is_refused_at_its_place() {
        for (source, at, part) in [
            ("a == \"b", 5, "not closed"),
            ("'a\nb'", 0, "not closed on its line"),
            (r#""a\q""#, 2, "escape"),
            (r#""\ud800""#, 1, "escape"),
            (r#""\x4""#, 1, "escape"),
            (r#""\400""#, 1, "escape"),
            ("b'a'", 0, "bytes"),
            ("1.5", 0, "whole numbers"),
            ("1u", 0, "whole numbers"),
            ("0x", 0, "whole numbers"),
            ("99999999999999999999", 0, "whole numbers"),
            ("a = b", 2, "`==`"),
            ("a & b", 2, "`&&`"),
            ("a + b", 2, "`+` is not part"),
            ("a ? b : c", 2, "`?` is not part"),
            ("a # b", 2, "`#` has no meaning"),
        ] {
            let fault = read(source).unwrap_err();
            assert_eq!(fault.offset, at, "{source}: {}", fault.message);
            assert!(fault.message.contains(part), "{source}: {}", fault.message);
        }
    }

    #[test]
    fn comments_and_white_space_say_nothing() {
        assert_eq!(tokens("a // b\n\t<= 0x1F"), [Token::Name("a"), Token::Symbol("<="), Token::Int(31), Token::End]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(source in ".{0,60}") {
            if let Err(fault) = read(&source) {
                prop_assert!(fault.offset <= source.len());
            }
        }
    }
}
