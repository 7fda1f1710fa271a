//! The log: a bounded queue in front of one writer thread.
//!
//! A [`Place`] in the queue is taken first, with a deadline; giving a record to it then neither waits nor fails for want
//! of room, so an outcome can be written from `Drop`. Places are free again when the writer has synced the record.
//! What a record says is not known here (`record`); how it gets to the disk is `writer`'s and `segment`'s.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

use super::recovery::{self, Torn};
use super::segment::Device;
use super::writer::{Draft, LONGEST_DRAFT, Writer};
use super::{directory, record};
use crate::clock::{Moment, SharedClock};
use crate::config::bootstrap::{self, Durability};

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The directory cannot be made, read, written or synced.
    #[error("the audit directory `{}` cannot be written", dir.display())]
    Unwritable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// Another process writes it: a log has one writer at a time.
    #[error("the audit directory `{}` is in use by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// Segments lie there, but the file that names their origin is gone.
    #[error("the audit directory `{}` has segments but no file `origin`", dir.display())]
    OriginMissing {
        /// The directory.
        dir: PathBuf,
    },
    /// Damaged where no crash can have torn it; the gate does not go on over it.
    #[error("`{}` is damaged at line {line}: {what}", file.display())]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// The line, counted from 1; 0 when no one line is meant.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who writes this log.
    pub origin: Arc<str>,
    /// The sequence of the next record.
    pub next: u64,
    /// Tails that were cut off; each stands in a `portcullis.log.recovered.v1` record by now.
    pub torn: Vec<Torn>,
}

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

/// How the log does, for metrics and readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Records that wait for the writer or are being written. With `async`: what a crash now would lose.
    pub queued: u64,
    /// The last record on stable storage.
    pub durable: u64,
    /// Whether a write or sync failed, or the writer died. Final for this process.
    pub failed: bool,
    /// Records that were queued when the log failed, or posted when it took none any more.
    pub lost: u64,
}

/// One record on its way to the writer.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) draft: Draft,
    waiter: Option<oneshot::Sender<()>>,
    queued_at: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Failed,
}

#[derive(Debug)]
struct Queue {
    items: Vec<Item>,
    next: u64,
    phase: Phase,
    writer_sleeps: bool,
}

type Observer = Box<dyn Fn(Duration) + Send + Sync>;

