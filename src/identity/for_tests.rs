//! Callers without a key exchange, for the tests of later rooms.

use std::sync::Arc;

use crate::arrival::Arrival;
use crate::docket::Role;
use crate::id::{KeyId, TenantId};
use crate::identity::Caller;

/// A caller of this tenant, as if its key had been shown.
pub(crate) fn caller(mut arrival: Arrival, tenant: &str) -> Caller {
    let tenant = TenantId::parse(tenant).unwrap();
    arrival.docket_mut().tenant = Some(tenant.clone());
    Caller { arrival, tenant, key: KeyId::parse("k1").unwrap(), roles: Arc::from([Role::Client]) }
}
