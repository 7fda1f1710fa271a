//! The words of the gate's own endpoints: health, the model list, the decision and limits APIs.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde_json::{Value, json};

use super::exchange::Reply;
use crate::audit::Action;
use crate::docket::Docket;
use crate::id::ModelId;
use crate::pipeline::Asked;
use crate::quota::{Gauge, Standing};
use crate::reason::Reason;
use crate::speech::Dialect;

/// Open to everybody, recorded nowhere.
pub(super) fn health() -> Reply {
    json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: Bytes) -> Reply {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What the record calls this question.
pub(super) const fn action_of(asked: &Asked) -> Action {
    match asked {
        Asked::Models(_) => Action::List,
        Asked::Check { .. } | Asked::Evaluate { .. } => Action::Check,
    }
}

/// What the gate would refuse, if anything.
pub(super) const fn refusal_of(asked: &Asked) -> Option<Reason> {
    match asked {
        Asked::Check { refused, .. } => *refused,
        Asked::Models(_) | Asked::Evaluate { .. } => None,
    }
}

/// The answer itself.
pub(super) fn answer(docket: &Docket, asked: &Asked) -> Reply {
    let value = match asked {
        Asked::Models(models) => {
            let names = models.iter().map(ModelId::as_str);
            match docket.dialect {
                Dialect::Anthropic => anthropic_models(names),
                Dialect::Gemini => google_models(names),
                Dialect::OpenAi
                | Dialect::Azure
                | Dialect::Bedrock
                | Dialect::Cohere
                | Dialect::Ollama
                | Dialect::Own => openai_models(names),
            }
        }
        Asked::Check { refused, score, reasons } => check(docket, *refused, *score, reasons),
        Asked::Evaluate { standing } => evaluate(docket, standing.as_ref()),
    };
    json(StatusCode::OK, Bytes::from(value.to_string()))
}

/// OpenAI's list (API reference, "List models"). The registry keeps no creation time, so `created` is zero.
fn openai_models<'m>(names: impl Iterator<Item = &'m str>) -> Value {
    let data: Vec<Value> =
        names.map(|name| json!({"id": name, "object": "model", "created": 0, "owned_by": "portcullis"})).collect();
    json!({"object": "list", "data": data})
}

/// Anthropic's list (API reference, "List Models"), always one page.
fn anthropic_models<'m>(names: impl Iterator<Item = &'m str>) -> Value {
    let data: Vec<Value> = names
        .map(|name| json!({"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}))
        .collect();
    let (first, last) = (id_of(data.first()), id_of(data.last()));
    json!({"data": data, "has_more": false, "first_id": first, "last_id": last})
}

/// Google's list (Gemini API reference, "models.list"), always one page. The registry keeps no limits of a model.
fn google_models<'m>(names: impl Iterator<Item = &'m str>) -> Value {
    let models: Vec<Value> = names
        .map(|name| json!({"name": format!("models/{name}"), "displayName": name, "version": "", "supportedGenerationMethods": []}))
        .collect();
    json!({"models": models})
}

fn id_of(entry: Option<&Value>) -> Value {
    entry.and_then(|entry| entry.get("id")).cloned().unwrap_or(Value::Null)
}

fn check(docket: &Docket, refused: Option<Reason>, score: u8, reasons: &[&str]) -> Value {
    let mut words: Vec<&str> = reasons.to_vec();
    if let Some(reason) = refused.filter(|reason| *reason != Reason::RiskBlocked && *reason != Reason::ApprovalRequired)
    {
        words.insert(0, reason.code());
    }
    if words.is_empty() {
        words.push("ok");
    }
    json!({
        "allowed": refused.is_none(),
        "risk_score": score,
        "reason": words.first(),
        "reasons": words,
        "code": refused.map(Reason::code),
        "request_id": docket.request_id.as_str(),
    })
}

fn evaluate(docket: &Docket, standing: Option<&Standing>) -> Value {
    json!({
        "status": "allowed",
        "customer_id": docket.tenant.as_ref().map(crate::id::TenantId::as_str),
        "message": "the request is within the limits",
        "limits": {
            "requests": standing.map(|standing| gauge(&standing.requests)),
            "tokens": standing.and_then(|standing| standing.tokens.as_ref()).map(gauge),
        },
    })
}

fn gauge(gauge: &Gauge) -> Value {
    json!({"limit": gauge.limit, "remaining": gauge.remaining, "reset_ms": u64::try_from(gauge.reset.as_millis()).unwrap_or(u64::MAX)})
}
