//! Whoever leaves, and whenever: a client at any point of its call, an upstream at any point of its answer, or one that
//! never comes to its end. Nothing stays held, nobody takes a part for the whole, and the log says how it ended.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::path::Path;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use support::wire::{Line, Upstream, edits, length, post};
use support::{ACME, CHAT, Site, eventually, is};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello there"}]}"#;
const STREAMED: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello there"}],"stream":true}"#;

/// Tokens a minute. A call reserves more than 4096 of them and uses next to none; a second gives 100 back.
const TOKENS: u64 = 6000;

/// A gate with one place for acme, before an upstream that the test speaks for.
async fn site(change: impl FnOnce(&Path)) -> (Site, Upstream) {
    let upstream = Upstream::open().await;
    let site = Site::with(|dir| {
        edits::aim(dir, &upstream.url());
        edits::limits(dir, "{requests_per_minute: 1000000, tokens_per_minute: 6000, concurrent: 1}");
        change(dir);
    })
    .await;
    (site, upstream)
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn client(site: &Site) -> Line {
    Line::open(site.app.listen()).await
}

/// Asks for the tenant's standing, which takes the one place for a moment: `None` while it is taken.
async fn standing(site: &Site) -> Option<u64> {
    let answer = site.post(ACME, "/api/evaluate", &json!({"customer_id": "acme"})).await;
    if answer.status != 200 {
        assert_eq!(answer.reason(), "concurrency_limit");
        return None;
    }
    answer.json()["limits"]["tokens"]["remaining"].as_u64()
}

async fn assert_taken(site: &Site) {
    eventually("the place is taken", async || standing(site).await.is_none().then_some(())).await;
}

/// The place becomes free, and the reservation is gone with it.
async fn assert_free(site: &Site) {
    let left = eventually("the place is free", async || standing(site).await).await;
    assert!(left > TOKENS - 500, "only {left} tokens are left");
}

fn of<'r>(records: &'r [Value], kind: &str) -> Vec<&'r Value> {
    let calls = |record: &&Value| {
        is(record, kind) && record["data"]["action"] != "CHECK" && record["data"]["action"] != "THROTTLED"
    };
    records.iter().filter(calls).collect()
}

/// The one outcome, once it is there.
async fn outcome(site: &Site) -> Value {
    eventually("the outcome is recorded", async || of(&site.records(), "outcome").first().map(|o| (*o)["data"].clone()))
        .await
}

/// The call ended as cancelled and is charged a guess.
async fn assert_cancelled(site: &Site, status: &Value) -> Value {
    let outcome = outcome(site).await;
    assert_eq!((&outcome["end"], &outcome["status"]), (&json!("cancelled"), status), "{outcome}");
    assert_eq!(outcome["usage"]["estimated"], true);
    assert!(outcome["usage"]["input"].as_u64().unwrap() > 0, "{outcome}");
    outcome
}

#[tokio::test]
async fn a_client_that_leaves_within_its_head_leaves_nothing_and_is_no_call() {
    let (site, upstream) = site(|_| ()).await;
    assert_free(&site).await;
    let connections = async || site.metric("portcullis_connections ").await.unwrap();
    let before = connections().await;
    let mut client = client(&site).await;
    client.say(&post(CHAT, ACME, "", BODY)[..90]).await;
    eventually("it is connected", async || (connections().await > before).then_some(())).await;
    drop(client);
    eventually("it is gone", async || (connections().await <= before).then_some(())).await;
    assert_free(&site).await;
    upstream.assert_alone().await;
    let (_dir, records) = site.close().await;
    assert!(of(&records, "decision").is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_frees_its_place_and_is_recorded() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = client(&site).await;
    let request = post(CHAT, ACME, "", BODY);
    client.say(&request[..request.len() - 9]).await;
    assert_taken(&site).await;
    drop(client);
    assert_free(&site).await;
    upstream.assert_alone().await;
    let (_dir, records) = site.close().await;
    let [decision] = of(&records, "decision")[..] else { panic!("one decision") };
    assert_eq!((&decision["data"]["action"], &decision["data"]["decision"]), (&json!("REJECTED"), &json!("block")));
    assert!(of(&records, "outcome").is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_stops_the_upstream_and_is_charged_its_input() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    let (mut line, _, _) = upstream.called().await;
    assert_taken(&site).await;
    drop(client);
    line.gone().await;
    assert_free(&site).await;
    let outcome = assert_cancelled(&site, &Value::Null).await;
    assert_eq!(outcome["usage"]["output"], 0);
}

#[tokio::test]
async fn a_client_that_leaves_within_a_stream_stops_the_upstream_and_is_charged_what_went_by() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", STREAMED)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(format!("{STREAM}{}", chunk("data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n"))).await;
    client.until("one").await;
    assert_taken(&site).await;
    drop(client);
    line.gone().await;
    assert_free(&site).await;
    let outcome = assert_cancelled(&site, &json!(200)).await;
    assert!(outcome["usage"]["output"].as_u64().unwrap() > 0, "{outcome}");
}

#[tokio::test]
async fn a_client_that_leaves_within_a_plain_answer_stops_the_upstream() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"choices\":").await;
    client.until("{\"choices\":").await;
    drop(client);
    line.gone().await;
    assert_free(&site).await;
    assert_cancelled(&site, &json!(200)).await;
}

