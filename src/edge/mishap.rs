//! A defect of the gate's own in one exchange: answered and recorded like any other refusal, and no business of the
//! connection's other requests.
//!
//! A panic unwinds the exchange with everything it holds, and with it the case file. A [`Witness`] keeps what the record
//! needs, and whether it is written already.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use parking_lot::Mutex;

use crate::docket::{CheckVerdict, Docket};

/// Waits for `work`; `None` when it panics, and then it must only be dropped.
pub(super) async fn caught<F: Future>(mut work: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        // What it says may quote content; the panic hook has told where it happened.
        Err(_panic) => Poll::Ready(None),
    })
    .await
}

/// What is known of a request, kept outside its exchange.
#[derive(Debug, Default)]
pub(super) struct Witness(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    facts: Option<Docket>,
    is_recorded: bool,
}

impl Witness {
    /// Keeps what the docket says by now.
    pub(super) fn note(&self, docket: &Docket) {
        let mut seen = self.0.lock();
        // What the head says does not change later.
        let facts = seen.facts.get_or_insert_with(|| {
            let (request, correlation) = (docket.request_id.clone(), docket.correlation_id.clone());
            let mut facts = Docket::open(request, correlation, docket.method.clone(), docket.arrived, docket.at);
            facts.traceparent.clone_from(&docket.traceparent);
            facts.dialect = docket.dialect;
            facts.operation = docket.operation;
            facts.route = docket.route;
            facts.peer = docket.peer;
            facts
        });
        facts.actor = docket.actor.clone();
        facts.tenant.clone_from(&docket.tenant);
        facts.checks = docket.checks;
    }

    /// The decision stands in the log. A defect of the log's own, just behind the decision, is the one way to a second.
    pub(super) fn recorded(&self) {
        self.0.lock().is_recorded = true;
    }

    /// What is known, and whether its decision is recorded; `None` when not even the head was read.
    pub(super) fn take(&self) -> Option<(Box<Docket>, bool)> {
        let mut seen = self.0.lock();
        let mut docket = seen.facts.take()?;
        docket.checks.request = CheckVerdict::Error;
        Some((Box::new(docket), seen.is_recorded))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use super::caught;

    #[tokio::test]
    async fn a_panic_ends_the_work_and_drops_what_it_held() {
        let held = Arc::new(());
        let mine = Arc::clone(&held);
        let ended = {
            let panics = pin!(async move {
                tokio::task::yield_now().await;
                assert!(Arc::strong_count(&mine) == 7, "as ordered");
            });
            caught(panics).await
        };
        assert_eq!((ended, Arc::strong_count(&held)), (None, 1));
        assert_eq!(caught(pin!(async { 5 })).await, Some(5));
    }
}
