//! Ollama's chat, completions and embeddings: plain, and as lines of JSON unless the caller wants no stream.
//!
//! Shapes: Ollama's API documentation.

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::Ask;
use super::openai::vector;
use super::reply::Answer;

/// How a tool's result is marked in the last turn.
const RESULTS: &[(&str, &str)] = &[("role", "tool")];

/// When everything was made.
const CREATED: &str = "2026-09-21T13:33:20Z";

/// Numbers in a vector unless the caller says otherwise.
const DIMENSIONS: usize = 768;

/// `POST /api/chat`.
pub(super) fn chat(ask: &Ask<'_>) -> Answer {
    let tool = ask.tool("messages", RESULTS);
    let said = |text: &str| json!({"message": {"role": "assistant", "content": text}});
    let pieces = match tool {
        // Ollama sends a call whole.
        Some(name) => vec![json!({"message": {
            "role": "assistant", "content": "", "tool_calls": [{"function": {"name": name, "arguments": {}}}],
        }})],
        None => texts(ask).iter().map(|piece| said(piece)).collect(),
    };
    answer(ask, &pieces, &said(""))
}

/// `POST /api/generate`.
pub(super) fn generate(ask: &Ask<'_>) -> Answer {
    let said = |text: &str| json!({"response": text});
    let pieces: Vec<Value> = texts(ask).iter().map(|piece| said(piece)).collect();
    answer(ask, &pieces, &said(""))
}

/// The text in the pieces of a stream, or in one.
fn texts(ask: &Ask<'_>) -> Vec<String> {
    if is_streamed(ask) { ask.pieces() } else { vec![ask.pieces().concat()] }
}

fn is_streamed(ask: &Ask<'_>) -> bool {
    ask.body.get("stream").and_then(Value::as_bool) != Some(false)
}

/// A line a piece and one more with the counts, or all in one document.
fn answer(ask: &Ask<'_>, pieces: &[Value], nothing: &Value) -> Answer {
    let reason = if ask.cut_short() { "length" } else { "stop" };
    let end = json!({"done": true, "done_reason": reason, "total_duration": 5_000_000});
    let counts = if ask.orders.no_usage {
        json!({})
    } else {
        json!({"prompt_eval_count": ask.input_tokens(), "eval_count": ask.output_tokens()})
    };
    if !is_streamed(ask) {
        let whole = pieces.first().unwrap_or(nothing);
        return Answer::ok(document(ask, &[whole, &end, &counts]));
    }
    let going_on = json!({"done": false});
    let mut lines: Vec<Value> = pieces.iter().map(|piece| document(ask, &[piece, &going_on])).collect();
    lines.push(document(ask, &[nothing, &end, &counts]));
    Answer::Lines(lines.iter().map(|line| Bytes::from(format!("{line}\n"))).collect())
}

fn document(ask: &Ask<'_>, parts: &[&Value]) -> Value {
    let head = json!({"model": ask.model, "created_at": CREATED});
    let members = std::iter::once(&head).chain(parts.iter().copied()).filter_map(Value::as_object).flatten();
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// `POST /api/embed`.
pub(super) fn embed(ask: &Ask<'_>) -> Answer {
    let input = ask.body.get("input").cloned().unwrap_or_default();
    let inputs = input.as_array().cloned().unwrap_or_else(|| vec![input]);
    let length = ask.body.get("dimensions").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let length = length.unwrap_or(DIMENSIONS).min(4096);
    let embeddings: Vec<Vec<f32>> = inputs.iter().map(|input| vector(&input.to_string(), length)).collect();
    Answer::ok(json!({
        "model": ask.model, "embeddings": embeddings, "total_duration": 5_000_000,
        "prompt_eval_count": ask.input_tokens(),
    }))
}

/// `POST /api/embeddings`.
pub(super) fn embeddings(ask: &Ask<'_>) -> Answer {
    let prompt = ask.body.get("prompt").and_then(Value::as_str).unwrap_or_default();
    Answer::ok(json!({"embedding": vector(prompt, DIMENSIONS)}))
}
