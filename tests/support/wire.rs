//! Raw sockets: requests byte by byte, and upstreams that say exactly what a test scripts.

#![expect(clippy::disallowed_methods, reason = "a test's runtime ends its tasks")]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
    let mut text = format!("{line}\r\nhost: gate\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
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
