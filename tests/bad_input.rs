//! What people get wrong: each is one clear message on standard error that says where and what to do, exit code 2, and
//! nothing half-started. Asked of the real binary.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::process::{Finished, Gate, finish, on, portcullis};
use support::{ACME, CHAT, acceptance_directory, chat_body, edit, records};

/// Runs a gate that must not start, and checks what every such end has in common.
fn not_started(dir: &Path, command: &mut Command) -> String {
    let done = refused(command, 2);
    let segments = dir.join("var/audit/segments");
    let begun = std::fs::read_dir(&segments).map_or(0, Iterator::count);
    assert_eq!(begun, 0, "an audit log was begun: {done:?}");
    assert!(!done.err.contains("the gate is open"), "{done:?}");
    done.err
}

fn refused(command: &mut Command, code: i32) -> Finished {
    let done = finish(command).with_code(code);
    assert_eq!(done.out, "", "results only go to standard output: {done:?}");
    assert!(!done.err.is_empty());
    for sign in ["panicked", "RUST_BACKTRACE", "stack backtrace", "src/"] {
        assert!(!done.err.contains(sign), "{sign}: {}", done.err);
    }
    done
}

fn run(dir: &Path) -> Command {
    on(dir, &["run"])
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

fn faults_in(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("error: ")).count()
}

#[test]
fn a_config_fault_has_its_place_its_excerpt_and_advice() {
    let dir = acceptance_directory();
    edit(&dir.path().join("portcullis.yaml"), "trust: none", "trsut: none");
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(&said, &["unknown key `trsut`", "portcullis.yaml:6:1", "^^^^^", "did you mean `trust`?"]);
    assert_eq!(faults_in(&said), 1, "{said}");
    assert!(!dir.path().join("var").exists(), "a state directory was made");
}

#[test]
fn all_config_faults_are_told_at_once_and_no_credential_with_them() {
    let dir = acceptance_directory();
    let file = dir.path().join("portcullis.yaml");
    edit(&file, "url: http://127.0.0.1:${UPSTREAM_PORT}", "url: 127.0.0.1");
    edit(&file, "api_key: sk-upstream-credential", "api_kye: sk-upstream-credential");
    edit(&file, "on_failure: local", "on_failure: hope");
    edit(&file, "state: ${DIR}/var", "state: ${NOBODY_SET_THIS}/var");
    edit(&file, "${DURABILITY:-group}", "${DURABILITY:-eventually}");
    let said = not_started(dir.path(), &mut run(dir.path()));
    let places = [
        "portcullis.yaml:4:8",
        "portcullis.yaml:9:10",
        "portcullis.yaml:10:5",
        "portcullis.yaml:11:53",
        "portcullis.yaml:12:21",
    ];
    says(&said, &places);
    says(&said, &["NOBODY_SET_THIS", "`api_kye`", "`hope`", "not one of: sync, group, async", "http://"]);
    assert_eq!(faults_in(&said), 5, "{said}");
    assert!(!said.contains("sk-upstream-credential"), "{said}");
}

#[test]
fn a_missing_variable_is_named() {
    let dir = acceptance_directory();
    let said = not_started(dir.path(), run(dir.path()).env_remove("PORT"));
    says(&said, &["portcullis.yaml:2:9", "PORT"]);
}

#[test]
fn an_override_that_names_no_key_is_named_as_the_variable_that_it_is() {
    let dir = acceptance_directory();
    let said = not_started(dir.path(), run(dir.path()).env("PORTCULLIS__AUDT__DURABILITY", "sync"));
    says(&said, &["$PORTCULLIS__AUDT__DURABILITY", "audt"]);
}

