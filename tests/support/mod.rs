//! What integration tests share: a gate over real sockets in this process, a simulated LLM behind it, a policy
//! directory of its own, and a plain HTTP client.
//!
//! Not every test file uses all of it.
#![expect(dead_code, unreachable_pub, reason = "each test crate uses its own part of the support")]

pub mod process;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis::app::{App, StartFault};
use portcullis::clock::SystemClock;
use portcullis::config::bootstrap::Config;
use portcullis::id::Digest;
use portcullis::simulator::Simulator;
use serde_json::Value;
use tempfile::TempDir;

pub const ACME: &str = "pcl_k1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub const GLOBEX: &str = "pcl_k2_fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
pub const UPSTREAM_KEY: &str = "sk-upstream-credential";
pub const CHAT: &str = "/v1/chat/completions";

/// Longest that a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A gate, its upstream, and its files.
pub struct Site {
    pub dir: TempDir,
    pub app: App,
    pub simulator: Simulator,
    http: Http,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The gate's reason code, or nothing.
    pub fn reason(&self) -> &str {
        self.header("x-portcullis-reason")
    }
}

impl Site {
    /// A gate over the acceptance policies.
    pub async fn open() -> Self {
        Self::with(|_| ()).await
    }

    /// The same, after `change` had its way with the directory (`portcullis.yaml` and `policies/`).
    pub async fn with(change: impl FnOnce(&Path)) -> Self {
        let simulator = Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap().expecting_key(UPSTREAM_KEY);
        let dir = policy_directory(&simulator.url());
        change(dir.path());
        let app = start(dir.path()).await;
        Self { dir, app, simulator, http: Http::default() }
    }

    /// Asks the data plane.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let base = self.app.listen();
        self.http.send(&format!("http://{base}{path}"), method, headers, body.into()).await
    }

    /// A chat completion as acme.
    pub async fn chat(&self, body: &Value) -> Answer {
        self.post(ACME, CHAT, body).await
    }

    /// A JSON POST with a gate key.
    pub async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.ask(Method::POST, path, &headers, body.to_string()).await
    }

    /// Asks the admin plane.
    pub async fn admin(&self, path: &str) -> Answer {
        self.http.send(&format!("http://{}{path}", self.app.admin()), Method::GET, &[], Bytes::new()).await
    }

    /// A sample of the admin plane's metrics.
    pub async fn metric(&self, line_start: &str) -> Option<f64> {
        let text = String::from_utf8(self.admin("/metrics").await.body.to_vec()).unwrap();
        text.lines().find(|line| line.starts_with(line_start))?.rsplit(' ').next()?.parse().ok()
    }

    pub fn policies(&self) -> PathBuf {
        self.dir.path().join("policies")
    }

    pub fn audit_dir(&self) -> PathBuf {
        self.dir.path().join("var/audit")
    }

    /// Ends the gate and reads what it wrote.
    pub async fn close(self) -> (TempDir, Vec<Value>) {
        self.app.shutdown().await;
        let records = records(&self.dir.path().join("var/audit"));
        (self.dir, records)
    }

    /// All records so far.
    pub fn records(&self) -> Vec<Value> {
        records(&self.audit_dir())
    }
}

/// Starts a gate from a directory with `portcullis.yaml`, on free ports.
pub async fn start(dir: &Path) -> App {
    try_start(dir).await.unwrap()
}

/// The same, where it may not start.
pub async fn try_start(dir: &Path) -> Result<App, StartFault> {
    let text = |name: &str| match name {
        "DIR" => Some(dir.display().to_string()),
        "PORT" | "ADMIN_PORT" => Some("0".to_owned()),
        _ => None,
    };
    let config = Config::load(&dir.join("portcullis.yaml"), &text, std::iter::empty())
        .unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    App::start(config, Digest::of(b"test"), Arc::new(SystemClock::new())).await
}

/// A directory with the acceptance set, its upstream at `upstream`.
pub fn policy_directory(upstream: &str) -> TempDir {
    let dir = acceptance_directory();
    let file = dir.path().join("portcullis.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("http://127.0.0.1:${UPSTREAM_PORT}", upstream)).unwrap();
    dir
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The acceptance set in a directory of its own, not a byte of it changed.
pub fn acceptance_directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/acceptance"), dir.path());
    dir
}

/// Puts a file in its place at once, so that nobody sees half of it.
pub fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let draft = tempfile::NamedTempFile::new_in(path.parent().unwrap().parent().unwrap()).unwrap();
    std::fs::write(draft.path(), bytes).unwrap();
    draft.persist(path).unwrap();
}

/// Rewrites a file with one text in place of another, at once. The text must be there.
pub fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "`{from}` is not in {}", path.display());
    put(path, text.replace(from, to));
}

/// Every record of an audit directory, in order.
pub fn records(audit: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(audit.join("segments")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until `condition` answers something; looks again whenever the runtime has nothing better to do.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        let mut pause = tokio::time::interval(Duration::from_millis(5));
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            pause.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// Whether a record is of this CloudEvents type.
pub fn is(record: &Value, kind: &str) -> bool {
    record["type"] == format!("portcullis.{kind}.v1")
}

/// A chat body for a model with one user message.
pub fn chat_body(model: &str, text: &str) -> Value {
    serde_json::json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// A plain HTTP client with a pool.
pub struct Http(Client<HttpConnector, Full<Bytes>>);

impl Default for Http {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build(HttpConnector::new()))
    }
}

impl Http {
    /// Asks and reads the answer whole.
    pub async fn send(&self, url: &str, method: Method, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.0.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Answer { status: head.status, headers: head.headers, body }
    }
}
