//! The policy decision point: may this tenant use this model, with this prompt, under these rules?
//!
//! Asks one registry [`Snapshot`] that does not change while a call is judged. [`decide()`] knows the order, `models` which
//! version a name leads to, `binding` and [`prompts`] which prompt a call uses, [`rules`] what policy says besides.

mod binding;
mod decide;
#[cfg(test)]
pub(crate) mod for_tests;
mod models;
pub mod prompts;
mod references;
pub mod registry;
pub mod rules;
mod vertex;

pub(crate) use decide::resource;

pub use decide::{Described, check_rules, decide};
pub use models::{check_model, usable_models};
pub use registry::{Model, Prompt, Registry, Snapshot, Tenant};
pub use vertex::Places;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::call::{Call, Item};
use crate::docket::{Docket, PromptUse, Refuses};
use crate::reason::Reason;

/// Evidence that the registry, the prompts and the rules let a call pass, under one snapshot.
#[derive(Debug)]
pub struct Permit {
    call: Box<Call>,
    snapshot: Arc<Snapshot>,
    tenant: Arc<Tenant>,
    model: Arc<Model>,
    prompt: Option<PromptUse>,
    /// For each line of a batch; none where it is no batch.
    lines: Vec<LinePermit>,
    body: Bytes,
    target: Cow<'static, str>,
}

/// What a line of a batch may use.
#[derive(Debug)]
struct LinePermit {
    model: Arc<Model>,
    prompt: Option<PromptUse>,
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

impl Permit {
    /// What was asked.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// What is asked for and the approved record that serves it: the call, or each line of a batch.
    pub fn items(&self) -> impl Iterator<Item = (Item<'_>, &Arc<Model>)> {
        let models = self.lines.iter().map(|line| &line.model).chain(self.lines.is_empty().then_some(&self.model));
        self.call.items().zip(models)
    }

    /// The item of this index, from 0, and its record.
    #[must_use]
    pub fn item(&self, index: usize) -> Option<(Item<'_>, &Arc<Model>)> {
        Some((self.call.item(index)?, self.lines.get(index).map_or(&self.model, |line| &line.model)))
    }

    /// The approved record that serves the call; of a batch, its first line.
    #[must_use]
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Whose policy let it pass.
    #[must_use]
    pub const fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// The bytes that may be sent: the body as judged, with the model's name as its record says.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Path and query to ask the upstream for, with the model's name as its record says.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        self.call.docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        self.call.docket_mut()
    }

    /// Ends the case here and gives its file back.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.call.into_docket()
    }
}
