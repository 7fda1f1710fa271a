//! Who is calling: finds the one gate key of a request and turns an [`Arrival`] into a [`Caller`].
//!
//! Runs on the head alone, before a byte of the body is read. The keys come from the registry snapshot as a
//! [`Keyring`]; which tenant may do what is `governance`'s business.

mod credential;
mod keyring;

pub use keyring::{KeyRecord, Keyring};

use std::sync::Arc;

use chrono::{DateTime, Utc};

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
    /// A good key without the role that the data plane asks for.
    #[error("key without the client role")]
    RoleDenied,
}

impl Refuses for Unauthenticated {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::CredentialMissing,
            Self::Invalid => Reason::CredentialInvalid,
            Self::Expired => Reason::CredentialExpired,
            Self::TenantMismatch => Reason::TenantMismatch,
            Self::RoleDenied => Reason::RoleDenied,
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

    /// Says that the body's coding was undone, see [`Arrival::made_plain`].
    pub fn made_plain(&mut self) {
        self.arrival.made_plain();
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
    pub(crate) fn for_tests(mut arrival: Arrival) -> Self {
        let tenant = TenantId::parse("acme").expect("a name");
        arrival.docket_mut().tenant = Some(tenant.clone());
        Self { arrival, tenant, key: KeyId::parse("k1").expect("a name"), roles: Arc::new([Role::Client]) }
    }
}

/// Headers in which a client may repeat its tenant's name. They may only agree with the key, and never travel on.
pub const TENANT_HEADERS: [&str; 3] = ["x-portcullis-tenant", "x-tenant-id", "x-tenant"];

/// Finds the one credential of a request, checks it against the snapshot's keys and writes who calls into the docket.
///
/// An unknown key, a disabled one and one of the wrong hash cannot be told apart from outside, neither by answer nor
/// by time: the hash is computed and compared in every case.
///
/// # Errors
/// [`Unauthenticated`] with the docket, `checks.identity` set to `block`.
pub fn authenticate(
    keyring: &Keyring,
    arrival: Arrival,
    now: DateTime<Utc>,
) -> Result<Caller, Stopped<Unauthenticated>> {
    let (verdict, known) = match credential::only_one(arrival.headers(), arrival.query()) {
        Ok(key) => judge(keyring, &arrival, key, now),
        Err(why) => (Err(why), None),
    };
    let mut arrival = arrival;
    let docket = arrival.docket_mut();
    if let Some(key) = known {
        docket.actor = Actor::ApiKey { id: key.id.clone(), roles: Arc::clone(&key.roles) };
        docket.tenant = Some(key.tenant.clone());
    }
    match (verdict, known) {
        (Ok(()), Some(key)) => {
            docket.checks.identity = CheckVerdict::Pass;
            let (tenant, id, roles) = (key.tenant.clone(), key.id.clone(), Arc::clone(&key.roles));
            Ok(Caller { arrival, tenant, key: id, roles })
        }
        (verdict, _) => {
            docket.checks.identity = CheckVerdict::Block;
            Err(Stopped::new(arrival.into_docket(), verdict.err().unwrap_or(Unauthenticated::Invalid)))
        }
    }
}

/// The verdict on a key, and its registration where the secret is right (so that an expired key can be named in the
/// record, a guessed one not).
fn judge<'k>(
    keyring: &'k Keyring,
    arrival: &Arrival,
    key: &str,
    now: DateTime<Utc>,
) -> (Result<(), Unauthenticated>, Option<&'k KeyRecord>) {
    let Some(record) = credential::prove(keyring, key) else { return (Err(Unauthenticated::Invalid), None) };
    let verdict = if record.disabled {
        Err(Unauthenticated::Invalid)
    } else if record.expires.is_some_and(|end| now >= end) {
        Err(Unauthenticated::Expired)
    } else if names_another_tenant(arrival, &record.tenant) {
        Err(Unauthenticated::TenantMismatch)
    } else if record.roles.contains(&Role::Client) {
        Ok(())
    } else {
        Err(Unauthenticated::RoleDenied)
    };
    (verdict, Some(record))
}

fn names_another_tenant(arrival: &Arrival, tenant: &TenantId) -> bool {
    let repeats = arrival.headers().iter().filter(|(name, _)| TENANT_HEADERS.contains(&name.as_str()));
    repeats.into_iter().any(|(_, value)| value.as_bytes() != tenant.as_str().as_bytes())
}

impl Caller {
    /// Asks again under a newer snapshot: a key may have been taken away while the body was on its way.
    ///
    /// # Errors
    /// As [`authenticate`].
    pub fn again(self, keyring: &Keyring, now: DateTime<Utc>) -> Result<Self, Stopped<Unauthenticated>> {
        authenticate(keyring, self.arrival, now)
    }
}

#[cfg(test)]
mod tests;
