//! `config/portcullis.yaml`, the bootstrap config: its raw shape, defaults and checks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::bootstrap::{
    Address, Audit, Auth, Breaker, Config, Durability, Intake, Listen, Signing, Timeouts, Tls, Upstream, Vertex,
};
use crate::config::de::{Either, Placed, Table};
use crate::config::environment::{Lookup, fill, override_keys};
use crate::config::fault::{Fault, Faults};
use crate::config::node::{Flaw, Place};
use crate::config::reading::Reading;
use crate::config::text::{Line, ScopeWord, Size, Span};
use crate::id::UpstreamId;
use crate::secret::Secret;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The bootstrap config of Portcullis, read once at start. Every key can be overridden by a variable such as
/// `PORTCULLIS__AUDIT__DURABILITY`; `${VAR}` and `${VAR:-default}` are filled into values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis bootstrap config")]
pub(super) struct Written {
    /// Where applications call: an address or `unix:/path`; `127.0.0.1:4100` unless named.
    listen: Option<Either<Placed<Line>, ListenWritten>>,
    /// Where people and monitors look; `127.0.0.1:4101` unless named.
    admin: Option<Placed<Line>>,
    /// Where this instance keeps its state; `./var` unless named.
    state: Option<Line>,
    /// The policy directory; `./policies` unless named.
    #[schemars(extend("x-map-not-enforced-yet" = true))]
    policies: Option<Line>,
    /// Who is trusted to approve: `none` means whoever writes the policy files.
    trust: Option<Placed<Line>>,
    /// The model endpoints, by the names that model files use.
    #[schemars(extend("minProperties" = 1))]
    upstreams: Table<UpstreamId, UpstreamWritten>,
    /// Limits that several instances share.
    #[serde(default)]
    shared_state: SharedState,
    /// The audit log.
    #[serde(default)]
    audit: AuditWritten,
    /// Bounds of what the data plane takes in.
    #[serde(default)]
    limits: IntakeWritten,
    /// Worker threads of the data plane; one per core, at most four, unless named.
    #[schemars(range(min = 1, max = 1024))]
    workers: Option<u32>,
    /// How long a drain may take before what is left is cut; `30s` unless named.
    drain: Option<Placed<Span>>,
    /// Named exception: plaintext on addresses that are not loopback.
    #[serde(default)]
    allow_plaintext_off_loopback: bool,
}

super::format!(Written);

/// Where the data plane listens, in full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Listen")]
struct ListenWritten {
    /// An address such as `127.0.0.1:4100`, or `unix:/path`.
    address: Placed<Line>,
    /// TLS.
    tls: Option<TlsWritten>,
}

/// Certificate files; read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tls")]
struct TlsWritten {
    /// Certificate chain, PEM.
    cert: Line,
    /// Private key, PEM.
    key: Line,
    /// CA of client certificates, PEM; when named, clients must show one.
    client_ca: Option<Line>,
}

/// One model endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Upstream")]
struct UpstreamWritten {
    /// `http` or `https`, host, port; a path prefix is kept.
    url: Placed<Line>,
    /// The upstream credential; applications never see it. Empty means none.
    api_key: Option<Placed<String>>,
    /// How the credential is sent; as the dialect of the call does unless named.
    auth: Option<Either<AuthWord, AuthWritten>>,
    /// A CA file instead of the platform's roots, PEM.
    ca: Option<Line>,
    /// The one place of Vertex AI that it serves: other projects, locations and paths without them are refused.
    vertex: Option<VertexWritten>,
    /// When it is given a rest.
    #[serde(default)]
    breaker: BreakerWritten,
    /// How often a call is tried again where no request byte was sent; 1 unless named.
    #[schemars(range(max = 10))]
    retries: Option<u32>,
    /// Its time limits.
    #[serde(default)]
    timeouts: TimeoutsWritten,
}

/// A place of Vertex AI: what stands in its paths.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Vertex")]
struct VertexWritten {
    /// The project, by name or number.
    project: Line,
    /// The location, such as `europe-west4` or `global`.
    location: Line,
}

/// A credential that signs instead of being sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Auth")]
struct AuthWritten {
    /// AWS Signature Version 4.
    sigv4: SigningWritten,
}

