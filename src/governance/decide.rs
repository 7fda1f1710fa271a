//! The order of the gate: tenant, model, operation, prompt, rules; the first objection denies.
//!
//! [`judge`] asks plain values and answers what was found, so that it can be tested as a table; [`decide`] gathers the
//! values from the evidence, writes the findings into the docket and makes the [`Permit`].

mod batch;

use std::borrow::Cow;
use std::sync::Arc;

use crate::call::{Call, Item, Metadata, PromptClaim};
use crate::config::policy::ModelFile;
use crate::docket::{Actor, CheckVerdict, Docket, PromptUse, Resource, Role, Stopped};
use crate::governance::binding::bind;
use crate::governance::models::usable;
use crate::governance::references;
use crate::governance::rules::{Facts, MaxTokens, Phase, Risk, Ruling};
use crate::governance::{Denial, Model, Permit, Snapshot, Tenant};
use crate::id::{Environment, OrganizationId, TenantId};
use crate::reason::Reason;
use crate::speech::{Dialect, Operation};

/// Asks the snapshot about a call: tenant and model known, model permitted and approved, operation and environment
/// allowed; prompt; rules that need no risk figures. Writes a verdict for each check into the docket. Each line of a batch
/// is asked the same.
///
/// # Errors
/// [`Denial`] with the first objection, in that order.
pub fn decide(snapshot: &Arc<Snapshot>, mut call: Box<Call>) -> Result<Permit, Stopped<Denial>> {
    if let Some(operation) = call.batch_of() {
        return batch::decide_stored(snapshot, call, operation);
    }
    if call.batch_lines().is_some() {
        return batch::decide(snapshot, call);
    }
    let mut found = Found::default();
    let outcome = Ask::of_call(&call, |ask| judge(snapshot, ask, &mut found));
    let unknown = found.model.is_none().then(|| call.model().for_record());
    found.write(snapshot, unknown, call.docket_mut());
    let denied = |call: Box<Call>, reason| Err(Stopped::new(call.into_docket(), Denial(reason)));
    if let Err(reason) = outcome {
        return denied(call, reason);
    }
    let (Some(tenant), Some(model)) = (found.tenant, found.model) else {
        return denied(call, Reason::Internal);
    };
    if let Some(at) = references::objection(&tenant, &model.file.upstream, call.needs()) {
        let docket = call.docket_mut();
        docket.checks.request = CheckVerdict::Block;
        docket.fault = Some(format!("body: reference to something stored or remote at byte {at}"));
        return denied(call, Reason::ReferenceNotPermitted);
    }
    call.docket_mut().upstream = Some(model.file.upstream.clone());
    let Some(body) = call.body_as(std::iter::once(model.sent_name())) else {
        return denied(call, Reason::Internal);
    };
    let target = call.target_for(model.sent_name());
    let (prompt, lines) = (found.prompt, Vec::new());
    Ok(Permit { call, snapshot: Arc::clone(snapshot), tenant, model, prompt, lines, body, target })
}

/// What is asked, in plain values.
#[derive(Clone, Copy)]
struct Ask<'a> {
    tenant: &'a TenantId,
    key: &'a str,
    roles: &'a [Role],
    model: &'a str,
    operation: Operation,
    dialect: Dialect,
    stream: bool,
    max_tokens: Option<u64>,
    prompt: Option<&'a PromptClaim>,
    system: &'a dyn Fn() -> Option<Cow<'a, str>>,
    metadata: &'a Metadata,
}

impl Ask<'_> {
    /// Hands the values of a call that is no batch to `judge`.
    fn of_call<T>(call: &Call, judge: impl FnOnce(&Ask<'_>) -> T) -> T {
        Self::of_item(call, call.first(), judge)
    }

    /// Hands the values of a call or of one of its lines to `judge`.
    fn of_item<T>(call: &Call, item: Item<'_>, judge: impl FnOnce(&Ask<'_>) -> T) -> T {
        let system = || item.system_text();
        judge(&Ask {
            tenant: call.tenant(),
            key: call.caller().key().as_str(),
            roles: call.caller().roles(),
            model: item.model().as_str(),
            operation: item.operation(),
            dialect: call.docket().dialect,
            stream: item.stream(),
            max_tokens: item.max_output_tokens(),
            prompt: item.prompt(),
            system: &system,
            metadata: call.metadata(),
        })
    }

    fn facts<'a>(&'a self, tenant: &'a Tenant, model: &'a ModelFile, prompt: Option<&'a PromptUse>) -> Facts<'a> {
        Facts {
            tenant: self.tenant.as_str(),
            organization: tenant.file.organization.as_ref().map(OrganizationId::as_str),
            environment: tenant.file.environment.as_ref().map(Environment::as_str),
            key: self.key,
            roles: self.roles,
            model,
            prompt,
            operation: self.operation.as_str(),
            dialect: self.dialect.as_str(),
            stream: self.stream,
            max_tokens: max_tokens(self.operation, self.max_tokens, model),
            metadata: self.metadata,
            risk: None,
        }
    }
}

