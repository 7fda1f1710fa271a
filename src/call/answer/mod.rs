//! What comes back: usage, end and failure of an answer, seen while its bytes go by.
//!
//! Bounded memory, any chunking, and next to nothing per chunk: an ordinary event is compared and counted, and only
//! one that reports something is parsed. Changes nothing; `edge` feeds it and settles with what it saw.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::json::{Document, Value};
use super::lines::Lines;
use super::messages::Messages;
use super::sse::{Event, Events};
use super::usage::{Counts, Usage};
use crate::speech::{Dialect, Operation};

mod bedrock;
mod google;
mod vendors;
mod whole;

use google::Elements;
use whole::Scanner;

/// What was seen of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The provider's count, when it gave one.
    pub usage: Option<Usage>,
    /// Bytes of the answer's body that went by.
    pub bytes: u64,
    /// Stream events that carried a piece of the answer; 0 for an answer that is no stream.
    pub events: u64,
    /// Stream events that were too large to look into.
    pub oversized: u64,
    /// Whether the answer came to its own end: a complete body, or the dialect's last stream event.
    pub finished: bool,
    /// Whether the stream carried the dialect's error event.
    pub failed: bool,
}

/// Bytes of a stream event that are not the answer: names, ids, framing. An assumption, and not measured; an
/// estimate is marked as one wherever it is recorded.
const EVENT_OVERHEAD: u64 = 256;

impl Seen {
    /// Output tokens, guessed where the provider counted none: one for each event, or for four bytes beyond what an
    /// event's frame takes, whichever is more. Never billed on.
    #[must_use]
    pub fn estimated_output_tokens(&self) -> u64 {
        let frames = self.events.saturating_mul(EVENT_OVERHEAD);
        self.events.max(self.bytes.saturating_sub(frames) / 4)
    }
}

/// How an answer's body is made up; its media type says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One document.
    Whole,
    /// Server-sent events.
    Events,
    /// One JSON list whose elements are the events: Google's stream without `alt=sse`.
    List,
    /// Amazon's event stream messages.
    Messages,
    /// JSON documents, one a line.
    Lines,
}

impl Framing {
    /// The framing of a media type, parameters and all.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let is = |known: &str| essence.eq_ignore_ascii_case(known);
        if is("text/event-stream") {
            Self::Events
        } else if is("application/vnd.amazon.eventstream") {
            Self::Messages
        // The second is Cohere's, for clients that do not ask for events.
        } else if is("application/x-ndjson") || is("application/stream+json") {
            Self::Lines
        } else {
            Self::Whole
        }
    }

    /// The framing of an answer that says `self` to a call of this dialect, streamed or not.
    #[must_use]
    pub const fn to_call(self, dialect: Dialect, stream: bool) -> Self {
        match (self, dialect, stream) {
            (Self::Whole, Dialect::Gemini, true) => Self::List,
            (other, _, _) => other,
        }
    }

    /// Whether an error event may end it after it was cut. A list that was cut inside an element has no place for one.
    #[must_use]
    pub const fn has_error_event(self) -> bool {
        match self {
            Self::Events | Self::Messages | Self::Lines => true,
            Self::List | Self::Whole => false,
        }
    }

    /// Whether what comes first may leave before the rest has come.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        match self {
            Self::Events | Self::List | Self::Messages | Self::Lines => true,
            Self::Whole => false,
        }
    }
}

/// Watches an answer go by, chunk by chunk, in bounded memory; changes nothing.
#[derive(Debug)]
pub struct Watch {
    dialect: Dialect,
    operation: Operation,
    body: Body,
    bytes: u64,
    tally: Tally,
    /// What the head said of tokens.
    head: Counts,
}

#[derive(Debug)]
enum Body {
    Stream(Events),
    List(Elements),
    Messages(Messages),
    Lines(Lines),
    Whole(Scanner),
}

/// What the events said so far.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    counts: Counts,
    events: u64,
    ended: bool,
    failed: bool,
}

impl Watch {
    /// For an answer in this framing to a call of this dialect and operation.
    #[must_use]
    pub fn new(dialect: Dialect, operation: Operation, framing: Framing) -> Self {
        let body = match framing {
            Framing::Events => Body::Stream(Events::default()),
            Framing::List => Body::List(Elements::default()),
            Framing::Messages => Body::Messages(Messages::default()),
            Framing::Lines => Body::Lines(Lines::default()),
            Framing::Whole => Body::Whole(Scanner::wanting(Counts::reported_in(dialect))),
        };
        Self { dialect, operation, body, bytes: 0, tally: Tally::default(), head: Counts::default() }
    }

