//! Checks AWS Signature Version 4 as the service does, from the specification and with nothing of the signer's.
//!
//! Source: AWS Identity and Access Management user guide, "Create a signed AWS API request".

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whether the head says that it is signed.
pub(super) fn claims(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(ALGORITHM.as_bytes()))
}

/// Whether it is, with this secret, over all that must be signed.
pub(super) fn is_signed(head: &Parts, body: &[u8], secret: &str) -> bool {
    signature(head, body, secret).is_some_and(|(stated, expected)| stated == expected)
}

/// The signature that is stated, and the one that belongs there.
fn signature(head: &Parts, body: &[u8], secret: &str) -> Option<(String, String)> {
    let claim = head.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix(ALGORITHM)?.trim();
    let part = |name: &str| claim.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let (_, scope) = part("Credential")?.split_once('/')?;
    let names: Vec<&str> = part("SignedHeaders")?.split(';').collect();
    let must = ["host", "x-amz-date", "x-amz-security-token", "content-type"];
    if must.iter().any(|name| head.headers.contains_key(*name) && !names.contains(name)) {
        return None;
    }
    let date = head.headers.get("x-amz-date")?.to_str().ok()?;
    let mut headers = String::new();
    for name in &names {
        let value = head.headers.get(*name)?.to_str().ok()?;
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        headers.extend([*name, ":", &value, "\n"]);
    }
    let mut query: Vec<&str> = head.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        head.method,
        encoded(head.uri.path()),
        query.join("&"),
        names.join(";"),
        hex::encode(digest(&SHA256, body)),
    );
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex::encode(digest(&SHA256, canonical.as_bytes())));
    let first = format!("AWS4{secret}").into_bytes();
    let key = scope.split('/').fold(first, |key, word| mac(&key, word));
    Some((part("Signature")?.to_owned(), hex::encode(mac(&key, &text))))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// The path as it was sent, encoded once more.
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|b| match b {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::{claims, is_signed};

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const BODY: &[u8] = br#"{"messages":[]}"#;

    /// What botocore 1.44.8 makes of this request.
    fn signed(path: &str) -> Parts {
        let claim = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261026/eu-west-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=f8c2991318b5ab22571c79807bf2708956607e4349669db56fac4da2f084600f";
        let request = Request::post(path)
            .header("host", "bedrock-runtime.eu-west-1.amazonaws.com")
            .header("content-type", "application/json")
            .header("x-amz-date", "20261026T073320Z")
            .header("authorization", claim);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_amazons_signer_signs_is_signed_and_nothing_else_is() {
        let good = signed("/model/a.b-v1%3A0/converse");
        assert!(claims(&good.headers) && is_signed(&good, BODY, SECRET));
        assert!(!is_signed(&good, b"{}", SECRET));
        assert!(!is_signed(&good, BODY, "another"));
        assert!(!is_signed(&signed("/model/a.b-v1:0/converse"), BODY, SECRET));
        let mut more = signed("/model/a.b-v1%3A0/converse");
        more.headers.insert("x-amz-security-token", "unsigned".parse().unwrap());
        assert!(!is_signed(&more, BODY, SECRET));
    }
}
