//! Requests a minute, one at a time: the generic cell rate algorithm of `governor`, or the exact sliding window.
//!
//! `governor` reads its clock and its state from a [`Dial`] that we set, so time stays an argument, the state can be
//! looked at without taking anything, and a new limit can go on from an old one. Callers hold the tenant's lock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{NotUntil, RateLimiter};

use crate::clock::Moment;
use crate::config::policy::{Algorithm, Rate};
use crate::quota::window::Window;
use crate::quota::{Gauge, Wait};

/// Cell of the exact window; one request is counted out at most this much late.
const CELL: Duration = Duration::from_millis(1);

/// The longest time a bucket may take to refill, so that no sum of nanoseconds overflows; about 146 years.
const LONGEST_REFILL_NANOS: u64 = u64::MAX / 4;

/// One tenant's requests a minute.
#[derive(Debug)]
pub(super) struct Requests {
    rate: Rate,
    meter: Meter,
}

#[derive(Debug)]
enum Meter {
    Gcra { limiter: Limiter, dial: Arc<Dial> },
    Window(Window),
}

type Limiter = RateLimiter<NotKeyed, Tat, Hand, StateInformationMiddleware>;

impl Requests {
    pub(super) fn new(rate: Rate) -> Self {
        let meter = match rate.algorithm {
            Algorithm::Gcra => gcra(rate),
            Algorithm::SlidingWindow => Meter::Window(Window::new(u64::from(rate.per_minute.get()), CELL)),
        };
        Self { rate, meter }
    }

    /// Another rate over the same past: what was used stays used, up to what the new rate can owe.
    pub(super) fn change(&mut self, now: Moment, rate: Rate) {
        if rate == self.rate {
            return;
        }
        if let (Meter::Window(window), Algorithm::SlidingWindow) = (&mut self.meter, rate.algorithm) {
            window.limit_to(u64::from(rate.per_minute.get()));
            self.rate = rate;
            return;
        }
        let used = self.used(now);
        *self = Self::new(rate);
        match &mut self.meter {
            Meter::Window(window) => {
                window.add(now, u64::from(used));
            }
            Meter::Gcra { limiter, dial } => {
                dial.set(now, Mode::Take);
                if let Some(used) = NonZeroU32::new(used.min(rate.burst.get())) {
                    // A fresh bucket holds `burst`; only a burst capped for overflow holds less, and then is whole.
                    let _ = limiter.check_n(used);
                }
            }
        }
    }

    /// Takes one request, or says how long until one has room.
    pub(super) fn take(&mut self, now: Moment) -> Result<(), Wait> {
        match &mut self.meter {
            Meter::Gcra { limiter, dial } => {
                dial.set(now, Mode::Take);
                limiter.check().map(drop).map_err(|not| wait(&not, now))
            }
            Meter::Window(window) => {
                window.wait(now, 1)?;
                window.add(now, 1);
                Ok(())
            }
        }
    }

    /// The answer of [`Requests::take`], with nothing taken.
    pub(super) fn wait(&mut self, now: Moment) -> Result<(), Wait> {
        match &mut self.meter {
            Meter::Gcra { limiter, dial } => look(limiter, dial, now).map(drop).map_err(|not| wait(&not, now)),
            Meter::Window(window) => window.wait(now, 1),
        }
    }

    /// Where it stands.
    pub(super) fn gauge(&mut self, now: Moment) -> Gauge {
        let limit = self.rate.per_minute.get();
        match &mut self.meter {
            Meter::Gcra { limiter, dial } => Gauge {
                limit,
                remaining: remaining(limiter, dial, now).min(self.rate.burst.get()),
                reset: dial.tat().map_or(Duration::ZERO, |tat| tat.since(now)),
            },
            Meter::Window(window) => {
                let left = window.limit().saturating_sub(window.used(now));
                Gauge { limit, remaining: u32::try_from(left).unwrap_or(u32::MAX), reset: window.whole_in(now) }
            }
        }
    }

