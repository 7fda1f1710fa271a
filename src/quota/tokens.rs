//! Tokens a minute: what a call may cost is reserved before it runs and settled to what it did cost.
//!
//! An account of our own, because a reservation must be able to go back. Tokens count from the moment of their
//! reservation; what a call costs beyond it counts from the moment that is known. Callers hold the tenant's lock.

use std::time::Duration;

use crate::clock::Moment;
use crate::config::policy::{Algorithm, Rate};
use crate::quota::window::Window;
use crate::quota::{Gauge, Wait};

/// Cell of the window: tokens are counted out at most this much late.
const CELL: Duration = Duration::from_secs(1);

/// One tenant's tokens a minute.
#[derive(Debug)]
pub(super) struct Tokens {
    rate: Rate,
    meter: Meter,
}

#[derive(Debug)]
enum Meter {
    Bucket(Bucket),
    Window(Window),
}

/// Where a reservation stands in the account that took it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// On top of the bucket: its level and the moment when the reservation was poured in.
    Bucket { level: u128, at: Moment },
    /// In this cell of the window.
    Window(Moment),
}

impl Tokens {
    pub(super) fn new(rate: Rate) -> Self {
        let meter = match rate.algorithm {
            Algorithm::Gcra => Meter::Bucket(Bucket::new(rate)),
            Algorithm::SlidingWindow => Meter::Window(Window::new(u64::from(rate.per_minute.get()), CELL)),
        };
        Self { rate, meter }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// An account of another rate that begins with what this one has used, up to what it can owe.
    pub(super) fn changed(mut self, now: Moment, rate: Rate) -> Self {
        let used = match (&mut self.meter, rate.algorithm) {
            (Meter::Window(window), Algorithm::SlidingWindow) => {
                window.limit_to(u64::from(rate.per_minute.get()));
                self.rate = rate;
                return self;
            }
            (Meter::Window(window), Algorithm::Gcra) => window.used(now).min(u64::from(rate.burst.get())),
            (Meter::Bucket(bucket), Algorithm::Gcra) => bucket.used(now).min(u64::from(rate.burst.get())),
            (Meter::Bucket(bucket), Algorithm::SlidingWindow) => bucket.used(now),
        };
        let mut fresh = Self::new(rate);
        fresh.add(now, used);
        fresh
    }

    /// How long until `amount` has room.
    pub(super) fn wait(&mut self, now: Moment, amount: u64) -> Result<(), Wait> {
        match &mut self.meter {
            Meter::Bucket(bucket) => bucket.wait(now, amount),
            Meter::Window(window) => window.wait(now, amount),
        }
    }

    /// Counts `amount`, room or not.
    pub(super) fn add(&mut self, now: Moment, amount: u64) -> Mark {
        match &mut self.meter {
            Meter::Bucket(bucket) => bucket.add(now, amount),
            Meter::Window(window) => Mark::Window(window.add(now, amount)),
        }
    }

    /// Gives back `amount` of the reservation at `mark`, as far as it still counts.
    pub(super) fn give_back(&mut self, now: Moment, mark: Mark, amount: u64) {
        match (&mut self.meter, mark) {
            (Meter::Bucket(bucket), Mark::Bucket { level, at }) => bucket.give_back(now, level, at, amount),
            (Meter::Window(window), Mark::Window(cell)) => window.give_back(cell, amount),
            // A mark of another account: the caller compares generations, so this is never reached; nothing goes back.
            (Meter::Bucket(_), Mark::Window(_)) | (Meter::Window(_), Mark::Bucket { .. }) => {}
        }
    }

    /// Where it stands.
    pub(super) fn gauge(&mut self, now: Moment) -> Gauge {
        let limit = self.rate.per_minute.get();
        let (left, reset) = match &mut self.meter {
            Meter::Bucket(b) => (u64::from(self.rate.burst.get()).saturating_sub(b.used(now)), b.whole_in(now)),
            Meter::Window(w) => (w.limit().saturating_sub(w.used(now)), w.whole_in(now)),
        };
        Gauge { limit, remaining: u32::try_from(left).unwrap_or(u32::MAX), reset }
    }

    /// Whether forgetting this would lose nothing.
    pub(super) fn is_whole(&mut self, now: Moment) -> bool {
        self.gauge(now).reset.is_zero()
    }
}

/// Drops in one token: with a window of N nanoseconds, a rate of R tokens leaks exactly R drops a nanosecond, so no
/// rate is rounded.
const DROPS: u128 = Rate::WINDOW.as_nanos();

/// A leaking bucket, the counting twin of the generic cell rate algorithm (ITU-T I.371, the continuous-state leaky
/// bucket): it holds `burst` tokens and leaks `per_minute` evenly.
#[derive(Debug)]
struct Bucket {
    leak_drops_per_nano: u128,
    capacity: u128,
    level: u128,
    at: Moment,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self {
            leak_drops_per_nano: u128::from(rate.per_minute.get()),
            capacity: u128::from(rate.burst.get()) * DROPS,
            level: 0,
            at: Moment::default(),
        }
    }

