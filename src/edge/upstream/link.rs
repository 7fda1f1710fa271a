//! One HTTP/1 connection to an upstream, driven by the call that uses it.
//!
//! There is no task behind a connection: the exchange polls it while it waits for the head, and the answer's body
//! while it flows ([`super::flow`]). So a call costs no switch between tasks, and whoever drops its call drops the
//! connection at once. Between calls the pool has it and nobody polls it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::time::Instant;

use super::bell::Bell;
use super::connect::Stream;
use super::{Request, Unanswered};
use crate::edge::alarm::Alarm;

/// How often a connection is polled again at once because it woke itself, before others have their turn.
const MOST_ROUNDS: u8 = 8;

/// One connection. It has one call at a time, or none.
#[derive(Debug)]
pub(super) struct Link {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it is over.
    connection: Option<http1::Connection<Stream, Full<Bytes>>>,
    bell: Arc<Bell>,
    /// The bell's.
    waker: Waker,
    alarm: Alarm,
}

impl Link {
    /// A connection over an open stream; nothing is sent yet.
    ///
    /// # Errors
    /// What hyper says.
    pub(super) async fn over(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new().handshake(stream).await?;
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Self { sender, connection: Some(connection), bell, waker, alarm: Alarm::default() })
    }

    /// Sends a request and answers the head; the body comes as the link is [driven](Link::drive) on.
    ///
    /// Not cancel safe: dropped half-way, the link is good for nothing but being dropped.
    ///
    /// # Errors
    /// [`Unanswered`], which knows whether a byte of the request may have been sent.
    pub(super) async fn ask(&mut self, request: Request, due: Instant) -> Result<Response<Incoming>, Unanswered> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| match self.drive(cx, |cx| answer.as_mut().poll(cx)) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(Unanswered::from)),
            Poll::Pending => self.poll_due(due).map(|()| Err(Unanswered::TimedOut)),
        })
        .await
    }

    /// Lets the connection read and write until `take` finds what it looks for in what came out of it. `take` is
    /// polled with the link's own waker, so that what it sets off in the connection is done here and now.
    pub(super) fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { connection, bell, waker, .. } = self;
        let own = &mut Context::from_waker(waker);
        for _ in 0..MOST_ROUNDS {
            bell.listen(cx.waker());
            let mut taken = take(own);
            if taken.is_pending() {
                // How it ended is told to who waits for the answer or its body. What it did not take up, it gives back
                // when it is dropped.
                if connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(own).is_ready()) {
                    *connection = None;
                }
                taken = take(own);
            }
            let rang = bell.pause();
            if taken.is_ready() || !rang {
                return taken;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready once `due` has passed. To be asked right after [`Link::drive`] was pending, whose user it wakes.
    pub(super) fn poll_due(&mut self, due: Instant) -> Poll<()> {
        // Through the bell, so that the timer has one waker for as long as the connection lives.
        self.alarm.poll_due(due, &mut Context::from_waker(&self.waker))
    }

    /// Ends the call. Answers whether the connection is free for another one.
    pub(super) fn rest(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.look();
        }
        self.bell.dismiss();
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Whether a connection that [rests](Link::rest) is still good: looks only where something came in meanwhile,
    /// which is the upstream's close or else nothing that belongs there.
    pub(super) fn is_good(&mut self) -> bool {
        if self.bell.rang() {
            self.look();
        }
        self.connection.is_some() && !self.sender.is_closed()
    }

    fn look(&mut self) {
        let own = &mut Context::from_waker(&self.waker);
        if self.connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(own).is_ready()) {
            self.connection = None;
        }
    }
}
