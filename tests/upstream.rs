//! The way out: what the gate makes of an upstream that misbehaves, is not there, or comes back; and that nothing of
//! the upstream's own reaches the client.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use portcullis::simulator::{Framing, Orders, Simulator};
use serde_json::{Value, json};
use support::wire::certificates::Authority;
use support::wire::{Line, Upstream, edits, post};
use support::{ACME, CHAT, Site, UPSTREAM_KEY, chat_body, eventually, is};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;

const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

async fn site(change: impl FnOnce(&Path)) -> (Site, Upstream) {
    let upstream = Upstream::open().await;
    let site = Site::with(|dir| {
        edits::aim(dir, &upstream.url());
        change(dir);
    })
    .await;
    (site, upstream)
}

async fn ask(site: &Site) -> Line {
    let mut client = Line::open(site.app.listen()).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    client
}

/// One call that the upstream answers with these bytes and a closed connection: what the client hears.
async fn heard(site: &Site, upstream: &Upstream, said: &str) -> (String, Vec<u8>) {
    let mut client = ask(site).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(said).await;
    drop(line);
    client.message().await
}

async fn breaker(site: &Site) -> String {
    site.admin("/status").await.json()["breakers"]["sim"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_not_passed_on() {
    let elsewhere = Upstream::open().await;
    let (site, upstream) = site(|_| ()).await;
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let location = format!("location: {}/v1/chat/completions\r\n", elsewhere.url());
        let said = format!("HTTP/1.1 {status} Elsewhere\r\n{location}content-length: 0\r\n\r\n");
        let (head, body) = heard(&site, &upstream, &said).await;
        assert!(head.starts_with("http/1.1 502") && !head.contains("location"), "{status}: {head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "upstream_failed");
        // So that the breaker does not rest it before all were tried.
        assert!(heard(&site, &upstream, ANSWER).await.0.starts_with("http/1.1 200"));
    }
    elsewhere.assert_alone().await;
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_no_tunnel() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = ask(&site).await;
    let (mut line, head, _) = upstream.called().await;
    assert!(!head.contains("upgrade"), "{head}");
    line.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nsecret").await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("http/1.1 502") && !head.contains("upgrade"), "{head}");
    assert!(!String::from_utf8(body).unwrap().contains("secret"));
    client.try_say("through the tunnel").await;
    assert_eq!(line.rest().await, b"", "nothing of the client comes through");
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let (site, upstream) = site(|_| ()).await;
    let interim =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let (head, body) = heard(&site, &upstream, &format!("{interim}{ANSWER}")).await;
    assert!(head.starts_with("http/1.1 200") && !head.contains("link"), "{head}");
    assert_eq!(body, b"{}");
}

#[tokio::test]
async fn a_head_that_two_parsers_could_read_differently_is_502() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for said in [
        format!("{ok}content-length: 2\r\ncontent-length: 4\r\n\r\n{{}}  "),
        format!("{ok}content-length: 2, 4\r\n\r\n{{}}  "),
        format!("{ok}content-length: -2\r\n\r\n{{}}"),
        format!("{ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{ok}content-length: 100\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{ok}content-length: 2\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{ok}transfer-encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{ok}transfer-encoding: chunked, gzip\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{ok}x a: b\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{ok}x-folded: a\r\n b\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{ok}x-zero: a\0b\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{ok}x-return: a\rb\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{ok}content-length : 2\r\n\r\n{{}}"),
        format!("{ok}content-length: 0x2\r\n\r\n{{}}"),
        format!("{ok}content-length: 18446744073709551616\r\n\r\n{{}}"),
        "HTTP/1.1 1000 Much\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 OK\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        "{}".to_owned(),
    ] {
        let (site, upstream) = site(|_| ()).await;
        let (head, body) = heard(&site, &upstream, &said).await;
        assert!(head.starts_with("http/1.1 502"), "{said:?}: {head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "upstream_failed");
    }
}

#[tokio::test]
async fn a_chunk_that_is_none_ends_no_answer() {
    for chunks in [
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}xx\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
        "3\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n",
        "2\r\n{}\r\n0\r\n",
    ] {
        let (site, upstream) = site(|_| ()).await;
        let mut client = ask(&site).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        ))
        .await;
        drop(line);
        let heard = String::from_utf8(client.rest().await).unwrap();
        assert!(!heard.ends_with("0\r\n\r\n") && !heard.contains("content-length"), "{chunks:?}: {heard}");
        assert_eq!(outcomes(&site, 1).await[0]["data"]["end"], "failed", "{chunks:?}");
    }
}