/// AWS Signature Version 4.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SigV4")]
struct SigningWritten {
    /// The region, such as `eu-west-1`.
    region: Placed<ScopeWord>,
    /// The service in the signature's scope; `bedrock` unless named.
    service: Option<Placed<ScopeWord>>,
    /// The access key's id.
    access_key_id: Placed<String>,
    /// The access key's secret.
    secret_access_key: Placed<String>,
    /// The token of temporary credentials. Empty means none.
    session_token: Option<Placed<String>>,
}

/// How a credential is sent.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AuthWord {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`.
    XApiKey,
    /// `api-key`.
    ApiKey,
    /// `x-goog-api-key`.
    XGoogApiKey,
}

/// When an upstream is given a rest.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breaker")]
struct BreakerWritten {
    /// Failures in a row that open it; 5 unless named.
    #[schemars(range(min = 1))]
    failures: Option<u32>,
    /// How long it stays open before one probe is let through; `30s` unless named.
    open_for: Option<Placed<Span>>,
}

/// An upstream's time limits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Timeouts")]
struct TimeoutsWritten {
    /// To connect, TLS included; `2s` unless named.
    connect: Option<Placed<Span>>,
    /// From the request sent to the response head; `60s` unless named.
    first_byte: Option<Placed<Span>>,
    /// Between two chunks of a response; `60s` unless named.
    idle: Option<Placed<Span>>,
    /// For the whole exchange; `10m` unless named.
    total: Option<Placed<Span>>,
}

/// Limits that several instances share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SharedState {
    /// A Redis URL; empty means limits within this process.
    redis: Option<Placed<String>>,
    /// What happens when Redis is away.
    on_failure: Option<SharedFailure>,
}

/// What happens when the shared state is away. Nothing is shared yet, so either word may stand.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SharedFailure {
    /// Limits within this process.
    Local,
    /// Calls are refused.
    Deny,
}

/// The audit log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Audit")]
struct AuditWritten {
    /// When a record counts as written; `group` unless named.
    durability: Option<DurabilityWord>,
    /// What happens when a record cannot be written.
    on_failure: Option<AuditFailure>,
    /// Records a second per peer or tenant beyond which 401s and 429s are coalesced; 200 unless named.
    #[schemars(range(min = 1))]
    flood_threshold: Option<u32>,
    /// Records that may wait for the writer; 8192 unless named.
    #[schemars(range(min = 16, max = 1_048_576))]
    queue: Option<u32>,
    /// Size at which a segment is closed; `64MiB` unless named.
    segment: Option<Placed<Size>>,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DurabilityWord {
    /// One `fdatasync` a record.
    Sync,
    /// One `fdatasync` for all that queued.
    Group,
    /// Once queued: for development, a crash loses what the disk has not got.
    Async,
}

/// What happens when a record cannot be written.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-not-enforced-yet" = ["spill"]))]
enum AuditFailure {
    /// Calls are refused.
    Block,
}

/// Bounds of what the data plane takes in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Intake")]
struct IntakeWritten {
    /// One body; `10MiB` unless named.
    body_limit: Option<Placed<Size>>,
    /// All bodies in flight; `256MiB` unless named.
    body_budget: Option<Placed<Size>>,
    /// One request head; `64KiB` unless named.
    header_limit: Option<Placed<Size>>,
    /// Connections at once; 10000 unless named.
    #[schemars(range(min = 1, max = 1_000_000))]
    connections: Option<u32>,
    /// To send a request head, from the first byte on; `10s` unless named.
    header_timeout: Option<Placed<Span>>,
    /// To send a whole body; `60s` unless named.
    body_timeout: Option<Placed<Span>>,
    /// Between two requests of a connection; `75s` unless named.
    idle_timeout: Option<Placed<Span>>,
}

impl Config {
    /// Reads and checks the bootstrap config at `path`. `env` looks a variable up for `${VAR}`; `variables` is the whole
    /// environment, of which `PORTCULLIS__A__B` override keys.
    ///
    /// # Errors
    /// Everything that is wrong, with places.
    pub fn load(
        path: &Path,
        env: Lookup<'_>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let shown = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::read(path, &bytes, env, variables),
            Err(error) => {
                let fault = Fault::of_file(shown, format!("the file cannot be read: {error}"));
                Err(fault.help("`--config FILE` names the bootstrap config").into())
            }
        }
    }

