//! An upstream's answer without the coding that nobody asked for, undone while it goes by: what the watch reads is what
//! the client gets.
//!
//! One step of the decoder a poll, so a bomb waits for its client like any other body, and its memory is counted in the
//! budget for bodies. A coding that breaks or does not end is an error, and the relay cuts the answer off.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::body::Share;
use super::upstream::Flow;
use crate::call::coding::{Coding, Decoder};

/// A body that is plain, whatever it was.
#[derive(Debug)]
pub(super) struct Uncoded<B> {
    body: B,
    decoding: Option<Box<Decoding>>,
}

#[derive(Debug)]
struct Decoding {
    decoder: Decoder,
    pending: Bytes,
    hungry: bool,
    /// What the decoder needs.
    share: Share,
}

/// The body broke off, or its coding did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body broke off")]
pub(super) struct Broken;

impl<B: Body<Data = Bytes> + Unpin> Uncoded<B> {
    /// `share` is an empty one of the budget for bodies.
    pub(super) fn new(body: B, coding: Option<Coding>, share: Share) -> Self {
        // No byte at all is no coding either.
        let coding = coding.filter(|_| body.size_hint().exact() != Some(0));
        let decoding = coding.map(|coding| {
            Box::new(Decoding { decoder: Decoder::new(coding), pending: Bytes::new(), hungry: true, share })
        });
        Self { body, decoding }
    }
}

impl Uncoded<Flow> {
    /// See [`Flow::poll_due`].
    pub(super) fn poll_due(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.body.poll_due(due, cx)
    }
}

impl Decoding {
    /// What the pending input gives next: nothing when there has to be more of it.
    fn step(&mut self) -> Result<Option<Bytes>, Broken> {
        while !(self.pending.is_empty() && self.hungry) {
            let mut out = Vec::new();
            let step = self.decoder.step(&self.pending, &mut out).map_err(|_| Broken)?;
            self.share.grow_to(self.decoder.holds()).map_err(|_| Broken)?;
            self.pending.advance(step.consumed.min(self.pending.len()));
            self.hungry = step.hungry;
            if !out.is_empty() {
                return Ok(Some(Bytes::from(out)));
            }
        }
        Ok(None)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Uncoded<B> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let Some(decoding) = &mut this.decoding else {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Broken)));
        };
        loop {
            if let Some(data) = decoding.step()? {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers are dropped, here as elsewhere.
                    let Ok(data) = frame.into_data() else { continue };
                    decoding.pending = data;
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                None => return Poll::Ready(decoding.decoder.finish().err().map(|_| Err(Broken))),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.decoding.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write;

    use bytes::Bytes;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::stream;
    use http_body::{Body, Frame};
    use http_body_util::{BodyExt, Empty, StreamBody};

    use super::{Broken, Uncoded};
    use crate::call::coding::Coding;
    use crate::edge::body::Budget;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn pieces(bytes: &[u8], size: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let pieces: Vec<_> = bytes.chunks(size).map(|p| Ok(Frame::data(Bytes::copy_from_slice(p)))).collect();
        StreamBody::new(stream::iter(pieces))
    }

    async fn read(bytes: &[u8], size: usize, budget: &Budget) -> Result<Bytes, Broken> {
        let body = Uncoded::new(pieces(bytes, size), Some(Coding::Gzip), budget.share());
        body.collect().await.map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn an_answer_comes_out_plain_or_not_at_all() {
        let (budget, text) = (Budget::new(1 << 20), b"data: {}\n\n".repeat(20_000));
        let coded = gzip(&text);
        for size in [1, 100, 100_000] {
            assert!(read(&coded, size, &budget).await.as_deref() == Ok(&text), "by {size}");
        }
        assert_eq!(read(&coded[..coded.len() - 1], 100, &budget).await, Err(Broken));
        assert_eq!(read(&[&coded[..], b"x"].concat(), 100, &budget).await, Err(Broken));
        assert_eq!(read(&text, 100, &budget).await, Err(Broken));
        assert_eq!(read(&coded, 100, &Budget::new(10)).await, Err(Broken), "no room for a decoder");
    }

    #[tokio::test]
    async fn a_bomb_comes_in_small_pieces() {
        let (budget, coded) = (Budget::new(1 << 20), gzip(&vec![b'['; 30_000_000]));
        let mut body = Uncoded::new(pieces(&coded, 100_000), Some(Coding::Gzip), budget.share());
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap().len();
            assert!(piece <= 64 * 1024, "{piece}");
            length += piece;
        }
        assert_eq!(length, 30_000_000);
    }

    #[tokio::test]
    async fn what_has_no_byte_is_left_alone() {
        let budget = Budget::new(0);
        let body = Uncoded::new(Empty::<Bytes>::new(), Some(Coding::Gzip), budget.share());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}
