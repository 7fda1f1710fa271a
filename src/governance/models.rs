//! Which version of a model a tenant may use: the one way from a name to an approved record.
//!
//! `decide` asks for calls, `GET /v1/models` and `POST /v1/check` through [`usable_models`] and [`check_model`]; all of
//! them get the same answer.

use std::sync::Arc;

use crate::config::policy::{RiskLevel, Status};
use crate::governance::{Model, Snapshot, Tenant};
use crate::id::ModelId;
use crate::reason::Reason;

/// Why a name leads to no usable record, and which record stands for it in the decision record.
#[derive(Debug)]
pub(super) struct Unusable<'a> {
    pub(super) reason: Reason,
    pub(super) seen: Option<&'a Arc<Model>>,
}

/// The version that a call by `name` uses: of the model's versions (of an alias, the one version that has it) the
/// highest that is approved and may be used in the tenant's environment. The first objection is answered: unknown, not
/// permitted for the tenant, not permitted in its environment, not approved. A model of unacceptable risk is never
/// approved, whatever its status.
pub(super) fn usable<'a>(snapshot: &'a Snapshot, tenant: &Tenant, name: &str) -> Result<&'a Arc<Model>, Unusable<'a>> {
    let versions = snapshot.versions(name).unwrap_or_default();
    let Some(highest) = versions.first() else {
        return Err(Unusable { reason: Reason::ModelUnknown, seen: None });
    };
    if !tenant.models.contains(&highest.file.model) {
        return Err(Unusable { reason: Reason::ModelNotPermitted, seen: Some(highest) });
    }
    let mut here = versions.iter().filter(|model| serves(model, tenant)).peekable();
    let Some(highest_here) = here.peek().copied() else {
        return Err(Unusable { reason: Reason::ModelNotPermitted, seen: Some(highest) });
    };
    here.find(|model| is_approved(model)).ok_or(Unusable { reason: Reason::ModelNotApproved, seen: Some(highest_here) })
}

/// The models that the tenant may use now, by name.
#[must_use]
pub fn usable_models<'a>(snapshot: &Snapshot, tenant: &'a Tenant) -> Vec<&'a ModelId> {
    let mut names: Vec<&ModelId> =
        tenant.models.iter().filter(|name| usable(snapshot, tenant, name.as_str()).is_ok()).collect();
    names.sort_unstable();
    names
}

/// The version that a call of the tenant by this name would use.
///
/// # Errors
/// The reason for which such a call is refused: `model_unknown`, `model_not_permitted` or `model_not_approved`.
pub fn check_model(snapshot: &Snapshot, tenant: &Tenant, name: &str) -> Result<Arc<Model>, Reason> {
    usable(snapshot, tenant, name).map(Arc::clone).map_err(|unusable| unusable.reason)
}

fn serves(model: &Model, tenant: &Tenant) -> bool {
    match (&model.file.environments, &tenant.file.environment) {
        (None, _) => true,
        (Some(environments), Some(environment)) => environments.contains(environment),
        // Nobody said where this tenant runs, so it is nowhere that a record could name.
        (Some(_), None) => false,
    }
}

fn is_approved(model: &Model) -> bool {
    model.file.status == Status::Approved && model.file.risk_level != RiskLevel::Unacceptable
}
