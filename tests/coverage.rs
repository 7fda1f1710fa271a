//! Which checks apply to which operation: `docs/coverage.md` is what this suite finds by trying.
//!
//! Every route of the table is asked with a request that is good but for one thing, for each check in turn, against a
//! gate over real sockets. Where the check refuses it applies; where it does not, the page must say why it has nothing
//! to judge. With `PORTCULLIS_WRITE_DOCS=1` the page's table is written, without it the page is compared.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::fmt::Write as _;
use std::path::Path;

use http::Method;
use portcullis::id::Digest;
use portcullis::route::{ROUTES, Route};
use support::{Answer, Site, is};

const CASES: &str = include_str!("cases/coverage.txt");
const PAGE: &str = "docs/coverage.md";
const BEGIN: &str = "<!-- coverage: written by `cargo test --test coverage` with PORTCULLIS_WRITE_DOCS=1 -->\n";
const END: &str = "<!-- end of coverage -->";

/// The tenants, each with one thing about it; the key of a tenant is made of its name.
const TENANTS: [(&str, &str); 3] = [
    ("plenty", "limits: {requests_per_minute: 1000000}"),
    ("one-request", "limits: {requests_per_minute: {rate: 1, burst: 1, algorithm: sliding_window}}"),
    ("no-tokens", "limits: {requests_per_minute: 1000000, tokens_per_minute: 1}"),
];

const GOOD: &str = "good-model";
const FRAIL: &str = "frail-model";

/// What one route needs.
struct Sample {
    route: &'static Route,
    kind: &'static str,
    body: &'static str,
}

/// What is asked, by default nothing that any check objects to.
struct Ask<'a> {
    tenant: &'a str,
    model: &'a str,
    text: &'a str,
    intent: &'a str,
    key: Option<String>,
    prompt: Option<&'a str>,
    body: Option<&'a str>,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        let (tenant, model) = ("plenty", GOOD);
        Self { tenant, model, text: "good morning", intent: "greeting", key: None, prompt: None, body: None }
    }
}

fn samples() -> Vec<Sample> {
    let mut lines = CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let columns: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
        (columns[0], columns[1], columns[2])
    });
    let samples: Vec<Sample> = lines
        .by_ref()
        .map(|(path, kind, body)| {
            let route = ROUTES.iter().find(|route| route.path == path);
            Sample { route: route.unwrap_or_else(|| panic!("{path} has no route")), kind, body }
        })
        .collect();
    for route in ROUTES {
        let count = samples.iter().filter(|sample| sample.route == route).count();
        assert_eq!(count, 1, "tests/cases/coverage.txt has {count} samples of {}", route.path);
    }
    samples
}

fn key(tenant: &str) -> String {
    format!("pcl_{tenant}_{}", "7".repeat(64))
}

/// The acceptance set with these tenants, a model that answers and one whose upstream does not.
fn prepare(dir: &Path) {
    let write = |path: &str, text: String| std::fs::write(dir.join(path), text).unwrap();
    for (tenant, limits) in TENANTS {
        let hash = Digest::of(key(tenant).as_bytes());
        write(
            &format!("policies/tenants/{tenant}.yaml"),
            format!(
                "tenant: {tenant}\nkeys:\n  - {{id: {tenant}, hash: \"{hash}\"}}\nmodels: [{GOOD}, {FRAIL}]\n{limits}\n"
            ),
        );
    }
    for (model, upstream) in [(GOOD, "sim"), (FRAIL, "nowhere")] {
        write(
            &format!("policies/models/{model}.yaml"),
            format!("model: {model}\nversion: \"1\"\nupstream: {upstream}\nstatus: approved\nrisk_level: limited\n"),
        );
    }
    write(
        "policies/rules/coverage.yaml",
        "rules:\n  - name: no-such-intent\n    when: has(metadata.intent) && metadata.intent == \"forbidden\"\n    \
         then: block\n    reason: this intent is not on file\n"
            .to_owned(),
    );
    let bootstrap = std::fs::read_to_string(dir.join("portcullis.yaml")).unwrap();
    // Port 9 (discard, RFC 863) has no listener on a test machine.
    let nowhere = "\n  nowhere: {url: \"http://127.0.0.1:9\", retries: 0, breaker: {failures: 1, open_for: 60s}}\n";
    write("portcullis.yaml", bootstrap.replacen("\nshared_state:", &format!("{nowhere}shared_state:"), 1));
}

