//! One tenant's account: its limiters under one short lock, its calls in flight, and what is known of its exhaustion.
//!
//! Everything takes `now`; [`super::Quota`] reads the clock. An account lives as long as a call or a snapshot knows
//! its tenant, so a reload changes limits in place and forgets nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::config::policy::{Limits, Rate};
use crate::quota::requests::Requests;
use crate::quota::tokens::{Mark, Tokens};
use crate::quota::{Exceeded, Standing, Wait};
use crate::reason::Reason;

/// When a slot will be free is not known; this is what a caller is told instead.
const SLOT_RETRY: Duration = Duration::from_secs(1);

/// The state of one tenant's limits.
#[derive(Debug)]
pub(super) struct Account {
    ledger: Mutex<Ledger>,
    in_flight: AtomicU32,
    /// Calls at once; `u32::MAX` = unlimited.
    most_in_flight: AtomicU32,
    no_requests: Shut,
    no_tokens: Shut,
}

#[derive(Debug)]
struct Ledger {
    requests: Requests,
    tokens: Option<Tokens>,
    /// Counted up whenever the token account changes: a reservation of an earlier one gives nothing back.
    generation: u64,
}

/// A cached denial. Written under the ledger's lock, read without it.
#[derive(Debug, Default)]
struct Shut {
    /// Before this moment, in nanoseconds, there is no room at all.
    until: AtomicU64,
    /// When the call that was denied last has room; not before `until`.
    retry: AtomicU64,
}

impl Shut {
    fn close(&self, now: Moment, until: Duration, retry: Duration) {
        self.retry.store(now.plus(retry).as_nanos(), Ordering::Relaxed);
        self.until.store(now.plus(until).as_nanos(), Ordering::Relaxed);
    }

    fn open(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    fn retry_after(&self, now: Moment) -> Option<Duration> {
        let until = Moment::from_nanos(self.until.load(Ordering::Relaxed));
        let retry = Moment::from_nanos(self.retry.load(Ordering::Relaxed));
        (now < until).then(|| retry.max(until).since(now))
    }
}

/// Where a call's tokens stand; goes back through [`Account::settle`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    mark: Mark,
    generation: u64,
}

