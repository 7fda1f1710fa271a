//! The composition root: builds every part once, keeps them current, takes them down in order.
//!
//! Start is all or nothing: whatever cannot be opened is one clear fault, and nothing was served before it. The order
//! of the end is the reverse of need: stop accepting, finish what is open, cut what is left, close the audit log last.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Audit, GovernanceAct, Log, OpenFault};
use crate::breaker::Breakers;
use crate::clock::{Clock, SharedClock};
use crate::config::bootstrap::{Address, Config};
use crate::config::fault::Faults;
use crate::edge::{Admin, BadTls, BadUpstream, Bound, Certificates, Drain, Gate, Upstreams, serve, serve_admin};
use crate::governance::registry::{Reload, Settings, Watcher};
use crate::governance::{Places, Registry, Snapshot};
use crate::id::Digest;
use crate::pipeline::{Pipeline, Stages};
use crate::quota::Quota;
use crate::risk::{NotCompiled, Scanner};
use crate::telemetry::Metrics;

/// How often what has no event of its own is looked after: certificates, suppressed floods.
const TICK: Duration = Duration::from_secs(1);

/// A running gate.
#[derive(Debug)]
pub struct App {
    gate: Arc<Gate>,
    watcher: Watcher,
    drain: Drain,
    /// Ends the admin plane and the ticker, after the data plane.
    last: CancellationToken,
    background: TaskTracker,
    grace: Duration,
    listen: String,
    admin: SocketAddr,
    /// Held until all else is closed.
    _state: State,
}

