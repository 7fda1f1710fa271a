//! Policy files → one snapshot: every file by its format, then what the files say about each other.
//!
//! Every fault is told at once, each at its place. A check that would only repeat a fault of another file (a profile
//! whose file cannot be read "does not exist") stays silent. All checks are linear in the files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::files::Files;
use super::order::natural;
use super::snapshot::{Model, Paths, Prompt, Snapshot, Tenant};
use super::{locate, merge};
use crate::config::bootstrap::Durability;
use crate::config::fault::{Fault, Faults, Reading, Severity};
use crate::config::format::{model, organization, people, prompt, risk, rules, tenant};
use crate::config::node::{Flaw, Place};
use crate::config::policy::{OrganizationFile, Person, Profile, RiskLevel, Status};
use crate::governance::prompts::Template;
use crate::governance::rules::{RuleSource, Rules};
use crate::id::{Digest, ModelId, OrganizationId, ProfileId, PromptId, Revision, TenantId, UpstreamId};
use crate::identity::{KeyRecord, Keyring};

/// What the bootstrap config says that policy files must agree with.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) upstreams: BTreeSet<UpstreamId>,
    pub(super) durability: Durability,
}

/// Which state of the files a snapshot is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) revision: Revision,
    pub(super) digest: Digest,
    pub(super) loaded_at: DateTime<Utc>,
}

/// Checks all files as one whole.
///
/// # Errors
/// Everything that is wrong with them, sorted by file and line.
pub(super) fn assemble(root: &Path, files: Files, terms: &Terms, stamp: Stamp) -> Result<Snapshot, Faults> {
    let mut desk = Desk::read(root, files);
    let snapshot = desk.snapshot(terms, stamp);
    let (warnings, faults): (Vec<Fault>, Vec<Fault>) =
        desk.close().into_iter().partition(|fault| fault.severity == Severity::Warning);
    if !faults.is_empty() {
        let mut all = Faults::default();
        faults.into_iter().for_each(|fault| all.push(fault));
        return Err(all.sorted());
    }
    Ok(Snapshot { warnings, ..snapshot })
}

/// A checked file's content and which file it is.
type In<T> = (usize, T);

/// All files on the desk: as read, and what was found wrong so far.
struct Desk {
    readings: Vec<Reading>,
    paths: Vec<String>,
    loose: Vec<Fault>,
    /// Formats of which a file could not be read whole: what is missing there may exist.
    torn: HashSet<&'static str>,
    models: Vec<In<model::Model>>,
    prompts: Vec<In<prompt::Prompt>>,
    tenants: Vec<In<tenant::Tenant>>,
    organizations: Vec<In<organization::Organization>>,
    rules: Vec<In<rules::Rule>>,
    profiles: Vec<In<risk::Risk>>,
    people: Vec<In<people::Person>>,
}

impl Desk {
    fn read(root: &Path, files: Files) -> Self {
        let mut desk = Self {
            readings: Vec::with_capacity(files.list.len()),
            paths: Vec::with_capacity(files.list.len()),
            loose: files.faults,
            torn: HashSet::new(),
            models: Vec::new(),
            prompts: Vec::new(),
            tenants: Vec::new(),
            organizations: Vec::new(),
            rules: Vec::new(),
            profiles: Vec::new(),
            people: Vec::new(),
        };
        if !desk.loose.is_empty() {
            desk.torn.extend(["models", "tenants", "risk"]);
        }
        for file in files.list {
            let shown = root.join(&file.path).display().to_string();
            match Reading::open(shown, &file.bytes) {
                Ok(reading) => desk.take(file.path, reading),
                Err(fault) => {
                    desk.torn.extend(["models", "tenants", "risk"]);
                    desk.loose.push(*fault);
                }
            }
        }
        desk
    }

