//! Bounds the records that failed credentials and exhausted limits can cause.
//!
//! Beyond the threshold a second per peer (401, and bad heads) or tenant (429), refusals are only counted, and one
//! `portcullis.suppressed.v1` record a second says how many by code. Everything else, governance violations first of all, is
//! always recorded. Pure: takes the time as an argument.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::action::Action;
use crate::clock::Moment;
use crate::docket::Docket;
use crate::id::TenantId;
use crate::reason::Reason;

/// Peers and tenants told apart within one second; all beyond share one bucket.
const MOST_BUCKETS: usize = 4096;
/// Tenants told apart in one record; all beyond are counted under `other`.
pub(super) const MOST_TENANTS: usize = 64;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Whose refusals are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bucket {
    /// Failed credentials and bad heads from this address; `None` is a Unix socket.
    Peer(Option<IpAddr>),
    /// A tenant over its limits.
    Tenant(TenantId),
    /// All that there is no bucket for.
    Other,
}

/// What was not recorded one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Suppressed {
    /// By code.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// By tenant and code, for limits; the tenants beyond the bound stand under `None`.
    pub(super) tenants: BTreeMap<Option<TenantId>, BTreeMap<&'static str, u64>>,
}

impl Suppressed {
    fn add(&mut self, reason: Reason, tenant: Option<&TenantId>, count: u64) {
        add(&mut self.counts, reason.code(), count);
        if let Some(tenant) = tenant {
            let known = self.tenants.contains_key(&Some(tenant.clone())) || self.tenants.len() < MOST_TENANTS;
            add(self.tenants.entry(known.then(|| tenant.clone())).or_default(), reason.code(), count);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (code, count) in &other.counts {
            add(&mut self.counts, code, *count);
        }
        for (tenant, codes) in &other.tenants {
            let known = self.tenants.contains_key(tenant) || self.tenants.len() < MOST_TENANTS;
            let mine = self.tenants.entry(tenant.clone().filter(|_| known)).or_default();
            for (code, count) in codes {
                add(mine, code, *count);
            }
        }
    }
}

fn add(counts: &mut BTreeMap<&'static str, u64>, code: &'static str, count: u64) {
    let total = counts.entry(code).or_default();
    *total = total.saturating_add(count);
}

/// The counters.
#[derive(Debug)]
pub(super) struct Floods {
    threshold: u32,
    second: u64,
    seen: HashMap<Bucket, u32>,
    suppressed: Suppressed,
}

impl Floods {
    /// Lets `threshold` records a second through per peer or tenant.
    pub(super) fn new(threshold: u32) -> Self {
        Self { threshold, second: 0, seen: HashMap::new(), suppressed: Suppressed::default() }
    }

    /// Whether this refusal gets a record of its own; otherwise it has been counted.
    pub(super) fn admit(&mut self, docket: &Docket, reason: Reason, now: Moment) -> bool {
        let Some(bucket) = bucket(docket, reason) else { return true };
        let second = now.as_nanos() / NANOS_PER_SECOND;
        if second != self.second {
            self.second = second;
            self.seen.clear();
        }
        let known = self.seen.len() < MOST_BUCKETS || self.seen.contains_key(&bucket);
        let seen = self.seen.entry(if known { bucket } else { Bucket::Other }).or_default();
        *seen = seen.saturating_add(1);
        let admitted = *seen <= self.threshold;
        if !admitted {
            let tenant = docket.tenant.as_ref().filter(|_| is_limit(reason));
            self.suppressed.add(reason, tenant, 1);
        }
        admitted
    }

    /// Whether nothing was counted since the last [`Floods::take`].
    pub(super) fn is_calm(&self) -> bool {
        self.suppressed.counts.is_empty()
    }

    /// Takes what was counted since the last call; `None` when that is nothing.
    pub(super) fn take(&mut self) -> Option<Suppressed> {
        let taken = std::mem::take(&mut self.suppressed);
        (!taken.counts.is_empty()).then_some(taken)
    }

