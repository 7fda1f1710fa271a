//! Policy files that change under a running gate: good changes are in force within a second, bad ones change nothing
//! and are seen everywhere, and what the gate remembers of its callers outlives both.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use portcullis::simulator::Orders;
use serde_json::{Value, json};
use support::process::{Gate, on};
use support::{ACME, Answer, CHAT, GLOBEX, Site, chat_body, edit, eventually, is, put};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How soon a change of the files must be in force.
const SOON: Duration = Duration::from_secs(1);

/// A change of the files: how it is made, and what is said of the model after it.
type Change<'a> = (&'a str, &'a dyn Fn(), &'a str);

/// How long calls go on after a change that must stop them all within [`SOON`].
const LONGER: Duration = Duration::from_millis(1300);

const CALLERS: usize = 8;

fn failures(site: &Site) -> impl Future<Output = Option<f64>> + '_ {
    site.metric("portcullis_registry_reload_failures_total")
}

async fn ready(site: &Site) -> (u16, Value) {
    let answer = site.admin("/readyz").await;
    (answer.status.as_u16(), answer.json())
}

async fn status_word(site: &Site, word: &str) -> Value {
    eventually(word, async || Some(ready(site).await.1).filter(|body| body["status"] == word)).await
}

fn acts<'r>(records: &'r [Value], action: &str) -> Vec<&'r Value> {
    records.iter().filter(|r| is(r, "governance") && r["data"]["action"] == action).collect()
}

/// Calls without a pause from several callers, until [`LONGER`] after `change`; answers each call's start as seen from
/// the change (negative before it) in seconds, and its answer.
async fn under_traffic(site: &Arc<Site>, change: impl FnOnce()) -> Vec<(f64, Answer)> {
    let begun = Instant::now();
    let end = Arc::<OnceLock<Instant>>::default();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (site, end) = (Arc::clone(site), Arc::clone(&end));
        callers.spawn(async move {
            let mut calls = Vec::new();
            while end.get().is_none_or(|end| Instant::now() < *end) {
                let at = begun.elapsed();
                calls.push((at, site.chat(&chat_body("gpt-4o-mini", "Hello.")).await));
            }
            calls
        });
    }
    let reached = site.simulator.stats().requests;
    let flowing = async || (site.simulator.stats().requests > reached + 20).then_some(());
    eventually("traffic", flowing).await;
    let changed = begun.elapsed();
    change();
    end.set(Instant::now() + LONGER).unwrap();
    let calls = callers.join_all().await.into_iter().flatten();
    calls.map(|(at, answer)| (at.as_secs_f64() - changed.as_secs_f64(), answer)).collect()
}

