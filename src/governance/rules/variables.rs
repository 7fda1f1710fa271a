//! What a rule can ask about: the one table of variables, with their types, their words and what they mean.
//!
//! `check` looks names up here, `facts` gives the values, and the table in `docs/rules.md` is written from it.

use crate::config::policy::{RiskLevel, Status};

/// A value's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Text,
    /// A list of texts.
    Texts,
    /// Whatever the client declared; known only when a call is judged.
    Declared,
}

impl Type {
    /// As the reference names it.
    fn bare(self) -> &'static str {
        self.as_str().split_once(' ').map_or("", |(_article, name)| name)
    }

    /// As messages name it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::Text => "a string",
            Self::Texts => "a list of strings",
            Self::Declared => "a declared value",
        }
    }
}

/// Every variable with a fixed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    TenantId,
    TenantOrganization,
    TenantEnvironment,
    PrincipalKey,
    PrincipalRoles,
    ModelName,
    ModelVersion,
    ModelStatus,
    ModelRiskLevel,
    ModelExternal,
    ModelUpstream,
    PromptId,
    PromptVersion,
    PromptBinding,
    RequestOperation,
    RequestDialect,
    RequestStream,
    RequestMaxTokens,
    RiskScore,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) variable: Variable,
    pub(super) path: &'static str,
    pub(super) of: Type,
    /// All values it can have, where they are few: a literal outside of them is a fault, because it can never be equal.
    pub(super) words: &'static [&'static str],
    pub(super) meaning: &'static str,
}

const STATUSES: &[&str] = &[
    Status::Draft.as_str(),
    Status::Pending.as_str(),
    Status::Approved.as_str(),
    Status::Rejected.as_str(),
    Status::Revoked.as_str(),
    Status::Retired.as_str(),
];
const RISK_LEVELS: &[&str] = &[
    RiskLevel::Unclassified.as_str(),
    RiskLevel::Minimal.as_str(),
    RiskLevel::Limited.as_str(),
    RiskLevel::High.as_str(),
    RiskLevel::Unacceptable.as_str(),
];
const ROLES: &[&str] = &["admin", "analyst", "approver", "viewer", "auditor", "model_owner", "client"];
const BINDINGS: &[&str] = &["", "declared", "matched"];

/// The table.
pub(super) const TABLE: &[Line] = &[
    line(Variable::TenantId, "tenant.id", Type::Text, &[], "the tenant whose key was shown"),
    line(
        Variable::TenantOrganization,
        "tenant.organization",
        Type::Text,
        &[],
        "its organization; `\"\"` when it has none",
    ),
    line(
        Variable::TenantEnvironment,
        "tenant.environment",
        Type::Text,
        &[],
        "where it runs; `\"\"` when its file does not say",
    ),
    line(Variable::PrincipalKey, "principal.key", Type::Text, &[], "the public part of the gate key"),
    line(Variable::PrincipalRoles, "principal.roles", Type::Texts, ROLES, "the key's roles, to be asked with `in`"),
    line(Variable::ModelName, "model.name", Type::Text, &[], "the model as the registry names it, aliases resolved"),
    line(Variable::ModelVersion, "model.version", Type::Text, &[], "the version that is used"),
    line(
        Variable::ModelStatus,
        "model.status",
        Type::Text,
        STATUSES,
        "its status (`\"approved\"` for every call that gets this far)",
    ),
    line(Variable::ModelRiskLevel, "model.risk_level", Type::Text, RISK_LEVELS, "its risk level"),
    line(Variable::ModelExternal, "model.external", Type::Bool, &[], "whether it runs outside the organization"),
    line(Variable::ModelUpstream, "model.upstream", Type::Text, &[], "the upstream that serves it"),
    line(Variable::PromptId, "prompt.id", Type::Text, &[], "the prompt; `\"\"` when the call uses none"),
    line(Variable::PromptVersion, "prompt.version", Type::Int, &[], "its version; 0 when the call uses none"),
    line(
        Variable::PromptBinding,
        "prompt.binding",
        Type::Text,
        BINDINGS,
        "whether the client named it or its text was recognised, `\"\"` when the call uses none",
    ),
    line(
        Variable::RequestOperation,
        "request.operation",
        Type::Text,
        &[],
        "`\"chat\"`, `\"completions\"`, `\"responses\"`, `\"embeddings\"`, `\"images\"`, `\"audio\"`, `\"moderations\"`, `\"files\"`, `\"batches\"`, `\"rerank\"`, `\"count_tokens\"`",
    ),
    line(
        Variable::RequestDialect,
        "request.dialect",
        Type::Text,
        &[],
        "`\"openai\"`, `\"anthropic\"`, `\"gemini\"`, `\"azure\"`, `\"bedrock\"`, `\"cohere\"`, `\"ollama\"`, `\"own\"`",
    ),
    line(Variable::RequestStream, "request.stream", Type::Bool, &[], "whether a stream is asked for"),
    line(
        Variable::RequestMaxTokens,
        "request.max_tokens",
        Type::Int,
        &[],
        "the most output tokens the call can have: its own bound, else that of the model's record, else the largest number; 0 where there is no output",
    ),
    line(Variable::RiskScore, "risk.score", Type::Int, &[], "the risk score, 0 to 100"),
];

/// What stands in the table besides: `(how it is written, its type, its meaning)`.
pub(super) const FORMS: &[(&str, Type, &str)] = &[
    (
        "risk.count(\"NAME\")",
        Type::Int,
        "how many findings of this type or class there are: `CREDIT_CARD`, `personal_data`; a name that this build does not detect is a fault",
    ),
    (
        "metadata.NAME, metadata[\"NAME\"]",
        Type::Declared,
        "a fact of `x-portcullis-metadata`: bool, int, string or list of strings; an error when it is not declared or of another type than it is compared with",
    ),
    ("has(NAME)", Type::Bool, "whether a variable or `metadata.NAME` is there at all"),
];

const fn line(
    variable: Variable,
    path: &'static str,
    of: Type,
    words: &'static [&'static str],
    meaning: &'static str,
) -> Line {
    Line { variable, path, of, words, meaning }
}

impl Variable {
    /// Whether it is known only after scoring.
    pub(super) fn needs_risk(self) -> bool {
        self == Self::RiskScore
    }
}

/// The table as `docs/rules.md` shows it, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut rows = vec!["| name | type | meaning |\n|---|---|---|\n".to_owned()];
    for line in TABLE {
        let words: Vec<String> =
            line.words.iter().filter(|word| !word.is_empty()).map(|word| format!("`\"{word}\"`")).collect();
        let words = if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) };
        rows.push(format!("| `{}` | {} | {}{words} |\n", line.path, line.of.bare(), line.meaning));
    }
    rows.extend(FORMS.iter().map(|(form, of, meaning)| format!("| `{form}` | {} | {meaning} |\n", of.as_str())));
    rows.concat()
}

/// The variable that is written so.
pub(super) fn find(path: &str) -> Option<&'static Line> {
    TABLE.iter().find(|line| line.path == path)
}

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn every_name_stands_once() {
        for (i, a) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(i + 1).all(|b| a.path != b.path && a.variable != b.variable), "{}", a.path);
        }
    }
}
