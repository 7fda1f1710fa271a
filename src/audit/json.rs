//! Writes one JSON line into a byte buffer: no tree in between, strings bounded and escaped.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::id::Digest;

/// Longest string of a record that has no bound of its own, in bytes before escaping.
pub(super) const LONGEST_TEXT: usize = 256;

/// A line being written.
#[derive(Debug)]
pub(super) struct Line(Vec<u8>);

impl Line {
    /// An empty line with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// What was written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How much was written.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// JSON as it is: punctuation, names of fields, words of ours, and the names of `id`, which have nothing to escape
    /// (see [`crate::id::is_plain_name`]).
    #[inline]
    pub(super) fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// A word of ours in quotes: it has nothing to escape.
    #[inline]
    pub(super) fn word(&mut self, word: &str) -> &mut Self {
        self.raw("\"").raw(word).raw("\"")
    }

    /// A name of `id` in quotes, or null.
    #[inline]
    pub(super) fn name_or_null(&mut self, name: Option<&str>) -> &mut Self {
        match name {
            Some(name) => self.word(name),
            None => self.raw("null"),
        }
    }

    /// A string in quotes, escaped and cut at [`LONGEST_TEXT`].
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.raw("\"").escaped(text).raw("\"")
    }

    /// A string without its quotes.
    pub(super) fn escaped(&mut self, text: &str) -> &mut Self {
        self.whole(text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default())
    }

    /// A string without its quotes, however long it is.
    fn whole(&mut self, text: &str) -> &mut Self {
        if !has_escapes(text.as_bytes()) {
            return self.raw(text);
        }
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0..0x20 => self.0.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.0.push(byte),
            }
        }
        self
    }

    /// A string, or null.
    pub(super) fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    /// A whole number.
    #[inline]
    pub(super) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let number = number.into();
        if number < 10 {
            self.0.push(digit(number));
            return self;
        }
        self.digits(number, 1)
    }

    /// A decimal number, without quotes.
    pub(super) fn decimal(&mut self, number: Decimal) -> &mut Self {
        let scale = u64::from(number.scale());
        match u64::try_from(number.mantissa()) {
            // Eighteen zeros more than the mantissa's own digits would not fit the buffer of `digits`.
            Ok(mantissa) if scale > 0 && scale <= 18 => {
                let unit = 10_u64.pow(number.scale());
                self.digits(mantissa / unit, 1).raw(".");
                self.digits(mantissa % unit, usize::try_from(scale).unwrap_or_default())
            }
            _ => self.raw(&number.to_string()),
        }
    }

    /// A whole number, or null.
    pub(super) fn number_or_null(&mut self, number: Option<impl Into<u64>>) -> &mut Self {
        match number {
            Some(number) => self.number(number),
            None => self.raw("null"),
        }
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, flag: bool) -> &mut Self {
        self.raw(if flag { "true" } else { "false" })
    }

    /// A UUID in quotes.
    pub(super) fn uuid(&mut self, id: Uuid) -> &mut Self {
        self.0.extend_from_slice(&quoted(id));
        self
    }

    /// A digest in quotes.
    pub(super) fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.raw("\"sha256:");
        self.0.extend_from_slice(digest.0.map(hex_pair).as_flattened());
        self.raw("\"")
    }

    /// A time in quotes: RFC 3339, UTC, microseconds.
    pub(super) fn time(&mut self, at: DateTime<Utc>) -> &mut Self {
        let (date, time) = (at.naive_utc().date(), at.naive_utc().time());
        let year = u32::try_from(date.year()).unwrap_or_default();
        let ([c1, c2], [y1, y2]) = (pair(year / 100), pair(year));
        let ([m1, m2], [d1, d2]) = (pair(date.month()), pair(date.day()));
        let second = time.num_seconds_from_midnight();
        let ([h1, h2], [n1, n2], [s1, s2]) = (pair(second / 3600), pair(second / 60 % 60), pair(second % 60));
        // chrono shows a leap second as nanoseconds beyond a second.
        let micros = time.nanosecond() / 1000 % 1_000_000;
        let ([f1, f2], [f3, f4], [f5, f6]) = (pair(micros / 10_000), pair(micros / 100), pair(micros));
        #[rustfmt::skip]
        let text = [
            b'"', c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2,
            b'.', f1, f2, f3, f4, f5, f6, b'Z', b'"',
        ];
        self.0.extend_from_slice(&text);
        self
    }

    /// A tree in at most `most` bytes, else its digest and size. Fractions become strings: records hold integers and
    /// decimal strings only.
    pub(super) fn value(&mut self, value: &Value, most: usize) -> &mut Self {
        let start = self.0.len();
        self.tree(value);
        let written = self.0.len().saturating_sub(start);
        if written > most {
            let digest = Digest::of(self.0.get(start..).unwrap_or_default());
            self.0.truncate(start);
            self.raw("{\"omitted\":").digest(&digest).raw(",\"bytes\":");
            self.number(u64::try_from(written).unwrap_or(u64::MAX)).raw("}");
        }
        self
    }

    fn tree(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.raw("null"),
            Value::Bool(flag) => self.flag(*flag),
            Value::Number(number) if number.is_f64() => self.text(&number.to_string()),
            Value::Number(number) => self.raw(&number.to_string()),
            Value::String(text) => self.raw("\"").whole(text).raw("\""),
            Value::Array(all) => self.list("[", all, "]", |line, one| {
                line.tree(one);
            }),
            Value::Object(all) => self.list("{", all, "}", |line, (name, one)| {
                line.raw("\"").whole(name).raw("\":").tree(one);
            }),
        }
    }

    /// Things with commas between.
    pub(super) fn list<T>(
        &mut self,
        open: &str,
        all: impl IntoIterator<Item = T>,
        close: &str,
        mut each: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.raw(open);
        for (i, one) in all.into_iter().enumerate() {
            if i > 0 {
                self.raw(",");
            }
            each(self, one);
        }
        self.raw(close)
    }

    fn digits(&mut self, mut number: u64, least: usize) -> &mut Self {
        let mut out = [b'0'; 20];
        let mut used = 0_usize;
        for place in out.iter_mut().rev() {
            if number == 0 && used >= least {
                break;
            }
            *place = digit(number % 10);
            number /= 10;
            used = used.saturating_add(1);
        }
        self.0.extend_from_slice(out.get(out.len().saturating_sub(used)..).unwrap_or_default());
        self
    }
}

