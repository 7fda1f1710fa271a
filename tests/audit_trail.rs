//! The record of every call: one decision each, one outcome for what was forwarded, a chain that an independent
//! checker confirms, nothing forwarded before its record is on stable storage, and a log that survives a crash.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::future::join_all;
use http::Method;
use portcullis::simulator::Simulator;
use serde_json::{Value, json};
use support::wire::process::{Process, gate, gate_in_shell, verify, verify_independently};
use support::wire::{Line, Upstream, edits, post};
use support::{ACME, Answer, CHAT, GLOBEX, Site, UPSTREAM_KEY, chat_body, eventually, is, policy_directory, records};

const CARD: &str = "my card is 4111 1111 1111 1111";

fn decisions(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| is(record, "decision")).collect()
}

fn outcomes(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| is(record, "outcome")).collect()
}

/// The record that an answer's `x-portcullis-audit` names.
fn named<'r>(records: &'r [Value], address: &str) -> &'r Value {
    let (origin, sequence) = address.rsplit_once('#').unwrap_or_else(|| panic!("no address: {address:?}"));
    let source = format!("//{origin}");
    let sequence = format!("{:020}", sequence.parse::<u64>().unwrap());
    records.iter().find(|r| r["source"] == *source && r["sequence"] == *sequence).unwrap()
}

