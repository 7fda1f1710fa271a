//! How much: requests and tokens a minute and calls in flight, per tenant, in this process.
//!
//! [`Quota::enter`] answers before the body is read, [`Quota::take`] turns a `Permit` into a [`Grant`], and a refused
//! attempt costs a request ([`Quota::charge`], [`Quota::refuse`]). Limits come from the registry snapshot through
//! [`Quota::apply`]; what was used outlives it. The arithmetic is in `requests`, `tokens` and `window` and takes the
//! time as an argument; this file reads the clock and knows the evidence.

mod account;
mod requests;
mod tokens;
mod window;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::call::Item;
use crate::clock::{Moment, SharedClock};
use crate::config::policy::{Limits, Rate};
use crate::docket::{CheckVerdict, Docket, Refuses, Stopped};
use crate::governance::{Model, Permit};
use crate::id::{ByName, TenantId};
use crate::quota::account::{Account, Held};
use crate::reason::Reason;

/// Output tokens that are reserved where neither the call nor the model's record names a maximum: the largest answer
/// that the common chat models gave by default when this was written.
pub const DEFAULT_OUTPUT_TOKENS: u64 = 4096;

/// How long a removed tenant's account is kept at least, for calls that were identified before the removal.
const KEPT_AFTER_REMOVAL: Duration = Rate::WINDOW;

/// Accounts of removed tenants that are kept at most; beyond it the ones removed first are forgotten.
const MOST_REMOVED: usize = 4096;

/// Evidence that a permitted call is within its tenant's limits: it holds a slot and a reservation of tokens, which
/// go back by themselves when it is dropped.
#[derive(Debug)]
pub struct Grant {
    permit: Permit,
    slot: Slot,
    reservation: Reservation,
}

/// A place among the tenant's calls in flight; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    tenant: TenantId,
    account: Arc<Account>,
}

/// Tokens set aside for a call; dropped unsettled, all of them go back.
#[derive(Debug)]
pub struct Reservation {
    account: Arc<Account>,
    clock: SharedClock,
    amount: u64,
    /// `None` where tokens are not limited, and once it is settled.
    held: Option<Held>,
}

/// Which limit has no room, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}, retry after {retry_after:?}", reason.code())]
pub struct Exceeded {
    reason: Reason,
    retry_after: Duration,
}

impl Exceeded {
    const fn new(reason: Reason, retry_after: Duration) -> Self {
        Self { reason, retry_after }
    }

    /// When asking again succeeds, if nobody else comes first. Of a full slot table nobody knows that: a second. What
    /// is larger than the whole limit never fits: the window.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }
}

impl Refuses for Exceeded {
    fn reason(&self) -> Reason {
        self.reason
    }
}

/// How long until an amount has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    For(Duration),
    /// It is larger than the whole limit.
    Never,
}

/// Where a tenant stands, for the `x-ratelimit-*` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests.
    pub requests: Gauge,
    /// Tokens, when they are limited.
    pub tokens: Option<Gauge>,
}

/// One limit's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    /// The limit, per minute.
    pub limit: u32,
    /// What is left now.
    pub remaining: u32,
    /// When it is whole again.
    pub reset: Duration,
}

/// All tenants' limiters.
#[derive(Debug)]
pub struct Quota {
    clock: SharedClock,
    accounts: ArcSwap<ByName<TenantId, Entry>>,
    /// Held while the map is replaced; nobody waits for it on a call's way.
    applying: Mutex<()>,
}

/// A tenant's account, and since when no snapshot knows the tenant.
#[derive(Debug, Clone)]
struct Entry {
    account: Arc<Account>,
    removed: Option<Moment>,
}

