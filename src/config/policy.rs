//! The checked contents of the policy files, one type a format. Raw shapes and parsing lie beside.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::remote::RemotePlace;
use crate::docket::Role;
use crate::id::{
    Digest, Environment, KeyId, ModelId, ModelVersion, OrganizationId, PersonId, ProfileId, PromptId, RuleId, TenantId,
    UpstreamId,
};
use crate::speech::Operation;

/// Where a model or prompt version stands in its life. Only `Approved` is ever forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = super::schema::also_imported_words)]
pub enum Status {
    /// Being written.
    Draft,
    /// Submitted for approval.
    #[serde(alias = "under_review", alias = "PENDING")]
    Pending,
    /// May be used.
    Approved,
    /// Refused; final for those bytes.
    Rejected,
    /// Was approved, may not be used any more.
    Revoked,
    /// Out of service.
    Retired,
}

impl Status {
    /// The word in files, records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

/// Risk level in the words of the EU AI Act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Nobody said.
    Unclassified,
    /// Minimal.
    Minimal,
    /// Limited.
    Limited,
    /// High.
    High,
    /// Prohibited: never forwarded, whatever the status.
    Unacceptable,
}

impl RiskLevel {
    /// The word in files, records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unclassified => "unclassified",
            Self::Minimal => "minimal",
            Self::Limited => "limited",
            Self::High => "high",
            Self::Unacceptable => "unacceptable",
        }
    }
}

/// A decision by a person, as the file claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who decided.
    pub by: PersonId,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// What a model costs, in units of `currency` per million tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// ISO 4217 code.
    pub currency: String,
    /// Per million input tokens.
    pub input_per_million: Decimal,
    /// Per million output tokens.
    pub output_per_million: Decimal,
}

/// One measured quality of a model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// What was measured.
    pub name: String,
    /// The figure, as written.
    pub value: String,
    /// When, as written (`YYYY-MM-DD` or RFC 3339).
    pub at: String,
    /// Digest of the evidence, as written.
    pub evidence: Option<String>,
}

/// `models/*.yaml`: one model version, and the only way to an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// What clients send.
    pub model: ModelId,
    /// Its version.
    pub version: ModelVersion,
    /// The upstream that serves it.
    pub upstream: UpstreamId,
    /// The model string sent upstream instead of `model`.
    pub upstream_model: Option<String>,
    /// Other names for this version.
    pub aliases: Vec<ModelId>,
    /// What it may be used for; `None` means all that the gate reads.
    pub operations: Option<BTreeSet<Operation>>,
    /// Its status.
    pub status: Status,
    /// Its risk level.
    pub risk_level: RiskLevel,
    /// Whether it runs outside the organization.
    pub external: bool,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What is reserved when a call names no maximum, in tokens.
    pub max_output_tokens: Option<u64>,
    /// Where it may be used; `None` means everywhere.
    pub environments: Option<BTreeSet<Environment>>,
    /// Its price.
    pub price: Option<Price>,
    /// Its evaluations.
    pub evaluations: Vec<Evaluation>,
    /// The approval that the file claims.
    pub approval: Option<Approval>,
    /// Free text for the record and the report, by field name (description, domain, intended_purpose …).
    pub notes: BTreeMap<String, String>,
}

/// `prompts/<prompt>/<version>.yaml`: one prompt version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptFile {
    /// The prompt.
    pub prompt: PromptId,
    /// Its version, counted up by one.
    pub version: u32,
    /// Its status.
    pub status: Status,
    /// Who wrote it.
    pub author: String,
    /// Why this version exists.
    pub change_reason: String,
    /// The text, with `{{name}}` where a value goes.
    pub template: String,
    /// The approval that the file claims.
    pub approval: Option<Approval>,
}

/// How a rate is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Generic cell rate algorithm: refills evenly, `burst` at once.
    Gcra,
    /// Never more than `rate` in any window.
    SlidingWindow,
}

/// So many per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many in a minute.
    pub per_minute: NonZeroU32,
    /// How many at once (gcra only; equal to `per_minute` unless named).
    pub burst: NonZeroU32,
    /// How it is counted.
    pub algorithm: Algorithm,
}

impl Rate {
    /// The window of every rate of this build.
    pub const WINDOW: Duration = Duration::from_mins(1);
}

/// A tenant's limits, organization defaults merged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Requests; absent in the file means 100 a minute.
    pub requests: Rate,
    /// Tokens, input and output together; absent means unlimited.
    pub tokens: Option<Rate>,
    /// Calls in flight; absent means unlimited.
    pub concurrent: Option<NonZeroU32>,
}

/// Whether a tenant's calls need an approved prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptMode {
    /// A declared prompt is refused or passed by the registry; nothing is matched.
    Off,
    /// A prompt may be named and then is checked.
    #[default]
    Optional,
    /// Only calls whose system message is an approved template.
    Required,
}

