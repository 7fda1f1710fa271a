//! The bypass classes over raw sockets: `cases/bypass.jsonl` holds one request a line and what must come of it.
//!
//! A case is sent byte for byte to a gate over the acceptance policies, in front of an upstream that keeps what it is
//! sent. `want` says what must happen:
//!
//! - `forward`: 200, and the upstream got exactly the body (`sent`, where it is another), one length, our credential,
//!   no field that is not on the list, and none of `lacks` in its head;
//! - `same`: that, or a refusal;
//! - `403 model_unknown` and the like: this status and code; `4xx`, `4xx/5xx`: some refusal; `200`: the gate's own
//!   answer; `none`: whatever is said. With all of these not one byte goes upstream.
//!
//! Whatever answer carries a reason carries the address of its record, and the log has one decision at each address
//! and one outcome for every call let through.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use support::wire::{After, Scripted};
use support::{ACME, GLOBEX, PATIENCE, Site, UPSTREAM_KEY, is};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CASES: &str = include_str!("cases/bypass.jsonl");

/// What the upstream says to everything.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 60\r\n\r\n\
{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}\n";

/// The only fields an upstream may be sent.
const SENT: [&str; 13] = [
    "host",
    "accept",
    "user-agent",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "content-type",
    "accept-encoding",
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "content-length",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each stands in the cases by its name")]
struct Case {
    class: String,
    name: String,
    want: String,
    /// The whole request as it is; characters are bytes, `{ACME}` is the key.
    raw: Option<String>,
    /// Method and target.
    to: Option<String>,
    #[serde(default = "acme")]
    key: Option<String>,
    /// The content type; `null` for none.
    #[serde(default = "json", rename = "type")]
    kind: Option<String>,
    /// More header lines.
    #[serde(default)]
    head: Vec<String>,
    #[serde(default)]
    body: String,
    /// The body, a character a byte.
    bytes: Option<String>,
    /// The body: this text so many times.
    repeat: Option<(String, usize)>,
    /// The body: a good one with so much text before its model.
    pad: Option<usize>,
    /// `true`: one chunk; a number: chunks of so many bytes.
    #[serde(default)]
    chunked: Value,
    /// One byte at a time.
    #[serde(default)]
    drip: bool,
    /// The client says that it is done.
    #[serde(default)]
    half: bool,
    /// The connection stays open, so one whole answer is enough.
    #[serde(default)]
    linger: bool,
    /// The connection carries one answer and no second one.
    #[serde(default)]
    once: bool,
    sent: Option<String>,
    /// The target that the upstream must be asked for, where it is not the one that was asked.
    target: Option<String>,
    #[serde(default)]
    lacks: Vec<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "a default of a field that may be null")]
fn acme() -> Option<String> {
    Some("acme".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "a default of a field that may be null")]
fn json() -> Option<String> {
    Some("application/json".to_owned())
}

fn cases() -> Vec<Case> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"))).collect()
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

impl Case {
    fn body(&self) -> Vec<u8> {
        if let Some(bytes) = &self.bytes {
            return latin1(bytes).expect("one byte a character");
        }
        if let Some((text, times)) = &self.repeat {
            return text.repeat(*times).into_bytes();
        }
        if let Some(pad) = self.pad {
            let text = "lorem ipsum ".repeat(pad / 12);
            return format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"gpt-4o-mini"}}"#)
                .into_bytes();
        }
        self.body.clone().into_bytes()
    }

    fn request(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            let raw = raw.replace("{ACME}", ACME);
            return latin1(&raw).unwrap_or_else(|| raw.into_bytes());
        }
        let to = self.to.as_deref().expect("a case is `raw` or has a `to`");
        let mut head = vec![format!("{to} HTTP/1.1"), "host: gate".to_owned(), "connection: close".to_owned()];
        if let Some(key) = &self.key {
            head.push(format!("authorization: Bearer {}", if key == "globex" { GLOBEX } else { ACME }));
        }
        head.extend(self.kind.iter().map(|kind| format!("content-type: {kind}")));
        head.extend(self.head.iter().map(|line| line.replace("{ACME}", ACME)));
        let body = self.body();
        let chunk = if self.chunked == Value::Bool(true) { Some(body.len() as u64) } else { self.chunked.as_u64() };
        if let Some(chunk) = chunk {
            head.push("transfer-encoding: chunked\r\n\r\n".to_owned());
            let mut request = latin1(&head.join("\r\n")).expect("a head");
            for piece in body.chunks(usize::try_from(chunk).unwrap()) {
                request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                request.extend_from_slice(piece);
                request.extend_from_slice(b"\r\n");
            }
            request.extend_from_slice(b"0\r\n\r\n");
            return request;
        }
        if !body.is_empty() || to.starts_with("POST") {
            head.push(format!("content-length: {}", body.len()));
        }
        head.push("\r\n".to_owned());
        let mut request = latin1(&head.join("\r\n")).expect("a head");
        request.extend_from_slice(&body);
        request
    }

    /// What the upstream must have got.
    fn sent(&self) -> Option<Vec<u8>> {
        match &self.sent {
            Some(sent) => Some(sent.clone().into_bytes()),
            None => self.raw.is_none().then(|| self.body()),
        }
    }
}