impl Account {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            ledger: Mutex::new(Ledger {
                requests: Requests::new(limits.requests),
                tokens: limits.tokens.map(Tokens::new),
                generation: 0,
            }),
            in_flight: AtomicU32::new(0),
            most_in_flight: AtomicU32::new(most(limits)),
            no_requests: Shut::default(),
            no_tokens: Shut::default(),
        }
    }

    /// Puts other limits over the same past; limits that did not change keep their state exactly.
    pub(super) fn change(&self, now: Moment, limits: &Limits) {
        let mut ledger = self.ledger.lock();
        ledger.requests.change(now, limits.requests);
        if ledger.tokens.as_ref().map(Tokens::rate) != limits.tokens {
            ledger.generation += 1;
            ledger.tokens = match (ledger.tokens.take(), limits.tokens) {
                (Some(tokens), Some(rate)) => Some(tokens.changed(now, rate)),
                (None, Some(rate)) => Some(Tokens::new(rate)),
                (Some(_) | None, None) => None,
            };
        }
        self.most_in_flight.store(most(limits), Ordering::Relaxed);
        self.no_requests.open();
        self.no_tokens.open();
    }

    /// Whether the tenant is known to have no request left. Costs two reads.
    pub(super) fn knows_no_requests(&self, now: Moment) -> Result<(), Exceeded> {
        self.no_requests.retry_after(now).map_or(Ok(()), |after| Err(Exceeded::new(Reason::RequestLimit, after)))
    }

    /// Whether the tenant is known to have not one token left.
    pub(super) fn knows_no_tokens(&self, now: Moment) -> Result<(), Exceeded> {
        self.no_tokens.retry_after(now).map_or(Ok(()), |after| Err(Exceeded::new(Reason::TokenLimit, after)))
    }

    /// Takes a place among the calls in flight; [`Account::leave`] frees it.
    pub(super) fn join(&self) -> Result<(), Exceeded> {
        let most = self.most_in_flight.load(Ordering::Relaxed);
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < most).then_some(n.saturating_add(1)))
            .map(drop)
            .map_err(|_| Exceeded::new(Reason::ConcurrencyLimit, SLOT_RETRY))
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Charges one request.
    pub(super) fn charge(&self, now: Moment) -> Result<(), Exceeded> {
        let mut ledger = self.ledger.lock();
        ledger.requests.take(now).map_err(|wait| {
            let after = wait.or_window();
            self.no_requests.close(now, after, after);
            Exceeded::new(Reason::RequestLimit, after)
        })
    }

    /// Charges one request and reserves `amount` tokens, both or neither. The first limit in that order that has no
    /// room is named; the wait is the one after which both have. `None` where tokens are not limited.
    pub(super) fn take(&self, now: Moment, amount: u64) -> Result<Option<Held>, Exceeded> {
        let mut guard = self.ledger.lock();
        let ledger = &mut *guard;
        let no_tokens = ledger.tokens.as_mut().and_then(|tokens| tokens.wait(now, amount).err());
        let taken = if no_tokens.is_some() { ledger.requests.wait(now) } else { ledger.requests.take(now) };
        if let Err(no_requests) = taken {
            let until = no_requests.or_window();
            let retry = until.max(no_tokens.map_or(Duration::ZERO, Wait::or_window));
            self.no_requests.close(now, until, retry);
            return Err(Exceeded::new(Reason::RequestLimit, retry));
        }
        let Some(tokens) = ledger.tokens.as_mut() else { return Ok(None) };
        if let Some(wait) = no_tokens {
            let retry = wait.or_window();
            if let Err(Wait::For(empty)) = tokens.wait(now, 1) {
                self.no_tokens.close(now, empty, retry);
            }
            return Err(Exceeded::new(Reason::TokenLimit, retry));
        }
        Ok(Some(Held { mark: tokens.add(now, amount), generation: ledger.generation }))
    }

    /// Puts `spent` in the place of a reservation: what is over goes back, what is beyond is charged.
    pub(super) fn settle(&self, now: Moment, reserved: u64, held: Held, spent: u64) {
        let mut ledger = self.ledger.lock();
        let same = ledger.generation == held.generation;
        let Some(tokens) = ledger.tokens.as_mut() else { return };
        if spent > reserved {
            tokens.add(now, spent - reserved);
        } else if same && spent < reserved {
            tokens.give_back(now, held.mark, reserved - spent);
            self.no_tokens.open();
        }
    }

    pub(super) fn standing(&self, now: Moment) -> Standing {
        let mut ledger = self.ledger.lock();
        let requests = ledger.requests.gauge(now);
        Standing { requests, tokens: ledger.tokens.as_mut().map(|tokens| tokens.gauge(now)) }
    }

    /// Whether forgetting this account would lose nothing.
    pub(super) fn is_whole(&self, now: Moment) -> bool {
        let mut ledger = self.ledger.lock();
        self.in_flight.load(Ordering::Relaxed) == 0
            && ledger.requests.is_whole(now)
            && ledger.tokens.as_mut().is_none_or(|tokens| tokens.is_whole(now))
    }
}

fn most(limits: &Limits) -> u32 {
    limits.concurrent.map_or(u32::MAX, std::num::NonZeroU32::get)
}

