//! The way out: sends a [`Sealed`] call to its model's upstream, and nothing else to anywhere.
//!
//! One pooled client per upstream. The target is the route table's path under the configured URL, the credential is
//! the configured one, the head is written anew, the body is the judged bytes. Redirects are not followed.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;

use super::connect::Timely;
use super::headers;
use super::sigv4::Signer;
use crate::audit::Sealed;
use crate::clock::{Clock, SharedClock};
use crate::config::bootstrap::{Auth, Timeouts, Upstream};
use crate::id::UpstreamId;
use crate::reason::Reason;
use crate::route::ROUTES;
use crate::speech::Dialect;

/// Idle connections are dropped before a typical upstream (60 s and more) drops them, so that a call rarely meets a
/// connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept per upstream.
const POOL_SIZE: usize = 256;
/// Largest CA file that is read, in bytes.
const LARGEST_CA: u64 = 1 << 20;

/// All upstreams of the bootstrap config.
#[derive(Debug)]
pub struct Upstreams {
    endpoints: HashMap<UpstreamId, Endpoint>,
    clock: SharedClock,
}

/// One upstream: its client, and what is the same for all calls to it.
#[derive(Debug)]
struct Endpoint {
    client: Client<Timely<HttpsConnector<HttpConnector>>, Full<Bytes>>,
    /// The base that every target is under.
    url: Uri,
    /// The targets that are the same for every call.
    targets: HashMap<&'static str, Uri>,
    credential: Option<Credential>,
    /// Signs instead.
    signer: Option<Signer>,
    retries: u32,
    timeouts: Timeouts,
}

/// The upstream credential as header values, ready to be cloned (shared, marked sensitive).
#[derive(Debug)]
struct Credential {
    auth: Option<Auth>,
    bare: HeaderValue,
    bearer: HeaderValue,
}

/// An upstream that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BadUpstream {
    /// The credential has characters that no header can carry.
    #[error("upstream `{0}`: the api_key has characters that an HTTP header cannot carry")]
    Credential(UpstreamId),
    /// The CA file is missing, unreadable or without a certificate.
    #[error("upstream `{upstream}`: the CA file `{file}` cannot be used: {why}")]
    Ca {
        /// Which upstream.
        upstream: UpstreamId,
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library refuses.
    #[error("upstream `{0}`: TLS cannot be set up")]
    Tls(UpstreamId, #[source] rustls::Error),
    /// The URL and a path do not make a target.
    #[error("upstream `{0}`: the url cannot be joined with a path")]
    Target(UpstreamId),
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Connecting, sending or reading the head failed, or the answer is not one that may be passed on.
    Failed,
    /// The response head did not come in time.
    TimedOut,
}

impl NoAnswer {
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Failed => Reason::UpstreamFailed,
            Self::TimedOut => Reason::UpstreamTimeout,
        }
    }
}

impl Upstreams {
    /// Sets up a client for each upstream; connects nowhere yet. `clock` dates signatures.
    ///
    /// # Errors
    /// [`BadUpstream`] for the first one that cannot be used.
    pub fn open(configured: &BTreeMap<UpstreamId, Upstream>, clock: SharedClock) -> Result<Self, BadUpstream> {
        let endpoints = configured
            .iter()
            .map(|(name, upstream)| Endpoint::open(name, upstream).map(|endpoint| (name.clone(), endpoint)))
            .collect::<Result<_, _>>()?;
        Ok(Self { endpoints, clock })
    }

    /// The time limits of an upstream.
    pub(super) fn timeouts(&self, upstream: &UpstreamId) -> Option<Timeouts> {
        self.endpoints.get(upstream).map(|endpoint| endpoint.timeouts)
    }

    /// Sends the sealed call and answers the upstream's head. Dropping the future drops the connection.
    pub(super) async fn send(&self, sealed: &Sealed) -> Result<Response<Incoming>, NoAnswer> {
        let endpoint = self.endpoints.get(&sealed.permit().model().file.upstream).ok_or(NoAnswer::Failed)?;
        let deadline = endpoint.timeouts.first_byte;
        let answer = tokio::time::timeout(deadline, endpoint.send(sealed, &*self.clock))
            .await
            .unwrap_or(Err(NoAnswer::TimedOut))?;
        if may_pass(answer.status(), answer.headers()) { Ok(answer) } else { Err(NoAnswer::Failed) }
    }
}

