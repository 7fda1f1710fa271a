//! `rules/*.yaml`: governance rules. The expressions are source text here; `governance::rules` compiles them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::de::Placed;
use crate::config::node::Place;
use crate::config::policy::{RuleAction, RuleEntry, RuleScope};
use crate::config::reading::Reading;
use crate::config::text::NameOrAll;
use crate::id::RuleId;

/// Governance rules. All that are in scope are asked; the strictest that applies decides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis governance rules")]
pub(super) struct Written {
    /// The rules.
    rules: Vec<RuleWritten>,
}

super::format!(Written);

/// One rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule", extend("x-not-enforced-yet" = ["builtin"]))]
struct RuleWritten {
    /// Its name, as records show it.
    name: Placed<RuleId>,
    /// What an auditor reads.
    description: Option<String>,
    /// Whether it is switched on; true unless named.
    active: Option<bool>,
    /// Whom it applies to; everybody unless named.
    #[serde(default)]
    scope: ScopeWritten,
    /// A CEL expression; the rule applies when it is true.
    #[schemars(length(min = 1, max = 4096))]
    when: Placed<String>,
    /// What happens when it applies.
    then: ActionWord,
    /// Why, for the record.
    reason: Option<String>,
}

/// Whom a rule applies to. What is not named, or `*`, is everybody.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Scope")]
struct ScopeWritten {
    /// Organizations.
    #[serde(default)]
    organizations: Vec<NameOrAll>,
    /// Environments.
    #[serde(default)]
    environments: Vec<NameOrAll>,
    /// Tenants.
    #[serde(default)]
    tenants: Vec<NameOrAll>,
    /// Models.
    #[serde(default)]
    models: Vec<NameOrAll>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-not-enforced-yet" = ["redact"]))]
enum ActionWord {
    /// Lets it pass. It only documents that somebody thought of the case: no rule outvotes a stricter one.
    Allow,
    /// Lets it pass and says so.
    Flag,
    /// Holds for a human.
    RequireApproval,
    /// Refuses.
    Block,
}

impl From<ActionWord> for RuleAction {
    fn from(word: ActionWord) -> Self {
        match word {
            ActionWord::Allow => Self::Allow,
            ActionWord::Flag => Self::Flag,
            ActionWord::RequireApproval => Self::RequireApproval,
            ActionWord::Block => Self::Block,
        }
    }
}

/// A rule and the places that later checks point at.
#[derive(Debug)]
pub struct Rule {
    /// What it says.
    pub entry: RuleEntry,
    /// Where its name stands.
    pub name_at: Place,
    /// Where its expression stands.
    pub when_at: Place,
}

/// Reads a rule file; what is wrong with it is noted in `reading`.
#[must_use]
pub fn read(reading: &mut Reading) -> Option<Vec<Rule>> {
    let written: Written = super::written(reading)?;
    Some(written.rules.into_iter().map(RuleWritten::checked).collect())
}

impl RuleWritten {
    fn checked(self) -> Rule {
        let (name_at, when_at) = (self.name.place, self.when.place);
        let entry = RuleEntry {
            name: self.name.value,
            description: self.description,
            active: self.active.unwrap_or(true),
            scope: self.scope.checked(),
            when: self.when.value,
            then: self.then.into(),
            reason: self.reason,
        };
        Rule { entry, name_at, when_at }
    }
}

impl ScopeWritten {
    fn checked(self) -> RuleScope {
        RuleScope {
            organizations: names(self.organizations),
            environments: names(self.environments),
            tenants: names(self.tenants),
            models: names(self.models),
        }
    }
}

pub(super) fn names(words: Vec<NameOrAll>) -> BTreeSet<String> {
    words.into_iter().map(|word| word.0).collect()
}
