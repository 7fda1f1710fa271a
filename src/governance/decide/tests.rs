//! The gate as a table, then the evidence around it.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Ask, Found, decide, judge};
use crate::call::{Metadata, PromptClaim};
use crate::docket::{Binding, CheckVerdict, Refuses, Role};
use crate::governance::for_tests::{FILLED, chat, claim, snapshot};
use crate::governance::{Snapshot, check_model, usable_models};
use crate::id::{ModelId, RuleId, TenantId};
use crate::reason::Reason;
use crate::speech::{Dialect, Operation};

/// What is asked in one row; the rest is a plain chat of acme.
struct Row<'a> {
    tenant: &'a str,
    model: &'a str,
    operation: Operation,
    prompt: Option<PromptClaim>,
    system: Option<&'a str>,
    metadata: Metadata,
}

impl Default for Row<'_> {
    fn default() -> Self {
        Self {
            tenant: "acme",
            model: "chatty",
            operation: Operation::Chat,
            prompt: None,
            system: None,
            metadata: Metadata::default(),
        }
    }
}

fn asked(snapshot: &Snapshot, row: &Row<'_>) -> (Result<(), Reason>, Found) {
    let system = || row.system.map(Cow::Borrowed);
    let mut found = Found::default();
    let ask = Ask {
        tenant: &TenantId::parse(row.tenant).unwrap(),
        key: "k1",
        roles: &[Role::Client],
        model: row.model,
        operation: row.operation,
        dialect: Dialect::OpenAi,
        stream: false,
        max_tokens: None,
        prompt: row.prompt.as_ref(),
        system: &system,
        metadata: &row.metadata,
    };
    let outcome = judge(snapshot, &ask, &mut found);
    (outcome, found)
}

#[test]
fn a_model_is_judged_in_order() {
    let snapshot = snapshot(&[]);
    for (tenant, name, operation, expected, seen) in [
        ("acme", "chatty", Operation::Chat, Ok(()), Some("1")),
        ("acme", "chatty", Operation::Embeddings, Ok(()), Some("1")),
        ("acme", "no-such", Operation::Chat, Err(Reason::ModelUnknown), None),
        ("acme", "chatty\u{a0}", Operation::Chat, Err(Reason::ModelUnknown), None),
        ("acme", "not-listed", Operation::Chat, Err(Reason::ModelNotPermitted), Some("1")),
        ("acme", "pending-one", Operation::Chat, Err(Reason::ModelNotApproved), Some("1")),
        ("acme", "forbidden", Operation::Chat, Err(Reason::ModelNotApproved), Some("1")),
        ("acme", "versioned", Operation::Chat, Ok(()), Some("2")),
        ("acme", "versioned", Operation::CountTokens, Ok(()), Some("2")),
        ("acme", "versioned", Operation::Embeddings, Err(Reason::OperationNotPermitted), Some("2")),
        ("acme", "versioned-1", Operation::Embeddings, Ok(()), Some("1")),
        ("acme", "versioned-3", Operation::Chat, Err(Reason::ModelNotApproved), Some("3")),
        ("acme", "embedder", Operation::Embeddings, Ok(()), Some("1")),
        ("acme", "embedder", Operation::Chat, Err(Reason::OperationNotPermitted), Some("1")),
        ("acme", "embedder", Operation::CountTokens, Err(Reason::OperationNotPermitted), Some("1")),
        ("acme", "staged", Operation::Chat, Err(Reason::ModelNotPermitted), Some("2")),
        ("acme", "staged-pending", Operation::Chat, Err(Reason::ModelNotApproved), Some("2")),
        ("nowhere", "staged", Operation::Chat, Err(Reason::ModelNotPermitted), Some("2")),
        ("nowhere", "chatty", Operation::Chat, Ok(()), Some("1")),
        ("gone", "chatty", Operation::Chat, Err(Reason::CredentialInvalid), None),
    ] {
        let (outcome, found) = asked(&snapshot, &Row { tenant, model: name, operation, ..Row::default() });
        let version = found.model.as_ref().map(|model| model.file.version.as_str());
        assert_eq!((outcome, version), (expected, seen), "{tenant} {name} {operation:?}");
    }
}

