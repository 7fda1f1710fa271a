//! Default ← organization ← tenant, key by key.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::config::policy::{Algorithm, Limits, LimitsOverride, Profile, Rate, RiskOverride};

/// The limits in force: the tenant's, else its organization's, else 100 requests a minute.
pub(super) fn limits(organization: Option<&LimitsOverride>, tenant: &LimitsOverride) -> Limits {
    const HUNDRED: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
    let standard = Rate { per_minute: HUNDRED, burst: HUNDRED, algorithm: Algorithm::Gcra };
    let organization = organization.copied().unwrap_or_default();
    Limits {
        requests: tenant.requests.or(organization.requests).unwrap_or(standard),
        tokens: tenant.tokens.or(organization.tokens),
        concurrent: tenant.concurrent.or(organization.concurrent),
    }
}

/// The profile in force: the named one, the organization's settings over it, the tenant's over those. Tenants without
/// settings of their own share it.
pub(super) fn profile(base: &Arc<Profile>, organization: Option<&RiskOverride>, tenant: &RiskOverride) -> Arc<Profile> {
    let layers = [organization, Some(tenant)].into_iter().flatten();
    let mut merged = Arc::clone(base);
    for layer in layers.filter(|layer| says_something(layer)) {
        let profile = Arc::make_mut(&mut merged);
        profile.block_at = layer.block_at.unwrap_or(profile.block_at);
        profile.approve_at = layer.approve_at.unwrap_or(profile.approve_at);
        profile.mode = layer.mode.unwrap_or(profile.mode);
        profile.weights.extend(layer.weights.iter().map(|(class, points)| (class.clone(), *points)));
        profile.actions.extend(layer.actions.iter().map(|(subject, action)| (subject.clone(), *action)));
    }
    merged
}

fn says_something(layer: &RiskOverride) -> bool {
    layer.block_at.is_some()
        || layer.approve_at.is_some()
        || layer.mode.is_some()
        || !layer.weights.is_empty()
        || !layer.actions.is_empty()
}
