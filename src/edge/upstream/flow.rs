//! The body of an upstream's answer as it comes. What drives it is who reads it.
//!
//! At its end the connection goes back to its pool; dropped before, it takes the connection with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::link::Link;
use super::pool::Pool;
use crate::edge::alarm::Alarm;

/// An answer's body.
#[derive(Debug)]
pub(in crate::edge) struct Flow {
    body: Incoming,
    by: By,
}

/// What brings the body.
#[derive(Debug)]
enum By {
    /// An HTTP/1 connection, which goes back to its pool.
    Link(Box<Link>, Arc<Pool>),
    /// A task of its own, or nothing any more.
    Itself(Alarm),
}

impl Flow {
    /// A body that its reader drives.
    pub(super) fn over(body: Incoming, link: Box<Link>, pool: &Arc<Pool>) -> Self {
        let mut flow = Self { body, by: By::Link(link, Arc::clone(pool)) };
        if flow.body.is_end_stream() {
            flow.give_back();
        }
        flow
    }

    /// A body of a connection that many share.
    pub(super) fn shared(body: Incoming) -> Self {
        Self { body, by: By::Itself(Alarm::default()) }
    }

    /// Ready once `due` has passed. To be asked right after [`Body::poll_frame`] was pending.
    pub(in crate::edge) fn poll_due(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.by {
            By::Link(link, _) => link.poll_due(due),
            By::Itself(alarm) => alarm.poll_due(due, cx),
        }
    }

    fn let_go(&mut self) -> By {
        std::mem::replace(&mut self.by, By::Itself(Alarm::default()))
    }

    fn give_back(&mut self) {
        if let By::Link(link, pool) = self.let_go() {
            pool.give_back(link);
        }
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { body, by } = &mut *self;
        let frame = match by {
            By::Link(link, _) => ready!(link.drive(cx, |cx| Pin::new(&mut *body).poll_frame(cx))),
            By::Itself(_) => return Pin::new(body).poll_frame(cx),
        };
        match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.give_back(),
            Some(Err(_)) => drop(self.let_go()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
