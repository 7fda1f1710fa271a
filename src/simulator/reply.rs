//! The shapes that every dialect shares: a JSON answer, a stream of events, an error.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::speech::Dialect;

/// What goes back before orders change it.
#[derive(Debug)]
pub(super) enum Answer {
    /// One JSON document.
    Whole(StatusCode, Value),
    /// One body of another media type.
    Bytes(&'static str, Bytes),
    /// One JSON document whose tokens the head counts: input, then output.
    Metered(Value, u64, u64),
    /// Server-sent events, each with the blank line that ends it.
    Stream(Vec<Bytes>),
    /// One JSON list in pieces.
    List(Vec<Bytes>),
    /// JSON documents, each with the line feed that ends it.
    Lines(Vec<Bytes>),
    /// Amazon's event stream messages.
    Messages(Vec<Bytes>),
}

impl Answer {
    pub(super) const fn ok(body: Value) -> Self {
        Self::Whole(StatusCode::OK, body)
    }
}

/// One server-sent event without a name, as OpenAI's chat stream sends them.
pub(super) fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// One server-sent event named after its `type`, as Anthropic and OpenAI's responses send them.
pub(super) fn named(value: &Value) -> Bytes {
    let name = value.get("type").and_then(Value::as_str).unwrap_or("message");
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

/// An error in the words of the vendor.
///
/// Sources: the vendors' pages on errors (OpenAI "Error codes", Anthropic and Cohere "Errors", Ollama "Errors").
pub(super) fn error(dialect: Dialect, status: StatusCode, message: &str) -> Answer {
    let body = match dialect {
        Dialect::Anthropic => {
            json!({"type": "error", "error": {"type": anthropic_word(status), "message": message}, "request_id": "req_simulated"})
        }
        Dialect::Gemini => {
            json!({"error": {"code": status.as_u16(), "message": message, "status": google_word(status)}})
        }
        Dialect::Bedrock => json!({"message": message}),
        Dialect::Cohere => json!({"id": "sim-error", "message": message}),
        Dialect::Ollama => json!({"error": message}),
        Dialect::OpenAi | Dialect::Azure | Dialect::Own => {
            let (kind, code) = openai_words(status);
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        }
    };
    Answer::Whole(status, body)
}

/// The canonical code by status (google.rpc.Code).
const fn google_word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

const fn anthropic_word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn openai_words(status: StatusCode) -> (&'static str, Value) {
    match status.as_u16() {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        404 => ("invalid_request_error", json!("unknown_url")),
        429 => ("requests", json!("rate_limit_exceeded")),
        500.. => ("server_error", Value::Null),
        _ => ("invalid_request_error", Value::Null),
    }
}
