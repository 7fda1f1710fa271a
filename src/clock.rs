//! Time as an argument.
//!
//! Algorithms take a [`Moment`] (monotonic) or a UTC timestamp (calendar); only a [`Clock`] reads one.
//! [`SystemClock`] serves the binary, [`ManualClock`] lets tests move time instead of sleeping.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// A point in monotonic time: nanoseconds since the clock was made. Never goes back, is never persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` nanoseconds after the clock's epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `by` later; saturates after 584 years.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Reads time. `moment` is monotonic, `utc` is the calendar; both are cheap (no allocation, no lock held).
pub trait Clock: fmt::Debug + Send + Sync {
    /// Monotonic time.
    fn moment(&self) -> Moment;
    /// Calendar time.
    fn utc(&self) -> DateTime<Utc>;
}

/// A clock shared by all rooms.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    epoch: Instant,
}

impl SystemClock {
    /// A clock whose monotonic epoch is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn new() -> Self {
        Self { epoch: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's calendar")]
    fn utc(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    start: DateTime<Utc>,
    nanos: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `start`, its monotonic time at zero.
    #[must_use]
    pub const fn at(start: DateTime<Utc>) -> Self {
        Self { start, nanos: AtomicU64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn moment(&self) -> Moment {
        Moment(self.nanos.load(Ordering::SeqCst))
    }

    fn utc(&self) -> DateTime<Utc> {
        let nanos = i64::try_from(self.nanos.load(Ordering::SeqCst)).unwrap_or(i64::MAX);
        self.start + TimeDelta::nanoseconds(nanos)
    }
}
