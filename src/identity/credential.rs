//! Where a gate key stands in a request, and whether it is the one that was registered.

use aws_lc_rs::constant_time;
use http::HeaderMap;

use super::{KeyRecord, Keyring, Unauthenticated};
use crate::id::Digest;

/// Headers in which an SDK puts a bare key.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// Query parameters in which some clients put a key. A key in a URL ends up in logs, so it is no credential here.
const KEY_PARAMETERS: [&str; 5] = ["key", "api_key", "api-key", "apikey", "access_token"];

/// Longest key that is looked at, in bytes.
const LONGEST_KEY: usize = 512;

/// The text of the one credential in the head.
pub(super) fn only_one<'h>(headers: &'h HeaderMap, query: Option<&str>) -> Result<&'h str, Unauthenticated> {
    if query.is_some_and(has_key_parameter) {
        return Err(Unauthenticated::Invalid);
    }
    let mut found = None;
    let bearers = headers.get_all(http::header::AUTHORIZATION).iter().map(|value| value.to_str().ok().and_then(bearer));
    let bare = KEY_HEADERS.iter().flat_map(|name| headers.get_all(*name)).map(|value| value.to_str().ok());
    for candidate in bearers.chain(bare) {
        let Some(text) = candidate.filter(|text| text.len() <= LONGEST_KEY) else {
            return Err(Unauthenticated::Invalid);
        };
        if found.replace(text).is_some() {
            return Err(Unauthenticated::Invalid);
        }
    }
    found.ok_or(Unauthenticated::Missing)
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

fn has_key_parameter(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        KEY_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// The registration of exactly this key. Takes as long for an unknown id as for a wrong secret.
pub(super) fn prove<'k>(keyring: &'k Keyring, key: &str) -> Option<&'k KeyRecord> {
    let id = key.strip_prefix("pcl_").and_then(|rest| rest.rsplit_once('_')).map(|(id, _)| id);
    let record = id.and_then(|id| keyring.get(id));
    let shown = Digest::of(key.as_bytes());
    let expected = record.map_or([0; 32], |record| record.hash.0);
    constant_time::verify_slices_are_equal(&shown.0, &expected).ok()?;
    record
}
