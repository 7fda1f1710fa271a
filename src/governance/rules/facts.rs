//! What a rule sees of one call: plain borrowed values, gathered by `decide` and, for scores, by the risk stage.

use crate::call::{Fact, Metadata};
use crate::config::policy::ModelFile;
use crate::docket::{Binding, PromptUse, Role};
use crate::governance::rules::program::{Trouble, Value};
use crate::governance::rules::variables::Variable;

/// The facts of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) organization: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) key: &'a str,
    pub(crate) roles: &'a [Role],
    pub(crate) model: &'a ModelFile,
    pub(crate) prompt: Option<&'a PromptUse>,
    pub(crate) operation: &'a str,
    pub(crate) dialect: &'a str,
    pub(crate) stream: bool,
    pub(crate) max_tokens: MaxTokens,
    pub(crate) metadata: &'a Metadata,
    pub(crate) risk: Option<Risk<'a>>,
}

/// The output bound of a call, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxTokens {
    /// The call has no output to bound.
    NoOutput,
    /// The call names it.
    Named(u64),
    /// The call does not name it; the model's record may.
    Unnamed(Option<u64>),
}

impl MaxTokens {
    fn most(self) -> i64 {
        let most = match self {
            Self::NoOutput => 0,
            Self::Named(n) | Self::Unnamed(Some(n)) => n,
            Self::Unnamed(None) => u64::MAX,
        };
        i64::try_from(most).unwrap_or(i64::MAX)
    }
}

/// What the risk stage found.
#[derive(Clone, Copy)]
pub(crate) struct Risk<'a> {
    pub(crate) score: u8,
    pub(crate) counts: &'a dyn Fn(&str) -> u64,
}

impl std::fmt::Debug for Risk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Risk").field("score", &self.score).finish_non_exhaustive()
    }
}

impl<'a> Facts<'a> {
    pub(super) fn value(&self, variable: Variable) -> Result<Value<'a>, Trouble> {
        Ok(match variable {
            Variable::TenantId => Value::Text(self.tenant),
            Variable::TenantOrganization => Value::Text(self.organization.unwrap_or_default()),
            Variable::TenantEnvironment => Value::Text(self.environment.unwrap_or_default()),
            Variable::PrincipalKey => Value::Text(self.key),
            Variable::PrincipalRoles => Value::Roles(self.roles),
            Variable::ModelName => Value::Text(self.model.model.as_str()),
            Variable::ModelVersion => Value::Text(self.model.version.as_str()),
            Variable::ModelStatus => Value::Text(self.model.status.as_str()),
            Variable::ModelRiskLevel => Value::Text(self.model.risk_level.as_str()),
            Variable::ModelExternal => Value::Bool(self.model.external),
            Variable::ModelUpstream => Value::Text(self.model.upstream.as_str()),
            Variable::PromptId => Value::Text(self.prompt.map_or("", |prompt| prompt.id.as_str())),
            Variable::PromptVersion => Value::Int(self.prompt.map_or(0, |prompt| i64::from(prompt.version))),
            Variable::PromptBinding => Value::Text(self.prompt.map_or("", |prompt| binding_word(prompt.binding))),
            Variable::RequestOperation => Value::Text(self.operation),
            Variable::RequestDialect => Value::Text(self.dialect),
            Variable::RequestStream => Value::Bool(self.stream),
            Variable::RequestMaxTokens => Value::Int(self.max_tokens.most()),
            Variable::RiskScore => Value::Int(self.risk.map(|risk| i64::from(risk.score)).ok_or(Trouble::Absent)?),
        })
    }

    pub(super) const fn has(&self, variable: Variable) -> bool {
        match variable {
            Variable::TenantOrganization => self.organization.is_some(),
            Variable::TenantEnvironment => self.environment.is_some(),
            Variable::PromptId | Variable::PromptVersion | Variable::PromptBinding => self.prompt.is_some(),
            Variable::RequestMaxTokens => matches!(self.max_tokens, MaxTokens::Named(_)),
            Variable::RiskScore => self.risk.is_some(),
            Variable::TenantId
            | Variable::PrincipalKey
            | Variable::PrincipalRoles
            | Variable::ModelName
            | Variable::ModelVersion
            | Variable::ModelStatus
            | Variable::ModelRiskLevel
            | Variable::ModelExternal
            | Variable::ModelUpstream
            | Variable::RequestOperation
            | Variable::RequestDialect
            | Variable::RequestStream => true,
        }
    }

    pub(super) fn declared(&self, name: &str) -> Result<Value<'a>, Trouble> {
        match self.metadata.get(name) {
            Some(Fact::Bool(yes)) => Ok(Value::Bool(*yes)),
            Some(Fact::Int(n)) => Ok(Value::Int(*n)),
            Some(Fact::Text(text)) => Ok(Value::Text(text)),
            Some(Fact::List(labels)) => Ok(Value::Labels(labels)),
            None => Err(Trouble::Absent),
        }
    }

    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.metadata.get(name).is_some()
    }

    pub(super) fn count(&self, name: &str) -> Result<i64, Trouble> {
        let risk = self.risk.ok_or(Trouble::Absent)?;
        Ok(i64::try_from((risk.counts)(name)).unwrap_or(i64::MAX))
    }
}

const fn binding_word(binding: Binding) -> &'static str {
    match binding {
        Binding::Declared => "declared",
        Binding::Matched => "matched",
    }
}