#[test]
fn a_prompt_is_judged_by_the_tenants_mode() {
    let snapshot = snapshot(&[]);
    let triage = |version| Some(claim("support-triage", version));
    let (declared, matched) = (Some(Binding::Declared), Some(Binding::Matched));
    let other = Some("Ignore the template.");
    for (tenant, prompt, system, expected, bound) in [
        ("acme", None, None, Ok(()), None),
        ("acme", None, other, Ok(()), None),
        ("acme", None, Some(FILLED), Ok(()), Some(("support-triage", 1, matched))),
        ("acme", None, Some("You are a pirate."), Ok(()), Some(("wide", 1, matched))),
        ("acme", triage(Some(1)), None, Ok(()), Some(("support-triage", 1, declared))),
        ("acme", triage(None), None, Ok(()), Some(("support-triage", 1, declared))),
        ("acme", triage(Some(1)), Some(FILLED), Ok(()), Some(("support-triage", 1, matched))),
        ("acme", triage(Some(1)), other, Err(Reason::PromptNotApproved), Some(("support-triage", 1, declared))),
        ("acme", triage(Some(2)), None, Err(Reason::PromptNotApproved), Some(("support-triage", 2, declared))),
        ("acme", triage(Some(9)), None, Err(Reason::PromptUnknown), None),
        ("acme", Some(claim("no-such", None)), None, Err(Reason::PromptUnknown), None),
        ("acme", Some(claim("draft", None)), None, Err(Reason::PromptNotApproved), Some(("draft", 1, declared))),
        ("off", None, Some(FILLED), Ok(()), None),
        ("off", triage(Some(1)), other, Ok(()), Some(("support-triage", 1, declared))),
        ("off", triage(Some(2)), None, Err(Reason::PromptNotApproved), Some(("support-triage", 2, declared))),
        ("off", triage(Some(9)), None, Err(Reason::PromptUnknown), None),
        ("strict", None, None, Err(Reason::PromptRequired), None),
        ("strict", None, other, Err(Reason::PromptRequired), None),
        ("strict", None, Some(FILLED), Ok(()), Some(("support-triage", 1, matched))),
        ("strict", triage(Some(1)), None, Err(Reason::PromptRequired), Some(("support-triage", 1, declared))),
        ("strict", triage(Some(1)), Some(FILLED), Ok(()), Some(("support-triage", 1, matched))),
        ("strict", triage(None), other, Err(Reason::PromptNotApproved), Some(("support-triage", 1, declared))),
    ] {
        let row = Row { tenant, prompt: prompt.clone(), system, ..Row::default() };
        let (outcome, found) = asked(&snapshot, &row);
        let used = found.prompt.as_ref().map(|used| (used.id.as_str(), used.version, Some(used.binding)));
        assert_eq!((outcome, used), (expected, bound), "{tenant} {prompt:?} {system:?}");
    }
}

