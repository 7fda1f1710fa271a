//! The bounded queue in front of the writer, and the places in it.
//!
//! A [`Place`] is taken first, with a deadline (`log`); giving a record to it then neither waits nor fails for want of
//! room, so an outcome can be written from `Drop`. Places are free again when the writer has synced the record.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::writer::{Draft, LONGEST_DRAFT};
use crate::clock::{Moment, SharedClock};
use crate::config::bootstrap::{self, Durability};

/// The log takes no record: it failed, it is closed, or there was no room in time. The one answer is 503
/// `audit_unavailable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log takes no record")]
pub struct Unavailable;

/// Where a record stands; shown as `origin#sequence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whose log.
    pub origin: Arc<str>,
    /// Which record.
    pub sequence: u64,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.sequence)
    }
}

/// One record on its way to the writer.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) draft: Draft,
    waiter: Option<oneshot::Sender<()>>,
    queued_at: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Closing,
    Failed,
}

/// How long a record that nobody waits for may wait for company before it is written. Outcomes then share the sync of
/// the next decisions; a crash loses no more than with a sync of their own, for a decision is durable before it counts.
const LINGER: Duration = Duration::from_millis(5);

/// What the writer does while it has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It works.
    None,
    /// It rests for [`LINGER`] at most; only a record that somebody waits for is worth waking it.
    Light,
    /// It sleeps until woken.
    Deep,
}

#[derive(Debug)]
struct Queue {
    items: Vec<Item>,
    /// Whether somebody waits for one of the items.
    awaited: bool,
    next: u64,
    phase: Phase,
    rest: Rest,
}

type Observer = Box<dyn Fn(Duration) + Send + Sync>;

/// What callers and the writer share.
pub(super) struct Shared {
    pub(super) origin: Arc<str>,
    durability: Durability,
    clock: SharedClock,
    queue: Mutex<Queue>,
    work: Condvar,
    pub(super) places: Semaphore,
    pub(super) durable: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) observer: OnceLock<Observer>,
    herald: Herald,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Shared {
    /// An empty queue whose first record gets the sequence `next`.
    pub(super) fn new(origin: Arc<str>, settings: bootstrap::Audit, clock: SharedClock, next: u64) -> Self {
        let queue = Queue { items: Vec::new(), awaited: false, next, phase: Phase::Open, rest: Rest::None };
        Self {
            origin,
            durability: settings.durability,
            clock,
            queue: Mutex::new(queue),
            work: Condvar::new(),
            places: Semaphore::new(settings.queue.min(Semaphore::MAX_PERMITS)),
            durable: AtomicU64::new(next.saturating_sub(1)),
            lost: AtomicU64::new(0),
            observer: OnceLock::new(),
            herald: Herald::start(),
        }
    }

    /// Waits for places, all at once or none.
    pub(super) async fn room<const N: usize>(self: &Arc<Self>, wait: Duration) -> Result<[Place; N], Unavailable> {
        let count = u32::try_from(N).map_err(|_| Unavailable)?;
        let permit = match self.places.try_acquire_many(count) {
            Ok(permit) => permit,
            Err(_) => tokio::time::timeout(wait, self.places.acquire_many(count))
                .await
                .map_err(|_| Unavailable)?
                .map_err(|_| Unavailable)?,
        };
        permit.forget();
        Ok(std::array::from_fn(|_| Place { shared: Some(Arc::clone(self)) }))
    }

    /// The sequence that is next, and whether the log takes records.
    pub(super) fn standing(&self) -> (u64, Phase) {
        let queue = self.queue.lock();
        (queue.next, queue.phase)
    }

    /// Waits for records and takes all there are; `false` when there will be no more.
    pub(super) fn take(&self, into: &mut Vec<Item>) -> bool {
        let mut queue = self.queue.lock();
        let mut lingered = false;
        loop {
            let due = queue.awaited || lingered || queue.phase != Phase::Open;
            if due && !queue.items.is_empty() {
                break;
            }
            if queue.phase != Phase::Open {
                return false;
            }
            if lingered {
                queue.rest = Rest::Deep;
                self.work.wait(&mut queue);
                lingered = false;
            } else {
                queue.rest = Rest::Light;
                lingered = self.work.wait_for(&mut queue, LINGER).timed_out();
            }
            queue.rest = Rest::None;
        }
        // Where writer and callers share a core, the callers that are ready queue their records first, and one sync
        // serves them all; on a core of its own this costs a system call. Without it there are twice as many syncs;
        // to yield again as long as records come gathers no more.
        drop(queue);
        std::thread::yield_now();
        queue = self.queue.lock();
        queue.awaited = false;
        std::mem::swap(&mut queue.items, into);
        true
    }

    /// Answers a group that is on stable storage and frees its places.
    pub(super) fn acknowledge(&self, group: &mut [Item], now: Moment) {
        self.durable.fetch_add(u64::try_from(group.len()).unwrap_or_default(), Ordering::Release);
        let mut waiters = group.iter_mut().filter_map(|item| item.waiter.take()).peekable();
        if waiters.peek().is_some() {
            self.herald.tell(waiters);
        }
        self.places.add_permits(group.len());
        if let Some(observe) = self.observer.get() {
            for item in group.iter() {
                observe(now.since(item.queued_at));
            }
        }
    }

    /// Ends the log: all waiters and later callers are told that it is unavailable.
    pub(super) fn fail(&self) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.phase = Phase::Failed;
            std::mem::take(&mut queue.items)
        };
        self.places.close();
        drop(waiting);
    }

    /// Takes no more records; the writer ends when it has written what is queued.
    pub(super) fn close(&self) {
        self.places.close();
        let mut queue = self.queue.lock();
        if queue.phase == Phase::Open {
            queue.phase = Phase::Closing;
        }
        drop(queue);
        self.work.notify_one();
    }

    /// Queues a record and gives its sequence: the order of the queue is the order of the log.
    fn push(&self, draft: Draft, waiter: Option<oneshot::Sender<()>>, now: Moment) -> Result<u64, Unavailable> {
        if draft.len() > LONGEST_DRAFT {
            return Err(Unavailable);
        }
        let item = Item { draft, waiter, queued_at: now };
        let mut queue = self.queue.lock();
        if queue.phase != Phase::Open {
            return Err(Unavailable);
        }
        let sequence = queue.next;
        queue.next = sequence.saturating_add(1);
        queue.awaited |= item.waiter.is_some();
        queue.items.push(item);
        let wake = match queue.rest {
            Rest::None => false,
            Rest::Light => queue.awaited,
            Rest::Deep => true,
        };
        if wake {
            queue.rest = Rest::None;
        }
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(sequence)
    }
}

