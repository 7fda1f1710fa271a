//! Batches: every line is judged like a call of its own, and the first objection refuses all of them.
//!
//! A batch goes where its lines' models are, so they have one upstream. A batch that is to be run from a stored file names
//! no model: its lines were judged when the file came in, and the file can only be where the credential is the tenant's
//! alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Ask, Found, judge, offers};
use crate::call::{Call, Item};
use crate::config::policy::PromptMode;
use crate::docket::{CheckVerdict, Docket, Resource, Stopped};
use crate::governance::binding::bind;
use crate::governance::models::{usable, usable_models};
use crate::governance::rules::{Phase, Ruling};
use crate::governance::{Denial, LinePermit, Model, Permit, Snapshot, Tenant, references};
use crate::id::{ModelId, UpstreamId};
use crate::reason::Reason;
use crate::speech::Operation;

/// Most names of models that a record of a batch has.
const MOST_NAMES: usize = 32;

/// Judges each line of a batch.
pub(super) fn decide(snapshot: &Arc<Snapshot>, mut call: Box<Call>) -> Result<Permit, Stopped<Denial>> {
    let mut judged = Judged::default();
    let objection = judged.lines(snapshot, &call).err();
    let unknown = objection.as_ref().and_then(|objection| objection.unknown.clone());
    let docket = call.docket_mut();
    judged.shown.write(snapshot, unknown, docket);
    judged.write(docket);
    if let Some(Objection { line, reason, what, .. }) = objection {
        docket.fault = Some(match what {
            Some(what) => format!("line {line}: {what}"),
            None => format!("line {line}: {}", reason.code()),
        });
        if matches!(reason, Reason::ReferenceNotPermitted | Reason::AmbiguousRequest) {
            docket.checks.request = CheckVerdict::Block;
        }
        return Err(Stopped::new(call.into_docket(), Denial(reason)));
    }
    let (Some(tenant), Some(first)) = (judged.shown.tenant, judged.lines.first()) else {
        return Err(Stopped::new(call.into_docket(), Denial(Reason::Internal)));
    };
    let model = Arc::clone(&first.model);
    call.docket_mut().upstream = Some(model.file.upstream.clone());
    let body = call.body_as(judged.lines.iter().map(|line| line.model.sent_name()));
    let Some(body) = body else { return Err(Stopped::new(call.into_docket(), Denial(Reason::Internal))) };
    let target = call.target_for(model.sent_name());
    let lines = judged.lines;
    Ok(Permit { call, snapshot: Arc::clone(snapshot), tenant, model, prompt: None, lines, body, target })
}

/// Why a line is refused.
struct Objection {
    line: usize,
    reason: Reason,
    what: Option<String>,
    /// The model, where the registry does not know it.
    unknown: Option<String>,
}

/// What was found of the lines so far.
#[derive(Default)]
struct Judged {
    /// The first line's findings, or the offending one's: what the record shows.
    shown: Found,
    lines: Vec<LinePermit>,
    /// The models that the rules have seen with the batch's own operation.
    asked: BTreeSet<ModelId>,
    names: BTreeSet<ModelId>,
    rules: Option<Ruling>,
}

impl Judged {
    fn lines(&mut self, snapshot: &Snapshot, call: &Call) -> Result<(), Objection> {
        for item in call.items() {
            let mut found = Found::default();
            let outcome = Ask::of_item(call, item, |ask| judge(snapshot, ask, &mut found));
            let outcome =
                outcome.map_err(|reason| (reason, None)).and_then(|()| self.beside(call, item, snapshot, &mut found));
            self.keep(found.rules.take());
            let (model, prompt) = (found.model.clone(), found.prompt.clone());
            if self.lines.is_empty() || outcome.is_err() {
                self.shown = found;
            }
            let (reason, what) = match (outcome, model) {
                (Ok(()), Some(model)) => {
                    if self.names.len() < MOST_NAMES && !self.names.contains(&model.file.model) {
                        self.names.insert(model.file.model.clone());
                    }
                    self.lines.push(LinePermit { model, prompt });
                    continue;
                }
                (Ok(()), None) => (Reason::Internal, None),
                (Err(why), _) => why,
            };
            let unknown = self.shown.model.is_none().then(|| item.model().for_record());
            return Err(Objection { line: item.line().unwrap_or_default(), reason, what, unknown });
        }
        Ok(())
    }

