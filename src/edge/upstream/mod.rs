//! The way out: sends a [`Sealed`] call to its model's upstream, and nothing else to anywhere.
//!
//! One pool of connections per upstream. The target is the route table's path under the configured URL, the credential
//! is the configured one, the head is written anew, the body is the judged bytes. Redirects are not followed. A call is
//! asked again only where no byte of it was sent.

mod bell;
mod connect;
mod flow;
mod link;
mod pool;
mod trust;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, timeout_at};

use self::connect::{Connector, Opened};
pub(super) use self::flow::Flow;
use self::pool::Pool;
use self::trust::Roots;
use super::headers;
use super::sigv4::Signer;
use crate::audit::Sealed;
use crate::clock::{Clock, SharedClock};
use crate::config::bootstrap::{Auth, Timeouts, Upstream};
use crate::id::UpstreamId;
use crate::reason::Reason;
use crate::route::ROUTES;
use crate::speech::Dialect;

/// What is sent: a head, and the judged bytes.
type Request = http::Request<Full<Bytes>>;

/// All upstreams of the bootstrap config.
#[derive(Debug)]
pub struct Upstreams {
    endpoints: BTreeMap<UpstreamId, Endpoint>,
    clock: SharedClock,
}

/// One upstream: its connections, and what is the same for all calls to it.
#[derive(Debug)]
struct Endpoint {
    pool: Arc<Pool>,
    connector: Connector,
    /// The base that every target is under.
    url: Uri,
    /// Those that are the same for every call: of the routes whose paths have no places.
    targets: Vec<Target>,
    /// The `Host` field of HTTP/1.
    host: HeaderValue,
    credential: Option<Credential>,
    /// Signs instead.
    signer: Option<Signer>,
    retries: u32,
    timeouts: Timeouts,
}

/// Where a route's calls go.
#[derive(Debug)]
struct Target {
    path: &'static str,
    /// As HTTP/2 has it, with scheme and authority.
    whole: Uri,
    /// As HTTP/1 has it, the path alone (RFC 9112 section 3.2.1).
    origin: Uri,
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

/// An upstream's head, and the body as it comes.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<Flow>,
    /// When the call set out.
    pub(super) sent: Instant,
    pub(super) timeouts: Timeouts,
}

