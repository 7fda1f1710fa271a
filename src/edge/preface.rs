//! Which HTTP version a plaintext client speaks: reads just enough bytes to tell the HTTP/2 preface from anything
//! else, and gives them back in front of the rest. The caller bounds the time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The HTTP/2 connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A stream whose first bytes were read ahead and come again.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    ahead: [u8; PREFACE.len()],
    start: usize,
    end: usize,
    stream: S,
}

/// Reads until the protocol is certain.
///
/// # Errors
/// What the stream answers; `UnexpectedEof` when the client closes before it said anything.
pub(super) async fn tell<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Protocol, Rewound<S>)> {
    let mut ahead = [0; PREFACE.len()];
    let mut end = 0;
    let protocol = loop {
        let Some(rest) = ahead.get_mut(end..).filter(|rest| !rest.is_empty()) else { break Protocol::Http2 };
        let read = stream.read(rest).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        end += read;
        if ahead.get(..end) != PREFACE.get(..end) {
            break Protocol::Http1;
        }
    };
    Ok((protocol, Rewound { ahead, start: 0, end, stream }))
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.start < this.end {
            let ahead = this.ahead.get(this.start..this.end).unwrap_or_default();
            let take = ahead.len().min(buf.remaining());
            buf.put_slice(ahead.get(..take).unwrap_or_default());
            this.start += take;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{PREFACE, Protocol, tell};

    async fn told(pieces: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(1);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|p| p.to_vec()).collect();
        let writer = async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
            }
        };
        let reader = async {
            let (protocol, mut stream) = tell(server).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            (protocol, all)
        };
        tokio::join!(writer, reader).1
    }

    #[tokio::test]
    async fn the_version_is_told_and_every_byte_comes_again() {
        let post = b"PROPFIND / HTTP/1.1\r\n\r\n".as_slice();
        assert_eq!(told(&[post]).await, (Protocol::Http1, post.to_vec()));
        let (protocol, all) = told(&[PREFACE, b"rest"]).await;
        assert_eq!((protocol, all.len()), (Protocol::Http2, 28));
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_an_error() {
        let (client, server) = tokio::io::duplex(1);
        drop(client);
        assert!(tell(server).await.is_err());
    }
}
