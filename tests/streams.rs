//! The way back: events pass as they came and when they came, whatever their chunks; tokens are settled from what the
//! answer says, before a plain answer's last byte; memory stays small.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use serde_json::{Value, json};
use support::wire::process::{Process, gate};
use support::wire::{Line, Upstream, edits, length, post};
use support::{ACME, CHAT, Site, eventually, is, policy_directory};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"max_tokens":100}"#;
const STREAMED: &str = r#"{"model":"gpt-4o-mini","messages":[],"stream":true,"max_tokens":100}"#;

async fn site() -> (Site, Upstream) {
    let upstream = Upstream::open().await;
    let site = Site::with(|dir| {
        edits::aim(dir, &upstream.url());
        edits::limits(dir, "{requests_per_minute: 1000000, tokens_per_minute: 60000, concurrent: 8}");
    })
    .await;
    (site, upstream)
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

async fn outcomes(site: &Site, count: usize) -> Vec<Value> {
    eventually("the outcomes are recorded", async || {
        let found: Vec<Value> = site.records().into_iter().filter(|record| is(record, "outcome")).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

/// Events with every line end, a byte order mark, comments, several data lines, and characters of two to four bytes.
const EVENTS: &str = "\u{feff}: hello\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"é 漢 🦜\"}}]}\r\n\r\n\
    event: x\rdata: one\rdata: two\r\rid: 7\nretry: 10\n\ndata:no blank\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\r\n\r\ndata: [DONE]\n\n";

#[tokio::test]
async fn events_pass_byte_for_byte_whatever_their_chunks() {
    let (site, upstream) = site().await;
    let bytes = EVENTS.as_bytes();
    let mut chunkings: Vec<Vec<&[u8]>> = vec![vec![bytes], bytes.chunks(1).collect(), bytes.chunks(7).collect()];
    chunkings.extend((1..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]));
    let mut client = Line::open(site.app.listen()).await;
    let mut line = None;
    let calls = chunkings.len();
    for pieces in chunkings {
        client.say(post(CHAT, ACME, "", STREAMED)).await;
        let mut peer = match line.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        peer.message().await;
        peer.say(STREAM).await;
        for piece in &pieces {
            peer.say(chunk(piece)).await;
        }
        peer.say("0\r\n\r\n").await;
        let (head, heard) = client.message().await;
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(heard == bytes, "{pieces:?}\n{:?}", String::from_utf8_lossy(&heard));
        line = Some(peer);
    }
    for outcome in outcomes(&site, calls).await {
        let expected = json!({"input": 11, "output": 7, "cached": 0, "reasoning": 0, "estimated": false});
        assert_eq!((&outcome["data"]["usage"], &outcome["data"]["end"]), (&expected, &json!("complete")));
    }
}

#[tokio::test]
async fn an_event_reaches_the_client_before_the_upstream_has_said_the_next() {
    let (site, upstream) = site().await;
    let mut client = Line::open(site.app.listen()).await;
    client.say(post(CHAT, ACME, "", STREAMED)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(STREAM).await;
    // The head alone comes through, before any event.
    assert!(client.head().await.starts_with("http/1.1 200"));
    for n in 0..20 {
        let event = format!("data: {n}\n\n");
        line.say(chunk(event.as_bytes())).await;
        client.until(&event).await;
        // Not even an event has to be whole.
        line.say(chunk(b": par")).await;
        client.until(": par").await;
        line.say(chunk(b"tial\n\n")).await;
        client.until("tial\n\n").await;
    }
    line.say("0\r\n\r\n").await;
    assert!(client.until("0\r\n\r\n").await.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn streams_are_settled_with_what_their_provider_counted() {
    let site = Site::open().await;
    let order = "sim:usage_in=1000,usage_out=77";
    let chat = json!({"model": "gpt-4o-mini", "messages": [], "stream": true, "user": order,
        "stream_options": {"include_usage": true}});
    let messages = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "hi"}], "metadata": {"user_id": order}});
    let responses = json!({"model": "gpt-4o-mini", "input": "hi", "stream": true, "user": order});
    for (path, body) in [(CHAT, &chat), ("/v1/messages", &messages), ("/v1/responses", &responses)] {
        let answer = site.post(ACME, path, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type").split(';').next()),
            (200, Some("text/event-stream"))
        );
    }
    for outcome in outcomes(&site, 3).await {
        let expected = json!({"input": 1000, "output": 77, "cached": 0, "reasoning": 0, "estimated": false});
        assert_eq!(outcome["data"]["usage"], expected, "{outcome}");
        assert_eq!(outcome["data"]["cost"], json!({"amount": "0.0001962", "currency": "USD"}));
    }
}

#[tokio::test]
async fn googles_and_azures_answers_are_settled_in_every_framing() {
    let site = Site::open().await;
    let order = "sim:usage_in=1000,usage_out=77";
    let google = json!({"contents": [{"parts": [{"text": "hi"}]}], "labels": {"user": order}});
    let azure = json!({"messages": [], "stream": true, "user": order, "stream_options": {"include_usage": true}});
    let claude = json!({"max_tokens": 9, "stream": true, "messages": [], "metadata": {"user_id": order}});
    let at_vertex = "/v1/projects/p-1/locations/global/publishers";
    let calls = [
        ("/v1beta/models/gemini-2.5-flash:generateContent".to_owned(), &google, "application/json"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent".to_owned(), &google, "application/json"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse".to_owned(), &google, "text/event-stream"),
        (format!("{at_vertex}/google/models/gemini-2.5-flash:streamGenerateContent"), &google, "application/json"),
        (format!("{at_vertex}/anthropic/models/claude-sonnet-4-5:streamRawPredict"), &claude, "text/event-stream"),
        ("/openai/deployments/gpt-4o-mini/chat/completions?api-version=x".to_owned(), &azure, "text/event-stream"),
    ];
    let count = calls.len();
    for (path, body, kind) in calls {
        let answer = site.post(ACME, &path, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type").split(';').next()),
            (200, Some(kind)),
            "{path}"
        );
    }
    for outcome in outcomes(&site, count).await {
        let expected = json!({"input": 1000, "output": 77, "cached": 0, "reasoning": 0, "estimated": false});
        assert_eq!((&outcome["data"]["usage"], &outcome["data"]["end"]), (&expected, &json!("complete")), "{outcome}");
    }
}

#[tokio::test]
async fn what_no_provider_counted_is_marked_as_an_estimate() {
    let site = Site::open().await;
    let user = "sim:no_usage,chunks=30";
    for stream in [true, false] {
        let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x".repeat(400)}],
            "stream": stream, "user": user});
        assert_eq!(site.post(ACME, CHAT, &body).await.status, 200);
    }
    for outcome in outcomes(&site, 2).await {
        let usage = &outcome["data"]["usage"];
        assert_eq!((&usage["estimated"], &outcome["data"]["end"]), (&json!(true), &json!("complete")));
        assert!(usage["input"].as_u64().unwrap() >= 100, "{usage}");
        assert!((30..400).contains(&usage["output"].as_u64().unwrap()), "{usage}");
    }
}

