//! The registry.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::policy::{Limits, ModelFile, Profile, PromptFile, TenantFile};
use crate::governance::prompts::Template;
use crate::governance::rules::Rules;
use crate::id::{Digest, ModelId, Revision, TenantId};
use crate::identity::Keyring;

/// One model version of the registry.
#[derive(Debug)]
pub struct Model {
    /// What its file says.
    pub file: ModelFile,
}

/// One prompt version of the registry.
#[derive(Debug)]
pub struct Prompt {
    /// What its file says.
    pub file: PromptFile,
    /// Its text, compiled.
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
    /// The models it may use.
    pub models: HashSet<ModelId>,
}

/// All policy files as one whole, checked.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) digest: Digest,
    pub(crate) keyring: Keyring,
    pub(crate) tenants: HashMap<TenantId, Arc<Tenant>>,
    pub(crate) models: HashMap<ModelId, Vec<Arc<Model>>>,
    pub(crate) prompts: HashMap<String, Vec<Arc<Prompt>>>,
    pub(crate) rules: Rules,
}

impl Snapshot {
    /// Its number.
    pub const fn revision(&self) -> Revision {
        self.revision
    }
    /// Its digest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
    /// Its keys.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }
    /// The tenant.
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }
    /// All tenants.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }
    /// All versions of a model, highest first; of an alias only the one.
    pub fn versions(&self, name: &str) -> Option<&[Arc<Model>]> {
        self.models.get(name).map(Vec::as_slice)
    }
    /// All versions of a prompt, highest first.
    pub fn prompt(&self, name: &str) -> Option<&[Arc<Prompt>]> {
        self.prompts.get(name).map(Vec::as_slice)
    }
    /// All prompt versions.
    pub fn prompts(&self) -> impl Iterator<Item = &Arc<Prompt>> {
        self.prompts.values().flatten()
    }
    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// Holds the active snapshot and what is known of a rejected one.
#[derive(Debug)]
pub struct Registry {}
