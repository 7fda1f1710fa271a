//! Amazon Bedrock's runtime: Converse, and the invocation of a few model families, whole and as event streams.
//!
//! Shapes: Amazon Bedrock API reference, `Converse`, `ConverseStream`, `InvokeModel`, `InvokeModelWithResponseStream`,
//! `CountTokens`; user guide, "Inference request parameters and response fields".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::ask::Ask;
use super::reply::Answer;
use super::server::Endpoint;
use super::{anthropic, openai};
use crate::call::message;

/// What answers at this path, and the model that it names.
pub(super) fn endpoint(path: &str) -> Option<(Endpoint, String)> {
    let (model, verb) = path.strip_prefix("/model/")?.split_once('/')?;
    let endpoint: Endpoint = match verb {
        "converse" => converse,
        "converse-stream" => converse_stream,
        "invoke" => invoke,
        "invoke-with-response-stream" => invoke_stream,
        "count-tokens" => |ask| Answer::ok(json!({"inputTokens": ask.input_tokens()})),
        _ => return None,
    };
    Some((endpoint, model.replace("%3A", ":").replace("%2F", "/")))
}

/// The exception of an error in this dialect's shape, for `x-amzn-errortype`.
pub(super) fn exception(status: StatusCode, body: &Value) -> Option<&'static str> {
    body.get("message")?;
    Some(match status.as_u16() {
        400 => "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => return None,
    })
}

fn converse(ask: &Ask<'_>) -> Answer {
    Answer::ok(conversation(ask))
}

fn conversation(ask: &Ask<'_>) -> Value {
    let block = match tool(ask) {
        Some(name) => json!({"toolUse": {"toolUseId": tool_id(ask), "name": name, "input": {}}}),
        None => json!({"text": ask.pieces().concat()}),
    };
    let mut answer = json!({
        "output": {"message": {"role": "assistant", "content": [block]}},
        "stopReason": stop_reason(ask), "metrics": {"latencyMs": 1},
    });
    if !ask.orders.no_usage
        && let Some(members) = answer.as_object_mut()
    {
        members.insert("usage".to_owned(), usage(ask));
    }
    answer
}

fn converse_stream(ask: &Ask<'_>) -> Answer {
    Answer::Messages(steps(ask).iter().map(|(name, payload)| event(name, payload)).collect())
}

/// The events of a streamed conversation.
fn steps(ask: &Ask<'_>) -> Vec<(&'static str, Value)> {
    let mut steps = vec![("messageStart", json!({"role": "assistant"}))];
    let deltas: Vec<Value> = match tool(ask) {
        Some(name) => {
            let start = json!({"toolUse": {"toolUseId": tool_id(ask), "name": name}});
            steps.push(("contentBlockStart", json!({"contentBlockIndex": 0, "start": start})));
            ["{", "}"].map(|part| json!({"toolUse": {"input": part}})).to_vec()
        }
        None => ask.pieces().iter().map(|piece| json!({"text": piece})).collect(),
    };
    steps
        .extend(deltas.into_iter().map(|delta| ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": delta}))));
    steps.push(("contentBlockStop", json!({"contentBlockIndex": 0})));
    steps.push(("messageStop", json!({"stopReason": stop_reason(ask)})));
    if !ask.orders.no_usage {
        steps.push(("metadata", json!({"usage": usage(ask), "metrics": {"latencyMs": 1}})));
    }
    steps
}

/// The body of an invocation's answer is that of the family whose request it was.
fn invoke(ask: &Ask<'_>) -> Answer {
    let has = |name: &str| ask.body.get(name).is_some();
    let text = || ask.pieces().concat();
    let (input, output) = (ask.input_tokens(), ask.output_tokens());
    let body = if has("anthropic_version") {
        anthropic::whole(ask)
    } else if has("schemaVersion") || has("inferenceConfig") {
        conversation(ask)
    } else if has("texts") {
        json!({"id": "sim", "response_type": "embeddings_floats", "embeddings": [[0.25, -0.5]]})
    } else if has("textGenerationConfig") {
        let result = json!({"tokenCount": output, "outputText": text(), "completionReason": "FINISH"});
        json!({"inputTextTokenCount": input, "results": [result]})
    } else if has("inputText") {
        return Answer::Metered(json!({"embedding": [0.25, -0.5], "inputTextTokenCount": input}), input, 0);
    } else if has("query") {
        json!({"results": [{"index": 0, "relevance_score": 0.9}]})
    } else if has("prompt") {
        json!({"generation": text(), "prompt_token_count": input, "generation_token_count": output, "stop_reason": "stop"})
    } else {
        return openai::chat(ask);
    };
    Answer::Metered(body, input, output)
}

fn invoke_stream(ask: &Ask<'_>) -> Answer {
    let has = |name: &str| ask.body.get(name).is_some();
    let mut parts: Vec<Value> = if has("anthropic_version") {
        anthropic::events(ask)
    } else if has("schemaVersion") || has("inferenceConfig") {
        steps(ask).into_iter().map(|(name, payload)| json!({ name: payload })).collect()
    } else {
        ask.pieces().iter().map(|piece| json!({"generation": piece, "stop_reason": null})).collect()
    };
    if let Some(last) = parts.last_mut().and_then(Value::as_object_mut) {
        let metrics = json!({
            "inputTokenCount": ask.input_tokens(), "outputTokenCount": ask.output_tokens(),
            "invocationLatency": 1, "firstByteLatency": 1,
        });
        last.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
    }
    let part = |part: &Value| event("chunk", &json!({"bytes": STANDARD.encode(part.to_string()), "p": "abc"}));
    Answer::Messages(parts.iter().map(part).collect())
}

fn event(name: &str, payload: &Value) -> Bytes {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    Bytes::from(message(&headers, payload.to_string().as_bytes()))
}

/// The first tool declared, unless the last turn brings a result.
fn tool<'a>(ask: &'a Ask<'_>) -> Option<&'a str> {
    let last = ask.body.get("messages").and_then(Value::as_array).and_then(|turns| turns.last());
    let answered = last
        .and_then(|turn| turn.get("content")?.as_array())
        .is_some_and(|content| content.iter().any(|block| block.get("toolResult").is_some()));
    if answered { None } else { ask.body.pointer("/toolConfig/tools/0/toolSpec/name")?.as_str() }
}

fn tool_id(ask: &Ask<'_>) -> String {
    format!("tooluse_sim{}", ask.number)
}

fn stop_reason(ask: &Ask<'_>) -> &'static str {
    match tool(ask) {
        Some(_) => "tool_use",
        None if ask.cut_short() => "max_tokens",
        None => "end_turn",
    }
}

fn usage(ask: &Ask<'_>) -> Value {
    let (input, output) = (ask.input_tokens(), ask.output_tokens());
    json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output})
}