    /// Puts back what could not be recorded.
    pub(super) fn put_back(&mut self, suppressed: &Suppressed) {
        self.suppressed.merge(suppressed);
    }
}

fn bucket(docket: &Docket, reason: Reason) -> Option<Bucket> {
    let failed = matches!(reason, Reason::CredentialMissing | Reason::CredentialInvalid | Reason::CredentialExpired);
    // Without a tenant there is no quota that bounds anything else either: a bad head is refused before the credential
    // is looked at.
    if failed || docket.tenant.is_none() && Action::of(reason) == Action::Rejected {
        return Some(Bucket::Peer(docket.peer));
    }
    is_limit(reason).then(|| docket.tenant.clone().map_or(Bucket::Other, Bucket::Tenant))
}

const fn is_limit(reason: Reason) -> bool {
    matches!(Action::of(reason), Action::Throttled)
}

#[cfg(test)]
mod tests {
    use super::{Floods, MOST_BUCKETS, MOST_TENANTS};
    use crate::audit::for_tests::docket;
    use crate::clock::Moment;
    use crate::id::TenantId;
    use crate::reason::Reason;
    use std::net::{IpAddr, Ipv4Addr};

    const NOW: Moment = Moment::from_nanos(5_000_000_000);

    #[test]
    fn beyond_the_threshold_refusals_are_counted_and_taken_once() {
        let mut floods = Floods::new(3);
        let docket = docket();
        let admitted = (0..10).filter(|_| floods.admit(&docket, Reason::RequestLimit, NOW)).count();
        assert_eq!(admitted, 3);
        let taken = floods.take().unwrap();
        assert_eq!(taken.counts.get("request_limit"), Some(&7));
        assert_eq!(taken.tenants[&docket.tenant]["request_limit"], 7);
        assert_eq!(floods.take(), None);
        floods.put_back(&taken);
        assert_eq!(floods.take(), Some(taken));
    }

    #[test]
    fn the_next_second_begins_anew() {
        let mut floods = Floods::new(1);
        let docket = docket();
        assert!(floods.admit(&docket, Reason::TokenLimit, NOW));
        assert!(!floods.admit(&docket, Reason::TokenLimit, NOW));
        assert!(floods.admit(&docket, Reason::TokenLimit, Moment::from_nanos(6_000_000_000)));
    }

    #[test]
    fn only_failed_credentials_and_limits_are_ever_coalesced() {
        let mut floods = Floods::new(0);
        let docket = docket();
        for &reason in Reason::ALL {
            let coalesced = matches!(
                reason.code(),
                "credential_missing"
                    | "credential_invalid"
                    | "credential_expired"
                    | "request_limit"
                    | "token_limit"
                    | "budget_exhausted"
                    | "concurrency_limit"
            );
            assert_eq!(floods.admit(&docket, reason, NOW), !coalesced, "{}", reason.code());
        }
    }

    #[test]
    fn bad_heads_that_nobody_answers_for_are_coalesced_too() {
        let mut floods = Floods::new(1);
        let mut docket = docket();
        docket.tenant = None;
        assert!(floods.admit(&docket, Reason::MalformedRequest, NOW));
        assert!(!floods.admit(&docket, Reason::MalformedRequest, NOW));
        let taken = floods.take().unwrap();
        assert_eq!(taken.counts["malformed_request"], 1);
        assert!(taken.tenants.is_empty());
    }

    #[test]
    fn a_flood_from_one_peer_does_not_hide_another() {
        let mut floods = Floods::new(1);
        let mut docket = docket();
        docket.peer = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        assert!(floods.admit(&docket, Reason::CredentialInvalid, NOW));
        assert!(!floods.admit(&docket, Reason::CredentialInvalid, NOW));
        docket.peer = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
        assert!(floods.admit(&docket, Reason::CredentialInvalid, NOW));
    }

    #[test]
    fn memory_is_bounded_however_many_peers_and_tenants_come() {
        let mut floods = Floods::new(0);
        let mut docket = docket();
        for i in 0..20_000_u32 {
            docket.peer = Some(IpAddr::V4(i.into()));
            assert!(!floods.admit(&docket, Reason::CredentialInvalid, NOW));
            docket.tenant = Some(TenantId::parse(&format!("t{i}")).unwrap());
            assert!(!floods.admit(&docket, Reason::RequestLimit, NOW));
        }
        assert!(floods.seen.len() <= MOST_BUCKETS + 1);
        let taken = floods.take().unwrap();
        assert!(taken.tenants.len() <= MOST_TENANTS + 1);
        assert_eq!(taken.counts.values().sum::<u64>(), 40_000);
        assert_eq!(taken.tenants.values().flat_map(|codes| codes.values()).sum::<u64>(), 20_000);
    }
}
