//! The way back: an upstream's body passed on byte for byte while it is watched, metered and timed.
//!
//! No task stands between the two connections: hyper polls this body when the client can take more. When the client
//! leaves, hyper drops it, and with it the upstream's connection; the call is settled either way, exactly once.
//!
//! What has arrived is gathered for as long as each turn of the event loop brings more, at most [`GATHER`] bytes or
//! [`MOST_TURNS`] turns: chunks come one by one, and under load a system call for each would cost more than all else.
//! Where little is going on, a turn takes microseconds and brings nothing, and the bytes leave. A body that is not a stream of events gives its
//! last bytes away only after it is settled. Where an error inside a stream has to stand between two messages, the
//! bytes of one that has begun wait for its end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::body::Share;
use super::reply;
use super::stall::Stall;
use super::uncoded::Uncoded;
use super::upstream::Flow;
use super::whole::Balance;
use crate::audit::{End, Outcome, Sealed};
use crate::breaker::Health;
use crate::call::{Framing, Watch};
use crate::config::bootstrap::Timeouts;
use crate::reason::Reason;

/// Bytes that are gathered before they are passed on, at most.
const GATHER: usize = 16 * 1024;
/// Turns of the event loop for which bytes are gathered, at most.
const MOST_TURNS: u8 = 4;
/// Bytes of one message that wait for its end, at most. A larger one leaves as it comes, and breaks with its connection.
const MOST_HELD: usize = 1 << 20;

/// An upstream's answer on its way to the client.
#[derive(Debug)]
pub(super) struct Relay {
    upstream: Uncoded<Flow>,
    /// Watches from outside whether the client takes what it is given.
    stall: Option<Arc<Stall>>,
    /// Present until the call is settled.
    open: Option<Box<Open>>,
    gathered: Gathered,
    /// How many of these bytes may leave.
    ready: usize,
    /// Turns of the event loop that were given since bytes were last passed on.
    turns: u8,
    /// Whether bytes came since the last turn.
    fresh: bool,
    /// What is left of a body of known length.
    left: Option<u64>,
    framing: Framing,
    waits_for: Side,
    /// A break that is told with the next poll, once hyper had its turn to write what went before.
    broken: Option<Cut>,
    done: bool,
}

/// Bytes on their way: one piece as it came, or several copied together.
#[derive(Debug, Default)]
struct Gathered {
    one: Bytes,
    several: BytesMut,
}

impl Gathered {
    fn add(&mut self, data: Bytes) {
        if self.is_empty() {
            self.one = data;
            return;
        }
        if self.several.is_empty() {
            self.several.reserve(GATHER);
            self.several.extend_from_slice(&self.one);
            self.one = Bytes::new();
        }
        self.several.extend_from_slice(&data);
    }

    fn len(&self) -> usize {
        self.one.len() + self.several.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `count` bytes.
    fn take(&mut self, count: usize) -> Bytes {
        let count = count.min(self.len());
        if self.several.is_empty() { self.one.split_to(count) } else { self.several.split_to(count).freeze() }
    }

    fn truncate(&mut self, count: usize) {
        if self.several.is_empty() {
            self.one.truncate(count);
        } else {
            self.several.truncate(count);
        }
    }
}

/// Who is to act: the client was given something and has not asked since, or it waits for the upstream. Only then does
/// the upstream's idle time run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

/// What an unsettled call still holds.
#[derive(Debug)]
struct Open {
    sealed: Box<Sealed>,
    watch: Watch,
    status: u16,
    /// Present where only the connection's close says that the body is over, as it also would when the upstream died.
    by_closing: Option<Balance>,
    first_byte_after: Option<Duration>,
    idle: Duration,
    /// When the upstream last gave something; `None` while nobody waits for more.
    waits_since: Option<Instant>,
    ends_at: Instant,
    _share: Share,
}

/// What the exchange knows when the head has come.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) sealed: Box<Sealed>,
    pub(super) watch: Watch,
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// Neither a length nor a transfer coding (RFC 9112 section 6.3, case 8).
    pub(super) ends_by_closing: bool,
    pub(super) first_byte_after: Duration,
    pub(super) timeouts: Timeouts,
    /// When the whole exchange has to be over.
    pub(super) ends_at: Instant,
    pub(super) share: Share,
}