    /// What a line is asked besides as a part of a batch.
    fn beside(
        &mut self,
        call: &Call,
        item: Item<'_>,
        snapshot: &Snapshot,
        found: &mut Found,
    ) -> Result<(), (Reason, Option<String>)> {
        let (Some(tenant), Some(model)) = (&found.tenant, &found.model) else { return Err((Reason::Internal, None)) };
        if !offers(&model.file, call.operation()) {
            found.model_check = CheckVerdict::Block;
            return Err((Reason::OperationNotPermitted, None));
        }
        if let Some(at) = references::objection(tenant, &model.file.upstream, item.needs()) {
            let what = format!("body: reference to something stored or remote at byte {at}");
            return Err((Reason::ReferenceNotPermitted, Some(what)));
        }
        if self.lines.first().is_some_and(|first| first.model.file.upstream != model.file.upstream) {
            let what = "its model has another upstream than the lines before".to_owned();
            return Err((Reason::AmbiguousRequest, Some(what)));
        }
        if self.asked.insert(model.file.model.clone()) {
            let ruling = Ask::of_item(call, item, |ask| {
                let ask = Ask { operation: call.operation(), ..*ask };
                snapshot.rules().judge(Phase::Gate, &ask.facts(tenant, &model.file, found.prompt.as_ref()))
            });
            let denial = ruling.denial;
            self.keep(Some(ruling));
            return denial.map_or(Ok(()), |reason| Err((reason, None)));
        }
        Ok(())
    }

    /// Joins what the rules said: the gravest verdict, and each rule once.
    fn keep(&mut self, ruling: Option<Ruling>) {
        let Some(ruling) = ruling else { return };
        let Some(kept) = &mut self.rules else {
            self.rules = Some(ruling);
            return;
        };
        if gravity(ruling.verdict) > gravity(kept.verdict) {
            kept.verdict = ruling.verdict;
        }
        for name in ruling.named {
            if !kept.named.contains(&name) {
                kept.named.push(name);
            }
        }
    }

    fn write(&self, docket: &mut Docket) {
        if let Some(ruling) = &self.rules {
            docket.checks.rules = ruling.verdict;
            docket.rules.extend_from_slice(&ruling.named);
        }
        let names: Vec<&str> = self.names.iter().map(ModelId::as_str).collect();
        docket.facts.insert("batch_models", names.into());
    }
}

const fn gravity(verdict: CheckVerdict) -> u8 {
    match verdict {
        CheckVerdict::NotApplicable => 0,
        CheckVerdict::Pass => 1,
        CheckVerdict::Flag => 2,
        CheckVerdict::Block => 3,
        CheckVerdict::Error => 4,
    }
}