async fn call(site: &Site, name: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {ACME}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-request-id", name)];
    site.ask(Method::POST, CHAT, &headers, body.to_string()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_150_parallel_calls_each_has_one_decision_and_each_forwarded_one_its_outcome() {
    let site = Site::open().await;
    let calls = (0..150).map(|n| {
        let mut body = match n % 5 {
            2 => chat_body("gpt-4o", "hello"),
            3 => chat_body("gpt-4o-mini", CARD),
            4 => chat_body("rogue-model", "hello"),
            _ => chat_body("gpt-4o-mini", "hello"),
        };
        body["stream"] = json!(n % 5 == 1);
        let (site, name) = (&site, format!("call-{n}"));
        async move {
            let answer = call(site, &name, &body).await;
            (name, answer)
        }
    });
    let answers = join_all(calls).await;
    assert_eq!(site.simulator.stats().requests, 60);
    let (dir, records) = site.close().await;

    let mut by_name: HashMap<&str, Vec<&Value>> = HashMap::new();
    for decision in decisions(&records) {
        by_name.entry(decision["data"]["request_id"].as_str().unwrap()).or_default().push(decision);
    }
    assert_eq!(by_name.len(), 150);
    for (name, answer) in &answers {
        let [decision] = by_name[name.as_str()][..] else { panic!("{name} has not exactly one decision") };
        assert_eq!(named(&records, answer.header("x-portcullis-audit")), decision, "{name}");
        let forwarded = answer.status == 200;
        let expected = if forwarded { ("LLM_CALL", "allow") } else { ("GOVERNANCE_VIOLATION", "block") };
        let data = &decision["data"];
        assert_eq!((data["action"].as_str().unwrap(), data["decision"].as_str().unwrap()), expected, "{name}");
        if !forwarded {
            assert_eq!(data["http"]["status"], answer.status.as_u16(), "{name}");
            assert_eq!(data["reason"]["code"], answer.reason(), "{name}");
        }
        let ends: Vec<_> = outcomes(&records).into_iter().filter(|o| o["causationid"] == decision["id"]).collect();
        assert_eq!(ends.len(), usize::from(forwarded), "{name}");
        for end in ends {
            assert_eq!((&end["data"]["end"], &end["data"]["status"]), (&json!("complete"), &json!(200)), "{name}");
            assert!(end["sequence"].as_str() > decision["sequence"].as_str(), "{name}: outcome before decision");
        }
    }
    assert_eq!(outcomes(&records).len(), 60);

    let audit = dir.path().join("var/audit");
    let (whole, said) = verify_independently(&audit);
    assert!(whole && said.starts_with(&format!("{} records,", records.len())), "{said}");
    let (whole, said) = verify(&audit);
    assert!(whole, "{said}");
    assert_eq!(said["records"], records.len());
    assert_eq!((&said["outcome_unknown"], &said["outcome_without_decision"]), (&json!(0), &json!(0)));
    assert_eq!((&said["by_action"]["LLM_CALL"], &said["by_action"]["GOVERNANCE_VIOLATION"]), (&json!(60), &json!(90)));
}

#[tokio::test]
async fn both_checkers_find_a_record_that_was_changed_taken_out_or_moved() {
    let site = Site::open().await;
    for n in 0..4 {
        call(&site, &format!("call-{n}"), &chat_body("gpt-4o", "hello")).await;
    }
    let (dir, _) = site.close().await;
    let audit = dir.path().join("var/audit");
    let file = segment(&audit);
    let good = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let changed = good.replacen("call-1", "call-7", 1);
    let without = text_of(&[&lines[..2], &lines[3..]].concat());
    let mut moved = lines.clone();
    moved.swap(2, 3);
    let moved = text_of(&moved);
    for (what, text) in [("changed", changed), ("taken out", without), ("moved", moved)] {
        assert_ne!(text, good);
        fs::write(&file, text).unwrap();
        assert!(!verify_independently(&audit).0, "{what}");
        assert!(!verify(&audit).0, "{what}");
    }
    fs::write(&file, good).unwrap();
    assert!(verify_independently(&audit).0 && verify(&audit).0);
}

fn text_of(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// The one open segment.
fn segment(audit: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(audit.join("segments")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    files.pop().unwrap()
}

/// The example of the contract. `null` where the value is of the moment: there only the kind of value is compared.
fn example() -> Value {
    json!({
        "specversion": "1.0", "id": "?", "source": "?", "type": "portcullis.decision.v1",
        "subject": "model/gpt-4o/2024-08-06", "time": "?", "datacontenttype": "application/json",
        "sequence": "?", "prevhash": "?", "correlationid": "req-7f3a", "traceparent": "?", "tenantid": "acme",
        "data": {
            "actor": {"type": "api_key", "id": "k1", "roles": ["client"]},
            "organization": "acme-bank", "environment": "prod",
            "action": "GOVERNANCE_VIOLATION", "decision": "block",
            "reason": {"code": "model_not_approved", "failure_class": "POLICY_VIOLATION", "kind": "model"},
            "checks": {"identity": "pass", "model": "block", "prompt": "not_applicable", "rules": "not_applicable",
                "limits": "not_applicable", "risk": "not_applicable"},
            "resource": {"type": "model", "id": "gpt-4o", "version": "2024-08-06", "status": "pending", "risk_level": "limited"},
            "prompt": null, "registry": {"revision": -1, "digest": "?"},
            "risk": {"score": 0, "findings": {}},
            "llm": {"dialect": "openai", "operation": "chat", "upstream": null, "stream": false, "max_tokens": 800},
            "http": {"method": "POST", "route": "/v1/chat/completions", "status": 403, "bytes_in": -1},
            "latency_us": {"policy": -1},
        },
    })
}

/// Every member of the example stands in the record; `?` and -1 stand for any text and any whole number.
fn assert_like(example: &Value, record: &Value, at: &str) {
    match example {
        Value::Object(members) => {
            for (name, member) in members {
                let found = record.get(name).unwrap_or_else(|| panic!("{at}/{name} is missing"));
                assert_like(member, found, &format!("{at}/{name}"));
            }
        }
        Value::String(any) if any == "?" => assert!(record.as_str().is_some_and(|text| !text.is_empty()), "{at}"),
        Value::Number(any) if any.as_i64() == Some(-1) => assert!(record.is_u64(), "{at}"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            assert_eq!(record, example, "{at}");
        }
    }
}

fn assert_whole_numbers(value: &Value) {
    match value {
        Value::Number(number) => assert!(number.is_u64() || number.is_i64(), "{number}"),
        Value::Array(items) => items.iter().for_each(assert_whole_numbers),
        Value::Object(members) => members.values().for_each(assert_whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn a_decision_has_every_member_of_the_contracts_example() {
    let site = Site::open().await;
    let bearer = format!("Bearer {ACME}");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-correlation-id", "req-7f3a"),
        ("traceparent", traceparent),
    ];
    let mut body = chat_body("gpt-4o", "hello");
    body["max_tokens"] = json!(800);
    let answer = site.ask(Method::POST, CHAT, &headers, body.to_string()).await;
    assert_eq!(answer.header("x-correlation-id"), "req-7f3a");
    let (_dir, records) = site.close().await;
    let record = named(&records, answer.header("x-portcullis-audit"));
    assert_like(&example(), record, "");
    assert_whole_numbers(record);
    assert_eq!(record["data"]["http"]["bytes_in"], body.to_string().len());
    assert_eq!(&record["traceparent"].as_str().unwrap()[..35], &traceparent[..35]);
    assert!(chrono::DateTime::parse_from_rfc3339(record["time"].as_str().unwrap()).is_ok());
    assert_eq!(record["id"].as_str().unwrap().as_bytes()[14], b'7', "a UUID of version 7");
}

#[tokio::test]
async fn an_outcome_has_status_usage_cost_times_and_end_and_names_its_decision() {
    let site = Site::open().await;
    let mut body = chat_body("gpt-4o-mini", "hello");
    body["user"] = json!("sim:usage_in=1000,usage_out=500");
    let answer = call(&site, "call-1", &body).await;
    let (_dir, records) = site.close().await;
    let decision = named(&records, answer.header("x-portcullis-audit"));
    let [outcome] = outcomes(&records)[..] else { panic!("one outcome") };
    let expected = json!({
        "specversion": "1.0", "id": "?", "source": "?", "type": "portcullis.outcome.v1",
        "subject": "model/gpt-4o-mini/2024-07-18", "time": "?", "datacontenttype": "application/json",
        "sequence": "?", "prevhash": "?", "correlationid": "call-1", "tenantid": "acme",
        "data": {
            "status": 200, "usage": {"input": 1000, "output": 500, "cached": 0, "reasoning": 0, "estimated": false},
            "cost": {"amount": "0.00045", "currency": "USD"}, "ttft_ms": -1, "duration_ms": -1, "end": "complete",
        },
    });
    assert_like(&expected, outcome, "");
    assert_whole_numbers(outcome);
    assert_eq!(outcome["causationid"], decision["id"]);
}

#[tokio::test]
async fn each_kind_of_refusal_stands_under_its_action_and_failure_class() {
    let site = Site::with(|dir| {
        edits::upstream(dir, "breaker: {failures: 1, open_for: 1h}");
        edits::add(dir, "limits: {body_limit: 1KiB}");
        let old = "{rate: 100, burst: 100, algorithm: sliding_window}";
        edits::replace(dir, "policies/tenants/globex.yaml", old, "{rate: 1, burst: 1, algorithm: sliding_window}");
    })
    .await;
    let bearer = format!("Bearer {ACME}");
    let acme = ("authorization", bearer.as_str());
    let json_type = ("content-type", "application/json");
    let good = chat_body("gpt-4o-mini", "hello").to_string();
    let risky = chat_body("gpt-4o-mini", CARD).to_string();
    let long = chat_body("gpt-4o-mini", &"x".repeat(2000)).to_string();
    let failing = json!({"model": "gpt-4o-mini", "messages": [], "user": "sim:status=500"}).to_string();
    let violation = "GOVERNANCE_VIOLATION";
    let mut seen = Vec::new();
    for (path, headers, body, expected) in [
        (CHAT, vec![json_type], &good, (401, "credential_missing", violation, "POLICY_VIOLATION", "identity")),
        (
            "/v1/uploads",
            vec![acme, json_type],
            &good,
            (404, "unsupported_operation", violation, "POLICY_VIOLATION", "request"),
        ),
        (CHAT, vec![acme, json_type], &risky, (403, "risk_blocked", violation, "HIGH_RISK", "risk")),
        (
            CHAT,
            vec![acme, json_type],
            &"{".to_owned(),
            (400, "malformed_request", "REJECTED", "VALIDATION_ERROR", "request"),
        ),
        (CHAT, vec![acme], &good, (415, "unsupported_encoding", "REJECTED", "VALIDATION_ERROR", "request")),
        (CHAT, vec![acme, json_type], &long, (413, "body_too_large", "REJECTED", "VALIDATION_ERROR", "request")),
        (CHAT, vec![acme, json_type], &failing, (500, "", "LLM_CALL", "", "")),
        (CHAT, vec![acme, json_type], &good, (503, "breaker_open", "UNAVAILABLE", "INFRA_ERROR", "upstream")),
    ] {
        seen.push((site.ask(Method::POST, path, &headers, body.clone()).await, expected));
    }
    for expected in [
        (503, "breaker_open", "UNAVAILABLE", "INFRA_ERROR", "upstream"),
        (429, "request_limit", "THROTTLED", "POLICY_VIOLATION", "limit"),
    ] {
        seen.push((site.post(GLOBEX, CHAT, &chat_body("gpt-4o-mini", "hello")).await, expected));
    }
    let (_dir, records) = site.close().await;
    for (answer, (status, code, action, class, kind)) in &seen {
        assert_eq!((answer.status.as_u16(), answer.reason()), (*status, *code));
        let data = &named(&records, answer.header("x-portcullis-audit"))["data"];
        assert_eq!(data["action"], *action, "{code}");
        if code.is_empty() {
            assert_eq!(data["reason"], Value::Null);
        } else {
            let reason = json!({"code": code, "failure_class": class, "kind": kind});
            assert_eq!(data["reason"], reason, "{code}");
            assert_eq!(data["http"]["status"], *status, "{code}");
        }
    }
    assert_eq!(outcomes(&records).len(), 1, "only the call that was let through has an outcome");
}

#[tokio::test]
async fn a_model_list_is_recorded_as_list_and_a_check_as_check_without_outcome() {
    let site = Site::open().await;
    let bearer = format!("Bearer {ACME}");
    let list = site.ask(Method::GET, "/v1/models", &[("authorization", &bearer)], "").await;
    let check = |personal: bool| json!({"model": "gpt-4o-mini", "operation": "chat", "metadata": {"contains_personal_data": personal}});
    let fine = site.post(ACME, "/v1/check", &check(false)).await;
    let risky = site.post(ACME, "/v1/check", &check(true)).await;
    assert_eq!((fine.json()["allowed"].as_bool(), risky.json()["allowed"].as_bool()), (Some(true), Some(false)));
    assert_eq!(site.simulator.stats().requests, 0);
    let (_dir, records) = site.close().await;
    for (answer, action, decision) in [(&list, "LIST", "allow"), (&fine, "CHECK", "allow"), (&risky, "CHECK", "block")]
    {
        assert_eq!(answer.status, 200);
        let data = &named(&records, answer.header("x-portcullis-audit"))["data"];
        assert_eq!((&data["action"], &data["decision"]), (&json!(action), &json!(decision)));
    }
    assert_eq!((decisions(&records).len(), outcomes(&records).len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_401_and_429_are_counted_together_with_the_right_sums_and_violations_never() {
    let site = Site::with(|dir| {
        edits::replace(dir, "portcullis.yaml", "on_failure: block", "on_failure: block, flood_threshold: 5");
        let old = "{rate: 100, burst: 100, algorithm: sliding_window}";
        edits::replace(dir, "policies/tenants/globex.yaml", old, "{rate: 1, burst: 1, algorithm: sliding_window}");
    })
    .await;
    let body = chat_body("gpt-4o-mini", "hello");
    let rogue = chat_body("rogue-model", "hello");
    let strangers = join_all((0..80).map(|_| site.post("pcl_k9_stranger", CHAT, &body))).await;
    assert_eq!(site.post(GLOBEX, CHAT, &body).await.status, 200);
    let throttled = join_all((0..80).map(|_| site.post(GLOBEX, CHAT, &body))).await;
    let violations = join_all((0..80).map(|_| site.post(ACME, CHAT, &rogue))).await;
    assert!(strangers.iter().all(|answer| answer.reason() == "credential_invalid"));
    assert!(throttled.iter().all(|answer| answer.reason() == "request_limit"));
    let (dir, records) = site.close().await;

    let recorded =
        |code: &str| decisions(&records).iter().filter(|d| d["data"]["reason"]["code"] == code).count() as u64;
    let counted = |pointer: &str| -> u64 {
        let of = |record: &Value| record["data"].pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        records.iter().filter(|record| is(record, "suppressed")).map(of).sum()
    };
    for (code, answers) in [("credential_invalid", &strangers), ("request_limit", &throttled)] {
        let named = answers.iter().filter(|answer| !answer.header("x-portcullis-audit").is_empty()).count() as u64;
        assert_eq!(recorded(code), named, "{code}: whoever has a record is told its name");
        assert!(counted(&format!("/counts/{code}")) > 0, "{code}");
        assert_eq!(recorded(code) + counted(&format!("/counts/{code}")), 80, "{code}");
    }
    assert_eq!(counted("/tenants/globex/request_limit"), counted("/counts/request_limit"));
    assert_eq!(recorded("model_unknown"), 80);
    assert!(violations.iter().all(|answer| !answer.header("x-portcullis-audit").is_empty()));
    assert!(verify_independently(&dir.path().join("var/audit")).0);
}

#[tokio::test]
async fn a_flood_from_one_address_does_not_hide_a_stranger_at_another() {
    let site = Site::with(|dir| {
        edits::replace(dir, "portcullis.yaml", "on_failure: block", "on_failure: block, flood_threshold: 1");
    })
    .await;
    let stranger = post(CHAT, "pcl_k9_stranger", "", "{}");
    let ask = async |from: [u8; 4]| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut line = Line::of(socket.connect(site.app.listen().parse().unwrap()).await.unwrap());
        line.say(&stranger).await;
        line.head().await.contains("x-portcullis-audit: ")
    };
    let mut others = 0;
    for n in 1..=40 {
        ask([127, 0, 0, 1]).await;
        // Each comes from where nobody came from before.
        others += u32::from(ask([127, 0, 1, n]).await);
    }
    assert_eq!(others, 40);
}

/// Asks a gate of its own process over a connection of its own.
async fn ask(address: &str, request: &[u8]) -> (u16, String, Vec<u8>) {
    let mut line = Line::open(address).await;
    line.say(request).await;
    let (head, body) = line.message().await;
    (head[9..12].parse().unwrap(), head, body)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {ACME}\r\n\r\n").into_bytes()
}

async fn simulator() -> Simulator {
    Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap().expecting_key(UPSTREAM_KEY)
}

#[tokio::test]
async fn with_a_full_disk_every_call_is_503_and_nothing_reaches_the_upstream() {
    let simulator = simulator().await;
    let dir = policy_directory(&simulator.url());
    // Beyond 48 blocks of 512 bytes (or of 1024, as the shell counts) every write to a file fails with EFBIG.
    let gate = Process::start(gate_in_shell(dir.path(), r#"trap '' XFSZ; ulimit -f 48; exec "$@""#)).await;
    let good = post(CHAT, ACME, "", &chat_body("gpt-4o-mini", "hello").to_string());
    let mut passed = 0;
    let last = loop {
        let (status, head, _) = ask(&gate.listen, &good).await;
        if status != 200 || passed == 200 {
            break (status, head);
        }
        passed += 1;
    };
    assert!(passed > 0, "it worked before the disk was full");
    assert!(last.0 == 503 && last.1.contains("x-portcullis-reason: audit_unavailable"), "{}", last.1);
    assert_eq!(simulator.stats().requests, passed, "what was refused reached the upstream");

    let refused = post(CHAT, ACME, "", &chat_body("rogue-model", "hello").to_string());
    let stranger = post(CHAT, "pcl_k9_x", "", &chat_body("gpt-4o-mini", "hello").to_string());
    let streamed = post(CHAT, ACME, "", &json!({"model": "gpt-4o-mini", "messages": [], "stream": true}).to_string());
    let check = post("/v1/check", ACME, "", r#"{"model":"gpt-4o-mini"}"#);
    let calls = [good, refused, stranger, streamed, check, get("/v1/models"), get("/v1/nothing")];
    for request in calls.iter().cycle().take(28) {
        let (status, head, body) = ask(&gate.listen, request).await;
        assert!(status == 503 && head.contains("x-portcullis-reason: audit_unavailable"), "{head}");
        assert!(!head.contains("x-portcullis-audit:"), "there is no record to name: {head}");
        assert!(head.contains("retry-after:"), "{head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "audit_unavailable");
    }
    assert_eq!(simulator.stats().requests, passed);
    let (status, _, body) = ask(&gate.admin, &get("/readyz")).await;
    assert_eq!(
        (status, serde_json::from_slice::<Value>(&body).unwrap()["status"].as_str()),
        (503, Some("audit_unavailable"))
    );
    assert_eq!(ask(&gate.listen, &get("/health")).await.0, 200);

    let audit = dir.path().join("var/audit");
    let text = fs::read_to_string(segment(&audit)).unwrap();
    let recorded = text.lines().filter(|line| line.contains(r#""action":"LLM_CALL""#)).count() as u64;
    assert!(recorded >= passed, "{passed} calls were forwarded, {recorded} decisions are on disk");
}

/// A gate whose `fdatasync` waits or fails as files in the answered directory say.
fn with_held_sync(dir: &Path) -> (Command, PathBuf) {
    let orders = dir.join("orders");
    fs::create_dir(&orders).unwrap();
    let library = dir.join("held_sync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/held_sync.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(built.is_ok_and(|status| status.success()), "a C compiler is needed");
    let mut command = gate(dir);
    command.env("LD_PRELOAD", library).env("SYNC_ORDERS", &orders);
    (command, orders)
}

#[tokio::test]
async fn nothing_is_forwarded_or_answered_while_the_decisions_sync_is_under_way() {
    let upstream = Upstream::open().await;
    let dir = policy_directory(&upstream.url());
    let (command, orders) = with_held_sync(dir.path());
    let gate = Process::start(command).await;
    fs::write(orders.join("hold"), "").unwrap();
    let mut client = Line::open(&gate.listen).await;
    client.say(post(CHAT, ACME, "x-request-id: held\r\n", &chat_body("gpt-4o-mini", "hello").to_string())).await;
    eventually("the writer waits in its sync", async || orders.join("held").exists().then_some(())).await;
    // The decision is written and not yet durable; the gate is awake and does other work.
    for _ in 0..20 {
        assert_eq!(ask(&gate.admin, &get("/livez")).await.0, 200);
    }
    upstream.assert_alone().await;

    fs::remove_file(orders.join("hold")).unwrap();
    let (mut forwarded, _, _) = upstream.called().await;
    forwarded.say("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("http/1.1 200") && body == b"{}", "{head}");
}

#[tokio::test]
async fn a_sync_that_fails_refuses_the_call_and_all_after_it() {
    let upstream = Upstream::open().await;
    let dir = policy_directory(&upstream.url());
    let (command, orders) = with_held_sync(dir.path());
    let gate = Process::start(command).await;
    fs::write(orders.join("fail"), "").unwrap();
    let good = post(CHAT, ACME, "", &chat_body("gpt-4o-mini", "hello").to_string());
    let (status, head, _) = ask(&gate.listen, &good).await;
    assert!(status == 503 && head.contains("audit_unavailable"), "{head}");
    // A disk that lost a write once is not trusted again (fsync clears the error): only a restart helps.
    fs::remove_file(orders.join("fail")).unwrap();
    assert_eq!(ask(&gate.listen, &good).await.0, 503);
    upstream.assert_alone().await;
    drop(gate);
    let gate = Process::start(self::gate(dir.path())).await;
    assert_eq!(ask(&gate.admin, &get("/readyz")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_request_reaches_the_upstream_its_decision_is_in_the_file() {
    let upstream = Upstream::open().await;
    let site = Site::with(|dir| edits::aim(dir, &upstream.url())).await;
    let file = segment(&site.audit_dir());
    let traces: Vec<String> = (1..=20).map(|n| format!("{n:032x}")).collect();
    let ask = async |trace: &String| {
        let mut client = Line::open(site.app.listen()).await;
        let head = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
        client.say(post(CHAT, ACME, &head, &chat_body("gpt-4o-mini", "hello").to_string())).await;
        client.message().await.0
    };
    let serve = async || {
        for _ in &traces {
            let (mut line, head, _) = upstream.called().await;
            let text = fs::read_to_string(&file).unwrap();
            let trace = traces.iter().find(|trace| head.contains(trace.as_str())).expect("the trace goes along");
            let mine =
                text.lines().filter(|line| line.contains(trace.as_str()) && line.contains(r#""action":"LLM_CALL""#));
            assert_eq!(mine.count(), 1, "forwarded before its decision was written");
            line.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").await;
        }
    };
    let (heads, ()) = tokio::join!(join_all(traces.iter().map(ask)), serve());
    assert!(heads.iter().all(|head| head.starts_with("http/1.1 200")), "{heads:?}");
}

#[tokio::test]
async fn after_kill_9_the_log_recovers_keeps_all_that_was_answered_and_goes_on() {
    let simulator = simulator().await;
    let dir = policy_directory(&simulator.url());
    let audit = dir.path().join("var/audit");
    let mut answered: Vec<String> = Vec::new();
    for round in 0..3 {
        let gate = Process::start(gate(dir.path())).await;
        for n in 0..5 {
            let model = if n % 2 == 0 { "gpt-4o-mini" } else { "rogue-model" };
            let request = post(CHAT, ACME, "", &chat_body(model, "hello").to_string());
            let (_, head, _) = ask(&gate.listen, &request).await;
            let address = head.lines().find_map(|line| line.strip_prefix("x-portcullis-audit: ")).unwrap();
            answered.push(address.to_owned());
        }
        // One call is in flight when the gate dies.
        let slow =
            json!({"model": "gpt-4o-mini", "messages": [], "stream": true, "user": "sim:chunks=9999,pause_ms=50"});
        let mut client = Line::open(&gate.listen).await;
        client.say(post(CHAT, ACME, "", &slow.to_string())).await;
        client.until("data: ").await;
        gate.signal("KILL");
        gate.ended().await;
        if round == 1 {
            use std::io::Write as _;
            let mut torn = fs::OpenOptions::new().append(true).open(segment(&audit)).unwrap();
            torn.write_all(br#"{"specversion":"1.0","id":"torn"#).unwrap();
        }
    }
    let gate = Process::start(gate(dir.path())).await;
    let request = post(CHAT, ACME, "", &chat_body("gpt-4o-mini", "hello").to_string());
    assert_eq!(ask(&gate.listen, &request).await.0, 200);
    gate.signal("TERM");
    assert!(gate.ended().await.0.success());

    let records = records(&audit);
    for address in &answered {
        assert!(is(named(&records, address), "decision"), "{address}");
    }
    let recovered = records.iter().filter(|record| is(record, "log.recovered")).count();
    assert_eq!(recovered, 1, "the torn tail is told");
    let (whole, said) = verify_independently(&audit);
    assert!(whole, "{said}");
    let (whole, said) = verify(&audit);
    assert!(whole, "{said}");
    assert_eq!(said["outcome_unknown"].as_u64().unwrap(), unknown(&records));
    assert!(said["outcome_unknown"].as_u64().unwrap() >= 3, "three calls died with the gate: {said}");
}

/// Calls let through of which no outcome stands in the log.
fn unknown(records: &[Value]) -> u64 {
    let mut open: BTreeMap<&str, bool> = BTreeMap::new();
    for decision in decisions(records).iter().filter(|d| d["data"]["action"] == "LLM_CALL") {
        open.insert(decision["id"].as_str().unwrap(), true);
    }
    for outcome in outcomes(records) {
        open.insert(outcome["causationid"].as_str().unwrap(), false);
    }
    open.values().filter(|open| **open).count() as u64
}
