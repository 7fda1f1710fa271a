//! `exclusive_upstreams`: a tenant's word that an upstream's credential is its alone, held against all other tenants.
//!
//! What one tenant stores with a credential, every other call with it could read. So the upstream must exist, and no
//! other tenant may have a model there.

use std::collections::{BTreeSet, HashMap};

use super::snapshot::Model;
use crate::config::format::tenant::Tenant;
use crate::config::node::Flaw;
use crate::id::{ByName, ModelId, TenantId, UpstreamId};
use std::sync::Arc;

/// What is wrong, each with the file it stands in. Linear in the tenants' models.
pub(super) fn flaws(
    tenants: &[(usize, Tenant)],
    models: &ByName<ModelId, Vec<Arc<Model>>>,
    known: &BTreeSet<UpstreamId>,
) -> Vec<(usize, Flaw)> {
    if tenants.iter().all(|(_, tenant)| tenant.exclusive_at.is_empty()) {
        return Vec::new();
    }
    let mut users: HashMap<&UpstreamId, BTreeSet<&TenantId>> = HashMap::new();
    for (_, tenant) in tenants {
        let versions = tenant.file.models.iter().filter_map(|name| models.get(name)).flatten();
        for version in versions {
            users.entry(&version.file.upstream).or_default().insert(&tenant.file.tenant);
        }
        for upstream in &tenant.file.exclusive_upstreams {
            users.entry(upstream).or_default().insert(&tenant.file.tenant);
        }
    }
    let mut flaws = Vec::new();
    for (file, tenant) in tenants {
        for (upstream, place) in &tenant.exclusive_at {
            if !known.contains(upstream.as_str()) {
                let known: Vec<&str> = known.iter().map(UpstreamId::as_str).collect();
                let flaw = Flaw::new(*place, format!("there is no upstream `{upstream}`"));
                flaws.push((*file, flaw.help(format!("the bootstrap config names: {}", known.join(", ")))));
                continue;
            }
            let others = users.get(upstream).into_iter().flatten();
            if let Some(other) = others.into_iter().find(|user| ***user != tenant.file.tenant) {
                let message = format!("the upstream `{upstream}` is not exclusive: tenant `{other}` may use it too");
                let help = "give the tenant an upstream of its own, with a credential of its own";
                flaws.push((*file, Flaw::new(*place, message).help(help)));
            }
        }
    }
    flaws
}

#[cfg(test)]
mod tests {
    use crate::governance::registry::assemble::tests::faults;

    const HASH: &str = "sha256:1139828a80faf087279bf08fc8a0754b6a47bff7234d99ca0f5cf3b34a4b8d46";

    fn tenant(name: &str, more: &str) -> String {
        format!("tenant: {name}\nkeys:\n  - {{id: {name}, hash: \"{HASH}\"}}\n{more}")
    }

    #[test]
    fn an_exclusive_upstream_exists_and_has_one_tenant() {
        let model = "model: m\nversion: \"1\"\nupstream: sim\nstatus: draft\n";
        let of = |a: &str, b: &str| {
            let (a, b) = (tenant("a", a), tenant("b", b));
            faults(&[("models/m.yaml", model), ("tenants/a.yaml", &a), ("tenants/b.yaml", &b)])
        };
        assert_eq!(of("models: [m]\nexclusive_upstreams: [sim]\n", ""), Vec::<String>::new());
        let shared = of("models: [m]\nexclusive_upstreams: [sim]\n", "models: [m]\n");
        assert!(shared[0].contains("is not exclusive: tenant `b`") && shared.len() == 1, "{shared:?}");
        assert_eq!(of("exclusive_upstreams: [sim]\n", "exclusive_upstreams: [sim]\n").len(), 2);
        let unknown = of("exclusive_upstreams: [smi]\n", "");
        assert!(unknown[0].contains("there is no upstream `smi`"), "{unknown:?}");
    }
}