impl Endpoint {
    fn open(name: &UpstreamId, upstream: &Upstream) -> Result<Self, BadUpstream> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_connect_timeout(Some(upstream.timeouts.connect));
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(name, upstream)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .build(Timely::new(connector, upstream.timeouts.connect));
        let targets = ROUTES
            .iter()
            .filter(|route| !route.has_places())
            .map(|route| Ok((route.path, target(&upstream.url, route.path).ok_or(BadUpstream::Target(name.clone()))?)))
            .collect::<Result<_, _>>()?;
        let credential =
            upstream.api_key.as_ref().map(|key| credential(name, key.expose(), upstream.auth)).transpose()?;
        Ok(Self {
            client,
            url: upstream.url.clone(),
            targets,
            credential,
            signer: upstream.signing.as_ref().map(Signer::new),
            retries: upstream.retries,
            timeouts: upstream.timeouts,
        })
    }

    async fn send(&self, sealed: &Sealed, clock: &dyn Clock) -> Result<Response<Incoming>, NoAnswer> {
        let mut left = self.retries;
        loop {
            match self.client.request(self.request(sealed, clock)?).await {
                Ok(answer) => return Ok(answer),
                // No connection, so no byte of the request was sent: asking again cannot do anything twice.
                Err(fault) if fault.is_connect() && left > 0 => left -= 1,
                Err(fault) => {
                    tracing::warn!(upstream = %sealed.permit().model().file.upstream, fault = %chain(&fault), "upstream did not answer");
                    return Err(NoAnswer::Failed);
                }
            }
        }
    }

    fn request(&self, sealed: &Sealed, clock: &dyn Clock) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let permit = sealed.permit();
        let arrival = permit.call().caller().arrival();
        let route = arrival.route().ok_or(NoAnswer::Failed)?;
        let mut request = Request::new(Full::new(permit.body().clone()));
        *request.method_mut() = route.method();
        *request.uri_mut() = match self.targets.get(permit.target()) {
            Some(target) => target.clone(),
            None => target(&self.url, permit.target()).ok_or(NoAnswer::Failed)?,
        };
        let mut head = headers::for_upstream(arrival.headers(), route.dialect);
        if let Some(traceparent) =
            sealed.docket().traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok())
        {
            head.insert(HeaderName::from_static("traceparent"), traceparent);
        }
        if let Some(credential) = &self.credential {
            let (name, value) = credential.for_dialect(route.dialect);
            head.insert(name, value);
        }
        *request.headers_mut() = head;
        if let Some(signer) = &self.signer {
            signer.sign(&mut request, permit.body(), clock.utc()).map_err(|fault| {
                tracing::warn!(upstream = %permit.model().file.upstream, fault = %chain(&fault), "request not signed");
                NoAnswer::Failed
            })?;
        }
        Ok(request)
    }
}

impl Credential {
    fn for_dialect(&self, dialect: Dialect) -> (HeaderName, HeaderValue) {
        let auth = self.auth.unwrap_or(match dialect {
            Dialect::Anthropic => Auth::XApiKey,
            Dialect::Gemini => Auth::XGoogApiKey,
            Dialect::Azure => Auth::ApiKey,
            Dialect::OpenAi | Dialect::Bedrock | Dialect::Cohere | Dialect::Ollama | Dialect::Own => Auth::Bearer,
        });
        match auth {
            Auth::Bearer => (header::AUTHORIZATION, self.bearer.clone()),
            Auth::XApiKey => (HeaderName::from_static("x-api-key"), self.bare.clone()),
            Auth::ApiKey => (HeaderName::from_static("api-key"), self.bare.clone()),
            Auth::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), self.bare.clone()),
        }
    }
}

fn credential(name: &UpstreamId, key: &str, auth: Option<Auth>) -> Result<Credential, BadUpstream> {
    let sensitive = |text: &str| {
        HeaderValue::from_str(text)
            .map(|mut value| {
                value.set_sensitive(true);
                value
            })
            .map_err(|_| BadUpstream::Credential(name.clone()))
    };
    Ok(Credential { auth, bare: sensitive(key)?, bearer: sensitive(&format!("Bearer {key}"))? })
}

/// `base` with its own path as a prefix, then the table's path.
fn target(base: &Uri, path: &str) -> Option<Uri> {
    let prefix = base.path().trim_end_matches('/');
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(format!("{prefix}{path}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn tls(name: &UpstreamId, upstream: &Upstream) -> Result<rustls::ClientConfig, BadUpstream> {
    let builder = rustls::ClientConfig::builder();
    let Some(file) = &upstream.ca else {
        return Ok(builder
            .with_platform_verifier()
            .map_err(|fault| BadUpstream::Tls(name.clone(), fault))?
            .with_no_client_auth());
    };
    let bad = |why: String| BadUpstream::Ca { upstream: name.clone(), file: file.display().to_string(), why };
    let mut pem = Vec::new();
    File::open(file)
        .and_then(|file| file.take(LARGEST_CA).read_to_end(&mut pem))
        .map_err(|fault| bad(fault.to_string()))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|fault| bad(format!("{fault:?}")))?;
        roots.add(certificate).map_err(|fault| bad(fault.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("it has no certificate in PEM form".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether an answer with this head may be passed on. A redirect would take the caller, key in hand, to a place nobody
/// approved; a 101 that nobody asked for would be a tunnel; with both a length and a transfer coding one of the two is
/// a lie, and another coding than `chunked` is one that nobody undoes (RFC 9112 section 6.3).
fn may_pass(status: StatusCode, head: &HeaderMap) -> bool {
    let is_elsewhere = status.is_redirection() || status.is_informational();
    !is_elsewhere && headers::length_is_plain(head)
}

/// The whole chain of an error on one line: the client's own errors name the place, not the content.
fn chain(fault: &dyn Error) -> String {
    let mut text = fault.to_string();
    let mut next = fault.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::{may_pass, target};

    fn passes(status: u16, lines: &[(&'static str, &'static str)]) -> bool {
        let head = lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        may_pass(StatusCode::from_u16(status).unwrap(), &head.collect::<HeaderMap>())
    }

    #[test]
    fn an_answer_that_leads_elsewhere_or_is_framed_twice_is_not_passed_on() {
        let (length, chunked) = (("content-length", "4"), ("transfer-encoding", "chunked"));
        assert!(passes(200, &[length]) && passes(200, &[chunked]) && passes(500, &[]));
        assert!(!passes(307, &[length]));
        assert!(!passes(101, &[]));
        assert!(!passes(200, &[length, chunked]));
    }

    #[test]
    fn the_path_of_the_base_url_is_kept_as_a_prefix() {
        for (base, expected) in [
            ("https://api.openai.com", "https://api.openai.com/v1/messages"),
            ("https://proxy.bank/llm/", "https://proxy.bank/llm/v1/messages"),
        ] {
            assert_eq!(target(&base.parse().unwrap(), "/v1/messages").unwrap().to_string(), expected);
        }
    }
}
