//! The docket: what is known and was judged of one request, in plain words.
//!
//! It travels inside the evidence from `Arrival` on, each stage writes its lines into it, and `audit` turns it into
//! the decision record. It is a description, never a permission: no stage reads its right to act from here. It holds
//! no content: names, counts, sizes and verdicts only.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock::Moment;
use crate::id::{
    CorrelationId, Digest, Environment, KeyId, ModelId, OrganizationId, PromptId, RequestId, Revision, TenantId,
    UpstreamId,
};
use crate::reason::Reason;
use crate::speech::{Dialect, Operation};

/// What one check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// It ran and has no objection.
    Pass,
    /// It ran, objects, and policy lets the call through all the same.
    Flag,
    /// It ran and refuses.
    Block,
    /// It had nothing to judge, or an earlier check refused first.
    #[default]
    NotApplicable,
    /// It could not run; that refuses unless config names the exception.
    Error,
}

/// A verdict for each check, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Checks {
    /// Is the credential good?
    pub identity: CheckVerdict,
    /// Could the request be read, whole and in one way?
    pub request: CheckVerdict,
    /// Is the model approved and permitted?
    pub model: CheckVerdict,
    /// Is the prompt approved?
    pub prompt: CheckVerdict,
    /// Do the rules allow it?
    pub rules: CheckVerdict,
    /// Is it within the limits?
    pub limits: CheckVerdict,
    /// Is the content's risk acceptable?
    pub risk: CheckVerdict,
    /// Is the upstream healthy?
    pub breaker: CheckVerdict,
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// Nobody the gate knows.
    Anonymous,
    /// The bearer of a gate key.
    ApiKey {
        /// The key's public part.
        id: KeyId,
        /// The key's roles.
        roles: Arc<[Role]>,
    },
}

/// What a credential may do; the cells are in the registry's role matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything on the admin plane.
    Admin,
    /// Create and view.
    Analyst,
    /// Approve and view.
    Approver,
    /// View.
    Viewer,
    /// View.
    Auditor,
    /// Create, view, register models.
    ModelOwner,
    /// The data plane only.
    Client,
}

impl Role {
    /// The word in files, records and rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Analyst => "analyst",
            Self::Approver => "approver",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::ModelOwner => "model_owner",
            Self::Client => "client",
        }
    }
}

/// How a prompt was bound to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The client named it.
    Declared,
    /// The system message is the approved template's text.
    Matched,
}

/// The prompt a call uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptUse {
    /// The prompt.
    pub id: PromptId,
    /// Its version.
    pub version: u32,
    /// How it was bound.
    pub binding: Binding,
}

/// The model record a call was judged against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Always `model` on the data plane.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The registry's name, or the client's claim in recordable form when the registry does not know it.
    pub id: String,
    /// The version, when the registry knows the model.
    pub version: Option<String>,
    /// The version's status.
    pub status: Option<&'static str>,
    /// The version's risk level.
    pub risk_level: Option<&'static str>,
}

/// What the risk stage found: counts, never text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RiskLine {
    /// 0–100.
    pub score: u8,
    /// Findings by type.
    pub findings: BTreeMap<&'static str, u32>,
    /// Why the score is what it is.
    pub reasons: Vec<&'static str>,
}

/// One request's case file.
#[derive(Debug)]
pub struct Docket {
    /// Names the request.
    pub request_id: RequestId,
    /// Joins the requests of one transaction.
    pub correlation_id: CorrelationId,
    /// The W3C trace context of the caller, when it sent a well-formed one.
    pub traceparent: Option<String>,
    /// When the request's head was read.
    pub arrived: Moment,
    /// The same on the calendar.
    pub at: DateTime<Utc>,
    /// The dialect in which refusals are written.
    pub dialect: Dialect,
    /// What is asked for, once the route is known.
    pub operation: Option<Operation>,
    /// The HTTP method.
    pub method: http::Method,
    /// The route table's own path, or `None` for a path that no route claims (a client's path is content).
    pub route: Option<&'static str>,
    /// Bytes of the request body as received.
    pub bytes_in: u64,
    /// The peer's address, to tell floods apart; it stands in no record. `None` on a Unix socket.
    pub peer: Option<std::net::IpAddr>,
    /// Who acts.
    pub actor: Actor,
    /// Whose policy governs.
    pub tenant: Option<TenantId>,
    /// The tenant's organization.
    pub organization: Option<OrganizationId>,
    /// The tenant's environment.
    pub environment: Option<Environment>,
    /// The registry snapshot that judged.
    pub registry: Option<(Revision, Digest)>,
    /// The verdicts.
    pub checks: Checks,
    /// The model as judged. `ModelId` is set only for models of the registry (safe as a metric label).
    pub model: Option<ModelId>,
    /// The record judged against.
    pub resource: Option<Resource>,
    /// The prompt.
    pub prompt: Option<PromptUse>,
    /// The rules that flagged or refused.
    pub rules: Vec<crate::id::RuleId>,
    /// The upstream that is to answer.
    pub upstream: Option<UpstreamId>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The output bound of the call, in tokens.
    pub max_tokens: Option<u64>,
    /// Tokens reserved for the call.
    pub reserved_tokens: Option<u64>,
    /// What the risk stage found.
    pub risk: RiskLine,
    /// What rules and scoring saw besides: declared metadata (booleans, labels in plain form, counts).
    pub facts: BTreeMap<&'static str, serde_json::Value>,
    /// What went wrong with the request, by place and kind, never by content.
    pub fault: Option<String>,
}

impl Docket {
    /// An empty case file for a request whose head was just read.
    #[must_use]
    pub fn open(
        request_id: RequestId,
        correlation_id: CorrelationId,
        method: http::Method,
        arrived: Moment,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            request_id,
            correlation_id,
            traceparent: None,
            arrived,
            at,
            dialect: Dialect::Own,
            operation: None,
            method,
            route: None,
            bytes_in: 0,
            peer: None,
            actor: Actor::Anonymous,
            tenant: None,
            organization: None,
            environment: None,
            registry: None,
            checks: Checks::default(),
            model: None,
            resource: None,
            prompt: None,
            rules: Vec::new(),
            upstream: None,
            stream: false,
            max_tokens: None,
            reserved_tokens: None,
            risk: RiskLine::default(),
            facts: BTreeMap::new(),
            fault: None,
        }
    }
}

/// A stage that refuses gives the docket back with its own error: the call ends here, its record does not.
#[derive(Debug)]
pub struct Stopped<E> {
    /// The case file up to here, the refusing check's verdict included.
    pub docket: Box<Docket>,
    /// The stage's own reason.
    pub why: E,
}

impl<E> Stopped<E> {
    /// Ends a call at this stage.
    #[must_use]
    pub const fn new(docket: Box<Docket>, why: E) -> Self {
        Self { docket, why }
    }

    /// The same end, in the words of the room that joins all stages' errors.
    #[must_use]
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> Stopped<F> {
        Stopped { docket: self.docket, why: f(self.why) }
    }
}

/// What every stage's error can answer.
pub trait Refuses {
    /// The stable reason code.
    fn reason(&self) -> Reason;
}
