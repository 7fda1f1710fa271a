//! Writes one JSON line into a byte buffer: no tree in between, strings bounded and escaped.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
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

    /// JSON as it is: punctuation, names of fields, words of ours.
    pub(super) fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// A word of ours in quotes: it has nothing to escape.
    pub(super) fn word(&mut self, word: &str) -> &mut Self {
        self.raw("\"").raw(word).raw("\"")
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
        // No early exit: that is the form the compiler makes vectors of.
        let escapes =
            text.bytes().fold(0, |hit, b| hit | u8::from(b < 0x20) | u8::from(b == b'"') | u8::from(b == b'\\'));
        if escapes == 0 {
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
    pub(super) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        self.digits(number.into(), 1)
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
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.word(id.hyphenated().encode_lower(&mut text))
    }

    /// A digest in quotes.
    pub(super) fn digest(&mut self, digest: &Digest) -> &mut Self {
        let mut text = [b'0'; 64];
        // 32 bytes are 64 digits, so this always fits.
        let _fits = hex::encode_to_slice(digest.0, &mut text);
        self.raw("\"sha256:");
        self.0.extend_from_slice(&text);
        self.raw("\"")
    }

    /// A time in quotes: RFC 3339, UTC, microseconds.
    pub(super) fn time(&mut self, at: DateTime<Utc>) -> &mut Self {
        self.raw("\"").digits(u64::try_from(at.year()).unwrap_or_default(), 4);
        self.raw("-").digits(at.month().into(), 2).raw("-").digits(at.day().into(), 2);
        self.raw("T").digits(at.hour().into(), 2).raw(":").digits(at.minute().into(), 2);
        self.raw(":").digits(at.second().into(), 2).raw(".");
        // chrono shows a leap second as nanoseconds beyond a second.
        self.digits((at.timestamp_subsec_micros() % 1_000_000).into(), 6).raw("Z\"")
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
        for digit in out.iter_mut().rev() {
            if number == 0 && used >= least {
                break;
            }
            *digit = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or_default());
            number /= 10;
            used = used.saturating_add(1);
        }
        self.0.extend_from_slice(out.get(out.len().saturating_sub(used)..).unwrap_or_default());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Line;
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;
    use serde_json::{Value, json};

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
    }

    #[test]
    fn a_tree_that_is_too_long_stands_as_its_digest() {
        let long = json!({"a": "x".repeat(100)});
        let text = written(|l| l.value(&long, 50));
        assert!(text.starts_with("{\"omitted\":\"sha256:") && text.ends_with(",\"bytes\":108}"), "{text}");
        assert_eq!(written(|l| l.value(&json!([1, 0.5, null, true, "s"]), 50)), r#"[1,"0.5",null,true,"s"]"#);
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_it_was_up_to_its_bound(text in "\\PC*|[\\x00-\\x7f]{0,300}|.{0,300}") {
            let json = written(|l| l.text(&text));
            let Value::String(read) = serde_json::from_str(&json).unwrap() else { panic!("no string") };
            prop_assert!(text.starts_with(&read));
            prop_assert!(read.len() == text.len() || read.len() > 252);
        }
    }
}
