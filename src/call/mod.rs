//! What is asked: one pure reader per dialect turns the judged bytes into a [`Call`].
//!
//! Strict by design: a body that two parsers could read differently has no reading here. Nothing in this room does
//! I/O; it also reads what comes back (`answer`): usage, finish, output size.

mod json;

use std::ops::Range;

use bytes::Bytes;

use crate::docket::{Docket, Refuses};
use crate::id::{ClaimedModel, TenantId};
use crate::identity::Caller;
use crate::reason::Reason;
use crate::speech::{Operation, Source};

/// Evidence that a caller's bytes were read whole, in exactly one way. Owns the bytes.
#[derive(Debug)]
pub struct Call {
    caller: Caller,
    body: Bytes,
    reading: Reading,
}

/// Why a request was not read. `place` says where and what kind, never what the content was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}")]
pub struct Unreadable {
    reason: Reason,
    place: String,
}

impl Refuses for Unreadable {
    fn reason(&self) -> Reason {
        self.reason
    }
}

/// What a dialect's reader found in the bytes.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) model: ClaimedModel,
    /// Where the model's JSON string stands in the body, quotes included.
    pub(crate) model_at: Range<usize>,
    pub(crate) stream: bool,
    /// The output bound that the call names, in tokens.
    pub(crate) max_output_tokens: Option<u64>,
    /// How many answers it asks for (`n`), at least 1; multiplies the output bound.
    pub(crate) choices: u64,
    /// The prompt that the call names, by header or field.
    pub(crate) prompt: Option<PromptClaim>,
    pub(crate) texts: Texts,
    pub(crate) metadata: Metadata,
}

/// A prompt as a client names it: `support-triage@3`, or without a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptClaim {
    /// The name as sent; not trusted, not recorded unless the registry knows it.
    pub name: String,
    /// The version, when one was named.
    pub version: Option<u32>,
}

impl Call {
    /// Reads `body` as the caller's route says.
    ///
    /// # Errors
    /// [`Unreadable`] with its reason when the route does not exist, the head or the body cannot be read in exactly one
    /// way, no model is named, or something is asked for that the gate does not govern.
    pub fn read(_caller: Caller, _body: Bytes) -> Result<Self, crate::docket::Stopped<Unreadable>> {
        todo!()
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        self.caller.docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        self.caller.docket_mut()
    }

    /// Who calls.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whose policy governs.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        self.caller.tenant()
    }

    /// The model as the client names it.
    #[must_use]
    pub const fn model(&self) -> &ClaimedModel {
        &self.reading.model
    }

    /// What is asked for.
    #[must_use]
    pub fn operation(&self) -> Operation {
        todo!()
    }

    /// Whether the answer is to be a stream.
    #[must_use]
    pub const fn stream(&self) -> bool {
        self.reading.stream
    }

    /// The output bound the call names, all choices together, in tokens.
    #[must_use]
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.reading.max_output_tokens.map(|n| n.saturating_mul(self.reading.choices.max(1)))
    }

    /// How many answers are asked for.
    #[must_use]
    pub fn choices(&self) -> u64 {
        self.reading.choices.max(1)
    }

    /// The prompt the call names.
    #[must_use]
    pub const fn prompt(&self) -> Option<&PromptClaim> {
        self.reading.prompt.as_ref()
    }

    /// Everything a person or machine wrote, in order, JSON escapes decoded.
    pub fn texts(&self) -> impl Iterator<Item = (Source, &str)> {
        self.reading.texts.iter(&self.body)
    }

    /// Facts the client declared in `x-portcullis-metadata`.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.reading.metadata
    }

    /// Input tokens, guessed as one for four bytes of text, at least 1. Never billed on.
    #[must_use]
    pub fn estimated_input_tokens(&self) -> u64 {
        todo!()
    }

    /// The body as judged, with the model's string replaced when `model` is another. All other bytes stay.
    #[must_use]
    pub fn body_for(&self, _model: &str) -> Bytes {
        todo!()
    }
}

/// Pieces of text and who wrote them; ranges into the body, or into text that had escapes to decode.
#[derive(Debug, Default)]
pub(crate) struct Texts {}

impl Texts {
    pub(crate) fn iter<'a>(&'a self, _body: &'a Bytes) -> impl Iterator<Item = (Source, &'a str)> {
        let v: Vec<(Source, &'a str)> = todo!();
        v.into_iter()
    }
}

/// Facts a client declares about its call, in `x-portcullis-metadata` or in `/v1/check`: a flat JSON object of
/// booleans, integers and short strings, and lists of short strings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    values: std::collections::BTreeMap<String, Fact>,
}

/// One declared fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A label. Content for our purposes: recorded as its digest only.
    Text(String),
    /// Labels.
    List(Vec<String>),
}

impl Metadata {
    /// The fact of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.values.get(name)
    }

    /// Whether the fact of this name is declared `true`.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.get(name) == Some(&Fact::Bool(true))
    }

    /// All facts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.values.iter().map(|(name, fact)| (name.as_str(), fact))
    }
}

/// A reading of `POST /v1/check`: facts, never content.
#[derive(Debug)]
pub struct CheckAsk {
    caller: Caller,
    /// The model asked about, when one is named.
    pub model: Option<ClaimedModel>,
    /// The operation asked about: a label of the caller's.
    pub operation: Option<String>,
    /// Declared facts.
    pub metadata: Metadata,
}

/// A reading of `POST /api/evaluate`.
#[derive(Debug)]
pub struct EvaluateAsk {
    caller: Caller,
    /// The customer asked about; it may only be the key's own tenant.
    pub customer: Option<String>,
}

/// A reading of `GET /v1/models`.
#[derive(Debug)]
pub struct ListAsk {
    caller: Caller,
}

/// Tokens as the provider counted them, or as we guessed where it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens that came from the provider's cache.
    pub cached: u64,
    /// Output tokens spent on reasoning.
    pub reasoning: u64,
    /// Whether this is our estimate because the provider gave none.
    pub estimated: bool,
}

/// What was seen of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The provider's count, when it gave one.
    pub usage: Option<Usage>,
    /// Bytes of the answer's body that went by.
    pub bytes: u64,
    /// Whether the answer came to its own end: a complete body, or the dialect's last stream event.
    pub finished: bool,
    /// Whether the stream carried the dialect's error event.
    pub failed: bool,
}

/// Watches an answer go by, chunk by chunk, in bounded memory; changes nothing.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// For an answer with this media type to a call of this dialect and operation.
    #[must_use]
    pub fn new(_dialect: crate::speech::Dialect, _operation: Operation, _event_stream: bool) -> Self {
        todo!()
    }

    /// Sees the next bytes; any chunking gives the same result.
    pub fn feed(&mut self, _chunk: &[u8]) {
        todo!()
    }

    /// What was seen. `complete` says that the body's framing came to its end.
    #[must_use]
    pub fn seen(&self, _complete: bool) -> Seen {
        todo!()
    }
}
