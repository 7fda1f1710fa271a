//! The registry.

use std::sync::Arc;

/// One model version of the registry.
#[derive(Debug)]
pub struct Model {
    /// What its file says.
    pub file: crate::config::policy::ModelFile,
}

/// One tenant, its organization's defaults merged in.
#[derive(Debug)]
pub struct Tenant {
    /// What its file says.
    pub file: crate::config::policy::TenantFile,
    /// Its limits in force.
    pub limits: crate::config::policy::Limits,
    /// Its risk profile in force.
    pub profile: Arc<crate::config::policy::Profile>,
}

/// All policy files as one whole, checked.
#[derive(Debug)]
pub struct Snapshot {}

/// Holds the active snapshot and what is known of a rejected one.
#[derive(Debug)]
pub struct Registry {}