#[test]
fn every_check_says_what_it_did_and_the_later_ones_that_they_were_not_asked() {
    use CheckVerdict::{Block, Error, Flag, NotApplicable, Pass};
    let rules =
        [("no-secrets", "has(metadata.secret) && metadata.secret", "block"), ("watch", "has(metadata.watch)", "flag")];
    let snapshot = snapshot(&rules);
    let with = |facts: &str| Row { metadata: Metadata::read(facts.as_bytes()).unwrap(), ..Row::default() };
    let filled = Row { system: Some(FILLED), ..Row::default() };
    for (row, checks, named) in [
        (Row::default(), (Pass, NotApplicable, Some(Pass)), vec![]),
        (filled, (Pass, Pass, Some(Pass)), vec![]),
        (Row { model: "x", ..Row::default() }, (Block, NotApplicable, None), vec![]),
        (Row { prompt: Some(claim("x", None)), ..Row::default() }, (Pass, Block, None), vec![]),
        (with(r#"{"secret":true}"#), (Pass, NotApplicable, Some(Block)), vec!["no-secrets"]),
        (with(r#"{"secret":"true"}"#), (Pass, NotApplicable, Some(Error)), vec!["no-secrets"]),
        (with(r#"{"watch":0}"#), (Pass, NotApplicable, Some(Flag)), vec!["watch"]),
    ] {
        let (_, found) = asked(&snapshot, &row);
        let names: Vec<&str> = found.rules.iter().flat_map(|r| &r.named).map(RuleId::as_str).collect();
        let verdict = found.rules.as_ref().map(|ruling| ruling.verdict);
        assert_eq!(((found.model_check, found.prompt_check, verdict), names), (checks, named));
    }
}

#[test]
fn the_list_and_the_check_say_what_a_call_would_meet() {
    let snapshot = snapshot(&[]);
    let acme = Arc::clone(snapshot.tenant(&TenantId::parse("acme").unwrap()).unwrap());
    let names: Vec<&str> = usable_models(&snapshot, &acme).into_iter().map(ModelId::as_str).collect();
    assert_eq!(names, ["chatty", "embedder", "pinned", "versioned"]);
    assert_eq!(check_model(&snapshot, &acme, "versioned").unwrap().file.version.as_str(), "2");
    assert_eq!(check_model(&snapshot, &acme, "staged").unwrap_err(), Reason::ModelNotPermitted);
}

#[test]
fn a_denied_call_leaves_its_findings_in_the_docket() {
    let snapshot = snapshot(&[]);
    let stopped = decide(&snapshot, chat("pending-one", None)).unwrap_err();
    assert_eq!(stopped.why.reason(), Reason::ModelNotApproved);
    let docket = stopped.docket;
    assert_eq!((docket.checks.model, docket.checks.rules), (CheckVerdict::Block, CheckVerdict::NotApplicable));
    let resource = docket.resource.unwrap();
    assert_eq!((resource.id.as_str(), resource.status), ("pending-one", Some("pending")));
    assert_eq!(docket.registry, Some((snapshot.revision(), snapshot.digest())));
    assert_eq!((docket.organization.unwrap().as_str(), docket.upstream), ("acme-bank", None));
}

#[test]
fn an_unknown_model_is_recorded_only_as_far_as_it_is_a_name() {
    let snapshot = snapshot(&[]);
    let docket = decide(&snapshot, chat("my card is 4111", None)).unwrap_err().docket;
    assert!(docket.resource.unwrap().id.starts_with("sha256:"));
    assert_eq!(docket.model, None);
}

#[test]
fn the_rules_that_read_risk_are_asked_with_the_score() {
    let rules = [
        ("watch", "true", "flag"),
        ("approve", "risk.count(\"personal_data\") > 1", "require_approval"),
        ("high", "risk.score > 60 && model.name == 'chatty'", "block"),
    ];
    let snapshot = snapshot(&rules);
    for (score, count, denial, verdict, named) in [
        (10, 0, None, CheckVerdict::Flag, vec!["watch"]),
        (10, 2, Some(Reason::ApprovalRequired), CheckVerdict::Block, vec!["watch", "approve"]),
        (61, 0, Some(Reason::RuleDenied), CheckVerdict::Block, vec!["watch", "high"]),
    ] {
        let mut permit = decide(&snapshot, chat("chatty", None)).unwrap();
        let outcome = permit.judge_risk(0, score, &|_| count);
        assert_eq!(outcome.err().map(|why| why.reason()), denial);
        let docket = permit.into_docket();
        let names: Vec<&str> = docket.rules.iter().map(RuleId::as_str).collect();
        assert_eq!((docket.checks.rules, names), (verdict, named));
    }
}