/// Why the gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The policy files have faults.
    #[error("the policy files cannot be used; mend them and start again (`portcullis validate` shows the same)")]
    Policies(Faults),
    /// A socket cannot be bound.
    #[error("cannot listen on {address} (`{key}`): {why}")]
    Listen {
        /// Which key of the config.
        key: &'static str,
        /// Which address.
        address: String,
        /// What the system says, and what to do.
        why: String,
    },
    /// The state directory cannot be used.
    #[error("cannot use the state directory `{}`: {why}; make it writable for this user or name another in `state`", path.display())]
    State {
        /// Which directory.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// Another gate has the state directory.
    #[error("the state directory `{}` is in use by another gate; stop that one, or give this one a `state` of its own", .0.display())]
    StateTaken(PathBuf),
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] OpenFault),
    /// The data plane's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] BadTls),
    /// An upstream cannot be set up.
    #[error(transparent)]
    Upstream(#[from] BadUpstream),
    /// The detectors cannot be compiled: a defect.
    #[error(transparent)]
    Scanner(#[from] NotCompiled),
    /// The registry cannot be watched.
    #[error("the policy directory cannot be watched")]
    Watch(#[source] std::io::Error),
    /// The system gives no randomness.
    #[error("the system gives no random bytes")]
    Randomness(#[source] std::io::Error),
    /// A metric family is defined twice: a defect.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
}

impl App {
    /// Opens everything, then serves. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartFault`]; nothing was served then, and no socket stays bound.
    pub async fn start(config: Config, config_digest: Digest, clock: SharedClock) -> Result<Self, StartFault> {
        // A second call in one process (tests, the demo) finds the provider installed, which is what is wanted.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let metrics = Arc::new(Metrics::new()?);
        let certificates = config.listen.tls.as_ref().map(Certificates::load).transpose()?.map(Arc::new);
        let upstreams = Upstreams::open(&config.upstreams, Arc::clone(&clock))?;
        let state = take_state(&config.state)?;
        let quota = Arc::new(Quota::new(Arc::clone(&clock)));
        let registry = Arc::new(open_registry(&config, &quota, &metrics, &*clock)?);
        let bound = Bound::bind(&config.listen.address)
            .await
            .map_err(|why| listen_fault("listen", &config.listen.address, &why))?;
        let admin_listener = TcpListener::bind(config.admin)
            .await
            .map_err(|why| listen_fault("admin", &Address::Tcp(config.admin), &why))?;
        let admin = admin_listener.local_addr().unwrap_or(config.admin);
        let scanner = Scanner::new()?;
        let audit = open_audit(&config, &clock, &metrics)?;
        let breakers = config.upstreams.iter().map(|(name, upstream)| (name.clone(), upstream.breaker));
        let pipeline = Pipeline {
            clock: Arc::clone(&clock),
            registry: Arc::clone(&registry),
            stages: Stages {
                places: Places::of(&config.upstreams),
                quota,
                scanner,
                breakers: Breakers::new(Arc::clone(&clock), breakers),
            },
        };
        let drain = Drain::default();
        let gate = Arc::new(Gate::new(pipeline, audit, upstreams, metrics, config.limits, drain.tasks.clone()));
        let (background, last) = (TaskTracker::new(), CancellationToken::new());
        let watcher = match watch(&gate, &registry, &clock, &background) {
            Ok(watcher) => watcher,
            Err(why) => {
                // Its thread would write on behind the next start's back.
                let _already_failed = gate.audit.close().await;
                return Err(StartFault::Watch(why));
            }
        };
        let listen = bound.address();
        gate.record_start(&listen).await;
        background.spawn(tick(Arc::clone(&gate), certificates.clone(), last.clone()));
        let shown = Admin {
            gate: Arc::clone(&gate),
            draining: drain.stop.clone(),
            listen: listen.clone(),
            config_digest: config_digest.to_string(),
        };
        background.spawn(admin_plane(admin_listener, shown, last.clone()));
        drain.tasks.spawn(serve(bound, Arc::clone(&gate), certificates, drain.clone()));
        tracing::info!(%listen, %admin, revision = %registry.current().revision(), "the gate is open");
        Ok(Self { gate, watcher, drain, last, background, grace: config.drain, listen, admin, _state: state })
    }

    /// Where the data plane listens: `host:port` or `unix:path`.
    #[must_use]
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Where the admin plane listens.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Looks at the policy files now instead of when the watcher would.
    pub fn reload(&self) {
        self.watcher.poke();
    }

    /// Stops accepting, finishes what is open within the grace, cuts what is left, closes the audit log.
    pub async fn shutdown(self) {
        tracing::info!("draining");
        self.drain.stop.cancel();
        self.drain.tasks.close();
        if tokio::time::timeout(self.grace, self.drain.tasks.wait()).await.is_err() {
            tracing::warn!(grace = ?self.grace, "the drain's time is over; what is still open is cut");
            self.drain.cut.cancel();
            // Cutting drops the connections; their calls settle at once, so this wait is short.
            drop(tokio::time::timeout(TICK, self.drain.tasks.wait()).await);
        }
        drop(self.watcher);
        self.last.cancel();
        self.background.close();
        drop(tokio::time::timeout(TICK * 2, self.background.wait()).await);
        drop(self.gate.audit.flush_floods().await);
        if self.gate.audit.close().await.is_err() {
            tracing::error!("the audit log had failed before it was closed");
        }
        tracing::info!("the gate is closed");
    }
}

/// The state directory, taken for as long as this lives.
#[derive(Debug)]
struct State(File);

impl Drop for State {
    fn drop(&mut self) {
        // A child process that is just being made has a copy of every file until it runs its own program, so closing
        // this one would not let the lock go at once.
        let _closed_anyway = self.0.unlock();
    }
}

/// Makes the state directory and takes it for this process alone: two gates would count revisions and write records
/// over each other.
fn take_state(path: &Path) -> Result<State, StartFault> {
    let unusable = |why| StartFault::State { path: path.to_owned(), why };
    std::fs::create_dir_all(path).map_err(unusable)?;
    let lock = File::create(path.join("lock")).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(State(lock)),
        Err(TryLockError::WouldBlock) => Err(StartFault::StateTaken(path.to_owned())),
        Err(TryLockError::Error(why)) => Err(unusable(why)),
    }
}

fn listen_fault(key: &'static str, address: &Address, why: &std::io::Error) -> StartFault {
    let address = match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    let advice = [
        (ErrorKind::AddrInUse, "; another process listens there: stop it or choose another address"),
        (ErrorKind::PermissionDenied, "; this user may not use it: choose a port above 1023 or another path"),
        (ErrorKind::AddrNotAvailable, "; this machine does not have that address"),
    ];
    let advice = advice.into_iter().find(|(kind, _)| *kind == why.kind()).map_or("", |(_, advice)| advice);
    StartFault::Listen { key, address, why: format!("{why}{advice}") }
}

fn open_registry(
    config: &Config,
    quota: &Arc<Quota>,
    metrics: &Arc<Metrics>,
    clock: &dyn Clock,
) -> Result<Registry, StartFault> {
    let (quota, metrics) = (Arc::clone(quota), Arc::clone(metrics));
    // Limiters know a tenant before anybody can be judged under the snapshot that names it.
    let prepare = move |snapshot: &Snapshot| {
        quota.apply(snapshot.tenants().map(|tenant| (&tenant.file.tenant, &tenant.limits)));
        metrics.registry_revision.set(i64::try_from(snapshot.revision().0).unwrap_or(i64::MAX));
        metrics.show_models(
            snapshot.models().iter().map(|model| (model.file.risk_level.as_str(), model.file.status.as_str())),
        );
    };
    Registry::open(settings_of(config), Box::new(prepare), clock.utc()).map_err(StartFault::Policies)
}

fn watch(
    gate: &Arc<Gate>,
    registry: &Arc<Registry>,
    clock: &SharedClock,
    background: &TaskTracker,
) -> std::io::Result<Watcher> {
    let (gate, background, runtime) = (Arc::clone(gate), background.clone(), Handle::current());
    Watcher::start(Arc::clone(registry), Arc::clone(clock), move |reload: &Reload| {
        let Some(act) = told(reload, &gate.metrics) else { return };
        let gate = Arc::clone(&gate);
        background.spawn_on(async move { gate.record_act(act).await }, &runtime);
    })
}

/// What the registry is opened with; also for commands that only look.
#[must_use]
pub fn settings_of(config: &Config) -> Settings {
    Settings {
        policies: config.policies.clone(),
        state: config.state.clone(),
        upstreams: config.upstreams.keys().cloned().collect(),
        durability: config.audit.durability,
    }
}

fn open_audit(config: &Config, clock: &SharedClock, metrics: &Arc<Metrics>) -> Result<Arc<Audit>, StartFault> {
    let (log, opened) = Log::open(&config.state.join("audit"), config.audit, Arc::clone(clock))?;
    for torn in &opened.torn {
        tracing::warn!(?torn, "the audit log had a torn tail; it was set aside and recorded");
    }
    Audit::new(log, config.audit, Arc::clone(clock), Arc::clone(metrics)).map_err(StartFault::Randomness)
}

/// Logs and counts a reload; answers what the audit log should say of it.
fn told(reload: &Reload, metrics: &Metrics) -> Option<GovernanceAct> {
    match reload {
        Reload::Unchanged => None,
        Reload::Recovered => {
            tracing::info!("the policy files are as they were; what had faults is gone");
            None
        }
        Reload::Activated { revision, digest, previous } => {
            tracing::info!(%revision, %digest, "a new registry snapshot is active");
            Some(GovernanceAct {
                action: "REGISTRY_ACTIVATED",
                subject: "registry".to_owned(),
                data: json!({"revision": revision, "digest": digest, "previous": previous}),
            })
        }
        Reload::Rejected(rejection) => {
            let faults = &rejection.faults;
            let digest = rejection.digest.map(|digest| digest.to_string());
            let first = faults.iter().next().map(ToString::to_string);
            metrics.registry_reload_failures.inc();
            tracing::error!(
                digest,
                faults = faults.iter().count(),
                first,
                "the new policy files have faults; the old snapshot stays active"
            );
            Some(GovernanceAct {
                action: "REGISTRY_REJECTED",
                subject: "registry".to_owned(),
                data: json!({"digest": digest, "faults": faults.iter().count()}),
            })
        }
    }
}

async fn admin_plane(listener: TcpListener, admin: Admin, stop: CancellationToken) {
    if let Err(fault) = serve_admin(listener, admin, stop).await {
        tracing::error!(%fault, "the admin plane stopped");
    }
}

/// Once a second until the end.
async fn tick(gate: Arc<Gate>, certificates: Option<Arc<Certificates>>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut bad_certificate = None;
    loop {
        tokio::select! { biased; () = stop.cancelled() => return, _ = ticks.tick() => {} }
        gate.upstreams.sweep();
        if gate.audit.flush_floods().await.is_err() {
            tracing::error!("counted refusals could not be recorded; they are kept until the audit log can take them");
        }
        match certificates.as_deref().map(Certificates::reload) {
            Some(Ok(new)) => {
                bad_certificate = None;
                if new {
                    tracing::info!("a new certificate is in force");
                }
            }
            Some(Err(fault)) => {
                // Said once, not every second.
                let fault = fault.to_string();
                if bad_certificate.as_ref() != Some(&fault) {
                    tracing::error!(%fault, "the new certificate cannot be used; the old one stays in force");
                    bad_certificate = Some(fault);
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{StartFault, take_state};

    #[test]
    fn the_state_directory_is_free_once_it_is_let_go_whoever_has_a_copy_of_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let state = take_state(dir.path()).unwrap();
        assert!(matches!(take_state(dir.path()), Err(StartFault::StateTaken(_))));
        let copy = state.0.try_clone().unwrap();
        drop(state);
        assert!(take_state(dir.path()).is_ok());
        drop(copy);
    }
}
