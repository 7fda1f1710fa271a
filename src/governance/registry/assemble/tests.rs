//! What policy files say about each other, one case each.

use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;

use super::{Stamp, Terms, assemble};
use crate::config::bootstrap::Durability;
use crate::config::fault::Faults;
use crate::config::policy::{Algorithm, RiskAction};
use crate::governance::registry::Snapshot;
use crate::governance::registry::files::{Files, PolicyFile};
use crate::id::{Revision, TenantId, UpstreamId};

impl Snapshot {
    /// The snapshot of these policy files (path and text), for upstreams `openai`, `anthropic` and `sim`.
    ///
    /// # Panics
    /// With all faults, when the files have any.
    pub(crate) fn for_tests(files: &[(&str, &str)]) -> Arc<Self> {
        match assembled(files, Durability::Group) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(faults) => panic!("{}", faults.render(false)),
        }
    }
}

fn assembled(files: &[(&str, &str)], durability: Durability) -> Result<Snapshot, Faults> {
    let list =
        files.iter().map(|(path, text)| PolicyFile { path: (*path).to_owned(), bytes: text.as_bytes().to_vec() });
    let mut files = Files { list: list.collect(), faults: Vec::new() };
    files.list.sort_by(|a, b| a.path.cmp(&b.path));
    let upstreams = ["openai", "anthropic", "sim"].iter().map(|name| UpstreamId::parse(name).unwrap()).collect();
    let stamp = Stamp { revision: Revision(1), digest: files.digest(), loaded_at: DateTime::UNIX_EPOCH };
    assemble(Path::new("p"), files, &Terms { upstreams, durability }, stamp)
}