impl Relay {
    pub(super) fn new(upstream: Uncoded<Flow>, begun: Begun) -> Self {
        let left = upstream.size_hint().exact();
        let open = Open {
            sealed: begun.sealed,
            watch: begun.watch,
            status: begun.status,
            by_closing: begun.ends_by_closing.then(Balance::default),
            first_byte_after: Some(begun.first_byte_after),
            idle: begun.timeouts.idle,
            waits_since: None,
            ends_at: begun.ends_at,
            _share: begun.share,
        };
        let stall = Stall::here();
        if let Some(stall) = &stall {
            stall.begin(begun.ends_at);
        }
        let mut relay = Self {
            upstream,
            stall,
            open: Some(Box::new(open)),
            gathered: Gathered::default(),
            ready: 0,
            turns: 0,
            fresh: false,
            left,
            framing: begun.framing,
            waits_for: Side::Client,
            broken: None,
            done: false,
        };
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
        let _settled = sealed.finish(Outcome { end, status: Some(status), seen, first_byte_after, health });
    }

    /// The next data of the upstream, its time limits watched.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        loop {
            match Pin::new(&mut self.upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers were not asked for and are dropped.
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(open) = &mut self.open {
                        open.waits_since = None;
                        // An upstream that is never waited for meets its end here.
                        if self.gathered.len() >= GATHER && open.ends_at <= Instant::now() {
                            return Poll::Ready(Some(Err(Cut::TimedOut)));
                        }
                        open.watch.feed(&data);
                        if let Some(balance) = open.by_closing.as_mut().filter(|_| !self.framing.is_stream()) {
                            balance.feed(&data);
                        }
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(Cut::Broken))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let Some(open) = &mut self.open else { return Poll::Pending };
                    let since = *open.waits_since.get_or_insert_with(Instant::now);
                    let due = (since + open.idle).min(open.ends_at);
                    ready!(self.upstream.poll_due(due, cx));
                    return Poll::Ready(Some(Err(Cut::TimedOut)));
                }
            }
        }
    }

    /// The upstream broke off: a stream of events ends with the dialect's error event, any other body is broken off
    /// as well, so that a cut answer is never taken for a whole one.
    fn cut(&mut self, cut: Cut) -> Option<Result<Frame<Bytes>, Cut>> {
        self.done = true;
        let event = self.open.as_ref().filter(|_| self.framing.has_error_event()).map(|open| {
            let within_line = open.watch.is_within_line();
            reply::refusal_event(open.sealed.docket(), cut.reason(), open.watch.framing(), within_line)
        });
        // Behind a message of which a part has left, no event would be read as one.
        let whole = self.gathered.len().checked_sub(self.unfinished());
        self.settle(End::Failed, false);
        let (Some(event), Some(whole)) = (event, whole) else { return Some(Err(cut)) };
        self.gathered.truncate(whole);
        self.gathered.add(event);
        self.release_all()
    }

    /// Takes bytes in, and says how many of all may leave.
    fn gather(&mut self, data: Bytes) {
        self.gathered.add(data);
        let held = self.unfinished();
        self.ready = self.gathered.len().saturating_sub(if held > MOST_HELD { 0 } else { held });
    }

    fn unfinished(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.watch.unfinished())
    }

    /// Whether the upstream's end is none: what ends by closing is over only with its dialect's last event or its
    /// document's last bracket.
    fn is_unfinished(&self) -> bool {
        let unfinished = |open: &Open| match open.by_closing {
            None => false,
            Some(_) if self.framing.is_stream() => !open.watch.seen(true).finished,
            Some(balance) => !balance.is_whole(),
        };
        self.open.as_deref().is_some_and(unfinished) || self.unfinished() > 0
    }

    fn finish(&mut self) -> Option<Result<Frame<Bytes>, Cut>> {
        self.done = true;
        self.settle(End::Complete, true);
        self.release_all()
    }

    fn release(&mut self) -> Option<Result<Frame<Bytes>, Cut>> {
        self.turns = 0;
        let most = if self.in_pieces() { GATHER } else { usize::MAX };
        let count = self.ready.min(most);
        self.ready -= count;
        (count > 0).then(|| Ok(Frame::data(self.gathered.take(count))))
    }

    fn release_all(&mut self) -> Option<Result<Frame<Bytes>, Cut>> {
        self.ready = self.gathered.len();
        self.release()
    }

    /// Whether what the client is given at once is bounded.
    fn in_pieces(&self) -> bool {
        self.stall.as_ref().is_some_and(|stall| !stall.takes_large_pieces())
    }

    /// Whether bytes may leave before the body's end is seen.
    const fn may_run_ahead(&self) -> bool {
        self.framing.is_stream() || self.left.is_some()
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
        if self.waits_for == Side::Client {
            self.waits_for = Side::Upstream;
            if let Some(stall) = &self.stall {
                stall.asked();
            }
            if let Some(open) = &mut self.open {
                open.waits_since = None;
            }
        }
        let next = self.poll_next(cx);
        if next.is_ready() {
            self.waits_for = Side::Client;
            if let Some(stall) = &self.stall {
                stall.given();
            }
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.done && self.gathered.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.gathered.len() as u64;
        self.left.map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + waiting))
    }
}

