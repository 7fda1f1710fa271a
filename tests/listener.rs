//! The way in: HTTP/1.1 and HTTP/2, TLS, Unix sockets, every limit of size and time, the end of the process, and bytes
//! that two readers could frame in two ways.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::simulator::Simulator;
use serde_json::{Value, json};
use support::wire::certificates::{Authority, Identity};
use support::wire::process::{Process, gate, verify};
use support::wire::{Line, Upstream, edits, post};
use support::{ACME, CHAT, Site, UPSTREAM_KEY, chat_body, eventually, is, policy_directory, records};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
const ROGUE: &str = r#"{"model":"rogue-model","messages":[{"role":"user","content":"hi"}]}"#;

async fn client(site: &Site) -> Line {
    Line::open(site.app.listen()).await
}

fn status(head: &str) -> u16 {
    head[9..12].parse().unwrap()
}

#[tokio::test]
async fn one_connection_carries_many_requests_and_pipelined_ones_in_order() {
    let site = Site::open().await;
    let mut client = client(&site).await;
    for _ in 0..3 {
        client.say(post(CHAT, ACME, "", BODY)).await;
        assert_eq!(status(&client.message().await.0), 200);
    }
    let mut all = Vec::new();
    for n in 0..10 {
        let body = if n % 2 == 0 { BODY } else { ROGUE };
        all.extend(post(CHAT, ACME, &format!("x-request-id: pipe-{n}\r\n"), body));
    }
    client.say(all).await;
    for n in 0..10 {
        let (head, _) = client.message().await;
        assert!(head.contains(&format!("x-request-id: pipe-{n}\r\n")), "{head}");
        assert_eq!(status(&head), if n % 2 == 0 { 200 } else { 403 });
    }
    assert_eq!(site.simulator.stats().requests, 8);
}

fn h2_request(base: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(format!("{base}{path}"))
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {ACME}"))
        .header("content-type", "application/json")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn http_2_with_prior_knowledge_carries_calls_side_by_side() {
    let site = Site::open().await;
    let http: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let base = format!("http://{}", site.app.listen());
    let answers = join_all((0..40).map(|n| {
        let request = h2_request(&base, CHAT, if n % 2 == 0 { BODY } else { ROGUE });
        http.request(request)
    }))
    .await;
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, if n % 2 == 0 { 200 } else { 403 }));
        assert!(!answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    assert_eq!(site.simulator.stats().requests, 20);
}

/// Puts TLS before the data plane, with the files in the site's directory.
fn with_tls(dir: &Path, identity: &Identity, client_ca: Option<&Authority>) {
    identity.write(dir);
    let ca = client_ca.map_or(String::new(), |authority| {
        fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
        ", client_ca: ca.pem".to_owned()
    });
    let long = format!("listen: {{address: \"127.0.0.1:${{PORT}}\", tls: {{cert: cert.pem, key: key.pem{ca}}}}}");
    edits::replace(dir, "portcullis.yaml", "listen: 127.0.0.1:${PORT}", &long);
}

#[tokio::test]
async fn tls_speaks_http_2_and_http_1_as_the_client_offers() {
    let authority = Authority::new();
    let site = Site::with(|dir| with_tls(dir, &authority.issue(), None)).await;
    for (offered, agreed) in
        [(vec!["h2", "http/1.1"], Some("h2")), (vec!["http/1.1"], Some("http/1.1")), (vec![], None)]
    {
        let mut stream = authority.connect(site.app.listen(), &offered, None).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol().map(|name| std::str::from_utf8(name).unwrap()), agreed);
        if agreed == Some("h2") {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            let ask = sender.send_request(h2_request("https://localhost", CHAT, BODY));
            let answer = tokio::select! { answer = ask => answer.unwrap(), ended = connection => panic!("{ended:?}") };
            assert_eq!(answer.status(), 200);
        } else {
            stream.write_all(&post(CHAT, ACME, "connection: close\r\n", BODY)).await.unwrap();
            let mut heard = String::new();
            // A peer that closes without saying so is an error to rustls, not to this test.
            drop(stream.read_to_string(&mut heard).await);
            assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
        }
    }
    let mut plain = client(&site).await;
    plain.say(post(CHAT, ACME, "", BODY)).await;
    let heard = plain.rest().await;
    assert!(!heard.starts_with(b"HTTP"), "plaintext is not answered where TLS is configured");
    assert_eq!(site.simulator.stats().requests, 3);
}