    /// The same from the file's bytes; `path` is what faults name and what relative paths are relative to.
    ///
    /// # Errors
    /// Everything that is wrong, with places.
    pub fn read(
        path: &Path,
        bytes: &[u8],
        env: Lookup<'_>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let mut reading = Reading::open(path.display().to_string(), bytes).map_err(|fault| Faults::from(*fault))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let config = written(&mut reading, env, variables).and_then(|written| written.checked(base, &mut reading));
        match config {
            Some(config) if !reading.is_faulty() => Ok(config),
            _ => {
                let mut faults = Faults::default();
                reading.close().for_each(|fault| faults.push(fault));
                Err(faults.sorted())
            }
        }
    }
}

fn written(
    reading: &mut Reading,
    env: Lookup<'_>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Option<Written> {
    let mut tree = super::tree(reading)?;
    fill(&mut tree, env, reading);
    if let Ok(shape) = <Written as super::Format>::shape() {
        override_keys(&mut tree, shape, variables, reading);
    }
    super::fitted(tree, reading)
}

impl Written {
    fn checked(self, base: &Path, reading: &mut Reading) -> Option<Config> {
        let path =
            |line: Option<Line>, default: &str| base.join(line.map_or_else(|| default.to_owned(), |line| line.0));
        if let Some(trust) = self.trust.filter(|trust| trust.value.0 != "none") {
            let flaw =
                Flaw::new(trust.place, "`trust` other than `none` is not enforced by this build yet, so it is refused");
            reading
                .fault(flaw.help("without signed approvals, whoever writes the policy files approves: `trust: none`"));
        }
        self.shared_state.checked(reading);
        let plaintext = self.allow_plaintext_off_loopback;
        let listen = listen(self.listen, base, plaintext, reading);
        let admin = admin(self.admin.as_ref(), plaintext, reading);
        if let (Some((Listen { address: Address::Tcp(listen), .. }, at)), Some(admin)) = (&listen, &admin)
            && listen == admin
            && admin.port() != 0
        {
            reading.wrong(*at, "`listen` and `admin` are the same address");
        }
        let mut upstreams = BTreeMap::new();
        for (name, upstream) in self.upstreams.0 {
            if let Some(upstream) = upstream.value.checked(base, reading) {
                upstreams.insert(name.value, upstream);
            }
        }
        // All are asked before any absence ends the reading, so that every fault is told.
        let (audit, limits) = (self.audit.checked(reading), self.limits.checked(reading));
        let drain = span(self.drain.as_ref(), 30, reading);
        Some(Config {
            listen: listen?.0,
            admin: admin?,
            state: path(self.state, "./var"),
            policies: path(self.policies, "./policies"),
            upstreams,
            audit: audit?,
            limits: limits?,
            workers: self.workers.and_then(|workers| usize::try_from(workers).ok()),
            drain: drain?,
        })
    }
}

/// The duration, or so many seconds where none is named.
fn span(span: Option<&Placed<Span>>, default_seconds: u64, reading: &mut Reading) -> Option<Duration> {
    span.map_or(Some(Duration::from_secs(default_seconds)), |span| span.read(reading))
}

/// The size within its bounds, or the default.
fn size(size: Option<&Placed<Size>>, default: u64, bounds: (u64, u64), reading: &mut Reading) -> Option<u64> {
    size.map_or(Some(default), |size| size.read(reading, bounds.0, bounds.1))
}

fn listen(
    written: Option<Either<Placed<Line>, ListenWritten>>,
    base: &Path,
    plaintext: bool,
    reading: &mut Reading,
) -> Option<(Listen, Place)> {
    let Some(written) = written else {
        let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 4100)));
        return Some((Listen { address, tls: None }, Place::default()));
    };
    let (line, tls) = match written {
        Either::Short(address) => (address, None),
        Either::Long(ListenWritten { address, tls }) => (address, tls),
    };
    let address = match line.value.0.strip_prefix("unix:") {
        Some(path) => Address::Unix(base.join(path)),
        None => Address::Tcp(socket(&line, reading)?),
    };
    let tls = tls.map(|tls| Tls {
        cert: base.join(tls.cert.0),
        key: base.join(tls.key.0),
        client_ca: tls.client_ca.map(|ca| base.join(ca.0)),
    });
    if let (Address::Tcp(address), None) = (&address, &tls) {
        refuse_plaintext(*address, line.place, plaintext, reading);
    }
    Some((Listen { address, tls }, line.place))
}

