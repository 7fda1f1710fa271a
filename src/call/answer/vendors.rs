//! The streams of vendors that have their own ways: Cohere's typed events and Ollama's lines.
//!
//! Sources: Cohere's API reference, "Chat Streaming" of v2; Ollama's API documentation, "Generate a chat completion".

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{Document, ERROR, Event, Tally, Value, leading_type, reports};

static DONE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"done\""));

impl Tally {
    /// An event of Cohere's chat: its type says what it is, and the last one has usage and error in its `delta`.
    pub(super) fn take_cohere(&mut self, event: Event<'_>) {
        match if event.name.is_empty() { leading_type(event.data) } else { Some(event.name) } {
            Some(b"content-delta" | b"tool-call-delta" | b"tool-plan-delta") => self.events += 1,
            Some(b"message-end") | None => self.take_cohere_end(event.data),
            Some(b"error") => self.failed = true,
            Some(_) => {}
        }
    }

    /// The event that ends a message, or one whose type does not stand where it always does.
    fn take_cohere_end(&mut self, data: &[u8]) {
        let Ok(document) = Document::read(data) else { return };
        let root = document.root();
        let kind = root.member("type").and_then(Value::text);
        if kind.as_deref() != Some("message-end") {
            self.events += u64::from(kind.is_some_and(|kind| kind.ends_with("-delta")));
            return;
        }
        self.ended = true;
        let Some(delta) = root.member("delta") else { return };
        if let Some(usage) = delta.member("usage") {
            self.counts.take_cohere(usage);
        }
        let broke_off = |reason: &str| matches!(reason, "ERROR" | "TIMEOUT");
        self.failed |= delta.member("error").is_some_and(|error| !error.is_null())
            || delta.member("finish_reason").and_then(Value::text).is_some_and(|reason| broke_off(&reason));
    }

    /// A line of Ollama's: a piece of the answer, the last one with its counts, or an error.
    pub(super) fn take_line(&mut self, line: &[u8]) {
        let done = reports(&DONE, line, |value| value.starts_with(b"true"));
        if !(done || reports(&ERROR, line, |value| !value.starts_with(b"null"))) {
            self.events += 1;
            return;
        }
        let Ok(document) = Document::read(line) else { return };
        let root = document.root();
        self.failed |= root.member("error").is_some_and(|error| !error.is_null());
        if root.member("done").and_then(Value::boolean) == Some(true) {
            self.ended = true;
            self.counts.take_ollama(root);
        }
    }
}