/// Whether a call over this connection is answered.
async fn passes(authority: &Authority, address: &str, identity: Option<&Identity>) -> bool {
    let Ok(mut stream) = authority.connect(address, &["http/1.1"], identity).await else { return false };
    let mut heard = Vec::new();
    // With TLS 1.3 the refusal arrives after the client's own part of the handshake.
    drop(stream.write_all(&post(CHAT, ACME, "connection: close\r\n", BODY)).await);
    drop(stream.read_to_end(&mut heard).await);
    heard.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn with_a_client_ca_only_its_clients_pass() {
    let (authority, other) = (Authority::new(), Authority::new());
    let site = Site::with(|dir| with_tls(dir, &authority.issue(), Some(&authority))).await;
    assert!(!passes(&authority, site.app.listen(), None).await);
    assert!(!passes(&authority, site.app.listen(), Some(&other.issue())).await);
    assert_eq!(site.simulator.stats().requests, 0);
    assert!(passes(&authority, site.app.listen(), Some(&authority.issue())).await);
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_without_a_restart_and_a_broken_one_is_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let site = Site::with(|dir| with_tls(dir, &old.issue(), None)).await;
    let address = site.app.listen().to_owned();
    assert!(passes(&old, &address, None).await && !passes(&new, &address, None).await);
    new.issue().write(site.dir.path());
    eventually("the new certificate is shown", async || passes(&new, &address, None).await.then_some(())).await;
    assert!(!passes(&old, &address, None).await);
    // A key that does not belong to the certificate, then none: what was in force stays.
    fs::write(site.dir.path().join("key.pem"), old.issue().key).unwrap();
    assert!(passes(&new, &address, None).await);
    fs::remove_file(site.dir.path().join("cert.pem")).unwrap();
    old.issue().write(site.dir.path());
    eventually("the next one is shown", async || passes(&old, &address, None).await.then_some(())).await;
}

#[tokio::test]
async fn a_unix_socket_works_takes_the_place_of_a_stale_one_and_is_removed_at_the_end() {
    let path = tempfile::tempdir().unwrap();
    let socket = path.path().join("gate.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let site = Site::with(|dir| {
        let line = format!("listen: \"unix:{}\"", socket.display());
        edits::replace(dir, "portcullis.yaml", "listen: 127.0.0.1:${PORT}", &line);
    })
    .await;
    assert_eq!(site.app.listen(), format!("unix:{}", socket.display()));
    let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    stream.write_all(&post(CHAT, ACME, "connection: close\r\n", BODY)).await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    site.close().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let authority = Authority::new();
    let limits = "limits: {header_timeout: 200ms, idle_timeout: 400ms}";
    let site = Site::with(|dir| edits::add(dir, limits)).await;
    for begun in ["", "PRI * HT", "POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\nx-slow: "] {
        let mut client = client(&site).await;
        client.say(begun).await;
        let heard = client.rest().await;
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&heard));
    }
    // One byte now and then does not help.
    let mut dripping = client(&site).await;
    dripping.say("GET /health HTTP/1.1\r\nx: ").await;
    let drip = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        while dripping.try_say("x").await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(support::PATIENCE, drip).await.expect("it is closed");
    // The same between two requests, and with TLS that is never spoken.
    let mut client = client(&site).await;
    client.say("GET /health HTTP/1.1\r\nhost: gate\r\n\r\n").await;
    assert_eq!(client.message().await.1, br#"{"status":"ok"}"#);
    client.gone().await;
    let site = Site::with(|dir| {
        edits::add(dir, limits);
        with_tls(dir, &authority.issue(), None);
    })
    .await;
    self::client(&site).await.gone().await;
}