#[tokio::test]
async fn a_plain_answer_that_ends_by_closing_is_whole_only_with_its_last_bracket() {
    let document = r#"{"choices":[{"text":"}"}]}"#;
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        for (said, is_whole) in [(document, true), (&document[..20], false), ("", false), ("<html></html>", false)] {
            let (site, upstream) = site(|_| ()).await;
            let mut client = ask(&site).await;
            let (mut line, _, _) = upstream.called().await;
            line.say(format!("{version} 200 OK\r\ncontent-type: application/json\r\n\r\n{said}")).await;
            drop(line);
            if is_whole {
                let (head, body) = client.message().await;
                assert!(head.starts_with("http/1.1 200") && body == said.as_bytes(), "{head}");
            } else {
                let heard = client.rest().await;
                assert!(!heard.ends_with(b"0\r\n\r\n"), "{said:?} passed as whole");
            }
            let end = if is_whole { "complete" } else { "failed" };
            assert_eq!(outcomes(&site, 1).await[0]["data"]["end"], end, "{said:?}");
        }
    }
}

#[tokio::test]
async fn no_broken_framing_is_passed_on_as_a_whole_answer() {
    let site = Site::with(|dir| edits::upstream(dir, "breaker: {failures: 1000}")).await;
    for (name, framing) in Framing::ALL {
        site.simulator.next(1, Orders { framing: Some(*framing), ..Orders::default() });
        let mut client = Line::open(site.app.listen()).await;
        client.say(post(CHAT, ACME, "connection: close\r\n", BODY)).await;
        let heard = String::from_utf8(client.rest().await).unwrap();
        assert!(!heard.contains("evil"), "{name}: a second answer came through");
        // What is broken before its first byte may end without any answer.
        assert!(heard.matches("HTTP/1.1 ").count() <= 1, "{name}: {heard}");
        let (head, body) = heard.split_once("\r\n\r\n").unwrap_or_default();
        let announced = support::wire::length(&head.to_ascii_lowercase());
        let whole = announced.map_or_else(|| body.ends_with("0\r\n\r\n"), |announced| announced == body.len());
        // These two say the answer whole and in order; what is odd stands before or behind it.
        let fine = ["interim", "two_answers"].contains(name);
        assert_eq!(head.starts_with("HTTP/1.1 200") && whole, fine, "{name}: {heard}");
    }
}

#[tokio::test]
async fn a_second_answer_never_becomes_the_next_calls() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = ask(&site).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(format!("{ANSWER}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")).await;
    assert_eq!(client.message().await.1, b"{}");
    let mut next = ask(&site).await;
    let (mut fresh, _, _) = upstream.called().await;
    fresh.say(ANSWER).await;
    assert_eq!(next.message().await.1, b"{}");
}

