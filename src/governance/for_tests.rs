//! A small registry and calls for it, for the tests of the gate and of the rooms after it.
//!
//! Both are made as the gate makes them: the registry of policy files, the calls of bytes.

use std::sync::Arc;

use serde_json::json;

use crate::call::{Call, PromptClaim};
use crate::governance::Snapshot;

pub(crate) const FILLED: &str = "You are the support assistant of Acme. Answer politely.";

/// Every model version: name, version, status, and what its file says besides.
const MODELS: [(&str, &str, &str, &str); 12] = [
    ("chatty", "1", "approved", "{}"),
    ("embedder", "1", "approved", r#"{"operations": ["embeddings"]}"#),
    ("pending-one", "1", "pending", "{}"),
    ("forbidden", "1", "approved", r#"{"risk_level": "unacceptable"}"#),
    ("versioned", "3", "pending", r#"{"aliases": ["versioned-3"]}"#),
    ("versioned", "2", "approved", r#"{"operations": ["chat"]}"#),
    ("versioned", "1", "approved", r#"{"aliases": ["versioned-1"]}"#),
    ("staged", "2", "approved", r#"{"environments": ["staging"]}"#),
    ("staged-pending", "2", "retired", r#"{"environments": ["prod"]}"#),
    ("staged-pending", "1", "approved", r#"{"environments": ["staging"]}"#),
    ("pinned", "1", "approved", r#"{"upstream_model": "pinned-2024"}"#),
    ("not-listed", "1", "approved", "{}"),
];

/// Every prompt version: name, version, status, template.
const PROMPTS: [(&str, u32, &str, &str); 4] = [
    ("support-triage", 2, "pending", "You are the bold support assistant of {{company}}.\n"),
    ("support-triage", 1, "approved", "You are the support assistant of {{company}}. Answer politely.\n"),
    ("wide", 1, "approved", "You are {{anything}}"),
    ("draft", 1, "draft", "Draft."),
];

/// Every tenant: name, environment, prompt mode.
const TENANTS: [(&str, Option<&str>, &str); 4] = [
    ("acme", Some("prod"), "optional"),
    ("off", Some("prod"), "off"),
    ("strict", Some("prod"), "required"),
    ("nowhere", None, "optional"),
];

/// The registry, with these rules: name, expression, action. Each tenant has 10 requests and 10,000 tokens a minute,
/// and may use every model but `not-listed`.
pub(crate) fn snapshot(rules: &[(&str, &str, &str)]) -> Arc<Snapshot> {
    let mut files = Vec::new();
    for (model, version, status, more) in MODELS {
        let mut says: serde_json::Value = serde_json::from_str(more).unwrap();
        for (name, value) in [("model", model), ("version", version), ("status", status), ("upstream", "sim")] {
            says[name] = json!(value);
        }
        files.push((format!("models/{model}@{version}.yaml"), says));
    }
    for (prompt, version, status, template) in PROMPTS {
        let says = json!({
            "prompt": prompt, "version": version, "status": status, "author": "dana", "change_reason": "first",
            "template": template,
        });
        files.push((format!("prompts/{prompt}/{version}.yaml"), says));
    }
    let models: Vec<&str> = MODELS.iter().map(|model| model.0).filter(|name| *name != "not-listed").collect();
    for (tenant, environment, prompts) in TENANTS {
        let mut says = json!({
            "tenant": tenant, "organization": "acme-bank", "prompts": prompts, "models": models,
            "limits": {
                "requests_per_minute": {"rate": 10, "algorithm": "sliding_window"},
                "tokens_per_minute": {"rate": 10_000, "algorithm": "sliding_window"},
            },
        });
        if let Some(environment) = environment {
            says["environment"] = json!(environment);
        }
        files.push((format!("tenants/{tenant}.yaml"), says));
    }
    let rules: Vec<_> =
        rules.iter().map(|(name, when, then)| json!({"name": name, "when": when, "then": then})).collect();
    files.push(("rules/rules.yaml".to_owned(), json!({"rules": rules})));
    let files: Vec<(String, String)> = files.into_iter().map(|(path, says)| (path, says.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Snapshot::for_tests(&files)
}

/// A chat call of `acme` whose input is estimated as one token.
pub(crate) fn chat(model: &str, max_output_tokens: Option<u64>) -> Box<Call> {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Hey!"}]});
    if let Some(tokens) = max_output_tokens {
        body["max_tokens"] = json!(tokens);
    }
    Call::for_tests("/v1/chat/completions", &[], &body.to_string())
}

pub(crate) fn claim(name: &str, version: Option<u32>) -> PromptClaim {
    PromptClaim { name: name.to_owned(), version }
}
