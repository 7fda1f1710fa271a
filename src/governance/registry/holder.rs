//! The registry: holds the active snapshot and swaps it when the files changed and are good.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::assemble::{Stamp, Terms, assemble};
use super::counter::Counter;
use super::files;
use super::snapshot::Snapshot;
use crate::config::bootstrap::Durability;
use crate::config::fault::{Fault, Faults};
use crate::id::{Digest, Revision, UpstreamId};

/// Where the registry comes from and what it must agree with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The policy directory.
    pub policies: PathBuf,
    /// The state directory, for the revision counter.
    pub state: PathBuf,
    /// The upstreams of the bootstrap config.
    pub upstreams: BTreeSet<UpstreamId>,
    /// The audit log's durability.
    pub durability: Durability,
}

/// Makes ready what a snapshot needs before anyone sees it (limiters of new tenants).
pub type Prepare = Box<dyn Fn(&Snapshot) + Send + Sync>;

/// Holds the active snapshot and what is known of a rejected one. Cheap to ask, swapped whole.
pub struct Registry {
    active: ArcSwap<Snapshot>,
    policies: PathBuf,
    terms: Terms,
    prepare: Prepare,
    /// Held for a whole reload, so that two cannot cross.
    counter: Mutex<Counter>,
    troubles: Mutex<Troubles>,
}

#[derive(Debug, Default)]
struct Troubles {
    rejected: Option<Rejection>,
    failures: u64,
}

impl Troubles {
    /// The standing rejection, when it is of exactly these contents: they need no second look.
    fn of(&self, digest: Digest) -> Option<Rejection> {
        self.rejected.as_ref().filter(|rejection| rejection.digest == Some(digest)).cloned()
    }
}

/// A state of the files that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// When.
    pub at: DateTime<Utc>,
    /// The digest of the files; `None` when it is not their contents that are bad (they could not be read, or the
    /// revision could not be stored), so that the same files may do next time.
    pub digest: Option<Digest>,
    /// Why.
    pub faults: Arc<Faults>,
}

/// Where the registry stands, for `/status` and `/readyz`.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The active revision.
    pub revision: Revision,
    /// The active digest.
    pub digest: Digest,
    /// When the active files were read.
    pub loaded_at: DateTime<Utc>,
    /// What was refused since, while it still stands.
    pub rejected: Option<Rejection>,
    /// Reloads that were refused since the start.
    pub reload_failures: u64,
}

/// What a reload came to.
#[derive(Debug, Clone)]
pub enum Reload {
    /// The files say what is active already.
    Unchanged,
    /// The same, and what had been refused is gone.
    Recovered,
    /// The files are in force.
    Activated {
        /// The new revision.
        revision: Revision,
        /// The new digest.
        digest: Digest,
        /// The revision before.
        previous: Revision,
    },
    /// The files are bad; what was active still is.
    Rejected(Rejection),
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = self.active.load();
        f.debug_struct("Registry")
            .field("policies", &self.policies)
            .field("revision", &active.revision())
            .field("digest", &active.digest())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads and checks the policy files and makes them active.
    ///
    /// # Errors
    /// Everything that is wrong with them, or that the revision counter cannot be read or written.
    pub fn open(settings: Settings, prepare: Prepare, now: DateTime<Utc>) -> Result<Self, Faults> {
        let Settings { policies, state, upstreams, durability } = settings;
        let terms = Terms { upstreams, durability };
        let files = files::settled(&policies).map_err(|fault| Faults::from(*fault))?;
        let mut counter = Counter::open(&state).map_err(|error| cannot_count(&state, &error))?;
        let digest = files.digest();
        let stamp = Stamp { revision: counter.revision_for(digest), digest, loaded_at: now };
        let snapshot = assemble(&policies, files, &terms, stamp)?;
        prepare(&snapshot);
        counter.store(digest).map_err(|error| cannot_count(&state, &error))?;
        Ok(Self {
            active: ArcSwap::from_pointee(snapshot),
            policies,
            terms,
            prepare,
            counter: Mutex::new(counter),
            troubles: Mutex::new(Troubles::default()),
        })
    }

    /// Reads and checks the policy files and activates nothing: what `validate` does. The snapshot has revision 0.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn inspect(settings: &Settings, now: DateTime<Utc>) -> Result<Snapshot, Faults> {
        let terms = Terms { upstreams: settings.upstreams.clone(), durability: settings.durability };
        let files = files::settled(&settings.policies).map_err(|fault| Faults::from(*fault))?;
        let stamp = Stamp { revision: Revision(0), digest: files.digest(), loaded_at: now };
        assemble(&settings.policies, files, &terms, stamp)
    }

    /// The active snapshot, to keep for a whole request.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.active.load_full()
    }

    /// The policy directory.
    #[must_use]
    pub fn policies(&self) -> &Path {
        &self.policies
    }

    /// Reads the files again; when they changed and are good, they are in force when this returns. All or nothing.
    /// Blocks for as long as reading and checking takes; others wait their turn.
    pub fn reload(&self, now: DateTime<Utc>) -> Reload {
        let mut counter = self.counter.lock();
        let files = match files::settled(&self.policies) {
            Ok(files) => files,
            Err(fault) => return self.reject(None, Faults::from(*fault), now),
        };
        let digest = files.digest();
        let active = self.active.load_full();
        if digest == active.digest() && files.faults.is_empty() {
            let before = self.troubles.lock().rejected.take();
            return if before.is_some() { Reload::Recovered } else { Reload::Unchanged };
        }
        let readable = files.faults.is_empty();
        if readable && let Some(rejection) = self.troubles.lock().of(digest) {
            return Reload::Rejected(rejection);
        }
        let stamp = Stamp { revision: counter.revision_for(digest), digest, loaded_at: now };
        let snapshot = match assemble(&self.policies, files, &self.terms, stamp) {
            Ok(snapshot) => snapshot,
            Err(faults) => return self.reject(readable.then_some(digest), faults, now),
        };
        (self.prepare)(&snapshot);
        if let Err(error) = counter.store(digest) {
            return self.reject(None, cannot_count(counter.state(), &error), now);
        }
        self.active.store(Arc::new(snapshot));
        self.troubles.lock().rejected = None;
        Reload::Activated { revision: stamp.revision, digest, previous: active.revision() }
    }

    fn reject(&self, digest: Option<Digest>, faults: Faults, now: DateTime<Utc>) -> Reload {
        let rejection = Rejection { at: now, digest, faults: Arc::new(faults) };
        let mut troubles = self.troubles.lock();
        troubles.rejected = Some(rejection.clone());
        troubles.failures += 1;
        Reload::Rejected(rejection)
    }

    /// Where the registry stands. Never waits for a reload.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let active = self.active.load();
        let troubles = self.troubles.lock();
        Standing {
            revision: active.revision(),
            digest: active.digest(),
            loaded_at: active.loaded_at(),
            rejected: troubles.rejected.clone(),
            reload_failures: troubles.failures,
        }
    }
}

fn cannot_count(at: &Path, error: &std::io::Error) -> Faults {
    let message = format!("the revision counter cannot be read or written: {error}");
    let help = "make the state directory writable for this user, or name another in `state`";
    Fault::of_file(at.display().to_string(), message).help(help).into()
}