/// Call that was made, told by its log line of the outcome.
async fn outcomes(site: &Site, count: usize) -> Vec<Value> {
    eventually("the outcomes are recorded", async || {
        let found: Vec<Value> = site.records().into_iter().filter(|record| is(record, "outcome")).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

#[tokio::test]
async fn a_call_is_tried_again_only_while_no_byte_of_it_was_sent() {
    // The connection is made and the request read: no second try, whatever becomes of it.
    let (site, upstream) = site(|dir| edits::upstream(dir, "retries: 3")).await;
    let (head, _) = heard(&site, &upstream, "").await;
    assert!(head.starts_with("http/1.1 502"), "{head}");
    upstream.assert_alone().await;
    assert_eq!(outcomes(&site, 1).await.len(), 1);

    // The handshake fails, so nothing of the call was sent: as many more tries as configured, then 502.
    for retries in [0, 2] {
        let (closing, upstream) = {
            let upstream = Upstream::open().await;
            let site = Site::with(|dir| {
                edits::aim(dir, &format!("https://{}", upstream.address));
                edits::upstream(dir, &format!("retries: {retries}"));
            })
            .await;
            (site, upstream)
        };
        let mut client = ask(&closing).await;
        for _ in 0..=retries {
            drop(upstream.accept().await);
        }
        assert!(client.head().await.starts_with("http/1.1 502"));
        upstream.assert_alone().await;
        assert_eq!(outcomes(&closing, 1).await.len(), 1, "tries are one call");
    }
}

#[tokio::test]
async fn a_pooled_connection_that_the_upstream_closed_costs_no_call() {
    let (site, upstream) = site(|_| ()).await;
    for _ in 0..5 {
        let mut client = ask(&site).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(ANSWER).await;
        assert!(client.head().await.starts_with("http/1.1 200"));
        drop(line);
    }
}

#[tokio::test]
async fn an_upstream_over_tls_is_known_by_the_ca_file_alone() {
    for alpn in [vec!["http/1.1"], vec![]] {
        let (authority, other) = (Authority::new(), Authority::new());
        let acceptor = authority.issue().acceptor(&alpn);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        for (trusted, passes) in [(Some(&authority), true), (Some(&other), false), (None, false)] {
            let site = Site::with(|dir| {
                edits::aim(dir, &url);
                if let Some(trusted) = trusted {
                    fs::write(dir.join("upstream-ca.pem"), trusted.pem()).unwrap();
                    edits::upstream(dir, "ca: upstream-ca.pem");
                }
            })
            .await;
            let serve = async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                    let mut request = Vec::new();
                    while !request.ends_with(BODY.as_bytes()) {
                        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                    }
                    assert!(passes, "a call went to an upstream that was not known");
                    stream.write_all(ANSWER.as_bytes()).await.unwrap();
                }
            };
            let call = async { ask(&site).await.head().await };
            let head = tokio::select! { head = call => head, () = serve => unreachable!("it serves for ever") };
            let expected = if passes { "http/1.1 200" } else { "http/1.1 502" };
            assert!(head.starts_with(expected), "{head}");
        }
    }
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let (site, upstream) = site(|_| ()).await;
    let mut client = ask(&site).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(ANSWER).await;
    assert_eq!(client.message().await.1, b"{}");
    for _ in 0..3 {
        let mut client = ask(&site).await;
        assert!(line.message().await.0.starts_with("post /v1/chat/completions http/1.1"));
        line.say(ANSWER).await;
        assert_eq!(client.message().await.1, b"{}");
    }
    upstream.assert_alone().await;
}

#[tokio::test]
async fn calls_to_an_upstream_that_speaks_http2_share_one_connection_at_the_same_time() {
    let authority = Authority::new();
    let acceptor = authority.issue().acceptor(&["h2"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let site = Site::with(|dir| {
        edits::aim(dir, &url);
        fs::write(dir.join("upstream-ca.pem"), authority.pem()).unwrap();
        edits::upstream(dir, "ca: upstream-ca.pem");
    })
    .await;
    // The first call opens the connection; the next ones are answered once all of them are there.
    let together = Arc::new(Barrier::new(3));
    let first = AtomicBool::new(true);
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (together, first) = (Arc::clone(&together), first.swap(false, Ordering::SeqCst));
        async move {
            assert_eq!((request.version(), request.uri().path()), (http::Version::HTTP_2, CHAT));
            assert_eq!(http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes(), BODY);
            if !first {
                together.wait().await;
            }
            let mut answer = http::Response::new(http_body_util::Full::new(bytes::Bytes::from_static(b"{}")));
            answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = hyper_util::rt::TokioIo::new(acceptor.accept(stream).await.unwrap());
        let executor = hyper_util::rt::TokioExecutor::new();
        let connection = hyper::server::conn::http2::Builder::new(executor).serve_connection(stream, service);
        tokio::select! { _ended = connection => {}, _second = listener.accept() => panic!("a second connection") }
    };
    let calls = async {
        assert_eq!(ask(&site).await.message().await.1, b"{}");
        let clients = join_all((0..3).map(|_| ask(&site))).await;
        for answer in join_all(clients.into_iter().map(async |mut client| client.message().await)).await {
            assert!(answer.0.starts_with("http/1.1 200") && answer.1 == b"{}", "{answer:?}");
        }
    };
    tokio::select! { () = calls => {}, () = serve => panic!("the connection ended") }
}

#[tokio::test]
async fn the_breaker_opens_lets_one_probe_through_and_closes() {
    let (site, upstream) = site(|dir| edits::upstream(dir, "breaker: {failures: 2, open_for: 300ms}")).await;
    for _ in 0..2 {
        assert_eq!(breaker(&site).await, "closed");
        let said = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n";
        assert!(heard(&site, &upstream, said).await.0.starts_with("http/1.1 500"));
    }
    eventually("it is open", async || (breaker(&site).await == "open").then_some(())).await;
    let refused = site.chat(&chat_body("gpt-4o-mini", "hi")).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (503, "breaker_open"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    upstream.assert_alone().await;

    // Its rest is over: of ten calls at once, one goes through and nine are refused while it is under way.
    let heads = eventually("a probe is let through", async || {
        let clients = join_all((0..10).map(|_| ask(&site))).await;
        let mut heads = std::pin::pin!(join_all(clients.into_iter().map(async |mut client| client.head().await)));
        let mut line = tokio::select! {
            (line, _, _) = upstream.called() => line,
            _all_refused = &mut heads => return None,
        };
        assert_eq!(breaker(&site).await, "half_open");
        upstream.assert_alone().await;
        line.say(ANSWER).await;
        Some(heads.await)
    })
    .await;
    assert_eq!(heads.iter().filter(|head| head.starts_with("http/1.1 200")).count(), 1, "{heads:?}");
    assert_eq!(heads.iter().filter(|head| head.contains("x-portcullis-reason: breaker_open")).count(), 9, "{heads:?}");
    eventually("it is closed", async || (breaker(&site).await == "closed").then_some(())).await;
    assert!(heard(&site, &upstream, ANSWER).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_probe_that_fails_opens_the_breaker_again() {
    let (site, upstream) = site(|dir| edits::upstream(dir, "breaker: {failures: 1, open_for: 100ms}")).await;
    heard(&site, &upstream, "").await;
    for _ in 0..3 {
        assert_eq!(breaker(&site).await, "open");
        let (mut client, line) = eventually("a probe is let through", async || {
            let mut client = ask(&site).await;
            tokio::select! {
                (line, _, _) = upstream.called() => Some((client, line)),
                _refused = client.head() => None,
            }
        })
        .await;
        drop(line);
        assert!(client.head().await.starts_with("http/1.1 502"));
    }
}

#[tokio::test]
async fn what_the_upstream_refuses_is_no_failure_of_the_upstream() {
    let (site, upstream) = site(|dir| edits::upstream(dir, "breaker: {failures: 1, open_for: 1h}")).await;
    for status in [400, 401, 403, 404, 408, 409, 413, 422, 429, 451] {
        let said = format!("HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno");
        let (head, body) = heard(&site, &upstream, &said).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")) && body == b"no", "{head}");
        assert_eq!(breaker(&site).await, "closed", "{status}");
    }
    let (head, _) = heard(&site, &upstream, "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 503") && !head.contains("x-portcullis-reason"), "{head}");
    assert_eq!(breaker(&site).await, "open");
}

#[tokio::test]
async fn each_kind_of_failure_counts_for_the_breaker() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for said in [
        String::new(),
        "not HTTP\r\n\r\n".to_owned(),
        "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!("{ok}content-length: 100\r\n\r\n{{"),
        format!("{stream}9\r\ndata: {{}}\n\r\n"),
        format!("{stream}{}", "22\r\ndata: {\"error\":{\"message\":\"busy\"}}\n\r\n0\r\n\r\n"),
    ] {
        let (site, upstream) = site(|dir| edits::upstream(dir, "breaker: {failures: 1, open_for: 1h}")).await;
        let mut client = ask(&site).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(&said).await;
        drop(line);
        eventually("it is open", async || (breaker(&site).await == "open").then_some(())).await;
        drop(client.head().await);
    }
}

#[tokio::test]
async fn a_success_between_failures_keeps_the_breaker_closed() {
    let (site, upstream) = site(|dir| edits::upstream(dir, "breaker: {failures: 2, open_for: 1h}")).await;
    for _ in 0..4 {
        heard(&site, &upstream, "").await;
        heard(&site, &upstream, ANSWER).await;
    }
    assert_eq!(breaker(&site).await, "closed");
}

#[tokio::test]
async fn nothing_of_the_upstreams_own_reaches_the_client() {
    let (site, upstream) = site(|_| ()).await;
    let own = "set-cookie: a=b\r\nserver: vendor\r\nopenai-organization: org-x\r\nopenai-project: proj\r\n\
        anthropic-organization-id: x\r\nx-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 1\r\n\
        x-ratelimit-remaining-tokens: 1\r\nx-ratelimit-reset-tokens: 1s\r\nanthropic-ratelimit-requests-remaining: 1\r\n\
        alt-svc: h3=\":443\"\r\nstrict-transport-security: max-age=1\r\nx-request-id: theirs\r\n\
        x-correlation-id: theirs\r\nx-portcullis-decision: block\r\nx-portcullis-reason: theirs\r\nx-portcullis-audit: theirs#1\r\n\
        connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\n";
    let said = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nopenai-processing-ms: 7\r\n{own}content-length: 2\r\n\r\n{{}}"
    );
    let (head, _) = heard(&site, &upstream, &said).await;
    let lines: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    for name in [
        "set-cookie",
        "server",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "alt-svc",
        "strict-transport-security",
        "x-hop",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
        "x-portcullis-reason",
        "anthropic-ratelimit-requests-remaining",
    ] {
        assert!(!lines.iter().any(|(found, _)| *found == name), "{name} came through: {head}");
    }
    let of = |name: &str| -> Vec<&str> { lines.iter().filter(|(found, _)| *found == name).map(|(_, v)| *v).collect() };
    assert_eq!(of("x-portcullis-decision"), ["allow"]);
    assert_eq!(of("x-ratelimit-limit-requests"), ["1000000"]);
    assert_eq!(of("x-ratelimit-limit-tokens"), ["1000000000"]);
    for name in ["x-request-id", "x-correlation-id", "x-portcullis-audit"] {
        assert!(of(name).len() == 1 && !of(name)[0].contains("theirs"), "{name}: {head}");
    }
    // What says something about the answer itself stays.
    assert_eq!((of("content-type"), of("openai-processing-ms")), (vec!["application/json"], vec!["7"]));
}

#[tokio::test]
async fn the_upstream_gets_its_own_credential_where_its_dialect_puts_it_and_nothing_of_the_client() {
    let (site, upstream) = site(|_| ()).await;
    let messages =
        json!({"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    for (path, body, line) in [
        (CHAT, BODY.to_owned(), format!("authorization: bearer {UPSTREAM_KEY}\r\n")),
        ("/v1/messages", messages.to_string(), format!("x-api-key: {UPSTREAM_KEY}\r\n")),
    ] {
        let mut client = Line::open(site.app.listen()).await;
        client
            .say(post(path, ACME, "cookie: a=b\r\nx-forwarded-for: 10.0.0.1\r\naccept-encoding: gzip\r\n", &body))
            .await;
        let (mut peer, head, sent) = upstream.called().await;
        assert!(head.contains(&line), "{head}");
        assert!(!head.contains("pcl_") && !head.contains("cookie") && !head.contains("x-forwarded"), "{head}");
        assert!(head.contains("accept-encoding: identity"), "{head}");
        assert_eq!(sent, body.as_bytes());
        peer.say(ANSWER).await;
        client.message().await;
    }
}

#[tokio::test]
async fn an_answer_in_a_coding_that_was_not_asked_for_loses_coding_and_label() {
    let simulator = Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap().expecting_key(UPSTREAM_KEY);
    let site = Site::with(|dir| edits::aim(dir, &simulator.url())).await;
    simulator.next(1, Orders { gzip: true, ..Orders::default() });
    let answer = site.chat(&chat_body("gpt-4o-mini", "hi")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (200, ""));
    assert_eq!(answer.json()["object"], "chat.completion");
}
