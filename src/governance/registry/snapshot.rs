//! The snapshot: every model, prompt, tenant, key, rule and person of one state of the policy files.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::config::fault::Fault;
use crate::config::policy::{Limits, ModelFile, Person, Profile, PromptFile, TenantFile};
use crate::config::remote::RemotePlace;
use crate::governance::prompts::Template;
use crate::governance::rules::Rules;
use crate::id::{ByName, Digest, ModelId, Names, ProfileId, PromptId, Revision, TenantId};
use crate::identity::Keyring;

/// One model version of the registry.
#[derive(Debug)]
pub struct Model {
    /// What its file says.
    pub file: ModelFile,
}

impl Model {
    /// The name that is sent upstream.
    #[must_use]
    pub fn sent_name(&self) -> &str {
        self.file.upstream_model.as_deref().unwrap_or(self.file.model.as_str())
    }
}

/// One prompt version of the registry.
#[derive(Debug)]
pub struct Prompt {
    /// What its file says.
    pub file: PromptFile,
    /// Its text, ready to be matched.
    pub template: Template,
}

/// One tenant, its organization's defaults merged in.
#[derive(Debug)]
pub struct Tenant {
    /// What its file says.
    pub file: TenantFile,
    /// Its limits in force.
    pub limits: Limits,
    /// Its risk profile in force.
    pub profile: Arc<Profile>,
    /// Where its calls may have an upstream fetch from.
    pub remote_fetch: Vec<RemotePlace>,
    /// The models it may use, by the registry's name.
    pub models: Names<ModelId>,
}

/// All policy files as one whole, checked. Look-ups are by hash and allocate nothing.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) revision: Revision,
    pub(super) digest: Digest,
    pub(super) loaded_at: DateTime<Utc>,
    pub(super) keyring: Keyring,
    pub(super) tenants: ByName<TenantId, Arc<Tenant>>,
    pub(super) models: Vec<Arc<Model>>,
    pub(super) by_name: ByName<ModelId, Vec<Arc<Model>>>,
    pub(super) prompts: ByName<PromptId, Vec<Arc<Prompt>>>,
    pub(super) profiles: ByName<ProfileId, Arc<Profile>>,
    pub(super) rules: Rules,
    pub(super) people: Vec<Person>,
    pub(super) warnings: Vec<Fault>,
}

impl Snapshot {
    /// The number of this state: it counts up with every change, across restarts.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// SHA-256 over all paths and bytes of the policy files.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// When the files were read.
    #[must_use]
    pub const fn loaded_at(&self) -> DateTime<Utc> {
        self.loaded_at
    }

    /// The gate keys of all tenants.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The risk profile of this name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name).map(|profile| &**profile)
    }

    /// The tenant of this name.
    #[must_use]
    pub fn tenant(&self, tenant: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(tenant)
    }

    /// Every tenant, in no order.
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// Every model version, by name and within a name the highest version first.
    #[must_use]
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// The versions that a model name may mean, highest first; of an alias just its one.
    #[must_use]
    pub fn versions(&self, name: &str) -> Option<&[Arc<Model>]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// The versions of a prompt, highest first.
    #[must_use]
    pub fn prompt(&self, name: &str) -> Option<&[Arc<Prompt>]> {
        self.prompts.get(name).map(Vec::as_slice)
    }

    /// Every prompt version, in no order of names, within a name the highest first.
    pub fn prompts(&self) -> impl Iterator<Item = &Arc<Prompt>> {
        self.prompts.values().flatten()
    }

    /// The compiled rules.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The people of the admin plane.
    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// What is not wrong and worth a look.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }
}
