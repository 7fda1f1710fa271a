//! The way back: an upstream's body passed on byte for byte while it is watched, metered and timed.
//!
//! No task and no buffer stand between the two connections: hyper polls this body when the client can take more.
//! When the client leaves, hyper drops it, and with it the upstream's connection; the call is settled either way,
//! exactly once. A body of known length is settled before its last bytes are released; of a chunked one that is not a
//! stream of events one frame is held back for that.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::Share;
use super::reply;
use crate::audit::{End, Outcome, Sealed};
use crate::breaker::Health;
use crate::call::Watch;
use crate::config::bootstrap::Timeouts;
use crate::reason::Reason;

/// An upstream's answer on its way to the client.
#[derive(Debug)]
pub(super) struct Relay {
    upstream: Incoming,
    /// Present until the call is settled.
    open: Option<Box<Open>>,
    /// A frame that waits until it is known whether it is the last.
    held: Option<Bytes>,
    /// What is left of a body of known length.
    left: Option<u64>,
    event_stream: bool,
    done: bool,
}

/// What an unsettled call still holds.
#[derive(Debug)]
struct Open {
    sealed: Sealed,
    watch: Watch,
    status: u16,
    first_byte_after: Option<Duration>,
    idle: Duration,
    last_at: Instant,
    ends_at: Instant,
    timer: Pin<Box<Sleep>>,
    _share: Share,
}

/// What the exchange knows when the head has come.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) sealed: Sealed,
    pub(super) watch: Watch,
    pub(super) status: u16,
    pub(super) event_stream: bool,
    pub(super) first_byte_after: Duration,
    pub(super) timeouts: Timeouts,
    /// When the whole exchange has to be over.
    pub(super) ends_at: Instant,
    pub(super) share: Share,
}

impl Relay {
    pub(super) fn new(upstream: Incoming, begun: Begun) -> Self {
        let last_at = Instant::now();
        let left = upstream.size_hint().exact();
        let open = Open {
            sealed: begun.sealed,
            watch: begun.watch,
            status: begun.status,
            first_byte_after: Some(begun.first_byte_after),
            idle: begun.timeouts.idle,
            last_at,
            ends_at: begun.ends_at,
            timer: Box::pin(sleep_until((last_at + begun.timeouts.idle).min(begun.ends_at))),
            _share: begun.share,
        };
        let mut relay = Self { upstream, open: Some(Box::new(open)), held: None, left, event_stream: begun.event_stream, done: false };
        if left == Some(0) {
            relay.settle(End::Complete, true);
        }
        relay
    }

    /// Settles the call, once; later calls do nothing.
    fn settle(&mut self, end: End, complete: bool) {
        let Some(open) = self.open.take() else { return };
        let Open { sealed, watch, status, first_byte_after, .. } = *open;
        let seen = watch.seen(complete);
        let health = match end {
            End::Complete if status < 500 && !seen.failed => Health::Succeeded,
            End::Complete | End::Failed => Health::Failed,
            End::Cancelled | End::Refused => Health::Unknown,
        };
        sealed.finish(Outcome { end, status: Some(status), seen, first_byte_after, health });
    }

    /// The next data of the upstream, its time limits watched.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        loop {
            match Pin::new(&mut self.upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers were not asked for and are dropped.
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(open) = &mut self.open {
                        open.last_at = Instant::now();
                        open.watch.feed(&data);
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(Cut::Broken))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let Some(open) = &mut self.open else { return Poll::Pending };
                    ready!(open.timer.as_mut().poll(cx));
                    let due = (open.last_at + open.idle).min(open.ends_at);
                    if due <= Instant::now() {
                        return Poll::Ready(Some(Err(Cut::TimedOut)));
                    }
                    open.timer.as_mut().reset(due);
                }
            }
        }
    }

    /// The upstream broke off: a stream of events ends with the dialect's error event, any other body is broken off
    /// as well, so that a cut answer is never taken for a whole one.
    fn cut(&mut self, cut: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.done = true;
        self.held = None;
        let event = self.open.as_ref().filter(|_| self.event_stream).map(|open| reply::refusal_event(open.sealed.docket(), cut.reason()));
        self.settle(End::Failed, false);
        Poll::Ready(Some(event.map_or(Err(cut), |event| Ok(Frame::data(event)))))
    }
}

/// How an upstream's body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    /// Framing or connection.
    #[error("the upstream broke off")]
    Broken,
    /// The idle or total limit passed.
    #[error("the upstream took too long")]
    TimedOut,
}

impl Cut {
    const fn reason(self) -> Reason {
        match self {
            Self::Broken => Reason::UpstreamFailed,
            Self::TimedOut => Reason::UpstreamTimeout,
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        loop {
            match ready!(this.poll_upstream(cx)) {
                Some(Ok(data)) => {
                    if let Some(left) = &mut this.left {
                        *left = left.saturating_sub(data.len() as u64);
                        if *left == 0 {
                            this.done = true;
                            this.settle(End::Complete, true);
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    if this.event_stream {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    if let Some(before) = this.held.replace(data) {
                        return Poll::Ready(Some(Ok(Frame::data(before))));
                    }
                }
                Some(Err(cut)) => return this.cut(cut),
                None => {
                    this.done = true;
                    this.settle(End::Complete, true);
                    return Poll::Ready(this.held.take().map(|last| Ok(Frame::data(last))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The client left before the end. Its part is settled by what went by.
        self.settle(End::Cancelled, false);
    }
}
