//! The policy decision point: may this tenant use this model, with this prompt, under these rules?
//!
//! Asks one registry [`Snapshot`] that does not change while a call is judged.

pub mod registry;
pub mod rules;

pub use registry::{Model, Registry, Snapshot, Tenant};

use std::sync::Arc;

use bytes::Bytes;

use crate::call::Call;
use crate::docket::{Refuses, Stopped};
use crate::reason::Reason;

/// Evidence that the registry, the prompts and the rules let a call pass, under one snapshot.
#[derive(Debug)]
pub struct Permit {
    call: Call,
    snapshot: Arc<Snapshot>,
    tenant: Arc<Tenant>,
    model: Arc<Model>,
    body: Bytes,
}

impl Permit {
    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &crate::docket::Docket {
        self.call.docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut crate::docket::Docket {
        self.call.docket_mut()
    }

    /// What is asked.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The model's record.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tenant's policy.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Asks the rules that need risk figures.
    ///
    /// # Errors
    /// [`Denial`] with the first rule's objection.
    pub fn judge_risk(&mut self, _score: u8, _counts: &dyn Fn(&str) -> u64) -> Result<(), Denial> {
        todo!()
    }

    /// Ends the case here and gives its file back.
    #[must_use]
    pub fn into_docket(self) -> Box<crate::docket::Docket> {
        todo!()
    }
}

/// Why the gate denies a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.code())]
pub struct Denial(Reason);

impl Refuses for Denial {
    fn reason(&self) -> Reason {
        self.0
    }
}

/// Asks the snapshot about a call: model known, permitted, approved, allowed for the operation and environment;
/// prompt; rules that need no risk figures. Writes a verdict for each check into the docket.
///
/// # Errors
/// [`Denial`] with the first objection, in that order.
pub fn decide(_snapshot: &Arc<Snapshot>, _call: Call) -> Result<Permit, Stopped<Denial>> {
    todo!()
}
