//! The quota as the pipeline sees it: slots, reloads, threads.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use chrono::DateTime;

use super::{Quota, Slot};
use crate::clock::ManualClock;
use crate::config::policy::{Algorithm, Limits, Rate};
use crate::docket::{CheckVerdict, Refuses};
use crate::governance::for_tests::{chat, snapshot};
use crate::governance::{Permit, Snapshot, decide};
use crate::id::TenantId;
use crate::reason::Reason;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn limits(requests: u32, concurrent: Option<u32>) -> Limits {
    let n = NonZeroU32::new(requests).unwrap();
    let rate = Rate { per_minute: n, burst: n, algorithm: Algorithm::SlidingWindow };
    Limits { requests: rate, tokens: Some(rate), concurrent: concurrent.and_then(NonZeroU32::new) }
}

fn quota(of: &[(&str, Limits)]) -> (Quota, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
    let quota = Quota::new(Arc::<ManualClock>::clone(&clock));
    apply(&quota, of);
    (quota, clock)
}

fn apply(quota: &Quota, of: &[(&str, Limits)]) {
    let named: Vec<(TenantId, Limits)> = of.iter().map(|(name, limits)| (tenant(name), *limits)).collect();
    quota.apply(named.iter().map(|(name, limits)| (name, limits)));
}

fn remaining(quota: &Quota, name: &str) -> u32 {
    quota.standing(&tenant(name)).unwrap().requests.remaining
}

