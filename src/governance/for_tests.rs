//! A small registry, for the tests of the gate and of the rooms after it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::call::PromptClaim;
use crate::config::policy::{
    Algorithm, Limits, LimitsOverride, ModelFile, Profile, PromptFile, PromptMode, Rate, RiskLevel, RiskMode,
    RiskOverride, RuleAction, RuleEntry, RuleScope, Status, TenantFile,
};
use crate::governance::prompts::Template;
use crate::governance::rules::{RuleSource, Rules};
use crate::governance::{Model, Prompt, Snapshot, Tenant};
use crate::id::{
    Digest, Environment, ModelId, ModelVersion, OrganizationId, ProfileId, PromptId, Revision, RuleId, TenantId,
    UpstreamId,
};
use crate::identity::Keyring;
use crate::speech::Operation;

pub(crate) const TEMPLATE: &str = "You are the support assistant of {{company}}. Answer politely.\n";
pub(crate) const FILLED: &str = "You are the support assistant of Acme. Answer politely.";

pub(crate) fn model(name: &str, version: &str, status: Status) -> ModelFile {
    ModelFile {
        model: ModelId::parse(name).unwrap(),
        version: ModelVersion::parse(version).unwrap(),
        upstream: UpstreamId::parse("sim").unwrap(),
        upstream_model: None,
        aliases: Vec::new(),
        operations: None,
        status,
        risk_level: RiskLevel::Limited,
        external: false,
        owner: None,
        max_output_tokens: None,
        environments: None,
        price: None,
        evaluations: Vec::new(),
        approval: None,
        notes: BTreeMap::new(),
    }
}

pub(crate) fn prompt(name: &str, version: u32, status: Status, template: &str) -> Arc<Prompt> {
    Arc::new(Prompt {
        template: Template::parse(template).unwrap(),
        file: PromptFile {
            prompt: PromptId::parse(name).unwrap(),
            version,
            status,
            author: "dana".to_owned(),
            change_reason: "first".to_owned(),
            template: template.to_owned(),
            approval: None,
        },
    })
}

pub(crate) fn tenant(name: &str, environment: Option<&str>, models: &[&str], prompts: PromptMode) -> Arc<Tenant> {
    let models: Vec<ModelId> = models.iter().map(|name| ModelId::parse(name).unwrap()).collect();
    let n = NonZeroU32::new(10).unwrap();
    let rate = Rate { per_minute: n, burst: n, algorithm: Algorithm::SlidingWindow };
    let tokens = NonZeroU32::new(10_000).unwrap();
    Arc::new(Tenant {
        models: models.iter().cloned().collect::<HashSet<_>>(),
        limits: Limits {
            requests: rate,
            tokens: Some(Rate { per_minute: tokens, burst: tokens, ..rate }),
            concurrent: None,
        },
        profile: Arc::new(Profile {
            profile: ProfileId::parse("default").unwrap(),
            weights: BTreeMap::new(),
            block_at: 50,
            approve_at: 101,
            mode: RiskMode::Enforce,
            actions: BTreeMap::new(),
        }),
        file: TenantFile {
            tenant: TenantId::parse(name).unwrap(),
            organization: Some(OrganizationId::parse("acme-bank").unwrap()),
            environment: environment.map(|name| Environment::parse(name).unwrap()),
            keys: Vec::new(),
            models,
            prompts,
            limits: LimitsOverride::default(),
            risk: RiskOverride::default(),
        },
    })
}

pub(crate) fn rule(name: &str, when: &str, then: RuleAction) -> RuleEntry {
    let (name, scope) = (RuleId::parse(name).unwrap(), RuleScope::default());
    RuleEntry { name, description: None, active: true, scope, when: when.to_owned(), then, reason: None }
}

pub(crate) fn snapshot(rules: &[RuleEntry]) -> Arc<Snapshot> {
    let environments = |name: &str| Some(BTreeSet::from([Environment::parse(name).unwrap()]));
    let all = "chatty embedder pending-one forbidden versioned staged staged-pending pinned";
    let mut models: HashMap<ModelId, Vec<Arc<Model>>> = HashMap::new();
    for file in [
        model("chatty", "1", Status::Approved),
        ModelFile {
            operations: Some(BTreeSet::from([Operation::Embeddings])),
            ..model("embedder", "1", Status::Approved)
        },
        model("pending-one", "1", Status::Pending),
        ModelFile { risk_level: RiskLevel::Unacceptable, ..model("forbidden", "1", Status::Approved) },
        model("versioned", "3", Status::Pending),
        ModelFile { operations: Some(BTreeSet::from([Operation::Chat])), ..model("versioned", "2", Status::Approved) },
        model("versioned", "1", Status::Approved),
        ModelFile { environments: environments("staging"), ..model("staged", "2", Status::Approved) },
        ModelFile { environments: environments("prod"), ..model("staged-pending", "2", Status::Retired) },
        ModelFile { environments: environments("staging"), ..model("staged-pending", "1", Status::Approved) },
        ModelFile { upstream_model: Some("pinned-2024".to_owned()), ..model("pinned", "1", Status::Approved) },
        model("not-listed", "1", Status::Approved),
    ] {
        models.entry(file.model.clone()).or_default().push(Arc::new(Model { file }));
    }
    let alias = |models: &mut HashMap<_, _>, name: &str, of: Arc<Model>| {
        models.insert(ModelId::parse(name).unwrap(), vec![of]);
    };
    let versions = models.get("versioned").unwrap().clone();
    alias(&mut models, "versioned-3", Arc::clone(&versions[0]));
    alias(&mut models, "versioned-1", Arc::clone(&versions[2]));
    let all: Vec<&str> = all.split(' ').collect();
    let tenants = [
        tenant("acme", Some("prod"), &all, PromptMode::Optional),
        tenant("off", Some("prod"), &all, PromptMode::Off),
        tenant("strict", Some("prod"), &all, PromptMode::Required),
        tenant("nowhere", None, &all, PromptMode::Optional),
    ];
    let prompts = HashMap::from([
        (
            "support-triage".to_owned(),
            vec![
                prompt("support-triage", 2, Status::Pending, "You are the bold support assistant of {{company}}.\n"),
                prompt("support-triage", 1, Status::Approved, TEMPLATE),
            ],
        ),
        ("wide".to_owned(), vec![prompt("wide", 1, Status::Approved, "You are {{anything}}")]),
        ("draft".to_owned(), vec![prompt("draft", 1, Status::Draft, "Draft.")]),
    ]);
    Arc::new(Snapshot {
        revision: Revision(7),
        digest: Digest::of(b"seven"),
        keyring: Keyring::default(),
        tenants: tenants.into_iter().map(|tenant| (tenant.file.tenant.clone(), tenant)).collect(),
        models,
        prompts,
        rules: Rules::compile(&rules.iter().map(|entry| RuleSource { entry }).collect::<Vec<_>>()).unwrap(),
    })
}

pub(crate) fn claim(name: &str, version: Option<u32>) -> PromptClaim {
    PromptClaim { name: name.to_owned(), version }
}
