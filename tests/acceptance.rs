//! The acceptance rows, from their files as they are: the binary is started as their README says and asked over HTTP,
//! in both dialects, streamed and not. What needs changed files (aliases, pins, the registry followed) runs in process.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use portcullis::simulator::Simulator;
use serde_json::{Value, json};
use support::process::{Gate, finish, on, portcullis};
use support::{ACME, Answer, CHAT, GLOBEX, Site, UPSTREAM_KEY, chat_body, edit, eventually, is, put, records};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

const MESSAGES: &str = "/v1/messages";

/// How soon a change of the files must be in force.
const SOON: Duration = Duration::from_secs(1);

/// How an application asks a model.
#[derive(Debug, Clone, Copy)]
struct Way {
    path: &'static str,
    stream: bool,
}

impl Way {
    fn all() -> impl Iterator<Item = Self> {
        [CHAT, "/v1/completions", "/v1/responses", MESSAGES]
            .into_iter()
            .flat_map(|path| [false, true].map(|stream| Self { path, stream }))
    }

    fn is_anthropic(self) -> bool {
        self.path == MESSAGES
    }

    fn body(self, model: &str, text: &str) -> Value {
        let messages = json!([{"role": "user", "content": text}]);
        let mut body = match self.path {
            MESSAGES => json!({"model": model, "max_tokens": 64, "messages": messages}),
            "/v1/responses" => json!({"model": model, "input": text}),
            "/v1/completions" => json!({"model": model, "prompt": text}),
            _ => json!({"model": model, "messages": messages}),
        };
        body["stream"] = Value::Bool(self.stream);
        body
    }

    /// What ends a whole stream.
    fn last_words(self) -> &'static str {
        match self.path {
            MESSAGES => "message_stop",
            "/v1/responses" => "response.completed",
            _ => "data: [DONE]",
        }
    }

    fn check_forwarded(self, answer: &Answer, what: &str) {
        assert_eq!(answer.status, 200, "{what} by {self:?}: {answer:?}");
        assert_eq!(answer.header("x-portcullis-decision"), "allow", "{what} by {self:?}");
        assert!(answer.header("x-portcullis-audit").contains('#'), "{what} by {self:?}: {answer:?}");
        if self.stream {
            assert!(answer.header("content-type").starts_with("text/event-stream"), "{what} by {self:?}");
            let text = std::str::from_utf8(&answer.body).unwrap();
            assert!(text.contains(self.last_words()), "{what} by {self:?}: {text}");
        } else {
            assert!(answer.json()["id"].is_string(), "{what} by {self:?}: {answer:?}");
        }
    }

    fn check_refused(self, answer: &Answer, status: u16, code: &str, what: &str) {
        assert_eq!((answer.status.as_u16(), answer.reason()), (status, code), "{what} by {self:?}: {answer:?}");
        assert_eq!(answer.header("x-portcullis-decision"), "block", "{what} by {self:?}");
        assert_eq!(answer.header("content-type"), "application/json", "{what} by {self:?}");
        let body = answer.json();
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            _ => panic!("no word for {status}"),
        };
        assert_eq!(body["error"]["type"], kind, "{what} by {self:?}: {body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(code), "{what} by {self:?}: {body}");
        if self.is_anthropic() {
            assert_eq!(body["type"], "error", "{what} by {self:?}: {body}");
        } else {
            assert_eq!(body["error"]["code"], code, "{what} by {self:?}: {body}");
        }
    }
}

/// The gate as a process, started from the acceptance files as their README says.
struct Acceptance {
    gate: Gate,
    simulator: Simulator,
    dir: TempDir,
}

impl Acceptance {
    async fn open() -> Self {
        let simulator = Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap().expecting_key(UPSTREAM_KEY);
        let dir = support::acceptance_directory();
        let mut command = portcullis();
        command.env("DIR", dir.path()).env("PORT", "0").env("ADMIN_PORT", "0");
        command.env("UPSTREAM_PORT", simulator.addr().port().to_string());
        command.arg("run").arg("--config").arg(dir.path().join("portcullis.yaml"));
        Self { gate: Gate::start(&mut command), simulator, dir }
    }