/// Why one attempt got no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// The head did not come in time.
    #[error("the upstream took too long")]
    TimedOut,
    /// No connection, or one that was closed before a byte of the request was written: asking again cannot do anything
    /// twice.
    #[error("not sent")]
    Unsent(#[source] Box<dyn Error + Send + Sync>),
    /// Bytes of the request may have been sent.
    #[error("sent, and not answered")]
    Broken(#[source] hyper::Error),
}

impl From<TrySendError<Request>> for Unanswered {
    fn from(fault: TrySendError<Request>) -> Self {
        let unsent = fault.message().is_some();
        let fault = fault.into_error();
        if unsent { Self::Unsent(fault.into()) } else { Self::Broken(fault) }
    }
}

impl Upstreams {
    /// Sets up the way to each upstream; connects nowhere yet. `clock` dates signatures.
    ///
    /// # Errors
    /// [`BadUpstream`] for the first one that cannot be used.
    pub fn open(configured: &BTreeMap<UpstreamId, Upstream>, clock: SharedClock) -> Result<Self, BadUpstream> {
        let roots = Roots::default();
        let endpoints = configured
            .iter()
            .map(|(name, upstream)| Endpoint::open(name, upstream, &roots).map(|endpoint| (name.clone(), endpoint)))
            .collect::<Result<_, _>>()?;
        Ok(Self { endpoints, clock })
    }

    /// Sends the sealed call and answers the upstream's head. Dropping the future drops the connection.
    pub(super) async fn send(&self, sealed: &Sealed) -> Result<Answered, NoAnswer> {
        let endpoint = self.endpoints.get(&sealed.permit().model().file.upstream).ok_or(NoAnswer::Failed)?;
        let timeouts = endpoint.timeouts;
        let sent = Instant::now();
        let response = endpoint.send(sealed, &*self.clock, sent + timeouts.first_byte).await?;
        if may_pass(response.status(), response.headers()) {
            Ok(Answered { response, sent, timeouts })
        } else {
            Err(NoAnswer::Failed)
        }
    }

    /// Closes the connections that nobody needs or that the other side closed. To be called about every second.
    pub fn sweep(&self) {
        for endpoint in self.endpoints.values() {
            endpoint.pool.sweep();
        }
    }
}

impl Endpoint {
    fn open(name: &UpstreamId, upstream: &Upstream, roots: &Roots) -> Result<Self, BadUpstream> {
        let is_https = upstream.url.scheme() == Some(&http::uri::Scheme::HTTPS);
        // A CA file is looked at whether it is needed or not: one that is named and missing is a mistake.
        let is_looked_at = is_https || upstream.ca.is_some();
        let tls = is_looked_at.then(|| roots.client(name, upstream.ca.as_deref())).transpose()?.filter(|_| is_https);
        let bad_target = || BadUpstream::Target(name.clone());
        let targets = ROUTES
            .iter()
            .filter(|route| !route.has_places())
            .map(|route| Target::of(&upstream.url, route.path).ok_or_else(bad_target))
            .collect::<Result<_, _>>()?;
        let credential =
            upstream.api_key.as_ref().map(|key| credential(name, key.expose(), upstream.auth)).transpose()?;
        Ok(Self {
            pool: Arc::default(),
            connector: Connector::new(upstream.url.clone(), tls, upstream.timeouts.connect),
            url: upstream.url.clone(),
            targets,
            host: host(&upstream.url).ok_or_else(bad_target)?,
            credential,
            signer: upstream.signing.as_ref().map(Signer::new),
            retries: upstream.retries,
            timeouts: upstream.timeouts,
        })
    }

    async fn send(&self, sealed: &Sealed, clock: &dyn Clock, due: Instant) -> Result<Response<Flow>, NoAnswer> {
        let mut left = self.retries;
        loop {
            let (opened, is_new) = match self.pool.take() {
                Some(opened) => (Ok(opened), false),
                None => (self.connect(due).await, true),
            };
            let unanswered = match opened {
                Ok(opened) => match self.ask(opened, sealed, clock, due).await? {
                    Ok(response) => return Ok(response),
                    Err(unanswered) => unanswered,
                },
                Err(unanswered) => unanswered,
            };
            match &unanswered {
                // The upstream closed it while it was idle, which says nothing about the upstream.
                Unanswered::Unsent(_) if !is_new => {}
                Unanswered::Unsent(_) if left > 0 => left -= 1,
                Unanswered::TimedOut => return Err(NoAnswer::TimedOut),
                Unanswered::Unsent(_) | Unanswered::Broken(_) => {
                    tracing::warn!(upstream = %sealed.permit().model().file.upstream, fault = %chain(&unanswered), "upstream did not answer");
                    return Err(NoAnswer::Failed);
                }
            }
        }
    }

    /// A new connection. Boxed, because it is rarely needed and large.
    async fn connect(&self, due: Instant) -> Result<Opened, Unanswered> {
        let opened = timeout_at(due, Box::pin(self.connector.open())).await.map_err(|_| Unanswered::TimedOut)?;
        let opened = opened.map_err(Unanswered::Unsent)?;
        if let Opened::Shared(shared) = &opened {
            self.pool.share(shared);
        }
        Ok(opened)
    }

    /// One attempt over one connection.
    async fn ask(
        &self,
        opened: Opened,
        sealed: &Sealed,
        clock: &dyn Clock,
        due: Instant,
    ) -> Result<Result<Response<Flow>, Unanswered>, NoAnswer> {
        Ok(match opened {
            Opened::Link(mut link) => match link.ask(self.request(sealed, clock, true)?, due).await {
                Ok(response) => Ok(response.map(|body| Flow::over(body, link, &self.pool))),
                Err(unanswered) => Err(unanswered),
            },
            Opened::Shared(mut shared) => {
                let answer = shared.try_send_request(self.request(sealed, clock, false)?);
                let answer = match timeout_at(due, Box::pin(answer)).await {
                    Ok(answer) => answer.map_err(Unanswered::from),
                    Err(_) => Err(Unanswered::TimedOut),
                };
                if matches!(answer, Err(Unanswered::TimedOut | Unanswered::Unsent(_))) {
                    self.pool.distrust();
                }
                answer.map(|response| response.map(Flow::shared))
            }
        })
    }

    fn request(&self, sealed: &Sealed, clock: &dyn Clock, is_http1: bool) -> Result<Request, NoAnswer> {
        let permit = sealed.permit();
        let arrival = permit.call().caller().arrival();
        let route = arrival.route().ok_or(NoAnswer::Failed)?;
        let path = permit.target();
        let known = self.targets.iter().find(|target| target.path == path);
        let (whole, origin) = match known {
            Some(target) => (target.whole.clone(), target.origin.clone()),
            None => filled(&self.url, path).ok_or(NoAnswer::Failed)?,
        };
        let mut head = headers::for_upstream(arrival.headers(), route.dialect);
        if let Ok(media_type) = HeaderValue::try_from(permit.call().media_type().as_ref()) {
            head.insert(header::CONTENT_TYPE, media_type);
        }
        if let Some(traceparent) =
            sealed.docket().traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok())
        {
            head.insert(HeaderName::from_static("traceparent"), traceparent);
        }
        if let Some(credential) = &self.credential {
            let (name, value) = credential.for_dialect(route.dialect);
            head.insert(name, value);
        }
        let mut request = Request::new(Full::new(permit.body().clone()));
        *request.method_mut() = route.method();
        if is_http1 {
            head.insert(header::HOST, self.host.clone());
        }
        *request.headers_mut() = head;
        *request.uri_mut() = whole;
        if let Some(signer) = &self.signer {
            signer.sign(&mut request, permit.body(), clock.utc()).map_err(|fault| {
                tracing::warn!(upstream = %permit.model().file.upstream, fault = %chain(&fault), "request not signed");
                NoAnswer::Failed
            })?;
        }
        if is_http1 {
            *request.uri_mut() = origin;
        }
        Ok(request)
    }
}