#[test]
fn policy_faults_are_told_all_at_once_with_their_places() {
    let dir = acceptance_directory();
    let policies = dir.path().join("policies");
    edit(&policies.join("models/gpt-4o.yaml"), "upstream: sim", "upstream: simm");
    edit(&policies.join("models/old-model.yaml"), "status: retired", "status: retierd");
    edit(&policies.join("tenants/globex.yaml"), "rate: 100", "rate: lots");
    edit(&policies.join("rules/base.yaml"), "tenant.id ==", "tenant.id =");
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(
        &said,
        &[
            "models/gpt-4o.yaml:3:11",
            "the bootstrap config names: sim",
            "models/old-model.yaml:4:9",
            "did you mean `retired`?",
        ],
    );
    says(&said, &["tenants/globex.yaml:10:31", "rules/base.yaml:3:21", "portcullis validate"]);
    assert_eq!(said.matches(" --> ").count(), 4, "{said}");
}

#[test]
fn a_flag_or_command_that_is_not_one_is_answered_with_the_nearest() {
    let done = refused(portcullis().args(["run", "--confg", "x.yaml"]), 2);
    says(&done.err, &["--confg", "--config", "Usage: portcullis run"]);
    let done = refused(portcullis().arg("vaildate"), 2);
    says(&done.err, &["vaildate", "'validate'", "--help"]);
    let done = refused(portcullis().args(["run", "--log", "=,="]), 2);
    says(&done.err, &["--log", "info"]);
    let dir = acceptance_directory();
    let said = not_started(dir.path(), run(dir.path()).env("PORTCULLIS_LOG", "portcullis=louder"));
    says(&said, &["PORTCULLIS_LOG", "info"]);
}

#[test]
fn a_config_file_that_is_not_there_or_is_a_directory_is_named_with_advice() {
    let dir = acceptance_directory();
    for file in [dir.path().join("nowhere.yaml"), dir.path().to_owned()] {
        let said = not_started(dir.path(), portcullis().args(["run", "--config"]).arg(&file));
        says(&said, &[&file.display().to_string(), "cannot be read", "--config"]);
    }
}

#[test]
fn a_busy_port_of_either_plane_is_named_with_its_key_and_advice() {
    let dir = acceptance_directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (variable, key) in [("PORT", "`listen`"), ("ADMIN_PORT", "`admin`")] {
        let said = not_started(dir.path(), run(dir.path()).env(variable, &port));
        says(&said, &[&format!("127.0.0.1:{port}"), key, "in use", "stop it or choose another address"]);
        assert_eq!(said.lines().count(), 1, "one message: {said}");
    }
}