impl Quota {
    /// Limiters for no tenant yet: until [`Quota::apply`], every call is refused.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, accounts: ArcSwap::default(), applying: Mutex::new(()) }
    }

    /// Puts a snapshot's limits in force; to be called before that snapshot judges a call. What was used stays used: a
    /// limit that did not change keeps its state, a changed one begins with what was used under the old one, and a
    /// removed tenant is remembered until it would be whole again, so that removing and adding it refills nothing.
    pub fn apply<'a>(&self, tenants: impl Iterator<Item = (&'a TenantId, &'a Limits)>) {
        let _one_at_a_time = self.applying.lock();
        let now = self.clock.moment();
        let before = self.accounts.load_full();
        let mut after: ByName<TenantId, Entry> = ByName::default();
        for (tenant, limits) in tenants {
            let account = before.get(tenant).map_or_else(
                || Arc::new(Account::new(limits)),
                |entry| {
                    entry.account.change(now, limits);
                    Arc::clone(&entry.account)
                },
            );
            after.insert(tenant.clone(), Entry { account, removed: None });
        }
        for (tenant, entry) in removed(&before, &after, now) {
            after.insert(tenant, entry);
        }
        self.accounts.store(Arc::new(after));
    }

    /// Takes a slot and answers from memory whether the tenant is known to have no request left; runs before the body
    /// is read. Nothing else is charged.
    ///
    /// # Errors
    /// [`Exceeded`] with `request_limit` or `concurrency_limit`; the former also for a tenant that no snapshot knows.
    pub fn enter(&self, tenant: &TenantId) -> Result<Slot, Exceeded> {
        let account = self.account(tenant)?;
        account.knows_no_requests(self.clock.moment())?;
        Slot::take(tenant, account)
    }

    /// [`Quota::enter`] for a route that will reserve tokens: also answers from memory when the tenant is known to
    /// have not one token left. The wait is then that of the call that was refused last.
    ///
    /// # Errors
    /// Those of [`Quota::enter`], and [`Exceeded`] with `token_limit`.
    pub fn enter_for_tokens(&self, tenant: &TenantId) -> Result<Slot, Exceeded> {
        let account = self.account(tenant)?;
        let now = self.clock.moment();
        account.knows_no_requests(now)?;
        account.knows_no_tokens(now)?;
        Slot::take(tenant, account)
    }

    /// Charges one request: for what needs no tokens, and for what was refused.
    ///
    /// # Errors
    /// [`Exceeded`] with `request_limit`, and then nothing is charged.
    pub fn charge(&self, tenant: &TenantId) -> Result<(), Exceeded> {
        self.account(tenant)?.charge(self.clock.moment())
    }

    /// Charges the attempt that another stage refused, before it is recorded; over the limit the limit's refusal takes
    /// the other's place. An attempt without a tenant costs nobody anything.
    ///
    /// # Errors
    /// [`Exceeded`] with `request_limit`.
    pub fn refuse<E>(&self, stopped: Stopped<E>) -> Result<Stopped<E>, Stopped<Exceeded>> {
        let Some(tenant) = &stopped.docket.tenant else { return Ok(stopped) };
        match self.charge(tenant) {
            Ok(()) => Ok(stopped),
            Err(why) => Err(denied(stopped.docket, why)),
        }
    }

    /// Charges one request and reserves the tokens that the call may cost at most, both or neither: its input as
    /// estimated, and the output bound of the call, else of the model's record, else [`DEFAULT_OUTPUT_TOKENS`] for each
    /// answer asked for.
    ///
    /// # Errors
    /// [`Exceeded`] with `request_limit` or `token_limit`; then nothing is charged.
    pub fn take(&self, mut permit: Permit, slot: Slot) -> Result<Grant, Stopped<Exceeded>> {
        if slot.tenant != *permit.call().tenant() {
            // A defect of the caller. Another tenant's slot bounds nothing, so the call is not let through.
            return Err(denied(permit.into_docket(), Exceeded::new(Reason::ConcurrencyLimit, Duration::from_secs(1))));
        }
        let amount = reserve_for(&permit);
        let held = match slot.account.take(self.clock.moment(), amount) {
            Ok(held) => held,
            Err(why) => return Err(denied(permit.into_docket(), why)),
        };
        let account = Arc::clone(&slot.account);
        let reservation = Reservation { account, clock: Arc::clone(&self.clock), amount, held };
        let docket = permit.docket_mut();
        docket.checks.limits = CheckVerdict::Pass;
        docket.reserved_tokens = reservation.held.map(|_| amount);
        Ok(Grant { permit, slot, reservation })
    }

    /// Where the tenant stands; `None` for a tenant that no snapshot knows.
    pub fn standing(&self, tenant: &TenantId) -> Option<Standing> {
        let now = self.clock.moment();
        self.accounts.load().get(tenant).map(|entry| entry.account.standing(now))
    }

    /// A tenant without an account has no limit that could be kept, so it has no room.
    fn account(&self, tenant: &TenantId) -> Result<Arc<Account>, Exceeded> {
        let accounts = self.accounts.load();
        let entry = accounts.get(tenant).ok_or(Exceeded::new(Reason::RequestLimit, Rate::WINDOW))?;
        Ok(Arc::clone(&entry.account))
    }
}

