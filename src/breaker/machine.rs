//! The breaker's arithmetic: Closed = flows, Open = refuses, HalfOpen = one probe. Pure; takes the time as an argument.
//!
//! Every opening and closing begins a new epoch. A pass remembers the epoch in which it was given, and a report from
//! another one says nothing about now: a success that began before the opening does not close the breaker.

use std::time::Duration;

use crate::breaker::{Health, State};
use crate::clock::Moment;
use crate::config::bootstrap;

/// What a caller is told while a probe is under way and nobody knows when it ends.
const PROBE_RETRY: Duration = Duration::from_secs(1);

/// One upstream's breaker.
#[derive(Debug)]
pub(super) struct Machine {
    failures_to_open: u32,
    open_for: Duration,
    epoch: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed { failures_in_a_row: u32 },
    Open { until: Moment },
    HalfOpen { probing: bool },
}

/// Leave to call the upstream; owed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    epoch: u64,
}

impl Machine {
    /// A closed breaker. A threshold of 0 counts as 1: it cannot open before a failure.
    pub(super) fn new(config: bootstrap::Breaker) -> Self {
        Self {
            failures_to_open: config.failures.max(1),
            open_for: config.open_for,
            epoch: 0,
            phase: Phase::Closed { failures_in_a_row: 0 },
        }
    }

    /// Leave to call, or how long to wait for it.
    pub(super) fn enter(&mut self, now: Moment) -> Result<Ticket, Duration> {
        match self.phase {
            Phase::Closed { .. } => {}
            Phase::Open { until } if now < until => return Err(until.since(now)),
            Phase::HalfOpen { probing: true } => return Err(PROBE_RETRY.min(self.open_for)),
            Phase::Open { .. } | Phase::HalfOpen { probing: false } => self.phase = Phase::HalfOpen { probing: true },
        }
        Ok(Ticket { epoch: self.epoch })
    }

    /// What became of a call.
    pub(super) fn report(&mut self, ticket: Ticket, health: Health, now: Moment) {
        if ticket.epoch != self.epoch {
            return;
        }
        match (self.phase, health) {
            (Phase::Closed { .. }, Health::Succeeded) => self.phase = Phase::Closed { failures_in_a_row: 0 },
            (Phase::Closed { failures_in_a_row }, Health::Failed) => {
                let failures_in_a_row = failures_in_a_row.saturating_add(1);
                if failures_in_a_row >= self.failures_to_open {
                    self.begin(Phase::Open { until: now.plus(self.open_for) });
                } else {
                    self.phase = Phase::Closed { failures_in_a_row };
                }
            }
            (Phase::HalfOpen { .. }, Health::Succeeded) => self.begin(Phase::Closed { failures_in_a_row: 0 }),
            (Phase::HalfOpen { .. }, Health::Failed) => self.begin(Phase::Open { until: now.plus(self.open_for) }),
            // A probe that says nothing leaves its place to the next.
            (Phase::HalfOpen { .. }, Health::Unknown) => self.phase = Phase::HalfOpen { probing: false },
            // Nobody holds a ticket of an open epoch until it is half open; and no news changes nothing.
            (Phase::Open { .. }, _) | (Phase::Closed { .. }, Health::Unknown) => {}
        }
    }

    /// The state that a call arriving now would meet.
    pub(super) fn state(&self, now: Moment) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { until } if now < until => State::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    const fn begin(&mut self, phase: Phase) {
        self.epoch = self.epoch.wrapping_add(1);
        self.phase = phase;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Machine, Ticket};
    use crate::breaker::{Health, State};
    use crate::clock::Moment;
    use crate::config::bootstrap;

    const REST: Duration = Duration::from_secs(30);

    fn machine(failures: u32) -> Machine {
        Machine::new(bootstrap::Breaker { failures, open_for: REST })
    }