fn admin(written: Option<&Placed<Line>>, plaintext: bool, reading: &mut Reading) -> Option<SocketAddr> {
    let Some(line) = written else { return Some(SocketAddr::from(([127, 0, 0, 1], 4101))) };
    let address = socket(line, reading)?;
    refuse_plaintext(address, line.place, plaintext, reading);
    Some(address)
}

fn socket(line: &Placed<Line>, reading: &mut Reading) -> Option<SocketAddr> {
    let address = line.value.0.parse().ok();
    if address.is_none() {
        reading.wrong(line.place, "this is not an address such as 127.0.0.1:4100");
    }
    address
}

fn refuse_plaintext(address: SocketAddr, at: Place, allowed: bool, reading: &mut Reading) {
    if !allowed && !address.ip().to_canonical().is_loopback() {
        let flaw = Flaw::new(at, "plaintext on an address that is not loopback is refused");
        reading
            .fault(flaw.help("use TLS (`listen: {address, tls}`), or name it: `allow_plaintext_off_loopback: true`"));
    }
}

impl SharedState {
    fn checked(self, reading: &mut Reading) {
        let Self { redis, on_failure: None | Some(SharedFailure::Local | SharedFailure::Deny) } = self;
        if let Some(redis) = redis.filter(|redis| !redis.value.is_empty()) {
            let flaw = Flaw::new(redis.place, "`redis` is not enforced by this build yet, so it is refused");
            reading.fault(flaw.help("leave it empty: limits then hold within this process"));
        }
    }
}

impl UpstreamWritten {
    fn checked(self, base: &Path, reading: &mut Reading) -> Option<Upstream> {
        let url = url(&self.url, reading);
        let api_key_at = self.api_key.as_ref().filter(|key| !key.value.is_empty()).map(|key| key.place);
        let api_key = self.api_key.and_then(|key| credential(key, reading));
        let open_for = span(self.breaker.open_for.as_ref(), 30, reading);
        let timeouts = self.timeouts.checked(reading);
        let breaker = Breaker { failures: self.breaker.failures.unwrap_or(5), open_for: open_for? };
        let ca = self.ca.map(|ca| base.join(ca.0));
        let (auth, signing) = match self.auth {
            None => (None, None),
            Some(Either::Short(word)) => (Some(Auth::from(word)), None),
            Some(Either::Long(AuthWritten { sigv4 })) => {
                if let Some(place) = api_key_at {
                    reading.wrong(place, "`api_key` is not sent where `sigv4` signs");
                }
                (None, Some(sigv4.checked(reading)?))
            }
        };
        let vertex = self.vertex.map(|at| Vertex { project: at.project.0, location: at.location.0 });
        // What Vertex AI takes is a token, where the Gemini API takes a key.
        let auth = auth.or_else(|| (vertex.is_some() && signing.is_none()).then_some(Auth::Bearer));
        Some(Upstream {
            url: url?,
            api_key,
            auth,
            signing,
            ca,
            vertex,
            breaker,
            retries: self.retries.unwrap_or(1),
            timeouts: timeouts?,
        })
    }
}

impl SigningWritten {
    fn checked(self, reading: &mut Reading) -> Option<Signing> {
        let mut required = |key: Placed<String>| {
            let place = key.place;
            let is_empty = key.value.is_empty();
            if is_empty {
                reading.wrong(place, "`sigv4` needs an access key: its id and its secret");
            }
            credential(key, reading)
        };
        let (id, secret) = (required(self.access_key_id), required(self.secret_access_key));
        let session_token = self.session_token.and_then(|token| credential(token, reading));
        Some(Signing {
            region: self.region.value.0,
            service: self.service.map_or_else(|| "bedrock".to_owned(), |service| service.value.0),
            access_key_id: id?.expose().to_owned(),
            secret_access_key: secret?,
            session_token,
        })
    }
}

impl TimeoutsWritten {
    fn checked(&self, reading: &mut Reading) -> Option<Timeouts> {
        let connect = span(self.connect.as_ref(), 2, reading);
        let first_byte = span(self.first_byte.as_ref(), 60, reading);
        let idle = span(self.idle.as_ref(), 60, reading);
        let total = span(self.total.as_ref(), 600, reading);
        Some(Timeouts { connect: connect?, first_byte: first_byte?, idle: idle?, total: total? })
    }
}