    /// Reads one file by the format of its folder.
    fn take(&mut self, path: String, mut reading: Reading) {
        let at = self.readings.len();
        let folder = path.split_once('/').map_or("", |(folder, _)| folder);
        let whole = match (folder, path.as_str()) {
            ("models", _) => keep(&mut self.models, at, model::read(&mut reading)),
            ("prompts", _) => keep(&mut self.prompts, at, prompt::read(&mut reading)),
            ("tenants", _) => keep(&mut self.tenants, at, tenant::read(&mut reading)),
            ("organizations", _) => keep(&mut self.organizations, at, organization::read(&mut reading)),
            ("risk", _) => keep(&mut self.profiles, at, risk::read(&mut reading)),
            ("rules", _) => keep(&mut self.rules, at, rules::read(&mut reading).into_iter().flatten()),
            (_, "people.yaml" | "people.yml") => {
                keep(&mut self.people, at, people::read(&mut reading).into_iter().flatten())
            }
            _ => {
                let help =
                    "policy files are people.yaml and those in models, prompts, tenants, organizations, rules, risk";
                let fault = Fault::of_file(Arc::clone(reading.file()), "no policy file is expected here").help(help);
                self.loose.push(fault);
                return;
            }
        };
        if !whole || reading.is_faulty() {
            self.torn.extend(["models", "tenants", "risk"].iter().filter(|torn| **torn == folder));
        }
        self.paths.push(path);
        self.readings.push(reading);
    }

    fn close(self) -> Vec<Fault> {
        let mut faults = self.loose;
        faults.extend(self.readings.into_iter().flat_map(Reading::close));
        faults
    }

    fn fault(&mut self, file: usize, flaw: Flaw) {
        if let Some(reading) = self.readings.get_mut(file) {
            reading.fault(flaw);
        }
    }

    fn warn(&mut self, file: usize, flaw: Flaw) {
        if let Some(reading) = self.readings.get_mut(file) {
            reading.warn(flaw);
        }
    }

    fn path(&self, file: usize) -> &str {
        self.paths.get(file).map_or("another file", String::as_str)
    }

    /// A fault at the second of two things that exclude each other.
    fn clash(&mut self, file: usize, place: Place, message: String, first: usize) {
        let help = format!("the first is in {}", self.path(first));
        self.fault(file, Flaw::new(place, message).help(help));
    }

    fn snapshot(&mut self, terms: &Terms, stamp: Stamp) -> Snapshot {
        let mut paths = Paths::default();
        let (models, by_name) = self.models(terms, &mut paths);
        let prompts = self.prompts(&mut paths);
        let profiles = self.profiles();
        let organizations = self.organizations(&profiles);
        let (tenants, keyring) = self.tenants(terms, &by_name, &organizations, &profiles);
        let rules = self.rules();
        let people = self.people();
        Snapshot {
            revision: stamp.revision,
            digest: stamp.digest,
            loaded_at: stamp.loaded_at,
            keyring,
            tenants,
            models,
            by_name,
            prompts,
            rules,
            people,
            paths,
            warnings: Vec::new(),
        }
    }