    /// Whether forgetting this would lose nothing.
    pub(super) fn is_whole(&mut self, now: Moment) -> bool {
        self.gauge(now).reset.is_zero()
    }

    fn used(&mut self, now: Moment) -> u32 {
        match &mut self.meter {
            Meter::Gcra { limiter, dial } => self.rate.burst.get().saturating_sub(remaining(limiter, dial, now)),
            Meter::Window(window) => u32::try_from(window.used(now)).unwrap_or(u32::MAX),
        }
    }
}

/// A bucket of `burst` that refills one request per interval. The interval is rounded up to whole nanoseconds, so
/// the rate is never exceeded; `burst` is capped where its refill would take more than a century.
fn gcra(rate: Rate) -> Meter {
    let window = u64::try_from(Rate::WINDOW.as_nanos()).unwrap_or(u64::MAX);
    let interval = window.div_ceil(u64::from(rate.per_minute.get())).max(1);
    let most = u32::try_from(LONGEST_REFILL_NANOS / interval).unwrap_or(u32::MAX);
    let burst = rate.burst.min(NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN));
    let every = Duration::from_nanos(interval);
    let quota = governor::Quota::with_period(every).unwrap_or(governor::Quota::per_minute(NonZeroU32::MIN));
    let dial = Arc::new(Dial::default());
    let limiter = RateLimiter::new(quota.allow_burst(burst), Tat(Arc::clone(&dial)), Hand(Arc::clone(&dial)));
    Meter::Gcra { limiter, dial }
}

fn look(limiter: &Limiter, dial: &Dial, now: Moment) -> Result<StateSnapshot, NotUntil<Nanos>> {
    dial.set(now, Mode::Look);
    limiter.check()
}

fn remaining(limiter: &Limiter, dial: &Dial, now: Moment) -> u32 {
    // The snapshot tells what would be left after one more.
    look(limiter, dial, now).map_or(0, |after| after.remaining_burst_capacity().saturating_add(1))
}

fn wait(not: &NotUntil<Nanos>, now: Moment) -> Wait {
    Wait::For(Moment::from_nanos(not.earliest_possible().as_u64()).since(now))
}

/// Whether a check counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Take,
    Look,
}

/// The time and the state that `governor` sees. Atomic only because its traits share references: every use is under
/// the tenant's lock.
#[derive(Debug, Default)]
struct Dial {
    now: AtomicU64,
    /// Theoretical arrival time of the next request; 0 = none was taken yet.
    tat: AtomicU64,
    look_only: AtomicBool,
}

impl Dial {
    fn set(&self, now: Moment, mode: Mode) {
        self.now.store(now.as_nanos(), Ordering::Relaxed);
        self.look_only.store(mode == Mode::Look, Ordering::Relaxed);
    }

    fn tat(&self) -> Option<Moment> {
        Some(self.tat.load(Ordering::Relaxed)).filter(|tat| *tat != 0).map(Moment::from_nanos)
    }
}

/// The dial as `governor`'s clock.
#[derive(Debug)]
struct Hand(Arc<Dial>);

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.now.load(Ordering::Relaxed))
    }
}

/// The dial as `governor`'s state.
#[derive(Debug)]
struct Tat(Arc<Dial>);