    fn leak(&mut self, now: Moment) {
        self.level = self.level.saturating_sub(self.leaked(self.at, now));
        self.at = self.at.max(now);
    }

    const fn leaked(&self, from: Moment, to: Moment) -> u128 {
        to.since(from).as_nanos().saturating_mul(self.leak_drops_per_nano)
    }

    fn wait(&mut self, now: Moment, amount: u64) -> Result<(), Wait> {
        let drops = u128::from(amount) * DROPS;
        if drops > self.capacity {
            return Err(Wait::Never);
        }
        self.leak(now);
        let excess = (self.level + drops).saturating_sub(self.capacity);
        if excess == 0 { Ok(()) } else { Err(Wait::For(self.time_to_leak(excess))) }
    }

    fn add(&mut self, now: Moment, amount: u64) -> Mark {
        self.leak(now);
        self.level = self.level.saturating_add(u128::from(amount) * DROPS);
        Mark::Bucket { level: self.level, at: self.at }
    }

    /// What has leaked away is gone for good: of a reservation poured in at `at` up to `level`, at most the part that
    /// would not have leaked yet goes back. Without this bound a late refund would make room that was never earned,
    /// and more than `burst` could pass at once.
    fn give_back(&mut self, now: Moment, level: u128, at: Moment, amount: u64) {
        self.leak(now);
        let left = level.saturating_sub(self.leaked(at, self.at));
        self.level = self.level.saturating_sub(left.min(u128::from(amount) * DROPS));
    }

    /// Tokens in the bucket, a started one counted whole.
    fn used(&mut self, now: Moment) -> u64 {
        self.leak(now);
        u64::try_from(self.level.div_ceil(DROPS)).unwrap_or(u64::MAX)
    }

    fn whole_in(&mut self, now: Moment) -> Duration {
        self.leak(now);
        self.time_to_leak(self.level)
    }

    fn time_to_leak(&self, drops: u128) -> Duration {
        Duration::from_nanos(u64::try_from(drops.div_ceil(self.leak_drops_per_nano.max(1))).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Mark, Tokens};
    use crate::clock::Moment;
    use crate::config::policy::{Algorithm, Rate};
    use crate::quota::Wait;

    const MINUTE: u64 = 60_000_000_000;

    fn rate(per_minute: u32, burst: u32, algorithm: Algorithm) -> Rate {
        let n = |n| NonZeroU32::new(n).unwrap();
        Rate { per_minute: n(per_minute), burst: n(burst), algorithm }
    }

    #[test]
    fn a_reservation_beyond_the_whole_limit_never_fits() {
        for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
            let mut tokens = Tokens::new(rate(1000, 1000, algorithm));
            assert_eq!(tokens.wait(Moment::default(), 1001), Err(Wait::Never));
            assert_eq!(tokens.wait(Moment::default(), 1000), Ok(()));
        }
    }