    /// Asks by `way`, with the key where that vendor's SDK puts it.
    async fn ask(&self, key: &str, way: Way, body: &Value) -> Answer {
        self.ask_with(key, way, &[], body).await
    }

    async fn ask_with(&self, key: &str, way: Way, more: &[(&str, &str)], body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("content-type", "application/json")];
        if way.is_anthropic() {
            headers.extend([("x-api-key", key), ("anthropic-version", "2023-06-01")]);
        } else {
            headers.push(("authorization", &bearer));
        }
        headers.extend(more);
        self.gate.ask(Method::POST, way.path, &headers, body.to_string()).await
    }

    /// Asks for the models as an SDK of either vendor does.
    async fn models(&self, key: &str) -> Vec<String> {
        let answer = self.gate.ask(Method::GET, "/v1/models", &[("x-api-key", key)], "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        names(&answer)
    }

    /// How many requests reached the upstream.
    fn reached(&self) -> u64 {
        self.simulator.stats().requests
    }

    /// Every refusal of the table, by every way; the upstream hears nothing of them.
    async fn refuses(&self, key: &str, cases: &[(&str, &str, &str)]) {
        let before = self.reached();
        for (model, text, code) in cases {
            for way in Way::all() {
                let answer = self.ask(key, way, &way.body(model, text)).await;
                way.check_refused(&answer, 403, code, &format!("{model}, {text}"));
            }
        }
        assert_eq!(self.reached(), before, "a refused call reached the upstream");
    }
}

