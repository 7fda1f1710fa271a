//! The body of an answer: pieces in order, a pause between them, and perhaps a break before the end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::ledger::Answering;

/// The break that was ordered; the server answers it by ending the connection without the body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body was ordered to break off")]
pub(super) struct Cut;

/// Pieces that go out one by one.
#[derive(Debug)]
pub(super) struct Script {
    pieces: VecDeque<Bytes>,
    /// `content-length`, where the answer has one.
    length: Option<u64>,
    pause: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    begun: bool,
    end: End,
    /// Held until the last byte went out or the caller left.
    answering: Option<Answering>,
}

/// How the body ends once its pieces are out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it should.
    Whole,
    /// Broken off, after the server had a turn to send what it holds.
    Cut,
    /// Broken off now.
    CutNow,
}

impl Script {
    /// A body of known length, in one piece; `cut` sends half of it and breaks off.
    pub(super) fn whole(bytes: Bytes, cut: bool) -> Self {
        let length = Some(bytes.len() as u64);
        let sent = if cut { bytes.slice(..bytes.len() / 2) } else { bytes };
        Self::new(VecDeque::from([sent]), length, Duration::ZERO, cut)
    }

    /// A stream with `pause` between its pieces, broken off after `cut_after` of them where that is given.
    pub(super) fn stream(mut pieces: Vec<Bytes>, pause: Duration, cut_after: Option<usize>) -> Self {
        pieces.truncate(cut_after.unwrap_or(usize::MAX));
        Self::new(pieces.into(), None, pause, cut_after.is_some())
    }

    const fn new(pieces: VecDeque<Bytes>, length: Option<u64>, pause: Duration, cut: bool) -> Self {
        let end = if cut { End::Cut } else { End::Whole };
        Self { pieces, length, pause, waiting: None, begun: false, end, answering: None }
    }

    /// Counts as in flight until it is dropped.
    pub(super) fn counted(mut self, answering: Answering) -> Self {
        self.answering = Some(answering);
        self
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.begun && !self.pause.is_zero() && !self.is_end_stream() {
            let pause = self.pause;
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(pause)));
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        self.begun = true;
        match (self.pieces.pop_front(), self.end) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, End::Whole) => Poll::Ready(None),
            (None, End::CutNow) => Poll::Ready(Some(Err(Cut))),
            (None, End::Cut) => {
                self.end = End::CutNow;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.end == End::Whole
    }

    fn size_hint(&self) -> SizeHint {
        // Asked once, before the first frame, to write `content-length`.
        match self.length {
            Some(length) if !self.begun => SizeHint::with_exact(length),
            Some(_) | None => SizeHint::default(),
        }
    }
}