#[tokio::test]
async fn a_client_that_leaves_after_the_last_byte_has_had_its_whole_answer() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(ANSWER).await;
    assert_eq!(client.message().await.1, b"{}");
    drop(client);
    assert_free(&site).await;
    assert_eq!(outcome(&site).await["end"], "complete");
}

#[tokio::test]
async fn an_http_2_stream_that_is_reset_stops_the_upstream_and_its_neighbour_goes_on() {
    let (site, upstream) = site(|dir| {
        edits::replace(dir, "policies/tenants/acme.yaml", "concurrent: 1}", "concurrent: 2}");
        edits::replace(dir, "policies/tenants/acme.yaml", "tokens_per_minute: 6000", "tokens_per_minute: 60000");
    })
    .await;
    let http: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let ask = || {
        let request = Request::post(format!("http://{}{CHAT}", site.app.listen()))
            .version(Version::HTTP_2)
            .header("authorization", format!("Bearer {ACME}"))
            .header("content-type", "application/json");
        http.request(request.body(Full::from(STREAMED)).unwrap())
    };
    let begin = async || {
        let (answer, mut line) = tokio::join!(ask(), async {
            let (mut line, _, _) = upstream.called().await;
            line.say(format!("{STREAM}{}", chunk("data: 1\n\n"))).await;
            line
        });
        let mut body = answer.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
        line.say("").await;
        (body, line)
    };
    let (leaving, mut left) = begin().await;
    let (staying, mut kept) = begin().await;
    drop(leaving);
    left.gone().await;
    assert_cancelled(&site, &json!(200)).await;
    kept.say(format!("{}0\r\n\r\n", chunk("data: [DONE]\n\n"))).await;
    assert_eq!(staying.collect().await.unwrap().to_bytes(), "data: [DONE]\n\n");
    let complete = async || of(&site.records(), "outcome").iter().any(|o| o["data"]["end"] == "complete").then_some(());
    eventually("the neighbour's outcome", complete).await;
}

