//! The responses endpoint, plain and as its stream of named events.
//!
//! Shapes: OpenAI's API reference, "Responses" and "Responses streaming events".

use bytes::Bytes;
use serde_json::{Value, json};

use super::CREATED;
use crate::simulator::ask::Ask;
use crate::simulator::reply::{Answer, named};

/// How a tool's result is marked in the last item.
const RESULTS: &[(&str, &str)] = &[("type", "function_call_output")];

/// `POST /v1/responses`.
pub(in crate::simulator) fn responses(ask: &Ask<'_>) -> Answer {
    let tool = ask.tool("input", RESULTS);
    let item = match tool {
        Some(name) => function_call(ask, name, "completed", "{}"),
        None => message(ask, "completed", &json!([text(&ask.pieces().concat())])),
    };
    if !ask.streamed() {
        return Answer::ok(response(ask, "completed", &json!([item])));
    }
    let mut events = vec![
        json!({"type": "response.created", "response": response(ask, "in_progress", &json!([]))}),
        json!({"type": "response.in_progress", "response": response(ask, "in_progress", &json!([]))}),
    ];
    match tool {
        Some(name) => tool_events(ask, name, &mut events),
        None => text_events(ask, &mut events),
    }
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
    events.push(json!({"type": "response.completed", "response": response(ask, "completed", &json!([item]))}));
    Answer::Stream(numbered(events))
}

fn text_events(ask: &Ask<'_>, events: &mut Vec<Value>) {
    let id = item_id(ask);
    let at = json!({"item_id": id, "output_index": 0, "content_index": 0});
    let event = |kind: &str, more: Value| merged(&json!({"type": kind}), &[&at, &more]);
    events.push(json!({"type": "response.output_item.added", "output_index": 0, "item": message(ask, "in_progress", &json!([]))}));
    events.push(event("response.content_part.added", json!({"part": text("")})));
    let pieces = ask.pieces();
    events.extend(
        pieces.iter().map(|piece| event("response.output_text.delta", json!({"delta": piece, "logprobs": []}))),
    );
    let whole = pieces.concat();
    events.push(event("response.output_text.done", json!({"text": whole, "logprobs": []})));
    events.push(event("response.content_part.done", json!({"part": text(&whole)})));
}

fn tool_events(ask: &Ask<'_>, name: &str, events: &mut Vec<Value>) {
    let id = item_id(ask);
    let item = function_call(ask, name, "in_progress", "");
    events.push(json!({"type": "response.output_item.added", "output_index": 0, "item": item}));
    events.extend(["{", "}"].map(
        |part| json!({"type": "response.function_call_arguments.delta", "item_id": id, "output_index": 0, "delta": part}),
    ));
    events.push(json!({"type": "response.function_call_arguments.done", "item_id": id, "output_index": 0, "name": name, "arguments": "{}"}));
}

fn item_id(ask: &Ask<'_>) -> String {
    format!("item_sim{}", ask.number)
}

fn text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn message(ask: &Ask<'_>, status: &str, content: &Value) -> Value {
    json!({"id": item_id(ask), "type": "message", "status": status, "role": "assistant", "content": content})
}

fn function_call(ask: &Ask<'_>, name: &str, status: &str, arguments: &str) -> Value {
    let call = format!("call_sim{}", ask.number);
    json!({"id": item_id(ask), "type": "function_call", "status": status, "call_id": call, "name": name, "arguments": arguments})
}

fn response(ask: &Ask<'_>, status: &str, output: &Value) -> Value {
    let (input, out) = (ask.input_tokens(), ask.output_tokens());
    let usage = if status == "completed" && !ask.orders.no_usage {
        json!({
            "input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": out,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + out,
        })
    } else {
        Value::Null
    };
    json!({
        "id": format!("resp_sim{}", ask.number), "object": "response", "created_at": CREATED, "status": status,
        "model": ask.model, "output": output, "usage": usage, "error": null, "incomplete_details": null,
        "instructions": null, "metadata": {}, "parallel_tool_calls": true, "previous_response_id": null,
        "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled",
        "text": {"format": {"type": "text"}},
    })
}

fn merged(base: &Value, more: &[&Value]) -> Value {
    let objects = std::iter::once(base).chain(more.iter().copied());
    Value::Object(objects.filter_map(Value::as_object).flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
}

fn numbered(events: Vec<Value>) -> Vec<Bytes> {
    (0_u64..)
        .zip(events)
        .map(|(number, event)| named(&merged(&event, &[&json!({"sequence_number": number})])))
        .collect()
}
