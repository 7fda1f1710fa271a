//! Files of batched calls, and batches that run them. Nothing is kept and nothing is run.
//!
//! Shapes: OpenAI's API reference, "Files" and "Batch".

use serde_json::{Value, json};

use super::CREATED;
use crate::simulator::ask::Ask;
use crate::simulator::reply::Answer;

/// `POST /v1/files`.
pub(in crate::simulator) fn files(ask: &Ask<'_>) -> Answer {
    Answer::ok(json!({
        "id": format!("file-sim{}", ask.number), "object": "file", "created_at": CREATED, "filename": "batch.jsonl",
        "bytes": ask.body.pointer("/file/bytes"), "purpose": ask.body.get("purpose"), "status": "processed",
    }))
}

/// `POST /v1/batches`.
pub(in crate::simulator) fn batches(ask: &Ask<'_>) -> Answer {
    let said = |name: &str| ask.body.get(name).cloned().unwrap_or(Value::Null);
    Answer::ok(json!({
        "id": format!("batch_sim{}", ask.number), "object": "batch", "created_at": CREATED, "status": "validating",
        "endpoint": said("endpoint"), "input_file_id": said("input_file_id"),
        "completion_window": said("completion_window"), "metadata": said("metadata"),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
    }))
}
