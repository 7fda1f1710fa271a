//! The listener, and what happens to one request.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ask::Ask;
use super::body::Script;
use super::ledger::{Heard, Ledger};
use super::orders::Orders;
use super::reply::{self, Answer};
use super::wire::{Swap, Wire};
use super::{anthropic, azure, bedrock, cohere, control, form, google, gzip, ollama, openai, sigv4};
use crate::route::likely_dialect;
use crate::secret::Secret;
use crate::speech::Dialect;

/// Most connections at once; more wait in the listen queue.
const CONNECTIONS: usize = 2048;

/// Longest body that is read, in bytes.
const BODY_LIMIT_BYTES: usize = 32 << 20;

/// Most orders that may wait; more are dropped, the newest first.
const QUEUE: usize = 10_000;

/// How long a connection may take over one request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What one running simulator knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) ledger: Arc<Ledger>,
    key: Mutex<Option<Secret>>,
    queued: Mutex<VecDeque<Orders>>,
    standing: Mutex<Orders>,
}

impl State {
    pub(super) fn expect_key(&self, key: &str) {
        *self.key.lock() = Some(Secret::new(key.to_owned()));
    }

    pub(super) fn queue(&self, times: usize, orders: Orders) {
        let mut queued = self.queued.lock();
        let room = QUEUE.saturating_sub(queued.len());
        queued.extend(std::iter::repeat_n(orders, times.min(room)));
    }

    pub(super) fn stand(&self, orders: Orders) {
        *self.standing.lock() = orders;
    }

    /// Forgets what is queued and what stands.
    pub(super) fn calm(&self) {
        self.queued.lock().clear();
        self.stand(Orders::default());
    }

    fn admits(&self, head: &http::request::Parts, body: &[u8]) -> bool {
        let key = self.key.lock();
        let Some(key) = key.as_ref() else { return true };
        let headers = &head.headers;
        if sigv4::claims(headers) {
            return sigv4::is_signed(head, body, key.expose());
        }
        let carried = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = carried("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let vendors = ["x-api-key", "api-key", "x-goog-api-key"].into_iter().filter_map(carried);
        bearer.into_iter().chain(vendors).any(|found| found == key.expose())
    }
}

/// Binds `addr` and answers the listener with the address it got.
pub(super) async fn bind(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// Accepts until `ending`, each connection in a task of its own.
pub(super) async fn accept(listener: TcpListener, state: Arc<State>, tasks: TaskTracker, ending: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let every = async {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            // A failed accept is the caller's or a lack of descriptors; the next one may work.
            let Ok((stream, _)) = listener.accept().await else { continue };
            state.ledger.connected();
            let connection = converse(stream, Arc::clone(&state), tasks.clone(), ending.clone());
            tasks.spawn(async move {
                connection.await;
                drop(permit);
            });
        }
    };
    let _stopped = ending.run_until_cancelled(every).await;
}

/// Spawns what HTTP/2 needs into the simulator's own tasks, and ends it with them.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker, CancellationToken);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tracked {
    fn execute(&self, task: F) {
        let ending = self.1.clone();
        self.0.spawn(async move {
            let _ended = ending.run_until_cancelled(task).await;
        });
    }
}

async fn converse(stream: TcpStream, state: Arc<State>, tasks: TaskTracker, ending: CancellationToken) {
    // Without it the pieces of a stream are held back for the peer's acknowledgement.
    let _best_effort = stream.set_nodelay(true);
    let swap = Swap::default();
    let io = TokioIo::new(Wire::new(stream, swap.clone()));
    let service = service_fn(move |request| {
        let (state, swap) = (Arc::clone(&state), swap.clone());
        async move { Ok::<_, Infallible>(exchange(&state, &swap, request).await) }
    });
    let mut server = auto::Builder::new(Tracked(tasks, ending.clone()));
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(1024);
    // How a connection ends is the peer's affair; what matters is in the ledger.
    let _end = ending.run_until_cancelled(server.serve_connection(io, service)).await;
}