/// A gate key's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// The public part.
    pub id: KeyId,
    /// SHA-256 of the whole key string.
    pub hash: Digest,
    /// What it may do.
    pub roles: Vec<Role>,
    /// From when on it is not good any more (start of that day, UTC, where only a date is given).
    pub expires: Option<DateTime<Utc>>,
    /// Switched off by hand.
    pub disabled: bool,
}

/// What a finding type or class calls for, whatever the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskAction {
    /// Let it pass, whatever the score says about this type: it adds nothing.
    Allow,
    /// Let it pass and say so.
    Flag,
    /// Hold for a human.
    RequireApproval,
    /// Refuse.
    Block,
}

/// Whether a risk verdict binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskMode {
    /// It refuses.
    #[default]
    Enforce,
    /// It is recorded as a flag, and the call goes on.
    Monitor,
}

/// A complete risk profile: what the scoring of a call goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub profile: ProfileId,
    /// Points per class (`personal_data`, `contact_data`, `external_model`, `credential`, `prompt_injection`), each 0–100.
    pub weights: BTreeMap<String, u8>,
    /// Score from which a call is refused (101 = never).
    pub block_at: u8,
    /// Score from which a call is held for approval (101 = never).
    pub approve_at: u8,
    /// Whether it binds.
    pub mode: RiskMode,
    /// Per finding type or class; beats the score.
    pub actions: BTreeMap<String, RiskAction>,
}

/// A tenant's own risk settings over its profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RiskOverride {
    /// Which profile; `default` unless named.
    pub profile: Option<ProfileId>,
    /// Overrides the profile's.
    pub block_at: Option<u8>,
    /// Overrides the profile's.
    pub approve_at: Option<u8>,
    /// Overrides the profile's.
    pub mode: Option<RiskMode>,
    /// Adds to and overrides the profile's.
    pub weights: BTreeMap<String, u8>,
    /// Adds to and overrides the profile's.
    pub actions: BTreeMap<String, RiskAction>,
}

/// A tenant's or organization's limits as written: what is absent falls to the level below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitsOverride {
    /// Requests a minute.
    pub requests: Option<Rate>,
    /// Tokens a minute.
    pub tokens: Option<Rate>,
    /// Calls in flight.
    pub concurrent: Option<NonZeroU32>,
}

/// `tenants/*.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantFile {
    /// The tenant.
    pub tenant: TenantId,
    /// Its organization.
    pub organization: Option<OrganizationId>,
    /// Where it runs.
    pub environment: Option<Environment>,
    /// Its gate keys.
    pub keys: Vec<KeyEntry>,
    /// The models it may use; none unless named.
    pub models: Vec<ModelId>,
    /// Whether it needs prompts.
    pub prompts: PromptMode,
    /// Its limits.
    pub limits: LimitsOverride,
    /// Its risk settings.
    pub risk: RiskOverride,
    /// The upstreams whose credential is this tenant's alone, so that what they store is its own.
    pub exclusive_upstreams: BTreeSet<UpstreamId>,
    /// Where its calls may have an upstream fetch from; the organization's list where it has none.
    pub remote_fetch: Option<Vec<RemotePlace>>,
}

/// `organizations/*.yaml`: defaults for the tenants of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationFile {
    /// The organization.
    pub organization: OrganizationId,
    /// Default limits.
    pub limits: LimitsOverride,
    /// Default risk settings.
    pub risk: RiskOverride,
    /// Where calls may have an upstream fetch from.
    pub remote_fetch: Option<Vec<RemotePlace>>,
}

/// What a rule does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Lets it pass. It only documents that somebody thought of the case: no rule outvotes a stricter one.
    Allow,
    /// Lets it pass and says so.
    Flag,
    /// Holds for a human.
    RequireApproval,
    /// Refuses.
    Block,
}

/// Whom a rule applies to; an empty set or `*` means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleScope {
    /// Organizations.
    pub organizations: BTreeSet<String>,
    /// Environments.
    pub environments: BTreeSet<String>,
    /// Tenants.
    pub tenants: BTreeSet<String>,
    /// Models.
    pub models: BTreeSet<String>,
}

/// One rule of `rules/*.yaml`. `when` is source text here; `governance::rules` compiles it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleEntry {
    /// Its name.
    pub name: RuleId,
    /// What an auditor reads.
    pub description: Option<String>,
    /// Switched on.
    pub active: bool,
    /// Whom it applies to.
    pub scope: RuleScope,
    /// The CEL expression.
    pub when: String,
    /// What happens when it is true.
    pub then: RuleAction,
    /// Why, for the record.
    pub reason: Option<String>,
}

/// One person of `people.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: PersonId,
    /// What the person may do.
    pub roles: Vec<Role>,
    /// Whose things the person sees; `*` or empty means all.
    pub tenants: BTreeSet<String>,
    /// SHA-256 of the bearer token.
    pub token: Option<Digest>,
}
