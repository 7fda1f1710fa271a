use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Caller, KeyRecord, Keyring, Unauthenticated, authenticate};
use crate::arrival::Arrival;
use crate::clock::ManualClock;
use crate::docket::{Actor, CheckVerdict, Role, Stopped};
use crate::id::{Digest, KeyId, TenantId};

const GOOD: &str = "pcl_k1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn keyring(change: impl FnOnce(&mut KeyRecord)) -> Keyring {
    let mut record = KeyRecord {
        tenant: TenantId::parse("acme").unwrap(),
        id: KeyId::parse("k1").unwrap(),
        hash: Digest::of(GOOD.as_bytes()),
        roles: Arc::from([Role::Client]),
        expires: None,
        disabled: false,
    };
    change(&mut record);
    let mut keyring = Keyring::default();
    assert_eq!(keyring.add(record), None);
    keyring
}

fn ask(keyring: &Keyring, query: Option<&str>, headers: &[(&str, &str)]) -> Result<Caller, Stopped<Unauthenticated>> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let arrival = Arrival::receive(Method::POST, "/v1/chat/completions", query, map, &ManualClock::at(start()));
    authenticate(keyring, arrival, start())
}

fn refusal(keyring: &Keyring, query: Option<&str>, headers: &[(&str, &str)]) -> Unauthenticated {
    let stopped = ask(keyring, query, headers).unwrap_err();
    assert_eq!(stopped.docket.checks.identity, CheckVerdict::Block);
    stopped.why
}

#[test]
fn a_key_is_found_wherever_an_sdk_puts_it() {
    let keyring = keyring(|_| ());
    let bearer = format!("Bearer {GOOD}");
    let lower = format!("bearer {GOOD}");
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("authorization", lower.as_str()),
        ("x-api-key", GOOD),
        ("api-key", GOOD),
        ("x-goog-api-key", GOOD),
    ] {
        let caller = ask(&keyring, None, &[(name, value)]).unwrap();
        assert_eq!(caller.tenant().as_str(), "acme");
        assert_eq!(caller.docket().checks.identity, CheckVerdict::Pass);
    }
}

#[test]
fn anything_but_exactly_one_good_credential_is_refused() {
    let keyring = keyring(|_| ());
    let bearer = format!("Bearer {GOOD}");
    let basic = format!("Basic {GOOD}");
    let long = "x".repeat(600);
    assert_eq!(refusal(&keyring, None, &[]), Unauthenticated::Missing);
    for headers in [
        vec![("authorization", bearer.as_str()), ("authorization", bearer.as_str())],
        vec![("authorization", bearer.as_str()), ("x-api-key", GOOD)],
        vec![("authorization", basic.as_str())],
        vec![("authorization", GOOD)],
        vec![("x-api-key", "pcl_k1_0000")],
        vec![("x-api-key", "pcl_nobody_0123456789abcdef")],
        vec![("x-api-key", "sk-upstream")],
        vec![("x-api-key", "")],
        vec![("x-api-key", long.as_str())],
    ] {
        assert_eq!(refusal(&keyring, None, &headers), Unauthenticated::Invalid, "{headers:?}");
    }
}

#[test]
fn a_key_in_the_query_is_no_credential() {
    let keyring = keyring(|_| ());
    let query = format!("a=b&KEY={GOOD}");
    assert_eq!(refusal(&keyring, Some(&query), &[]), Unauthenticated::Invalid);
    assert_eq!(refusal(&keyring, Some(&query), &[("x-api-key", GOOD)]), Unauthenticated::Invalid);
}

#[test]
fn an_expired_key_is_named_and_refused_from_its_first_moment_on() {
    let keyring = keyring(|key| key.expires = Some(start()));
    let stopped = ask(&keyring, None, &[("x-api-key", GOOD)]).unwrap_err();
    assert_eq!(stopped.why, Unauthenticated::Expired);
    assert!(matches!(stopped.docket.actor, Actor::ApiKey { .. }));
}

#[test]
fn a_disabled_key_is_invalid_and_one_without_the_client_role_is_denied() {
    assert_eq!(refusal(&keyring(|key| key.disabled = true), None, &[("x-api-key", GOOD)]), Unauthenticated::Invalid);
    let viewer = keyring(|key| key.roles = Arc::from([Role::Viewer]));
    assert_eq!(refusal(&viewer, None, &[("x-api-key", GOOD)]), Unauthenticated::RoleDenied);
}

#[test]
fn a_tenant_header_may_only_agree_with_the_key() {
    let keyring = keyring(|_| ());
    assert!(ask(&keyring, None, &[("x-api-key", GOOD), ("x-tenant-id", "acme")]).is_ok());
    for name in super::TENANT_HEADERS {
        assert_eq!(refusal(&keyring, None, &[("x-api-key", GOOD), (name, "other")]), Unauthenticated::TenantMismatch);
    }
}

#[test]
fn a_guessed_key_leaves_no_actor_in_the_docket() {
    let stopped = ask(&keyring(|_| ()), None, &[("x-api-key", "pcl_k1_wrong")]).unwrap_err();
    assert_eq!(stopped.docket.actor, Actor::Anonymous);
    assert_eq!(stopped.docket.tenant, None);
}
