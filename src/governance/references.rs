//! Whether a call may refer to what a provider has stored, or have it fetch from a place.
//!
//! Stored things belong to the upstream's credential: where several tenants share it, an id of one is good for all. So
//! they are a tenant's to refer to only where the credential is declared to be its alone. A place is fetched from only
//! where the tenant's list has it.

use crate::call::Needs;
use crate::config::remote::RemotePlace;
use crate::governance::Tenant;
use crate::id::UpstreamId;

/// The byte of the body at which something stands that the tenant may not have of this upstream.
pub(super) fn objection(tenant: &Tenant, upstream: &UpstreamId, needs: &Needs) -> Option<usize> {
    let stored = needs.stored_at().filter(|_| !tenant.file.exclusive_upstreams.contains(upstream));
    let permitted = |place: &str| {
        RemotePlace::parse(place).is_ok_and(|place| tenant.remote_fetch.iter().any(|entry| entry.covers(&place)))
    };
    stored.or_else(|| needs.fetches().iter().find(|fetch| !permitted(fetch.place())).map(crate::call::Fetch::at))
}

#[cfg(test)]
mod tests {
    use super::objection;
    use crate::call::Call;
    use crate::governance::Snapshot;
    use crate::id::{TenantId, UpstreamId};

    fn found(more: &str, body: &str) -> Option<usize> {
        let snapshot = Snapshot::for_tests(&[("tenants/acme.yaml", &format!("tenant: acme\nkeys: []\n{more}"))]);
        let tenant = snapshot.tenant(&TenantId::parse("acme").unwrap()).unwrap();
        let call = Call::for_tests("/v1/responses", &[], body);
        objection(tenant, &UpstreamId::parse("sim").unwrap(), call.needs())
    }

    const STORED: &str = r#"{"model":"m","input":"x","previous_response_id":"resp_1"}"#;

    #[test]
    fn stored_things_are_permitted_where_the_credential_is_the_tenants_alone() {
        assert_eq!(found("", STORED), STORED.find("\"resp_1"));
        assert_eq!(found("exclusive_upstreams: [openai]\n", STORED), STORED.find("\"resp_1"));
        assert_eq!(found("exclusive_upstreams: [sim]\n", STORED), None);
    }

    #[test]
    fn a_place_is_permitted_where_the_list_has_it() {
        let image = |url: &str| {
            format!(
                r#"{{"model":"m","input":[{{"role":"user","content":[{{"type":"input_image","image_url":"{url}"}}]}}]}}"#
            )
        };
        let list = "remote_fetch: [\"https://images.acme.example/\"]\n";
        assert_eq!(found(list, &image("https://images.acme.example/a.png")), None);
        assert_eq!(found(list, &image("data:image/png;base64,AAAA")), None);
        assert!(found("", &image("https://images.acme.example/a.png")).is_some());
        assert!(found(list, &image("https://images.acme.example@evil.example/a.png")).is_some());
        assert!(found("exclusive_upstreams: [sim]\n", &image("https://images.acme.example/a.png")).is_some());
        let two =
            image("https://images.acme.example/a.png\"},{\"type\":\"input_image\",\"image_url\":\"https://b.example/");
        assert_eq!(found(list, &two), two.find("\"https://b.example"));
    }
}
