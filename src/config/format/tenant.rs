//! `tenants/*.yaml`: one tenant a file, its gate keys, models, limits and risk settings.

use schemars::JsonSchema;
use serde::Deserialize;

use super::limits;
use super::remote::{self, RemoteWritten};
use super::risk::{Choice, OverrideWritten};
use crate::config::de::Placed;
use crate::config::node::Place;
use crate::config::policy::{KeyEntry, PromptMode, TenantFile};
use crate::config::reading::Reading;
use crate::config::text::{Day, Sha256};
use crate::docket::Role;
use crate::id::{Environment, KeyId, ModelId, OrganizationId, TenantId, UpstreamId};

/// A tenant: who may call, with which keys, which models, how much and at what risk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis tenant")]
pub(super) struct Written {
    /// The tenant.
    tenant: Placed<TenantId>,
    /// Its organization, whose defaults it gets.
    organization: Option<OrganizationId>,
    /// Where it runs: `prod`, `staging` …
    environment: Option<Environment>,
    /// Its gate keys `pcl_<id>_<secret>`, by their digests.
    #[serde(default)]
    keys: Vec<KeyWritten>,
    /// The models it may use; none unless named.
    #[serde(default)]
    models: Vec<Placed<ModelId>>,
    /// Whether its calls need an approved prompt; `optional` unless named.
    prompts: Option<PromptMode>,
    /// How much it may use.
    #[serde(default)]
    limits: limits::Written,
    /// Its own risk settings over its profile.
    #[serde(default)]
    risk: OverrideWritten,
    /// Upstreams whose credential no other tenant uses: calls to them may refer to what they have stored.
    #[serde(default)]
    exclusive_upstreams: Vec<Placed<UpstreamId>>,
    /// Places that an upstream may be asked to fetch from; the organization's unless named.
    remote_fetch: Option<Vec<Placed<RemoteWritten>>>,
}

super::format!(Written);

/// A gate key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Key")]
struct KeyWritten {
    /// The public part, `<id>` of `pcl_<id>_<secret>`.
    id: Placed<KeyId>,
    /// SHA-256 of the whole key string.
    hash: Placed<Sha256>,
    /// What it may do; `client` unless named.
    #[schemars(length(min = 1))]
    roles: Option<Vec<Role>>,
    /// From when on it is not good any more.
    expires: Option<Placed<Day>>,
    /// Switched off by hand.
    #[serde(default)]
    disabled: bool,
}

/// A tenant file and the places that checks across files point at.
#[derive(Debug)]
pub struct Tenant {
    /// What it says.
    pub file: TenantFile,
    /// Where the tenant's name stands.
    pub tenant_at: Place,
    /// Where each key's id stands.
    pub keys_at: Vec<Place>,
    /// Where each model stands.
    pub models_at: Vec<Place>,
    /// Where the risk profile stands.
    pub profile_at: Option<Place>,
    /// Where each exclusive upstream stands.
    pub exclusive_at: Vec<(UpstreamId, Place)>,
}

/// Reads a tenant file; what is wrong with it is noted in `reading`.
#[must_use]
pub fn read(reading: &mut Reading) -> Option<Tenant> {
    let written: Written = super::written(reading)?;
    let Choice { risk, profile_at } = written.risk.checked();
    let (keys, keys_at) = written.keys.into_iter().filter_map(|key| key.checked(reading)).unzip();
    let models_at = written.models.iter().map(|model| model.place).collect();
    let exclusive_at = written.exclusive_upstreams.iter().map(|named| (named.value.clone(), named.place)).collect();
    Some(Tenant {
        tenant_at: written.tenant.place,
        keys_at,
        models_at,
        profile_at,
        exclusive_at,
        file: TenantFile {
            tenant: written.tenant.value,
            organization: written.organization,
            environment: written.environment,
            keys,
            models: written.models.into_iter().map(|model| model.value).collect(),
            prompts: written.prompts.unwrap_or_default(),
            limits: written.limits.checked(reading),
            risk,
            exclusive_upstreams: written.exclusive_upstreams.into_iter().map(|named| named.value).collect(),
            remote_fetch: remote::checked(written.remote_fetch, reading),
        },
    })
}

impl KeyWritten {
    fn checked(self, reading: &mut Reading) -> Option<(KeyEntry, Place)> {
        let hash = self.hash.read(reading);
        let expires = match self.expires {
            Some(day) => Some(day.read(reading)?),
            None => None,
        };
        let roles = self.roles.unwrap_or_else(|| vec![Role::Client]);
        Some((KeyEntry { id: self.id.value, hash: hash?, roles, expires, disabled: self.disabled }, self.id.place))
    }
}
