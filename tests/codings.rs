//! Content codings: what a client sends in gzip or zstd is judged and forwarded plain, and what an upstream sends in a
//! coding that nobody asked for reaches the client plain, whole or not at all.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::Method;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use support::wire::{Line, Upstream, edits, post};
use support::{ACME, Answer, CHAT, Site, eventually, is};

const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
const ROGUE: &str = r#"{"model":"rogue-model","messages":[{"role":"user","content":"hi"}]}"#;
const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}\"}}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

async fn sent(site: &Site, path: &str, coding: &str, body: Vec<u8>) -> Answer {
    let bearer = format!("Bearer {ACME}");
    let head = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("content-encoding", coding)];
    site.ask(Method::POST, path, &head, Bytes::from(body)).await
}

#[tokio::test]
async fn a_coded_body_is_judged_and_forwarded_plain() {
    let site = Site::open().await;
    let long =
        json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "lorem ipsum ".repeat(50_000)}]})
            .to_string();
    for text in [BODY, &long] {
        for (coding, body) in [("gzip", gzip(text.as_bytes())), ("ZSTD", zstd(text.as_bytes()))] {
            site.simulator.forget();
            let received = body.len();
            assert_eq!(sent(&site, CHAT, coding, body).await.status, 200);
            let heard = site.simulator.heard();
            assert_eq!(heard.len(), 1);
            assert!(heard[0].body == text, "{coding}: another body went upstream");
            assert!(!heard[0].headers.contains_key("content-encoding"));
            assert_eq!(heard[0].headers["content-length"], text.len().to_string());
            let records = site.records();
            let last = records.iter().rfind(|record| is(record, "decision")).unwrap();
            assert_eq!(last["data"]["http"]["bytes_in"], received, "as received");
        }
    }
    site.simulator.forget();
    for (coding, body) in [("gzip", gzip(ROGUE.as_bytes())), ("zstd", zstd(ROGUE.as_bytes()))] {
        assert_eq!(sent(&site, CHAT, coding, body).await.reason(), "model_unknown");
    }
    assert_eq!(site.simulator.heard().len(), 0);
}

#[tokio::test]
async fn the_gates_own_endpoints_take_coded_bodies_too() {
    let site = Site::open().await;
    let check = json!({"model": "gpt-4o-mini", "operation": "chat"}).to_string();
    for (coding, body) in [("gzip", gzip(check.as_bytes())), ("zstd", zstd(check.as_bytes()))] {
        let answer = sent(&site, "/v1/check", coding, body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["allowed"]), (200, &json!(true)), "{}", answer.json());
    }
    let evaluate = gzip(br#"{"customer_id":"acme"}"#);
    assert_eq!(sent(&site, "/api/evaluate", "gzip", evaluate).await.status, 200);
    assert_eq!(sent(&site, "/v1/check", "br", b"x".to_vec()).await.reason(), "unsupported_encoding");
}

#[tokio::test]
async fn a_bomb_is_413_and_leaves_no_trace_in_the_budget() {
    let site = Site::with(|dir| edits::add(dir, "limits: {body_limit: 1MiB, body_budget: 64MiB}")).await;
    let block = [&((131_072_u32 << 3) | 2).to_le_bytes()[..3], b"["].concat();
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3][..], &block.repeat(40_000)].concat();
    for (coding, body) in [("gzip", gzip(&vec![b'['; 200_000_000])), ("zstd", zstd)] {
        assert!(body.len() < 1 << 20);
        let answer = sent(&site, CHAT, coding, body).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (413, "body_too_large"), "{coding}");
    }
    let small = "[".repeat(900_000);
    for (coding, body) in [("gzip", gzip(small.as_bytes())), ("zstd", self::zstd(small.as_bytes()))] {
        let answer = sent(&site, CHAT, coding, body).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (400, "malformed_request"), "{coding}: nested too deep");
    }
    eventually("all room is back", async || (site.metric("portcullis_body_bytes ").await == Some(0.0)).then_some(()))
        .await;
    assert_eq!(site.simulator.stats().requests, 0);
}

#[tokio::test]
async fn what_has_no_one_reading_is_400_and_says_so() {
    let site = Site::open().await;
    let (gz, zs) = (gzip(BODY.as_bytes()), zstd(BODY.as_bytes()));
    for (what, coding, body) in [
        ("cut", "gzip", gz[..gz.len() - 1].to_vec()),
        ("bytes behind", "gzip", [&gz[..], b"x"].concat()),
        ("a second member", "gzip", [gz.clone(), gzip(ROGUE.as_bytes())].concat()),
        ("a wrong checksum", "gzip", {
            let mut bad = gz.clone();
            let at = bad.len() - 5;
            bad[at] ^= 1;
            bad
        }),
        ("plain", "gzip", BODY.as_bytes().to_vec()),
        ("the other", "zstd", gz.clone()),
        ("cut", "zstd", zs[..zs.len() - 1].to_vec()),
        ("bytes behind", "zstd", [&zs[..], b"x"].concat()),
        ("a second frame", "zstd", [zs.clone(), zstd(ROGUE.as_bytes())].concat()),
        ("a frame to skip", "zstd", [b"\x50\x2a\x4d\x18\0\0\0\0", &zs[..]].concat()),
        ("a frame to skip behind", "zstd", [&zs[..], b"\x50\x2a\x4d\x18\0\0\0\0"].concat()),
        ("a window of 1 GiB", "zstd", [&[0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3, 9, 0, 0][..], b"{"].concat()),
        ("a dictionary", "zstd", b"\x28\xb5\x2f\xfd\x21\x07\x01\x09\x00\x00{".to_vec()),
    ] {
        let answer = sent(&site, CHAT, coding, body).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (400, "malformed_request"), "{what} in {coding}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("coded body"), "{what} in {coding}: {message}");
    }
    assert_eq!(site.simulator.stats().requests, 0);
}