    fn models(&mut self, terms: &Terms, paths: &mut Paths) -> (Vec<Arc<Model>>, HashMap<ModelId, Vec<Arc<Model>>>) {
        let read = std::mem::take(&mut self.models);
        let mut first: HashMap<(ModelId, String), usize> = HashMap::with_capacity(read.len());
        let mut by_name: HashMap<ModelId, Vec<Arc<Model>>> = HashMap::with_capacity(read.len());
        let mut aliases: Vec<(usize, Place, ModelId, Arc<Model>)> = Vec::new();
        for (file, model) in read {
            let model::Model { file: says, model_at: _, version_at, upstream_at, status_at, aliases_at } = model;
            if !terms.upstreams.contains(says.upstream.as_str()) {
                let known: Vec<&str> = terms.upstreams.iter().map(UpstreamId::as_str).collect();
                let flaw = Flaw::new(upstream_at, format!("there is no upstream `{}`", says.upstream));
                self.fault(file, flaw.help(format!("the bootstrap config names: {}", known.join(", "))));
            }
            if says.status == Status::Approved && says.approval.is_none() {
                self.warn(
                    file,
                    Flaw::new(status_at, "the model is approved and names no approval: by whom, when and why"),
                );
            }
            let key = (says.model.clone(), says.version.as_str().to_owned());
            if let Some(first) = first.get(&key) {
                let message = format!("`{}` version `{}` exists already", says.model, says.version);
                self.clash(file, version_at, message, *first);
                continue;
            }
            paths.models.insert(key.clone(), self.path(file).to_owned());
            first.insert(key, file);
            let model = Arc::new(Model { file: says });
            for (alias, place) in model.file.aliases.iter().zip(aliases_at) {
                aliases.push((file, place, alias.clone(), Arc::clone(&model)));
            }
            by_name.entry(model.file.model.clone()).or_default().push(model);
        }
        let mut models: Vec<Arc<Model>> = Vec::with_capacity(first.len());
        for versions in by_name.values_mut() {
            versions.sort_by(|a, b| natural(b.file.version.as_str(), a.file.version.as_str()));
            models.extend(versions.iter().map(Arc::clone));
        }
        models.sort_by(|a, b| a.file.model.cmp(&b.file.model));
        self.aliases(aliases, &mut by_name);
        (models, by_name)
    }

    /// An alias means one version, so it may be neither a model's name nor another version's alias.
    fn aliases(
        &mut self,
        aliases: Vec<(usize, Place, ModelId, Arc<Model>)>,
        by_name: &mut HashMap<ModelId, Vec<Arc<Model>>>,
    ) {
        let mut first: HashMap<ModelId, usize> = HashMap::with_capacity(aliases.len());
        for (file, place, alias, model) in aliases {
            if let Some(first) = first.get(&alias) {
                self.clash(file, place, format!("the alias `{alias}` means another version already"), *first);
            } else if by_name.contains_key(&alias) {
                self.fault(file, Flaw::new(place, format!("the alias `{alias}` is the name of a model")));
            } else {
                first.insert(alias.clone(), file);
                by_name.insert(alias, vec![model]);
            }
        }
    }

    fn prompts(&mut self, paths: &mut Paths) -> HashMap<PromptId, Vec<Arc<Prompt>>> {
        let read = std::mem::take(&mut self.prompts);
        let mut by_name: HashMap<PromptId, Vec<Arc<Prompt>>> = HashMap::new();
        let mut first: HashMap<(PromptId, u32), usize> = HashMap::with_capacity(read.len());
        for (file, prompt) in read {
            let prompt::Prompt { file: says, prompt_at, version_at, status_at, template_at } = prompt;
            let place = format!("prompts/{}/{}", says.prompt, says.version);
            let path = self.path(file).to_owned();
            if path.trim_end_matches(".yml").trim_end_matches(".yaml") != place {
                let flaw = Flaw::new(
                    prompt_at,
                    format!("`{}` version {} must stand in {place}.yaml", says.prompt, says.version),
                );
                self.fault(file, flaw);
            }
            if says.status == Status::Approved && says.approval.is_none() {
                self.warn(
                    file,
                    Flaw::new(status_at, "the prompt is approved and names no approval: by whom, when and why"),
                );
            }
            let key = (says.prompt.clone(), says.version);
            if let Some(first) = first.get(&key) {
                let message = format!("`{}` version {} exists already", says.prompt, says.version);
                self.clash(file, version_at, message, *first);
                continue;
            }
            first.insert(key.clone(), file);
            paths.prompts.insert(key, path);
            match Template::parse(&says.template) {
                Ok(template) => {
                    by_name.entry(says.prompt.clone()).or_default().push(Arc::new(Prompt { file: says, template }));
                }
                Err(message) => self.fault(file, Flaw::new(template_at, message)),
            }
        }
        for versions in by_name.values_mut() {
            versions.sort_by_key(|prompt| std::cmp::Reverse(prompt.file.version));
        }
        by_name
    }

