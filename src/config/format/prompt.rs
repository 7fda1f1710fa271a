//! `prompts/<prompt>/<version>.yaml`: one prompt version a file, immutable once loaded.

use schemars::JsonSchema;
use serde::Deserialize;

use super::model::ApprovalWritten;
use crate::config::de::Placed;
use crate::config::node::Place;
use crate::config::policy::{PromptFile, Status};
use crate::config::reading::Reading;
use crate::config::text::Line;
use crate::id::PromptId;

/// A prompt version. The file stands at `prompts/<prompt>/<version>.yaml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis prompt version", extend("x-not-enforced-yet" = ["registered_by", "submitted_by"]))]
pub(super) struct Written {
    /// The prompt's name.
    prompt: Placed<PromptId>,
    /// Its version, counted up by one.
    #[schemars(range(min = 1))]
    version: Placed<u32>,
    /// Where it stands in its life. Only `approved` may be used.
    status: Status,
    /// Who wrote it.
    author: Line,
    /// Why this version exists.
    #[schemars(length(min = 1))]
    change_reason: String,
    /// The text, with `{{name}}` where a value goes.
    #[schemars(length(min = 1))]
    template: Placed<String>,
    /// Who approved it, when and why.
    approval: Option<ApprovalWritten>,
}

super::format!(Written);

/// A prompt file and the places that checks across files point at.
#[derive(Debug)]
pub struct Prompt {
    /// What it says.
    pub file: PromptFile,
    /// Where the prompt's name stands.
    pub prompt_at: Place,
    /// Where the version stands.
    pub version_at: Place,
    /// Where the template stands.
    pub template_at: Place,
}

/// Reads a prompt file; what is wrong with it is noted in `reading`.
#[must_use]
pub fn read(reading: &mut Reading) -> Option<Prompt> {
    let written: Written = super::written(reading)?;
    Some(Prompt {
        prompt_at: written.prompt.place,
        version_at: written.version.place,
        template_at: written.template.place,
        file: PromptFile {
            prompt: written.prompt.value,
            version: written.version.value,
            status: written.status,
            author: written.author.0,
            change_reason: written.change_reason,
            template: written.template.value,
            approval: written.approval.and_then(|approval| approval.checked(reading)),
        },
    })
}
