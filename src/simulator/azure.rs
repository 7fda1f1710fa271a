//! Azure OpenAI: OpenAI's endpoints at Azure's paths, with what its content filter says.
//!
//! Shapes: Azure OpenAI REST reference, "Chat completions", and its page on content filtering.

use serde_json::{Value, json};

use super::ask::Ask;
use super::openai;
use super::reply::{Answer, data};
use super::server::Endpoint;

/// What answers at this path, and the deployment that it names.
pub(super) fn endpoint(path: &str) -> Option<(Endpoint, Option<&str>)> {
    let path = path.strip_prefix("/openai/")?;
    if let Some(deployed) = path.strip_prefix("deployments/") {
        let (deployment, operation) = deployed.split_once('/')?;
        return Some((of(operation)?, Some(deployment)));
    }
    Some((of(path.strip_prefix("v1/").unwrap_or(path))?, None))
}

fn of(operation: &str) -> Option<Endpoint> {
    Some(match operation {
        "chat/completions" => chat,
        "completions" => openai::completions,
        "responses" => openai::responses,
        "embeddings" => openai::embeddings,
        _ => return None,
    })
}

/// What the filter says of something harmless.
fn harmless() -> Value {
    let safe = json!({"filtered": false, "severity": "safe"});
    json!({"hate": safe, "self_harm": safe, "sexual": safe, "violence": safe})
}

fn chat(ask: &Ask<'_>) -> Answer {
    let prompt = json!([{"prompt_index": 0, "content_filter_results": harmless()}]);
    match openai::chat(ask) {
        Answer::Whole(status, mut body) => {
            if let Some(choice) = body.pointer_mut("/choices/0").and_then(Value::as_object_mut) {
                choice.insert("content_filter_results".to_owned(), harmless());
            }
            if let Some(members) = body.as_object_mut() {
                members.insert("prompt_filter_results".to_owned(), prompt);
            }
            Answer::Whole(status, body)
        }
        Answer::Stream(mut events) => {
            events.insert(
                0,
                data(&json!({
                    "id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": prompt,
                })),
            );
            Answer::Stream(events)
        }
        other
        @ (Answer::Bytes(..) | Answer::Metered(..) | Answer::List(_) | Answer::Lines(_) | Answer::Messages(_)) => other,
    }
}