/// Whether a JSON string may not hold these bytes as they are. Eight at a time: most strings here are short.
fn has_escapes(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The highest bit of each byte that is below a bound, of those below 0x80; a borrow can only follow a hit.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES.wrapping_mul(bound)) & !word & HIGH;
    let hit = |word: u64| {
        below(word, 0x20)
            | below(word ^ ONES.wrapping_mul(u64::from(b'"')), 1)
            | below(word ^ ONES.wrapping_mul(u64::from(b'\\')), 1)
    };
    let (words, rest) = text.as_chunks::<8>();
    let whole = words.iter().fold(0, |hits, word| hits | hit(u64::from_le_bytes(*word)));
    let last = rest.iter().fold(ONES.wrapping_mul(0x7f), |word, byte| (word << 8) | u64::from(*byte));
    (whole | hit(last)) != 0
}

/// The last digit of a number.
const fn digit(number: u64) -> u8 {
    // Below ten, so that nothing is cut.
    let [last, ..] = (number % 10).to_le_bytes();
    last | b'0'
}

/// The last two digits of a number.
fn pair(number: u32) -> [u8; 2] {
    [digit(u64::from(number / 10)), digit(u64::from(number))]
}

/// A byte in hexadecimal, without a table and without a branch, so that the compiler makes vectors of it.
const fn hex_pair(byte: u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(byte & 15)]
}

const fn hex_digit(nibble: u8) -> u8 {
    // What is above nine moves on from the digits to the letters.
    (nibble | b'0').wrapping_add(((nibble.wrapping_add(6)) >> 4).wrapping_mul(b'a' - b'0' - 10))
}

