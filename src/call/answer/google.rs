//! Google's streams: each piece is a `GenerateContentResponse`, sent as an event or as an element of one JSON list.
//!
//! Source: Gemini API reference, `GenerateContentResponse` and `Candidate`.

use super::super::json::{Document, Value};
use super::super::sse::LARGEST_EVENT;
use super::Tally;
use super::whole::Place;

impl Tally {
    /// Takes one piece in. A candidate's reason to finish, or a prompt that is blocked, is the stream's end.
    pub(super) fn take_content(&mut self, data: &[u8]) {
        let Ok(document) = Document::read(data) else { return };
        let root = document.root();
        if let Some(report) = root.member("usageMetadata") {
            self.counts.take_google(report);
        }
        self.failed |= root.member("error").is_some_and(|error| !error.is_null());
        let says = |holder: Value<'_>, name: &str| holder.member(name).is_some_and(|value| !value.is_null());
        if let Some(candidates) = root.member("candidates") {
            self.events += u64::from(candidates.elements().next().is_some());
            self.ended |= candidates.elements().any(|candidate| says(candidate, "finishReason"));
        }
        self.ended |= root.member("promptFeedback").is_some_and(|feedback| says(feedback, "blockReason"));
    }
}

/// Finds the elements of one JSON list in bytes that arrive in any pieces. Follows strings and nesting only.
#[derive(Default)]
pub(super) struct Elements {
    depth: u32,
    place: Place,
    /// The element that has begun, unless it is too large to look into.
    element: Vec<u8>,
    too_large: bool,
    oversized: u64,
    ended: bool,
}

impl std::fmt::Debug for Elements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Elements(depth {}, {} bytes kept)", self.depth, self.element.len())
    }
}

impl Elements {
    /// Takes the next bytes and hands out the elements that end in them.
    pub(super) fn feed(&mut self, chunk: &[u8], mut seen: impl FnMut(&[u8])) {
        // Where the part of the element that is not kept yet begins.
        let mut from = 0;
        for (at, byte) in chunk.iter().enumerate() {
            let ends = self.step(*byte);
            if self.depth == 1 && self.place == Place::Outside && *byte == b'[' {
                from = at + 1;
            }
            if ends {
                self.keep(chunk.get(from..=at).unwrap_or_default());
                from = at + 1;
                if self.too_large {
                    self.oversized += 1;
                } else {
                    let text = self.element.trim_ascii_start();
                    seen(text.strip_prefix(b",").unwrap_or(text));
                }
                self.element.clear();
                self.too_large = false;
            }
        }
        if self.depth > 0 {
            self.keep(chunk.get(from..).unwrap_or_default());
        }
    }

    /// Follows a byte; answers whether it ends an element. Only objects are elements of this list.
    const fn step(&mut self, byte: u8) -> bool {
        match (self.place, byte) {
            (Place::InString, b'\\') => self.place = Place::AfterBackslash,
            (Place::InString, b'"') => self.place = Place::Outside,
            (Place::AfterBackslash, _) | (Place::Outside, b'"') => self.place = Place::InString,
            (Place::Outside, b'[' | b'{') => self.depth = self.depth.saturating_add(1),
            (Place::Outside, b']' | b'}') => {
                self.depth = self.depth.saturating_sub(1);
                self.ended |= self.depth == 0;
                return self.depth == 1;
            }
            (Place::InString | Place::Outside, _) => {}
        }
        false
    }

    fn keep(&mut self, part: &[u8]) {
        if self.too_large || self.element.len() + part.len() > LARGEST_EVENT {
            self.too_large = true;
            self.element = Vec::new();
        } else {
            self.element.extend_from_slice(part);
        }
    }

    /// Whether the list is closed.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// Elements that were too large to look into.
    pub(super) const fn oversized(&self) -> u64 {
        self.oversized
    }
}

#[cfg(test)]
mod tests {
    use crate::call::{Framing, Seen, Usage, Watch};
    use crate::speech::{Dialect, Operation};

    const FIRST: &str = r#"{"candidates":[{"content":{"parts":[{"text":"a ] \" {"}]},"index":0}],"usageMetadata":{"promptTokenCount":11}}"#;
    const LAST: &str = r#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],
        "usageMetadata":{"promptTokenCount":11,"toolUsePromptTokenCount":2,"cachedContentTokenCount":3,
        "candidatesTokenCount":7,"thoughtsTokenCount":5,"totalTokenCount":25}}"#;
    const USED: Usage = Usage { input: 13, output: 12, cached: 3, reasoning: 5, estimated: false };

    fn seen(framing: Framing, body: &str, size: usize) -> Seen {
        let mut watch = Watch::new(Dialect::Gemini, Operation::Chat, framing);
        body.as_bytes().chunks(size).for_each(|chunk| watch.feed(chunk));
        watch.seen(false)
    }

    #[test]
    fn usage_and_end_are_seen_in_every_framing_and_chunking() {
        let events = format!("data: {FIRST}\r\n\r\ndata: {}\r\n\r\n", LAST.replace('\n', ""));
        let list = format!("[{FIRST},\r\n{LAST}]");
        for (framing, body) in [(Framing::Events, &events), (Framing::List, &list)] {
            for size in [1, 2, 7, 64, 4096] {
                let seen = seen(framing, body, size);
                assert_eq!(
                    (seen.usage, seen.events, seen.finished, seen.failed),
                    (Some(USED), 2, true, false),
                    "{size}"
                );
            }
        }
        assert_eq!(seen(Framing::Whole, LAST, 3).usage, Some(USED));
    }

    #[test]
    fn a_cut_stream_has_no_end_and_an_error_in_one_is_seen() {
        let cut = format!("[{FIRST},\r\n{LAST}");
        assert!(!seen(Framing::List, &cut[..cut.len() - 1], 5).finished);
        assert!(!seen(Framing::Events, &format!("data: {FIRST}\n\n"), 5).finished);
        let failed = r#"{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}"#;
        assert!(seen(Framing::Events, &format!("data: {FIRST}\n\ndata: {failed}\n\n"), 5).failed);
        assert!(seen(Framing::List, &format!("[{FIRST},{failed}]"), 5).failed);
        let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;
        assert!(seen(Framing::Events, &format!("data: {blocked}\n\n"), 9).finished);
    }

    #[test]
    fn an_element_that_is_too_large_is_counted_and_passed_over() {
        let large = format!(r#"{{"candidates":[{{"text":"{}"}}]}}"#, "x".repeat(super::LARGEST_EVENT));
        let seen = seen(Framing::List, &format!("[{large},{LAST}]"), 8192);
        assert_eq!((seen.oversized, seen.events, seen.usage), (1, 1, Some(USED)));
    }

    #[test]
    fn a_list_is_a_stream_only_where_one_was_asked_for() {
        let json = Framing::of("application/json; charset=UTF-8");
        assert_eq!(json.to_call(Dialect::Gemini, true), Framing::List);
        assert_eq!(json.to_call(Dialect::Gemini, false), Framing::Whole);
        assert_eq!(json.to_call(Dialect::OpenAi, true), Framing::Whole);
        assert_eq!(Framing::Events.to_call(Dialect::Gemini, true), Framing::Events);
    }
}
