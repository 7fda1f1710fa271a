//! The checked bootstrap config (`config/portcullis.yaml`): what is read once, at start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::id::UpstreamId;
use crate::secret::Secret;

/// Everything the process needs to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data plane.
    pub listen: Listen,
    /// The admin plane.
    pub admin: SocketAddr,
    /// Where this instance keeps its state.
    pub state: PathBuf,
    /// The policy directory.
    pub policies: PathBuf,
    /// The model endpoints.
    pub upstreams: BTreeMap<UpstreamId, Upstream>,
    /// The audit log.
    pub audit: Audit,
    /// Bounds of the data plane.
    pub limits: Intake,
    /// Worker threads of the data plane; `None` = one per core, at most four.
    pub workers: Option<usize>,
    /// How long a drain may take before what is left is cut.
    pub drain: Duration,
}

/// Where the data plane listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address.
    pub address: Address,
    /// TLS, when configured.
    pub tls: Option<Tls>,
}

/// A TCP address or the path of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// Unix socket.
    Unix(PathBuf),
}

/// Certificate files; read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// CA of client certificates, PEM; present = clients must show one.
    pub client_ca: Option<PathBuf>,
}

/// One model endpoint.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// `http` or `https`, host, port; a path prefix is kept.
    pub url: http::Uri,
    /// The upstream credential.
    pub api_key: Option<Secret>,
    /// Where the credential goes; `None` = as the dialect of the call does.
    pub auth: Option<Auth>,
    /// Signs requests with AWS Signature Version 4 instead.
    pub signing: Option<Signing>,
    /// A CA file instead of the platform's roots.
    pub ca: Option<PathBuf>,
    /// The one place of Vertex AI that it serves.
    pub vertex: Option<Vertex>,
    /// When it is given a rest.
    pub breaker: Breaker,
    /// How often a call is tried again where no request byte was sent.
    pub retries: u32,
    /// Its time limits.
    pub timeouts: Timeouts,
}

/// A place of Vertex AI: what stands in its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// The project, by name or number.
    pub project: String,
    /// The location, such as `europe-west4` or `global`.
    pub location: String,
}

/// How the upstream credential is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`.
    XApiKey,
    /// `api-key`.
    ApiKey,
    /// `x-goog-api-key`.
    XGoogApiKey,
}

/// What AWS Signature Version 4 needs.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The region in the credential's scope.
    pub region: String,
    /// The service there.
    pub service: String,
    /// The access key's public part.
    pub access_key_id: String,
    /// Its secret part.
    pub secret_access_key: Secret,
    /// What temporary credentials have besides.
    pub session_token: Option<Secret>,
}

/// When an upstream is given a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before one probe is let through.
    pub open_for: Duration,
}

/// An upstream's time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From the request sent to the response head.
    pub first_byte: Duration,
    /// Between two chunks of a response.
    pub idle: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

/// The audit log's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// When a record counts as written.
    pub durability: Durability,
    /// Records a second per peer or tenant beyond which 401s and 429s are coalesced.
    pub flood_threshold: u32,
    /// Records that may wait for the writer.
    pub queue: usize,
    /// Size at which a segment is closed, in bytes.
    pub segment_bytes: u64,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// One `fdatasync` a record.
    Sync,
    /// One `fdatasync` for all that queued.
    Group,
    /// Once queued. For development: a crash loses what the disk has not got.
    Async,
}

/// Bounds of what the data plane takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intake {
    /// One body, in bytes.
    pub body_limit_bytes: u64,
    /// All bodies in flight, in bytes.
    pub body_budget_bytes: u64,
    /// One request head, in bytes.
    pub header_limit_bytes: u64,
    /// Connections at once.
    pub connections: usize,
    /// To send a request head, from the first byte on.
    pub header_timeout: Duration,
    /// To send a whole body.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
}