#[tokio::test]
async fn a_plain_answer_is_settled_before_its_last_byte_is_released() {
    let (site, upstream) = site().await;
    let answer = r#"{"choices":[],"usage":{"prompt_tokens":20000,"completion_tokens":5000}}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let with_length = (format!("{head}content-length: {}\r\n\r\n{}", answer.len(), &answer[..answer.len() - 1]), "}");
    let chunked = (format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{answer}\r\n", answer.len()), "0\r\n\r\n");
    for (left, (most, last)) in [(35_000, with_length), (10_000, chunked)] {
        let mut client = Line::open(site.app.listen()).await;
        client.say(post(CHAT, ACME, "", BODY)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(&most).await;
        assert!(client.head().await.starts_with("http/1.1 200"));
        let spent = async || {
            let standing = site.post(ACME, "/api/evaluate", &json!({"customer_id": "acme"})).await.json();
            60_000 - standing["limits"]["tokens"]["remaining"].as_u64().unwrap()
        };
        assert!(spent().await <= 60_000 - left - 20_000, "nothing is settled while the end is missing");
        line.say(last).await;
        let body = if most.contains("chunked") {
            client.until("0\r\n\r\n").await
        } else {
            String::from_utf8(client.take(answer.len()).await).unwrap()
        };
        assert!(body.contains(answer), "{body}");
        // The bucket gives a thousand a second back.
        assert!(spent().await > 60_000 - left - 5_000, "the last byte came before the call was settled");
    }
}

#[tokio::test]
async fn a_large_answer_passes_whole_in_little_memory() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 320;
    let upstream = Upstream::open().await;
    let dir = policy_directory(&upstream.url());
    let gate = Process::start(gate(dir.path())).await;
    for head in ["content-type: application/json", "content-type: text/event-stream"] {
        let mut client = Line::open(&gate.listen).await;
        client.say(post(CHAT, ACME, "", BODY)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(format!("HTTP/1.1 200 OK\r\n{head}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
        let before = gate.memory_kib("VmHWM");
        let piece = chunk(&vec![b'x'; PIECE]);
        let speak = async {
            for _ in 0..PIECES {
                line.say(&piece).await;
            }
            line.say("0\r\n\r\n").await;
        };
        let listen = async {
            client.head().await;
            let mut heard = 0;
            loop {
                let size = client.until("\r\n").await;
                let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
                client.take(size + 2).await;
                heard += size;
                if size == 0 {
                    return heard;
                }
            }
        };
        let (heard, ()) = tokio::join!(listen, speak);
        assert_eq!(heard, PIECE * PIECES);
        let grown = gate.memory_kib("VmHWM") - before;
        assert!(grown < 6 * 1024, "{head}: 20 MiB took {grown} KiB");
    }
}

#[tokio::test]
async fn trailers_and_chunk_extensions_of_an_upstream_go_nowhere() {
    let (site, upstream) = site().await;
    let mut client = Line::open(site.app.listen()).await;
    client.say(post(CHAT, ACME, "te: trailers\r\n", BODY)).await;
    let (mut line, head, _) = upstream.called().await;
    assert!(!head.contains("\r\nte:"), "{head}");
    line.say(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntrailer: x-late\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .await;
    line.say("2;a=b\r\n{}\r\n0\r\nx-late: 1\r\nx-portcullis-decision: allow\r\n\r\n").await;
    let head = client.head().await;
    assert!(!head.contains("trailer"), "{head}");
    assert_eq!(client.until("0\r\n\r\n").await, "2\r\n{}\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_answer_without_a_body_is_settled_too() {
    let (site, upstream) = site().await;
    let mut client = Line::open(site.app.listen()).await;
    for status in ["204 No Content", "200 OK\r\ncontent-length: 0"] {
        client.say(post(CHAT, ACME, "", BODY)).await;
        let (mut line, _, _) = upstream.called().await;
        line.say(format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n")).await;
        let head = client.head().await;
        assert!(head.starts_with("http/1.1 20") && length(&head).unwrap_or(0) == 0, "{head}");
    }
    assert!(outcomes(&site, 2).await.iter().all(|outcome| outcome["data"]["end"] == "complete"));
}
