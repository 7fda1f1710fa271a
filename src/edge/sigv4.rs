//! Signs a request as Amazon's services demand (AWS General Reference, "Signature Version 4"): the credential itself
//! never travels, and what was signed is what is sent.
//!
//! Asked by `upstream` for each try, last of all, so that nothing of the request changes behind it. The body goes into
//! the signature by its digest: the signing crate never sees content, so none can reach a log.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use chrono::{DateTime, Utc};
use http::Request;
use http::header::AUTHORIZATION;

use crate::config::bootstrap::Signing;

/// Signs for one upstream.
#[derive(Debug)]
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
    service: String,
}

/// A request that cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed")]
pub(super) struct Unsigned(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Signer {
    pub(super) fn new(signing: &Signing) -> Self {
        let token = signing.session_token.as_ref().map(|token| token.expose().to_owned());
        let secret = signing.secret_access_key.expose().to_owned();
        let credentials = Credentials::new(signing.access_key_id.clone(), secret, token, None, "config");
        Self { credentials, region: signing.region.clone(), service: signing.service.clone() }
    }

    /// Adds `x-amz-date`, `x-amz-security-token` for temporary credentials, and `authorization`. The signature is over
    /// method, path, query, every header that is there, and `body`.
    pub(super) fn sign<B>(&self, request: &mut Request<B>, body: &[u8], at: DateTime<Utc>) -> Result<(), Unsigned> {
        // Amazon's services decode a path once and sign it encoded twice, as the settings have it by default.
        let settings = SigningSettings::default();
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(SystemTime::from(at))
            .settings(settings)
            .build()
            .map_err(|why| Unsigned(why.into()))?
            .into();
        let target = request.uri().to_string();
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = SignableBody::Precomputed(hex::encode(digest(&SHA256, body)));
        let signable = SignableRequest::new(request.method().as_str(), target, headers, body)
            .map_err(|why| Unsigned(why.into()))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|why| Unsigned(why.into()))?.into_parts();
        instructions.apply_to_request_http1x(request);
        if let Some(value) = request.headers_mut().get_mut(AUTHORIZATION) {
            value.set_sensitive(true);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use http::Request;

    use super::Signer;
    use crate::config::bootstrap::Signing;
    use crate::secret::Secret;

    fn signer(token: Option<&str>) -> Signer {
        Signer::new(&Signing {
            region: "eu-west-1".to_owned(),
            service: "bedrock".to_owned(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: token.map(|token| Secret::new(token.to_owned())),
        })
    }

    fn signed(token: Option<&str>) -> Request<()> {
        let mut request = Request::post("https://bedrock-runtime.eu-west-1.amazonaws.com/model/a.b-v1%3A0/converse")
            .header("content-type", "application/json")
            .header("user-agent", "sdk")
            .body(())
            .unwrap();
        let at = DateTime::from_timestamp(1_793_000_000, 0).unwrap();
        signer(token).sign(&mut request, br#"{"messages":[]}"#, at).unwrap();
        request
    }

    /// Expected values: botocore 1.44.8, `SigV4Auth`, on the same request.
    #[test]
    fn a_signature_is_the_one_that_amazons_own_signer_makes() {
        let request = signed(None);
        assert_eq!(request.headers()["x-amz-date"], "20261026T073320Z");
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261026/eu-west-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=f8c2991318b5ab22571c79807bf2708956607e4349669db56fac4da2f084600f"
        );
        let request = signed(Some("a-token"));
        assert_eq!(request.headers()["x-amz-security-token"], "a-token");
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261026/eu-west-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
             Signature=08d94595192602bfa9dfca60875da1916e88d6d1b750fcf39903049503babb7c"
        );
    }

    #[test]
    fn no_secret_shows() {
        let shown = format!("{:?} {:?}", signer(Some("a-token")), signed(Some("a-token")).headers());
        for secret in ["wJalr", "a-token", "Signature"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