/// Shows a figure to whoever runs the test with `--nocapture`.
#[expect(clippy::print_stdout, reason = "a measured figure is for people")]
fn measured(text: &str) {
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_model_stops_within_a_second_of_the_change_under_traffic() {
    let site = Arc::new(Site::open().await);
    let file = site.policies().join("models/gpt-4o-mini.yaml");
    let approved = std::fs::read_to_string(&file).unwrap();
    let revoked = approved.replace("status: approved", "status: revoked");
    let changes: [Change<'_>; 3] = [
        ("replaced", &|| put(&file, &revoked), "model_not_approved"),
        ("written in place", &|| std::fs::write(&file, &revoked).unwrap(), "model_not_approved"),
        ("removed", &|| std::fs::remove_file(&file).unwrap(), "model_unknown"),
    ];
    for (how, change, code) in changes {
        put(&file, &approved);
        let passes = async || (site.chat(&chat_body("gpt-4o-mini", "Hello.")).await.status == 200).then_some(());
        eventually("approved again", passes).await;
        let calls = under_traffic(&site, change).await;
        let served = calls.iter().filter(|(_, answer)| answer.status == 200);
        let last = served.map(|(at, _)| *at).fold(f64::MIN, f64::max);
        measured(&format!("{how}: of {} calls the last let through began {last:.3} s after the change", calls.len()));
        assert!(last < SOON.as_secs_f64(), "{how}: a call that began {last} s after the change was let through");
        let refused = calls.iter().filter(|(_, answer)| answer.status != 200);
        assert!(refused.clone().count() > CALLERS, "{how}: calls went on");
        for (at, answer) in refused {
            assert_eq!((answer.status.as_u16(), answer.reason()), (403, code), "{how}: at {at}: {answer:?}");
            assert!(*at > -0.5, "{how}: refused before the change");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_flight_ends_whole_when_its_model_is_revoked() {
    let site = Arc::new(Site::open().await);
    site.simulator.next(1, Orders::parse("chunks=30,pause_ms=50").unwrap());
    let mut streams = JoinSet::new();
    let own = Arc::clone(&site);
    streams.spawn(async move {
        let mut body = chat_body("gpt-4o-mini", "Hello.");
        body["stream"] = json!(true);
        own.chat(&body).await
    });
    eventually("the stream", async || (site.simulator.stats().in_flight == 1).then_some(())).await;
    edit(&site.policies().join("models/gpt-4o-mini.yaml"), "status: approved", "status: revoked");
    let refused = async || (site.chat(&chat_body("gpt-4o-mini", "Hello.")).await.status == 403).then_some(());
    eventually("revoked", refused).await;
    assert_eq!(site.simulator.stats().in_flight, 1, "the stream goes on beside it");
    let answer = streams.join_next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains("data: [DONE]"), "{answer:?}");
}

/// A file that must not be taken: what it is called, where it lies, what it says, and what is said of it.
type BadFile = (&'static str, &'static str, fn(&str) -> String, &'static str);

const BAD_FILES: [BadFile; 8] = [
    (
        "torn",
        "models/gpt-4o-mini.yaml",
        |text| text[..text.find("upstream").unwrap() + 5].to_owned(),
        "models/gpt-4o-mini.yaml:3",
    ),
    ("empty", "tenants/acme.yaml", |_| String::new(), "tenants/acme.yaml"),
    ("unknown key", "tenants/acme.yaml", |text| format!("{text}modells: []\n"), "unknown key `modells`"),
    ("duplicate key", "models/gpt-4o.yaml", |text| format!("{text}status: approved\n"), "`status`"),
    (
        "dangling upstream",
        "models/gpt-4o.yaml",
        |text| text.replace("upstream: sim", "upstream: elsewhere"),
        "`elsewhere`",
    ),
    ("not YAML", "rules/base.yaml", |_| "rules: [".to_owned(), "rules/base.yaml"),
    ("a NUL", "people.yaml", |text| format!("{text}\0"), "people.yaml"),
    (
        "a rule that does not compile",
        "rules/base.yaml",
        |text| text.replace("tenant.id", "tenant.idd"),
        "rules/base.yaml:3",
    ),
];

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_seen_everywhere_until_it_is_repaired() {
    let site = Site::open().await;
    let (_, before) = ready(&site).await;
    assert_eq!(before["status"], "ready");
    let mut counted = 0.0;
    for (what, path, spoil, said) in BAD_FILES {
        let file = site.policies().join(path);
        let good = std::fs::read_to_string(&file).unwrap();
        // The good change beside it must wait for it, too.
        let beside = site.policies().join("models/gemini-2.5-flash.yaml");
        edit(&beside, "status: approved", "status: revoked");
        put(&file, spoil(&good));
        let shown = status_word(&site, "degraded").await;
        assert_eq!(ready(&site).await.0, 200, "{what}: degraded is ready");
        let faults = async || {
            let body = ready(&site).await.1;
            let text = body["registry"]["rejected"]["faults"].to_string();
            text.contains(said).then_some(text)
        };
        let faults = eventually(what, faults).await;
        assert!(faults.contains(path), "{what}: {faults}");
        assert!(shown["registry"]["rejected"]["at"].is_string(), "{what}: {shown}");
        let failed = failures(&site).await.unwrap();
        assert!(failed > counted, "{what}: it is not counted");
        counted = failed;
        for model in ["gpt-4o-mini", "gemini-2.5-flash"] {
            let answer = site.chat(&chat_body(model, "Hello.")).await;
            assert_eq!(answer.status, 200, "{what}: the old snapshot serves: {answer:?}");
        }
        put(&file, &good);
        edit(&beside, "status: revoked", "status: approved");
        let after = status_word(&site, "ready").await;
        assert_eq!(after["registry"]["rejected"], Value::Null, "{what}");
    }
    let (_dir, records) = site.close().await;
    let rejected = acts(&records, "REGISTRY_REJECTED");
    assert!(rejected.len() >= BAD_FILES.len(), "{} rejections", rejected.len());
    assert_eq!(counted.to_string(), rejected.len().to_string(), "each is counted once and recorded once");
    assert!(rejected.iter().all(|act| act["data"]["details"]["faults"].as_u64() >= Some(1)), "{rejected:?}");
}

#[tokio::test]
async fn a_bad_reload_is_one_log_line_with_its_place_and_no_content() {
    let dir = support::acceptance_directory();
    let gate = Gate::start(&mut on(dir.path(), &["run"]));
    let tenant = dir.path().join("policies/tenants/acme.yaml");
    let good = std::fs::read_to_string(&tenant).unwrap();
    put(&tenant, good.replace("prompts: optional", "prompts: bait-and-switch"));
    let line: Value = serde_json::from_str(&gate.process.hear("the old snapshot stays active")).unwrap();
    assert_eq!(line["level"], "ERROR");
    let first = line["fields"]["first"].as_str().unwrap();
    assert!(first.contains("tenants/acme.yaml:8:10: "), "{first}");
    let answer = gate.admin("/readyz").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("degraded")));
    put(&tenant, &good);
    gate.process.hear("what had faults is gone");
    // A signal asks for a look, also when nothing was noticed.
    put(&tenant, good.replace("prompts: optional", "prompts: required"));
    gate.process.signal("HUP");
    gate.process.hear("a new registry snapshot is active");
    let answer = gate.post(ACME, CHAT, &chat_body("gpt-4o-mini", "Hello.")).await;
    assert_eq!(answer.reason(), "prompt_required");
    let (code, said) = gate.process.end("TERM");
    assert_eq!(code, Some(0));
    assert!(!said.iter().any(|line| line.contains("pcl_k")), "a key in the log");
}

/// Lays the policies out as Kubernetes mounts a `ConfigMap`, their contents in `..<name>`.
fn mount(policies: &Path, name: &str) {
    let plain = policies.with_extension("plain");
    std::fs::rename(policies, &plain).unwrap();
    std::fs::create_dir(policies).unwrap();
    for entry in std::fs::read_dir(&plain).unwrap() {
        let entry = entry.unwrap().file_name();
        symlink(Path::new("..data").join(&entry), policies.join(&entry)).unwrap();
    }
    std::fs::rename(plain, policies.join(format!("..{name}"))).unwrap();
    symlink(format!("..{name}"), policies.join("..data")).unwrap();
}

/// Makes a copy of what is mounted, changes it, and swaps it in as the kubelet does.
fn swap(policies: &Path, from: &str, to: &str, change: impl FnOnce(&Path)) {
    let (old, new) = (policies.join(format!("..{from}")), policies.join(format!("..{to}")));
    support::copy(&old, &new);
    change(&new);
    symlink(format!("..{to}"), policies.join("..data_tmp")).unwrap();
    std::fs::rename(policies.join("..data_tmp"), policies.join("..data")).unwrap();
    std::fs::remove_dir_all(old).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_of_many_files_is_seen_as_one_snapshot_within_a_second() {
    let site = Arc::new(Site::with(|dir| mount(&dir.join("policies"), "one")).await);
    let old = json!(["claude-sonnet-4-5", "gemini-2.5-flash", "gpt-4o-mini", "text-embedding-3-small"]);
    let new = json!(["gpt-4o", "text-embedding-3-small"]);
    let over = Arc::new(AtomicBool::new(false));
    let mut watchers = JoinSet::new();
    for _ in 0..4 {
        let (site, over) = (Arc::clone(&site), Arc::clone(&over));
        watchers.spawn(async move {
            let mut seen: Vec<Value> = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let list = models(&site).await;
                if seen.last() != Some(&list) {
                    seen.push(list);
                }
            }
            seen
        });
    }
    let changed = Instant::now();
    swap(&site.policies(), "one", "two", |to| {
        for model in ["claude-sonnet-4-5", "gemini-2.5-flash", "gpt-4o-mini"] {
            edit(&to.join(format!("models/{model}.yaml")), "status: approved", "status: revoked");
        }
        edit(&to.join("models/gpt-4o.yaml"), "status: pending", "status: approved");
    });
    eventually("the new files", async || (models(&site).await == new).then_some(())).await;
    assert!(changed.elapsed() < SOON, "took {:?}", changed.elapsed());
    over.store(true, Ordering::SeqCst);
    for seen in watchers.join_all().await {
        assert!(seen == [old.clone(), new.clone()] || seen == [new.clone()], "a mixture was seen: {seen:?}");
    }
    // And once more, to see that the folders behind the new links are watched.
    let changed = Instant::now();
    swap(&site.policies(), "two", "three", |to| {
        edit(&to.join("models/gpt-4o.yaml"), "status: approved", "status: retired");
    });
    eventually("the third", async || (models(&site).await == json!(["text-embedding-3-small"])).then_some(())).await;
    assert!(changed.elapsed() < SOON, "took {:?}", changed.elapsed());
    let Ok(site) = Arc::try_unwrap(site) else { panic!("the watchers have ended") };
    let (_dir, records) = site.close().await;
    let revisions: Vec<u64> = acts(&records, "REGISTRY_ACTIVATED")
        .iter()
        .map(|act| act["data"]["details"]["revision"].as_u64().unwrap())
        .collect();
    assert_eq!(revisions, [2, 3], "one activation a swap");
}

async fn models(site: &Site) -> Value {
    let answer = site.ask(Method::GET, "/v1/models", &[("x-api-key", ACME)], "").await;
    answer.json()["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect()
}

/// Waits until the files as they are now are in force.
async fn activated(site: &Site, revision: u64) {
    let shows = async || (ready(site).await.1["registry"]["revision"] == revision).then_some(());
    eventually("the new revision", shows).await;
}

#[tokio::test]
async fn a_reload_gives_no_tenant_its_requests_back() {
    let site = Site::open().await;
    let call = async || site.post(GLOBEX, CHAT, &chat_body("gpt-4o-mini", "Hello.")).await.status.as_u16();
    let file = site.policies().join("tenants/globex.yaml");
    for _ in 0..60 {
        assert_eq!(call().await, 200);
    }
    edit(&file, "concurrent: 1024", "concurrent: 512");
    activated(&site, 2).await;
    for _ in 0..40 {
        assert_eq!(call().await, 200);
    }
    assert_eq!(call().await, 429, "40 were left");
    edit(&site.policies().join("tenants/acme.yaml"), "concurrent: 1024", "concurrent: 512");
    activated(&site, 3).await;
    assert_eq!(call().await, 429, "another tenant's change");
    // A limiter that is made anew begins with what is used up.
    edit(&file, "{rate: 100, burst: 100, algorithm: sliding_window}", "{rate: 120, burst: 120, algorithm: gcra}");
    activated(&site, 4).await;
    let mut more = 0;
    while call().await == 200 {
        more += 1;
        assert!(more <= 24, "a new limiter forgot the 100 that were used");
    }
}

#[tokio::test]
async fn a_reload_closes_no_breaker() {
    let site = Site::open().await;
    site.simulator.fail_next(5, 500);
    for _ in 0..5 {
        assert_eq!(site.chat(&chat_body("gpt-4o-mini", "Hello.")).await.status, 500);
    }
    let refused = async || site.chat(&chat_body("gpt-4o-mini", "Hello.")).await.reason().to_owned();
    assert_eq!(refused().await, "breaker_open");
    let reached = site.simulator.stats().requests;
    edit(&site.policies().join("models/gpt-4o-mini.yaml"), "owner: platform-ai", "owner: somebody-else");
    activated(&site, 2).await;
    assert_eq!(refused().await, "breaker_open");
    assert_eq!(site.simulator.stats().requests, reached);
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_the_file_stops_within_a_second() {
    let site = Site::open().await;
    let file = site.policies().join("tenants/acme.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    let entry = good.lines().find(|line| line.contains("id: k1")).unwrap();
    let other = entry.replace("sha256:1139828a", "sha256:0000000a");
    let changes = [
        ("removed", good.replace(&format!("keys:\n{entry}\n"), "keys: []\n"), "credential_invalid"),
        ("disabled", good.replace("roles: [client]", "disabled: true"), "credential_invalid"),
        ("another secret", good.replace(entry, &other), "credential_invalid"),
        ("expired", good.replace("roles: [client]", "expires: 2020-01-01"), "credential_expired"),
        ("the whole tenant", String::new(), "credential_invalid"),
    ];
    for (what, text, code) in changes {
        assert_ne!(text, good, "{what}");
        let since = Instant::now();
        if text.is_empty() {
            std::fs::remove_file(&file).unwrap();
        } else {
            put(&file, text);
        }
        let stopped = async || {
            let answer = site.chat(&chat_body("gpt-4o-mini", "Hello.")).await;
            (answer.status == 401).then_some(answer)
        };
        let answer = eventually(what, stopped).await;
        assert!(since.elapsed() < SOON, "{what}: took {:?}", since.elapsed());
        assert_eq!(answer.reason(), code, "{what}");
        put(&file, &good);
        let passes = async || (site.chat(&chat_body("gpt-4o-mini", "Hello.")).await.status == 200).then_some(());
        eventually("the key is back", passes).await;
    }
}

#[tokio::test]
async fn a_policy_directory_that_goes_away_or_empties_leaves_the_old_snapshot() {
    let site = Site::open().await;
    let (policies, away) = (site.policies(), site.dir.path().join("away"));
    std::fs::rename(&policies, &away).unwrap();
    status_word(&site, "degraded").await;
    assert_eq!(site.chat(&chat_body("gpt-4o-mini", "Hello.")).await.status, 200);
    std::fs::rename(&away, &policies).unwrap();
    status_word(&site, "ready").await;
    std::fs::create_dir(policies.join("models/not-a-file.yaml")).unwrap();
    let shown = status_word(&site, "degraded").await;
    assert!(shown["registry"]["rejected"]["faults"].to_string().contains("not-a-file.yaml"), "{shown}");
}