impl From<AuthWord> for Auth {
    fn from(word: AuthWord) -> Self {
        match word {
            AuthWord::Bearer => Self::Bearer,
            AuthWord::XApiKey => Self::XApiKey,
            AuthWord::ApiKey => Self::ApiKey,
            AuthWord::XGoogApiKey => Self::XGoogApiKey,
        }
    }
}

/// An endpoint's URL. User and password, query and fragment are refused: they would be dropped or logged.
fn url(line: &Placed<Line>, reading: &mut Reading) -> Option<http::Uri> {
    let text = line.value.0.as_str();
    let uri: Option<http::Uri> = text.parse().ok();
    let message = match &uri {
        Some(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
            "the URL must begin with http:// or https://"
        }
        Some(uri) if uri.authority().is_some_and(|a| a.as_str().contains('@')) => {
            "the URL must not hold a user or password: put the credential into `api_key`"
        }
        Some(uri) if uri.host().is_none_or(str::is_empty) => "the URL has no host",
        Some(uri) if has_bad_port(uri) => "the URL's port is not one",
        Some(uri) if uri.query().is_some() || text.contains('#') => "the URL must have neither query nor fragment",
        Some(_) => return uri,
        None => "this is not a URL such as https://api.openai.com",
    };
    reading.wrong(line.place, message);
    None
}

fn has_bad_port(uri: &http::Uri) -> bool {
    let written =
        uri.authority().is_some_and(|a| a.as_str().trim_start_matches(uri.host().unwrap_or("")).contains(':'));
    written && uri.port_u16().is_none_or(|port| port == 0)
}

/// A credential that can stand in a header; an empty one is none.
fn credential(key: Placed<String>, reading: &mut Reading) -> Option<Secret> {
    if key.value.is_empty() {
        return None;
    }
    if !key.value.bytes().all(|b| b.is_ascii_graphic()) {
        reading.wrong(key.place, "the credential has blanks or characters that cannot stand in a header");
        return None;
    }
    Some(Secret::new(key.value))
}

impl AuditWritten {
    fn checked(self, reading: &mut Reading) -> Option<Audit> {
        let Self { durability, on_failure: None | Some(AuditFailure::Block), flood_threshold, queue, segment } = self;
        Some(Audit {
            durability: match durability {
                Some(DurabilityWord::Sync) => Durability::Sync,
                None | Some(DurabilityWord::Group) => Durability::Group,
                Some(DurabilityWord::Async) => Durability::Async,
            },
            flood_threshold: flood_threshold.unwrap_or(200),
            queue: usize::try_from(queue.unwrap_or(8192)).ok()?,
            segment_bytes: size(segment.as_ref(), 64 * MIB, (64 * KIB, 16 * GIB), reading)?,
        })
    }
}

impl IntakeWritten {
    fn checked(self, reading: &mut Reading) -> Option<Intake> {
        let limit = size(self.body_limit.as_ref(), 10 * MIB, (KIB, GIB), reading);
        let budget = size(self.body_budget.as_ref(), 256 * MIB, (KIB, 1024 * GIB), reading);
        let header_limit = size(self.header_limit.as_ref(), 64 * KIB, (8 * KIB, MIB), reading);
        let header_timeout = span(self.header_timeout.as_ref(), 10, reading);
        let body_timeout = span(self.body_timeout.as_ref(), 60, reading);
        let idle_timeout = span(self.idle_timeout.as_ref(), 75, reading);
        let (body_limit_bytes, body_budget_bytes) = (limit?, budget?);
        if body_budget_bytes < body_limit_bytes {
            let at =
                self.body_budget.as_ref().or(self.body_limit.as_ref()).map_or_else(Place::default, |size| size.place);
            reading.wrong(at, "`body_budget` must be at least `body_limit`, or no body of that size could pass");
        }
        Some(Intake {
            body_limit_bytes,
            body_budget_bytes,
            header_limit_bytes: header_limit?,
            connections: usize::try_from(self.connections.unwrap_or(10_000)).ok()?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            idle_timeout: idle_timeout?,
        })
    }
}