fn names(models: &Answer) -> Vec<String> {
    let models = models.json();
    models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn acme_is_forwarded_its_approved_models_in_every_dialect_streamed_and_not() {
    let it = Acceptance::open().await;
    let mut forwarded = 0;
    for model in ["gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash"] {
        for way in Way::all() {
            let answer = it.ask(ACME, way, &way.body(model, "Hello.")).await;
            way.check_forwarded(&answer, model);
            forwarded += 1;
            let heard = it.simulator.heard().pop().unwrap();
            assert_eq!(heard.target, way.path);
            let body: Value = serde_json::from_slice(&heard.body).unwrap();
            assert_eq!((&body["model"], &body["stream"]), (&json!(model), &json!(way.stream)));
        }
    }
    let count = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hello."}]});
    let answer = it.gate.post(ACME, "/v1/messages/count_tokens", &count).await;
    assert!(answer.json()["input_tokens"].is_u64(), "{answer:?}");
    assert_eq!(it.reached(), forwarded + 1);
}

#[tokio::test]
async fn acme_is_forwarded_the_embedding_model_for_embeddings_and_nothing_else() {
    let it = Acceptance::open().await;
    let body = json!({"model": "text-embedding-3-small", "input": ["one", "two"]});
    let answer = it.gate.post(ACME, "/v1/embeddings", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
    it.refuses(ACME, &[("text-embedding-3-small", "Hello.", "operation_not_permitted")]).await;
}

#[tokio::test]
async fn acme_is_refused_what_is_pending_retired_forbidden_or_unknown() {
    let it = Acceptance::open().await;
    it.refuses(
        ACME,
        &[
            ("gpt-4o", "Hello.", "model_not_approved"),
            ("old-model", "Hello.", "model_not_approved"),
            ("forbidden-scorer", "Hello.", "model_not_approved"),
            ("no-such-model", "Hello.", "model_unknown"),
            ("GPT-4o-mini", "Hello.", "model_unknown"),
            ("gpt-4o-mini ", "Hello.", "model_unknown"),
        ],
    )
    .await;
}

#[tokio::test]
async fn globex_is_refused_a_model_that_only_acme_may_use() {
    let it = Acceptance::open().await;
    it.refuses(GLOBEX, &[("claude-sonnet-4-5", "Hello.", "model_not_permitted")]).await;
}

#[tokio::test]
async fn a_card_number_or_a_live_credential_is_refused_for_both_tenants() {
    let it = Acceptance::open().await;
    // Put together here, so that no scanner takes this file for a leak.
    let card = "Please charge 4111 1111 1111 1111 today.";
    let stripe = concat!("the key is sk_", "live_51CIx9ibCye6IpP4C0UE0JCf65");
    let aws = concat!("use AK", "IAQ3EGRIZ7MC5NXLPT");
    let github = concat!("push with gh", "p_sYd4ZR3q806LPRXm8PySRRVuTZrz0p1cxGJP");
    let refused = [card, stripe, aws, github].map(|text| ("gpt-4o-mini", text, "risk_blocked"));
    it.refuses(ACME, &refused).await;
    it.refuses(GLOBEX, &refused).await;
    let harmless = [
        "Please charge 4111 1111 1111 1112 today.",
        concat!("the key is sk_", "live_xxxxxxxxxxxxxxxxxxxxxxxx"),
        "Where is my parcel?",
    ];
    for text in harmless {
        for way in Way::all() {
            way.check_forwarded(&it.ask(ACME, way, &way.body("gpt-4o-mini", text)).await, text);
        }
    }
}

#[tokio::test]
async fn a_prompt_named_by_header_is_forwarded_only_when_it_is_approved() {
    let it = Acceptance::open().await;
    for way in Way::all() {
        let body = way.body("gpt-4o-mini", "Hello.");
        let answer = it.ask_with(ACME, way, &[("x-portcullis-prompt", "support-triage@1")], &body).await;
        way.check_forwarded(&answer, "support-triage@1");
        let before = it.reached();
        for (prompt, code) in [
            ("support-triage@2", "prompt_not_approved"),
            ("support-triage@9", "prompt_unknown"),
            ("nobodys-prompt@1", "prompt_unknown"),
        ] {
            let answer = it.ask_with(ACME, way, &[("x-portcullis-prompt", prompt)], &body).await;
            way.check_refused(&answer, 403, code, prompt);
        }
        assert_eq!(it.reached(), before, "a refused call reached the upstream");
    }
}

#[tokio::test]
async fn a_system_message_must_be_the_declared_prompt() {
    let it = Acceptance::open().await;
    let declared = [("x-portcullis-prompt", "support-triage@1")];
    let good = "You are the support assistant of Acme Bank. Answer politely.\n";
    let bad = "You are the support assistant of Acme Bank. Answer rudely.\n";
    for (system, code) in [(good, ""), (bad, "prompt_not_approved")] {
        for way in Way::all().filter(|way| [CHAT, MESSAGES].contains(&way.path)) {
            let mut body = way.body("gpt-4o-mini", "Hello.");
            if way.is_anthropic() {
                body["system"] = json!(system);
            } else {
                body["messages"].as_array_mut().unwrap().insert(0, json!({"role": "system", "content": system}));
            }
            let answer = it.ask_with(ACME, way, &declared, &body).await;
            assert_eq!(answer.reason(), code, "{way:?}: {answer:?}");
        }
    }
    let decisions = records(&it.dir.path().join("var/audit"));
    let bound = |binding: &str| decisions.iter().filter(|r| r["data"]["prompt"]["binding"] == binding).count();
    assert_eq!((bound("matched"), bound("declared")), (4, 4));
}

#[tokio::test]
async fn of_150_calls_of_globex_at_once_exactly_100_pass_and_acme_feels_nothing() {
    let it = Arc::new(Acceptance::open().await);
    let ways: Vec<Way> = Way::all().collect();
    let mut calls = JoinSet::new();
    let mut call = |key, way: Way| {
        let it = Arc::clone(&it);
        calls.spawn(async move { (key, way, it.ask(key, way, &way.body("gpt-4o-mini", "Hello.")).await) });
    };
    for n in 0..150 {
        let way = ways[n % ways.len()];
        call(GLOBEX, way);
        if n % 5 == 0 {
            call(ACME, way);
        }
    }
    let (mut passed, mut limited, mut acme) = (0, 0, 0);
    while let Some(call) = calls.join_next().await {
        let (key, way, answer) = call.unwrap();
        if key == ACME {
            way.check_forwarded(&answer, "acme");
            acme += 1;
        } else if answer.status == 200 {
            way.check_forwarded(&answer, "globex");
            passed += 1;
        } else {
            way.check_refused(&answer, 429, "request_limit", "globex");
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&wait), "{answer:?}");
            assert_eq!(answer.header("x-ratelimit-limit-requests"), "100");
            assert_eq!(answer.header("x-ratelimit-remaining-requests"), "0");
            limited += 1;
        }
    }
    assert_eq!((passed, limited, acme), (100, 50, 30));
    assert_eq!(it.reached(), 130);
    let Ok(it) = Arc::try_unwrap(it) else { panic!("all calls have ended") };
    let (code, _) = it.gate.process.end("TERM");
    assert_eq!(code, Some(0));
    let all = records(&it.dir.path().join("var/audit"));
    let decided = |tenant: &str, action: &str| {
        let is_such = |r: &&Value| is(r, "decision") && r["tenantid"] == tenant && r["data"]["action"] == action;
        all.iter().filter(is_such).count()
    };
    assert_eq!(
        (decided("globex", "LLM_CALL"), decided("globex", "THROTTLED"), decided("acme", "LLM_CALL")),
        (100, 50, 30)
    );
    assert_eq!(all.iter().filter(|r| is(r, "outcome") && r["data"]["end"] == "complete").count(), 130);
    let audit = it.dir.path().join("var/audit");
    finish(portcullis().args(["audit", "verify"]).arg(audit)).with_code(0);
}