/// A UUID in quotes and in the form of RFC 9562.
fn quoted(id: Uuid) -> [u8; 38] {
    let mut digits = [0; 32];
    digits.copy_from_slice(id.into_bytes().map(hex_pair).as_flattened());
    let mut text = *b"\"00000000-0000-0000-0000-000000000000\"";
    text[1..9].copy_from_slice(&digits[..8]);
    text[10..14].copy_from_slice(&digits[8..12]);
    text[15..19].copy_from_slice(&digits[12..16]);
    text[20..24].copy_from_slice(&digits[16..20]);
    text[25..37].copy_from_slice(&digits[20..]);
    text
}

#[cfg(test)]
mod tests {
    use super::{Line, has_escapes};
    use crate::id::Digest;
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn written(write: impl FnOnce(&mut Line) -> &mut Line) -> String {
        let mut line = Line::with_capacity(0);
        write(&mut line);
        String::from_utf8(line.into_bytes()).unwrap()
    }

    #[test]
    fn numbers_and_times_have_their_digits() {
        assert_eq!(written(|l| l.number(0_u64).raw(",").number(u64::MAX)), format!("0,{}", u64::MAX));
        let at: DateTime<Utc> = "2026-01-02T03:04:05.000078Z".parse().unwrap();
        assert_eq!(written(|l| l.time(at)), "\"2026-01-02T03:04:05.000078Z\"");
        let leap: DateTime<Utc> = "2016-12-31T23:59:60.999999Z".parse().unwrap();
        assert_eq!(written(|l| l.time(leap)), "\"2016-12-31T23:59:59.999999Z\"");
    }

    #[test]
    fn a_tree_that_is_too_long_stands_as_its_digest() {
        let long = json!({"a": "x".repeat(100)});
        let text = written(|l| l.value(&long, 50));
        assert!(text.starts_with("{\"omitted\":\"sha256:") && text.ends_with(",\"bytes\":108}"), "{text}");
        assert_eq!(written(|l| l.value(&json!([1, 0.5, null, true, "s"]), 50)), r#"[1,"0.5",null,true,"s"]"#);
    }

    #[test]
    fn every_byte_that_a_string_may_not_hold_is_seen_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let due = byte < 0x20 || byte == b'"' || byte == b'\\';
            for (before, after) in [(0, 0), (0, 7), (3, 0), (7, 1), (8, 0), (13, 9), (16, 16)] {
                for filling in [b'a', 0x7f, 0x80, 0xff, b' ', b'!', b'#', b'[', b']'] {
                    let text = [vec![filling; before], vec![byte], vec![filling; after]].concat();
                    assert_eq!(has_escapes(&text), due, "{text:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn times_uuids_digests_and_decimals_are_written_as_their_own_rooms_write_them(
            nanos in -62_135_596_800_000_000_000_i128..253_402_300_800_000_000_000,
            id in any::<u128>(),
            hash in any::<[u8; 32]>(),
            mantissa in prop_oneof![any::<u64>(), 0..100_000_u64],
            scale in 0..=28_u32,
        ) {
            let at = DateTime::from_timestamp(
                i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap(),
                u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap(),
            ).unwrap();
            prop_assert_eq!(written(|l| l.time(at)), at.format("\"%Y-%m-%dT%H:%M:%S%.6fZ\"").to_string());
            let id = Uuid::from_u128(id);
            prop_assert_eq!(written(|l| l.uuid(id)), format!("\"{id}\""));
            prop_assert_eq!(written(|l| l.digest(&Digest(hash))), format!("\"{}\"", Digest(hash)));
            let number = Decimal::from_i128_with_scale(mantissa.into(), scale);
            prop_assert_eq!(written(|l| l.decimal(number)), number.to_string());
            prop_assert_eq!(written(|l| l.number(mantissa)), mantissa.to_string());
        }

        #[test]
        fn any_text_reads_back_as_it_was_up_to_its_bound(text in "\\PC*|[\\x00-\\x7f]{0,300}|.{0,300}") {
            let json = written(|l| l.text(&text));
            let Value::String(read) = serde_json::from_str(&json).unwrap() else { panic!("no string") };
            prop_assert!(text.starts_with(&read));
            prop_assert!(read.len() == text.len() || read.len() > 252);
        }
    }
}