/// Carries the writer's answers into the runtime: waking a task from another thread costs a system call, so the writer
/// wakes one, and that wakes the others where waking is cheap.
#[derive(Debug)]
struct Herald {
    told: Arc<Told>,
    /// Outside a runtime the writer answers by itself.
    inside: bool,
}

#[derive(Debug, Default)]
struct Told {
    waiters: Mutex<Vec<oneshot::Sender<()>>>,
    news: Notify,
    /// The log is gone.
    over: AtomicBool,
}

impl Herald {
    fn start() -> Self {
        let told = Arc::<Told>::default();
        let inside = Handle::try_current().is_ok_and(|runtime| {
            let told = Arc::clone(&told);
            drop(runtime.spawn(async move {
                while !told.over.load(Ordering::Acquire) {
                    answer_all(&told);
                    told.news.notified().await;
                }
                answer_all(&told);
            }));
            true
        });
        Self { told, inside }
    }

    fn tell(&self, waiters: impl Iterator<Item = oneshot::Sender<()>>) {
        self.told.waiters.lock().extend(waiters);
        if self.inside {
            self.told.news.notify_one();
        } else {
            answer_all(&self.told);
        }
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.told.over.store(true, Ordering::Release);
        self.told.news.notify_one();
    }
}

fn answer_all(told: &Told) {
    let waiters = std::mem::take(&mut *told.waiters.lock());
    for waiter in waiters {
        // Whoever waited may have left; the record stands all the same.
        let _gone = waiter.send(());
    }
}

/// Room for one record; free again when dropped.
#[derive(Debug)]
pub struct Place {
    shared: Option<Arc<Shared>>,
}

impl Place {
    /// Queues a record at once; the answer comes when it is durable (with `async`: at once).
    ///
    /// Dropping the answer does not take the record back.
    pub fn write(self, draft: Draft) -> Written {
        let Some(shared) = &self.shared else { return Written(Waiting::Refused) };
        let now = shared.clock.moment();
        self.write_at(draft, now)
    }

    /// The same, for who has just read the clock.
    pub(super) fn write_at(mut self, draft: Draft, now: Moment) -> Written {
        let Some(shared) = self.shared.take() else { return Written(Waiting::Refused) };
        let (waiter, durable) = match shared.durability {
            Durability::Async => (None, None),
            Durability::Sync | Durability::Group => Some(oneshot::channel()).unzip(),
        };
        match (shared.push(draft, waiter, now), durable) {
            (Err(Unavailable), _) => {
                shared.places.add_permits(1);
                Written(Waiting::Refused)
            }
            (Ok(sequence), Some(durable)) => Written(Waiting::Durable { shared, sequence, durable }),
            (Ok(sequence), None) => Written(Waiting::Queued { shared, sequence }),
        }
    }

    /// [`Self::post_at`], now.
    #[cfg(test)]
    pub(super) fn post(self, draft: Draft) {
        if let Some(now) = self.shared.as_ref().map(|shared| shared.clock.moment()) {
            self.post_at(draft, now);
        }
    }

    /// Queues a record at once and does not ask what becomes of it: no I/O, no waiting. What the log does not take any
    /// more is counted in [`super::LogState::lost`].
    pub(super) fn post_at(mut self, draft: Draft, now: Moment) {
        let Some(shared) = self.shared.take() else { return };
        if shared.push(draft, None, now).is_err() {
            shared.places.add_permits(1);
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.places.add_permits(1);
        }
    }
}

/// The answer to a queued record.
#[derive(Debug)]
#[must_use = "a record counts only when this has answered"]
pub struct Written(Waiting);

#[derive(Debug)]
enum Waiting {
    Refused,
    Queued { shared: Arc<Shared>, sequence: u64 },
    Durable { shared: Arc<Shared>, sequence: u64, durable: oneshot::Receiver<()> },
}

impl Future for Written {
    type Output = Result<Address, Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (shared, sequence) = match &mut self.0 {
            Waiting::Refused => return Poll::Ready(Err(Unavailable)),
            Waiting::Queued { shared, sequence } => (shared, *sequence),
            Waiting::Durable { shared, sequence, durable } => match Pin::new(durable).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Unavailable)),
                Poll::Ready(Ok(())) => (shared, *sequence),
            },
        };
        Poll::Ready(Ok(Address { origin: Arc::clone(&shared.origin), sequence }))
    }
}
