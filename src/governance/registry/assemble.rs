//! Policy files → one snapshot: every file by its format, then what the files say about each other.
//!
//! Every fault is told at once, each at its place. A check that would only repeat a fault of another file (a profile
//! whose file cannot be read "does not exist") stays silent. All checks are linear in the files.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::files::Files;
use super::order::natural;
use super::snapshot::{Model, Prompt, Snapshot, Tenant};
use super::{exclusive, locate, merge};
use crate::config::bootstrap::Durability;
use crate::config::fault::{Fault, Faults, Severity};
use crate::config::format::{model, organization, people, prompt, risk, rules, tenant};
use crate::config::node::{Flaw, Place};
use crate::config::policy::{OrganizationFile, Person, Profile, RiskLevel, Status};
use crate::config::reading::Reading;
use crate::governance::prompts::Template;
use crate::governance::rules::{RuleSource, Rules};
use crate::id::{ByName, Digest, ModelId, OrganizationId, ProfileId, PromptId, Revision, TenantId, UpstreamId};
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
        for fault in faults {
            all.push(fault);
        }
        return Err(all.sorted());
    }
    Ok(Snapshot { warnings, ..snapshot })
}

/// A checked file's content and which file it is.
type In<T> = (usize, T);

/// Model versions by every name they answer to.
type Versions = ByName<ModelId, Vec<Arc<Model>>>;

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
        let whole = match (folder, stem(&path)) {
            ("models", _) => keep(&mut self.models, at, model::read(&mut reading)),
            ("prompts", _) => keep(&mut self.prompts, at, prompt::read(&mut reading)),
            ("tenants", _) => keep(&mut self.tenants, at, tenant::read(&mut reading)),
            ("organizations", _) => keep(&mut self.organizations, at, organization::read(&mut reading)),
            ("risk", _) => keep(&mut self.profiles, at, risk::read(&mut reading)),
            ("rules", _) => keep(&mut self.rules, at, rules::read(&mut reading).into_iter().flatten()),
            ("", "people") => keep(&mut self.people, at, people::read(&mut reading).into_iter().flatten()),
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
        let (models, by_name) = self.models(terms);
        let prompts = self.prompts();
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
            profiles,
            rules,
            people,
            warnings: Vec::new(),
        }
    }

    fn models(&mut self, terms: &Terms) -> (Vec<Arc<Model>>, Versions) {
        let read = std::mem::take(&mut self.models);
        let mut first: HashMap<(ModelId, String), usize> = HashMap::with_capacity(read.len());
        let mut by_name = Versions::default();
        let mut aliases: Vec<(usize, Place, ModelId, Arc<Model>)> = Vec::new();
        for (file, model) in read {
            let model::Model { file: says, version_at, upstream_at, status_at, aliases_at } = model;
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
    fn aliases(&mut self, aliases: Vec<(usize, Place, ModelId, Arc<Model>)>, by_name: &mut Versions) {
        let mut first: HashMap<ModelId, usize> = HashMap::with_capacity(aliases.len());
        for (file, place, alias, model) in aliases {
            match by_name.entry(alias) {
                Entry::Vacant(free) => {
                    first.insert(free.key().clone(), file);
                    free.insert(vec![model]);
                }
                Entry::Occupied(taken) => match first.get(taken.key()) {
                    Some(first) => {
                        let message = format!("the alias `{}` means another version already", taken.key());
                        self.clash(file, place, message, *first);
                    }
                    None => self
                        .fault(file, Flaw::new(place, format!("the alias `{}` is the name of a model", taken.key()))),
                },
            }
        }
    }

    fn prompts(&mut self) -> ByName<PromptId, Vec<Arc<Prompt>>> {
        let read = std::mem::take(&mut self.prompts);
        let mut by_name: ByName<PromptId, Vec<Arc<Prompt>>> = ByName::default();
        let mut first: HashMap<(PromptId, u32), usize> = HashMap::with_capacity(read.len());
        for (file, prompt) in read {
            let prompt::Prompt { file: says, prompt_at, version_at, template_at } = prompt;
            let place = format!("prompts/{}/{}", says.prompt, says.version);
            if stem(self.path(file)) != place {
                let flaw = Flaw::new(
                    prompt_at,
                    format!("`{}` version {} must stand in {place}.yaml", says.prompt, says.version),
                );
                self.fault(file, flaw);
            }
            let key = (says.prompt.clone(), says.version);
            if let Some(first) = first.get(&key) {
                let message = format!("`{}` version {} exists already", says.prompt, says.version);
                self.clash(file, version_at, message, *first);
                continue;
            }
            first.insert(key, file);
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

    fn profiles(&mut self) -> ByName<ProfileId, Arc<Profile>> {
        let read = std::mem::take(&mut self.profiles);
        let mut first: HashMap<ProfileId, usize> = HashMap::new();
        let mut profiles: ByName<ProfileId, Arc<Profile>> = ByName::default();
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
        known: &ByName<ProfileId, Arc<Profile>>,
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
        profiles: &ByName<ProfileId, Arc<Profile>>,
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
        models: &Versions,
        organizations: &HashMap<OrganizationId, OrganizationFile>,
        profiles: &ByName<ProfileId, Arc<Profile>>,
    ) -> (ByName<TenantId, Arc<Tenant>>, Keyring) {
        let read = std::mem::take(&mut self.tenants);
        let mut first: HashMap<TenantId, usize> = HashMap::with_capacity(read.len());
        let mut tenants = ByName::default();
        let mut keyring = Keyring::default();
        for (file, flaw) in exclusive::flaws(&read, models, &terms.upstreams) {
            self.fault(file, flaw);
        }
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
    fn permitted(&mut self, file: usize, tenant: &tenant::Tenant, models: &Versions, terms: &Terms) {
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

/// The path without its extension.
fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
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
    profiles: &ByName<ProfileId, Arc<Profile>>,
) -> Option<Tenant> {
    let file = tenant.file;
    let named = file.risk.profile.as_ref().or_else(|| organization.and_then(|o| o.risk.profile.as_ref()));
    let base = named.map_or_else(|| profiles.get("default"), |name| profiles.get(name))?;
    Some(Tenant {
        limits: merge::limits(organization.map(|o| &o.limits), &file.limits),
        profile: merge::profile(base, organization.map(|o| &o.risk), &file.risk),
        remote_fetch: file.remote_fetch.clone().or_else(|| organization?.remote_fetch.clone()).unwrap_or_default(),
        models: file.models.iter().cloned().collect(),
        file,
    })
}

#[cfg(test)]
pub(super) mod tests;
