//! What Amazon Bedrock's answers say of usage and end: in the messages of a stream, and in the head.
//!
//! Sources: Amazon Bedrock API reference, `ConverseStreamOutput`, `ResponseStream`, `PayloadPart`; user guide, the
//! streaming responses of each model family.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::{Document, Tally, Value};
use crate::call::messages::Message;
use crate::call::usage::Counts;

/// What the last chunk of an invoked model's stream carries.
const METRICS: &str = "amazon-bedrock-invocationMetrics";

/// The tokens that a head counts.
pub(super) fn counts(head: &HeaderMap) -> Counts {
    let count = |name: &str| head.get(name)?.to_str().ok()?.parse().ok();
    Counts::stated(count("x-amzn-bedrock-input-token-count"), count("x-amzn-bedrock-output-token-count"))
}

impl Tally {
    /// A message of Converse's stream, or one that carries a piece of an invoked model's own stream.
    pub(super) fn take_message(&mut self, message: Message<'_>) {
        if message.kind != b"event" {
            self.failed = true;
            return;
        }
        match message.name {
            b"contentBlockDelta" => self.events += 1,
            b"messageStop" => self.ended = true,
            b"metadata" => _ = self.take_usage(message.payload, None),
            b"chunk" => self.take_part(message.payload),
            _ => {}
        }
    }

    /// `{"bytes": <base64>}`: a document in the words of the model's family.
    fn take_part(&mut self, payload: &[u8]) {
        let part = Document::read(payload).ok().and_then(|part| {
            let bytes = part.root().member("bytes").and_then(Value::text)?;
            STANDARD.decode(bytes.as_bytes()).ok()
        });
        let Some(bytes) = part else { return };
        let Ok(document) = Document::read(&bytes) else { return };
        let root = document.root();
        if let Some(metrics) = root.member(METRICS) {
            self.counts.take(metrics);
            self.ended = true;
        }
        if let Some(kind) = root.member("type").and_then(Value::text) {
            self.take_kind(kind.as_bytes(), &bytes);
            return;
        }
        // Nova puts Converse's events into its chunks; other families have no types.
        if let Some(report) = root.member("metadata").and_then(|metadata| metadata.member("usage")) {
            self.counts.take(report);
        } else if let Some(report) = root.member("usage") {
            self.counts.take(report);
        }
        self.ended |= root.member("messageStop").is_some();
        self.events += u64::from(root.member(METRICS).is_none() || root.member("generation").is_some());
    }
}