    fn profiles(&mut self) -> HashMap<ProfileId, Arc<Profile>> {
        let read = std::mem::take(&mut self.profiles);
        let mut first: HashMap<ProfileId, usize> = HashMap::new();
        let mut profiles: HashMap<ProfileId, Arc<Profile>> = HashMap::new();
        for (file, risk) in read {
            let name = risk.profile.profile.clone();
            if let Some(first) = first.get(&name) {
                self.clash(file, risk.profile_at, format!("the profile `{name}` exists already"), *first);
                continue;
            }
            first.insert(name.clone(), file);
            profiles.insert(name, Arc::new(risk.profile));
        }
        if let Ok(name) = ProfileId::parse("default") {
            profiles.entry(name.clone()).or_insert_with(|| Arc::new(risk::standard(name)));
        }
        profiles
    }

    fn profile_exists(
        &mut self,
        file: usize,
        name: Option<&ProfileId>,
        at: Option<Place>,
        known: &HashMap<ProfileId, Arc<Profile>>,
    ) {
        if let (Some(name), Some(at)) = (name, at)
            && !known.contains_key(name)
            && !self.torn.contains("risk")
        {
            self.fault(file, Flaw::new(at, format!("there is no risk profile `{name}`")));
        }
    }

    fn organizations(
        &mut self,
        profiles: &HashMap<ProfileId, Arc<Profile>>,
    ) -> HashMap<OrganizationId, OrganizationFile> {
        let read = std::mem::take(&mut self.organizations);
        let mut first: HashMap<OrganizationId, usize> = HashMap::new();
        let mut organizations = HashMap::new();
        for (file, organization::Organization { file: says, organization_at, profile_at }) in read {
            self.profile_exists(file, says.risk.profile.as_ref(), profile_at, profiles);
            let name = says.organization.clone();
            if let Some(first) = first.get(&name) {
                self.clash(file, organization_at, format!("the organization `{name}` exists already"), *first);
                continue;
            }
            first.insert(name.clone(), file);
            organizations.insert(name, says);
        }
        organizations
    }

    fn tenants(
        &mut self,
        terms: &Terms,
        models: &HashMap<ModelId, Vec<Arc<Model>>>,
        organizations: &HashMap<OrganizationId, OrganizationFile>,
        profiles: &HashMap<ProfileId, Arc<Profile>>,
    ) -> (HashMap<TenantId, Arc<Tenant>>, Keyring) {
        let read = std::mem::take(&mut self.tenants);
        let mut first: HashMap<TenantId, usize> = HashMap::with_capacity(read.len());
        let mut tenants = HashMap::with_capacity(read.len());
        let mut keyring = Keyring::default();
        if read.is_empty() && !self.torn.contains("tenants") {
            self.loose.push(Fault::of_file("tenants/", "there is no tenant: every call will be refused").warning());
        }
        for (file, tenant) in read {
            let name = tenant.file.tenant.clone();
            self.profile_exists(file, tenant.file.risk.profile.as_ref(), tenant.profile_at, profiles);
            if let Some(first) = first.get(&name) {
                self.clash(file, tenant.tenant_at, format!("the tenant `{name}` exists already"), *first);
                continue;
            }
            first.insert(name.clone(), file);
            self.keys(file, &tenant, &mut keyring);
            self.permitted(file, &tenant, models, terms);
            let organization = tenant.file.organization.as_ref().and_then(|name| organizations.get(name));
            if let Some(tenant) = in_force(tenant, organization, profiles) {
                tenants.insert(name, Arc::new(tenant));
            }
        }
        (tenants, keyring)
    }

    fn keys(&mut self, file: usize, tenant: &tenant::Tenant, keyring: &mut Keyring) {
        if tenant.file.keys.is_empty() {
            self.warn(file, Flaw::new(tenant.tenant_at, "the tenant has no keys, so nobody can call as it"));
        }
        for (key, place) in tenant.file.keys.iter().zip(&tenant.keys_at) {
            let record = KeyRecord {
                tenant: tenant.file.tenant.clone(),
                id: key.id.clone(),
                hash: key.hash,
                roles: Arc::from(key.roles.as_slice()),
                expires: key.expires,
                disabled: key.disabled,
            };
            if let Some(owner) = keyring.add(record) {
                let message = format!("the key id `{}` is taken by tenant `{owner}`", key.id);
                self.fault(file, Flaw::new(*place, message).help("a key's id is one of a kind over all tenants"));
            }
        }
    }

