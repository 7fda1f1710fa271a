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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};

    use crate::call::{Framing, Seen, Usage, Watch, message};
    use crate::speech::{Dialect, Operation};

    fn event(name: &str, payload: &Value) -> Vec<u8> {
        message(&[(":event-type", name), (":message-type", "event")], payload.to_string().as_bytes())
    }

    fn part(document: &Value) -> Vec<u8> {
        event("chunk", &json!({"bytes": STANDARD.encode(document.to_string()), "p": "abcd"}))
    }

    fn seen(stream: &[Vec<u8>], size: usize) -> Seen {
        let mut watch =
            Watch::new(Dialect::Bedrock, Operation::Chat, Framing::of("application/vnd.amazon.eventstream"));
        stream.concat().chunks(size).for_each(|chunk| watch.feed(chunk));
        watch.seen(true)
    }

    fn usage(input: u64, output: u64, cached: u64) -> Usage {
        Usage { input, output, cached, reasoning: 0, estimated: false }
    }

    #[test]
    fn a_streamed_conversation_reports_usage_and_ends() {
        let stream = [
            event("messageStart", &json!({"role": "assistant"})),
            event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": "metadata"}})),
            event("contentBlockStop", &json!({"contentBlockIndex": 0})),
            event("messageStop", &json!({"stopReason": "end_turn"})),
            event(
                "metadata",
                &json!({"usage": {"inputTokens": 10, "outputTokens": 7, "totalTokens": 27,
                "cacheReadInputTokens": 6, "cacheWriteInputTokens": 4}}),
            ),
        ];
        for size in [1, 13, 4096] {
            let seen = seen(&stream, size);
            assert_eq!((seen.usage, seen.events), (Some(usage(20, 7, 6)), 1));
            assert!(seen.finished && !seen.failed);
        }
        assert!(!seen(&stream[..3], 7).finished);
    }

    #[test]
    fn an_invoked_models_stream_reports_usage_in_its_own_words_and_bedrocks() {
        let metrics = json!({"inputTokenCount": 11, "outputTokenCount": 5, "cacheReadInputTokenCount": 2});
        let claude = [
            part(&json!({"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}})),
            part(&json!({"type": "content_block_delta", "delta": {"text": "x"}})),
            part(&json!({"type": "message_delta", "usage": {"output_tokens": 5}})),
            part(&json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics})),
        ];
        let nova = [
            part(&json!({"contentBlockDelta": {"delta": {"text": "x"}}})),
            part(&json!({"messageStop": {"stopReason": "end_turn"}})),
            part(&json!({"metadata": {"usage": {"inputTokens": 11, "outputTokens": 5, "cacheReadInputTokens": 2}}})),
        ];
        let llama = [
            part(&json!({"generation": "x"})),
            part(&json!({"generation": "", "amazon-bedrock-invocationMetrics": metrics})),
        ];
        for stream in [&claude[..], &nova, &llama] {
            let seen = seen(stream, 9);
            assert_eq!(seen.usage, Some(usage(13, 5, 2)));
            assert!(seen.finished && !seen.failed);
        }
        assert!(!seen(&claude[..3], 9).finished);
    }

    #[test]
    fn an_exception_or_a_broken_message_is_a_failure() {
        let exception = message(
            &[(":exception-type", "throttlingException"), (":message-type", "exception")],
            b"{\"message\":\"slow down\"}",
        );
        assert!(seen(&[event("messageStart", &json!({})), exception], 5).failed);
        let mut broken = event("messageStart", &json!({}));
        broken[9] ^= 1;
        assert!(seen(&[broken], 5).failed);
    }

    #[test]
    fn the_head_counts_where_the_body_does_not() {
        let mut head = HeaderMap::new();
        head.insert("x-amzn-bedrock-input-token-count", HeaderValue::from_static("9"));
        head.insert("x-amzn-bedrock-output-token-count", HeaderValue::from_static("3"));
        let look = |dialect, body: &str| {
            let mut watch = Watch::new(dialect, Operation::Chat, Framing::Whole);
            watch.see_head(&head);
            watch.feed(body.as_bytes());
            watch.seen(true).usage
        };
        assert_eq!(look(Dialect::Bedrock, r#"{"generation":"x"}"#), Some(usage(9, 3, 0)));
        let counted = r#"{"usage":{"input_tokens":2,"cache_read_input_tokens":5,"output_tokens":1}}"#;
        assert_eq!(look(Dialect::Bedrock, counted), Some(usage(7, 1, 5)));
        let within =
            r#"{"usage":{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":5}}}"#;
        assert_eq!(look(Dialect::Bedrock, within), Some(usage(7, 1, 5)));
        assert_eq!(look(Dialect::OpenAi, "{}"), None);
    }
}
