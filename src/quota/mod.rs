//! How much: requests and tokens a minute and calls in flight, per tenant, in this process.

use std::time::Duration;

use crate::docket::{Refuses, Stopped};
use crate::governance::Permit;
use crate::id::TenantId;
use crate::reason::Reason;

/// Evidence that a permitted call is within its tenant's limits: it holds a slot and a reservation of tokens, which
/// go back by themselves when it is dropped.
#[derive(Debug)]
pub struct Grant {
    permit: Permit,
    slot: Slot,
    reservation: Reservation,
}

impl Grant {
    /// The evidence before.
    #[must_use]
    pub const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The evidence before, for the stage that holds this one.
    #[must_use]
    pub const fn permit_mut(&mut self) -> &mut Permit {
        &mut self.permit
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut crate::docket::Docket {
        self.permit.docket_mut()
    }

    /// Ends the case here and gives its file back.
    #[must_use]
    pub fn into_docket(self) -> Box<crate::docket::Docket> {
        self.permit.into_docket()
    }
}

/// A place among the tenant's calls in flight; free again when dropped.
#[derive(Debug)]
pub struct Slot {}

/// Tokens set aside for a call.
#[derive(Debug)]
pub struct Reservation {}

/// Which limit has no room, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}, retry after {retry_after:?}", reason.code())]
pub struct Exceeded {
    reason: Reason,
    retry_after: Duration,
}

impl Exceeded {
    /// When asking again may succeed.
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
pub struct Quota {}

impl Quota {
    /// Takes a slot and answers from memory whether the tenant is known to be exhausted; runs before the body is read.
    pub fn enter(&self, _tenant: &TenantId) -> Result<Slot, Exceeded> {
        todo!()
    }
    /// Charges one request.
    pub fn charge(&self, _tenant: &TenantId) -> Result<(), Exceeded> {
        todo!()
    }
    /// Charges one request and reserves tokens.
    pub fn take(&self, _permit: Permit, _slot: Slot) -> Result<Grant, Stopped<Exceeded>> {
        todo!()
    }
    /// Where the tenant stands.
    pub fn standing(&self, _tenant: &TenantId) -> Option<Standing> {
        todo!()
    }
}
