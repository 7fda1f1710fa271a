//! A refusal in the words of each vendor's API: the body's shape, the error's type, and the event that ends a stream.
//!
//! The sources are the vendors' pages on errors. What is said is `reply`'s; how a vendor says it stands here.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::call::{self, Framing};
use crate::docket::Docket;
use crate::reason::Reason;
use crate::speech::{Dialect, Operation};

/// The body of an error in the shape of the docket's dialect.
pub(super) fn error_value(docket: &Docket, reason: Reason, status: StatusCode, message: &str) -> Value {
    match docket.dialect {
        Dialect::OpenAi | Dialect::Azure | Dialect::Own => json!({"error": {
            "message": message, "type": openai_type(status), "param": null, "code": reason.code(),
        }}),
        Dialect::Anthropic => json!({
            "type": "error",
            "error": {
                "type": anthropic_type(status), "message": message, "details": {"error_code": reason.code()},
            },
            "request_id": docket.request_id.as_str(),
        }),
        // google.rpc.Status in JSON, with the code where google.rpc.ErrorInfo has it (AIP-193).
        Dialect::Gemini => json!({"error": {
            "code": status.as_u16(), "message": message, "status": google_status(status),
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason.code(), "domain": "portcullis",
            }],
        }}),
        Dialect::Bedrock => json!({"message": message, "code": reason.code()}),
        Dialect::Cohere => json!({"id": docket.request_id.as_str(), "message": message, "code": reason.code()}),
        Dialect::Ollama => json!({"error": message, "code": reason.code()}),
    }
}

/// The last piece of a stream that has begun: one error of the dialect in the stream's framing, set off from whatever
/// was cut before it. `within_line` says that this was a line of a stream of lines.
pub(super) fn error_event(docket: &Docket, framing: Framing, within_line: bool, value: &Value) -> Bytes {
    // A blank line is no JSON, so it may only stand where it ends one that was cut.
    let start = if within_line { "\n" } else { "" };
    Bytes::from(match (framing, docket.dialect, docket.operation) {
        (Framing::Messages, _, _) => return Bytes::from(exception(value)),
        (Framing::Lines, Dialect::Cohere, _) => format!("{start}{}\n", cohere_end(value)),
        (Framing::Lines, _, _) => format!("{start}{value}\n"),
        (_, Dialect::Cohere, _) => format!("\n\nevent: message-end\ndata: {}\n\n", cohere_end(value)),
        (_, Dialect::Anthropic, _) | (_, _, Some(Operation::Responses)) => {
            format!("\n\nevent: error\ndata: {value}\n\n")
        }
        (
            _,
            Dialect::OpenAi | Dialect::Gemini | Dialect::Azure | Dialect::Bedrock | Dialect::Ollama | Dialect::Own,
            _,
        ) => format!("\n\ndata: {value}\n\n"),
    })
}

/// The end of a message that Cohere could not finish (API reference, "Chat Streaming", `message-end`): its SDKs pass over
/// events of types that they do not know.
fn cohere_end(error: &Value) -> Value {
    json!({
        "type": "message-end", "id": error.get("id"), "code": error.get("code"),
        "delta": {"finish_reason": "ERROR", "error": error.get("message")},
    })
}

/// The exception that both of Bedrock's streams know for a model that broke off (API reference, `ConverseStreamOutput`
/// and `ResponseStream`), as a message of an event stream.
fn exception(value: &Value) -> Vec<u8> {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", "modelStreamErrorException"),
        (":content-type", "application/json"),
    ];
    call::message(&headers, value.to_string().as_bytes())
}

/// OpenAI's `type` words by status.
const fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// Anthropic's error types by status (API reference, "Errors").
const fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// The canonical code of Google's APIs by status (google.rpc.Code, "HTTP Mapping").
const fn google_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        502 | 503 => "UNAVAILABLE",
        _ => "INVALID_ARGUMENT",
    }
}

/// Bedrock's exception by status (API reference of `Converse`, "Errors"); its SDKs find it in `x-amzn-errortype`.
pub(super) const fn bedrock_exception(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        429 => "ThrottlingException",
        500 => "InternalServerException",
        502 | 503 => "ServiceUnavailableException",
        _ => "ValidationException",
    }
}
