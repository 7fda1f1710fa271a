//! The log: opens the audit directory, starts the writer thread, and ends it.
//!
//! What waits for the writer is `queue`'s; what a record says is not known here (`record`); how it gets to the disk is
//! `writer`'s and `segment`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::queue::{Phase, Place, Shared, Unavailable};
use super::recovery::{self, Torn};
use super::segment::Device;
use super::writer::Writer;
use super::{directory, record};
use crate::clock::SharedClock;
use crate::config::bootstrap;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The directory cannot be made, read, written or synced.
    #[error("the audit directory `{}` cannot be written; make it writable for this user, or name another `state`", dir.display())]
    Unwritable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// Another process writes it: a log has one writer at a time.
    #[error("the audit directory `{}` is in use by another process; stop that one, or give this one a `state` of its own", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// Segments lie there, but the file that names their origin is gone.
    #[error("the audit directory `{}` has segments but no file `origin`; bring it back, or keep the directory and name another `state`", dir.display())]
    OriginMissing {
        /// The directory.
        dir: PathBuf,
    },
    /// Damaged where no crash can have torn it; the gate does not go on over it.
    #[error("`{}` is damaged at line {line}: {what}; keep it as evidence and name another `state`", file.display())]
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
        let shared = Arc::new(Shared::new(origin, settings, clock, writer.next()));
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
        self.shared.room(wait).await
    }

    /// How the log does.
    #[must_use]
    pub fn state(&self) -> LogState {
        let (next, phase) = self.shared.standing();
        let failed = phase == Phase::Failed;
        let durable = self.shared.durable.load(Ordering::Acquire);
        let undone = next.saturating_sub(1).saturating_sub(durable);
        let (queued, dropped) = if failed { (0, undone) } else { (undone, 0) };
        let lost = self.shared.lost.load(Ordering::Relaxed).saturating_add(dropped);
        LogState { queued, durable, failed, lost }
    }

    /// Whether the log failed, for good.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.standing().1 == Phase::Failed
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