impl Target {
    fn of(base: &Uri, path: &'static str) -> Option<Self> {
        let (whole, origin) = filled(base, path)?;
        Some(Self { path, whole, origin })
    }
}

/// `base` with its own path as a prefix, then `path`: as HTTP/2 has it, and as HTTP/1 does.
fn filled(base: &Uri, path: &str) -> Option<(Uri, Uri)> {
    let path = format!("{}{path}", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Some((Uri::from_parts(parts).ok()?, path.parse().ok()?))
}

/// Host, and port where it is not the scheme's own.
fn host(url: &Uri) -> Option<HeaderValue> {
    let own = if url.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
    let host = url.host()?;
    match url.port_u16().filter(|port| *port != own) {
        Some(port) => format!("{host}:{port}").try_into().ok(),
        None => HeaderValue::from_str(host).ok(),
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

    use super::{Target, host, may_pass};

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
        for (base, whole, origin) in [
            ("https://api.openai.com", "https://api.openai.com/v1/messages", "/v1/messages"),
            ("https://proxy.bank/llm/", "https://proxy.bank/llm/v1/messages", "/llm/v1/messages"),
        ] {
            let target = Target::of(&base.parse().unwrap(), "/v1/messages").unwrap();
            assert_eq!((target.whole.to_string(), target.origin.to_string()), (whole.to_owned(), origin.to_owned()));
        }
    }

    #[test]
    fn the_host_is_named_with_its_port_where_that_is_not_the_schemes() {
        for (url, expected) in [
            ("https://api.openai.com", "api.openai.com"),
            ("https://api.openai.com:443/v1", "api.openai.com"),
            ("http://localhost:8080", "localhost:8080"),
            ("http://localhost:443", "localhost:443"),
            ("http://[::1]:80", "[::1]"),
        ] {
            assert_eq!(host(&url.parse().unwrap()).unwrap(), expected);
        }
    }
}
