//! Bytes inside JSON strings: how far plain text reaches, whether an escape is whole, and what it stands for.
//!
//! Used by the parser (`skip`) and by every reader that needs decoded text (`decode`). Safe Rust in a form that the
//! compiler turns into vector code; nothing here allocates except `decode` into its caller's buffer.

use super::FlawKind;

const LOW_BITS: u64 = u64::from_le_bytes([0x01; 8]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);
const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);
const SPACES: u64 = u64::from_le_bytes([b' '; 8]);

/// Index of the first byte of the word that ends a run, if any. The subtraction's borrow can only mark bytes above
/// the first true one, so the lowest mark is exact (the "determine if a word has a zero byte" trick of Bit Twiddling
/// Hacks).
const fn first_end(word: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let quote = word ^ QUOTES;
    let slash = word ^ BACKSLASHES;
    let marks = (quote.wrapping_sub(LOW_BITS) & !quote)
        | (slash.wrapping_sub(LOW_BITS) & !slash)
        | (word.wrapping_sub(SPACES) & !word);
    let marks = marks & HIGH_BITS;
    if marks == 0 { None } else { Some((marks.trailing_zeros() / 8) as usize) }
}

/// How many bytes stand before the first quote, backslash or control character.
#[inline]
fn plain_run(bytes: &[u8]) -> usize {
    // Most strings are short: names, roles, ids.
    let mut at = 0;
    let (words, _) = bytes.as_chunks::<8>();
    for word in words.iter().take(2) {
        if let Some(end) = first_end(*word) {
            return at + end;
        }
        at += 8;
    }
    // Longer ones end where `memchr` says, unless a control character stands before. That is asked of the whole run without
    // early exit, the form the compiler makes vectors of; where it stands is asked only if there is one.
    let long = bytes.get(at..).unwrap_or_default();
    let end = memchr::memchr2(b'"', b'\\', long).unwrap_or(long.len());
    let run = long.get(..end).unwrap_or_default();
    let lowest = run.iter().fold(u8::MAX, |lowest, byte| lowest.min(*byte));
    let is_plain = lowest >= b' ';
    at + if is_plain { end } else { run.iter().position(|byte| *byte < b' ').unwrap_or(end) }
}

/// Where a string ends whose first byte after the opening quote is at `start`.
pub(super) struct Skipped {
    /// Index after the closing quote.
    pub(super) end: usize,
    /// Whether it has escapes to decode.
    pub(super) escaped: bool,
}

/// Skips a string and checks its escapes.
pub(super) fn skip(bytes: &[u8], start: usize) -> Result<Skipped, (usize, FlawKind)> {
    let mut at = start;
    let mut escaped = false;
    loop {
        at += plain_run(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => return Ok(Skipped { end: at + 1, escaped }),
            Some(b'\\') => {
                escaped = true;
                at = skip_escape(bytes, at)?;
            }
            Some(_) => return Err((at, FlawKind::ControlCharacter)),
            None => return Err((at, FlawKind::Truncated)),
        }
    }
}

/// Index after the escape that begins at `at`; a surrogate pair is one escape.
fn skip_escape(bytes: &[u8], at: usize) -> Result<usize, (usize, FlawKind)> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let unit = unit(bytes, at).ok_or((at, FlawKind::BadEscape))?;
            match unit {
                0xD800..=0xDBFF => match self::unit(bytes, at + 6) {
                    Some(0xDC00..=0xDFFF) => Ok(at + 12),
                    _ => Err((at, FlawKind::LoneSurrogate)),
                },
                0xDC00..=0xDFFF => Err((at, FlawKind::LoneSurrogate)),
                _ => Ok(at + 6),
            }
        }
        _ => Err((at, FlawKind::BadEscape)),
    }
}

/// The UTF-16 unit of the `\uXXXX` at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(at..at + 6)? else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends `raw`, JSON text whose escapes were checked, to `out` with every escape decoded. `raw` may be the inside
/// of one string or a whole JSON value: escapes stand only inside strings.
pub(crate) fn decode(raw: &str, out: &mut String) {
    out.reserve(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = cut_at_backslash(rest) {
        out.push_str(plain);
        let (decoded, length) = decode_escape(escape);
        out.push(decoded);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// What stands before and after the first backslash. `memchr`, because texts are long and escapes are rare.
fn cut_at_backslash(text: &str) -> Option<(&str, &str)> {
    let at = memchr::memchr(b'\\', text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What the escape stands for whose text after the backslash begins `escape`, and that text's length.
fn decode_escape(escape: &str) -> (char, usize) {
    let hex = |from: usize| escape.get(from..from + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match escape.as_bytes().first() {
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'n') => ('\n', 1),
        Some(b'r') => ('\r', 1),
        Some(b't') => ('\t', 1),
        Some(b'u') => match (hex(1), hex(7)) {
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
                let scalar = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
            }
            (Some(unit), _) => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 5),
            (None, _) => (char::REPLACEMENT_CHARACTER, 1),
        },
        // A quote, a backslash or a slash stands for itself.
        Some(byte) => (char::from(*byte), 1),
        None => ('\\', 0),
    }
}

#[cfg(test)]
mod tests {
    use super::plain_run;
    use proptest::prelude::*;

    const fn ends_run(byte: u8) -> bool {
        byte == b'"' || byte == b'\\' || byte < b' '
    }

    proptest! {
        #[test]
        fn a_plain_run_ends_where_a_plain_loop_says(bytes in proptest::collection::vec(
            prop_oneof![8 => 0x20..=0xffu8, 1 => any::<u8>()], 0..200)) {
            let expected = bytes.iter().position(|b| ends_run(*b)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_run(&bytes), expected);
        }
    }
}