/// What callers and the writer share.
pub(super) struct Shared {
    origin: Arc<str>,
    durability: Durability,
    clock: SharedClock,
    queue: Mutex<Queue>,
    work: Condvar,
    places: Semaphore,
    durable: AtomicU64,
    lost: AtomicU64,
    observer: OnceLock<Observer>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Shared {
    /// Waits for records and takes all there are; `false` when there will be no more.
    pub(super) fn take(&self, into: &mut Vec<Item>) -> bool {
        let mut queue = self.queue.lock();
        loop {
            if !queue.items.is_empty() {
                std::mem::swap(&mut queue.items, into);
                return true;
            }
            if queue.phase != Phase::Open {
                return false;
            }
            queue.writer_sleeps = true;
            self.work.wait(&mut queue);
            queue.writer_sleeps = false;
        }
    }

    /// Answers a group that is on stable storage and frees its places.
    pub(super) fn acknowledge(&self, group: &mut [Item], now: Moment) {
        self.durable.fetch_add(u64::try_from(group.len()).unwrap_or_default(), Ordering::Release);
        for item in group.iter_mut() {
            // Whoever waited may have left; the record stands all the same.
            let _gone = item.waiter.take().map(|waiter| waiter.send(()));
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

    fn close(&self) {
        self.places.close();
        let mut queue = self.queue.lock();
        if queue.phase == Phase::Open {
            queue.phase = Phase::Closing;
        }
        drop(queue);
        self.work.notify_one();
    }

    /// Queues a record and gives its sequence: the order of the queue is the order of the log.
    fn push(&self, draft: Draft, waiter: Option<oneshot::Sender<()>>) -> Result<u64, Unavailable> {
        if draft.len() > LONGEST_DRAFT {
            return Err(Unavailable);
        }
        let item = Item { draft, waiter, queued_at: self.clock.moment() };
        let mut queue = self.queue.lock();
        if queue.phase != Phase::Open {
            return Err(Unavailable);
        }
        let sequence = queue.next;
        queue.next = sequence.saturating_add(1);
        queue.items.push(item);
        let wake = std::mem::take(&mut queue.writer_sleeps);
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(sequence)
    }
}

/// The log of one instance.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    thread: Mutex<Option<(oneshot::Receiver<()>, JoinHandle<()>)>>,
}

impl Log {
    /// Opens the audit directory (`<state>/audit`): makes it where it is missing, takes its lock, cuts off a torn tail
    /// and records that, and starts the writer. Blocks on I/O; reads at most the last segment.
    ///
    /// # Errors
    /// [`OpenFault`]; nothing was started then.
    pub fn open(dir: &Path, settings: bootstrap::Audit, clock: SharedClock) -> Result<(Self, Opened), OpenFault> {
        let unwritable = |cause| OpenFault::Unwritable { dir: dir.to_owned(), cause };
        let home = directory::enter(dir)?;
        let mut end = recovery::recover(&home.segments, settings.segment_bytes)?;
        let mut writer = Writer::new(end.segments, Arc::clone(&clock), end.next, end.link);
        for torn in &mut end.torn {
            let draft = record::recovered(&home.origin, torn, clock.utc()).map_err(unwritable)?;
            writer.commit(std::iter::once(&draft)).map_err(unwritable)?;
            torn.settle().map_err(unwritable)?;
        }
        let opened = Opened { origin: Arc::clone(&home.origin), next: writer.next(), torn: end.torn };
        let log = Self::start(home.origin, writer, settings, clock, home.lock).map_err(unwritable)?;
        Ok((log, opened))
    }

    /// Starts the thread. `lock` is held until the thread has ended.
    pub(super) fn start<D: Device>(
        origin: Arc<str>,
        writer: Writer<D>,
        settings: bootstrap::Audit,
        clock: SharedClock,
        lock: impl Send + 'static,
    ) -> std::io::Result<Self> {
        let queue = Queue { items: Vec::new(), next: writer.next(), phase: Phase::Open, writer_sleeps: false };
        let shared = Arc::new(Shared {
            origin,
            durability: settings.durability,
            clock,
            durable: AtomicU64::new(queue.next.saturating_sub(1)),
            queue: Mutex::new(queue),
            work: Condvar::new(),
            places: Semaphore::new(settings.queue.min(Semaphore::MAX_PERMITS)),
            lost: AtomicU64::new(0),
            observer: OnceLock::new(),
        });
        let (ended, end) = oneshot::channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("audit-writer".to_owned()).spawn(move || {
            writer.run(&theirs, settings.durability);
            drop(lock);
            drop(ended);
        })?;
        Ok(Self { shared, thread: Mutex::new(Some((end, thread))) })
    }

    /// Whose log this is.
    #[must_use]
    pub fn origin(&self) -> &Arc<str> {
        &self.shared.origin
    }

    /// Waits at most `wait` for places for `N` records, all at once or none.
    ///
    /// Cancel safe: dropped before it answers, nothing is taken.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no room in time, or the log failed or is closed.
    pub async fn room<const N: usize>(&self, wait: Duration) -> Result<[Place; N], Unavailable> {
        let count = u32::try_from(N).map_err(|_| Unavailable)?;
        let permit = match self.shared.places.try_acquire_many(count) {
            Ok(permit) => permit,
            Err(_) => tokio::time::timeout(wait, self.shared.places.acquire_many(count))
                .await
                .map_err(|_| Unavailable)?
                .map_err(|_| Unavailable)?,
        };
        permit.forget();
        Ok(std::array::from_fn(|_| Place { shared: Some(Arc::clone(&self.shared)) }))
    }

    /// How the log does.
    #[must_use]
    pub fn state(&self) -> LogState {
        let (next, failed) = {
            let queue = self.shared.queue.lock();
            (queue.next, queue.phase == Phase::Failed)
        };
        let durable = self.shared.durable.load(Ordering::Acquire);
        let undone = next.saturating_sub(1).saturating_sub(durable);
        let (queued, dropped) = if failed { (0, undone) } else { (undone, 0) };
        let lost = self.shared.lost.load(Ordering::Relaxed).saturating_add(dropped);
        LogState { queued, durable, failed, lost }
    }

    /// Whether the log failed, for good.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.queue.lock().phase == Phase::Failed
    }

    /// Has `observe` told, on the writer's thread, how long each record took from the queue to stable storage. Only
    /// the first observer counts.
    pub fn observe_appends(&self, observe: impl Fn(Duration) + Send + Sync + 'static) {
        let _already = self.shared.observer.set(Box::new(observe));
    }

    /// Takes no more records, writes and syncs those queued, ends the thread and gives the directory free.
    ///
    /// Cancel safe in that the log closes all the same.
    ///
    /// # Errors
    /// [`Unavailable`] when the log failed, so that not everything queued is written.
    pub async fn close(&self) -> Result<(), Unavailable> {
        self.shared.close();
        let ending = self.thread.lock().take();
        if let Some((end, thread)) = ending {
            let _ended = end.await;
            // The thread has done its work by now, so this does not block.
            thread.join().map_err(|_| Unavailable)?;
        }
        if self.has_failed() { Err(Unavailable) } else { Ok(()) }
    }

    #[cfg(test)]
    pub(super) fn free_places(&self) -> usize {
        self.shared.places.available_permits()
    }
}

impl Drop for Log {
    /// Without a [`Log::close`] the writer still drains what is queued, but nobody waits for it.
    fn drop(&mut self) {
        self.shared.close();
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
    pub fn write(mut self, draft: Draft) -> Written {
        let Some(shared) = self.shared.take() else { return Written(Waiting::Refused) };
        let (waiter, durable) = match shared.durability {
            Durability::Async => (None, None),
            Durability::Sync | Durability::Group => Some(oneshot::channel()).unzip(),
        };
        match (shared.push(draft, waiter), durable) {
            (Err(Unavailable), _) => {
                shared.places.add_permits(1);
                Written(Waiting::Refused)
            }
            (Ok(sequence), Some(durable)) => Written(Waiting::Durable { shared, sequence, durable }),
            (Ok(sequence), None) => Written(Waiting::Queued { shared, sequence }),
        }
    }

    /// Queues a record at once and does not ask what becomes of it: no I/O, no waiting. What the log does not take any
    /// more is counted in [`LogState::lost`].
    pub fn post(mut self, draft: Draft) {
        let Some(shared) = self.shared.take() else { return };
        if shared.push(draft, None).is_err() {
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
