//! The sliding window: an amount that never exceeds its limit in any 60 seconds, in bounded memory.
//!
//! What happens within one cell of time is kept as one number, and a cell leaves as if all of it had happened at the
//! cell's end: the rounding is against the tenant by at most one cell, never for it. `requests` counts with cells of
//! a millisecond, `tokens` with cells of a second.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::config::policy::Rate;
use crate::quota::Wait;

/// An amount over the last minute. At most `60 s / cell + 1` cells of 16 bytes.
#[derive(Debug)]
pub(super) struct Window {
    limit: u64,
    cell_nanos: u64,
    used: u64,
    cells: VecDeque<Cell>,
}

/// What happened in one cell of time.
#[derive(Debug, Clone, Copy)]
struct Cell {
    leaves: Moment,
    amount: u64,
}

impl Window {
    pub(super) fn new(limit: u64, cell: Duration) -> Self {
        let cell_nanos = u64::try_from(cell.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { limit, cell_nanos, used: 0, cells: VecDeque::new() }
    }

    /// Another limit over the same past.
    pub(super) const fn limit_to(&mut self, limit: u64) {
        self.limit = limit;
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// What counts at `now`.
    pub(super) fn used(&mut self, now: Moment) -> u64 {
        self.forget(now);
        self.used
    }

    /// How long until `amount` has room. O(cells that must leave first).
    pub(super) fn wait(&mut self, now: Moment, amount: u64) -> Result<(), Wait> {
        if amount > self.limit {
            return Err(Wait::Never);
        }
        self.forget(now);
        let Some(mut excess) = self.used.saturating_add(amount).checked_sub(self.limit).filter(|n| *n > 0) else {
            return Ok(());
        };
        for cell in &self.cells {
            match excess.checked_sub(cell.amount).filter(|n| *n > 0) {
                Some(rest) => excess = rest,
                None => return Err(Wait::For(cell.leaves.since(now))),
            }
        }
        // The cells add up to `used`, and `amount` alone is within the limit, so one of them was enough.
        Err(Wait::For(Rate::WINDOW))
    }

    /// Counts `amount` now, room or not, and answers the cell in which it stands.
    pub(super) fn add(&mut self, now: Moment, amount: u64) -> Moment {
        self.forget(now);
        let end = now.as_nanos().div_ceil(self.cell_nanos).saturating_mul(self.cell_nanos);
        let leaves = Moment::from_nanos(end).plus(Rate::WINDOW);
        self.used = self.used.saturating_add(amount);
        match self.cells.back_mut() {
            // Also where a slower thread comes with an older `now`: later is against the tenant, by microseconds.
            Some(last) if last.leaves >= leaves => {
                last.amount = last.amount.saturating_add(amount);
                last.leaves
            }
            Some(_) | None => {
                self.cells.push_back(Cell { leaves, amount });
                leaves
            }
        }
    }

    /// Takes `amount` out of the cell that [`Window::add`] named; nothing when that cell is gone.
    pub(super) fn give_back(&mut self, cell: Moment, amount: u64) {
        let Ok(at) = self.cells.binary_search_by_key(&cell, |c| c.leaves) else { return };
        if let Some(cell) = self.cells.get_mut(at) {
            let back = amount.min(cell.amount);
            cell.amount -= back;
            self.used = self.used.saturating_sub(back);
        }
    }

    /// How long until nothing counts any more.
    pub(super) fn whole_in(&mut self, now: Moment) -> Duration {
        self.forget(now);
        self.cells.back().map_or(Duration::ZERO, |last| last.leaves.since(now))
    }

    fn forget(&mut self, now: Moment) {
        while let Some(first) = self.cells.front().filter(|c| c.leaves <= now) {
            self.used = self.used.saturating_sub(first.amount);
            self.cells.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Window;
    use crate::clock::Moment;
    use crate::quota::Wait;

    const MINUTE: u64 = 60_000_000_000;

    proptest! {
        #[test]
        fn no_window_of_a_minute_ever_holds_more_than_the_limit(
            limit in 1u64..20,
            steps in prop::collection::vec((0u64..9_000_000_000, 1u64..4), 1..200),
        ) {
            let mut window = Window::new(limit, Duration::from_millis(1));
            let (mut now, mut taken) = (0u64, Vec::<(u64, u64)>::new());
            for (step, amount) in steps {
                now += step;
                if window.wait(Moment::from_nanos(now), amount).is_ok() {
                    window.add(Moment::from_nanos(now), amount);
                    taken.push((now, amount));
                }
            }
            for (from, _) in &taken {
                let sum: u64 = taken.iter().filter(|(at, _)| (*from..from + MINUTE).contains(at)).map(|(_, n)| n).sum();
                prop_assert!(sum <= limit, "{sum} in the minute from {from}");
            }
        }

        #[test]
        fn after_the_wait_there_is_room_and_a_cell_before_it_there_is_none(
            limit in 1u64..20,
            steps in prop::collection::vec((0u64..9_000_000_000, 1u64..4), 1..100),
        ) {
            let mut window = Window::new(limit, Duration::from_millis(1));
            let mut now = 0u64;
            for (step, amount) in steps {
                now += step;
                match window.wait(Moment::from_nanos(now), amount) {
                    Ok(()) => { window.add(Moment::from_nanos(now), amount); }
                    Err(Wait::Never) => prop_assert!(amount > limit),
                    Err(Wait::For(wait)) => {
                        let then = Moment::from_nanos(now).plus(wait);
                        let before = Moment::from_nanos(then.as_nanos() - 1);
                        if before.as_nanos() >= now {
                            prop_assert!(window.wait(before, amount).is_err());
                        }
                        prop_assert_eq!(window.wait(then, amount), Ok(()));
                        now = then.as_nanos();
                    }
                }
            }
        }

        #[test]
        fn memory_is_bounded_by_the_cells_of_a_minute(steps in prop::collection::vec(0u64..40_000_000, 1..4000)) {
            let mut window = Window::new(u64::MAX, Duration::from_secs(1));
            let mut now = 0;
            for step in steps {
                now += step;
                window.add(Moment::from_nanos(now), 1);
            }
            prop_assert!(window.cells.len() <= 61);
            prop_assert_eq!(window.used, window.cells.iter().map(|c| c.amount).sum::<u64>());
        }
    }

    #[test]
    fn what_is_given_back_has_room_again_and_no_more_than_that() {
        let mut window = Window::new(10, Duration::from_secs(1));
        let now = Moment::from_nanos(5);
        let cell = window.add(now, 8);
        window.give_back(cell, 5);
        assert_eq!(window.used(now), 3);
        window.give_back(cell, 100);
        assert_eq!(window.used(now), 0);
        window.give_back(Moment::from_nanos(1), 100);
        assert_eq!(window.wait(now, 10), Ok(()));
    }
}
