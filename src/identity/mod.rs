//! Who is calling: finds the one gate key of a request and turns an [`Arrival`] into a [`Caller`].
//!
//! Runs on the head alone, before a byte of the body is read. The keys come from the registry snapshot as a
//! [`Keyring`]; which tenant may do what is `governance`'s business.

mod keyring;

pub use keyring::{KeyRecord, Keyring};

use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::HeaderMap;

use crate::arrival::Arrival;
use crate::docket::{Actor, CheckVerdict, Docket, Refuses, Role, Stopped};
use crate::id::{KeyId, TenantId};
use crate::reason::Reason;

/// Evidence that a request carries exactly one good gate key.
#[derive(Debug)]
pub struct Caller {
    arrival: Arrival,
    tenant: TenantId,
    key: KeyId,
    roles: Arc<[Role]>,
}

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// No credential where an SDK would put one.
    #[error("no credential")]
    Missing,
    /// Malformed, unknown, disabled, of the wrong hash, in the query, or more than one.
    #[error("credential not valid")]
    Invalid,
    /// Good once, not any more.
    #[error("credential expired")]
    Expired,
    /// A tenant header that disagrees with the key.
    #[error("tenant header disagrees with the key")]
    TenantMismatch,
}

impl Refuses for Unauthenticated {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::CredentialMissing,
            Self::Invalid => Reason::CredentialInvalid,
            Self::Expired => Reason::CredentialExpired,
            Self::TenantMismatch => Reason::TenantMismatch,
        }
    }
}

impl Caller {
    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        self.arrival.docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        self.arrival.docket_mut()
    }

    /// The request's head.
    #[must_use]
    pub const fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Whose policy governs.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The key that was shown.
    #[must_use]
    pub const fn key(&self) -> &KeyId {
        &self.key
    }

    /// The key's roles.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Ends the case here and gives its file back.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.arrival.into_docket()
    }

    /// A caller that nobody authenticated, of tenant `acme`, for the tests of later rooms.
    #[cfg(test)]
    pub(crate) fn for_tests(arrival: Arrival) -> Self {
        let tenant = TenantId::parse("acme").expect("a name");
        Self { arrival, tenant, key: KeyId::parse("k1").expect("a name"), roles: Arc::new([Role::Client]) }
    }
}