    /// Looks at what a tenant may use: what is not there is a warning, what the audit log is too weak for a fault.
    fn permitted(
        &mut self,
        file: usize,
        tenant: &tenant::Tenant,
        models: &HashMap<ModelId, Vec<Arc<Model>>>,
        terms: &Terms,
    ) {
        for (name, place) in tenant.file.models.iter().zip(&tenant.models_at) {
            match models.get(name).map(Vec::as_slice) {
                None if self.torn.contains("models") => {}
                None => self.warn(file, Flaw::new(*place, format!("the model `{name}` is not registered"))),
                Some([model, ..]) if model.file.model != *name => {
                    let flaw = Flaw::new(*place, format!("`{name}` is an alias, so it permits nothing"));
                    self.warn(file, flaw.help(format!("name the model: `{}`", model.file.model)));
                }
                Some(versions) => {
                    let risky =
                        |m: &&Arc<Model>| m.file.risk_level == RiskLevel::High && m.file.status == Status::Approved;
                    if terms.durability == Durability::Async && versions.iter().find(risky).is_some() {
                        let message = format!(
                            "the model `{name}` has high risk, which `audit.durability: async` is too weak for"
                        );
                        self.fault(file, Flaw::new(*place, message).help("use `group` or `sync`"));
                    }
                }
            }
        }
    }

    fn rules(&mut self) -> Rules {
        let read = std::mem::take(&mut self.rules);
        let mut first: HashMap<&str, usize> = HashMap::with_capacity(read.len());
        for (file, rule) in &read {
            let name = rule.entry.name.as_str();
            match first.get(name) {
                Some(first) => self.clash(*file, rule.name_at, format!("the rule `{name}` exists already"), *first),
                None => drop(first.insert(name, *file)),
            }
        }
        let sources: Vec<RuleSource<'_>> = read.iter().map(|(_, rule)| RuleSource { entry: &rule.entry }).collect();
        let faults = match Rules::compile(&sources) {
            Ok(rules) => return rules,
            Err(faults) => faults,
        };
        for fault in faults {
            if let Some((file, rule)) = read.get(fault.index) {
                let text = self.readings.get(*file).map_or("", Reading::text);
                let place = locate::within(text, rule.when_at, &rule.entry.when, fault.offset);
                self.fault(*file, Flaw::new(place, fault.message));
            }
        }
        Rules::default()
    }

    fn people(&mut self) -> Vec<Person> {
        let read = std::mem::take(&mut self.people);
        let mut names = HashSet::new();
        let mut tokens = HashSet::new();
        let mut people = Vec::with_capacity(read.len());
        for (file, person) in read {
            let name = person.entry.name.clone();
            if !names.insert(name.clone()) {
                self.fault(file, Flaw::new(person.name_at, format!("`{name}` stands here a second time")));
            }
            if let (Some(token), Some(place)) = (person.entry.token, person.token_at)
                && !tokens.insert(token)
            {
                self.fault(file, Flaw::new(place, "two people have the same token, so neither could be told apart"));
            }
            people.push(person.entry);
        }
        people
    }
}

/// Keeps what a file says; answers whether it said anything.
fn keep<T>(kept: &mut Vec<In<T>>, file: usize, found: impl IntoIterator<Item = T>) -> bool {
    let before = kept.len();
    kept.extend(found.into_iter().map(|found| (file, found)));
    kept.len() > before
}

