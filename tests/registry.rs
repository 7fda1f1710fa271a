//! The registry from the outside: real policy directories, reloads, restarts, and the samples that are shipped.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use portcullis::config::bootstrap::{Config, Durability};
use portcullis::governance::registry::{Registry, Reload, Settings};
use portcullis::id::{Revision, TenantId, UpstreamId};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A gate's folder with one approved model and one tenant.
struct Gate {
    dir: tempfile::TempDir,
}

impl Gate {
    fn new() -> Self {
        let gate = Self { dir: tempfile::tempdir().unwrap() };
        gate.write("models/m.yaml", &model("approved"));
        gate.write("tenants/t.yaml", "tenant: t\nmodels: [m]\n");
        gate
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join("policies").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn settings(&self) -> Settings {
        Settings {
            policies: self.dir.path().join("policies"),
            state: self.dir.path().join("var"),
            upstreams: BTreeSet::from([UpstreamId::parse("sim").unwrap()]),
            durability: Durability::Group,
        }
    }

    fn open(&self) -> Registry {
        Registry::open(self.settings(), Box::new(|_| {}), NOW).unwrap()
    }
}

fn model(status: &str) -> String {
    format!("model: m\nversion: \"1\"\nupstream: sim\nstatus: {status}\n")
}

fn status(registry: &Registry) -> &'static str {
    registry.current().versions("m").unwrap()[0].file.status.as_str()
}

#[test]
fn a_good_change_is_in_force_when_reload_returns() {
    let gate = Gate::new();
    let registry = gate.open();
    assert!(matches!(registry.reload(NOW), Reload::Unchanged));
    gate.write("models/m.yaml", &model("revoked"));
    let kept = registry.current();
    let Reload::Activated { revision, previous, .. } = registry.reload(NOW) else { panic!("activated") };
    assert_eq!((revision, previous), (Revision(2), Revision(1)));
    assert_eq!(status(&registry), "revoked");
    assert_eq!(kept.versions("m").unwrap()[0].file.status.as_str(), "approved", "a request keeps its snapshot");
}

#[test]
fn a_bad_change_leaves_all_as_it_is_until_it_is_repaired() {
    let gate = Gate::new();
    let registry = gate.open();
    gate.write("models/m.yaml", &model("revoked"));
    gate.write("tenants/t.yaml", "tenant: t\nmodells: [m]\n");
    let Reload::Rejected(rejection) = registry.reload(NOW) else { panic!("rejected") };
    assert!(rejection.faults.to_string().contains("tenants/t.yaml:2:1: unknown key `modells`"), "{}", rejection.faults);
    assert_eq!(status(&registry), "approved", "all or nothing");
    let standing = registry.standing();
    assert_eq!((standing.revision, standing.reload_failures), (Revision(1), 1));
    assert!(standing.rejected.is_some());
    gate.write("tenants/t.yaml", "tenant: t\nmodels: [m]\n");
    assert!(matches!(registry.reload(NOW), Reload::Activated { .. }));
    assert!(registry.standing().rejected.is_none());
    assert_eq!(status(&registry), "revoked");
}

#[test]
fn going_back_to_the_active_files_clears_the_rejection() {
    let gate = Gate::new();
    let registry = gate.open();
    gate.write("models/m.yaml", "model: [");
    assert!(matches!(registry.reload(NOW), Reload::Rejected(_)));
    gate.write("models/m.yaml", &model("approved"));
    assert!(matches!(registry.reload(NOW), Reload::Recovered));
    assert!(registry.standing().rejected.is_none());
    assert_eq!(registry.current().revision(), Revision(1));
}

#[test]
fn a_directory_that_goes_away_is_a_rejection() {
    let gate = Gate::new();
    let registry = gate.open();
    fs::rename(gate.dir.path().join("policies"), gate.dir.path().join("elsewhere")).unwrap();
    assert!(matches!(registry.reload(NOW), Reload::Rejected(_)));
    assert_eq!(status(&registry), "approved");
}

#[test]
fn revisions_count_on_over_restarts_and_the_same_files_keep_theirs() {
    let gate = Gate::new();
    assert_eq!(gate.open().current().revision(), Revision(1));
    assert_eq!(gate.open().current().revision(), Revision(1));
    gate.write("models/m.yaml", &model("retired"));
    assert_eq!(gate.open().current().revision(), Revision(2));
    assert_eq!(gate.open().current().revision(), Revision(2));
}