    fn opened() -> (Machine, Moment) {
        let mut breaker = machine(1);
        let now = Moment::from_nanos(5);
        let ticket = breaker.enter(now).unwrap();
        breaker.report(ticket, Health::Failed, now);
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_starts_the_count_again() {
        let mut breaker = machine(3);
        let now = Moment::default();
        for health in
            [Health::Failed, Health::Failed, Health::Succeeded, Health::Failed, Health::Unknown, Health::Failed]
        {
            let ticket = breaker.enter(now).unwrap();
            breaker.report(ticket, health, now);
            assert_eq!(breaker.state(now), State::Closed);
        }
        let ticket = breaker.enter(now).unwrap();
        breaker.report(ticket, Health::Failed, now);
        assert_eq!(breaker.enter(now), Err(REST));
        assert_eq!(breaker.state(now), State::Open);
    }

    #[test]
    fn of_a_hundred_that_come_after_the_rest_exactly_one_probes() {
        let (mut breaker, now) = opened();
        let later = now.plus(REST);
        assert_eq!(breaker.state(later), State::HalfOpen);
        assert_eq!((0..100).filter(|_| breaker.enter(later).is_ok()).count(), 1);
    }

    #[test]
    fn the_probe_decides() {
        for (health, state) in
            [(Health::Succeeded, State::Closed), (Health::Failed, State::Open), (Health::Unknown, State::HalfOpen)]
        {
            let (mut breaker, now) = opened();
            let later = now.plus(REST);
            let probe = breaker.enter(later).unwrap();
            breaker.report(probe, health, later);
            assert_eq!(breaker.state(later), state);
            assert_eq!(breaker.enter(later).is_ok(), state != State::Open, "{health:?}");
        }
    }

    #[test]
    fn a_late_report_from_before_the_opening_changes_nothing() {
        for late in [Health::Succeeded, Health::Failed] {
            let mut breaker = machine(1);
            let now = Moment::default();
            let (slow, quick) = (breaker.enter(now).unwrap(), breaker.enter(now).unwrap());
            breaker.report(quick, Health::Failed, now);
            breaker.report(slow, late, now);
            assert_eq!(breaker.enter(now), Err(REST));
            let later = now.plus(REST);
            let probe = breaker.enter(later).unwrap();
            breaker.report(slow, late, later);
            assert!(breaker.enter(later).is_err(), "the probe is still under way");
            breaker.report(probe, Health::Succeeded, later);
            assert_eq!(breaker.state(later), State::Closed);
        }
    }

    /// One thing that can happen to a breaker.
    #[derive(Debug, Clone)]
    enum Event {
        Enter,
        Report(usize, Health),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let health = prop_oneof![Just(Health::Succeeded), Just(Health::Failed), Just(Health::Unknown)];
        prop_oneof![
            4 => Just(Event::Enter),
            4 => (0usize..6, health).prop_map(|(i, h)| Event::Report(i, h)),
            2 => (0u64..40_000_000_000).prop_map(Event::Pass),
        ]
    }

    proptest! {
        /// Against what an observer can say without knowing the machine.
        #[test]
        fn it_keeps_its_promises(events in prop::collection::vec(event(), 1..200), threshold in 1u32..4) {
            let mut breaker = machine(threshold);
            let mut now = Moment::default();
            // Passes out, each with the number of openings and closings seen when it was given.
            let mut out: Vec<(Ticket, u32, bool)> = Vec::new();
            let (mut turns, mut failures) = (0u32, 0u32);
            let mut opened_at = Moment::default();
            for event in events {
                let before = breaker.state(now);
                match event {
                    Event::Enter => match breaker.enter(now) {
                        Ok(ticket) => {
                            prop_assert!(before != State::Open);
                            let probe = before == State::HalfOpen;
                            if probe {
                                prop_assert!(!out.iter().any(|(_, turn, probe)| *probe && *turn == turns), "two probes");
                            }
                            out.push((ticket, turns, probe));
                        }
                        Err(wait) => {
                            prop_assert!(before != State::Closed && !wait.is_zero());
                            if before == State::Open {
                                prop_assert_eq!(now.plus(wait), opened_at.plus(REST));
                            }
                        }
                    },
                    Event::Report(which, health) if which < out.len() => {
                        let (ticket, turn, _) = out.swap_remove(which);
                        breaker.report(ticket, health, now);
                        let after = breaker.state(now);
                        if turn != turns {
                            prop_assert_eq!(before, after, "a report of another epoch");
                        } else if before == State::Closed {
                            failures = match health {
                                Health::Succeeded => 0,
                                Health::Failed => failures + 1,
                                Health::Unknown => failures,
                            };
                            prop_assert_eq!(after == State::Open, failures >= threshold);
                        }
                        if before != after {
                            turns += 1;
                            failures = 0;
                            if after == State::Open { opened_at = now; }
                        }
                    }
                    Event::Report(..) => {}
                    Event::Pass(nanos) => now = now.plus(Duration::from_nanos(nanos)),
                }
            }
        }
    }
}