fn max_tokens(operation: Operation, named: Option<u64>, model: &ModelFile) -> MaxTokens {
    if operation.writes_text() {
        named.map_or(MaxTokens::Unnamed(model.max_output_tokens), MaxTokens::Named)
    } else {
        MaxTokens::NoOutput
    }
}

/// What was found, up to the first objection.
#[derive(Debug, Default)]
struct Found {
    tenant: Option<Arc<Tenant>>,
    model: Option<Arc<Model>>,
    prompt: Option<PromptUse>,
    identity: Option<CheckVerdict>,
    model_check: CheckVerdict,
    prompt_check: CheckVerdict,
    rules: Option<Ruling>,
}

impl Found {
    fn write(&self, snapshot: &Snapshot, unknown: Option<String>, docket: &mut Docket) {
        docket.registry = Some((snapshot.revision(), snapshot.digest()));
        if let Some(tenant) = &self.tenant {
            docket.organization.clone_from(&tenant.file.organization);
            docket.environment.clone_from(&tenant.file.environment);
        }
        if let Some(verdict) = self.identity {
            docket.checks.identity = verdict;
        }
        docket.checks.model = self.model_check;
        docket.checks.prompt = self.prompt_check;
        docket.prompt.clone_from(&self.prompt);
        if let Some(model) = &self.model {
            docket.model = Some(model.file.model.clone());
            docket.resource = Some(resource(&model.file));
        } else if let Some(id) = unknown {
            docket.resource = Some(Resource { kind: "model", id, version: None, status: None, risk_level: None });
        }
        if let Some(ruling) = &self.rules {
            docket.checks.rules = ruling.verdict;
            docket.rules.extend_from_slice(&ruling.named);
        }
    }
}

/// A registry record as a decision names it.
pub(crate) fn resource(model: &ModelFile) -> Resource {
    Resource {
        kind: "model",
        id: model.model.as_str().to_owned(),
        version: Some(model.version.as_str().to_owned()),
        status: Some(model.status.as_str()),
        risk_level: Some(model.risk_level.as_str()),
    }
}

/// The gate. Every objection is written into `found` beside its check.
fn judge(snapshot: &Snapshot, ask: &Ask<'_>, found: &mut Found) -> Result<(), Reason> {
    let Some(tenant) = snapshot.tenant(ask.tenant) else {
        // The key was good a moment ago; its tenant is gone.
        found.identity = Some(CheckVerdict::Block);
        return Err(Reason::CredentialInvalid);
    };
    found.tenant = Some(Arc::clone(tenant));
    let model = judge_model(snapshot, tenant, ask, found)?;
    judge_prompt(snapshot, tenant, ask, found)?;
    let ruling = snapshot.rules().judge(Phase::Gate, &ask.facts(tenant, &model.file, found.prompt.as_ref()));
    let denial = ruling.denial;
    found.rules = Some(ruling);
    denial.map_or(Ok(()), Err)
}

fn judge_model<'a>(
    snapshot: &'a Snapshot,
    tenant: &Tenant,
    ask: &Ask<'_>,
    found: &mut Found,
) -> Result<&'a Arc<Model>, Reason> {
    found.model_check = CheckVerdict::Block;
    let model = match usable(snapshot, tenant, ask.model) {
        Ok(model) => model,
        Err(unusable) => {
            found.model = unusable.seen.map(Arc::clone);
            return Err(unusable.reason);
        }
    };
    found.model = Some(Arc::clone(model));
    if !offers(&model.file, ask.operation) {
        return Err(Reason::OperationNotPermitted);
    }
    found.model_check = CheckVerdict::Pass;
    Ok(model)
}

/// Whether the record allows the operation; counting tokens is governed as the conversation it counts.
fn offers(model: &ModelFile, operation: Operation) -> bool {
    let governed = if operation == Operation::CountTokens { Operation::Chat } else { operation };
    model.operations.as_ref().is_none_or(|allowed| allowed.contains(&governed))
}

