//! The policy decision point: may this tenant use this model, with this prompt, under these rules?
//!
//! Asks one registry [`Snapshot`] that does not change while a call is judged.

pub mod prompts;
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