#[tokio::test]
async fn the_model_list_is_what_the_tenant_may_use_now_in_both_dialects() {
    let it = Acceptance::open().await;
    let of_acme = ["claude-sonnet-4-5", "gemini-2.5-flash", "gpt-4o-mini", "text-embedding-3-small"];
    assert_eq!(it.models(ACME).await, of_acme);
    assert_eq!(it.models(GLOBEX).await, ["gpt-4o-mini"]);
    let headers = [("x-api-key", ACME), ("anthropic-version", "2023-06-01")];
    let anthropic = it.gate.ask(Method::GET, "/v1/models", &headers, "").await;
    assert_eq!(names(&anthropic), of_acme);
    let body = anthropic.json();
    assert_eq!((&body["has_more"], &body["data"][0]["type"]), (&json!(false), &json!("model")), "{body}");
    assert_eq!(it.reached(), 0, "the registry answers");
}

#[tokio::test]
async fn nobody_gets_anything_but_health() {
    let it = Acceptance::open().await;
    let health = it.gate.ask(Method::GET, "/health", &[], "").await;
    assert_eq!((health.status.as_u16(), &*health.body), (200, &br#"{"status":"ok"}"#[..]));
    for way in Way::all() {
        let body = way.body("gpt-4o-mini", "Hello.").to_string();
        let answer = it.gate.ask(Method::POST, way.path, &[("content-type", "application/json")], body).await;
        way.check_refused(&answer, 401, "credential_missing", "no key");
    }
    let elsewhere = [
        (Method::GET, "/"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/files"),
        (Method::POST, "/v1/check"),
        (Method::POST, "/api/evaluate"),
        (Method::POST, "/health"),
        (Method::HEAD, "/health"),
        (Method::GET, "/health/"),
        (Method::GET, "/metrics"),
        (Method::GET, "/status"),
        (Method::OPTIONS, CHAT),
        (Method::DELETE, "/anything"),
    ];
    for (method, path) in elsewhere {
        let answer = it.gate.ask(method.clone(), path, &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (401, "credential_missing"), "{method} {path}");
    }
    let almost = format!("{}0", &ACME[..ACME.len() - 1]);
    for key in ["pcl_k1_", "pcl_k9_0123456789abcdef", "sk-upstream-credential", "", &almost] {
        let answer = it.gate.post(key, CHAT, &chat_body("gpt-4o-mini", "Hello.")).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (401, "credential_invalid"), "{key}");
    }
    assert_eq!(it.reached(), 0);
    // Known to the gate, and still not served: the route is asked after the caller.
    let answer = it.gate.post(ACME, "/v1/uploads", &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (404, "unsupported_operation"));
}

#[tokio::test]
async fn the_check_figures_are_0_70_50_and_100() {
    let it = Acceptance::open().await;
    let cases = [
        (json!({"intent": "triage"}), 0, &["ok"][..]),
        (json!({"contains_personal_data": false, "is_external_model": false}), 0, &["ok"]),
        (json!({"contains_personal_data": true}), 70, &["contains_personal_data"]),
        (json!({"is_external_model": true}), 50, &["external_model_detected"]),
        (json!({"uses_external_model": true}), 50, &["external_model_detected"]),
        (
            json!({"contains_personal_data": true, "is_external_model": true}),
            100,
            &["contains_personal_data", "external_model_detected"],
        ),
    ];
    for (metadata, score, reasons) in &cases {
        let body = json!({"model": "gpt-4o-mini", "operation": "summarise", "metadata": metadata});
        let answer = it.gate.post(ACME, "/v1/check", &body).await;
        let said = answer.json();
        assert_eq!(answer.status, 200, "{metadata}: {said}");
        assert_eq!((&said["allowed"], &said["risk_score"]), (&json!(*score == 0), &json!(score)), "{metadata}: {said}");
        assert_eq!(said["reasons"], json!(reasons), "{metadata}");
        assert_eq!(said["reason"], reasons[0], "{metadata}");
    }
    for (model, reason) in [("gpt-4o", "model_not_approved"), ("no-such-model", "model_unknown")] {
        let said = it.gate.post(ACME, "/v1/check", &json!({"model": model})).await;
        assert_eq!(said.status, 200);
        assert_eq!((&said.json()["allowed"], &said.json()["reason"]), (&json!(false), &json!(reason)));
    }
    let of_check = records(&it.dir.path().join("var/audit"));
    let checks = of_check.iter().filter(|r| is(r, "decision") && r["data"]["action"] == "CHECK").count();
    assert_eq!(checks, cases.len() + 2, "one decision each");
    assert!(!of_check.iter().any(|r| is(r, "outcome")), "and no outcome");
    assert_eq!(it.reached(), 0, "never forwarded");
}

#[tokio::test]
async fn a_check_with_a_field_that_would_carry_content_is_refused_at_any_depth() {
    let it = Acceptance::open().await;
    for field in ["prompt", "text", "input", "message", "messages", "content"] {
        for body in [
            json!({"model": "gpt-4o-mini", field: "secret words"}),
            json!({"model": "gpt-4o-mini", "metadata": {field: "secret words"}}),
            json!({"model": "gpt-4o-mini", "metadata": {"intent": {"deep": [{"deeper": {field: 1}}]}}}),
            json!({"metadata": {"list": [[[{field: null}]]]}}),
        ] {
            let answer = it.gate.post(ACME, "/v1/check", &body).await;
            assert_eq!((answer.status.as_u16(), answer.reason()), (400, "forbidden_field"), "{body}: {answer:?}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("secret words"), "{answer:?}");
        }
    }
    // The header obeys the same rule.
    let way = Way { path: CHAT, stream: false };
    let header = [("x-portcullis-metadata", r#"{"a":{"messages":[]}}"#)];
    let answer = it.ask_with(ACME, way, &header, &way.body("gpt-4o-mini", "Hello.")).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (400, "forbidden_field"));
    assert_eq!(it.reached(), 0);
}

#[tokio::test]
async fn evaluate_says_where_the_tenant_stands_and_only_its_own() {
    let it = Acceptance::open().await;
    for left in [99, 98] {
        let answer = it.gate.post(GLOBEX, "/api/evaluate", &json!({"customer_id": "globex"})).await;
        let said = answer.json();
        assert_eq!(answer.status, 200, "{said}");
        assert_eq!((&said["status"], &said["customer_id"]), (&json!("allowed"), &json!("globex")));
        assert!(said["message"].is_string());
        assert_eq!(said["limits"]["requests"]["remaining"], left, "{said}");
    }
    let other = it.gate.post(GLOBEX, "/api/evaluate", &json!({"customer_id": "acme"})).await;
    assert_eq!((other.status.as_u16(), other.reason()), (403, "tenant_mismatch"));
    for _ in 0..97 {
        assert_eq!(it.gate.post(GLOBEX, "/api/evaluate", &json!({})).await.status, 200);
    }
    let over = it.gate.post(GLOBEX, "/api/evaluate", &json!({})).await;
    assert_eq!((over.status.as_u16(), over.reason()), (429, "request_limit"), "the refused attempt cost one too");
    assert_eq!(it.reached(), 0);
}

#[tokio::test]
async fn the_upstream_sees_its_own_credential_and_nothing_of_the_gate() {
    let it = Acceptance::open().await;
    let metadata = r#"{"intent":"triage"}"#;
    let own = [
        ("x-portcullis-tenant", "acme"),
        ("x-tenant-id", "acme"),
        ("x-tenant", "acme"),
        ("x-portcullis-prompt", "support-triage@1"),
        ("x-portcullis-metadata", metadata),
        ("x-correlation-id", "corr-1"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("accept-encoding", "gzip, br"),
    ];
    for way in Way::all() {
        let answer = it.ask_with(ACME, way, &own, &way.body("gpt-4o-mini", "Hello.")).await;
        way.check_forwarded(&answer, "with many headers");
        assert_eq!(answer.header("x-correlation-id"), "corr-1");
        let heard = it.simulator.heard().pop().unwrap();
        let credential = if way.is_anthropic() { "x-api-key" } else { "authorization" };
        let expected = if way.is_anthropic() { UPSTREAM_KEY.to_owned() } else { format!("Bearer {UPSTREAM_KEY}") };
        assert_eq!(heard.headers[credential], expected, "{way:?}");
        assert_eq!(heard.headers["accept-encoding"], "identity");
        for (name, value) in &heard.headers {
            let (name, value) = (name.as_str(), value.to_str().unwrap());
            assert!(!value.contains("pcl_"), "the gate key went upstream in {name}");
            let of_the_gate = name.starts_with("x-portcullis") || own[..8].iter().any(|(own, _)| *own == name);
            assert!(!of_the_gate, "{name} went upstream");
        }
        let credentials = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
        assert_eq!(credentials.iter().filter(|name| heard.headers.contains_key(**name)).count(), 1, "{way:?}");
    }
    let answer = it
        .ask_with(
            ACME,
            Way { path: CHAT, stream: false },
            &[("x-tenant-id", "globex")],
            &chat_body("gpt-4o-mini", "Hi."),
        )
        .await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (403, "tenant_mismatch"));
    assert_eq!(it.simulator.stats().unauthorized, 0);
}

/// A body written as no serializer would, around the model's string.
fn odd_body(model: &str) -> String {
    format!(
        "{{ \"messages\" : [ {{\"content\":\"caf\\u00e9 \u{1f511} gpt-4o-mini\",\"role\":\"user\"}} ],\r\n\t\"temperature\" : 0.10e0 , \"model\"  :\t{model} , \"n\":1, \"user\": \"gpt-4o-mini\" }}\n"
    )
}

#[tokio::test]
async fn an_alias_or_a_pin_changes_the_models_string_and_no_other_byte() {
    let site = Site::with(|dir| {
        let pinned = "model: claude-sonnet-4-5\nupstream_model: \"claude-pinned-2025\"\n";
        edit(&dir.join("policies/models/claude-sonnet-4-5.yaml"), "model: claude-sonnet-4-5\n", pinned);
    })
    .await;
    let cases = [
        (r#""gpt-4o-mini""#, r#""gpt-4o-mini""#),
        (r#""gpt-4o-mini-2024-07-18""#, r#""gpt-4o-mini""#),
        (r#""claude-sonnet-4-5""#, r#""claude-pinned-2025""#),
    ];
    let headers = [("x-api-key", ACME), ("content-type", "application/json")];
    for (asked, sent) in cases {
        let answer = site.ask(Method::POST, CHAT, &headers, odd_body(asked)).await;
        assert_eq!(answer.status, 200, "{asked}: {answer:?}");
        let heard = site.simulator.heard().pop().unwrap();
        assert_eq!(std::str::from_utf8(&heard.body).unwrap(), odd_body(sent), "{asked}");
        assert_eq!(heard.headers["content-length"], odd_body(sent).len().to_string());
    }
    // The pin is a name for the upstream only.
    let answer = site.chat(&chat_body("claude-pinned-2025", "Hello.")).await;
    assert_eq!(answer.reason(), "model_unknown");
    let (_dir, records) = site.close().await;
    let named: Vec<&str> = records
        .iter()
        .filter(|r| is(r, "decision") && r["data"]["decision"] == "allow")
        .map(|r| r["data"]["resource"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["gpt-4o-mini", "gpt-4o-mini", "claude-sonnet-4-5"], "records name the registry's model");
}

#[tokio::test]
async fn the_model_list_follows_the_registry_within_a_second_in_both_dialects() {
    let site = Site::open().await;
    let models = site.policies().join("models");
    let list = async |anthropic: bool| {
        let mut headers = vec![("x-api-key", ACME)];
        if anthropic {
            headers.push(("anthropic-version", "2023-06-01"));
        }
        names(&site.ask(Method::GET, "/v1/models", &headers, "").await)
    };
    let follows = async |what: &str, expected: &[&str]| {
        let changed = Instant::now();
        for anthropic in [false, true] {
            eventually(what, async || (list(anthropic).await == expected).then_some(())).await;
        }
        assert!(changed.elapsed() < SOON, "{what}: took {:?}", changed.elapsed());
    };
    edit(&models.join("gemini-2.5-flash.yaml"), "status: approved", "status: revoked");
    follows("revoked", &["claude-sonnet-4-5", "gpt-4o-mini", "text-embedding-3-small"]).await;
    edit(&models.join("gpt-4o.yaml"), "status: pending", "status: approved");
    follows("approved", &["claude-sonnet-4-5", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small"]).await;
    std::fs::remove_file(models.join("claude-sonnet-4-5.yaml")).unwrap();
    follows("removed", &["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"]).await;
    edit(&site.policies().join("tenants/acme.yaml"), "models: [gpt-4o-mini, ", "models: [");
    follows("not permitted", &["gpt-4o", "text-embedding-3-small"]).await;
    let first = "model: gpt-4o\nversion: \"2025-01-01\"\nupstream: sim\nstatus: pending\nrisk_level: limited\n";
    put(&models.join("gpt-4o-next.yaml"), first);
    edit(&models.join("gpt-4o.yaml"), "status: approved", "status: revoked");
    follows("no version approved", &["text-embedding-3-small"]).await;
}

#[test]
fn the_acceptance_files_are_valid_as_they_are() {
    let dir = support::acceptance_directory();
    let done = finish(&mut on(dir.path(), &["validate"])).with_code(0);
    assert!(done.out.starts_with("valid: 7 model versions, 2 prompt versions, 2 tenants"), "{done:?}");
    assert_eq!(done.err, "", "not a warning");
}
