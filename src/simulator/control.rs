//! Steering over HTTP, for tests that do not live in this process.
//!
//! | request | does |
//! |---|---|
//! | `GET /sim/requests` | the requests heard: `[{method, target, version, headers: [[name, value]], body: <base64>}]` |
//! | `DELETE /sim/requests` | forgets them, and every order queued or standing |
//! | `GET /sim/stats` | the counts |
//! | `POST /sim/next` `{"times": 3, "orders": "status=503"}` | queues orders |
//! | `POST /sim/always` `{"orders": "delay_ms=50"}` | replaces the standing orders |
//!
//! The gate forwards only to the paths of its route table, so nothing that passes it reaches these.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::ledger::Heard;
use super::orders::Orders;
use super::reply::{self, Answer};
use super::server::State;
use crate::speech::Dialect;

/// What every steering path begins with.
pub(super) const PREFIX: &str = "/sim/";

/// Does what is asked and answers with what came of it.
pub(super) fn obey(state: &State, method: &Method, path: &str, body: &[u8]) -> Answer {
    match (method.as_str(), path) {
        ("GET", "/sim/requests") => Answer::ok(state.ledger.heard().iter().map(shown).collect()),
        ("DELETE", "/sim/requests") => {
            state.ledger.forget();
            state.calm();
            Answer::ok(json!({}))
        }
        ("GET", "/sim/stats") => Answer::ok(json!(state.ledger.stats())),
        ("POST", "/sim/next") => ordered(body, |times, orders| state.queue(times, orders)),
        ("POST", "/sim/always") => ordered(body, |_, orders| state.stand(orders)),
        _ => reply::error(Dialect::OpenAi, StatusCode::NOT_FOUND, "the simulator has no such control"),
    }
}

fn ordered(body: &[u8], carry_out: impl FnOnce(usize, Orders)) -> Answer {
    let bad = |why: &str| reply::error(Dialect::OpenAi, StatusCode::BAD_REQUEST, why);
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return bad("the body is not JSON") };
    let Some(text) = json.get("orders").and_then(Value::as_str) else { return bad("`orders` is no text") };
    let times = json.get("times").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    match Orders::parse(text) {
        Ok(orders) => {
            carry_out(times, orders);
            Answer::ok(json!({}))
        }
        Err(why) => bad(&why.to_string()),
    }
}

fn shown(heard: &Heard) -> Value {
    let headers: Vec<[String; 2]> = heard
        .headers
        .iter()
        .map(|(name, value)| [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()])
        .collect();
    json!({
        "method": heard.method.as_str(), "target": heard.target, "version": format!("{:?}", heard.version),
        "headers": headers, "body": STANDARD.encode(&heard.body),
    })
}
