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
    // One walk past all fields is cheaper than a look-up for each of these.
    for (name, value) in headers {
        let candidate = match name.as_str() {
            "authorization" => value.to_str().ok().and_then(bearer),
            name if KEY_HEADERS.contains(&name) => value.to_str().ok(),
            _ => continue,
        };
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
    let (scheme, token) = value.split_at_checked(memchr::memchr(b' ', value.as_bytes())?)?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

fn has_key_parameter(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        KEY_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// The `<id>` of `pcl_<id>_<secret>`.
fn id_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("pcl_")?;
    rest.get(..memchr::memrchr(b'_', rest.as_bytes())?)
}

/// The registration of exactly this key. Takes as long for an unknown id as for a wrong secret.
pub(super) fn prove<'k>(keyring: &'k Keyring, key: &str) -> Option<&'k KeyRecord> {
    let record = id_of(key).and_then(|id| keyring.get(id));
    let shown = Digest::of(key.as_bytes());
    let expected = record.map_or([0; 32], |record| record.hash.0);
    constant_time::verify_slices_are_equal(&shown.0, &expected).ok()?;
    record
}