pub(crate) fn faults(files: &[(&str, &str)]) -> Vec<String> {
    match assembled(files, Durability::Group) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(files: &[(&str, &str)]) -> Vec<String> {
    Snapshot::for_tests(files).warnings().iter().map(ToString::to_string).collect()
}

const M: &str = "model: m\nversion: \"1\"\nupstream: sim\nstatus: pending\n";
const HASH: &str = "sha256:1139828a80faf087279bf08fc8a0754b6a47bff7234d99ca0f5cf3b34a4b8d46";

fn tenant(name: &str, key: &str, more: &str) -> String {
    format!("tenant: {name}\nkeys:\n  - {{id: {key}, hash: \"{HASH}\"}}\n{more}")
}

#[test]
fn names_and_aliases_lead_to_versions_highest_first() {
    let version = |v: &str, alias: &str| {
        format!("model: m\nversion: \"{v}\"\nupstream: sim\nstatus: draft\naliases: [{alias}]\n")
    };
    let snapshot = Snapshot::for_tests(&[
        ("models/a.yaml", &version("9", "m-nine")),
        ("models/b.yaml", &version("10", "m-ten")),
        ("models/c.yml", &version("2", "m-two")),
    ]);
    let of = |name: &str| -> Vec<&str> {
        snapshot.versions(name).unwrap_or_default().iter().map(|m| m.file.version.as_str()).collect()
    };
    assert_eq!(of("m"), ["10", "9", "2"]);
    assert_eq!(of("m-nine"), ["9"]);
    assert_eq!(of("x"), Vec::<&str>::new());
    assert_eq!(snapshot.models().len(), 3);
}

#[test]
fn what_files_say_against_each_other_is_told_at_once() {
    let found = faults(&[
        ("models/a.yaml", "model: m\nversion: \"1\"\nupstream: sim\nstatus: draft\naliases: [x, n]\n"),
        ("models/b.yaml", "model: m\nversion: \"1\"\nupstream: nowhere\nstatus: draft\naliases: [x]\n"),
        ("models/c.yaml", "model: n\nversion: \"1\"\nupstream: sim\nstatus: draft\naliases: [x, n]\n"),
        ("organizations/a.yaml", "organization: o\nrisk: {profile: none}\n"),
        ("organizations/b.yaml", "organization: o\n"),
        (
            "people.yaml",
            &format!(
                "people:\n  - {{name: a, roles: [admin], token: \"{HASH}\"}}\n  - {{name: a, roles: [admin], token: \"{HASH}\"}}\n"
            ),
        ),
        ("prompts/p/1.yaml", "prompt: p\nversion: 2\nstatus: draft\nauthor: a\nchange_reason: r\ntemplate: t\n"),
        ("prompts/p/2.yaml", "prompt: p\nversion: 2\nstatus: draft\nauthor: a\nchange_reason: r\ntemplate: \"{{x\"\n"),
        ("risk/a.yaml", "profile: strict\n"),
        ("risk/b.yaml", "profile: strict\n"),
        ("rules/a.yaml", "rules:\n  - {name: r, when: \"true\", then: block}\n"),
        ("rules/b.yaml", "rules:\n  - {name: r, when: \"true\", then: block}\n"),
        ("tenants/a.yaml", &tenant("t", "k1", "risk: {profile: none}\n")),
        ("tenants/b.yaml", &tenant("u", "k1", "")),
        ("tenants/c.yaml", &tenant("t", "k2", "")),
        ("notes/x.yaml", "a: b\n"),
        ("stray.yaml", "a: b\n"),
    ]);
    assert_eq!(
        found,
        [
            "p/models/a.yaml:5:14: the alias `n` is the name of a model",
            "p/models/b.yaml:2:10: `m` version `1` exists already",
            "p/models/b.yaml:3:11: there is no upstream `nowhere`",
            "p/models/c.yaml:5:11: the alias `x` means another version already",
            "p/models/c.yaml:5:14: the alias `n` is the name of a model",
            "p/notes/x.yaml: no policy file is expected here",
            "p/organizations/a.yaml:2:17: there is no risk profile `none`",
            "p/organizations/b.yaml:1:15: the organization `o` exists already",
            "p/people.yaml:3:12: `a` stands here a second time",
            "p/people.yaml:3:38: two people have the same token, so neither could be told apart",
            "p/prompts/p/1.yaml:1:9: `p` version 2 must stand in prompts/p/2.yaml",
            "p/prompts/p/2.yaml:2:10: `p` version 2 exists already",
            "p/risk/b.yaml:1:10: the profile `strict` exists already",
            "p/rules/b.yaml:2:12: the rule `r` exists already",
            "p/stray.yaml: no policy file is expected here",
            "p/tenants/a.yaml:4:17: there is no risk profile `none`",
            "p/tenants/b.yaml:3:10: the key id `k1` is taken by tenant `t`",
            "p/tenants/c.yaml:1:9: the tenant `t` exists already",
        ]
    );
}

#[test]
fn a_fault_in_an_expression_or_template_has_its_place() {
    assert_eq!(
        faults(&[("rules/a.yaml", "rules:\n  - name: r\n    when: tenant.id == ??\n    then: block\n")]).len(),
        1
    );
    let count = "rules:\n  - name: r\n    when: risk.count('CREDIT_CRAD') > 0\n    then: block\n";
    assert_eq!(
        faults(&[("rules/a.yaml", count)]),
        ["p/rules/a.yaml:3:22: `CREDIT_CRAD` is no finding type or class; did you mean `CREDIT_CARD`?"]
    );
    let template = "prompt: p\nversion: 1\nstatus: draft\nauthor: a\nchange_reason: r\ntemplate: \"hello {{x\"\n";
    let found = faults(&[("prompts/p/1.yaml", template)]);
    assert!(found[0].starts_with("p/prompts/p/1.yaml:6:11: "), "{found:?}");
}

#[test]
fn what_may_exist_in_a_torn_file_is_not_reported_missing() {
    let found = faults(&[
        ("risk/strict.yaml", "profile: strict\nblock_at: 1000\nweights: 3\n"),
        ("risk/other.yaml", "profile: [\n"),
        ("tenants/a.yaml", &tenant("t", "k1", "risk: {profile: unseen}\n")),
    ]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|fault| fault.starts_with("p/risk/")), "{found:?}");
}