#[test]
fn limiters_are_made_ready_before_anyone_sees_a_snapshot_and_not_for_bad_files() {
    let gate = Gate::new();
    let prepared = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&prepared);
    let prepare = Box::new(move |_: &_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let registry = Registry::open(gate.settings(), prepare, NOW).unwrap();
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    gate.write("models/m.yaml", "model: [");
    registry.reload(NOW);
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    gate.write("models/m.yaml", &model("retired"));
    registry.reload(NOW);
    assert_eq!(prepared.load(Ordering::SeqCst), 2);
}

#[test]
fn a_revision_that_cannot_be_stored_activates_nothing() {
    let gate = Gate::new();
    let registry = gate.open();
    fs::remove_dir_all(gate.dir.path().join("var")).unwrap();
    fs::write(gate.dir.path().join("var"), "in the way").unwrap();
    gate.write("models/m.yaml", &model("retired"));
    assert!(matches!(registry.reload(NOW), Reload::Rejected(_)));
    assert_eq!(status(&registry), "approved");
    fs::remove_file(gate.dir.path().join("var")).unwrap();
    assert!(matches!(registry.reload(NOW), Reload::Activated { .. }), "the same files do once the disk does");
}

#[test]
fn a_gate_with_bad_files_does_not_open_and_says_everything() {
    let gate = Gate::new();
    gate.write("models/n.yaml", "model: n\nversion: \"1\"\nupstream: gone\nstatus: aproved\n");
    gate.write("tenants/t.yaml", "tenant: t\nkeys: 3\n");
    let faults = Registry::open(gate.settings(), Box::new(|_| {}), NOW).unwrap_err();
    assert_eq!(faults.len(), 2, "{}", faults.render(false));
    assert!(!gate.dir.path().join("var/registry/revision.json").exists());
}

/// Loads a config as `run` does, and the policies it names.
fn load(path: &Path, env: &[(&str, String)]) -> (Config, Registry, tempfile::TempDir) {
    let look = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
    let config = match Config::load(path, &look, []) {
        Ok(config) => config,
        Err(faults) => panic!("{}", faults.render(false)),
    };
    let state = tempfile::tempdir().unwrap();
    let settings = Settings {
        policies: config.policies.clone(),
        state: state.path().to_path_buf(),
        upstreams: config.upstreams.keys().cloned().collect(),
        durability: config.audit.durability,
    };
    match Registry::open(settings, Box::new(|_| {}), NOW) {
        Ok(registry) => (config, registry, state),
        Err(faults) => panic!("{}", faults.render(false)),
    }
}

#[test]
fn the_gate_of_the_fixtures_loads_as_it_is() {
    let dir = home().join("tests/fixtures/gate");
    let env = [
        ("PORT", "4100".to_owned()),
        ("ADMIN_PORT", "4101".to_owned()),
        ("UPSTREAM_PORT", "9100".to_owned()),
        ("DIR", dir.display().to_string()),
    ];
    let (_, registry, _state) = load(&dir.join("portcullis.yaml"), &env);
    let snapshot = registry.current();
    assert_eq!(snapshot.models().len(), 6);
    assert_eq!(snapshot.versions("small-2024-07-18").unwrap()[0].file.model.as_str(), "small");
    assert_eq!(snapshot.prompt("welcome").unwrap().iter().map(|p| p.file.version).collect::<Vec<_>>(), [2, 1]);
    let two = snapshot.tenant(&TenantId::parse("two").unwrap()).unwrap();
    assert_eq!(two.limits.requests.per_minute.get(), 100);
    assert_eq!(two.profile.weights["external_model"], 50);
    assert!(snapshot.keyring().get("k2").is_some());
    assert_eq!(snapshot.people().len(), 3);
}

#[test]
fn the_shipped_samples_load_without_a_warning() {
    let (config, registry, _state) = load(&home().join("config/portcullis.yaml"), &[]);
    assert!(config.upstreams.values().all(|upstream| upstream.api_key.is_none()));
    let snapshot = registry.current();
    assert!(snapshot.warnings().is_empty(), "{:#?}", snapshot.warnings());
    assert_eq!(snapshot.tenants().len(), 2);
    assert_eq!(snapshot.prompt("support-triage").unwrap().len(), 3);
}

#[test]
fn every_shipped_file_names_its_schema() {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let mut found = vec![home().join("config/portcullis.yaml")];
    files(&home().join("policies"), &mut found);
    assert!(found.len() > 10);
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        let schema = first.strip_prefix("# yaml-language-server: $schema=").unwrap();
        assert!(path.parent().unwrap().join(schema).is_file(), "{} names {schema}", path.display());
    }
}
