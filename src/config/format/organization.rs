//! `organizations/*.yaml`: defaults for the tenants of an organization.

use schemars::JsonSchema;
use serde::Deserialize;

use super::limits;
use super::remote::{self, RemoteWritten};
use super::risk::{Choice, OverrideWritten};
use crate::config::de::Placed;
use crate::config::node::Place;
use crate::config::policy::OrganizationFile;
use crate::config::reading::Reading;
use crate::id::OrganizationId;

/// An organization: what its tenants get where they say nothing themselves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis organization")]
pub(super) struct Written {
    /// The organization, as tenants name it.
    organization: Placed<OrganizationId>,
    /// Default limits.
    #[serde(default)]
    limits: limits::Written,
    /// Default risk settings.
    #[serde(default)]
    risk: OverrideWritten,
    /// Places that an upstream may be asked to fetch from.
    remote_fetch: Option<Vec<Placed<RemoteWritten>>>,
}

super::format!(Written);

/// An organization file and the places that checks across files point at.
#[derive(Debug)]
pub struct Organization {
    /// What it says.
    pub file: OrganizationFile,
    /// Where the organization's name stands.
    pub organization_at: Place,
    /// Where the risk profile stands.
    pub profile_at: Option<Place>,
}

/// Reads an organization file; what is wrong with it is noted in `reading`.
#[must_use]
pub fn read(reading: &mut Reading) -> Option<Organization> {
    let written: Written = super::written(reading)?;
    let Choice { risk, profile_at } = written.risk.checked();
    Some(Organization {
        organization_at: written.organization.place,
        profile_at,
        file: OrganizationFile {
            organization: written.organization.value,
            limits: written.limits.checked(reading),
            risk,
            remote_fetch: remote::checked(written.remote_fetch, reading),
        },
    })
}
