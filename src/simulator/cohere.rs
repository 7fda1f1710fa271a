//! Cohere's chat, embeddings and rerank, version 2.
//!
//! Shapes: Cohere's API reference, "Chat", "Chat Streaming", "Embed" and "Rerank" of v2.

use serde_json::{Value, json};

use super::ask::Ask;
use super::openai::{base64, vector};
use super::reply::{Answer, named};

/// How a tool's result is marked in the last turn.
const RESULTS: &[(&str, &str)] = &[("role", "tool")];

/// What Cohere bills less than its model reads: the tokens that it puts around a call itself.
const OWN_TOKENS: u64 = 3;

/// `POST /v2/chat`.
pub(super) fn chat(ask: &Ask<'_>) -> Answer {
    let tool = ask.tool("messages", RESULTS);
    if ask.streamed() { Answer::Stream(stream(ask, tool)) } else { Answer::ok(whole(ask, tool)) }
}

fn whole(ask: &Ask<'_>, tool: Option<&str>) -> Value {
    let message = match tool {
        Some(name) => json!({"role": "assistant", "tool_plan": "I will ask.", "tool_calls": [call(ask, name, "{}")]}),
        None => json!({"role": "assistant", "content": [{"type": "text", "text": ask.pieces().concat()}]}),
    };
    let mut answer = json!({"id": id(ask), "finish_reason": finish(ask, tool), "message": message});
    report(ask, &mut answer);
    answer
}

fn stream(ask: &Ask<'_>, tool: Option<&str>) -> Vec<bytes::Bytes> {
    let start = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    let mut events = vec![json!({"type": "message-start", "id": id(ask), "delta": {"message": start}})];
    let event = |kind: &str, message: Value| json!({"type": kind, "index": 0, "delta": {"message": message}});
    if let Some(name) = tool {
        events.push(json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will ask."}}}));
        events.push(event("tool-call-start", json!({"tool_calls": call(ask, name, "")})));
        events.extend(
            ["{", "}"].map(|part| event("tool-call-delta", json!({"tool_calls": {"function": {"arguments": part}}}))),
        );
        events.push(json!({"type": "tool-call-end", "index": 0}));
    } else {
        events.push(event("content-start", json!({"content": {"type": "text", "text": ""}})));
        let pieces = ask.pieces();
        events.extend(pieces.iter().map(|piece| event("content-delta", json!({"content": {"text": piece}}))));
        events.push(json!({"type": "content-end", "index": 0}));
    }
    let mut end = json!({"finish_reason": finish(ask, tool)});
    report(ask, &mut end);
    events.push(json!({"type": "message-end", "id": id(ask), "delta": end}));
    events.iter().map(named).collect()
}

fn id(ask: &Ask<'_>) -> String {
    format!("sim-{}", ask.number)
}

fn finish(ask: &Ask<'_>, tool: Option<&str>) -> &'static str {
    match tool {
        Some(_) => "TOOL_CALL",
        None if ask.cut_short() => "MAX_TOKENS",
        None => "COMPLETE",
    }
}

fn call(ask: &Ask<'_>, name: &str, arguments: &str) -> Value {
    json!({"id": format!("{name}_sim{}", ask.number), "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// Puts the usage in, unless none is to be reported.
fn report(ask: &Ask<'_>, answer: &mut Value) {
    let Some(members) = answer.as_object_mut().filter(|_| !ask.orders.no_usage) else { return };
    let (input, output) = (ask.input_tokens(), ask.output_tokens());
    let usage = json!({
        "billed_units": {"input_tokens": input.saturating_sub(OWN_TOKENS), "output_tokens": output},
        "tokens": {"input_tokens": input, "output_tokens": output},
    });
    members.insert("usage".to_owned(), usage);
}

/// `POST /v2/embed`.
pub(super) fn embed(ask: &Ask<'_>) -> Answer {
    let list = |name: &str| ask.body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let texts = list("texts");
    let inputs = texts.iter().cloned().chain(list("images")).chain(list("inputs")).map(|input| input.to_string());
    let length = ask.body.get("output_dimension").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let vectors: Vec<Vec<f32>> = inputs.map(|input| vector(&input, length.unwrap_or(1024).min(4096))).collect();
    let is_asked = |kind: &Value| kind == "base64";
    let embeddings = if list("embedding_types").iter().any(is_asked) {
        json!({"base64": vectors.iter().map(|vector| base64(vector)).collect::<Vec<_>>()})
    } else {
        json!({"float": vectors})
    };
    Answer::ok(json!({
        "id": id(ask), "embeddings": embeddings, "texts": texts, "response_type": "embeddings_by_type",
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": ask.input_tokens()}},
    }))
}

/// `POST /v2/rerank`: the later a document stands, the less relevant it is.
pub(super) fn rerank(ask: &Ask<'_>) -> Answer {
    let count = ask.body.get("documents").and_then(Value::as_array).map_or(0, Vec::len);
    let most = ask.body.get("top_n").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(count);
    let results: Vec<Value> = (0_u32..)
        .take(count.min(most))
        .map(|index| json!({"index": index, "relevance_score": 1.0 / f64::from(index + 1)}))
        .collect();
    Answer::ok(json!({
        "id": id(ask), "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }))
}
