//! Every command as its users run it: what it prints, where, and the exit code that scripts rely on.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use support::process::{Finished, Running, finish, finish_with, on, portcullis};
use support::{ACME, CHAT, GLOBEX, Http, Site, acceptance_directory, chat_body, edit, eventually, is};
use tempfile::TempDir;
use tokio::time::Instant;

const MESSAGES: &str = "/v1/messages";

/// A call as `explain` and the gate are asked about it, and the code that both must give; none: allowed.
struct Asked {
    tenant: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    code: Option<&'static str>,
}

fn asked(path: &'static str, body: impl std::fmt::Display, code: Option<&'static str>) -> Asked {
    Asked { tenant: "acme", path, headers: &[], body: body.to_string(), code }
}

fn with(headers: &'static [(&'static str, &'static str)], asked: Asked) -> Asked {
    Asked { headers, ..asked }
}

fn of_globex(asked: Asked) -> Asked {
    Asked { tenant: "globex", ..asked }
}

fn table() -> Vec<Asked> {
    let mini = || chat_body("gpt-4o-mini", "Hello.");
    let message =
        json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}]});
    let system = json!({"model": "gpt-4o-mini", "messages": [
        {"role": "system", "content": "You are the support assistant of Acme. Answer politely."},
        {"role": "user", "content": "Hello."}]});
    let card = "4111 1111 1111 1111";
    vec![
        asked(CHAT, mini(), None),
        asked(CHAT, chat_body("gpt-4o-mini-2024-07-18", "Hello."), None),
        asked(CHAT, &system, None),
        asked(MESSAGES, message, None),
        asked("/v1/embeddings", json!({"model": "text-embedding-3-small", "input": "Hello."}), None),
        with(&[("x-portcullis-prompt", "support-triage@1")], asked(CHAT, mini(), None)),
        with(&[("x-portcullis-prompt", "support-triage@2")], asked(CHAT, mini(), Some("prompt_not_approved"))),
        with(&[("x-portcullis-prompt", "support-triage@9")], asked(CHAT, mini(), Some("prompt_unknown"))),
        with(&[("x-portcullis-metadata", r#"{"intent":"x"}"#)], asked(CHAT, mini(), None)),
        with(&[("x-portcullis-metadata", r#"{"text":"x"}"#)], asked(CHAT, mini(), Some("forbidden_field"))),
        with(&[("x-portcullis-metadata", r#"{"is_external_model":true}"#)], asked(CHAT, mini(), Some("risk_blocked"))),
        with(&[("x-tenant-id", "globex")], asked(CHAT, mini(), Some("tenant_mismatch"))),
        with(&[("content-type", "text/plain")], asked(CHAT, mini(), Some("unsupported_encoding"))),
        asked(CHAT, chat_body("gpt-4o", "Hello."), Some("model_not_approved")),
        asked(CHAT, chat_body("forbidden-scorer", "Hello."), Some("model_not_approved")),
        asked(CHAT, chat_body("no-such-model", "Hello."), Some("model_unknown")),
        asked(CHAT, chat_body("text-embedding-3-small", "Hello."), Some("operation_not_permitted")),
        asked(CHAT, chat_body("gpt-4o-mini", card), Some("risk_blocked")),
        asked(CHAT, json!({"messages": []}), Some("model_missing")),
        asked(CHAT, r#"{"model":"gpt-4o-mini","model":"gpt-4o","messages":[]}"#, Some("ambiguous_request")),
        asked(CHAT, r#"{"model":"gpt-4o-mini","#, Some("malformed_request")),
        asked("/v1/uploads", "{}", Some("unsupported_operation")),
        of_globex(asked(CHAT, mini(), None)),
        of_globex(asked(CHAT, chat_body("claude-sonnet-4-5", "Hello."), Some("model_not_permitted"))),
        of_globex(asked(CHAT, chat_body("gpt-4o-mini", card), Some("risk_blocked"))),
    ]
}

fn explain(dir: &Path, ask: &Asked) -> Finished {
    let request = dir.join("request.json");
    std::fs::write(&request, &ask.body).unwrap();
    let mut command = on(dir, &["explain", "--tenant", ask.tenant, "--path", ask.path]);
    command.arg("--request").arg(request);
    for (name, value) in ask.headers {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    finish(&mut command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_agrees_with_the_running_gate_check_by_check() {
    let site = Site::open().await;
    for ask in table() {
        let key = if ask.tenant == "acme" { ACME } else { GLOBEX };
        let mut headers = vec![("x-api-key", key)];
        if !ask.headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(("content-type", "application/json"));
        }
        headers.extend(ask.headers);
        let answer = site.ask(Method::POST, ask.path, &headers, ask.body.clone()).await;
        let case = format!("{} {:?} {}", ask.path, ask.headers, ask.body);
        assert_eq!(answer.reason(), ask.code.unwrap_or_default(), "{case}: {answer:?}");
        let of_gate = site
            .records()
            .into_iter()
            .find(|r| is(r, "decision") && r["data"]["request_id"] == answer.header("x-request-id"))
            .unwrap();
        let done = explain(site.dir.path(), &ask).with_code(i32::from(ask.code.is_some()));
        assert_eq!(done.err, "", "{case}");
        let said = done.json();
        assert_eq!(said["decision"], if ask.code.is_some() { "block" } else { "allow" }, "{case}");
        assert_eq!(said["reason"]["code"], json!(ask.code), "{case}");
        assert_eq!(said["reason"]["failure_class"], of_gate["data"]["reason"]["failure_class"], "{case}");
        assert_eq!(said["checks"], of_gate["data"]["checks"], "{case}");
        assert!(said["checks"].as_object().unwrap().len() >= 6, "{case}: {said}");
        for same in ["resource", "prompt", "organization", "environment", "facts"] {
            assert_eq!(said[same], of_gate["data"][same], "{case}: {same}");
        }
        for same in ["score", "findings"] {
            assert_eq!(said["risk"][same], of_gate["data"]["risk"][same], "{case}: {same}");
        }
        if ask.code.is_some() {
            assert_eq!(said["status"], answer.status.as_u16(), "{case}");
        }
    }
}

#[test]
fn explain_sends_and_writes_nothing() {
    let dir = acceptance_directory();
    let done = explain(dir.path(), &asked(CHAT, chat_body("gpt-4o-mini", "Hello."), None)).with_code(0);
    assert_eq!(done.json()["llm"]["upstream"], "sim");
    assert!(!dir.path().join("var").exists());
}

#[test]
fn explain_says_what_it_cannot_explain() {
    let dir = acceptance_directory();
    let body = || chat_body("gpt-4o-mini", "Hello.");
    let nobody = Asked { tenant: "initech", ..asked(CHAT, body(), None) };
    let done = explain(dir.path(), &nobody).with_code(2);
    assert!(done.err.contains("no tenant `initech`"), "{done:?}");
    for path in ["/v1/check", "/api/evaluate", "/v1/models", "/health"] {
        let done = explain(dir.path(), &asked(path, body(), None)).with_code(2);
        assert!(done.err.contains(path) && done.err.contains("answers itself"), "{done:?}");
    }
    let mut command = on(dir.path(), &["explain", "--tenant", "acme", "--request", "/nowhere.json"]);
    let done = finish(&mut command).with_code(2);
    assert!(done.err.contains("/nowhere.json"), "{done:?}");
    edit(&dir.path().join("policies/people.yaml"), "people:", "poeple:");
    let done = explain(dir.path(), &asked(CHAT, body(), None)).with_code(2);
    assert!(done.err.contains("people.yaml:2:1"), "{done:?}");
}

/// Where `needle` stands in `text`, counted in code points.
fn points(text: &str, needle: &str) -> (usize, usize) {
    let start = text[..text.find(needle).unwrap()].chars().count();
    (start, start + needle.chars().count())
}

#[test]
fn scan_answers_each_line_with_offsets_in_code_points() {
    let card = "4111 1111 1111 1111";
    let texts = [
        format!("card {card}"),
        format!("\u{1f600} card {card} ok"),
        format!("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} caf\u{e9} \u{65e5}\u{672c}\r\n\t{card}\u{1f511}"),
        format!("e\u{301}\u{1f1e9}\u{1f1ea} {card}, and dana@example.com too"),
        "nothing here \u{1f600}".to_owned(),
        String::new(),
    ];
    let input: Vec<String> =
        texts.iter().enumerate().map(|(id, text)| json!({"id": id, "text": text}).to_string()).collect();
    let done = finish_with(portcullis().arg("scan"), &input.join("\n")).with_code(0);
    let lines: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), texts.len());
    for (id, (text, line)) in texts.iter().zip(&lines).enumerate() {
        assert_eq!(line["id"], id);
        let mut keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["findings", "id", "injection_score", "risk_score"], "{line}");
        let findings = line["findings"].as_array().unwrap();
        let found = |kind: &str, needle: &str| {
            let (start, end) = points(text, needle);
            findings.contains(&json!({"type": kind, "start": start, "end": end}))
        };
        if text.contains(card) {
            assert!(found("CREDIT_CARD", card), "{text}: {line}");
            assert!(line["risk_score"].as_u64().unwrap() >= 70, "{line}");
        } else {
            assert_eq!((findings.len(), &line["risk_score"]), (0, &json!(0)), "{line}");
        }
        if text.contains('@') {
            assert!(found("EMAIL", "dana@example.com"), "{text}: {line}");
        }
    }
}

#[test]
fn scan_keeps_ids_as_they_are_and_names_a_bad_line() {
    let good = "{\"id\":{\"a\":[1]},\"text\":\"x\"}\n";
    let done = finish_with(portcullis().arg("scan"), good).with_code(0);
    assert_eq!(done.json()["id"], json!({"a": [1]}));
    let done = finish_with(portcullis().arg("scan"), &format!("{good}\n{{\"id\":1}}\n{good}")).with_code(2);
    assert_eq!(done.out.lines().count(), 1, "what came before is answered");
    assert!(done.err.contains("line 3") && done.err.contains("`text`"), "{done:?}");
    assert_eq!(finish_with(portcullis().arg("scan"), "").with_code(0).out, "");
}

#[test]
fn scan_scores_under_a_profile_of_the_policies() {
    let dir = acceptance_directory();
    edit(&dir.path().join("policies/risk/default.yaml"), "personal_data: 70", "personal_data: 7");
    let line = "{\"id\":1,\"text\":\"card 4111 1111 1111 1111\"}\n";
    let done = finish_with(&mut on(dir.path(), &["scan", "--profile", "default"]), line).with_code(0);
    assert_eq!(done.json()["risk_score"], 7);
    let done = finish_with(&mut on(dir.path(), &["scan", "--profile", "none"]), line).with_code(2);
    assert!(done.err.contains("no risk profile `none`"), "{done:?}");
}

/// The key and the entry that `keys new` prints for people.
fn printed_key(done: &Finished) -> (String, String) {
    let line = |start: &str| done.out.lines().map(str::trim).find(|line| line.starts_with(start)).unwrap().to_owned();
    (line("pcl_"), line("- {id:"))
}

#[tokio::test]
async fn a_new_key_opens_the_gate_once_its_entry_is_in_the_tenants_file() {
    let site = Site::open().await;
    let file = site.policies().join("tenants/acme.yaml");
    let done = finish(portcullis().args(["keys", "new", "--tenant", "acme", "--expires", "2999-12-31"])).with_code(0);
    let (key, entry) = printed_key(&done);
    assert!(done.out.contains("policies/tenants/acme.yaml"), "{done:?}");
    let status = async |key: &str| site.post(key, CHAT, &chat_body("gpt-4o-mini", "Hello.")).await.status.as_u16();
    assert_eq!(status(&key).await, 401);
    edit(&file, "keys:\n", &format!("keys:\n  {entry}\n"));
    eventually("the new key", async || (status(&key).await == 200).then_some(())).await;
    assert_eq!(status(ACME).await, 200, "the old one goes on");

    let done = finish(portcullis().args(["keys", "new", "--tenant", "acme", "--id", "k9", "--format", "json"]));
    let said = done.with_code(0).json();
    let (key, hash) = (said["key"].as_str().unwrap(), said["hash"].as_str().unwrap());
    assert!(key.starts_with("pcl_k9_") && said["tenant"] == "acme" && said["id"] == "k9", "{said}");
    edit(&file, "keys:\n", &format!("keys:\n  - {{id: k9, hash: \"{hash}\"}}\n"));
    eventually("the second key", async || (status(key).await == 200).then_some(())).await;

    let done = finish(portcullis().args(["keys", "new", "--tenant", "acme", "--expires", "2020-01-01"])).with_code(0);
    let (key, entry) = printed_key(&done);
    edit(&file, "keys:\n", &format!("keys:\n  {entry}\n"));
    let expired = async || {
        let answer = site.post(&key, CHAT, &chat_body("gpt-4o-mini", "Hello.")).await;
        (answer.reason() == "credential_expired").then_some(())
    };
    eventually("the expired key is known as such", expired).await;
}

#[test]
fn two_keys_are_never_the_same_and_bad_names_are_refused() {
    let new = |arguments: &[&str]| finish(portcullis().args(["keys", "new"]).args(arguments));
    let (one, _) = printed_key(&new(&["--tenant", "acme"]));
    let (two, _) = printed_key(&new(&["--tenant", "acme"]));
    assert_ne!(one, two);
    assert!(one.rsplit('_').next().unwrap().len() >= 64, "256 bits");
    for (arguments, said) in [
        (&["--tenant", "a b"][..], "`a b`"),
        (&["--tenant", "acme", "--id", "k 1"], "`k 1`"),
        (&["--tenant", "acme", "--expires", "tomorrow"], "YYYY-MM-DD"),
        (&[], "--tenant"),
    ] {
        let done = new(arguments).with_code(2);
        assert!(done.err.contains(said) && done.out.is_empty(), "{done:?}");
    }
}

/// A log with an allowed, a refused and a foreign call; answers the directory and the audit directory in it.
async fn a_log() -> (TempDir, PathBuf) {
    let site = Site::open().await;
    assert_eq!(site.chat(&chat_body("gpt-4o-mini", "Hello.")).await.status, 200);
    assert_eq!(site.chat(&chat_body("gpt-4o", "Hello.")).await.status, 403);
    assert_eq!(site.post(GLOBEX, CHAT, &chat_body("claude-sonnet-4-5", "Hello.")).await.status, 403);
    let audit = site.audit_dir();
    let (dir, records) = site.close().await;
    assert_eq!(records.len(), 5, "{records:#?}");
    (dir, audit)
}

fn audit(command: &str, dir: &Path, arguments: &[&str]) -> Finished {
    finish(portcullis().args(["audit", command]).arg(dir).args(arguments))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_verify_says_what_is_whole_and_names_the_place_that_is_not() {
    let (_dir, log) = a_log().await;
    let done = audit("verify", &log, &[]).with_code(0);
    assert!(done.out.contains("whole") && done.out.contains("GOVERNANCE_VIOLATION"), "{done:?}");
    let said = audit("verify", &log, &["--format", "json"]).with_code(0).json();
    assert_eq!(
        (&said["whole"], &said["records"], &said["by_action"]["LLM_CALL"]),
        (&json!(true), &json!(5), &json!(1))
    );
    assert_eq!(said["outcome_unknown"], 0);
    let segment = std::fs::read_dir(log.join("segments")).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&segment).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let second = text.find('\n').unwrap() + 1;
    let third = second + text[second..].find('\n').unwrap() + 1;
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        assert_ne!(bytes[at], byte);
        bytes[at] = byte;
        bytes
    };
    let cases = [
        ("a changed tenant", changed(second + text[second..].find("acme").unwrap(), b'b'), 3),
        ("a broken brace", changed(second, b'('), 2),
        ("a line taken out", [&good[..second], &good[third..]].concat(), 2),
        ("a line twice", [&good[..third], &good[second..]].concat(), 3),
        ("a line in front", [b"{}\n".as_slice(), &good].concat(), 1),
    ];
    for (what, bytes, line) in cases {
        std::fs::write(&segment, bytes).unwrap();
        let done = audit("verify", &log, &[]).with_code(1);
        assert!(done.err.contains(&format!("{}:{line}: ", segment.display())), "{what}: {done:?}");
        assert_eq!(done.out, "", "{what}: nothing is called whole");
        let said = audit("verify", &log, &["--format", "json"]).with_code(1).json();
        assert_eq!((&said["whole"], &said["at"]["line"]), (&json!(false), &json!(line)), "{what}: {said}");
    }
    std::fs::write(&segment, &good).unwrap();
    audit("verify", &log, &[]).with_code(0);
    let done = audit("verify", Path::new("/nowhere"), &[]).with_code(2);
    assert!(done.err.contains("/nowhere") && done.err.contains("state directory"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_tail_shows_the_last_records_that_match() {
    let (_dir, log) = a_log().await;
    let done = audit("tail", &log, &[]).with_code(0);
    assert_eq!(done.out.lines().count(), 5, "{done:?}");
    assert!(done.out.lines().nth(3).unwrap().contains("model_not_approved"), "{done:?}");
    let done = audit("tail", &log, &["-n", "1", "--format", "json"]).with_code(0);
    assert_eq!(done.json()["tenantid"], "globex");
    for (filter, lines) in [
        (["--tenant", "acme"], 3),
        (["--reason", "model_not_permitted"], 1),
        (["--action", "GOVERNANCE_VIOLATION"], 2),
        (["--since", "2999-01-01T00:00:00Z"], 0),
        (["--until", "2999-01-01T00:00:00Z"], 5),
        (["--request", "nobody"], 0),
    ] {
        let done = audit("tail", &log, &filter).with_code(0);
        assert_eq!(done.out.lines().count(), lines, "{filter:?}: {done:?}");
    }
    let done = audit("tail", &log, &["--since", "yesterday"]).with_code(2);
    assert!(done.err.contains("--since"), "{done:?}");
    audit("tail", Path::new("/nowhere"), &[]).with_code(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_tail_follows_a_running_gate() {
    let site = Site::open().await;
    let tail = Running::start(portcullis().args(["audit", "tail", "--follow"]).arg(site.audit_dir()));
    tail.hear("GATE_STARTED");
    site.chat(&chat_body("gpt-4o", "Hello.")).await;
    assert!(tail.hear("model_not_approved").contains("acme"));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = finish(portcullis().args(["completions", shell])).with_code(0);
        for command in ["validate", "explain", "completions"] {
            assert!(done.out.contains(command), "{shell} knows no {command}");
        }
        if shell == "bash" {
            finish_with(std::process::Command::new("bash").arg("-n"), &done.out).with_code(0);
        }
    }
    finish(portcullis().args(["completions", "tcsh"])).with_code(2);
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_demo_ends_well_within_half_a_minute_and_leaves_nothing() {
    let (temporary, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let began = Instant::now();
    let done =
        finish(portcullis().arg("demo").env("TMPDIR", temporary.path()).current_dir(elsewhere.path())).with_code(0);
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
    let codes = ["model_not_approved", "model_unknown", "prompt_unknown", "risk_blocked", "credential_invalid"];
    for word in codes.into_iter().chain(["request_limit", "breaker_open", "events relayed", "chain whole"]) {
        assert!(done.out.contains(word), "{word} is not in:\n{}", done.out);
    }
    assert!(!done.out.contains('\u{1b}'), "colour only on a terminal");
    assert_eq!(done.err, "");
    assert_eq!((entries(temporary.path()), entries(elsewhere.path())), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_serves_until_it_is_told_to_end_and_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let temporary = tempfile::tempdir().unwrap();
        let demo = Running::start(portcullis().args(["demo", "--serve"]).env("TMPDIR", temporary.path()));
        let curl = demo.hear("/v1/chat/completions -H");
        let url = curl.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let key = curl.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap();
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = chat_body("gpt-4o-mini", "Hello").to_string();
        let answer = Http::default().send(url, Method::POST, &headers, body.into()).await;
        assert_eq!(answer.status, 200, "as printed: {answer:?}");
        demo.hear("Ctrl-C ends it");
        let (code, said) = demo.end(signal);
        assert_eq!(code, Some(0), "{signal}: {said:#?}");
        assert!(said.iter().any(|line| line.contains("chain whole")), "{said:#?}");
        assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new(), "{signal}");
    }
}

/// The names under `Commands:` of a help text, `help` apart.
fn commands_in(help: &str) -> Vec<String> {
    let after = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = after.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_has_an_example_that_names_it() {
    let mut seen = Vec::new();
    let mut ahead = vec![Vec::new()];
    while let Some(path) = ahead.pop() {
        let help = finish(portcullis().args(&path).arg("--help")).with_code(0).out;
        assert!(help.contains("Usage:"), "{path:?}: {help}");
        let inner = commands_in(&help);
        if !path.is_empty() {
            let named = format!("portcullis {}", path.join(" "));
            let example = help.lines().find(|line| line.starts_with("Example:"));
            assert!(example.is_some_and(|example| example.contains(&named)), "{path:?}: {help}");
        }
        ahead.extend(inner.into_iter().map(|name| [path.clone(), vec![name]].concat()));
        seen.push(path.join(" "));
    }
    for due in ["run", "demo", "validate", "explain", "scan", "keys new", "audit verify", "audit tail", "completions"] {
        assert!(seen.iter().any(|path| path == due), "{due} is not in {seen:?}");
    }
}

#[test]
fn the_bare_command_shows_its_help_and_the_version_is_told() {
    let done = finish(&mut portcullis()).with_code(2);
    assert!(done.err.contains("Usage: portcullis"), "{done:?}");
    let done = finish(portcullis().arg("--version")).with_code(0);
    assert_eq!(done.out.trim(), concat!("portcullis ", env!("CARGO_PKG_VERSION")));
}