#[tokio::test]
async fn an_idle_http_2_connection_is_closed_and_a_busy_one_is_not() {
    let upstream = Upstream::open().await;
    let site = Site::with(|dir| {
        edits::aim(dir, &upstream.url());
        edits::add(dir, "limits: {idle_timeout: 200ms}");
    })
    .await;
    let stream = tokio::net::TcpStream::connect(site.app.listen()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let call = async {
        let base = format!("http://{}", site.app.listen());
        let ask = sender.send_request(h2_request(&base, CHAT, BODY));
        let (answer, mut line) = tokio::join!(ask, async {
            let (mut line, _, _) = upstream.called().await;
            line.say(STREAM).await;
            line
        });
        let mut body = answer.unwrap().into_body();
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        for _ in 0..12 {
            ticks.tick().await;
            line.say("4\r\n: x\n\r\n").await;
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), ": x\n");
        }
        line.say("0\r\n\r\n").await;
        assert!(body.collect().await.is_ok());
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(support::PATIENCE, connection), call);
    ended.expect("the idle connection is closed").unwrap();
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408() {
    let site = Site::with(|dir| edits::add(dir, "limits: {body_timeout: 200ms}")).await;
    let request = post(CHAT, ACME, "", BODY);
    let mut client = client(&site).await;
    client.say(&request[..request.len() - 1]).await;
    let (head, body) = client.message().await;
    assert!(status(&head) == 408 && head.contains("x-portcullis-reason: request_timeout"), "{head}");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "request_timeout");
    assert_eq!(site.simulator.stats().requests, 0);
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_431() {
    let site = Site::with(|dir| edits::add(dir, "limits: {header_limit: 8KiB}")).await;
    for extra in [format!("x-long: {}\r\n", "x".repeat(9000)), "x-many: 1\r\n".repeat(101)] {
        let mut client = client(&site).await;
        client.try_say(post(CHAT, ACME, &extra, BODY)).await;
        assert_eq!(status(&client.head().await), 431);
        client.gone().await;
    }
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, &format!("x-long: {}\r\n", "x".repeat(7000)), BODY)).await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(site.simulator.stats().requests, 1);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_announced_or_not_and_before_it_is_sent() {
    let site = Site::with(|dir| edits::add(dir, "limits: {body_limit: 2KiB}")).await;
    let long = chat_body("gpt-4o-mini", &"x".repeat(4000)).to_string();
    let announced = post(CHAT, ACME, "", &long);
    let head = announced.len() - long.len();
    let mut client = client(&site).await;
    client.say(&announced[..head]).await;
    assert!(client.head().await.contains("x-portcullis-reason: body_too_large"), "nothing of the body was needed");

    let mut client = self::client(&site).await;
    let chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {ACME}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n",
        long.len()
    );
    client.say(chunked).await;
    assert_eq!(status(&client.head().await), 413, "it did not wait for the end");
    let mut client = self::client(&site).await;
    let fits = chat_body("gpt-4o-mini", &"x".repeat(1900)).to_string();
    client.say(post(CHAT, ACME, "", &fits)).await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(site.simulator.stats().requests, 1);
}

#[tokio::test]
async fn bodies_beyond_the_common_budget_are_503_and_room_comes_back() {
    let site = Site::with(|dir| edits::add(dir, "limits: {body_limit: 1KiB, body_budget: 1KiB}")).await;
    let body = chat_body("gpt-4o-mini", &"x".repeat(700)).to_string();
    let request = post(CHAT, ACME, "", &body);
    let mut slow = client(&site).await;
    slow.say(&request[..request.len() - 1]).await;
    let held = async |bytes: usize| {
        let shown = site.metric("portcullis_body_bytes ").await.unwrap();
        (format!("{shown:.0}") == bytes.to_string()).then_some(())
    };
    eventually("the first body is held", async || held(body.len() - 1).await).await;
    let mut second = client(&site).await;
    second.say(&request).await;
    let head = second.head().await;
    assert!(status(&head) == 503 && head.contains("x-portcullis-reason: overloaded"), "{head}");
    assert!(head.contains("retry-after"), "{head}");
    slow.say(&request[request.len() - 1..]).await;
    assert_eq!(status(&slow.head().await), 200);
    eventually("its room is free", async || held(0).await).await;
    let mut third = client(&site).await;
    third.say(&request).await;
    assert_eq!(status(&third.head().await), 200);
}