fn judge_prompt(snapshot: &Snapshot, tenant: &Tenant, ask: &Ask<'_>, found: &mut Found) -> Result<(), Reason> {
    let bound = bind(snapshot, tenant.file.prompts, ask.prompt, ask.system);
    found.prompt_check = match (&bound.prompt, bound.objection) {
        (_, Some(_)) => CheckVerdict::Block,
        (Some(_), None) => CheckVerdict::Pass,
        (None, None) => CheckVerdict::NotApplicable,
    };
    found.prompt = bound.prompt;
    bound.objection.map_or(Ok(()), Err)
}

impl Permit {
    /// Asks the rules that need risk figures about the call or about the line of this index, and writes their verdict into
    /// the docket: `score` is 0–100, `counts` answers how many findings of a type or class there are.
    ///
    /// # Errors
    /// [`Denial`] with `rule_denied` or `approval_required`.
    pub fn judge_risk(&mut self, index: usize, score: u8, counts: &dyn Fn(&str) -> u64) -> Result<(), Denial> {
        if self.snapshot.rules().is_silent(Phase::Risk) {
            return Ok(());
        }
        let Some(item) = self.call.item(index) else { return Err(Denial(Reason::Internal)) };
        let (model, prompt) = match self.lines.get(index) {
            Some(line) => (&line.model, &line.prompt),
            None => (&self.model, &self.prompt),
        };
        let ruling = Ask::of_item(&self.call, item, |ask| {
            let facts = ask.facts(&self.tenant, &model.file, prompt.as_ref());
            self.snapshot.rules().judge(Phase::Risk, &Facts { risk: Some(Risk { score, counts }), ..facts })
        });
        let docket = self.call.docket_mut();
        docket.checks.rules = both(docket.checks.rules, ruling.verdict);
        for name in ruling.named {
            if !docket.rules.contains(&name) {
                docket.rules.push(name);
            }
        }
        ruling.denial.map_or(Ok(()), |reason| Err(Denial(reason)))
    }
}

/// A call that is only described, for `/v1/check`.
#[derive(Debug)]
pub struct Described<'a> {
    /// A label of the caller's.
    pub operation: &'a str,
    /// Declared facts.
    pub metadata: &'a Metadata,
    /// 0–100.
    pub score: u8,
    /// What the risk stage says, which comes between the two phases of the rules.
    pub risk: Option<Reason>,
}

/// Asks the rules about a described call of the docket's actor in the order in which they would be asked about the call
/// itself, and writes their verdict into the docket. Answers the first objection, the risk stage's included.
pub fn check_rules(
    snapshot: &Snapshot,
    tenant: &Tenant,
    model: &ModelFile,
    described: &Described<'_>,
    docket: &mut Docket,
) -> Option<Reason> {
    let Actor::ApiKey { id, roles } = docket.actor.clone() else { return Some(Reason::CredentialInvalid) };
    let facts = Facts {
        tenant: tenant.file.tenant.as_str(),
        organization: tenant.file.organization.as_ref().map(OrganizationId::as_str),
        environment: tenant.file.environment.as_ref().map(Environment::as_str),
        key: id.as_str(),
        roles: &roles,
        model,
        prompt: None,
        operation: described.operation,
        dialect: Dialect::Own.as_str(),
        stream: false,
        max_tokens: MaxTokens::Unnamed(model.max_output_tokens),
        metadata: described.metadata,
        risk: None,
    };
    let ruling = snapshot.rules().judge(Phase::Gate, &facts);
    docket.checks.rules = ruling.verdict;
    docket.rules.extend(ruling.named);
    if let Some(objection) = ruling.denial.or(described.risk) {
        return Some(objection);
    }
    let counts = |_: &str| 0;
    let risk = Some(Risk { score: described.score, counts: &counts });
    let ruling = snapshot.rules().judge(Phase::Risk, &Facts { risk, ..facts });
    docket.checks.rules = both(docket.checks.rules, ruling.verdict);
    docket.rules.extend(ruling.named);
    ruling.denial
}

/// One verdict for both phases of the rules. The first let the call through, so it says at most `flag`.
const fn both(gate: CheckVerdict, risk: CheckVerdict) -> CheckVerdict {
    match (gate, risk) {
        (before, CheckVerdict::NotApplicable) | (before @ CheckVerdict::Flag, CheckVerdict::Pass) => before,
        (_, after) => after,
    }
}

#[cfg(test)]
mod tests;