/// Calls until the breaker lets one through to the upstream.
async fn probe(site: &Site, upstream: &Upstream) -> (Line, Line) {
    eventually("a call is let through", async || {
        let mut client = client(site).await;
        client.say(post(CHAT, ACME, "", BODY)).await;
        tokio::select! {
            (line, _, _) = upstream.called() => Some((client, line)),
            head = client.head() => {
                assert!(head.contains("breaker_open") || head.contains("concurrency_limit"), "{head}");
                None
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_leaves_during_the_probe_gives_the_probe_back() {
    let (site, upstream) = site(|dir| edits::upstream(dir, "breaker: {failures: 1, open_for: 100ms}")).await;
    let state = async || site.admin("/status").await.json()["breakers"]["sim"].as_str().unwrap().to_owned();
    let mut first = client(&site).await;
    first.say(post(CHAT, ACME, "", BODY)).await;
    drop(upstream.called().await);
    assert!(first.head().await.contains("upstream_failed"));
    assert_eq!(state().await, "open");
    for _ in 0..2 {
        let (client, mut line) = probe(&site, &upstream).await;
        assert_eq!(state().await, "half_open");
        drop(client);
        line.gone().await;
    }
    let (mut client, mut line) = probe(&site, &upstream).await;
    line.say(ANSWER).await;
    assert!(client.head().await.starts_with("http/1.1 200"));
    assert_eq!(state().await, "closed");
}

#[tokio::test]
async fn an_upstream_that_leaves_before_its_head_is_whole_is_502() {
    for said in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-le"] {
        let (site, upstream) = site(|_| ()).await;
        let mut client = client(&site).await;
        client.say(post(CHAT, ACME, "", BODY)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(said).await;
        drop(line);
        let (head, body) = client.message().await;
        assert!(head.starts_with("http/1.1 502") && head.contains("upstream_failed"), "{said:?}: {head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "upstream_failed");
        assert_free(&site).await;
        let outcome = outcome(&site).await;
        assert_eq!((&outcome["end"], &outcome["status"]), (&json!("failed"), &json!(502)));
        assert_eq!(outcome["usage"]["input"], 0, "nobody bills a call without an answer");
    }
}

#[tokio::test]
async fn a_plain_answer_that_breaks_off_is_broken_off_for_the_client_too() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for said in [
        format!("{head}content-length: 100\r\n\r\n"),
        format!("{head}content-length: 100\r\n\r\n{{\"choices\":"),
        format!("{head}transfer-encoding: chunked\r\n\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\n9"),
        format!("{head}transfer-encoding: chunked\r\n\r\n9\r\nhalf"),
        format!("{head}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"),
    ] {
        let (site, upstream) = site(|_| ()).await;
        let mut client = client(&site).await;
        client.say(post(CHAT, ACME, "", BODY)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(&said).await;
        drop(line);
        let heard = String::from_utf8(client.rest().await).unwrap();
        if let Some((head, body)) = heard.split_once("\r\n\r\n") {
            let announced = length(&head.to_ascii_lowercase());
            let whole = announced.map_or_else(|| body.ends_with("0\r\n\r\n"), |announced| body.len() >= announced);
            assert!(!whole || head.starts_with("HTTP/1.1 502"), "{said:?} was passed on as whole: {heard:?}");
        }
        assert_free(&site).await;
        assert_eq!(outcome(&site).await["end"], "failed", "{said:?}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_the_dialects_error_event() {
    let messages =
        r#"{"model":"claude-sonnet-4-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let responses = r#"{"model":"gpt-4o-mini","input":"hi","stream":true}"#;
    for (path, body, named) in
        [(CHAT, STREAMED, false), ("/v1/messages", messages, true), ("/v1/responses", responses, true)]
    {
        for half in ["9\r\ndata: {\"ch", "", "20\r\ndata: {}\n", "zz\r\n"] {
            let (site, upstream) = site(|_| ()).await;
            let mut client = client(&site).await;
            client.say(post(path, ACME, "", body)).await;
            let (mut line, _, _) = upstream.called().await;
            let first = "data: {\"type\":\"x\"}\n\n";
            line.say(format!("{STREAM}{}{half}", chunk(first))).await;
            drop(line);
            let (head, heard) = client.message().await;
            let heard = String::from_utf8(heard).unwrap();
            assert!(head.starts_with("http/1.1 200") && heard.starts_with(first), "{heard}");
            let event = heard.trim_end().rsplit("\n\n").next().unwrap();
            assert_eq!(event.contains("event: error\n"), named, "{heard}");
            let data: Value = serde_json::from_str(event.rsplit("data: ").next().unwrap()).unwrap();
            assert!(data["error"]["message"].as_str().unwrap().contains("[upstream_failed]"), "{heard}");
            assert_eq!(data["type"] == "error", path == "/v1/messages", "{heard}");
            assert!(heard.ends_with("\n\n"));
            assert_free(&site).await;
            assert_eq!(outcome(&site).await["end"], "failed");
        }
    }
}

#[tokio::test]
async fn a_stream_of_lines_that_breaks_off_ends_with_an_error_line() {
    let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    let first = "{\"message\":{\"content\":\"a\"},\"done\":false}\n";
    for part in ["", "{\"message\":{\"con"] {
        let (site, upstream) = site(|_| ()).await;
        let mut client = client(&site).await;
        client.say(post("/api/chat", ACME, "", body)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(format!("{head}{}", chunk(&format!("{first}{part}")))).await;
        drop(line);
        let (head, heard) = client.message().await;
        let heard = String::from_utf8(heard).unwrap();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let error = heard.strip_prefix(&format!("{first}{part}")).unwrap();
        // No blank line, which is no JSON; but what was cut gets its end.
        assert_eq!(error.starts_with('\n'), !part.is_empty(), "{heard}");
        let error: Value = serde_json::from_str(error.trim_start()).unwrap();
        assert!(error["error"].as_str().unwrap().contains("[upstream_failed]"), "{heard}");
        assert_eq!(error["code"], "upstream_failed");
        assert!(heard.ends_with("}\n"));
        assert_free(&site).await;
        assert_eq!(outcome(&site).await["end"], "failed");
    }
}

#[tokio::test]
async fn a_stream_that_ends_only_by_closing_is_whole_only_with_its_last_event() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    for (events, whole) in
        [("data: {}\n\n", false), ("data: {}\n\ndata: [DO", false), ("data: {}\n\ndata: [DONE]\n\n", true)]
    {
        let (site, upstream) = site(|_| ()).await;
        let mut client = client(&site).await;
        client.say(post(CHAT, ACME, "", STREAMED)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(format!("{head}{events}")).await;
        drop(line);
        let (_, heard) = client.message().await;
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.starts_with(events), "{heard}");
        assert_eq!(heard.contains("[upstream_failed]"), !whole, "{heard}");
        assert_eq!(outcome(&site).await["end"], if whole { "complete" } else { "failed" });
    }
}

/// A listener whose queue of connections is full, so that the next one gets no answer at all.
fn deaf() -> (socket2::Socket, Vec<socket2::Socket>, std::net::SocketAddr) {
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let waiting = (0..4)
        .map(|_| {
            let socket = new();
            socket.set_nonblocking(true).unwrap();
            // It is under way, which the system calls an error.
            drop(socket.connect(&address.into()));
            socket
        })
        .collect();
    (listener, waiting, address)
}

#[tokio::test]
async fn an_upstream_that_cannot_be_connected_to_in_time_is_502() {
    let (_listener, _waiting, address) = deaf();
    let (site, _) = site(|dir| {
        edits::aim(dir, &format!("http://{address}"));
        edits::upstream(dir, "timeouts: {connect: 100ms}");
    })
    .await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 502") && head.contains("upstream_failed"), "{head}");
    assert_free(&site).await;
}

#[tokio::test]
async fn the_connect_limit_counts_the_tls_handshake() {
    let (site, upstream) = site(|_| ()).await;
    drop(site);
    let (site, _) = self::site(|dir| {
        edits::aim(dir, &format!("https://{}", upstream.address));
        edits::upstream(dir, "timeouts: {connect: 100ms}");
    })
    .await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 502") && head.contains("upstream_failed"), "{head}");
    assert_free(&site).await;
}

#[tokio::test]
async fn an_upstream_that_does_not_begin_its_answer_in_time_is_504_and_let_go() {
    for said in ["", "HTTP/1.1 200 OK\r\n"] {
        let (site, upstream) = site(|dir| edits::upstream(dir, "timeouts: {first_byte: 100ms}")).await;
        let mut client = client(&site).await;
        client.say(post(CHAT, ACME, "", BODY)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(said).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("http/1.1 504"), "{head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "upstream_timeout");
        line.gone().await;
        assert_free(&site).await;
        let outcome = outcome(&site).await;
        assert_eq!((&outcome["end"], &outcome["status"]), (&json!("failed"), &json!(504)));
    }
}

#[tokio::test]
async fn a_stream_that_stalls_ends_with_an_error_event_and_a_plain_answer_is_broken_off() {
    for (head, body) in [(STREAM, STREAMED), ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", BODY)] {
        let (site, upstream) = site(|dir| edits::upstream(dir, "timeouts: {idle: 100ms}")).await;
        let mut client = client(&site).await;
        client.say(post(CHAT, ACME, "connection: close\r\n", body)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(format!("{head}{}", chunk("data: {}\n\n"))).await;
        let heard = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(heard.contains("[upstream_timeout]") && heard.ends_with("0\r\n\r\n"), head == STREAM, "{heard}");
        line.gone().await;
        assert_free(&site).await;
        assert_eq!(outcome(&site).await["end"], "failed");
    }
}

#[tokio::test]
async fn a_stream_that_never_ends_is_ended_by_the_total_limit() {
    let (site, upstream) = site(|dir| edits::upstream(dir, "timeouts: {total: 300ms}")).await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", STREAMED)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(STREAM).await;
    let drip = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(10));
        while line.try_say(chunk("data: {}\n\n")).await {
            ticks.tick().await;
        }
    };
    let ((_, heard), ()) = tokio::join!(client.message(), drip);
    assert!(String::from_utf8(heard).unwrap().contains("[upstream_timeout]"));
    assert_free(&site).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_after_the_idle_limit() {
    let (site, upstream) = site(|dir| edits::add(dir, "limits: {idle_timeout: 500ms}")).await;
    let mut client = client(&site).await;
    client.say(post(CHAT, ACME, "", STREAMED)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(STREAM).await;
    let event = chunk(&format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(60_000)));
    let pump = async { while line.try_say(&event).await {} };
    tokio::time::timeout(support::PATIENCE * 2, pump).await.expect("the upstream is let go");
    eventually("the place is free", async || standing(&site).await).await;
    assert_cancelled(&site, &json!(200)).await;
    drop(client);
}
