//! Is the upstream healthy: one breaker per upstream, Closed, Open or HalfOpen.
//!
//! `machine` holds the rules and takes the time as an argument; this file keeps one machine per upstream behind a lock
//! and knows the evidence. What counts as a failure the reporter says ([`Health`]): an answer that the upstream meant,
//! a 4xx included, is a success of the upstream. State lives as long as the process; a registry reload does not touch it.

mod machine;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::breaker::machine::{Machine, Ticket};
use crate::clock::SharedClock;
use crate::config::bootstrap;
use crate::docket::{CheckVerdict, Docket, Refuses, Stopped};
use crate::governance::Permit;
use crate::id::{ByName, UpstreamId};
use crate::reason::Reason;
use crate::risk::Assessment;

/// What a call says about its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered as it should: any answer it meant, a refusal of the request included.
    Succeeded,
    /// It could not be reached, did not answer in time, broke off or answered 5xx.
    Failed,
    /// Nothing: the call ended for reasons of its own.
    Unknown,
}

/// Where a breaker stands, as the metric `portcullis_breaker_state` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Calls flow.
    Closed = 0,
    /// One probe may go, or is under way.
    HalfOpen = 1,
    /// The upstream rests.
    Open = 2,
}

impl State {
    /// The word in `/status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// Evidence that an assessed call may go to its upstream now.
#[derive(Debug)]
pub struct Passage {
    assessment: Assessment,
    pass: Pass,
}

/// A place at the upstream; gives a probe back when it is dropped without a report.
#[derive(Debug)]
pub struct Pass {
    breaker: Arc<Mutex<Machine>>,
    clock: SharedClock,
    /// `None` once reported.
    ticket: Option<Ticket>,
}

/// The upstream is given a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("upstream rests for {retry_after:?}")]
pub struct Resting {
    retry_after: Duration,
}

impl Resting {
    /// When a probe may be let through; while one is under way, a second.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }
}

impl Refuses for Resting {
    fn reason(&self) -> Reason {
        Reason::BreakerOpen
    }
}

/// All upstreams' breakers.
#[derive(Debug)]
pub struct Breakers {
    clock: SharedClock,
    breakers: ByName<UpstreamId, Arc<Mutex<Machine>>>,
}

impl Breakers {
    /// A closed breaker for each upstream of the bootstrap config.
    #[must_use]
    pub fn new(clock: SharedClock, upstreams: impl IntoIterator<Item = (UpstreamId, bootstrap::Breaker)>) -> Self {
        let breakers =
            upstreams.into_iter().map(|(name, config)| (name, Arc::new(Mutex::new(Machine::new(config))))).collect();
        Self { clock, breakers }
    }

    /// Lets a call through, unless its upstream rests.
    ///
    /// # Errors
    /// [`Resting`] while the breaker is open or its one probe is under way, and for an upstream that the bootstrap
    /// config does not name (the registry refuses such a record at load).
    pub fn enter(&self, mut assessment: Assessment) -> Result<Passage, Stopped<Resting>> {
        let pass = self.pass(&assessment.grant().permit().model().file.upstream);
        match pass {
            Ok(pass) => {
                assessment.docket_mut().checks.breaker = CheckVerdict::Pass;
                Ok(Passage { assessment, pass })
            }
            Err(why) => {
                let mut docket = assessment.into_grant().into_docket();
                docket.checks.breaker = CheckVerdict::Block;
                Err(Stopped::new(docket, why))
            }
        }
    }

    fn pass(&self, upstream: &UpstreamId) -> Result<Pass, Resting> {
        let breaker = self.breakers.get(upstream).ok_or(Resting { retry_after: UNKNOWN_RETRY })?;
        let ticket = breaker.lock().enter(self.clock.moment()).map_err(|retry_after| Resting { retry_after })?;
        Ok(Pass { breaker: Arc::clone(breaker), clock: Arc::clone(&self.clock), ticket: Some(ticket) })
    }

    /// Where an upstream's breaker stands; `None` for an upstream that the config does not name.
    #[must_use]
    pub fn state(&self, upstream: &UpstreamId) -> Option<State> {
        let now = self.clock.moment();
        self.breakers.get(upstream).map(|breaker| breaker.lock().state(now))
    }

