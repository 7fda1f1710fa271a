//! Google: the Gemini API and Vertex AI, plain, as events and as one JSON list; and Anthropic's models on Vertex AI.
//!
//! Shapes: Gemini API reference, "Generating content", "Counting tokens" and "Embeddings"; Vertex AI's, "Text embeddings
//! API".

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::Ask;
use super::reply::{Answer, data};
use super::server::Endpoint;
use super::{anthropic, openai};

/// Numbers in a vector unless the caller says otherwise.
const DIMENSIONS: usize = 768;

/// What answers at this place, and the model that it names.
pub(super) fn endpoint<'p>(path: &'p str, query: Option<&str>) -> Option<(Endpoint, Option<&'p str>)> {
    let (name, verb) = path.rsplit_once(':')?;
    let (collection, model) = name.rsplit_once('/')?;
    if collection.ends_with("/publishers/anthropic/models") {
        return match (model, verb) {
            ("count-tokens", "rawPredict") => Some((anthropic::count_tokens, None)),
            (_, "rawPredict" | "streamRawPredict") => Some((anthropic::messages, Some(model))),
            _ => None,
        };
    }
    let is_vertex = collection.ends_with("/publishers/google/models");
    if !is_vertex && !["/v1beta/models", "/v1/models"].contains(&collection) {
        return None;
    }
    let events = query.is_some_and(|query| query.split('&').any(|parameter| parameter == "alt=sse"));
    let endpoint: Endpoint = match verb {
        "generateContent" => generate,
        "streamGenerateContent" if events => stream_events,
        "streamGenerateContent" => stream_list,
        "countTokens" => count_tokens,
        "embedContent" => embed,
        "batchEmbedContents" => batch_embed,
        "predict" if is_vertex => predict,
        _ => return None,
    };
    Some((endpoint, Some(model)))
}

fn generate(ask: &Ask<'_>) -> Answer {
    let part = match tool(ask) {
        Some(name) => call(ask, name),
        None => json!({"text": ask.pieces().concat()}),
    };
    Answer::ok(piece(ask, &part, true))
}

fn stream_events(ask: &Ask<'_>) -> Answer {
    Answer::Stream(pieces(ask).iter().map(data).collect())
}

/// Google's list: a bracket and the first piece, then a comma before each, then the bracket that closes it.
fn stream_list(ask: &Ask<'_>) -> Answer {
    let pieces = pieces(ask);
    let mut sent: Vec<Bytes> = pieces
        .iter()
        .enumerate()
        .map(|(n, piece)| Bytes::from(format!("{}{piece:#}", if n == 0 { "[" } else { ",\r\n" })))
        .collect();
    sent.push(Bytes::from_static(b"\r\n]\r\n"));
    Answer::List(sent)
}

fn pieces(ask: &Ask<'_>) -> Vec<Value> {
    let parts = match tool(ask) {
        Some(name) => vec![call(ask, name)],
        None => ask.pieces().iter().map(|text| json!({"text": text})).collect(),
    };
    let last = parts.len().saturating_sub(1);
    parts.iter().enumerate().map(|(n, part)| piece(ask, part, n == last)).collect()
}

/// The first function that is declared, unless functions are forbidden or its result is there.
fn tool<'a>(ask: &Ask<'a>) -> Option<&'a str> {
    let says = |at: &str| ask.body.pointer(at);
    let last = says("/contents").and_then(Value::as_array).and_then(|contents| contents.last());
    let answered = last
        .and_then(|content| content.get("parts")?.as_array())
        .is_some_and(|parts| parts.iter().any(|part| part.get("functionResponse").is_some()));
    if answered || says("/toolConfig/functionCallingConfig/mode").and_then(Value::as_str) == Some("NONE") {
        return None;
    }
    says("/tools/0/functionDeclarations/0/name")?.as_str()
}

fn call(ask: &Ask<'_>, name: &str) -> Value {
    json!({"functionCall": {"id": format!("call_sim{}", ask.number), "name": name, "args": {}}})
}

fn piece(ask: &Ask<'_>, part: &Value, last: bool) -> Value {
    let content = json!({"role": "model", "parts": [part]});
    let (input, output) = (ask.input_tokens(), ask.output_tokens());
    let (candidate, usage) = if last {
        let finish = if ask.cut_short() { "MAX_TOKENS" } else { "STOP" };
        (
            json!({"content": content, "index": 0, "finishReason": finish}),
            json!({"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output}),
        )
    } else {
        (json!({"content": content, "index": 0}), json!({"promptTokenCount": input, "totalTokenCount": input}))
    };
    let id = format!("sim{}", ask.number);
    if ask.orders.no_usage {
        return json!({"candidates": [candidate], "modelVersion": ask.model, "responseId": id});
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": ask.model, "responseId": id})
}

fn count_tokens(ask: &Ask<'_>) -> Answer {
    Answer::ok(json!({"totalTokens": ask.input_tokens()}))
}

fn embed(ask: &Ask<'_>) -> Answer {
    Answer::ok(json!({
        "embedding": {"values": vector(ask.body, dimensions(ask.body))},
        "usageMetadata": {"promptTokenCount": ask.input_tokens()},
    }))
}

fn batch_embed(ask: &Ask<'_>) -> Answer {
    let vectors = |requests: &Vec<Value>| -> Vec<Value> {
        requests.iter().map(|request| json!({"values": vector(request, dimensions(request))})).collect()
    };
    let embeddings = ask.body.get("requests").and_then(Value::as_array).map(vectors).unwrap_or_default();
    Answer::ok(json!({"embeddings": embeddings}))
}

fn predict(ask: &Ask<'_>) -> Answer {
    let dimensions = ask.body.get("parameters").map_or(DIMENSIONS, dimensions);
    let tokens = ask.input_tokens();
    let predictions: Vec<Value> = ask
        .body
        .get("instances")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|instance| {
            let statistics = json!({"truncated": false, "token_count": tokens});
            json!({"embeddings": {"values": vector(instance, dimensions), "statistics": statistics}})
        })
        .collect();
    Answer::ok(json!({"predictions": predictions, "metadata": {"billableCharacterCount": ask.bytes}}))
}

fn vector(input: &Value, dimensions: usize) -> Vec<f32> {
    let content = input.get("content").unwrap_or(&Value::Null);
    openai::vector(&content.to_string(), dimensions)
}

fn dimensions(settings: &Value) -> usize {
    let asked = settings.get("outputDimensionality").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    asked.unwrap_or(DIMENSIONS).min(openai::MOST_DIMENSIONS)
}