#[test]
fn warnings_refuse_nothing() {
    assert_eq!(warnings(&[("models/m.yaml", M)]), ["tenants/: there is no tenant: every call will be refused"]);
    assert_eq!(
        warnings(&[
            ("models/m.yaml", &M.replace("pending", "approved\naliases: [m-one]")),
            ("tenants/a.yaml", "tenant: t\nmodels: [m, later, m-one]\n"),
        ]),
        [
            "p/models/m.yaml:4:9: the model is approved and names no approval: by whom, when and why",
            "p/tenants/a.yaml:1:9: the tenant has no keys, so nobody can call as it",
            "p/tenants/a.yaml:2:13: the model `later` is not registered",
            "p/tenants/a.yaml:2:20: `m-one` is an alias, so it permits nothing",
        ]
    );
}

#[test]
fn an_async_log_and_a_high_risk_model_exclude_each_other() {
    let high = "model: m\nversion: \"1\"\nupstream: sim\nstatus: approved\nrisk_level: high\n";
    let files = [("models/m.yaml", high), ("tenants/a.yaml", "tenant: t\nmodels: [m]\n")];
    let faults = assembled(&files, Durability::Async).unwrap_err();
    assert!(faults.to_string().starts_with("p/tenants/a.yaml:2:10: the model `m` has high risk"), "{faults}");
    assembled(&files, Durability::Group).unwrap();
    assembled(&[files[0], ("tenants/a.yaml", "tenant: t\n")], Durability::Async).unwrap();
}

#[test]
fn defaults_merge_key_by_key() {
    let snapshot = Snapshot::for_tests(&[
        (
            "organizations/o.yaml",
            "organization: o\nlimits: {requests_per_minute: 6000, concurrent: 8}\nrisk: {profile: bank, block_at: 40, actions: {email: flag}}\n",
        ),
        ("risk/bank.yaml", "profile: bank\nblock_at: 30\napprove_at: 20\nactions: {email: block, iban: block}\n"),
        (
            "tenants/a.yaml",
            "tenant: a\norganization: o\nlimits: {requests_per_minute: {rate: 10, algorithm: sliding_window}}\nrisk: {approve_at: 10, weights: {contact_data: 5}}\n",
        ),
        ("tenants/b.yaml", "tenant: b\norganization: unknown\n"),
        ("tenants/c.yaml", "tenant: c\n"),
    ]);
    let of = |name: &str| snapshot.tenant(&TenantId::parse(name).unwrap()).unwrap();
    let a = of("a");
    assert_eq!((a.limits.requests.per_minute.get(), a.limits.requests.burst.get()), (10, 10));
    assert_eq!(a.limits.requests.algorithm, Algorithm::SlidingWindow);
    assert_eq!(a.limits.concurrent.unwrap().get(), 8);
    assert_eq!((a.profile.block_at, a.profile.approve_at), (40, 10));
    assert_eq!(a.profile.actions["EMAIL"], RiskAction::Flag);
    assert_eq!(a.profile.actions["IBAN"], RiskAction::Block);
    assert_eq!((a.profile.weights["contact_data"], a.profile.weights["credential"]), (5, 90));
    let b = of("b");
    assert_eq!((b.limits.requests.per_minute.get(), b.limits.tokens, b.limits.concurrent), (100, None, None));
    assert_eq!((b.profile.block_at, b.profile.profile.as_str()), (50, "default"));
    assert!(Arc::ptr_eq(&b.profile, &of("c").profile));
}

#[test]
fn keys_are_found_by_their_id() {
    let snapshot = Snapshot::for_tests(&[("tenants/a.yaml", &tenant("t", "k1", ""))]);
    let key = snapshot.keyring().get("k1").unwrap();
    assert_eq!((key.tenant.as_str(), key.disabled, key.roles.len()), ("t", false, 1));
}

#[test]
fn ten_thousand_models_are_no_matter_of_seconds() {
    let text =
        |n: usize| format!("model: m{}\nversion: \"{n}\"\nupstream: sim\nstatus: draft\naliases: [a{n}]\n", n % 100);
    let texts: Vec<(String, String)> = (0..10_000).map(|n| (format!("models/{n}.yaml"), text(n))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let snapshot = Snapshot::for_tests(&files);
    assert_eq!(snapshot.versions("m7").unwrap().len(), 100);
    assert_eq!(snapshot.versions("m7").unwrap()[0].file.version.as_str(), "9907");
}