async fn exchange(state: &State, swap: &Swap, request: Request<Incoming>) -> Response<Script> {
    let (head, body) = request.into_parts();
    let dialect = vendor(head.uri.path());
    let Ok(body) = Limited::new(body, BODY_LIMIT_BYTES).collect().await else {
        let refused = reply::error(dialect, StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broke off");
        return respond(refused, &Orders::default(), 0);
    };
    let body = body.to_bytes();
    if head.uri.path().starts_with(control::PREFIX) {
        return respond(control::obey(state, &head.method, head.uri.path(), &body), &Orders::default(), 0);
    }
    let answering = state.ledger.answering();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let (method, uri, version) = (head.method.clone(), head.uri.clone(), head.version);
    let (admitted, fields) = (state.admits(&head, &body), head.headers.clone());
    let number =
        state.ledger.hear(Heard { method: head.method, target, version, headers: head.headers, body: body.clone() });
    let (answer, orders) = if admitted {
        answer(state, dialect, (&method, &uri, &fields), &body, number)
    } else {
        state.ledger.unauthorized();
        let refused =
            reply::error(dialect, StatusCode::UNAUTHORIZED, "the simulated vendor does not know this API key");
        (refused, Orders::default())
    };
    tokio::time::sleep(orders.delay).await;
    let spoils = version != Version::HTTP_2;
    let response = match orders.framing.filter(|_| spoils) {
        Some(framing) => {
            let (media, bytes) = flat(&answer);
            swap.put(framing.spoil(media, &bytes));
            closing()
        }
        None => respond(answer, &orders, number),
    };
    response.map(|script| script.counted(answering))
}

/// What answers a request.
pub(super) type Endpoint = fn(&Ask<'_>) -> Answer;

/// Whose API a path belongs to.
fn vendor(path: &str) -> Dialect {
    if path.contains("/publishers/anthropic/") {
        Dialect::Anthropic
    } else if path.starts_with("/v1/models/") {
        Dialect::Gemini
    } else {
        likely_dialect(path)
    }
}

/// What answers at this place, and the model that the path names.
fn endpoint(uri: &Uri) -> Option<(Endpoint, Option<Cow<'_, str>>)> {
    let own: Endpoint = match uri.path() {
        "/v1/chat/completions" => openai::chat,
        "/v1/completions" => openai::completions,
        "/v1/responses" => openai::responses,
        "/v1/embeddings" => openai::embeddings,
        "/v1/images/generations" | "/v1/images/variations" => openai::images,
        "/v1/images/edits" => openai::edits,
        "/v1/audio/speech" => openai::speech,
        "/v1/audio/transcriptions" | "/v1/audio/translations" => openai::heard,
        "/v1/moderations" => openai::moderations,
        "/v1/files" => openai::files,
        "/v1/batches" => openai::batches,
        "/v1/messages/batches" => anthropic::batches,
        "/v1/messages" => anthropic::messages,
        "/v1/messages/count_tokens" => anthropic::count_tokens,
        "/v2/chat" => cohere::chat,
        "/v2/embed" => cohere::embed,
        "/v2/rerank" => cohere::rerank,
        "/api/chat" => ollama::chat,
        "/api/generate" => ollama::generate,
        "/api/embed" => ollama::embed,
        "/api/embeddings" => ollama::embeddings,
        path => {
            let plain = google::endpoint(path, uri.query()).or_else(|| azure::endpoint(path));
            let plain = plain.map(|(endpoint, model)| (endpoint, model.map(Cow::Borrowed)));
            return plain.or_else(|| bedrock::endpoint(path).map(|(endpoint, model)| (endpoint, Some(model.into()))));
        }
    };
    Some((own, None))
}

/// What the request gets, and the orders it got it by.
fn answer(
    state: &State,
    dialect: Dialect,
    asked: (&Method, &Uri, &HeaderMap),
    body: &Bytes,
    number: u64,
) -> (Answer, Orders) {
    let refuse = |status, message: &str| (reply::error(dialect, status, message), Orders::default());
    let Some((endpoint, named)) = endpoint(asked.1).filter(|_| asked.0 == Method::POST) else {
        state.ledger.unknown_path();
        return refuse(StatusCode::NOT_FOUND, "the simulated vendor does not serve this method and path");
    };
    let Some(json) = form::fields(asked.2, body).or_else(|| serde_json::from_slice::<Value>(body).ok()) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is neither JSON nor a form");
    };
    let names_none = ["/v1/files", "/v1/batches", "/v1/messages/batches"].contains(&asked.1.path());
    let model =
        named.as_deref().or_else(|| json.get("model").and_then(Value::as_str)).or_else(|| names_none.then_some(""));
    let Some(model) = model else {
        return refuse(StatusCode::BAD_REQUEST, "the body names no model");
    };
    let orders = match orders(state, &json) {
        Ok(orders) => orders,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why.to_string()),
    };
    let failing = orders.status.and_then(|status| StatusCode::from_u16(status).ok()).filter(|s| !s.is_success());
    let answer = match failing {
        Some(status) => reply::error(dialect, status, "the simulated vendor was ordered to fail"),
        None => endpoint(&Ask { body: &json, model, orders: &orders, bytes: body.len(), number }),
    };
    (answer, orders)
}