/// The accounts of `before` that no tenant of `after` has, as far as they are worth keeping.
fn removed(before: &ByName<TenantId, Entry>, after: &ByName<TenantId, Entry>, now: Moment) -> Vec<(TenantId, Entry)> {
    let mut kept: Vec<(Moment, TenantId, Entry)> = before
        .iter()
        .filter(|(tenant, _)| !after.contains_key(*tenant))
        .map(|(tenant, entry)| (entry.removed.unwrap_or(now), tenant, entry))
        .filter(|(since, _, entry)| now.since(*since) < KEPT_AFTER_REMOVAL || !entry.account.is_whole(now))
        .map(|(since, tenant, entry)| (since, tenant.clone(), entry.clone()))
        .collect();
    kept.sort_unstable_by(|(a, a_name, _), (b, b_name, _)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
    kept.truncate(MOST_REMOVED);
    kept.into_iter().map(|(since, tenant, entry)| (tenant, Entry { removed: Some(since), ..entry })).collect()
}

/// What a call may cost at most, in tokens: all lines of a batch together.
pub(crate) fn reserve_for(permit: &Permit) -> u64 {
    permit.items().map(|(item, model)| cost_of(item, model)).fold(0, u64::saturating_add)
}

fn cost_of(item: Item<'_>, model: &Model) -> u64 {
    let input = item.estimated_input_tokens();
    if !item.operation().writes_text() {
        return input;
    }
    let output = item.max_output_tokens().unwrap_or_else(|| {
        model.file.max_output_tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS).saturating_mul(item.choices())
    });
    input.saturating_add(output)
}

fn denied(mut docket: Box<Docket>, why: Exceeded) -> Stopped<Exceeded> {
    docket.checks.limits = CheckVerdict::Block;
    Stopped::new(docket, why)
}

impl Slot {
    fn take(tenant: &TenantId, account: Arc<Account>) -> Result<Self, Exceeded> {
        account.join()?;
        Ok(Self { tenant: tenant.clone(), account })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.account.leave();
    }
}

impl Reservation {
    /// Settles to what the call cost, in tokens: what is over goes back, what is beyond is charged.
    pub fn settle(mut self, spent: u64) {
        self.close(spent);
    }

    fn close(&mut self, spent: u64) {
        if let Some(held) = self.held.take() {
            self.account.settle(self.clock.moment(), self.amount, held, spent);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.close(0);
    }
}

impl Grant {
    /// What governance let pass.
    #[must_use]
    pub const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The same, for the rules that are asked after scoring.
    #[must_use]
    pub const fn permit_mut(&mut self) -> &mut Permit {
        &mut self.permit
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        self.permit.docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        self.permit.docket_mut()
    }

    /// Settles the reservation to `tokens` (`None`: the call cost nothing, all goes back) and frees the slot.
    pub fn settle(self, tokens: Option<u64>) -> Permit {
        let Self { permit, slot, reservation } = self;
        match tokens {
            Some(spent) => reservation.settle(spent),
            None => drop(reservation),
        }
        drop(slot);
        permit
    }

    /// Ends the case here, gives everything back and answers the case file.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.settle(None).into_docket()
    }
}

#[cfg(test)]
mod tests;