/// Judges a batch that is to be run from a file that the upstream has: it goes to the one upstream whose credential is
/// the tenant's alone and where a model may be used for batches of `of`.
pub(super) fn decide_stored(
    snapshot: &Arc<Snapshot>,
    mut call: Box<Call>,
    of: Operation,
) -> Result<Permit, Stopped<Denial>> {
    let docket = call.docket_mut();
    docket.registry = Some((snapshot.revision(), snapshot.digest()));
    let Some(tenant) = docket.tenant.as_ref().and_then(|tenant| snapshot.tenant(tenant)).map(Arc::clone) else {
        docket.checks.identity = CheckVerdict::Block;
        return Err(Stopped::new(call.into_docket(), Denial(Reason::CredentialInvalid)));
    };
    docket.organization.clone_from(&tenant.file.organization);
    docket.environment.clone_from(&tenant.file.environment);
    let model = match one_upstream(snapshot, &tenant, &[call.operation(), of]) {
        Ok(model) => model,
        Err((reason, what)) => {
            let docket = call.docket_mut();
            docket.checks.request = CheckVerdict::Block;
            docket.fault = Some(what.to_owned());
            return Err(Stopped::new(call.into_docket(), Denial(reason)));
        }
    };
    if let Some(at) = references::objection(&tenant, &model.file.upstream, call.needs()) {
        let docket = call.docket_mut();
        docket.checks.request = CheckVerdict::Block;
        docket.fault = Some(format!("body: reference to something stored or remote at byte {at}"));
        return Err(Stopped::new(call.into_docket(), Denial(Reason::ReferenceNotPermitted)));
    }
    // Whether its lines use the prompts that they must was judged at their upload; one that is named here must be good.
    let bound = bind(snapshot, PromptMode::Off, call.prompt(), || None);
    let docket = call.docket_mut();
    docket.checks.prompt = match (&bound.prompt, bound.objection) {
        (_, Some(_)) => CheckVerdict::Block,
        (Some(_), None) => CheckVerdict::Pass,
        (None, None) => CheckVerdict::NotApplicable,
    };
    docket.prompt.clone_from(&bound.prompt);
    if let Some(reason) = bound.objection {
        return Err(Stopped::new(call.into_docket(), Denial(reason)));
    }
    let prompt = bound.prompt;
    let ruling = Ask::of_call(&call, |ask| {
        snapshot.rules().judge(Phase::Gate, &ask.facts(&tenant, &model.file, prompt.as_ref()))
    });
    let docket = call.docket_mut();
    docket.upstream = Some(model.file.upstream.clone());
    docket.resource = Some(Resource {
        kind: "upstream",
        id: model.file.upstream.as_str().to_owned(),
        version: None,
        status: None,
        risk_level: None,
    });
    docket.checks.model = CheckVerdict::Pass;
    docket.checks.rules = ruling.verdict;
    docket.rules.extend_from_slice(&ruling.named);
    if let Some(reason) = ruling.denial {
        return Err(Stopped::new(call.into_docket(), Denial(reason)));
    }
    let Some(body) = call.body_as(std::iter::empty()) else {
        return Err(Stopped::new(call.into_docket(), Denial(Reason::Internal)));
    };
    let target = call.target_for("");
    let lines = Vec::new();
    Ok(Permit { call, snapshot: Arc::clone(snapshot), tenant, model, prompt, lines, body, target })
}

