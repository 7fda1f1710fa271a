//! Amazon's event streams on the way back: byte for byte, by whole messages, and ended by an exception that its SDKs read
//! when the upstream breaks off, wherever it does.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use portcullis::call::message;
use serde_json::Value;
use support::wire::{Line, Upstream, edits, post};
use support::{ACME, Site, eventually, is};

const PATH: &str = "/model/claude-sonnet-4-5/converse-stream";
const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":9}}"#;
const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n";

async fn site() -> (Site, Upstream) {
    let upstream = Upstream::open().await;
    let site = Site::with(|dir| {
        edits::aim(dir, &upstream.url());
        edits::upstream(dir, "breaker: {failures: 1000, open_for: 1s}");
    })
    .await;
    (site, upstream)
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    message(&[(":event-type", name), (":message-type", "event")], payload.as_bytes())
}

fn stream() -> Vec<Vec<u8>> {
    vec![
        event("messageStart", r#"{"role":"assistant"}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"é 漢"}}"#),
        event("messageStop", r#"{"stopReason":"end_turn"}"#),
        event("metadata", r#"{"usage":{"inputTokens":11,"outputTokens":7,"totalTokens":18}}"#),
    ]
}

async fn ends(site: &Site, count: usize) -> Vec<Value> {
    eventually("the outcomes are recorded", async || {
        let found: Vec<Value> = site.records().into_iter().filter(|record| is(record, "outcome")).collect();
        (found.len() >= count).then(|| found.iter().map(|outcome| outcome["data"].clone()).collect())
    })
    .await
}

#[tokio::test]
async fn messages_pass_byte_for_byte_whatever_their_chunks() {
    let (site, upstream) = site().await;
    let bytes = stream().concat();
    let mut chunkings: Vec<Vec<&[u8]>> = vec![bytes.chunks(1).collect()];
    chunkings.extend((1..=bytes.len()).step_by(3).map(|at| vec![&bytes[..at], &bytes[at..]]));
    let mut client = Line::open(site.app.listen()).await;
    let mut line = None;
    let calls = chunkings.len();
    for pieces in chunkings {
        client.say(post(PATH, ACME, "", BODY)).await;
        let mut peer = match line.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        peer.message().await;
        peer.say(HEAD).await;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            peer.say(chunk(piece)).await;
        }
        peer.say("0\r\n\r\n").await;
        let (head, heard) = client.message().await;
        assert!(head.contains("content-type: application/vnd.amazon.eventstream"), "{head}");
        assert!(heard == bytes);
        line = Some(peer);
    }
    for data in ends(&site, calls).await {
        assert_eq!(
            (&data["usage"]["input"], &data["usage"]["output"], &data["end"]),
            (&11.into(), &7.into(), &"complete".into())
        );
    }
}

/// What the client hears when the upstream says this much and goes, or says it and ends the body as if all were well.
async fn heard(site: &Site, upstream: &Upstream, said: &[u8], ends_well: bool) -> Vec<u8> {
    let mut client = Line::open(site.app.listen()).await;
    client.say(post(PATH, ACME, "", BODY)).await;
    let mut peer = upstream.accept().await;
    peer.message().await;
    peer.say(HEAD).await;
    peer.say(chunk(said)).await;
    if ends_well {
        peer.say("0\r\n\r\n").await;
    }
    drop(peer);
    client.message().await.1
}

/// Whether these are whole messages and then exactly one more, an exception with this code.
fn ends_in_exception(heard: &[u8], whole: &[u8], code: &str) -> bool {
    let Some(last) = heard.strip_prefix(whole) else { return false };
    let says = |text: &str| last.windows(text.len()).any(|window| window == text.as_bytes());
    let length = u32::from_be_bytes(last[..4].try_into().unwrap()) as usize;
    last.len() == length && says("exception") && says("modelStreamErrorException") && says(code)
}

#[tokio::test]
async fn an_upstream_that_breaks_off_anywhere_leaves_whole_messages_and_an_exception() {
    let (site, upstream) = site().await;
    let (first, second) = (stream()[0].clone(), stream()[1].clone());
    let bytes = [first.clone(), second.clone()].concat();
    let mut calls = 0;
    for at in [3, 11, 12, 40, first.len() - 1, first.len(), first.len() + 5, bytes.len() - 1, bytes.len()] {
        let whole = if at == bytes.len() {
            &bytes[..]
        } else if at >= first.len() {
            &first[..]
        } else {
            &[]
        };
        let heard = heard(&site, &upstream, &bytes[..at], false).await;
        assert!(ends_in_exception(&heard, whole, "upstream_failed"), "{at}: {:?}", String::from_utf8_lossy(&heard));
        calls += 1;
    }
    // A body that ends as it should inside a message is cut all the same.
    let heard_cut = heard(&site, &upstream, &bytes[..first.len() + 5], true).await;
    assert!(ends_in_exception(&heard_cut, &first, "upstream_failed"));
    assert!(ends(&site, calls + 1).await.iter().all(|data| data["end"] == "failed"));
}

#[tokio::test]
async fn a_message_with_a_wrong_sum_ends_the_stream_before_it() {
    let (site, upstream) = site().await;
    let (first, good) = (stream()[0].clone(), stream()[1].clone());
    for at in [2, 9, 20, good.len() - 2] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let said = [first.as_slice(), &bad, &good].concat();
        let heard = heard(&site, &upstream, &said, true).await;
        assert!(ends_in_exception(&heard, &first, "upstream_failed"), "{at}");
    }
}

#[tokio::test]
async fn a_message_reaches_the_client_before_the_upstream_has_said_the_next() {
    let (site, upstream) = site().await;
    let mut client = Line::open(site.app.listen()).await;
    client.say(post(PATH, ACME, "", BODY)).await;
    let mut peer = upstream.accept().await;
    peer.message().await;
    peer.say(HEAD).await;
    let first = stream()[0].clone();
    peer.say(chunk(&first)).await;
    client.head().await;
    let arrived = client.take(chunk(&first).len()).await;
    assert_eq!(arrived, chunk(&first));
}