/// What the gate said: everything, and the status and reason of each final answer.
struct Heard {
    text: String,
    statuses: Vec<u16>,
}

impl Heard {
    fn field(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").find(|part| !part.starts_with("HTTP/1.1 100"))?;
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends a case and listens: until the gate closes, or for one whole answer where it does not.
async fn ask(address: &str, case: &Case) -> Heard {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = case.request();
    // The gate may answer and close before it has read everything.
    if case.drip {
        for byte in &request {
            drop(stream.write_all(&[*byte]).await);
        }
    } else {
        drop(stream.write_all(&request).await);
    }
    if case.half {
        drop(stream.shutdown().await);
    }
    let mut all = Vec::new();
    let listen = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n) = stream.read(&mut buffer).await {
            all.extend_from_slice(&buffer[..n]);
            if n == 0 || case.linger && is_whole(&all) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.unwrap_or_else(|_| panic!("{}: no end of the answer", case.name));
    let text = String::from_utf8_lossy(&all).into_owned();
    let statuses = text
        .match_indices("HTTP/1.1 ")
        .chain(text.match_indices("HTTP/1.0 "))
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
        .filter(|status| *status != 100)
        .collect();
    Heard { text, statuses }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// What is wrong with what the upstream was sent, or nothing.
fn flaw_of_forwarded(case: &Case, sent: &[u8]) -> Option<String> {
    let end = sent.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (String::from_utf8_lossy(&sent[..end]).to_lowercase(), &sent[end + 4..]);
    let names: Vec<&str> = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let traced = case.head.iter().any(|line| line.starts_with("traceparent: 00-"));
    if let Some(name) = names.iter().find(|name| !(SENT.contains(name) || traced && **name == "traceparent")) {
        return Some(format!("the field `{name}` went upstream"));
    }
    if names.iter().filter(|name| **name == "content-length").count() != 1 {
        return Some("not exactly one length".to_owned());
    }
    if !head.contains(UPSTREAM_KEY) || head.contains("pcl_") {
        return Some("not the upstream's credential".to_owned());
    }
    let asked = case.target.as_deref().or_else(|| case.to.as_deref()?.split_once(' ').map(|(_, target)| target));
    let line = sent.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if asked.is_some_and(|asked| String::from_utf8_lossy(line) != format!("POST {asked} HTTP/1.1")) {
        return Some(format!("asked for `{}`", String::from_utf8_lossy(line)));
    }
    if let Some(found) = case.lacks.iter().find(|lacks| head.contains(&lacks.to_lowercase())) {
        return Some(format!("`{found}` went upstream"));
    }
    match case.sent() {
        Some(due) if due != b"*" && due != body => Some("another body went upstream".to_owned()),
        _ => None,
    }
}

/// What is wrong with a case's end, or nothing.
fn flaw(case: &Case, heard: &Heard, sent: &[Vec<u8>]) -> Option<String> {
    let status = heard.statuses.first().copied().unwrap_or(0);
    let reason = heard.field("x-portcullis-reason");
    if reason.is_some() && heard.field("x-portcullis-audit").is_none() {
        return Some("an answer without the address of its record".to_owned());
    }
    if case.once && heard.statuses.len() > 1 {
        return Some("a second answer".to_owned());
    }
    let refused = (400..600).contains(&status);
    match (case.want.as_str(), sent) {
        ("forward" | "same", [sent]) if status == 200 => flaw_of_forwarded(case, sent),
        ("forward", _) => Some(format!("not forwarded: {status} {}", reason.unwrap_or_default())),
        ("same", []) if refused => None,
        (_, [_, ..]) => Some("it went upstream".to_owned()),
        ("none", []) => None,
        ("200", []) => (status != 200).then(|| format!("answered {status}")),
        ("4xx", []) => (!(400..500).contains(&status)).then(|| format!("answered {status}")),
        ("4xx/5xx", []) => {
            (!(400..500).contains(&status) && ![501, 505].contains(&status)).then(|| format!("answered {status}"))
        }
        (want, []) => {
            let said = format!("{status} {}", reason.unwrap_or_default());
            (said != want).then(|| format!("answered {said}"))
        }
    }
}

/// Goes through all cases of a class.
async fn class(name: &str) {
    let mut upstream = Scripted::answering(ANSWER, After::Close).await;
    let url = upstream.url();
    let set = |dir: &Path| {
        point(dir, &url);
        register_bedrock(dir);
    };
    let site = Site::with(set).await;
    let address = site.app.listen();
    let mut flaws = Vec::new();
    let mut addresses = Vec::new();
    for case in cases().iter().filter(|case| case.class == name) {
        let heard = ask(address, case).await;
        let mut sent = Vec::new();
        while let Ok(request) = upstream.heard.try_recv() {
            sent.push(request);
        }
        if let Some(flaw) = flaw(case, &heard, &sent) {
            flaws.push(format!("{}: {flaw}, due {}", case.name, case.want));
        }
        addresses.extend(heard.field("x-portcullis-audit").map(ToOwned::to_owned));
    }
    let (_dir, records) = site.close().await;
    let decisions: Vec<&Value> = records.iter().filter(|record| is(record, "decision")).collect();
    let at = |address: &str| {
        let sequence = address.split_once('#').map_or(0, |(_, sequence)| sequence.parse::<u64>().unwrap());
        decisions.iter().filter(|record| record["sequence"] == format!("{sequence:020}")).count()
    };
    flaws.extend(addresses.iter().filter(|address| at(address) != 1).map(|address| format!("no record at {address}")));
    for call in decisions.iter().filter(|record| record["data"]["action"] == "LLM_CALL") {
        let outcomes =
            records.iter().filter(|record| is(record, "outcome") && record["causationid"] == call["id"]).count();
        if outcomes != 1 {
            flaws.push(format!("{outcomes} outcomes of {}", call["id"]));
        }
    }
    let different = addresses.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(different, addresses.len(), "an address was given twice");
    assert!(flaws.is_empty(), "{name}:\n{}", flaws.join("\n"));
}

/// Lets acme use models by the names that Amazon Bedrock gives them.
fn register_bedrock(dir: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bedrock");
    support::copy(&from, &dir.join("policies/models"));
    let tenant = dir.join("policies/tenants/acme.yaml");
    let text = std::fs::read_to_string(&tenant).unwrap();
    let profile = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.claude";
    let more = format!("models: [\"anthropic.claude-sonnet-4-5-v1:0\", \"{profile}\", ");
    std::fs::write(tenant, text.replacen("models: [", &more, 1)).unwrap();
}

/// Sets the upstream of a policy directory.
fn point(dir: &Path, url: &str) {
    let file = dir.join("portcullis.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.split_once("url: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}url: {url}\n"),
        _ => format!("{line}\n"),
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
}

macro_rules! classes {
    ($($test:ident: $class:literal)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            class($class).await;
        })+

        #[test]
        fn every_case_is_of_a_class_that_is_tested() {
            let tested: BTreeSet<&str> = [$($class),+].into();
            let cases = cases();
            let known: BTreeSet<&str> = cases.iter().map(|case| case.class.as_str()).collect();
            assert_eq!(known, tested);
            let names: BTreeSet<_> = cases.iter().map(|case| (&case.class, &case.name)).collect();
            assert_eq!(names.len(), cases.len(), "two cases of one name");
        }
    };
}

classes! {
    an_ungoverned_model_is_refused_on_every_dialect: "control"
    a_name_that_stands_twice_is_refused_at_any_depth: "json-duplicate"
    a_name_that_folds_to_a_governed_one_is_refused: "json-key-spelling"
    what_is_no_strict_json_in_utf_8_is_refused: "json-encoding"
    a_model_that_is_not_one_string_is_refused: "json-shape"
    a_label_never_switches_the_gate_off: "content-type"
    forms_are_read_in_one_way_or_refused: "multipart"
    coded_bodies_are_judged_plain_or_refused: "content-encoding"
    a_model_in_the_url_does_not_pass_beside_the_body: "url-model"
    only_the_exact_method_and_path_have_a_route: "path"
    what_has_no_rule_is_refused: "ungoverned-route"
    doubtful_framing_is_refused_or_written_anew: "framing"
    what_belongs_to_the_hop_stays_there: "hop-by-hop"
    no_upgrade_is_made: "upgrade"
    a_doubtful_host_is_refused: "host"
    headers_go_upstream_by_allow_list: "header-override"
    exactly_one_good_credential_is_asked_for: "auth"
    nothing_beside_the_model_can_steer_the_call: "body-second-model"
    stored_things_are_refused: "stored-state"
    remote_things_are_refused: "remote-fetch"
    a_model_is_compared_exactly: "model-name"
    what_is_legitimate_is_forwarded: "legit"
}

/// An upstream's answer, and what the caller must get: its status, and how the record says the call ended.
const ANSWERS: &[(&str, &[u8], u16, &str)] = &[
    ("good", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 200, "complete"),
    (
        "after interim answers",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        200,
        "complete",
    ),
    (
        "two answers",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        200,
        "complete",
    ),
    (
        "a length, then chunked",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        502,
        "failed",
    ),
    (
        "chunked, then a length",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        502,
        "failed",
    ),
    (
        "another coding before chunked",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        502,
        "failed",
    ),
    ("another coding alone", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n{}", 502, "failed"),
    ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 502, "failed"),
    ("a redirect", b"HTTP/1.1 307 Over\r\nlocation: http://evil/\r\ncontent-length: 0\r\n\r\n", 502, "failed"),
    ("a tunnel", b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", 502, "failed"),
    ("another protocol", b"SSH-2.0-x\r\n\r\n", 502, "failed"),
    ("nothing", b"", 502, "failed"),
    ("a cut body", b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}", 200, "failed"),
    ("cut chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", 200, "failed"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_s_bad_answer_is_not_passed_on_as_a_good_one() {
    for (name, answer, status, end) in ANSWERS {
        let upstream = Scripted::answering(answer, After::Close).await;
        let url = upstream.url();
        let site = Site::with(|dir| point(dir, &url)).await;
        let case = cases().into_iter().find(|case| case.want == "forward" && case.class == "legit").unwrap();
        let heard = ask(site.app.listen(), &case).await;
        assert_eq!(heard.statuses, [*status], "{name}");
        assert!(!heard.text.contains("evil"), "{name}");
        let whole = is_whole(heard.text.as_bytes()) || heard.text.ends_with("0\r\n\r\n");
        assert_eq!(whole, *end == "complete" || *status == 502, "{name}: {}", heard.text);
        let (_dir, records) = site.close().await;
        let outcomes: Vec<_> = records.iter().filter(|record| is(record, "outcome")).collect();
        assert_eq!(outcomes.len(), 1, "{name}");
        assert_eq!(outcomes[0]["data"]["end"], *end, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_cannot_speak_for_the_gate() {
    let answer = b"HTTP/1.1 200 OK\r\nx-portcullis-reason: model_unknown\r\nx-portcullis-audit: fake#1\r\n\
x-portcullis-anything: fake\r\ncontent-length: 2\r\n\r\n{}";
    let upstream = Scripted::answering(answer, After::Close).await;
    let url = upstream.url();
    let site = Site::with(|dir| point(dir, &url)).await;
    let case = cases().into_iter().find(|case| case.want == "forward" && case.class == "legit").unwrap();
    let heard = ask(site.app.listen(), &case).await;
    assert_eq!(heard.statuses, [200]);
    assert_eq!(heard.field("x-portcullis-decision"), Some("allow"));
    assert!(!heard.text.contains("fake") && heard.field("x-portcullis-reason").is_none(), "{}", heard.text);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_audit_log_lets_nothing_through() {
    let mut upstream = Scripted::answering(ANSWER, After::Close).await;
    let url = upstream.url();
    let site = Site::with(|dir| point(dir, &url)).await;
    let case = cases().into_iter().find(|case| case.want == "forward" && case.class == "legit").unwrap();
    std::fs::remove_dir_all(site.audit_dir()).unwrap();
    let heard = ask(site.app.listen(), &case).await;
    assert_eq!(
        (heard.statuses.as_slice(), heard.field("x-portcullis-reason")),
        (&[503][..], Some("audit_unavailable"))
    );
    assert!(upstream.heard.try_recv().is_err(), "it went upstream");
    site.app.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_heads_without_a_credential_do_not_make_the_log_grow_without_bound() {
    const ASKED: usize = 600;
    let site = Site::open().await;
    let mut stream = TcpStream::connect(site.app.listen()).await.unwrap();
    let mut buffer = vec![0; 4096];
    for _ in 0..ASKED {
        stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: a/b\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        while !is_whole(&heard) {
            let n = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.unwrap().unwrap();
            assert!(n > 0);
            heard.extend_from_slice(&buffer[..n]);
        }
    }
    drop(stream);
    let (_dir, records) = site.close().await;
    let single = records.iter().filter(|record| is(record, "decision")).count() as u64;
    let counted: u64 = records
        .iter()
        .filter(|record| is(record, "suppressed"))
        .filter_map(|record| record["data"]["counts"]["malformed_request"].as_u64())
        .sum();
    assert_eq!(single + counted, ASKED as u64);
    assert!(counted > 0, "every one got its own record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_is_no_method_stands_in_no_record() {
    let site = Site::open().await;
    let case = r#"{"class":"","name":"","want":"","to":"CANARYWORD /v1/models"}"#;
    let heard = ask(site.app.listen(), &serde_json::from_str(case).unwrap()).await;
    assert_eq!(heard.field("x-portcullis-reason"), Some("unsupported_operation"));
    let (_dir, records) = site.close().await;
    assert!(records.iter().all(|record| !record.to_string().contains("CANARYWORD")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_api_is_told_what_the_rules_would_tell_the_call() {
    const RULES: &str = r#"
rules:
  - name: no-mini
    when: model.name == "gpt-4o-mini"
    then: block
    reason: x
  - name: no-calm-claude
    when: model.name == "claude-sonnet-4-5" && risk.score < 10
    then: block
    reason: x
"#;
    let site = Site::with(|dir| std::fs::write(dir.join("policies/rules/more.yaml"), RULES).unwrap()).await;
    for model in ["gpt-4o-mini", "claude-sonnet-4-5"] {
        let answer = site.post(ACME, "/v1/check", &serde_json::json!({"model": model, "operation": "chat"})).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["allowed"]), (200, &Value::Bool(false)), "{model}");
        assert_eq!(answer.json()["code"], "rule_denied", "{model}");
    }
    let other = site.post(ACME, "/v1/check", &serde_json::json!({"model": "gemini-2.5-flash"})).await;
    assert_eq!(other.json()["allowed"], true);
    let (_dir, records) = site.close().await;
    let checks: Vec<_> = records.iter().filter(|record| record["data"]["action"] == "CHECK").collect();
    assert_eq!(checks.len(), 3);
    assert_eq!(checks[0]["data"]["checks"]["rules"], "block");
    assert_eq!(checks[0]["data"]["rules"][0], "no-mini");
}
