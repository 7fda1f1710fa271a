//! The cheapest upstream that still speaks HTTP: fixed answers, one thread. Stands behind every gateway in
//! `benches/gateway`, so that what is measured is the gateway.
//!
//! `fast_upstream 127.0.0.1:PORT`: a chat completion of about 600 bytes, or, where the body has `"stream":true`, 200
//! events, each written on its own. Reads bodies with a `content-length` only; anything else is 411.

#![expect(clippy::print_stderr, reason = "a command says what went wrong on its terminal")]

use std::io;
use std::process::ExitCode;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Content events of one stream.
const EVENTS: usize = 200;

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: fast_upstream ADDRESS:PORT");
        return ExitCode::from(2);
    };
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .and_then(|runtime| LocalSet::new().block_on(&runtime, serve(&address)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fast_upstream: {address}: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks is the measured side's affair; the load generator counts it.
        spawn_local(async move { converse(stream, answers).await.ok() });
    }
}

/// What is answered, made once.
struct Answers {
    whole: Vec<u8>,
    stream_head: Vec<u8>,
    events: Vec<Vec<u8>>,
}

impl Answers {
    fn new() -> Self {
        let sentence = "The quarterly review starts on Monday, and every team brings its own figures. ".repeat(4);
        let body = format!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1790000000,"model":"gpt-4o-mini","choices":[{{"index":0,"message":{{"role":"assistant","content":"{sentence}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":200,"completion_tokens":64,"total_tokens":264}}}}"#
        );
        let head = "HTTP/1.1 200 OK\r\ncontent-type:";
        let chunk = |payload: &str| format!("{:x}\r\n{payload}\r\n", payload.len()).into_bytes();
        let event = |choices: &str, usage: &str| {
            chunk(&format!(
                "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"gpt-4o-mini\",\"choices\":[{choices}]{usage}}}\n\n"
            ))
        };
        let mut events: Vec<Vec<u8>> = (0..EVENTS)
            .map(|n| event(&format!(r#"{{"index":0,"delta":{{"content":" word{n}"}},"finish_reason":null}}"#), ""))
            .collect();
        events.push(event(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, ""));
        events.push(event("", r#","usage":{"prompt_tokens":200,"completion_tokens":200,"total_tokens":400}"#));
        events.push([chunk("data: [DONE]\n\n"), b"0\r\n\r\n".to_vec()].concat());
        Self {
            whole: format!("{head} application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes(),
            stream_head: format!("{head} text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes(),
            events,
        }
    }
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut read: Vec<u8> = Vec::with_capacity(256 << 10);
    loop {
        let (head, body) = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                let Some(length) = content_length(read.get(..end).unwrap_or_default()) else {
                    return stream
                        .write_all(b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                        .await;
                };
                break (end + 4, length);
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        while read.len() < head + body {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        let streamed = wants_stream(read.get(head..head + body).unwrap_or_default());
        read.drain(..head + body);
        if streamed {
            stream.write_all(&answers.stream_head).await?;
            for event in &answers.events {
                stream.write_all(event).await?;
                // Otherwise one connection's events would go out as one block.
                tokio::task::yield_now().await;
            }
        } else {
            stream.write_all(&answers.whole).await?;
        }
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// Whether the body ends like one of `run.py`'s streamed ones; only the end is looked at, for speed.
fn wants_stream(body: &[u8]) -> bool {
    let tail = body.get(body.len().saturating_sub(128)..).unwrap_or_default();
    tail.windows(13).any(|piece| piece == b"\"stream\":true")
}
