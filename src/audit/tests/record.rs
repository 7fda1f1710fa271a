//! What stands in a record: the contract's fields, bounded, and nothing else.

use serde_json::Value;
use std::sync::Arc;

use crate::audit::for_tests::{Faults, docket, faulty_audit, lines, manual};
use crate::audit::{Action, Audit, Decision, GovernanceAct, LONGEST_LINE, Recorded};
use crate::clock::SharedClock;
use crate::docket::Docket;
use crate::docket::Stopped;
use crate::id::{KeyId, RuleId};
use crate::identity::Unauthenticated;
use crate::reason::Reason;
use crate::verdict::{Intake, Refusal};
use std::time::Duration;

fn room(dir: &std::path::Path) -> Arc<Audit> {
    faulty_audit(dir, 512, manual(), &Arc::new(Faults::default()))
}

async fn recorded(docket: Box<Docket>, reason: Option<Reason>) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let audit = room(dir.path());
    let answer = audit.answered(docket, Action::Check, Decision::Block, reason, 403).await.unwrap();
    assert_eq!(answer.address().unwrap().sequence, 1);
    audit.close().await.unwrap();
    let raw = lines(dir.path()).remove(0);
    (serde_json::from_str(&raw).unwrap(), raw)
}

#[tokio::test]
async fn a_decision_record_has_the_fields_of_the_contract() {
    let (record, raw) = recorded(docket(), Some(Reason::ModelNotApproved)).await;
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}"));
    assert!(raw.starts_with(r#"{"specversion":"1.0","id":""#), "{raw}");
    assert!(text("/source").starts_with("//"));
    for (pointer, expected) in [
        ("/type", "portcullis.decision.v1"),
        ("/subject", "model/gpt-4o/2024-08-06"),
        ("/time", "2026-11-21T07:00:01.123456Z"),
        ("/datacontenttype", "application/json"),
        ("/sequence", "00000000000000000001"),
        ("/prevhash", ""),
        ("/correlationid", "corr-1"),
        ("/traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("/tenantid", "acme"),
        ("/data/actor/type", "api_key"),
        ("/data/actor/id", "k1"),
        ("/data/actor/roles/0", "client"),
        ("/data/action", "CHECK"),
        ("/data/decision", "block"),
        ("/data/reason/code", "model_not_approved"),
        ("/data/reason/failure_class", "POLICY_VIOLATION"),
        ("/data/reason/kind", "model"),
        ("/data/checks/identity", "pass"),
        ("/data/checks/model", "block"),
        ("/data/checks/risk", "not_applicable"),
        ("/data/resource/type", "model"),
        ("/data/resource/id", "gpt-4o"),
        ("/data/resource/version", "2024-08-06"),
        ("/data/resource/status", "pending"),
        ("/data/resource/risk_level", "limited"),
        ("/data/prompt/id", "support-triage"),
        ("/data/prompt/binding", "matched"),
        ("/data/llm/dialect", "openai"),
        ("/data/llm/operation", "chat"),
        ("/data/llm/upstream", "openai"),
        ("/data/http/method", "POST"),
        ("/data/http/route", "/v1/chat/completions"),
        ("/data/facts/intent", "triage"),
        ("/data/request_id", "req-7f3a"),
    ] {
        assert_eq!(text(pointer), expected, "{pointer}");
    }
    for (pointer, expected) in [
        ("/data/registry/revision", 1187),
        ("/data/prompt/version", 3),
        ("/data/risk/score", 20),
        ("/data/risk/findings/email_address", 2),
        ("/data/llm/max_tokens", 800),
        ("/data/http/status", 403),
        ("/data/http/bytes_in", 512),
        ("/data/latency_us/policy", 0),
    ] {
        assert_eq!(record.pointer(pointer).and_then(Value::as_u64), Some(expected), "{pointer}");
    }
    assert_eq!(text("/data/registry/digest"), format!("sha256:{}", "07".repeat(32)));
}

#[tokio::test]
async fn what_is_not_known_is_null_or_absent() {
    let mut empty = docket();
    *empty = Docket::open(
        empty.request_id.clone(),
        empty.correlation_id.clone(),
        http::Method::GET,
        empty.arrived,
        empty.at,
    );
    let (record, _) = recorded(empty, None).await;
    assert_eq!(record.pointer("/data/actor"), Some(&serde_json::json!({"type": "anonymous"})));
    for pointer in ["/data/reason", "/data/resource", "/data/prompt", "/data/registry", "/data/llm/operation"] {
        assert_eq!(record.pointer(pointer), Some(&Value::Null), "{pointer}");
    }
    assert!(record.get("tenantid").is_none() && record.get("traceparent").is_none());
    assert_eq!(record.pointer("/subject").and_then(Value::as_str), Some("request"));
}

#[tokio::test]
async fn the_fullest_docket_still_fits_into_a_line() {
    let mut full = docket();
    let long = |n: usize| format!("{n:03}{}", "\u{1}".repeat(300));
    for n in 0..500 {
        let name: &'static str = Box::leak(format!("{n:03}{}", "f".repeat(60)).into_boxed_str());
        full.facts.insert(name, serde_json::json!([long(n), {"deep": long(n)}]));
        full.risk.findings.insert(name, u32::MAX);
        full.risk.reasons.push(name);
        full.rules.push(RuleId::parse(&format!("{n:03}{}", "r".repeat(125))).unwrap());
    }
    full.fault = Some(long(1));
    full.traceparent = Some(long(2));
    full.actor = crate::docket::Actor::ApiKey {
        id: KeyId::parse(&"k".repeat(128)).unwrap(),
        roles: vec![crate::docket::Role::ModelOwner; 500].into(),
    };
    let (record, raw) = recorded(full, Some(Reason::RuleDenied)).await;
    assert!(raw.len() <= LONGEST_LINE && raw.len() > 20_000, "{}", raw.len());
    assert_eq!(record.pointer("/data/facts").and_then(Value::as_object).unwrap().len(), 48);
}

#[tokio::test]
async fn a_refusal_is_recorded_under_its_action_and_decision() {
    let dir = tempfile::tempdir().unwrap();
    let audit = room(dir.path());
    let answer: Recorded =
        audit.refuse(Stopped::new(docket(), Refusal::Intake(Intake::BodyTooLarge)), 413).await.unwrap();
    assert_eq!((answer.action(), answer.address().unwrap().sequence), (Action::Rejected, 1));
    let answer = audit.refuse(Stopped::new(docket(), Unauthenticated::TenantMismatch.into()), 403).await.unwrap();
    assert_eq!(answer.action(), Action::GovernanceViolation);
}

#[tokio::test]
async fn a_flood_of_bad_credentials_is_one_record_of_counts() {
    let dir = tempfile::tempdir().unwrap();
    let audit = room(dir.path());
    let mut addresses = 0;
    for _ in 0..450 {
        let answer = audit.refuse(Stopped::new(docket(), Unauthenticated::Invalid.into()), 401).await.unwrap();
        addresses += u64::from(answer.address().is_some());
    }
    assert_eq!(addresses, 200);
    assert_eq!(audit.flush_floods().await.unwrap().unwrap().sequence, 201);
    assert_eq!(audit.flush_floods().await, Ok(None));
    audit.close().await.unwrap();
    let record: Value = serde_json::from_str(lines(dir.path()).last().unwrap()).unwrap();
    assert_eq!(record["type"], "portcullis.suppressed.v1");
    assert_eq!(record["data"]["counts"], serde_json::json!({"credential_invalid": 250}));
}

#[tokio::test]
async fn counts_that_cannot_be_written_are_kept_and_no_refusal_is_shown_then() {
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = manual();
    let audit = faulty_audit(dir.path(), 512, clock, &Faults::after_writes(200));
    for _ in 0..201 {
        audit.refuse(Stopped::new(docket(), Unauthenticated::Missing.into()), 401).await.unwrap();
    }
    audit.flush_floods().await.unwrap_err();
    audit.refuse(Stopped::new(docket(), Unauthenticated::Missing.into()), 401).await.unwrap_err();
    assert_eq!(audit.floods.lock().take().unwrap().counts["credential_missing"], 2);
}

#[tokio::test]
async fn a_governance_act_is_recorded_with_its_details() {
    let dir = tempfile::tempdir().unwrap();
    let audit = room(dir.path());
    let act = GovernanceAct {
        action: "REGISTRY_ACTIVATED",
        subject: "registry/12".to_owned(),
        data: serde_json::json!({"revision": 12, "models": ["a", "b"]}),
    };
    audit.governance(&act).await.unwrap();
    let huge = GovernanceAct { data: serde_json::json!(vec!["x".repeat(200); 1000]), ..act };
    audit.governance(&huge).await.unwrap();
    audit.close().await.unwrap();
    let all = lines(dir.path());
    let record: Value = serde_json::from_str(&all[0]).unwrap();
    assert_eq!(record["type"], "portcullis.governance.v1");
    assert_eq!(record["data"]["action"], "REGISTRY_ACTIVATED");
    assert_eq!(record["data"]["details"]["revision"], 12);
    assert!(all[1].len() < 1000 && all[1].contains("omitted"));
}

#[tokio::test]
async fn the_time_policy_took_is_from_the_heads_arrival() {
    let dir = tempfile::tempdir().unwrap();
    let clock = manual();
    let audit = faulty_audit(dir.path(), 8, Arc::clone(&clock) as _, &Arc::new(Faults::default()));
    clock.advance(Duration::from_micros(37));
    audit.answered(docket(), Action::List, Decision::Allow, None, 200).await.unwrap();
    audit.close().await.unwrap();
    let record: Value = serde_json::from_str(&lines(dir.path())[0]).unwrap();
    assert_eq!(record["data"]["latency_us"]["policy"], 37);
}
