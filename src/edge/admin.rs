//! The admin plane: is it alive, is it ready, what does it count, what does it know of itself.
//!
//! `/livez` and `/readyz` are for an orchestrator, `/metrics` for Prometheus, `/status` for people. None of them
//! shows content, keys or a tenant's policy.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::exchange::Gate;

/// What the admin plane shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The data plane beside.
    pub gate: Arc<Gate>,
    /// Set when a drain has begun.
    pub draining: CancellationToken,
    /// Where the data plane listens.
    pub listen: String,
    /// Digest of the bootstrap file.
    pub config_digest: String,
}

/// Serves the admin plane until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve_admin(listener: TcpListener, admin: Admin, stop: CancellationToken) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .fallback(nothing_here)
        .with_state(admin);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn live() -> &'static str {
    "ok\n"
}

async fn nothing_here() -> Response {
    let problem = json!({
        "type": "about:blank", "title": "Not Found", "status": 404, "code": "unsupported_operation",
        "detail": "the admin plane has /livez, /readyz, /metrics and /status",
    });
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
}

/// Ready to judge and to record. A refused reload leaves it ready, and degraded.
async fn ready(State(admin): State<Admin>) -> Response {
    let audit = !admin.gate.audit.log().has_failed();
    let draining = admin.draining.is_cancelled();
    let degraded = admin.gate.pipeline.registry.standing().rejected.is_some();
    let word = match (audit, draining, degraded) {
        (false, _, _) => "audit_unavailable",
        (true, true, _) => "draining",
        (true, false, true) => "degraded",
        (true, false, false) => "ready",
    };
    let code = if audit && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"status": word, "registry": registry(&admin), "audit": audit_word(audit)});
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let gate = &admin.gate;
    gate.show_gauges();
    match gate.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{fault}\n")).into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Response {
    let gate = &admin.gate;
    let breakers: Value = gate
        .pipeline
        .stages
        .breakers
        .states()
        .map(|(upstream, state)| (upstream.as_str().to_owned(), Value::from(state.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "listen": admin.listen,
        "config": {"digest": admin.config_digest},
        "trust": {"mode": "none", "note": "approvals are fields of files: who writes the files approves; four eyes rest on file permissions"},
        "registry": registry(&admin),
        "audit": {"state": audit_word(!gate.audit.log().has_failed()), "origin": **gate.audit.log().origin(), "queued": gate.audit.log().state().queued},
        "breakers": breakers,
        "fail_open": [],
        "draining": admin.draining.is_cancelled(),
    });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

const fn audit_word(healthy: bool) -> &'static str {
    if healthy { "writing" } else { "failed" }
}

fn registry(admin: &Admin) -> Value {
    let registry = &admin.gate.pipeline.registry;
    let standing = registry.standing();
    let age = admin.gate.pipeline.clock.utc().signed_duration_since(standing.loaded_at).num_seconds().max(0);
    json!({
        "revision": standing.revision,
        "digest": standing.digest,
        "age_seconds": age,
        "source": registry.policies().display().to_string(),
        "reload_failures": standing.reload_failures,
        "rejected": standing.rejected.as_ref().map(|rejected| json!({
            "at": rejected.at.to_rfc3339(),
            "digest": rejected.digest,
            "faults": rejected.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })),
    })
}