    /// Where every breaker stands.
    pub fn states(&self) -> impl Iterator<Item = (&UpstreamId, State)> {
        let now = self.clock.moment();
        self.breakers.iter().map(move |(upstream, breaker)| (upstream, breaker.lock().state(now)))
    }
}

/// What a call to an upstream without a breaker is told; waiting does not help.
const UNKNOWN_RETRY: Duration = Duration::from_mins(1);

impl Pass {
    fn report(&mut self, health: Health) {
        if let Some(ticket) = self.ticket.take() {
            let now = self.clock.moment();
            self.breaker.lock().report(ticket, health, now);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.report(Health::Unknown);
    }
}

impl Passage {
    /// What governance let pass.
    #[must_use]
    pub const fn permit(&self) -> &Permit {
        self.assessment.grant().permit()
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        self.assessment.docket()
    }

    /// Ends the call: reports the upstream's health, settles the tokens (`None`: it cost none) and frees the slot.
    #[must_use]
    pub fn close(self, tokens: Option<u64>, health: Health) -> Box<Docket> {
        let Self { assessment, mut pass } = self;
        pass.report(health);
        assessment.into_grant().settle(tokens).into_docket()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::DateTime;

    use super::{Breakers, Health, Pass, State};
    use crate::clock::ManualClock;
    use crate::config::bootstrap;
    use crate::docket::CheckVerdict;
    use crate::governance::decide;
    use crate::governance::for_tests::{chat, snapshot};
    use crate::id::{TenantId, UpstreamId};
    use crate::quota::Quota;
    use crate::risk::{Scanner, assess};

    const REST: Duration = Duration::from_secs(30);

    fn breakers() -> (Breakers, Arc<ManualClock>, UpstreamId) {
        let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
        let name = UpstreamId::parse("sim").unwrap();
        let config = bootstrap::Breaker { failures: 1, open_for: REST };
        (Breakers::new(Arc::<ManualClock>::clone(&clock), [(name.clone(), config)]), clock, name)
    }

    #[test]
    fn of_a_hundred_threads_after_the_rest_exactly_one_probes() {
        let (breakers, clock, name) = breakers();
        breakers.pass(&name).unwrap().report(Health::Failed);
        clock.advance(REST);
        let passes: Vec<Pass> = std::thread::scope(|threads| {
            let asked: Vec<_> = (0..100).map(|_| threads.spawn(|| breakers.pass(&name).ok())).collect();
            asked.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(passes.len(), 1);
    }

    #[test]
    fn a_probe_that_is_dropped_without_a_report_is_given_back() {
        let (breakers, clock, name) = breakers();
        breakers.pass(&name).unwrap().report(Health::Failed);
        assert_eq!(breakers.state(&name), Some(State::Open));
        clock.advance(REST);
        let probe = breakers.pass(&name).unwrap();
        assert!(breakers.pass(&name).is_err());
        drop(probe);
        breakers.pass(&name).unwrap().report(Health::Succeeded);
        assert_eq!(breakers.states().collect::<Vec<_>>(), [(&name, State::Closed)]);
    }

    #[test]
    fn an_upstream_without_a_breaker_is_not_called() {
        let (breakers, _, _) = breakers();
        let other = UpstreamId::parse("other").unwrap();
        assert!(breakers.pass(&other).is_err());
        assert_eq!(breakers.state(&other), None);
    }

    #[test]
    fn a_failed_call_opens_the_breaker_and_the_next_one_gives_everything_back() {
        let (breakers, clock, name) = breakers();
        let (snapshot, quota) = (snapshot(&[]), Quota::new(Arc::<ManualClock>::clone(&clock)));
        quota.apply(snapshot.tenants().map(|tenant| (&tenant.file.tenant, &tenant.limits)));
        let (acme, scanner) = (TenantId::parse("acme").unwrap(), Scanner::new().unwrap());
        let tokens_left = || quota.standing(&acme).unwrap().tokens.unwrap().remaining;
        let enter = || {
            let slot = quota.enter_for_tokens(&acme).unwrap();
            let permit = decide(&snapshot, chat("chatty", Some(500))).unwrap();
            breakers.enter(assess(&scanner, quota.take(permit, slot).unwrap()).unwrap())
        };
        let passage = enter().unwrap();
        assert_eq!(passage.docket().checks.breaker, CheckVerdict::Pass);
        assert_eq!(passage.permit().model().file.model.as_str(), "chatty");
        drop(passage.close(None, Health::Failed));
        assert_eq!(breakers.state(&name), Some(State::Open));
        let stopped = enter().unwrap_err();
        assert_eq!(stopped.docket.checks.breaker, CheckVerdict::Block);
        assert_eq!(tokens_left(), 10_000);
        clock.advance(stopped.why.retry_after());
        drop(enter().unwrap().close(Some(7), Health::Succeeded));
        assert_eq!((breakers.state(&name), tokens_left()), (Some(State::Closed), 9_993));
    }
}
