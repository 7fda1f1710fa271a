//! A call outlives its client: an exchange that loses its client is finished, not forgotten.
//!
//! hyper drops the future of a request when the connection breaks. [`Outlive`] runs the exchange in place, without a
//! task of its own; only when it is dropped half-way does the rest move to a tracked task, where the exchange sees
//! that its client is gone ([`Presence`]), stops the upstream, settles and writes its records.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Whether the client is still there.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence(Arc<AtomicBool>);

impl Presence {
    /// Waits for `work`, but no longer than the client does: `None` once it is gone. Cancel safe as `work` is.
    ///
    /// The exchange is polled anew when it moves to its own task, so the flag needs no waker.
    pub(super) async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| if self.gone() { Poll::Ready(None) } else { work.as_mut().poll(cx).map(Some) }).await
    }

    /// Whether the client has left.
    pub(super) fn gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where exchanges that lost their client are finished.
#[derive(Debug, Clone)]
pub(super) struct Shelter {
    pub(super) tracker: TaskTracker,
    pub(super) runtime: Handle,
}

/// Runs `work` in place; finishes it in the shelter when dropped before its end.
pub(super) struct Outlive<F: Future<Output: Send> + Send + 'static> {
    work: Option<Pin<Box<F>>>,
    presence: Presence,
    shelter: Shelter,
}

impl<F: Future<Output: Send> + Send + 'static> Outlive<F> {
    pub(super) fn new(shelter: Shelter, presence: Presence, work: F) -> Self {
        Self { work: Some(Box::pin(work)), presence, shelter }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Outlive<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let answer = work.as_mut().poll(cx);
        if answer.is_ready() {
            self.work = None;
        }
        answer
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Outlive<F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.presence.0.store(true, Ordering::Relaxed);
            drop(self.shelter.tracker.spawn_on(async move { drop(work.await) }, &self.shelter.runtime));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::runtime::Handle;
    use tokio_util::task::TaskTracker;

    use super::{Outlive, Presence, Shelter};

    fn shelter() -> Shelter {
        Shelter { tracker: TaskTracker::new(), runtime: Handle::current() }
    }

    #[tokio::test]
    async fn work_that_loses_its_client_is_finished_and_knows_it() {
        let shelter = shelter();
        let presence = Presence::default();
        let ends = Arc::new(AtomicU32::new(0));
        let (seen, mine) = (Arc::clone(&ends), presence.clone());
        let mut exchange = Box::pin(Outlive::new(shelter.clone(), presence, async move {
            let answer = mine.bound(std::future::pending::<()>()).await;
            seen.store(if answer.is_none() && mine.gone() { 7 } else { 1 }, Ordering::SeqCst);
        }));
        tokio::select! {
            biased;
            () = &mut exchange => panic!("it waits for the upstream"),
            () = std::future::ready(()) => {}
        }
        drop(exchange);
        shelter.tracker.close();
        shelter.tracker.wait().await;
        assert_eq!(ends.load(Ordering::SeqCst), 7);
    }

    #[tokio::test]
    async fn finished_work_leaves_nothing_behind() {
        let shelter = shelter();
        assert_eq!(Outlive::new(shelter.clone(), Presence::default(), async { 5 }).await, 5);
        assert!(shelter.tracker.is_empty());
    }
}