impl StateStore for Tat {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, tat) = f(self.0.tat().map(|tat| Nanos::new(tat.as_nanos())))?;
        if !self.0.look_only.load(Ordering::Relaxed) {
            self.0.tat.store(tat.as_u64(), Ordering::Relaxed);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Requests;
    use crate::clock::Moment;
    use crate::config::policy::{Algorithm, Rate};
    use crate::quota::Wait;

    fn rate(per_minute: u32, burst: u32, algorithm: Algorithm) -> Rate {
        let n = |n| NonZeroU32::new(n).unwrap();
        Rate { per_minute: n(per_minute), burst: n(burst), algorithm }
    }

    fn flood(requests: &mut Requests, now: Moment) -> u32 {
        (0..100_000).take_while(|_| requests.take(now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn exactly_the_limit_passes_at_once() {
        for (algorithm, burst, expected) in
            [(Algorithm::SlidingWindow, 100, 100), (Algorithm::Gcra, 100, 100), (Algorithm::Gcra, 7, 7)]
        {
            let mut requests = Requests::new(rate(100, burst, algorithm));
            assert_eq!(flood(&mut requests, Moment::from_nanos(12_345)), expected, "{algorithm:?}");
        }
    }

    #[test]
    fn looking_takes_nothing() {
        for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
            let mut requests = Requests::new(rate(10, 10, algorithm));
            let now = Moment::from_nanos(1);
            for left in (1..=10).rev() {
                assert_eq!(requests.wait(now), Ok(()));
                assert_eq!(requests.gauge(now).remaining, left, "{algorithm:?}");
                requests.take(now).unwrap();
            }
            assert_eq!(requests.gauge(now).remaining, 0);
            assert!(!requests.gauge(now).reset.is_zero());
            assert!(requests.is_whole(now.plus(Duration::from_secs(61))));
        }
    }

    #[test]
    fn a_changed_limit_goes_on_from_what_was_used() {
        for (before, after, left) in [
            (rate(100, 100, Algorithm::SlidingWindow), rate(150, 150, Algorithm::SlidingWindow), 70),
            (rate(100, 100, Algorithm::SlidingWindow), rate(50, 50, Algorithm::SlidingWindow), 0),
            (rate(100, 100, Algorithm::Gcra), rate(150, 150, Algorithm::Gcra), 70),
            (rate(100, 100, Algorithm::Gcra), rate(50, 50, Algorithm::Gcra), 0),
            (rate(100, 100, Algorithm::Gcra), rate(100, 100, Algorithm::SlidingWindow), 20),
            (rate(100, 100, Algorithm::SlidingWindow), rate(100, 100, Algorithm::Gcra), 20),
        ] {
            let mut requests = Requests::new(before);
            let now = Moment::from_nanos(7_000_000_000);
            for _ in 0..80 {
                requests.take(now).unwrap();
            }
            requests.change(now, after);
            assert_eq!(flood(&mut requests, now), left, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn an_extreme_burst_does_not_overflow() {
        let mut requests = Requests::new(rate(1, u32::MAX, Algorithm::Gcra));
        requests.take(Moment::from_nanos(u64::MAX / 4)).unwrap();
        assert!(requests.gauge(Moment::from_nanos(u64::MAX / 4)).remaining > 1_000_000);
    }

    proptest! {
        #[test]
        fn the_wait_is_true(
            per_minute in 1u32..5000,
            burst in 1u32..40,
            window in any::<bool>(),
            steps in prop::collection::vec(0u64..3_000_000_000, 1..200),
        ) {
            let algorithm = if window { Algorithm::SlidingWindow } else { Algorithm::Gcra };
            let mut requests = Requests::new(rate(per_minute.min(if window { 30 } else { 5000 }), burst, algorithm));
            let mut now = Moment::from_nanos(0);
            for step in steps {
                now = now.plus(Duration::from_nanos(step));
                if let Err(Wait::For(wait)) = requests.take(now) {
                    prop_assert!(!wait.is_zero());
                    let before = now.plus(wait.checked_sub(Duration::from_nanos(1)).unwrap());
                    prop_assert!(requests.wait(before).is_err());
                    now = now.plus(wait);
                    prop_assert_eq!(requests.take(now), Ok(()));
                }
            }
        }

        #[test]
        fn gcra_never_lets_more_through_than_burst_and_refill(
            per_minute in 1u32..5000,
            burst in 1u32..40,
            steps in prop::collection::vec(0u64..300_000_000, 1..200),
        ) {
            let mut requests = Requests::new(rate(per_minute, burst, Algorithm::Gcra));
            let (mut now, mut taken) = (0u64, Vec::new());
            for step in steps {
                now += step;
                if requests.take(Moment::from_nanos(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let refill = u128::from(to - from) * u128::from(per_minute) / 60_000_000_000;
                    prop_assert!((j - i + 1) as u128 <= u128::from(burst) + refill);
                }
            }
        }
    }
}