/// Queued orders first, then the request's own, then the standing ones; they are not mixed.
fn orders(state: &State, json: &Value) -> Result<Orders, super::BadOrder> {
    if let Some(queued) = state.queued.lock().pop_front() {
        return Ok(queued);
    }
    let places = ["/user", "/metadata/user_id", "/labels/user", "/requestMetadata/user"];
    let user = places.iter().find_map(|place| json.pointer(place)?.as_str());
    let own = user.map(Orders::in_user).transpose()?.flatten();
    Ok(own.unwrap_or_else(|| state.standing.lock().clone()))
}

/// Media type and all bytes of an answer.
fn flat(answer: &Answer) -> (&'static str, Bytes) {
    match answer {
        Answer::Whole(_, json) | Answer::Metered(json, ..) => ("application/json", Bytes::from(json.to_string())),
        Answer::Bytes(media, bytes) => (media, bytes.clone()),
        Answer::Stream(events) => ("text/event-stream; charset=utf-8", Bytes::from(events.concat())),
        Answer::List(pieces) => ("application/json; charset=UTF-8", Bytes::from(pieces.concat())),
        Answer::Lines(lines) => ("application/x-ndjson", Bytes::from(lines.concat())),
        Answer::Messages(messages) => ("application/vnd.amazon.eventstream", Bytes::from(messages.concat())),
    }
}

/// The answer as ordered, with the kinds of header that a vendor sends and a gate must not pass on.
fn respond(answer: Answer, orders: &Orders, number: u64) -> Response<Script> {
    let (media, whole) = flat(&answer);
    let metered = if let Answer::Metered(_, input, output) = &answer { Some((*input, *output)) } else { None };
    let exception = if let Answer::Whole(status, json) = &answer { bedrock::exception(*status, json) } else { None };
    let (status, pieces) = match answer {
        Answer::Whole(status, _) => (status, None),
        Answer::Bytes(..) | Answer::Metered(..) => (StatusCode::OK, None),
        Answer::Stream(pieces) | Answer::List(pieces) | Answer::Lines(pieces) | Answer::Messages(pieces) => {
            (StatusCode::OK, Some(pieces))
        }
    };
    let whole = if orders.gzip { gzip::member(&whole).into() } else { whole };
    let script = match pieces {
        None => Script::whole(whole, orders.cut_after.is_some()),
        Some(_) if orders.gzip => Script::stream(vec![whole], orders.pause, orders.cut_after),
        Some(pieces) => Script::stream(pieces, orders.pause, orders.cut_after),
    };
    let mut response = Response::new(script);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    for (name, value) in VENDOR_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert("request-id", HeaderValue::from(number));
    if let Some((input, output)) = metered {
        headers.insert("x-amzn-bedrock-input-token-count", HeaderValue::from(input));
        headers.insert("x-amzn-bedrock-output-token-count", HeaderValue::from(output));
    }
    if let Some(exception) = exception {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
    }
    if orders.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if status.is_redirection() {
        headers.insert(LOCATION, HeaderValue::from_static("/v1/elsewhere"));
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    }
    response
}

/// Of each kind one: a cookie, the account, the vendor's own limits, the software, the vendor's request name.
const VENDOR_HEADERS: [(&str, &str); 5] = [
    ("set-cookie", "simulated=1; Path=/"),
    ("openai-organization", "org-simulated"),
    ("x-ratelimit-remaining-requests", "4242"),
    ("server", "simulator"),
    ("x-request-id", "req_simulated"),
];

/// The response under which swapped bytes go out; nothing of it is sent.
fn closing() -> Response<Script> {
    let mut response = Response::new(Script::whole(Bytes::from_static(b"-"), false));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