async fn before(upstream: &Upstream) -> Site {
    Site::with(|dir| {
        edits::aim(dir, &upstream.url());
        edits::upstream(dir, "breaker: {failures: 1000}");
    })
    .await
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// One call that is answered with this head and these pieces, a length or chunks around them: what the client hears.
async fn relayed(site: &Site, upstream: &Upstream, fields: &str, pieces: &[&[u8]], chunked: bool) -> (String, Vec<u8>) {
    let mut client = Line::open(site.app.listen()).await;
    client.say(post(CHAT, ACME, "connection: close\r\n", BODY)).await;
    let (mut line, head, _) = upstream.called().await;
    assert!(head.contains("accept-encoding: identity"), "{head}");
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let framing = if chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {length}") };
    line.say(format!("HTTP/1.1 200 OK\r\n{fields}{framing}\r\n\r\n")).await;
    for piece in pieces {
        line.say(if chunked { chunk(piece) } else { piece.to_vec() }).await;
    }
    if chunked {
        line.say("0\r\n\r\n").await;
    }
    let head = client.head().await;
    let rest = client.rest().await;
    (head, rest)
}

/// A chunked body with its framing taken off, or nothing when it does not come to its end.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
        if size == 0 {
            return Some(body);
        }
    }
}

#[tokio::test]
async fn an_answer_in_a_coding_reaches_client_and_watch_plain() {
    let upstream = Upstream::open().await;
    let site = before(&upstream).await;
    let whole = r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}"#;
    let mut calls = 0;
    for (media, text) in [("application/json", whole), ("text/event-stream", EVENTS)] {
        for (coding, coded) in [
            ("gzip", gzip(text.as_bytes())),
            ("zstd", zstd(text.as_bytes())),
            ("deflate", zlib(text.as_bytes())),
            ("identity", text.as_bytes().to_vec()),
        ] {
            let (first, second) = coded.split_at(coded.len() / 2);
            for chunked in [true, false] {
                let fields = format!("content-type: {media}\r\ncontent-encoding: {coding}\r\n");
                let (head, rest) = relayed(&site, &upstream, &fields, &[first, second], chunked).await;
                assert!(head.starts_with("http/1.1 200") && !head.contains("content-encoding"), "{head}");
                let body = if head.contains("chunked") { unchunked(&rest).unwrap() } else { rest };
                assert!(body == text.as_bytes(), "{coding} {media}");
                calls += 1;
            }
        }
    }
    let outcomes = eventually("all are recorded", async || {
        let found: Vec<Value> = site.records().into_iter().filter(|record| is(record, "outcome")).collect();
        (found.len() >= calls).then_some(found)
    })
    .await;
    let due = json!({"input": 11, "output": 7, "cached": 0, "reasoning": 0, "estimated": false});
    for outcome in outcomes {
        assert_eq!((&outcome["data"]["usage"], &outcome["data"]["end"]), (&due, &json!("complete")), "{outcome}");
    }
}

#[tokio::test]
async fn a_coding_that_nobody_undoes_is_502_and_a_broken_one_is_never_whole() {
    let upstream = Upstream::open().await;
    let site = before(&upstream).await;
    let text = br#"{"choices":[]}"#;
    for lines in [
        "content-encoding: br\r\n",
        "content-encoding: gzip, gzip\r\n",
        "content-encoding:\r\n",
        "content-encoding: gzip\r\ncontent-encoding: identity\r\n",
    ] {
        let fields = format!("content-type: application/json\r\n{lines}");
        let (head, body) = relayed(&site, &upstream, &fields, &[&gzip(text)], true).await;
        assert!(head.starts_with("http/1.1 502"), "{head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "upstream_failed");
    }
    let coded = gzip(text);
    let mut damaged = coded.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    for (what, bytes) in [
        ("cut", coded[..coded.len() - 3].to_vec()),
        ("damaged", damaged),
        ("bytes behind", [&coded[..], b"evil"].concat()),
        ("two members", [coded.clone(), coded.clone()].concat()),
        ("plain", text.to_vec()),
        ("nothing", Vec::new()),
    ] {
        let fields = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
        let halves = [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]];
        let pieces: Vec<&[u8]> = halves.into_iter().filter(|piece| !piece.is_empty()).collect();
        let (head, rest) = relayed(&site, &upstream, fields, &pieces, true).await;
        assert!(!head.starts_with("http/1.1 200") || unchunked(&rest).is_none(), "{what} passed as whole: {rest:?}");
        assert!(!String::from_utf8_lossy(&rest).contains("evil"), "{what}");
        // A stream of events ends with the dialect's error event instead.
        let fields = "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n";
        let cut = gzip(EVENTS.as_bytes());
        let (_, rest) = relayed(&site, &upstream, fields, &[&cut[..cut.len() - 4]], true).await;
        assert!(String::from_utf8_lossy(&rest).contains("upstream_failed"), "{rest:?}");
    }
}