/// The record by which the one exclusive upstream is reached: its first model by name that offers all of `operations`.
fn one_upstream(
    snapshot: &Snapshot,
    tenant: &Tenant,
    operations: &[Operation],
) -> Result<Arc<Model>, (Reason, &'static str)> {
    let exclusive = &tenant.file.exclusive_upstreams;
    if exclusive.is_empty() {
        return Err((Reason::ReferenceNotPermitted, "stored file, and the tenant has no exclusive upstream"));
    }
    let mut found: BTreeMap<&UpstreamId, &Arc<Model>> = BTreeMap::new();
    for name in usable_models(snapshot, tenant) {
        let Ok(model) = usable(snapshot, tenant, name.as_str()) else { continue };
        let is_one = exclusive.contains(&model.file.upstream)
            && operations.iter().all(|operation| offers(&model.file, *operation));
        if is_one {
            found.entry(&model.file.upstream).or_insert(model);
        }
    }
    let mut found = found.into_values();
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(Arc::clone(model)),
        (Some(_), Some(_)) => {
            Err((Reason::ReferenceNotPermitted, "stored file that several exclusive upstreams could have"))
        }
        (None, _) => {
            Err((Reason::OperationNotPermitted, "no model of an exclusive upstream may be used for such batches"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use crate::call::Call;
    use crate::docket::Refuses;
    use crate::governance::{Permit, Snapshot, decide};

    fn snapshot(tenant: &str, rules: &str) -> Arc<Snapshot> {
        let model = |name: &str, upstream: &str, more: &str| {
            format!("model: {name}\nversion: \"1\"\nupstream: {upstream}\nstatus: approved\n{more}")
        };
        let (a, b) = (model("a", "openai", ""), model("b", "openai", "upstream_model: b-1\n"));
        let (c, d) = (model("c", "sim", ""), model("d", "openai", "operations: [chat, responses]\n"));
        let tenant = format!("tenant: acme\nkeys: []\nmodels: [a, b, c, d]\n{tenant}");
        let rules = format!("rules:\n  - {{name: r, when: '{rules}', then: block}}\n");
        Snapshot::for_tests(&[
            ("models/a.yaml", &a),
            ("models/b.yaml", &b),
            ("models/c.yaml", &c),
            ("models/d.yaml", &d),
            ("tenants/acme.yaml", &tenant),
            ("rules/r.yaml", &rules),
        ])
    }

    fn line(model: &str, more: &Value) -> Value {
        let mut params = json!({"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]});
        params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        json!({"custom_id": "i", "params": params})
    }

    fn batch(snapshot: &Arc<Snapshot>, lines: &[Value]) -> Result<Permit, (&'static str, String)> {
        let body = json!({"requests": lines}).to_string();
        let call = Call::for_tests("/v1/messages/batches", &[], &body);
        decide(snapshot, call)
            .map_err(|stopped| (stopped.why.reason().code(), stopped.docket.fault.unwrap_or_default()))
    }

    #[test]
    fn a_batch_of_good_lines_passes_with_the_names_of_its_records() {
        let permit = batch(&snapshot("", "false"), &[line("a", &json!({})), line("b", &json!({}))]).expect("permitted");
        assert!(permit.body().windows(5).any(|five| five == b"\"b-1\""));
        assert_eq!(permit.docket().facts["batch_models"], json!(["a", "b"]));
        assert_eq!(permit.items().count(), 2);
        assert_eq!(permit.docket().upstream.as_ref().unwrap().as_str(), "openai");
    }

    #[test]
    fn the_first_objection_refuses_the_whole_and_names_its_line() {
        let good = || line("a", &json!({}));
        for (bad, rules, reason) in [
            (line("rogue", &json!({})), "false", "model_unknown"),
            (line("c", &json!({})), "false", "ambiguous_request"),
            (line("d", &json!({})), "false", "operation_not_permitted"),
            (line("a", &json!({"container": "c_1"})), "false", "reference_not_permitted"),
            (line("b", &json!({})), "model.name == \"b\"", "rule_denied"),
            (line("a", &json!({"max_tokens": 500})), "request.max_tokens > 100", "rule_denied"),
        ] {
            let (found, fault) = batch(&snapshot("", rules), &[good(), bad.clone(), good()]).expect_err("refused");
            assert!(found == reason && fault.starts_with("line 2: "), "{bad}: {found} {fault}");
        }
        let (found, _) = batch(&snapshot("", "request.operation == \"batches\""), &[good()]).expect_err("refused");
        assert_eq!(found, "rule_denied");
        let exclusive = snapshot("exclusive_upstreams: [openai]\n", "false");
        assert!(batch(&exclusive, &[line("a", &json!({"container": "c_1"}))]).is_ok());
    }

    #[test]
    fn many_lines_are_judged_in_one_go() {
        let lines: Vec<Value> = (0..20_000).map(|_| line("a", &json!({}))).collect();
        let permit = batch(&snapshot("", "false"), &lines).expect("permitted");
        assert_eq!(permit.docket().facts["batch_lines"], 20_000);
    }

    fn run(snapshot: &Arc<Snapshot>, endpoint: &str) -> Result<Permit, &'static str> {
        let body = json!({"input_file_id": "file-1", "endpoint": endpoint, "completion_window": "24h"});
        let call = Call::for_tests("/v1/batches", &[], &body.to_string());
        decide(snapshot, call).map_err(|stopped| stopped.why.reason().code())
    }

    #[test]
    fn a_stored_batch_goes_to_the_one_exclusive_upstream() {
        let permit = run(&snapshot("exclusive_upstreams: [openai]\n", "false"), "/v1/embeddings").expect("permitted");
        assert_eq!(permit.docket().upstream.as_ref().unwrap().as_str(), "openai");
        let resource = permit.docket().resource.as_ref().unwrap();
        assert_eq!((resource.kind, resource.id.as_str()), ("upstream", "openai"));
        let refused = |tenant: &str, rules: &str| run(&snapshot(tenant, rules), "/v1/chat/completions").err();
        assert_eq!(refused("", "false"), Some("reference_not_permitted"));
        assert_eq!(refused("exclusive_upstreams: [openai, sim]\n", "false"), Some("reference_not_permitted"));
        assert_eq!(refused("exclusive_upstreams: [anthropic]\n", "false"), Some("operation_not_permitted"));
        let exclusive = "exclusive_upstreams: [openai]\n";
        assert_eq!(refused(exclusive, "request.operation == \"batches\""), Some("rule_denied"));
        assert_eq!(refused(exclusive, "false"), None);
    }
}
