//! Time limits that are set all the time and hardly ever reached, at the price of those that are.
//!
//! A timer for each call, head and piece of an answer would be set and taken back again and again. An [`Alarm`] is set
//! when something first waits, stays where it is while the limit only moves away, and looks again when it goes off too
//! early. [`Heads`] is that for hyper's limit on the heads of one connection.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Sleep as HeadTimer, Timer};
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

/// The answer of `work`, or `None` when it does not come within `limit`. What is there already costs no timer.
/// Cancel safe as `work` is.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut due = None;
    let mut alarm = Alarm::default();
    std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let due = *due.get_or_insert_with(|| Instant::now() + limit);
        alarm.poll_due(due, cx).map(|()| None)
    })
    .await
}

/// One limit. Without a wait, nothing is behind it.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `due` has passed; `due` may be another one with each poll. To be asked when nothing else is ready.
    pub(super) fn poll_due(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

/// The timer of one HTTP/1 connection, of which hyper wants a new one with every head. They share an alarm: hyper has
/// one of them at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads(Arc<Mutex<Alarm>>);

/// One head's time.
struct Head {
    alarm: Arc<Mutex<Alarm>>,
    due: Instant,
}

impl Timer for Heads {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn HeadTimer>> {
        self.until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn HeadTimer>> {
        self.until(deadline.into())
    }

    fn now(&self) -> std::time::Instant {
        TokioTimer::new().now()
    }
}

impl Heads {
    fn until(&self, due: Instant) -> Pin<Box<dyn HeadTimer>> {
        Box::pin(Head { alarm: Arc::clone(&self.0), due })
    }
}

impl HeadTimer for Head {}

impl Future for Head {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.lock().poll_due(self.due, cx)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("due", &self.due).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use hyper::rt::Timer as _;
    use tokio::time::{Instant, timeout};

    use super::{Alarm, Heads, within};

    #[tokio::test(start_paused = true)]
    async fn what_is_there_needs_no_time_and_what_does_not_come_ends() {
        assert_eq!(within(Duration::ZERO, async { 7 }).await, Some(7));
        let start = Instant::now();
        let slow = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            7
        };
        assert_eq!(within(Duration::from_secs(3), slow).await, Some(7));
        assert_eq!(within(Duration::from_secs(3), std::future::pending::<()>()).await, None);
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn each_head_has_its_own_time() {
        let heads = Heads::default();
        let start = Instant::now();
        for passed in [3, 6] {
            // A head that came in time leaves its timer behind.
            assert!(timeout(Duration::from_millis(500), heads.sleep(Duration::from_secs(1))).await.is_err());
            heads.sleep_until((start + Duration::from_secs(passed)).into()).await;
            assert_eq!(start.elapsed().as_secs(), passed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_limit_of_the_last_question_neither_before_nor_after() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        for seconds in [10, 30, 20] {
            let due = start + Duration::from_secs(seconds);
            let waited = timeout(Duration::from_secs(1), poll_fn(|cx| alarm.poll_due(due, cx))).await;
            assert!(waited.is_err(), "{seconds}");
        }
        poll_fn(|cx| alarm.poll_due(start + Duration::from_secs(25), cx)).await;
        assert_eq!(start.elapsed().as_secs(), 25);
    }
}
