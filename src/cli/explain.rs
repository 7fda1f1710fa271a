//! `portcullis explain`: what the gate would decide about a request, by the same stages, without sending it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::screen::{coloured, complain, printed, say, unusable};
use super::{ConfigFile, End};
use crate::app::settings_of;
use crate::arrival::Arrival;
use crate::audit::Decision;
use crate::breaker::Breakers;
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::config::bootstrap::Config;
use crate::docket::{Docket, Refuses, Role};
use crate::governance::{Places, Registry, Snapshot};
use crate::id::{Digest, KeyId, TenantId};
use crate::identity::{self, KeyRecord, Keyring};
use crate::pipeline::{Stages, place};
use crate::quota::Quota;
use crate::reason::Reason;
use crate::risk::Scanner;
use crate::route::{ROUTES, Route};
use crate::speech::{Dialect, Operation};
use crate::verdict::Refusal;

/// Largest request that is explained, in bytes.
const LARGEST_REQUEST: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    config: ConfigFile,
    /// Whose call it would be
    #[arg(long)]
    tenant: String,
    /// The request's JSON body
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The path it would be sent to
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// A header of the request, such as `x-portcullis-prompt: support-triage@1` (may be repeated)
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = head_field)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

fn head_field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `name: value`")?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| "that is not a header name")?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| "that is not a header value")?;
    Ok((name, value))
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
enum Inexplicable {
    #[error("there is no tenant `{0}` in the policies")]
    NoTenant(String),
    #[error("cannot read `{}`", path.display())]
    Request {
        path: PathBuf,
        #[source]
        why: std::io::Error,
    },
    #[error("`{0}` is an endpoint that the gate answers itself: only calls to a model are explained")]
    NotACall(String),
    #[error("the system gives no random bytes")]
    NoRandomness,
    #[error(transparent)]
    Scanner(#[from] crate::risk::NotCompiled),
}

impl Explain {
    pub(super) fn run(&self) -> End {
        let (config, _) = match super::run::load(&self.config.config) {
            Ok(loaded) => loaded,
            Err(end) => return end,
        };
        let clock: SharedClock = Arc::new(SystemClock::new());
        let snapshot = match Registry::inspect(&settings_of(&config), clock.utc()) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(faults) => {
                complain(faults.render(coloured()));
                return End::Unusable;
            }
        };
        match self.decision(&config, &snapshot, &clock) {
            Ok((answer, end)) => match printed(say(format_args!("{answer:#}"))) {
                End::Fine => end,
                broken @ (End::No | End::Unusable) => broken,
            },
            Err(fault) => unusable(&fault),
        }
    }

    fn decision(
        &self,
        config: &Config,
        snapshot: &Arc<Snapshot>,
        clock: &SharedClock,
    ) -> Result<(Value, End), Inexplicable> {
        let tenant = TenantId::parse(&self.tenant)
            .ok()
            .filter(|tenant| snapshot.tenant(tenant).is_some())
            .ok_or_else(|| Inexplicable::NoTenant(self.tenant.clone()))?;
        if self.path == "/health" || ROUTES.iter().any(|route| route.path == self.path && is_own(route)) {
            return Err(Inexplicable::NotACall(self.path.clone()));
        }
        let body = read(&self.request)?;
        let quota = Arc::new(Quota::new(Arc::clone(clock)));
        quota.apply(snapshot.tenants().map(|tenant| (&tenant.file.tenant, &tenant.limits)));
        let breakers = config.upstreams.iter().map(|(name, upstream)| (name.clone(), upstream.breaker));
        let stages = Stages {
            places: Places::of(&config.upstreams),
            quota,
            scanner: Scanner::new()?,
            breakers: Breakers::new(Arc::clone(clock), breakers),
        };
        let (arrival, keyring) = self.arrive(&tenant, &**clock)?;
        let judged = identity::authenticate(&keyring, arrival, clock.utc())
            .map_err(|stopped| stopped.map(Refusal::from))
            .and_then(|mut caller| {
                place(caller.docket_mut(), snapshot);
                caller.docket_mut().bytes_in = body.len() as u64;
                match stages.quota.enter(&tenant) {
                    Ok(slot) => stages.verdict(caller, slot, snapshot, body),
                    Err(why) => Err(crate::docket::Stopped::new(caller.into_docket(), why.into())),
                }
            });
        Ok(match judged {
            Ok(passage) => (described(passage.docket(), None), End::Fine),
            Err(stopped) => (described(&stopped.docket, Some(stopped.why.reason())), End::No),
        })
    }

    /// The request with a key that is good for this one explanation, and the keyring that knows it.
    fn arrive(&self, tenant: &TenantId, clock: &dyn Clock) -> Result<(Arrival, Keyring), Inexplicable> {
        let mut secret = [0; 32];
        rand::fill(&mut secret).map_err(|_| Inexplicable::NoRandomness)?;
        let key = format!("pcl_explain_{}", hex::encode(secret));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers.iter().cloned().collect::<HashMap<_, _>>());
        if let Ok(value) = HeaderValue::from_str(&key) {
            headers.insert(HeaderName::from_static("x-api-key"), value);
        }
        let mut keyring = Keyring::default();
        if let Ok(id) = KeyId::parse("explain") {
            let _replaced = keyring.add(KeyRecord {
                tenant: tenant.clone(),
                id,
                hash: Digest::of(key.as_bytes()),
                roles: Arc::from([Role::Client]),
                expires: None,
                disabled: false,
            });
        }
        Ok((Arrival::receive(Method::POST, &self.path, None, headers, clock), keyring))
    }
}

/// Whether the gate answers these itself.
fn is_own(route: &Route) -> bool {
    route.dialect == Dialect::Own || route.operation == Operation::Models
}

fn read(path: &Path) -> Result<Bytes, Inexplicable> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST_REQUEST), &mut bytes))
        .map_err(|why| Inexplicable::Request { path: path.to_owned(), why })?;
    Ok(bytes.into())
}

fn described(docket: &Docket, refused: Option<Reason>) -> Value {
    json!({
        "decision": refused.map_or(Decision::Allow, Decision::of).as_str(),
        "reason": refused.map(|reason| json!({
            "code": reason.code(), "failure_class": reason.class(), "message": reason.message(), "fault": docket.fault,
        })),
        "status": refused.map(|reason| crate::edge::reply::status(reason).as_u16()),
        "checks": docket.checks,
        "tenant": docket.tenant,
        "organization": docket.organization,
        "environment": docket.environment,
        "resource": docket.resource,
        "prompt": docket.prompt,
        "rules": docket.rules,
        "risk": docket.risk,
        "facts": docket.facts,
        "registry": docket.registry.map(|(_, digest)| json!({"digest": digest})),
        "llm": {
            "dialect": docket.dialect, "operation": docket.operation, "upstream": docket.upstream,
            "stream": docket.stream, "max_tokens": docket.max_tokens, "reserved_tokens": docket.reserved_tokens,
        },
    })
}
