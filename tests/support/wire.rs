//! Raw sockets: requests byte by byte, and upstreams that say exactly what a test scripts.

#![expect(clippy::expect_used, reason = "a connection that does not do its part fails the test")]

pub mod certificates;
pub mod edits;
pub mod process;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::PATIENCE;

/// Sends `bytes` as they are and reads until the other side closes or `patience` runs out.
pub async fn speak(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(n) = stream.read(&mut buffer).await {
            if n == 0 {
                break;
            }
            heard.extend_from_slice(&buffer[..n]);
        }
    };
    drop(tokio::time::timeout(std::time::Duration::from_secs(2), read).await);
    String::from_utf8_lossy(&heard).into_owned()
}

/// An HTTP/1.1 request with a body, `Connection: close`.
pub fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let fields: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (fields, length) = (fields.concat(), body.len());
    format!("{line}\r\nhost: gate\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}").into_bytes()
}

/// An upstream that reads one request head and body a connection and answers with fixed bytes, then does `after`.
pub struct Scripted {
    pub address: SocketAddr,
    pub heard: tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>,
}

/// What a scripted upstream does once it has said its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Close,
    /// Keeps the connection open until the other side closes it; then reports an empty message in `heard`.
    Wait,
}

impl Scripted {
    #[expect(clippy::disallowed_methods, reason = "a scripted upstream ends with its test's runtime")]
    pub async fn answering(answer: &'static [u8], after: After) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await;
                    drop(tell.send(request));
                    if stream.write_all(answer).await.is_err() || after == After::Close {
                        return;
                    }
                    let mut rest = [0; 1024];
                    while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
                    drop(tell.send(Vec::new()));
                });
            }
        });
        Self { address, heard }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(n) = stream.read(&mut buffer).await else { return all };
        if n == 0 {
            return all;
        }
        all.extend_from_slice(&buffer[..n]);
        let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|n| n.trim().parse::<usize>().ok())
            .unwrap_or(0);
        if all.len() >= end + 4 + length {
            return all;
        }
    }
}

/// One connection, byte by byte: a client's, or what an upstream sees of the gate.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Line {
    pub async fn open(address: &str) -> Self {
        Self::of(TcpStream::connect(address).await.unwrap())
    }

    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Says as much as the other side takes; whether it took all.
    pub async fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads more; answers whether there was any.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.ahead)).await;
        read.expect("the other side says nothing and does not close").unwrap_or(0) > 0
    }

    /// Everything up to and with `mark`; panics when the other side closes before.
    pub async fn until(&mut self, mark: &str) -> String {
        let mark = mark.as_bytes();
        loop {
            if let Some(at) = self.ahead.windows(mark.len()).position(|window| window == mark) {
                let rest = self.ahead.split_off(at + mark.len());
                let said = std::mem::replace(&mut self.ahead, rest);
                return String::from_utf8(said).unwrap();
            }
            let so_far = String::from_utf8_lossy(&self.ahead).into_owned();
            assert!(self.more().await, "closed after {so_far:?}");
        }
    }

    /// A head, its blank line included; names in lower case.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await.to_ascii_lowercase()
    }

    pub async fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.ahead.len() < bytes {
            assert!(self.more().await, "closed after {} of {bytes} bytes", self.ahead.len());
        }
        let rest = self.ahead.split_off(bytes);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.ahead)
    }

    /// One whole message: its head, and its body with the framing removed.
    pub async fn message(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await;
        let body = match length(&head) {
            Some(length) => self.take(length).await,
            None if head.contains("transfer-encoding: chunked") => self.chunks().await,
            None => Vec::new(),
        };
        (head, body)
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = self.until("\r\n").await;
            let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk size");
            body.extend(self.take(size).await);
            assert_eq!(self.take(2).await, b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// Waits until the other side has closed; what it said before is dropped.
    pub async fn gone(&mut self) {
        while self.more().await {}
    }
}

/// The `content-length` of a head in lower case.
pub fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length:")).map(|n| n.trim().parse().unwrap())
}

/// A POST of JSON with a gate key that leaves the connection open.
pub fn post(path: &str, key: &str, extra: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{extra}\r\n{body}"
    )
    .into_bytes()
}

/// An upstream whose every byte the test says itself.
#[derive(Debug)]
pub struct Upstream {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Upstream {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next connection of the gate.
    pub async fn accept(&self) -> Line {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        Line::of(accepted.expect("the gate does not come").unwrap().0)
    }

    /// The next connection, and the request it brings: head in lower case, and body.
    pub async fn called(&self) -> (Line, String, Vec<u8>) {
        let mut line = self.accept().await;
        let (head, body) = line.message().await;
        (line, head, body)
    }

    /// Nobody has connected: our own connection, made now, is the first in the backlog.
    pub async fn assert_alone(&self) {
        let mine = TcpStream::connect(self.address).await.unwrap();
        let (_, first) = self.listener.accept().await.unwrap();
        assert_eq!(first, mine.local_addr().unwrap(), "the gate has called the upstream");
    }
}
