//! The gate keys of a snapshot, by their public part.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::docket::Role;
use crate::id::{ByName, Digest, KeyId, TenantId};

/// One gate key's registration.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// Whose key it is.
    pub tenant: TenantId,
    /// The public part.
    pub id: KeyId,
    /// SHA-256 of the whole key string `pcl_<id>_<secret>`.
    pub hash: Digest,
    /// What it may do.
    pub roles: Arc<[Role]>,
    /// From when on it is not good any more.
    pub expires: Option<DateTime<Utc>>,
    /// Switched off by hand.
    pub disabled: bool,
}

/// All keys of one registry snapshot.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: ByName<KeyId, KeyRecord>,
}

impl Keyring {
    /// Adds a key; answers the tenant that has a key of this id already, and then adds nothing.
    pub fn add(&mut self, key: KeyRecord) -> Option<TenantId> {
        if let Some(there) = self.keys.get(&key.id) {
            return Some(there.tenant.clone());
        }
        self.keys.insert(key.id.clone(), key);
        None
    }

    /// The key with this public part.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&KeyRecord> {
        self.keys.get(id)
    }
}