#[tokio::test]
async fn beyond_the_connection_limit_the_next_one_waits_for_a_place() {
    let site = Site::with(|dir| edits::add(dir, "limits: {connections: 2}")).await;
    let health = "GET /health HTTP/1.1\r\nhost: gate\r\n\r\n";
    let (mut first, mut second) = (client(&site).await, client(&site).await);
    for line in [&mut first, &mut second] {
        line.say(health).await;
        line.message().await;
    }
    let mut third = client(&site).await;
    third.say(health).await;
    for _ in 0..5 {
        first.say(health).await;
        first.message().await;
    }
    assert_eq!(site.metric("portcullis_connections ").await, Some(2.0));
    drop(second);
    assert_eq!(third.message().await.1, br#"{"status":"ok"}"#);
}

/// A gate of its own process before `upstream`, with one stream in flight.
async fn streaming(dir: &Path, upstream: &Upstream) -> (Process, Line, Line) {
    let process = Process::start(gate(dir)).await;
    let mut client = Line::open(&process.listen).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(format!("{STREAM}7\r\n: one\n\n\r\n")).await;
    client.until(": one\n\n").await;
    (process, client, line)
}

async fn ready(process: &Process) -> String {
    let mut line = Line::open(&process.admin).await;
    line.say("GET /readyz HTTP/1.1\r\nhost: gate\r\n\r\n").await;
    let (_, body) = line.message().await;
    serde_json::from_slice::<Value>(&body).unwrap()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sigterm_lets_a_stream_finish_takes_nothing_new_and_closes_the_log() {
    let upstream = Upstream::open().await;
    let dir = policy_directory(&upstream.url());
    let (process, mut client, mut line) = streaming(dir.path(), &upstream).await;
    let mut idle = Line::open(&process.listen).await;
    idle.say("GET /health HTTP/1.1\r\nhost: gate\r\n\r\n").await;
    idle.message().await;
    process.signal("TERM");
    eventually("it drains", async || (ready(&process).await == "draining").then_some(())).await;
    idle.gone().await;
    let address = process.listen.clone();
    eventually("it takes no more connections", async || {
        tokio::net::TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
    line.say("7\r\n: two\n\n\r\n0\r\n\r\n").await;
    assert!(client.until("0\r\n\r\n").await.contains(": two\n\n"));
    let (status, said) = process.ended().await;
    assert!(status.success(), "{said}");
    let audit = dir.path().join("var/audit");
    let outcomes: Vec<Value> = records(&audit).into_iter().filter(|record| is(record, "outcome")).collect();
    assert_eq!((outcomes.len(), &outcomes[0]["data"]["end"]), (1, &json!("complete")));
    let (whole, said) = verify(&audit);
    assert!(whole && said["outcome_unknown"] == 0, "{said}");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_and_still_records_the_outcome() {
    let upstream = Upstream::open().await;
    let dir = policy_directory(&upstream.url());
    edits::add(dir.path(), "drain: 300ms");
    let (process, mut client, mut line) = streaming(dir.path(), &upstream).await;
    process.signal("TERM");
    let heard = client.rest().await;
    assert!(!heard.ends_with(b"0\r\n\r\n"), "a cut stream is not passed on as whole");
    line.gone().await;
    assert!(process.ended().await.0.success());
    let audit = dir.path().join("var/audit");
    let outcomes: Vec<Value> = records(&audit).into_iter().filter(|record| is(record, "outcome")).collect();
    assert_eq!((outcomes.len(), &outcomes[0]["data"]["end"]), (1, &json!("cancelled")));
    let (whole, said) = verify(&audit);
    assert!(whole && said["outcome_unknown"] == 0, "{said}");
}

#[tokio::test]
async fn sighup_reloads_the_policies_and_ends_nothing() {
    let simulator = Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap().expecting_key(UPSTREAM_KEY);
    let dir = policy_directory(&simulator.url());
    let mut process = Process::start(gate(dir.path())).await;
    let mut client = Line::open(&process.listen).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    assert_eq!(status(&client.message().await.0), 200);
    edits::replace(dir.path(), "policies/models/gpt-4o-mini.yaml", "status: approved", "status: revoked");
    process.signal("HUP");
    eventually("the model is revoked", async || {
        client.say(post(CHAT, ACME, "", BODY)).await;
        client.message().await.0.contains("model_not_approved").then_some(())
    })
    .await;
    assert!(process.runs());
}

/// What must become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    /// Refused, and the upstream hears nothing.
    Refuse,
    /// Refused, or forwarded as exactly the one governed call.
    Same,
    /// Forwarded.
    Forward,
}

/// Asks each trick on a connection of its own, a second request behind it, and holds what the upstream heard against it.
async fn try_tricks(tricks: &[(&str, String, Must)]) {
    let site =
        Site::with(|dir| edits::add(dir, "limits: {header_timeout: 1s, body_timeout: 1s, idle_timeout: 1s}")).await;
    for (what, request, must) in tricks {
        site.simulator.forget();
        let mut client = client(&site).await;
        client.try_say(request).await;
        client.try_say("GET /health HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").await;
        let heard = client.rest().await;
        let answer = String::from_utf8_lossy(&heard);
        let first = answer.get(..12).map_or(0, |line| line[9..].parse().unwrap_or(0));
        let calls = site.simulator.heard();
        let forwarded = match must {
            Must::Refuse => 0,
            Must::Same => usize::from(first == 200),
            Must::Forward => 1,
        };
        assert_eq!(calls.len(), forwarded, "{what}: {answer}");
        if forwarded == 0 {
            assert!(first == 0 || (400..=505).contains(&first) && first != 500, "{what}: {answer}");
        } else {
            assert_eq!(first, 200, "{what}: {answer}");
        }
        for call in calls {
            assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", CHAT), "{what}");
            assert_eq!(call.body, BODY, "{what}");
            assert_plain(&call.headers, site.simulator.addr().to_string().as_str(), what);
        }
    }
}

/// The head that the gate writes, and nothing else.
fn assert_plain(headers: &HeaderMap, host: &str, what: &str) {
    let known = ["host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "user-agent"];
    let names: BTreeSet<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    assert!(names.iter().all(|name| known.contains(name)), "{what}: {names:?}");
    assert_eq!(headers["host"], host, "{what}");
    assert_eq!(headers["authorization"], format!("Bearer {UPSTREAM_KEY}"), "{what}");
    assert_eq!(headers["content-length"], BODY.len().to_string(), "{what}");
    assert_eq!(headers.len(), names.len(), "{what}: a field twice");
}

/// A chat call with these extra lines of head instead of a length, and this text behind the head.
fn framed(lines: &str, rest: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {ACME}\r\ncontent-type: application/json\r\n{lines}\r\n{rest}"
    )
}

/// A good chat call with these extra lines.
fn good(lines: &str) -> String {
    String::from_utf8(post(CHAT, ACME, lines, BODY)).unwrap()
}

#[tokio::test]
async fn tricks_of_framing_are_refused_or_framed_anew() {
    use Must::{Forward, Refuse, Same};

    let (n, hex) = (BODY.len(), format!("{:x}", BODY.len()));
    let chunked = "transfer-encoding: chunked\r\n";
    let one = format!("{hex}\r\n{BODY}\r\n");
    let smuggled = String::from_utf8(post(CHAT, ACME, "", ROGUE)).unwrap();
    let hidden = good("");
    let m = smuggled.len();
    try_tricks(&[
        ("two lengths that differ", framed(&format!("content-length: {n}\r\ncontent-length: {}\r\n", n + 5), BODY), Refuse),
        ("two lengths that agree", framed(&format!("content-length: {n}\r\ncontent-length: {n}\r\n"), BODY), Same),
        ("a list of lengths", framed(&format!("content-length: {n}, {n}\r\n"), BODY), Same),
        ("a length with a sign", framed(&format!("content-length: +{n}\r\n"), BODY), Refuse),
        ("a negative length", framed("content-length: -1\r\n", BODY), Refuse),
        ("a length in hex", framed(&format!("content-length: 0x{hex}\r\n"), BODY), Refuse),
        ("an endless length", framed("content-length: 99999999999999999999999\r\n", BODY), Refuse),
        ("an empty length", framed("content-length: \r\n", BODY), Refuse),
        ("no length and no coding", framed("", BODY), Refuse),
        ("a length and chunks", framed(&format!("content-length: {n}\r\n{chunked}"), &format!("{one}0\r\n\r\n")), Same),
        ("chunks and a length", framed(&format!("{chunked}content-length: 4\r\n"), &format!("{one}0\r\n\r\n{smuggled}")), Same),
        ("chunked behind gzip", framed("transfer-encoding: gzip, chunked\r\n", &format!("{one}0\r\n\r\n")), Refuse),
        ("chunked before gzip", framed("transfer-encoding: chunked, gzip\r\n", &format!("{one}0\r\n\r\n")), Refuse),
        ("chunked twice", framed("transfer-encoding: chunked, chunked\r\n", &format!("{one}0\r\n\r\n")), Refuse),
        ("two lines of coding", framed(&format!("{chunked}transfer-encoding: identity\r\n"), &format!("{one}0\r\n\r\n")), Refuse),
        ("an unknown coding", framed("transfer-encoding: xchunked\r\n", &format!("{one}0\r\n\r\n")), Refuse),
        ("a coding of nothing", framed(&format!("transfer-encoding: identity\r\ncontent-length: {n}\r\n"), BODY), Refuse),
        ("a blank before the colon", framed("transfer-encoding : chunked\r\n", &format!("{one}0\r\n\r\n")), Refuse),
        ("a folded line", framed("transfer-encoding:\r\n chunked\r\n", &format!("{one}0\r\n\r\n")), Refuse),
        ("a coding in odd case", framed("Transfer-Encoding: Chunked\r\n", &format!("{one}0\r\n\r\n")), Same),
        ("a size with 0x", framed(chunked, &format!("0x{hex}\r\n{BODY}\r\n0\r\n\r\n")), Refuse),
        ("a size with a sign", framed(chunked, &format!("+{hex}\r\n{BODY}\r\n0\r\n\r\n")), Refuse),
        ("a size with blanks", framed(chunked, &format!("{hex} \r\n{BODY}\r\n0\r\n\r\n")), Same),
        ("an endless size", framed(chunked, &format!("fffffffffffffffff\r\n{BODY}\r\n0\r\n\r\n")), Refuse),
        ("no size", framed(chunked, &format!("\r\n{BODY}\r\n0\r\n\r\n")), Refuse),
        ("a bare LF behind the size", framed(chunked, &format!("{hex}\n{BODY}\r\n0\r\n\r\n")), Refuse),
        ("a bare LF in an extension", framed(chunked, &format!("{hex};a\nb\r\n{BODY}\r\n0\r\n\r\n")), Refuse),
        ("a bare CR behind the size", framed(chunked, &format!("{hex}\r{BODY}\r\n0\r\n\r\n")), Refuse),
        ("a chunk longer than its size", framed(chunked, &format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", n - 1)), Refuse),
        ("a chunk shorter than its size", framed(chunked, &format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", n + 1)), Refuse),
        ("an extension", framed(chunked, &format!("{hex};model=rogue-model\r\n{BODY}\r\n0\r\n\r\n")), Same),
        ("trailers", framed(chunked, &format!("{one}0\r\nx-model: rogue-model\r\ncontent-length: 3\r\n\r\n")), Same),
        ("two chunks", framed(chunked, &format!("2\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &BODY[..2], n - 2, &BODY[2..])), Forward),
        ("HTTP/1.0 with chunks", framed(chunked, &format!("{one}0\r\n\r\n")).replace("HTTP/1.1", "HTTP/1.0"), Refuse),
        ("a refused request with a good one as its body", format!("POST /v1/nothing HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {ACME}\r\ncontent-length: {}\r\n\r\n{hidden}", hidden.len()), Refuse),
        ("a stranger's request with a good one as its body", format!("POST {CHAT} HTTP/1.1\r\nhost: gate\r\ncontent-length: {}\r\n\r\n{hidden}", hidden.len()), Refuse),
        ("a GET with a rogue call as its body", format!("GET /v1/models HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {ACME}\r\ncontent-length: {m}\r\n\r\n{smuggled}"), Refuse),
        ("a rogue call right behind", format!("{}{smuggled}", good("")), Forward),
        ("bare LF line ends", good("").replace("\r\n", "\n"), Same),
        ("a NUL in a value", good("x-a: a\0b\r\n"), Refuse),
        ("a blank in a name", good("x a: b\r\n"), Refuse),
        ("no name", good(": b\r\n"), Refuse),
        ("a line without colon", good("nothing\r\n"), Refuse),
        ("HTTP/1.2", good("").replace("HTTP/1.1", "HTTP/1.2"), Refuse),
        ("HTTP/2 in words", good("").replace("HTTP/1.1", "HTTP/2.0"), Refuse),
        ("HTTP/0.9", format!("POST {CHAT}\r\n\r\n"), Refuse),
        ("two blanks in the first line", good("").replacen("POST ", "POST  ", 1), Refuse),
        ("a tab in the first line", good("").replacen("POST ", "POST\t", 1), Refuse),
    ])
    .await;
}

#[tokio::test]
async fn tricks_of_host_connection_and_upgrade_reach_nobody() {
    use Must::{Forward, Refuse, Same};
    let host = |value: &str| good("").replacen("host: gate", value, 1);
    let target = |value: &str| good("").replacen(CHAT, value, 1);
    try_tricks(&[
        ("no host", good("").replacen("host: gate\r\n", "", 1), Refuse),
        ("two hosts", host("host: gate\r\nhost: gate"), Refuse),
        ("two hosts that differ", host("host: gate\r\nHost: evil"), Refuse),
        ("a path in the host", host("host: a/b"), Refuse),
        ("a user in the host", host("host: user@gate"), Refuse),
        ("an empty host", host("host: "), Refuse),
        ("a host with a blank", host("host: a b"), Refuse),
        ("another host", host("host: evil.example:99"), Forward),
        ("a foreign target", target(&format!("http://evil.example{CHAT}")), Refuse),
        ("a target of its own", target(&format!("http://gate{CHAT}")), Same),
        ("a target with a user", target(&format!("http://user@gate{CHAT}")), Refuse),
        ("a hop that names the credential", good("connection: authorization\r\n"), Same),
        ("a hop that names the length", good("connection: content-length\r\n"), Same),
        ("two lines, the second names a field", good("connection: keep-alive\r\nconnection: x-smuggled\r\nx-smuggled: 1\r\n"), Forward),
        ("fields of the hop", good("keep-alive: 9\r\nproxy-authorization: x\r\nproxy-connection: x\r\nte: trailers\r\ntrailer: x\r\nhttp2-settings: x\r\n"), Same),
        ("fields that route or decide", good("x-tenant-override: x\r\nhelicone-property-model: x\r\nopenai-organization: org-x\r\nx-forwarded-host: evil\r\nx-model: rogue\r\nx-portcullis-decision: allow\r\n"), Forward),
        ("another tenant", good("x-tenant: globex\r\n"), Refuse),
        ("a WebSocket", format!("GET /v1/realtime?model=rogue-model HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {ACME}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"), Refuse),
        ("an upgrade to h2c", good("connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"), Same),
        ("a tunnel", format!("CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\nauthorization: Bearer {ACME}\r\n\r\n"), Refuse),
    ])
    .await;
}

#[tokio::test]
async fn tricks_of_path_method_and_credential_are_refused() {
    use Must::{Forward, Refuse, Same};
    let path = |value: &str| good("").replacen(CHAT, value, 1);
    let auth = |value: &str| good("").replacen(&format!("authorization: Bearer {ACME}"), value, 1);
    let mut tricks: Vec<(&str, String, Must)> = [
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/%63hat/completions",
        "/v1/chat%2fcompletions",
        "/v1/x/../chat/completions",
        "/v1/x/..%2fchat/completions",
        "/./v1/chat/completions",
        "//v1/chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions;x=1",
        "/v1/chat/completions%00",
        "/v1/chat/completions%20",
        "/v1\\chat\\completions",
        "/v1/uploads",
        "/v1/files",
        "/v1/responses/resp_1",
        "/v1/chat/completions?model=rogue-model",
        "*",
        "v1/chat/completions",
    ]
    .into_iter()
    .map(|value| (value, path(value), Refuse))
    .collect();
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "post", "POSTX"] {
        tricks.push((method, good("").replacen("POST", method, 1), Refuse));
    }
    let twice = format!("authorization: Bearer {ACME}\r\nauthorization: Bearer {ACME}");
    let two_places = format!("authorization: Bearer {ACME}\r\nx-api-key: {ACME}");
    let in_query = auth("x-a: b").replacen(CHAT, &format!("{CHAT}?key={ACME}"), 1);
    tricks.extend([
        // The parser drops a fragment, as it would not be sent anyway; it never reaches the upstream.
        ("a fragment", path("/v1/chat/completions#x"), Same),
        ("a harmless query", path("/v1/chat/completions?beta=true"), Forward),
        ("two credentials", auth(&twice), Refuse),
        ("a credential in two places", auth(&two_places), Refuse),
        ("a credential in the query", in_query, Refuse),
        ("an unsigned token", auth("authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhY21lIn0."), Refuse),
        ("another scheme", auth(&format!("authorization: Basic {ACME}")), Refuse),
        ("a list of credentials", auth(&format!("authorization: Bearer x, Bearer {ACME}")), Refuse),
        ("no credential", auth("x-a: b"), Refuse),
        ("a bearer in lower case", auth(&format!("authorization: bearer {ACME}")), Forward),
        ("the key where Anthropic puts it", auth(&format!("x-api-key: {ACME}")), Forward),
        ("the key where Azure puts it", auth(&format!("api-key: {ACME}")), Forward),
    ]);
    try_tricks(&tricks).await;
}

#[tokio::test]
async fn a_stranger_is_refused_before_its_body_is_read() {
    let site = Site::open().await;
    let request = post(CHAT, "pcl_k9_stranger", "", BODY);
    let mut client = client(&site).await;
    client.say(&request[..request.len() - BODY.len()]).await;
    assert_eq!(status(&client.head().await), 401);
}

#[tokio::test]
async fn expect_100_continue_is_answered_and_a_body_in_single_bytes_passes() {
    let site = Site::open().await;
    let request = post(CHAT, ACME, "expect: 100-continue\r\n", BODY);
    let (head, body) = request.split_at(request.len() - BODY.len());
    let mut client = client(&site).await;
    client.say(head).await;
    assert_eq!(status(&client.head().await), 100);
    for byte in body {
        client.say([*byte]).await;
    }
    assert_eq!(status(&client.message().await.0), 200);
    for byte in post(CHAT, ACME, "", BODY) {
        client.say([byte]).await;
    }
    assert_eq!(status(&client.message().await.0), 200);
    let heard = site.simulator.heard();
    assert!(heard.len() == 2 && heard.iter().all(|call| call.body == BODY));
    // Who is refused by the head alone is not asked for the body.
    let mut stranger = self::client(&site).await;
    let request = post(CHAT, "pcl_k9_stranger", "expect: 100-continue\r\n", BODY);
    stranger.say(&request[..request.len() - BODY.len()]).await;
    assert_eq!(status(&stranger.head().await), 401);
}

#[tokio::test]
async fn over_http_2_the_same_tricks_reach_nobody() {
    let site = Site::open().await;
    let http: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let base = format!("http://{}", site.app.listen());
    let foreign = {
        let mut request = h2_request(&base, CHAT, BODY);
        request.headers_mut().insert("host", "evil.example".parse().unwrap());
        request
    };
    let length = {
        let mut request = h2_request(&base, CHAT, BODY);
        request.headers_mut().insert("content-length", "3".parse().unwrap());
        request
    };
    let path = h2_request(&base, "/v1//chat/completions", BODY);
    let rogue = h2_request(&base, CHAT, ROGUE);
    for (what, request) in
        [("a foreign host", foreign), ("a wrong length", length), ("a path", path), ("a model", rogue)]
    {
        if let Ok(answer) = http.request(request).await {
            assert!(answer.status().is_client_error(), "{what}: {}", answer.status());
        }
    }
    assert_eq!(site.simulator.stats().requests, 0);
    let answer = http.request(h2_request(&base, CHAT, BODY)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}