#[test]
fn a_socket_that_was_bound_is_taken_away_when_the_start_fails_after_it() {
    let dir = acceptance_directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    edit(&dir.path().join("portcullis.yaml"), "listen: 127.0.0.1:${PORT}", "listen: unix:gate.sock");
    let mut command = run(dir.path());
    not_started(dir.path(), command.env("ADMIN_PORT", taken.local_addr().unwrap().port().to_string()));
    assert!(!dir.path().join("gate.sock").exists(), "the socket was left behind");
    let gate = Gate::start(&mut run(dir.path()));
    assert!(dir.path().join("gate.sock").exists());
    assert_eq!(gate.process.end("TERM").0, Some(0));
    assert!(!dir.path().join("gate.sock").exists());
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_port_bound_in_its_process() {
    let dir = support::policy_directory("http://127.0.0.1:9");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let (listen, admin) = (free.local_addr().unwrap(), taken.local_addr().unwrap());
    drop(free);
    let file = dir.path().join("portcullis.yaml");
    edit(&file, "127.0.0.1:${PORT}", &listen.to_string());
    edit(&file, "127.0.0.1:${ADMIN_PORT}", &admin.to_string());
    let fault = support::try_start(dir.path()).await.unwrap_err();
    says(&fault.to_string(), &["`admin`", &admin.to_string()]);
    TcpListener::bind(listen).unwrap();
    drop(taken);
    // Nothing else is left either: the same files do once the port is free.
    let app = support::try_start(dir.path()).await.unwrap();
    app.shutdown().await;
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named_with_advice() {
    let dir = acceptance_directory();
    let occupied = dir.path().join("occupied");
    std::fs::write(&occupied, "a file").unwrap();
    // No user may make directories there, not even root.
    for state in [occupied.as_path(), &occupied.join("below"), Path::new("/proc/portcullis-state")] {
        let said = not_started(dir.path(), run(dir.path()).env("PORTCULLIS__STATE", state));
        says(&said, &[&state.display().to_string(), "state directory", "make it writable", "`state`"]);
        assert_eq!(said.lines().count(), 1, "one message: {said}");
    }
    assert_eq!(std::fs::read_to_string(&occupied).unwrap(), "a file");
    for (part, word) in [("audit", "audit directory"), ("registry", "revision counter")] {
        let state = dir.path().join(format!("with-a-file-{part}"));
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join(part), "a file").unwrap();
        let said = not_started(dir.path(), run(dir.path()).env("PORTCULLIS__STATE", &state));
        says(&said, &[&state.display().to_string(), word, "writable", "`state`"]);
    }
}

#[test]
fn a_policy_file_that_cannot_be_read_is_named() {
    let dir = acceptance_directory();
    let models = dir.path().join("policies/models");
    std::fs::create_dir(models.join("folder.yaml")).unwrap();
    std::fs::write(models.join("latin1.yaml"), b"model: caf\xe9\n").unwrap();
    std::os::unix::fs::symlink("nowhere.yaml", models.join("link.yaml")).unwrap();
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(
        &said,
        &["models/folder.yaml", "folder", "models/latin1.yaml:1:11", "not UTF-8", "models/link.yaml", "cannot be read"],
    );
    let done = finish(&mut on(dir.path(), &["validate"])).with_code(1);
    says(&done.err, &["models/folder.yaml", "models/latin1.yaml:1:11", "models/link.yaml", "3 faults"]);
}

#[test]
fn a_policy_directory_that_is_not_there_is_named_with_its_key() {
    let dir = acceptance_directory();
    let nowhere = dir.path().join("nowhere");
    let said = not_started(dir.path(), run(dir.path()).env("PORTCULLIS__POLICIES", &nowhere));
    says(&said, &[&nowhere.display().to_string(), "policy directory", "`policies`"]);
}

#[tokio::test]
async fn a_second_gate_on_the_same_state_is_refused_and_disturbs_nothing() {
    let (dir, other) = (acceptance_directory(), acceptance_directory());
    let gate = Gate::start(&mut run(dir.path()));
    let state = dir.path().join("var");
    let counter = std::fs::read(state.join("registry/revision.json")).unwrap();
    // Another policy directory: it would count revisions of its own.
    edit(&other.path().join("policies/models/gpt-4o.yaml"), "status: pending", "status: draft");
    let done = refused(run(other.path()).env("PORTCULLIS__STATE", &state), 2);
    says(&done.err, &[&state.display().to_string(), "in use by another", "`state`"]);
    assert_eq!(done.err.lines().count(), 1, "one message: {done:?}");
    assert_eq!(std::fs::read(state.join("registry/revision.json")).unwrap(), counter);
    let answer = gate.post(ACME, CHAT, &chat_body("gpt-4o", "Hello.")).await;
    assert_eq!(answer.reason(), "model_not_approved", "the first goes on");
    assert_eq!(gate.process.end("TERM").0, Some(0));
    finish(portcullis().args(["audit", "verify"]).arg(state.join("audit"))).with_code(0);
    assert_eq!(records(&state.join("audit")).iter().filter(|r| r["data"]["action"] == "GATE_STARTED").count(), 1);
    let again = Gate::start(&mut run(dir.path()));
    assert_eq!(again.process.end("TERM").0, Some(0), "once the first is gone its state is free");
}

#[test]
fn tls_files_that_are_missing_or_are_none_are_named() {
    let dir = acceptance_directory();
    let file = dir.path().join("portcullis.yaml");
    let listen = "listen: {address: '127.0.0.1:${PORT}', tls: {cert: cert.pem, key: key.pem}}";
    edit(&file, "listen: 127.0.0.1:${PORT}", listen);
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(&said, &["TLS", "cert.pem", "No such file", "`tls`"]);
    std::fs::write(dir.path().join("cert.pem"), "not a certificate").unwrap();
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(&said, &["key.pem", "No such file"]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(&said, &["cert.pem", "no certificate in PEM form"]);
    std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("key.pem"), other.signing_key.serialize_pem()).unwrap();
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(&said, &["certificate and key"]);
    assert!(!said.contains("PRIVATE KEY"), "{said}");
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let gate = Gate::start(&mut run(dir.path()));
    assert_eq!(gate.process.end("TERM").0, Some(0), "the right pair does");
}

#[test]
fn an_upstreams_ca_file_that_is_missing_is_named() {
    let dir = acceptance_directory();
    let file = dir.path().join("portcullis.yaml");
    edit(&file, "    api_key: sk-", "    ca: ca.pem\n    api_key: sk-");
    let said = not_started(dir.path(), &mut run(dir.path()));
    says(&said, &["upstream `sim`", "ca.pem"]);
}

#[test]
fn validate_tells_every_fault_with_its_place_and_ends_with_1() {
    let dir = acceptance_directory();
    let policies = dir.path().join("policies");
    edit(&policies.join("models/gpt-4o.yaml"), "status: pending", "status: pending\nstatsu: x");
    let done = refused(&mut on(dir.path(), &["validate"]), 1);
    says(&done.err, &["models/gpt-4o.yaml:5:1", "did you mean `status`?", "1 fault;"]);
    edit(&policies.join("tenants/acme.yaml"), "sha256:1139828a", "sha256:1139");
    let done = refused(&mut on(dir.path(), &["validate"]), 1);
    says(&done.err, &["models/gpt-4o.yaml:5:1", "tenants/acme.yaml:6:20", "2 faults;"]);
    assert!(!dir.path().join("var").exists(), "validate writes nothing");

    let done = finish(&mut on(dir.path(), &["validate", "--format", "json"])).with_code(1);
    assert_eq!(done.err, "", "all is in the document");
    let said = done.json();
    assert_eq!(said["valid"], false);
    let faults = said["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 2, "{said}");
    let places: Vec<Value> = faults.iter().map(|f| json!([f["severity"], f["line"], f["column"]])).collect();
    assert_eq!(places, [json!(["error", 5, 1]), json!(["error", 6, 20])]);
    assert!(faults[0]["file"].as_str().unwrap().ends_with("models/gpt-4o.yaml"), "{said}");
    assert_eq!(faults[0]["help"], "did you mean `status`?", "{said}");
    assert!(faults[0]["message"].as_str().unwrap().contains("`statsu`"), "{said}");
}

#[test]
fn validate_tells_the_faults_of_the_config_too() {
    let dir = acceptance_directory();
    edit(&dir.path().join("portcullis.yaml"), "trust: none", "trust: root.json");
    let done = refused(&mut on(dir.path(), &["validate"]), 1);
    says(&done.err, &["portcullis.yaml:6:8", "trust", "not enforced by this build"]);
}

#[test]
fn validate_warns_of_a_model_that_is_not_registered_and_is_content() {
    let dir = acceptance_directory();
    edit(&dir.path().join("policies/tenants/globex.yaml"), "[gpt-4o-mini]", "[gpt-4o-mini, not-yet]");
    let done = finish(&mut on(dir.path(), &["validate"])).with_code(0);
    says(&done.err, &["warning", "not-yet", "tenants/globex.yaml:7:"]);
    let done = finish(&mut on(dir.path(), &["validate", "--format", "json"])).with_code(0);
    let said = done.json();
    assert_eq!((&said["valid"], &said["warnings"][0]["line"]), (&json!(true), &json!(7)), "{said}");
}
