//! The series that a forwarded call counts in, found once for a tenant, model and upstream.
//!
//! `with_label_values` hashes each label and takes a lock, five times a call; these are the same counters, kept. A
//! bounded table: what does not fit any more is looked up anew. Called by `metrics` only.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use prometheus::{Counter, Histogram, IntCounter};

use crate::docket::Docket;
use crate::id::{ModelId, TenantId, UpstreamId};

/// Places in the table; a power of two, each two words long.
const PLACES: usize = 256;

/// Whose series.
type Key = (Option<TenantId>, Option<ModelId>, Option<UpstreamId>);

/// The counters of one tenant's calls to one model over one upstream. Each is made when it is first needed, so that no
/// series stands at zero that nobody counted in.
#[derive(Debug, Default)]
pub(super) struct Series {
    key: Key,
    pub(super) allowed: OnceLock<IntCounter>,
    pub(super) input: OnceLock<IntCounter>,
    pub(super) output: OnceLock<IntCounter>,
    /// Answered with 200 to 299.
    pub(super) answered: OnceLock<Histogram>,
    /// By the first currency that was seen; a price may change it.
    pub(super) cost: OnceLock<(String, Counter)>,
}

/// The series of the calls that were seen last.
#[derive(Debug)]
pub(super) struct Kept(Box<[Mutex<Option<Arc<Series>>>]>);

impl Kept {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(Mutex::default).take(PLACES).collect())
    }

    /// The series of this call.
    pub(super) fn of(&self, docket: &Docket) -> Arc<Series> {
        let key = (&docket.tenant, &docket.model, &docket.upstream);
        let Some(place) = self.0.get(place(key)) else { return fresh(key) };
        let mut kept = place.lock();
        match &*kept {
            Some(series) if (&series.key.0, &series.key.1, &series.key.2) == key => Arc::clone(series),
            _ => Arc::clone(kept.insert(fresh(key))),
        }
    }
}

fn fresh((tenant, model, upstream): (&Option<TenantId>, &Option<ModelId>, &Option<UpstreamId>)) -> Arc<Series> {
    Arc::new(Series { key: (tenant.clone(), model.clone(), upstream.clone()), ..Series::default() })
}

/// Where a key lies: by the addresses of its names, which are shared text and the same for all calls under one snapshot.
/// Under the next one it lies elsewhere; which place it is decides about speed only.
fn place((tenant, model, upstream): (&Option<TenantId>, &Option<ModelId>, &Option<UpstreamId>)) -> usize {
    let address = |text: Option<&str>| text.map_or(0, |text| text.as_ptr().addr());
    let mixed = address(tenant.as_ref().map(TenantId::as_str))
        .wrapping_mul(31)
        .wrapping_add(address(model.as_ref().map(ModelId::as_str)))
        .wrapping_mul(31)
        .wrapping_add(address(upstream.as_ref().map(UpstreamId::as_str)));
    // Text is aligned, so the lowest bits of an address say nothing.
    (mixed ^ (mixed >> 8) ^ (mixed >> 16)) / 8 % PLACES
}
