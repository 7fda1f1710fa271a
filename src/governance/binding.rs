//! Which approved prompt a call uses: the one it names, or the one whose text its system message is.
//!
//! Called by `decide`, once the model is judged.

use std::borrow::Cow;
use std::sync::Arc;

use crate::call::PromptClaim;
use crate::config::policy::{PromptMode, Status};
use crate::docket::{Binding, PromptUse};
use crate::governance::Snapshot;
use crate::governance::registry::Prompt;
use crate::reason::Reason;

/// What the prompt gate says: the prompt as far as the registry knows it, and whether the call may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) prompt: Option<PromptUse>,
    pub(super) objection: Option<Reason>,
}

impl Bound {
    const fn none() -> Self {
        Self { prompt: None, objection: None }
    }

    const fn refused(reason: Reason) -> Self {
        Self { prompt: None, objection: Some(reason) }
    }

    fn to(prompt: &Prompt, binding: Binding) -> Self {
        let used = PromptUse { id: prompt.file.prompt.clone(), version: prompt.file.version, binding };
        Self { prompt: Some(used), objection: None }
    }

    fn but(self, reason: Reason) -> Self {
        Self { objection: Some(reason), ..self }
    }
}

/// Binds a call to a prompt. `system` is asked only where the mode compares texts: it may have to be put together.
pub(super) fn bind<'a>(
    snapshot: &Snapshot,
    mode: PromptMode,
    claim: Option<&PromptClaim>,
    system: impl FnOnce() -> Option<Cow<'a, str>>,
) -> Bound {
    match (claim, mode) {
        (Some(claim), _) => match named(snapshot, claim) {
            Ok(prompt) => declared(prompt, mode, system),
            Err(bound) => bound,
        },
        (None, PromptMode::Off) => Bound::none(),
        (None, PromptMode::Optional) => recognised(snapshot, system).unwrap_or(Bound::none()),
        (None, PromptMode::Required) => recognised(snapshot, system).unwrap_or(Bound::refused(Reason::PromptRequired)),
    }
}

/// The approved version that a claim names: that very one, or without a version the highest approved.
fn named<'a>(snapshot: &'a Snapshot, claim: &PromptClaim) -> Result<&'a Arc<Prompt>, Bound> {
    let versions = snapshot.prompt(&claim.name).unwrap_or_default();
    let is_approved = |prompt: &&Arc<Prompt>| prompt.file.status == Status::Approved;
    let of_claim = match claim.version {
        Some(version) => versions.iter().find(|prompt| prompt.file.version == version),
        None => versions.iter().find(is_approved).or(versions.first()),
    };
    match of_claim {
        None => Err(Bound::refused(Reason::PromptUnknown)),
        Some(prompt) if is_approved(&prompt) => Ok(prompt),
        Some(prompt) => Err(Bound::to(prompt, Binding::Declared).but(Reason::PromptNotApproved)),
    }
}

/// A prompt that the call names, held against its system message where the mode asks for it.
fn declared<'a>(prompt: &Prompt, mode: PromptMode, system: impl FnOnce() -> Option<Cow<'a, str>>) -> Bound {
    let bound = Bound::to(prompt, Binding::Declared);
    if mode == PromptMode::Off {
        return bound;
    }
    match (system(), mode) {
        (Some(text), _) if prompt.template.matches(&text) => Bound::to(prompt, Binding::Matched),
        (Some(_), _) => bound.but(Reason::PromptNotApproved),
        (None, PromptMode::Required) => bound.but(Reason::PromptRequired),
        (None, PromptMode::Optional | PromptMode::Off) => bound,
    }
}

/// The approved prompt whose text the system message is. Of several the most specific: the one with the most fixed
/// text, then the first name, then the highest version. Most templates are out after their first literal bytes.
fn recognised<'a>(snapshot: &Snapshot, system: impl FnOnce() -> Option<Cow<'a, str>>) -> Option<Bound> {
    let text = system()?;
    let best = snapshot
        .prompts()
        .filter(|prompt| prompt.file.status == Status::Approved && prompt.template.matches(&text))
        .max_by(|a, b| {
            let specific = a.template.fixed_bytes().cmp(&b.template.fixed_bytes());
            specific.then_with(|| b.file.prompt.cmp(&a.file.prompt)).then_with(|| a.file.version.cmp(&b.file.version))
        })?;
    Some(Bound::to(best, Binding::Matched))
}
