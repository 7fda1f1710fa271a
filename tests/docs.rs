//! The documentation against the program: every key, code, metric and command is described, and internal links lead
//! somewhere. Whether what is said of them is true, people judge.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::DateTime;
use http::Method;
use portcullis::clock::Moment;
use portcullis::docket::Docket;
use portcullis::edge::reply;
use portcullis::id::{CorrelationId, RequestId, UpstreamId};
use portcullis::reason::Reason;
use portcullis::telemetry::{Metrics, Settled};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What stands in backticks within lines of prose and tables.
fn code_spans(markdown: &str) -> BTreeSet<&str> {
    prose(markdown).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The lines outside of fenced blocks.
fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The dotted paths of a schema's keys, and the words it refuses for now.
fn keys_of(schema: &Value, node: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(name) = node["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/")) {
        keys_of(schema, &schema["$defs"][name], path, found);
    }
    for branch in node["anyOf"].as_array().into_iter().flatten() {
        keys_of(schema, branch, path, found);
    }
    for word in node["x-not-enforced-yet"].as_array().into_iter().flatten() {
        found.insert(word.as_str().unwrap().to_owned());
    }
    if node["items"].is_object() {
        keys_of(schema, &node["items"], &format!("{path}[]"), found);
    }
    if node["additionalProperties"].is_object() {
        keys_of(schema, &node["additionalProperties"], &format!("{path}.NAME"), found);
    }
    for (key, value) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.insert(path.clone());
        keys_of(schema, value, &path, found);
    }
}

#[test]
fn every_key_of_the_schemas_is_in_the_configuration_reference() {
    let reference = text("docs/configuration.md");
    let spans = code_spans(&reference);
    let mut missing = Vec::new();
    let mut formats = 0;
    for entry in fs::read_dir(root().join("docs/schema")).unwrap() {
        let file = entry.unwrap().path();
        let schema: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let mut keys = BTreeSet::new();
        keys_of(&schema, &schema, "", &mut keys);
        assert!(!keys.is_empty(), "{} has no keys", file.display());
        formats += 1;
        let described = |key: &String| spans.contains(key.as_str());
        missing.extend(keys.into_iter().filter(|key| !described(key)).map(|key| format!("{}: {key}", file.display())));
    }
    assert_eq!(formats, 8, "a format came or went: the reference needs a look");
    assert!(missing.is_empty(), "not in docs/configuration.md:\n{}", missing.join("\n"));
}

#[test]
fn every_reason_stands_in_the_table_with_its_status_and_class() {
    let table = text("docs/reasons.md");
    for &reason in Reason::ALL {
        let row = format!("| `{}` | {} | {} |", reason.code(), reply::status(reason).as_u16(), reason.class().as_str());
        assert!(table.contains(&row), "docs/reasons.md has no row `{row} …`");
    }
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Reason::ALL.len(), "docs/reasons.md has a code that does not exist");
}

/// A sample of every family, so that the exposition has them all.
fn exposition() -> String {
    let metrics = Metrics::new().unwrap();
    let (request, correlation) = (RequestId::parse("r").unwrap(), CorrelationId::parse("r").unwrap());
    let mut docket = Docket::open(request, correlation, Method::POST, Moment::default(), DateTime::UNIX_EPOCH);
    docket.upstream = Some(UpstreamId::parse("u").unwrap());
    docket.risk.findings.insert("EMAIL", 1);
    metrics.decided(&docket, "block", Some(Reason::RequestLimit));
    metrics.decided(&docket, "block", Some(Reason::RoleDenied));
    metrics.fail_open.with_label_values(&["none"]).inc();
    metrics.judged("LLM_CALL", Duration::ZERO);
    metrics.show_breaker("u", 0);
    metrics.show_models([("limited", "approved")].into_iter());
    metrics.settled(&Settled {
        docket: &docket,
        status: Some(200),
        input_tokens: 1,
        output_tokens: 1,
        cost: Some((1.0, "USD")),
        first_byte_after: Some(Duration::ZERO),
        duration: Duration::ZERO,
    });
    metrics.text().unwrap()
}

#[test]
fn every_metric_is_in_the_operations_page_with_its_labels() {
    let exposed = exposition();
    let families: BTreeSet<&str> =
        exposed.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let source = text("src/telemetry/metrics.rs");
    let defined: BTreeSet<&str> = source
        .split('"')
        .filter(|word| word.starts_with("portcullis_") || word.starts_with("ai_governance_"))
        .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .collect();
    assert_eq!(families, defined, "this test must make a sample of every family");

    let page = text("docs/operations.md");
    for family in &families {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{family}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md does not describe {family}"));
        let sample = exposed.lines().find(|line| line.starts_with(family)).unwrap();
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap());
        for label in labels.split(',').filter_map(|pair| pair.split('=').next()).filter(|l| !["", "le"].contains(l)) {
            assert!(row.contains(&format!("`{label}`")), "docs/operations.md: {family} has the label {label}");
        }
    }
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// All commands that help shows, such as `keys new`, with their own long options.
fn commands(above: &[&str], found: &mut Vec<(String, Vec<String>)>) {
    let shown = help(above);
    let inner = shown.split_once("\nCommands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap());
    let Some(inner) = inner else {
        let options = shown.lines().filter_map(|line| line.trim_start().split_once("--"));
        let options = options.filter(|(before, _)| before.is_empty() || before.ends_with(", "));
        let names = options.map(|(_, rest)| rest.split([' ', '[', '=']).next().unwrap().to_owned());
        return found.push((above.join(" "), names.collect()));
    };
    for name in inner.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        commands(&[above, &[name]].concat(), found);
    }
}

#[test]
fn every_command_and_option_is_in_the_command_line_page() {
    let page = text("docs/cli.md");
    let mut all = Vec::new();
    commands(&[], &mut all);
    assert!(all.iter().any(|(name, _)| name == "audit verify"), "{all:?}");
    for (name, options) in all {
        let heading = format!("## `portcullis {name}`");
        let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("docs/cli.md has no `{heading}`"));
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains(&format!("portcullis {name}")), "{name} has no example");
        for option in options.iter().filter(|o| !["help", "version", "log", "log-format"].contains(&o.as_str())) {
            assert!(section.contains(&format!("`--{option}")), "docs/cli.md: `{name}` does not describe --{option}");
        }
    }
    for global in ["`--log FILTER`", "`--log-format", "`--version`"] {
        assert!(page.contains(global), "docs/cli.md does not describe {global}");
    }
}

fn markdown_files() -> Vec<PathBuf> {
    let mut files = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    files
}

/// The anchors of a page's headings, as forges make them.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = prose(markdown).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_link_inside_the_documentation_leads_somewhere() {
    let mut followed = 0;
    for page in markdown_files() {
        let markdown = fs::read_to_string(&page).unwrap();
        for target in prose(&markdown).flat_map(|line| line.split("](").skip(1)) {
            let target = target.split(')').next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(file.exists(), "{}: `{target}` does not exist", page.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&file).unwrap());
                assert!(there.contains(anchor), "{}: `{target}` has no such heading", page.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

#[test]
fn anchors_are_those_that_forges_make() {
    let page = "# When something fails\n```\n# not a heading\n```\n## `portcullis keys new`\n## What is proven, and what not yet\n";
    let expected = ["portcullis-keys-new", "what-is-proven-and-what-not-yet", "when-something-fails"];
    assert_eq!(anchors(page).iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