/// A tenant with its organization's defaults.
fn in_force(
    tenant: tenant::Tenant,
    organization: Option<&OrganizationFile>,
    profiles: &HashMap<ProfileId, Arc<Profile>>,
) -> Option<Tenant> {
    let file = tenant.file;
    let named = file.risk.profile.as_ref().or_else(|| organization.and_then(|o| o.risk.profile.as_ref()));
    let base = named.map_or_else(|| profiles.get("default"), |name| profiles.get(name))?;
    Some(Tenant {
        limits: merge::limits(organization.map(|o| &o.limits), &file.limits),
        profile: merge::profile(base, organization.map(|o| &o.risk), &file.risk),
        models: file.models.iter().cloned().collect(),
        file,
    })
}

#[cfg(test)]
impl Snapshot {
    /// The snapshot of these policy files (path and text), for upstreams `openai`, `anthropic` and `sim`.
    ///
    /// # Panics
    /// With all faults, when the files have any.
    pub(crate) fn for_tests(files: &[(&str, &str)]) -> Arc<Self> {
        match tests::assembled(files, Durability::Group) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(faults) => panic!("{}", faults.render(false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::DateTime;

    use super::{Stamp, Terms, assemble};
    use crate::config::bootstrap::Durability;
    use crate::config::fault::Faults;
    use crate::config::policy::{Algorithm, RiskAction};
    use crate::governance::registry::Snapshot;
    use crate::governance::registry::files::{Files, PolicyFile};
    use crate::id::{ModelId, Revision, TenantId, UpstreamId};

    pub(super) fn assembled(files: &[(&str, &str)], durability: Durability) -> Result<Snapshot, Faults> {
        let list =
            files.iter().map(|(path, text)| PolicyFile { path: (*path).to_owned(), bytes: text.as_bytes().to_vec() });
        let mut files = Files { list: list.collect(), faults: Vec::new() };
        files.list.sort_by(|a, b| a.path.cmp(&b.path));
        let upstreams = ["openai", "anthropic", "sim"].iter().map(|name| UpstreamId::parse(name).unwrap()).collect();
        let stamp = Stamp { revision: Revision(1), digest: files.digest(), loaded_at: DateTime::UNIX_EPOCH };
        assemble(Path::new("p"), files, &Terms { upstreams, durability }, stamp)
    }

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
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
        assert_eq!(snapshot.path_of_model(&ModelId::parse("m").unwrap(), "2"), Some("models/c.yml"));
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
            (
                "prompts/p/2.yaml",
                "prompt: p\nversion: 2\nstatus: draft\nauthor: a\nchange_reason: r\ntemplate: \"{{x\"\n",
            ),
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
            ("risk/bank.yaml", "profile: bank\nblock_at: 30\napprove_at: 20\nactions: {email: block, phone: block}\n"),
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
        assert_eq!(a.profile.actions["PHONE"], RiskAction::Block);
        assert_eq!((a.profile.weights["contact_data"], a.profile.weights["credential"]), (5, 90));
        let b = of("b");
        assert_eq!((b.limits.requests.per_minute.get(), b.limits.tokens, b.limits.concurrent), (100, None, None));
        assert_eq!((b.profile.block_at, b.profile.profile.as_str()), (50, "default"));
        assert!(std::sync::Arc::ptr_eq(&b.profile, &of("c").profile));
    }

    #[test]
    fn keys_are_found_by_their_id() {
        let snapshot = Snapshot::for_tests(&[("tenants/a.yaml", &tenant("t", "k1", ""))]);
        let key = snapshot.keyring().get("k1").unwrap();
        assert_eq!((key.tenant.as_str(), key.disabled, key.roles.len()), ("t", false, 1));
    }

    #[test]
    fn ten_thousand_models_are_no_matter_of_seconds() {
        let text = |n: usize| {
            format!("model: m{}\nversion: \"{n}\"\nupstream: sim\nstatus: draft\naliases: [a{n}]\n", n % 100)
        };
        let texts: Vec<(String, String)> = (0..10_000).map(|n| (format!("models/{n}.yaml"), text(n))).collect();
        let files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let snapshot = Snapshot::for_tests(&files);
        assert_eq!(snapshot.versions("m7").unwrap().len(), 100);
        assert_eq!(snapshot.versions("m7").unwrap()[0].file.version.as_str(), "9907");
    }
}