impl Relay {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self;
        if let Some(cut) = this.broken.take() {
            this.done = true;
            return Poll::Ready(Some(Err(cut)));
        }
        if this.done {
            return Poll::Ready(this.release_all());
        }
        if this.in_pieces() && this.ready >= GATHER {
            return Poll::Ready(this.release());
        }
        loop {
            if this.open.as_ref().is_some_and(|open| open.watch.is_broken()) {
                return Poll::Ready(this.cut(Cut::Broken));
            }
            let polled = match this.poll_upstream(cx) {
                Poll::Ready(None) if this.is_unfinished() => Poll::Ready(Some(Err(Cut::Broken))),
                polled @ (Poll::Ready(_) | Poll::Pending) => polled,
            };
            match polled {
                Poll::Ready(Some(Ok(data))) => {
                    let before = if this.ready >= GATHER { this.release() } else { None };
                    let last = this.left.as_mut().is_some_and(|left| {
                        *left = left.saturating_sub(data.len() as u64);
                        *left == 0
                    });
                    this.gather(data);
                    this.fresh = true;
                    if before.is_some() {
                        // What remains comes with the next poll, which hyper makes at once.
                        return Poll::Ready(before);
                    }
                    if last {
                        // Half a message at the end of a known length is no end.
                        let is_cut = this.unfinished() > 0;
                        return Poll::Ready(if is_cut { this.cut(Cut::Broken) } else { this.finish() });
                    }
                }
                Poll::Ready(Some(Err(cut))) if this.framing.has_error_event() => return Poll::Ready(this.cut(cut)),
                Poll::Ready(Some(Err(cut))) => {
                    // At once, hyper would drop the connection with the head still unwritten, and the client could not
                    // tell a cut answer from a gate that is gone.
                    this.settle(End::Failed, false);
                    this.broken = Some(cut);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(this.finish()),
                Poll::Pending if this.ready == 0 || !this.may_run_ahead() => return Poll::Pending,
                Poll::Pending if this.turns > 0 && !this.fresh || this.turns >= MOST_TURNS => {
                    return Poll::Ready(this.release());
                }
                Poll::Pending => {
                    this.turns += 1;
                    this.fresh = false;
                    // Wakes this task once the event loop has looked at the sockets, which an own wake-up would not.
                    let turn = pin!(tokio::task::yield_now());
                    if turn.poll(cx).is_ready() {
                        return Poll::Ready(this.release());
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(stall) = &self.stall {
            stall.end();
        }
        // The client left before the end. Its part is settled by what went by.
        self.settle(End::Cancelled, false);
    }
}