#[test]
fn of_150_at_once_exactly_100_pass_and_the_neighbour_is_untouched() {
    let (quota, _) = quota(&[("globex", limits(100, Some(1024))), ("acme", limits(100, None))]);
    let (passed, refused, start) = (AtomicU32::new(0), AtomicU32::new(0), Barrier::new(10));
    std::thread::scope(|threads| {
        for _ in 0..10 {
            threads.spawn(|| {
                start.wait();
                for _ in 0..15 {
                    let slot = quota.enter(&tenant("globex"));
                    match slot.and_then(|_held| quota.charge(&tenant("globex"))) {
                        Ok(()) => passed.fetch_add(1, Ordering::Relaxed),
                        Err(why) => {
                            assert_eq!(why.reason(), Reason::RequestLimit);
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    assert_eq!((passed.into_inner(), refused.into_inner()), (100, 50));
    assert_eq!(remaining(&quota, "acme"), 100);
}

#[test]
fn no_more_calls_are_in_flight_than_the_limit_says_and_a_dropped_slot_is_free() {
    let (quota, _) = quota(&[("acme", limits(100, Some(2)))]);
    let acme = tenant("acme");
    let (one, _two) = (quota.enter(&acme).unwrap(), quota.enter(&acme).unwrap());
    assert_eq!(quota.enter(&acme).unwrap_err().reason(), Reason::ConcurrencyLimit);
    drop(one);
    quota.enter(&acme).unwrap();
}

#[test]
fn slots_hold_under_threads() {
    let (quota, _) = quota(&[("acme", limits(100, Some(3)))]);
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for _ in 0..500 {
                    if let Ok(slot) = quota.enter(&tenant("acme")) {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        drop::<Slot>(slot);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    quota.enter(&tenant("acme")).unwrap();
}

#[test]
fn a_tenant_that_no_snapshot_knows_has_no_room() {
    let (quota, _) = quota(&[]);
    assert_eq!(quota.enter(&tenant("nobody")).unwrap_err().reason(), Reason::RequestLimit);
    quota.charge(&tenant("nobody")).unwrap_err();
    assert_eq!(quota.standing(&tenant("nobody")), None);
}

#[test]
fn what_was_used_outlives_reloads_and_removal() {
    let (quota, clock) = quota(&[("acme", limits(100, None))]);
    for _ in 0..60 {
        quota.charge(&tenant("acme")).unwrap();
    }
    apply(&quota, &[("acme", limits(100, None))]);
    assert_eq!(remaining(&quota, "acme"), 40);
    apply(&quota, &[("acme", limits(70, None))]);
    assert_eq!(remaining(&quota, "acme"), 10);
    apply(&quota, &[]);
    clock.advance(Duration::from_secs(30));
    apply(&quota, &[]);
    apply(&quota, &[("acme", limits(100, None))]);
    assert_eq!(remaining(&quota, "acme"), 40);
}

#[test]
fn a_removed_tenant_is_forgotten_once_it_is_whole_again() {
    let (quota, clock) = quota(&[("acme", limits(100, None))]);
    quota.charge(&tenant("acme")).unwrap();
    let slot = quota.enter(&tenant("acme")).unwrap();
    apply(&quota, &[]);
    clock.advance(Duration::from_secs(61));
    apply(&quota, &[]);
    assert!(quota.standing(&tenant("acme")).is_some(), "a call is in flight");
    drop(slot);
    apply(&quota, &[]);
    assert_eq!(quota.standing(&tenant("acme")), None);
}

#[test]
fn a_flood_is_answered_from_memory() {
    let (quota, clock) = quota(&[("acme", limits(1, None))]);
    quota.charge(&tenant("acme")).unwrap();
    let after = quota.charge(&tenant("acme")).unwrap_err().retry_after();
    assert_eq!(quota.enter(&tenant("acme")).unwrap_err().retry_after(), after);
    clock.advance(after);
    quota.enter(&tenant("acme")).unwrap();
}

/// The gate's test registry with a quota over it: 10 requests and 10,000 tokens a minute for each tenant.
struct House {
    snapshot: Arc<Snapshot>,
    quota: Quota,
}

impl House {
    fn new() -> Self {
        let (quota, _) = quota(&[]);
        let snapshot = snapshot(&[]);
        quota.apply(snapshot.tenants().map(|tenant| (&tenant.file.tenant, &tenant.limits)));
        Self { snapshot, quota }
    }

    fn permit(&self, max_output_tokens: Option<u64>) -> Permit {
        decide(&self.snapshot, chat("chatty", max_output_tokens)).unwrap()
    }

    fn tokens_left(&self) -> u32 {
        self.quota.standing(&tenant("acme")).unwrap().tokens.unwrap().remaining
    }
}

#[test]
fn a_permitted_call_reserves_what_it_may_cost_and_settles_to_what_it_did() {
    let house = House::new();
    for (bound, reserved) in [(Some(500), 501), (None, 4097)] {
        let before = house.tokens_left();
        let slot = house.quota.enter_for_tokens(&tenant("acme")).unwrap();
        let permit = house.permit(bound);
        assert_eq!(permit.docket().upstream.as_ref().unwrap().as_str(), "sim");
        let grant = house.quota.take(permit, slot).unwrap();
        assert_eq!(grant.docket().reserved_tokens, Some(reserved));
        assert_eq!(grant.docket().checks.limits, CheckVerdict::Pass);
        assert_eq!(house.tokens_left(), before - u32::try_from(reserved).unwrap());
        drop(grant.settle(Some(100)));
        assert_eq!(house.tokens_left(), before - 100);
    }
    let slot = house.quota.enter_for_tokens(&tenant("acme")).unwrap();
    let permit = house.permit(Some(500));
    let before = house.tokens_left();
    drop(house.quota.take(permit, slot).unwrap());
    assert_eq!(house.tokens_left(), before);
}

#[test]
fn a_call_that_can_never_fit_is_a_token_limit_and_costs_nothing() {
    let house = House::new();
    let slot = house.quota.enter_for_tokens(&tenant("acme")).unwrap();
    let permit = house.permit(Some(20_000));
    let stopped = house.quota.take(permit, slot).unwrap_err();
    assert_eq!((stopped.why.reason(), stopped.why.retry_after()), (Reason::TokenLimit, Rate::WINDOW));
    assert_eq!(stopped.docket.checks.limits, CheckVerdict::Block);
    assert_eq!(house.quota.standing(&tenant("acme")).unwrap().requests.remaining, 10);
}

#[test]
fn a_slot_of_another_tenant_lets_nothing_through() {
    let house = House::new();
    let slot = house.quota.enter(&tenant("off")).unwrap();
    let permit = house.permit(None);
    house.quota.take(permit, slot).unwrap_err();
}

#[test]
fn a_denied_call_costs_a_request_and_over_the_limit_the_limit_answers() {
    let house = House::new();
    let denied = || decide(&house.snapshot, chat("no-such", None)).unwrap_err();
    for _ in 0..10 {
        assert_eq!(house.quota.refuse(denied()).unwrap().why.reason(), Reason::ModelUnknown);
    }
    let stopped = house.quota.refuse(denied()).unwrap_err();
    assert_eq!(stopped.why.reason(), Reason::RequestLimit);
    assert_eq!(stopped.docket.checks.limits, CheckVerdict::Block);
}
