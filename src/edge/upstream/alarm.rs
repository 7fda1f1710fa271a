//! A time limit that moves: set anew with every call and every piece of an answer, and hardly ever reached.
//!
//! A timer a call would be set and taken back each time. This one is set when something first waits, stays where it is
//! while the limit only moves away, and looks again when it goes off too early.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::Alarm;

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