    #[test]
    fn what_was_not_used_has_room_again_at_once() {
        for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
            let mut tokens = Tokens::new(rate(1000, 1000, algorithm));
            let now = Moment::from_nanos(3);
            let mark = tokens.add(now, 1000);
            assert_eq!(tokens.gauge(now).remaining, 0);
            tokens.give_back(now, mark, 900);
            assert_eq!(tokens.gauge(now).remaining, 900, "{algorithm:?}");
        }
    }

    #[test]
    fn a_late_refund_makes_no_room_that_was_never_earned() {
        let mut tokens = Tokens::new(rate(1000, 1000, Algorithm::Gcra));
        let mark = tokens.add(Moment::default(), 1000);
        let later = Moment::from_nanos(MINUTE);
        tokens.add(later, 500);
        tokens.give_back(later, mark, 600);
        assert_eq!(tokens.gauge(later).remaining, 500);
    }

    #[test]
    fn a_changed_rate_goes_on_from_what_was_used() {
        for (before, after, left) in [
            (Algorithm::Gcra, Algorithm::Gcra, 1200),
            (Algorithm::Gcra, Algorithm::SlidingWindow, 1200),
            (Algorithm::SlidingWindow, Algorithm::Gcra, 1200),
            (Algorithm::SlidingWindow, Algorithm::SlidingWindow, 1200),
        ] {
            let mut tokens = Tokens::new(rate(1000, 1000, before));
            let now = Moment::from_nanos(9);
            tokens.add(now, 800);
            let mut tokens = tokens.changed(now, rate(2000, 2000, after));
            assert_eq!(tokens.gauge(now).remaining, left, "{before:?} to {after:?}");
        }
    }

    /// A step: time passes, then tokens are asked for, and some share of an earlier reservation is settled.
    fn steps() -> impl Strategy<Value = Vec<(u64, u64, u64, usize)>> {
        prop::collection::vec((0u64..4_000_000_000, 1u64..400, 0u64..=100, 0usize..8), 1..150)
    }

    proptest! {
        /// Tokens really used, counted where they were reserved, never exceed the limit: in any interval for the
        /// bucket (burst and refill), in any minute for the window.
        #[test]
        fn settled_use_stays_within_the_limit(steps in steps(), window in any::<bool>(), per_minute in 500u32..3000) {
            let algorithm = if window { Algorithm::SlidingWindow } else { Algorithm::Gcra };
            let mut tokens = Tokens::new(rate(per_minute, per_minute, algorithm));
            let mut now = 0u64;
            let mut open: Vec<(usize, Mark)> = Vec::new();
            let mut used: Vec<(u64, u64)> = Vec::new();
            for (step, amount, percent, which) in steps {
                now += step;
                let at = Moment::from_nanos(now);
                if tokens.wait(at, amount).is_ok() {
                    open.push((used.len(), tokens.add(at, amount)));
                    used.push((now, amount));
                }
                if which < open.len() {
                    let (index, mark) = open.swap_remove(which);
                    let back = used[index].1 * percent / 100;
                    tokens.give_back(at, mark, back);
                    used[index].1 -= back;
                }
            }
            for (i, (from, _)) in used.iter().enumerate() {
                let mut sum = 0u64;
                for (to, amount) in used.iter().skip(i) {
                    sum += amount;
                    let most = if window {
                        if to - from >= MINUTE { break; }
                        u128::from(per_minute)
                    } else {
                        u128::from(per_minute) + u128::from(to - from) * u128::from(per_minute) / u128::from(MINUTE)
                    };
                    prop_assert!(u128::from(sum) <= most, "{sum} > {most}");
                }
            }
        }

        #[test]
        fn the_wait_is_true(steps in steps(), window in any::<bool>(), per_minute in 300u32..2000) {
            let algorithm = if window { Algorithm::SlidingWindow } else { Algorithm::Gcra };
            let mut tokens = Tokens::new(rate(per_minute, per_minute, algorithm));
            let mut now = Moment::default();
            for (step, amount, percent, _) in steps {
                now = now.plus(Duration::from_nanos(step / 8));
                match tokens.wait(now, amount) {
                    Ok(()) => {}
                    Err(Wait::Never) => { prop_assert!(amount > u64::from(per_minute)); continue; }
                    Err(Wait::For(wait)) => {
                        prop_assert!(!wait.is_zero());
                        let before = now.plus(wait.checked_sub(Duration::from_nanos(1)).unwrap());
                        prop_assert!(tokens.wait(before, amount).is_err());
                        now = now.plus(wait);
                        prop_assert_eq!(tokens.wait(now, amount), Ok(()));
                    }
                }
                let mark = tokens.add(now, amount);
                if percent < 30 {
                    tokens.give_back(now, mark, amount / 2);
                }
            }
        }
    }
}
