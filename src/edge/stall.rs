//! An end for answers that their client does not take.
//!
//! hyper asks an answer's body for more only while the client has room: an HTTP/2 client that never opens its window,
//! or one that takes a byte now and then, would hold its call for ever, since the body's own limits run only when it is
//! asked. So whatever carries an answer is watched from outside: an HTTP/2 stream by [`Streams`], which runs each one, an
//! HTTP/1 connection by [`Stall::overdue`]. What is overdue is dropped, which settles the call like any client that left.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::alarm::Alarm;

tokio::task_local! {
    static HERE: Arc<Stall>;
}

/// What the answer under way in this task waits for.
#[derive(Debug)]
pub(super) struct Stall {
    /// How long the client may leave what it was given; `None` where its connection sees to that.
    patience: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the client was given something and has not asked for more.
    given: Option<Instant>,
    /// When the answer has to be over.
    ends_at: Option<Instant>,
}

impl Stall {
    pub(super) fn new(patience: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { patience, state: Mutex::default() })
    }

    /// The one of this task, where there is one.
    pub(super) fn here() -> Option<Arc<Self>> {
        HERE.try_with(Arc::clone).ok()
    }

    /// Runs `work` with this one as its task's.
    pub(super) fn around<F: Future>(self: &Arc<Self>, work: F) -> impl Future<Output = F::Output> + use<F> {
        HERE.scope(Arc::clone(self), work)
    }

    /// The client has something to take.
    pub(super) fn given(&self) {
        if self.patience.is_some() {
            self.state.lock().given = Some(Instant::now());
        }
    }

    /// The client has room for more.
    pub(super) fn asked(&self) {
        if self.patience.is_some() {
            self.state.lock().given = None;
        }
    }

    /// From now on the answer has to be over at `ends_at`.
    pub(super) fn begin(&self, ends_at: Instant) {
        self.state.lock().ends_at = Some(ends_at);
    }

    /// The answer is over.
    pub(super) fn end(&self) {
        self.state.lock().ends_at = None;
    }

    /// Whether the answer is to be taken in large pieces: where the client's room is unknown, small ones bound what
    /// waits.
    pub(super) const fn takes_large_pieces(&self) -> bool {
        self.patience.is_none()
    }

    fn due(&self) -> Option<Instant> {
        let state = self.state.lock();
        let taken = state.given.zip(self.patience).map(|(given, patience)| given + patience);
        taken.into_iter().chain(state.ends_at).min()
    }

    fn poll_overdue(&self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<()> {
        self.due().map_or(Poll::Pending, |due| alarm.poll_due(due, cx))
    }

    /// Ends when the answer is overdue. Must be polled by the task that carries it, after it.
    pub(super) async fn overdue(&self) {
        let mut alarm = Alarm::default();
        poll_fn(|cx| self.poll_overdue(cx, &mut alarm)).await;
    }
}

/// Runs HTTP/2 streams, each until it is over or overdue.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    patience: Duration,
    running: Arc<AtomicUsize>,
}

impl Streams {
    /// For one connection.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, running: Arc::default() }
    }

    /// Tells whether streams run.
    pub(super) fn census(&self) -> Census {
        Census(Arc::clone(&self.running))
    }
}

/// Counts the streams of a connection.
#[derive(Debug)]
pub(super) struct Census(Arc<AtomicUsize>);

/// One stream in a census, however it ends.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn one(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Census {
    /// Ends when no stream has run for `time`, looked at so often. Before, what the connection wrote may still be on its
    /// way.
    pub(super) async fn none_for(&self, time: Duration) {
        let mut quiet = false;
        loop {
            sleep(time).await;
            let now = self.0.load(Ordering::Relaxed) == 0;
            if quiet && now {
                return;
            }
            quiet = now;
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let stall = Stall::new(Some(self.patience));
        let watched = Arc::clone(&stall);
        let running = Running::one(&self.running);
        TokioExecutor::new().execute(stall.around(async move {
            let mut stream = pin!(stream);
            let mut alarm = Alarm::default();
            poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { watched.poll_overdue(cx, &mut alarm) }
            })
            .await;
            drop(running);
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hyper::rt::Executor;
    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep};

    use super::{Stall, Streams};

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Runs a stream and answers how long it lived.
    async fn lived(stream: impl Future<Output = ()> + Send + 'static) -> Duration {
        let (held, dropped) = oneshot::channel::<()>();
        let began = Instant::now();
        Streams::new(PATIENCE).execute(async move {
            let _held = held;
            stream.await;
        });
        drop(dropped.await);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_is_dropped_and_what_is_taken_slowly_is_not() {
        let untaken = async {
            Stall::here().unwrap().given();
            std::future::pending::<()>().await;
        };
        assert!((PATIENCE..PATIENCE * 2).contains(&lived(untaken).await));
        let slow = async {
            for _ in 0..10 {
                Stall::here().unwrap().given();
                sleep(PATIENCE * 4 / 5).await;
                Stall::here().unwrap().asked();
                sleep(PATIENCE * 3).await;
            }
        };
        assert!(lived(slow).await > PATIENCE * 30);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_holds_however_busy_the_client_is() {
        let busy = async {
            let stall = Stall::here().unwrap();
            stall.begin(Instant::now() + PATIENCE * 3);
            loop {
                stall.given();
                sleep(Duration::from_secs(1)).await;
                stall.asked();
            }
        };
        assert!((PATIENCE * 3..PATIENCE * 4).contains(&lived(busy).await));
        let over = async {
            let stall = Stall::here().unwrap();
            stall.begin(Instant::now() + PATIENCE);
            stall.end();
            sleep(PATIENCE * 5).await;
        };
        assert!(lived(over).await >= PATIENCE * 5);
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_connection_sees_to_it_only_the_end_counts() {
        let stall = Stall::new(None);
        let began = Instant::now();
        stall.begin(began + PATIENCE * 2);
        stall.given();
        Arc::clone(&stall).around(stall.overdue()).await;
        assert!(began.elapsed() >= PATIENCE * 2);
    }
}