    /// Sees the head, in which Amazon Bedrock counts tokens for the families whose bodies do not.
    pub fn see_head(&mut self, head: &http::HeaderMap) {
        if self.dialect == Dialect::Bedrock {
            self.head = bedrock::counts(head);
        }
    }

    /// Bytes of a message that has begun and not ended: they cannot be passed on before an error that is told in the
    /// stream. 0 where another framing sets an error off from what was cut.
    #[must_use]
    pub const fn unfinished(&self) -> usize {
        match &self.body {
            Body::Messages(messages) => messages.unfinished(),
            Body::Stream(_) | Body::List(_) | Body::Lines(_) | Body::Whole(_) => 0,
        }
    }

    /// Whether what comes from here on cannot be told apart any more.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        match &self.body {
            Body::Messages(messages) => messages.is_broken(),
            Body::Stream(_) | Body::List(_) | Body::Lines(_) | Body::Whole(_) => false,
        }
    }

    /// The framing it was made for.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        match &self.body {
            Body::Stream(_) => Framing::Events,
            Body::List(_) => Framing::List,
            Body::Messages(_) => Framing::Messages,
            Body::Lines(_) => Framing::Lines,
            Body::Whole(_) => Framing::Whole,
        }
    }

    /// Sees the next bytes; any chunking gives the same result.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        let (dialect, operation, tally) = (self.dialect, self.operation, &mut self.tally);
        match &mut self.body {
            Body::Stream(events) => events.feed(chunk, |event| tally.take(dialect, operation, event)),
            Body::List(elements) => elements.feed(chunk, |data| tally.take_content(data)),
            Body::Messages(messages) => messages.feed(chunk, |message| tally.take_message(message)),
            Body::Lines(lines) => {
                lines.feed(chunk, |line| tally.take(dialect, operation, Event { name: b"", data: line }));
            }
            Body::Whole(scanner) => scanner.feed(chunk),
        }
    }

    /// Whether the last bytes are the beginning of a line whose end has not come, where lines are what counts.
    #[must_use]
    pub const fn is_within_line(&self) -> bool {
        match &self.body {
            Body::Lines(lines) => lines.is_within_one(),
            Body::Stream(_) | Body::List(_) | Body::Messages(_) | Body::Whole(_) => false,
        }
    }

    /// What was seen. `complete` says that the body's framing came to its end. A last event without its blank line
    /// counts.
    #[must_use]
    pub fn seen(&self, complete: bool) -> Seen {
        let mut tally = self.tally;
        let (finished, oversized) = match &self.body {
            Body::Stream(events) => {
                let mut rest = events.clone();
                rest.feed(b"\n\n", |event| tally.take(self.dialect, self.operation, event));
                // The last event of an image is the image, which may be too large to look into.
                let image = complete && self.operation == Operation::Images && rest.oversized() > 0;
                (tally.ended || image, rest.oversized())
            }
            Body::List(elements) => (elements.ended(), elements.oversized()),
            Body::Messages(messages) => {
                tally.failed |= messages.is_broken();
                (tally.ended, messages.oversized())
            }
            Body::Lines(lines) => {
                let mut rest = lines.clone();
                let last = |line: &[u8]| tally.take(self.dialect, self.operation, Event { name: b"", data: line });
                rest.feed(b"\n", last);
                (tally.ended, rest.oversized())
            }
            Body::Whole(scanner) => {
                for (name, value) in scanner.values() {
                    if let Ok(document) = Document::read(value) {
                        tally.counts.take_member(self.dialect, name, document.root());
                    }
                }
                (complete, 0)
            }
        };
        let Tally { counts, events, failed, .. } = tally;
        Seen { usage: self.usage(counts), bytes: self.bytes, events, oversized, finished, failed }
    }

    fn usage(&self, counts: Counts) -> Option<Usage> {
        match self.operation {
            // Counting uses no tokens, and its answer reports the count, not a usage.
            Operation::CountTokens => Some(Usage::default()),
            Operation::Chat
            | Operation::Completions
            | Operation::Responses
            | Operation::Embeddings
            | Operation::Images
            | Operation::Audio
            | Operation::Moderations
            | Operation::Files
            | Operation::Batches
            | Operation::Rerank
            | Operation::Models
            | Operation::Check
            | Operation::Evaluate => counts.usage(self.dialect).or_else(|| self.head.usage(self.dialect)),
        }
    }
}

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

