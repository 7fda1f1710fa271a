//! What the fuzz targets share: a request read as the gate reads it, and what must hold of whatever is accepted.
//!
//! Only the gate's public stages are used: a head arrives, its key is good, the body is read.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use portcullis::arrival::Arrival;
use portcullis::call::{Call, Framing, Watch};
use portcullis::clock::ManualClock;
use portcullis::docket::Role;
use portcullis::id::{Digest, KeyId, TenantId};
use portcullis::identity::{self, KeyRecord, Keyring};
use portcullis::route::{self, ROUTES, Route};
use portcullis::speech::{Dialect, Operation};
use serde_json::Value;

const KEY: &str = "pcl_fuzz_0000000000000000000000000000000000000000000000000000000000000000";

/// The routes of a dialect whose calls are forwarded.
pub fn routes(dialect: Dialect) -> Vec<&'static Route> {
    ROUTES.iter().filter(|route| route.dialect == dialect && !route.operation.is_own()).collect()
}

/// Reads a request to `route` with a good key.
pub fn read(route: &Route, content_type: &str, body: &[u8]) -> Option<Box<Call>> {
    let path = path(route);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {KEY}")).ok()?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).ok()?);
    let clock = ManualClock::at(chrono::DateTime::UNIX_EPOCH);
    let arrival = Arrival::receive(route.method(), &path, None, headers, &clock);
    assert!(arrival.route().is_some(), "{path} is a governed path");
    let caller = identity::authenticate(&keyring(), arrival, chrono::DateTime::UNIX_EPOCH).ok()?;
    Call::read(caller, Bytes::copy_from_slice(body)).ok()
}

/// The path of a route with a name in each of its places.
fn path(route: &Route) -> String {
    let mut path = String::new();
    for (i, part) in route.path.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, rest)) if i > 0 => {
                path.push_str("fuzz-model");
                path.push_str(rest);
            }
            _ => path.push_str(part),
        }
    }
    path
}

fn keyring() -> Keyring {
    let mut keyring = Keyring::default();
    let (Ok(tenant), Ok(id)) = (TenantId::parse("fuzz"), KeyId::parse("fuzz")) else { return keyring };
    let hash = Digest::of(KEY.as_bytes());
    let _none = keyring.add(KeyRecord { tenant, id, hash, roles: Arc::from([Role::Client]), expires: None, disabled: false });
    keyring
}

/// Reads `data` as the body of a route of the dialect, the first byte choosing which, and checks what is accepted: another
/// parser reads the same document, finds the same model, and the bytes that would be sent are those that were read.
pub fn judge_json(dialect: Dialect, data: &[u8]) {
    let routes: Vec<_> = routes(dialect).into_iter().filter(|route| !route.payload.is_form()).collect();
    let Some((first, body)) = data.split_first() else { return };
    let Some(route) = routes.get(usize::from(*first) % routes.len().max(1)) else { return };
    let Some(call) = read(route, "application/json", body) else { return };
    let value: Value = serde_json::from_slice(body).expect("what the gate accepts is JSON to others");
    if let Some(model) = value.get("model").and_then(Value::as_str) {
        assert!(model.ends_with(call.model().as_str()), "the model that others read");
    }
    let own: Vec<String> = call.items().map(|item| item.model().as_str().to_owned()).collect();
    let same = call.body_as(own.iter().map(String::as_str)).expect("its own names fit");
    assert_eq!(same, body, "the bytes as judged");
    if let Some(pinned) = call.body_as(own.iter().map(|_| "another-model")) {
        let pinned: Value = serde_json::from_slice(&pinned).expect("a pinned body is JSON");
        if let Some(model) = pinned.get("model").and_then(Value::as_str) {
            assert!(model.ends_with("another-model"), "the pin stands where the model stood");
        }
    }
    let texts: usize = call.texts().map(|(_, text)| text.len()).sum();
    assert!(texts <= body.len(), "text is part of the body");
}

/// Reads `data` as a form with the boundary `x` at a route that takes forms, the first byte choosing which.
pub fn judge_form(data: &[u8]) {
    let routes: Vec<_> = routes(Dialect::OpenAi).into_iter().filter(|route| route.payload.is_form()).collect();
    let Some((first, body)) = data.split_first() else { return };
    let Some(route) = routes.get(usize::from(*first) % routes.len().max(1)) else { return };
    let Some(call) = read(route, "multipart/form-data; boundary=x", body) else { return };
    assert!(body.starts_with(b"--x\r\n"), "a form begins with its boundary");
    let own: Vec<String> = call.items().map(|item| item.model().as_str().to_owned()).collect();
    let same = call.body_as(own.iter().map(String::as_str)).expect("its own names fit");
    assert_eq!(same, body, "the bytes as judged");
}

/// Any chunking of an answer gives the same figures, and no answer panics.
pub fn watch(data: &[u8]) {
    const KINDS: [&str; 4] =
        ["text/event-stream", "application/json", "application/x-ndjson", "application/vnd.amazon.eventstream"];
    const DIALECTS: [Dialect; 7] = [
        Dialect::OpenAi,
        Dialect::Anthropic,
        Dialect::Gemini,
        Dialect::Azure,
        Dialect::Bedrock,
        Dialect::Cohere,
        Dialect::Ollama,
    ];
    let [kind, dialect, size, body @ ..] = data else { return };
    let framing = Framing::of(KINDS[usize::from(*kind) % KINDS.len()]);
    let dialect = DIALECTS[usize::from(*dialect) % DIALECTS.len()];
    for operation in [Operation::Chat, Operation::Responses] {
        let mut whole = Watch::new(dialect, operation, framing);
        whole.feed(body);
        let mut pieces = Watch::new(dialect, operation, framing);
        for piece in body.chunks(usize::from(*size).max(1)) {
            pieces.feed(piece);
        }
        assert_eq!(whole.seen(true), pieces.seen(true));
        assert_eq!(whole.seen(false), pieces.seen(false));
    }
}

/// A path has at most one route, and the target that is made of it has the same one.
pub fn find(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    for method in [http::Method::GET, http::Method::POST] {
        let Some(matched) = route::find(&method, path) else { continue };
        let model = matched.model().unwrap_or_default();
        let target = matched.target(model);
        let again = route::find(&method, &target).expect("the target of a governed path is governed");
        assert_eq!(again.route(), matched.route());
        assert_eq!(again.model().unwrap_or_default(), model);
        for odd in ["//", "/./", "/../", ";", "\\", "?", "#"] {
            assert!(!path.contains(odd), "{path}");
        }
    }
}