impl Wait {
    /// A duration in any case: for what never fits, the whole window.
    const fn or_window(self) -> Duration {
        match self {
            Self::For(wait) => wait,
            Self::Never => Rate::WINDOW,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Account;
    use crate::clock::Moment;
    use crate::config::policy::{Algorithm, Limits, Rate};
    use crate::docket::Refuses;
    use crate::reason::Reason;

    const NOW: Moment = Moment::from_nanos(1_000_000_007);

    fn rate(n: u32, algorithm: Algorithm) -> Rate {
        let n = NonZeroU32::new(n).unwrap();
        Rate { per_minute: n, burst: n, algorithm }
    }

    fn limits(requests: u32, tokens: Option<u32>, algorithm: Algorithm) -> Limits {
        Limits { requests: rate(requests, algorithm), tokens: tokens.map(|n| rate(n, algorithm)), concurrent: None }
    }

    fn account(requests: u32, tokens: u32) -> Account {
        Account::new(&limits(requests, Some(tokens), Algorithm::SlidingWindow))
    }

    fn spend(account: &Account, reserved: u64, spent: u64) {
        let held = account.take(NOW, reserved).unwrap().unwrap();
        account.settle(NOW, reserved, held, spent);
    }

    #[test]
    fn a_token_denial_costs_no_request() {
        let account = account(10, 100);
        for _ in 0..5 {
            let why = account.take(NOW, 101).unwrap_err();
            assert_eq!((why.reason(), why.retry_after()), (Reason::TokenLimit, Rate::WINDOW));
        }
        assert_eq!(account.standing(NOW).requests.remaining, 10);
    }

    #[test]
    fn a_request_denial_costs_no_tokens() {
        let account = account(1, 100);
        account.charge(NOW).unwrap();
        assert_eq!(account.take(NOW, 10).unwrap_err().reason(), Reason::RequestLimit);
        assert_eq!(account.standing(NOW).tokens.unwrap().remaining, 100);
    }

    #[test]
    fn settling_gives_back_what_is_over_and_charges_what_is_beyond() {
        let account = account(10, 100);
        spend(&account, 60, 20);
        assert_eq!(account.standing(NOW).tokens.unwrap().remaining, 80);
        spend(&account, 60, 75);
        assert_eq!(account.standing(NOW).tokens.unwrap().remaining, 5);
    }

    #[test]
    fn what_cost_nothing_gives_everything_back() {
        for algorithm in [Algorithm::Gcra, Algorithm::SlidingWindow] {
            let account = Account::new(&limits(10, Some(100), algorithm));
            spend(&account, 100, 0);
            assert_eq!(account.standing(NOW).tokens.unwrap().remaining, 100);
        }
    }

    #[test]
    fn exhaustion_is_remembered_until_a_request_has_room() {
        let account = account(1, 100);
        account.charge(NOW).unwrap();
        account.knows_no_requests(NOW).unwrap();
        let after = account.charge(NOW).unwrap_err().retry_after();
        assert_eq!(account.knows_no_requests(NOW).unwrap_err().retry_after(), after);
        account.knows_no_requests(NOW.plus(after)).unwrap();
        account.charge(NOW.plus(after)).unwrap();
    }

    #[test]
    fn a_refund_ends_the_memory_of_an_empty_token_account() {
        let account = account(10, 100);
        let all = account.take(NOW, 100).unwrap().unwrap();
        account.take(NOW, 5).unwrap_err();
        account.knows_no_tokens(NOW).unwrap_err();
        account.settle(NOW, 100, all, 50);
        account.knows_no_tokens(NOW).unwrap();
        account.take(NOW, 5).unwrap();
    }

    #[test]
    fn a_reservation_from_before_a_change_gives_nothing_to_the_new_account() {
        let account = account(10, 100);
        let old = account.take(NOW, 100).unwrap().unwrap();
        account.change(NOW, &limits(10, Some(200), Algorithm::SlidingWindow));
        account.settle(NOW, 100, old, 0);
        assert_eq!(account.standing(NOW).tokens.unwrap().remaining, 100);
    }

    #[test]
    fn an_unchanged_reload_changes_nothing() {
        let account = account(10, 100);
        let held = account.take(NOW, 30).unwrap().unwrap();
        let before = account.standing(NOW);
        account.change(NOW, &limits(10, Some(100), Algorithm::SlidingWindow));
        assert_eq!(account.standing(NOW), before);
        account.settle(NOW, 30, held, 0);
        assert_eq!(account.standing(NOW).tokens.unwrap().remaining, 100);
    }

    proptest! {
        #[test]
        fn asking_again_after_retry_after_succeeds(
            requests in 1u32..20,
            tokens in 10u32..500,
            window in any::<bool>(),
            steps in prop::collection::vec((0u64..2_000_000_000, 1u64..600, any::<bool>()), 1..120),
        ) {
            let algorithm = if window { Algorithm::SlidingWindow } else { Algorithm::Gcra };
            let account = Account::new(&limits(requests, Some(tokens), algorithm));
            let mut now = NOW;
            for (step, amount, keep) in steps {
                now = now.plus(Duration::from_nanos(step));
                let known = account.knows_no_requests(now);
                match account.take(now, amount) {
                    Ok(held) => {
                        prop_assert!(known.is_ok());
                        account.settle(now, amount, held.unwrap(), if keep { amount } else { amount / 3 });
                    }
                    Err(why) if amount <= u64::from(tokens) => {
                        now = now.plus(why.retry_after());
                        prop_assert!(account.knows_no_requests(now).is_ok());
                        prop_assert!(account.knows_no_tokens(now).is_ok());
                        prop_assert!(account.take(now, amount).is_ok());
                    }
                    Err(why) => prop_assert!(!why.retry_after().is_zero()),
                }
            }
        }
    }
}