async fn ask(site: &Site, sample: &Sample, ask: &Ask<'_>) -> Answer {
    let path = sample.route.path.replace("{model}", ask.model).replace("{model_id}", ask.model);
    let path = path.replace("{project}", "p").replace("{location}", "l");
    let bearer = format!("Bearer {}", ask.key.clone().unwrap_or_else(|| key(ask.tenant)));
    let metadata = format!(r#"{{"intent":"{}"}}"#, ask.intent);
    let mut headers = vec![("authorization", bearer.as_str()), ("x-portcullis-metadata", metadata.as_str())];
    if !sample.kind.is_empty() {
        headers.push(("content-type", sample.kind));
    }
    if let Some(prompt) = ask.prompt {
        headers.push(("x-portcullis-prompt", prompt));
    }
    let body = ask.body.unwrap_or(sample.body);
    let body = body.replace("@MODEL@", ask.model).replace("@TEXT@", ask.text).replace("@INTENT@", ask.intent);
    // A form's lines end in CRLF, which the file of cases cannot hold.
    let body = body.replace("@CRLF@", "\r\n");
    site.ask(sample.route.method(), &path, &headers, body).await
}

/// The columns of the page, and how each is tried: whether the check refuses what it should.
const CHECKS: [&str; 9] = ["identity", "request", "model", "prompt", "rules", "requests", "tokens", "risk", "breaker"];

async fn applies(site: &Site, sample: &Sample, check: &str) -> bool {
    let plain = Ask::default();
    let refuses = async |changed: Ask<'_>, reason: &str| {
        let answer = ask(site, sample, &changed).await;
        let denied = answer.json()["code"] == reason && answer.json()["allowed"] == false;
        answer.reason() == reason || denied
    };
    match check {
        "identity" => refuses(Ask { key: Some("pcl_nobody_1".into()), ..plain }, "credential_invalid").await,
        "request" => {
            refuses(Ask { body: Some("{\"a\":1,\"a\":2}"), ..plain }, "ambiguous_request").await
                || refuses(Ask { body: Some("{"), ..Ask::default() }, "malformed_request").await
        }
        "model" => refuses(Ask { model: "rogue-model", ..plain }, "model_unknown").await,
        "prompt" => refuses(Ask { prompt: Some("nobody@1"), ..plain }, "prompt_unknown").await,
        "rules" => refuses(Ask { intent: "forbidden", ..plain }, "rule_denied").await,
        "requests" => {
            let tenant = "one-request";
            let first = ask(site, sample, &Ask { tenant, ..Ask::default() }).await;
            drop(first);
            refuses(Ask { tenant, ..plain }, "request_limit").await
        }
        "tokens" => refuses(Ask { tenant: "no-tokens", text: &"long ".repeat(64), ..plain }, "token_limit").await,
        "risk" => refuses(Ask { text: "card 4539 1488 0343 6467", ..plain }, "risk_blocked").await,
        "breaker" => {
            let first = ask(site, sample, &Ask { model: FRAIL, ..Ask::default() }).await;
            drop(first);
            refuses(Ask { model: FRAIL, ..plain }, "breaker_open").await
        }
        other => panic!("{other}"),
    }
}

/// Why a check has nothing to judge at a route.
fn excuse(route: &Route, check: &str) -> Option<&'static str> {
    let own = route.operation.is_own();
    let lists = route.method() == Method::GET;
    match check {
        "request" if lists => Some("no body"),
        "model" if own && route.path != "/v1/check" => Some("names no model"),
        "prompt" if own => Some("sends no prompt"),
        "rules" if own && route.path != "/v1/check" => Some("no call"),
        "tokens" if own => Some("costs no tokens"),
        "risk" if own => Some("carries no content"),
        "breaker" if own => Some("answered by the gate"),
        _ => None,
    }
}

async fn table(site: &Site) -> String {
    let mut table = format!("| dialect | operation | route | {} | records |\n", CHECKS.join(" | "));
    writeln!(table, "|{}", "---|".repeat(CHECKS.len() + 4)).unwrap();
    for sample in samples() {
        let route = sample.route;
        write!(
            table,
            "| {} | {} | `{} {}` |",
            route.dialect.as_str(),
            route.operation.as_str(),
            route.method(),
            route.path
        )
        .unwrap();
        for check in CHECKS {
            let excused = excuse(route, check);
            match (applies(site, &sample, check).await, excused) {
                (true, None) => write!(table, " yes |").unwrap(),
                (false, Some(why)) => write!(table, " – ({why}) |").unwrap(),
                (true, Some(why)) => panic!("{}: {check} applies, though {why}", route.path),
                (false, None) => panic!("{}: {check} refuses nothing", route.path),
            }
        }
        let before = site.records().len();
        let answer = ask(site, &sample, &Ask::default()).await;
        assert!(answer.status.is_success(), "{}: {} {:?}", route.path, answer.status, answer.body);
        let records = support::eventually("its records", async || {
            let all = site.records();
            let own = all.get(before..).unwrap_or_default().to_vec();
            let outcome = own.iter().any(|record| is(record, "outcome"));
            (own.iter().any(|record| is(record, "decision")) && outcome != route.operation.is_own()).then_some(own)
        })
        .await;
        let usage =
            records.iter().find(|record| is(record, "outcome")).map(|record| &record["data"]["usage"]["estimated"]);
        let words = match usage {
            None => "decision",
            Some(estimated) if estimated == false => "decision, outcome with the provider's usage",
            Some(_) => "decision, outcome with usage estimated",
        };
        writeln!(table, " {words} |").unwrap();
    }
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_which_check_applies_where() {
    let site = Site::with(prepare).await;
    let found = table(&site).await;
    let (_dir, records) = site.close().await;
    assert!(records.iter().any(|record| is(record, "decision")));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&file).unwrap();
    let (head, rest) = page.split_once(BEGIN).expect("the page has the table's beginning");
    let (shown, tail) = rest.split_once(END).expect("the page has the table's end");
    if std::env::var_os("PORTCULLIS_WRITE_DOCS").is_some() {
        std::fs::write(&file, format!("{head}{BEGIN}{found}{END}{tail}")).unwrap();
    } else {
        assert_eq!(shown, found, "{PAGE} is not what the gate does; run with PORTCULLIS_WRITE_DOCS=1");
    }
}
