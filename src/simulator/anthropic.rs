//! Anthropic's messages and token counting.
//!
//! Shapes: Anthropic's API reference, "Messages", "Streaming messages" and "Count message tokens".

use serde_json::{Value, json};

use super::ask::Ask;
use super::reply::{Answer, named};

/// How a tool's result is marked in the last turn.
const RESULTS: &[(&str, &str)] = &[("type", "tool_result")];

/// `POST /v1/messages`.
pub(super) fn messages(ask: &Ask<'_>) -> Answer {
    if ask.streamed() { Answer::Stream(events(ask).iter().map(named).collect()) } else { Answer::ok(whole(ask)) }
}

/// `POST /v1/messages/count_tokens`.
pub(super) fn count_tokens(ask: &Ask<'_>) -> Answer {
    Answer::ok(json!({"input_tokens": ask.input_tokens()}))
}

/// `POST /v1/messages/batches`.
pub(super) fn batches(ask: &Ask<'_>) -> Answer {
    let count = ask.body.get("requests").and_then(Value::as_array).map_or(0, Vec::len);
    Answer::ok(json!({
        "id": format!("msgbatch_sim{}", ask.number), "type": "message_batch", "processing_status": "in_progress",
        "request_counts": {"processing": count, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2026-11-01T00:00:00Z", "expires_at": "2026-11-02T00:00:00Z", "ended_at": null,
        "cancel_initiated_at": null, "archived_at": null, "results_url": null,
    }))
}

/// A message that comes whole.
pub(super) fn whole(ask: &Ask<'_>) -> Value {
    let tool = ask.tool("messages", RESULTS);
    let block = match tool {
        Some(name) => json!({"type": "tool_use", "id": format!("toolu_sim{}", ask.number), "name": name, "input": {}}),
        None => json!({"type": "text", "text": ask.pieces().concat()}),
    };
    let usage = json!({"input_tokens": ask.input_tokens(), "output_tokens": ask.output_tokens()});
    message(ask, &json!([block]), &json!(stop_reason(ask, tool)), &usage)
}

fn message(ask: &Ask<'_>, content: &Value, stop_reason: &Value, usage: &Value) -> Value {
    json!({
        "id": format!("msg_sim{}", ask.number), "type": "message", "role": "assistant", "model": ask.model,
        "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    })
}

fn stop_reason(ask: &Ask<'_>, tool: Option<&str>) -> &'static str {
    match tool {
        Some(_) => "tool_use",
        None if ask.cut_short() => "max_tokens",
        None => "end_turn",
    }
}

/// The events of a streamed message.
pub(super) fn events(ask: &Ask<'_>) -> Vec<Value> {
    let tool = ask.tool("messages", RESULTS);
    let begun = json!({"input_tokens": ask.input_tokens(), "output_tokens": 1});
    let (block, deltas): (Value, Vec<Value>) = match tool {
        Some(name) => (
            json!({"type": "tool_use", "id": format!("toolu_sim{}", ask.number), "name": name, "input": {}}),
            ["", "{", "}"].iter().map(|part| json!({"type": "input_json_delta", "partial_json": part})).collect(),
        ),
        None => (
            json!({"type": "text", "text": ""}),
            ask.pieces().iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
        ),
    };
    let mut events = vec![
        json!({"type": "message_start", "message": message(ask, &json!([]), &Value::Null, &begun)}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
    ];
    events.extend(deltas.into_iter().map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    events.push(json!({"type": "content_block_stop", "index": 0}));
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(ask, tool), "stop_sequence": null},
        "usage": {"output_tokens": ask.output_tokens()},
    }));
    events.push(json!({"type": "message_stop"}));
    events
}