impl Tally {
    fn take(&mut self, dialect: Dialect, operation: Operation, event: Event<'_>) {
        match (dialect, operation) {
            _ if event.data == b"[DONE]" => self.ended = true,
            (Dialect::Gemini, _) => self.take_content(event.data),
            (Dialect::Anthropic, _) | (_, Operation::Responses | Operation::Images | Operation::Audio) => {
                self.take_typed(event);
            }
            (Dialect::Cohere, _) => self.take_cohere(event),
            (Dialect::Ollama, _) => self.take_line(event.data),
            (Dialect::OpenAi | Dialect::Azure | Dialect::Bedrock | Dialect::Own, _) => self.take_chunk(event),
        }
    }

    /// An event of OpenAI's chat or completions: it has no type; usage and errors are members.
    fn take_chunk(&mut self, event: Event<'_>) {
        self.failed |= event.name == b"error";
        let is_said = |value: &[u8]| !value.starts_with(b"null");
        let (usage, error) = (reports(&USAGE, event.data, is_said), reports(&ERROR, event.data, is_said));
        if !(usage || error) {
            self.events += 1;
            return;
        }
        let Ok(document) = Document::read(event.data) else { return };
        let root = document.root();
        if let Some(report) = root.member("usage") {
            self.counts.take(report);
        }
        self.failed |= root.member("error").is_some_and(|error| !error.is_null());
        self.events += u64::from(root.member("choices").is_some_and(|choices| choices.elements().next().is_some()));
    }

    /// An event of Anthropic's messages or OpenAI's responses: its type says what it is.
    fn take_typed(&mut self, event: Event<'_>) {
        let kind = if event.name.is_empty() { leading_type(event.data) } else { Some(event.name) };
        if let Some(kind) = kind {
            self.take_kind(kind, event.data);
        } else if let Ok(document) = Document::read(event.data) {
            let kind = document.root().member("type").and_then(Value::text);
            self.take_kind(kind.unwrap_or_default().as_bytes(), event.data);
        }
    }

    fn take_kind(&mut self, kind: &[u8], data: &[u8]) {
        match kind {
            b"content_block_delta" | b"image_generation.partial_image" | b"image_edit.partial_image" => {
                self.events += 1;
            }
            b"message_start" => _ = self.take_usage(data, Some("message")),
            b"message_delta" => _ = self.take_usage(data, None),
            // An end counts only when its event is whole: a stream may be cut inside it.
            b"message_stop" => self.ended |= Document::read(data).is_ok(),
            b"error" => self.failed = true,
            b"response.completed" | b"response.incomplete" | b"response.failed" => {
                self.ended |= self.take_usage(data, Some("response"));
                self.failed |= kind == b"response.failed";
            }
            b"transcript.text.done"
            | b"speech.audio.done"
            | b"image_generation.completed"
            | b"image_edit.completed" => {
                self.ended |= self.take_usage(data, None);
            }
            kind if kind.ends_with(b".delta") => self.events += 1,
            _ => {}
        }
    }

    /// Takes the usage of an event in; answers whether the event is whole.
    fn take_usage(&mut self, data: &[u8], inside: Option<&str>) -> bool {
        let Ok(document) = Document::read(data) else { return false };
        let holder = inside.map_or(Some(document.root()), |name| document.root().member(name));
        if let Some(report) = holder.and_then(|holder| holder.member("usage")) {
            self.counts.take(report);
        }
        true
    }
}

/// Whether the data may have a member of this name with such a value. Quotes inside JSON strings are escaped, so the
/// quoted name is a name or a string of its own.
fn reports(name: &Finder<'_>, data: &[u8], is_such: impl Fn(&[u8]) -> bool) -> bool {
    let length = name.needle().len();
    name.find_iter(data).any(|at| {
        let after = data.get(at + length..).unwrap_or_default().trim_ascii_start();
        after.strip_prefix(b":").is_some_and(|value| is_such(value.trim_ascii_start()))
    })
}

/// The type of an event's JSON when it stands first, as both vendors write it.
fn leading_type(data: &[u8]) -> Option<&[u8]> {
    let value = data.strip_prefix(b"{\"type\":")?.trim_ascii_start().strip_prefix(b"\"")?;
    value.get(..memchr::memchr2(b'"', b'\\', value)?)
}

#[cfg(test)]
mod tests;
