//! A connection whose answer can be replaced: what the HTTP server writes is dropped and other bytes go out instead.
//!
//! This lets a broken message come on any connection, also one the gate has kept open, without a second server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Where the answer to a request leaves the bytes that go out instead of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Swap(Arc<Mutex<Option<Bytes>>>);

impl Swap {
    /// From now on only these bytes leave the connection.
    pub(super) fn put(&self, bytes: Vec<u8>) {
        *self.0.lock() = Some(Bytes::from(bytes));
    }
}

/// A TCP stream that sends what the [`Swap`] holds, once it holds something, and nothing after it.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    swap: Swap,
    instead: Option<Bytes>,
}

impl Wire {
    pub(super) const fn new(stream: TcpStream, swap: Swap) -> Self {
        Self { stream, swap, instead: None }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            this.instead = this.swap.0.lock().take();
        }
        let Some(instead) = &mut this.instead else { return Pin::new(&mut this.stream).poll_write(cx, buf) };
        while !instead.is_empty() {
            let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, instead))?;
            instead.advance(sent);
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
