//! Chat completions and the legacy text completions.
//!
//! Shapes: OpenAI's API reference, "Chat", "Chat streaming" and "Completions".

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::CREATED;
use crate::simulator::ask::Ask;
use crate::simulator::reply::{Answer, data};

/// How a tool's result is marked in the last turn.
const RESULTS: &[(&str, &str)] = &[("role", "tool")];

/// `POST /v1/chat/completions`.
pub(in crate::simulator) fn chat(ask: &Ask<'_>) -> Answer {
    let tool = ask.tool("messages", RESULTS);
    let finish = tool.map_or_else(|| finish(ask), |_| "tool_calls");
    if !ask.streamed() {
        let message = match tool {
            Some(name) => {
                json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call(ask, name, "{}")]})
            }
            None => json!({"role": "assistant", "content": ask.pieces().concat(), "refusal": null}),
        };
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish});
        return Answer::ok(document(ask, "chat.completion", &choice));
    }
    let mut deltas =
        vec![json!({"role": "assistant", "content": tool.map_or(json!(""), |_| Value::Null), "refusal": null})];
    match tool {
        Some(name) => {
            deltas.push(json!({"tool_calls": [indexed(call(ask, name, ""))]}));
            deltas
                .extend(["{", "}"].map(|part| json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})));
        }
        None => deltas.extend(ask.pieces().iter().map(|piece| json!({"content": piece}))),
    }
    let mut choices: Vec<Value> = deltas
        .iter()
        .map(|delta| json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}))
        .collect();
    choices.push(json!({"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish}));
    Answer::Stream(stream(ask, "chat.completion.chunk", &choices))
}

/// `POST /v1/completions`.
pub(in crate::simulator) fn completions(ask: &Ask<'_>) -> Answer {
    let choice =
        |text: &str, finish: Value| json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish});
    if !ask.streamed() {
        let choice = choice(&ask.pieces().concat(), json!(finish(ask)));
        return Answer::ok(document(ask, "text_completion", &choice));
    }
    let mut choices: Vec<Value> = ask.pieces().iter().map(|piece| choice(piece, Value::Null)).collect();
    choices.push(choice("", json!(finish(ask))));
    Answer::Stream(stream(ask, "text_completion", &choices))
}

fn finish(ask: &Ask<'_>) -> &'static str {
    if ask.cut_short() { "length" } else { "stop" }
}

fn call(ask: &Ask<'_>, name: &str, arguments: &str) -> Value {
    json!({"id": format!("call_sim{}", ask.number), "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn indexed(mut call: Value) -> Value {
    if let Some(members) = call.as_object_mut() {
        members.insert("index".to_owned(), json!(0));
    }
    call
}

fn envelope(ask: &Ask<'_>, object: &str, choices: Value) -> Map<String, Value> {
    Map::from_iter([
        ("id".to_owned(), json!(format!("chatcmpl-sim{}", ask.number))),
        ("object".to_owned(), json!(object)),
        ("created".to_owned(), json!(CREATED)),
        ("model".to_owned(), json!(ask.model)),
        ("system_fingerprint".to_owned(), json!("fp_simulated")),
        ("choices".to_owned(), choices),
    ])
}

fn usage(ask: &Ask<'_>) -> Value {
    let (input, output) = (ask.input_tokens(), ask.output_tokens());
    json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

fn document(ask: &Ask<'_>, object: &str, choice: &Value) -> Value {
    let mut members = envelope(ask, object, json!([choice]));
    if !ask.orders.no_usage {
        members.insert("usage".to_owned(), usage(ask));
    }
    Value::Object(members)
}

/// A chunk a choice; with `include_usage` each has `usage: null` and one more without choices carries the usage.
fn stream(ask: &Ask<'_>, object: &str, choices: &[Value]) -> Vec<Bytes> {
    let with_usage = ask.flag("/stream_options/include_usage") && !ask.orders.no_usage;
    let chunk = |choices: Value, used: Value| {
        let mut members = envelope(ask, object, choices);
        if with_usage {
            members.insert("usage".to_owned(), used);
        }
        data(&Value::Object(members))
    };
    let mut events: Vec<Bytes> = choices.iter().map(|choice| chunk(json!([choice]), Value::Null)).collect();
    if with_usage {
        events.push(chunk(json!([]), usage(ask)));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}
