//! One keep-alive connection, read just closely enough to know where an answer ends.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How a whole event stream ends.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Where requests go, and the bytes of each.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    request: Rc<[u8]>,
}

impl Target {
    /// # Errors
    /// When the URL is not `http://ADDRESS:PORT/PATH`.
    pub(crate) fn new(url: &str, headers: &[String], body: &[u8]) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or("the URL must begin with http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = authority.parse().map_err(|_| format!("`{authority}` is no ADDRESS:PORT"))?;
        let own = [
            format!("POST /{path} HTTP/1.1"),
            format!("host: {authority}"),
            "content-type: application/json".to_owned(),
            "accept: */*".to_owned(),
            format!("content-length: {}", body.len()),
        ];
        let head = format!("{}\r\n\r\n", [&own[..], headers].concat().join("\r\n"));
        Ok(Self { address, request: [head.as_bytes(), body].concat().into() })
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) keeps_open: bool,
    /// When the first byte of a chunked body came; `None` for a body of known length.
    pub(crate) first_event: Option<Instant>,
    /// Whether a chunked body ended as a whole event stream does.
    pub(crate) done: bool,
}

pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    at: usize,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(64 << 10), at: 0 })
    }

    /// Sends the request and reads its whole answer.
    pub(crate) async fn exchange(&mut self, target: &Target) -> io::Result<Answer> {
        self.stream.write_all(&target.request).await?;
        let status_line = self.line().await?;
        let status = status_line.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(malformed)?;
        let (mut length, mut chunked, mut keeps_open) = (None, false, true);
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                if line.is_empty() {
                    break;
                }
                return Err(malformed());
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse::<usize>().ok(),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => keeps_open = !value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let mut answer = Answer { status, keeps_open, first_event: None, done: false };
        if chunked {
            self.chunks(&mut answer).await?;
        } else {
            self.skip(length.ok_or_else(malformed)?).await?;
        }
        Ok(answer)
    }

    async fn chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        let mut tail = Vec::with_capacity(4 * DONE.len());
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| malformed())?;
            if size == 0 {
                answer.done = tail.ends_with(DONE);
                return self.skip(2).await;
            }
            answer.first_event.get_or_insert_with(Instant::now);
            while self.read.len() < self.at + size + 2 {
                self.more().await?;
            }
            let payload = self.read.get(self.at..self.at + size).unwrap_or_default();
            tail.extend_from_slice(payload.get(size.saturating_sub(DONE.len())..).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(DONE.len()));
            self.skip(size + 2).await?;
        }
    }

    /// The next line without its end; heads are ASCII, so that anything else is malformed.
    async fn line(&mut self) -> io::Result<String> {
        let mut looked = self.at;
        loop {
            let fresh = self.read.get(looked..).unwrap_or_default();
            if let Some(end) = fresh.windows(2).position(|two| two == b"\r\n") {
                let line = self.read.get(self.at..looked + end).unwrap_or_default().to_vec();
                self.at = looked + end + 2;
                return String::from_utf8(line).map_err(|_| malformed());
            }
            looked = self.read.len().saturating_sub(1).max(self.at);
            let moved = self.more().await?;
            looked -= moved;
        }
    }

    async fn skip(&mut self, mut bytes: usize) -> io::Result<()> {
        loop {
            let here = bytes.min(self.read.len() - self.at);
            self.at += here;
            bytes -= here;
            if bytes == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }

    /// Reads more; answers by how many bytes everything moved forward to make room.
    async fn more(&mut self) -> io::Result<usize> {
        let moved = self.at;
        self.read.drain(..moved);
        self.at = 0;
        if self.stream.read_buf(&mut self.read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(moved)
    }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
