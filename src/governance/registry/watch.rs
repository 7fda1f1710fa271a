//! Notices that policy files changed and has the registry read them again.
//!
//! One thread of its own, on which everything blocks that may. It is told by inotify and, because that can fail or
//! miss (network mounts, exhausted watches), it also compares what the file system says every half second. Either way
//! the registry's own comparison of contents decides whether anything is new.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::{Condvar, Mutex};

use super::files::{Listing, folders};
use super::holder::{Registry, Rejection, Reload};
use crate::clock::SharedClock;

/// How often the file system is asked without being told to.
const POLL: Duration = Duration::from_millis(500);

/// A slice of the debounce: two quiet ones in a row end it.
const SLICE: Duration = Duration::from_millis(50);

/// Most slices of one debounce: 300 ms.
const MOST_SLICES: usize = 6;

/// Watches the policy directory for as long as it lives; dropping it ends the thread.
#[derive(Debug)]
pub struct Watcher {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

/// How the thread is woken: flags instead of a queue, so there is nothing to overflow.
#[derive(Debug, Default)]
struct Bell {
    calls: Mutex<Calls>,
    rung: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct Calls {
    /// Something moved in the directory.
    stirred: bool,
    /// Somebody asks for a reload.
    poked: bool,
    /// The watcher is dropped.
    stopped: bool,
}

impl Bell {
    fn ring(&self, call: impl FnOnce(&mut Calls)) {
        call(&mut self.calls.lock());
        self.rung.notify_one();
    }

    /// Waits for a call, at most `for_at_most`, and takes what was called; a stop stays called.
    fn wait(&self, for_at_most: Duration, wakes: impl Fn(&Calls) -> bool) -> Calls {
        let mut calls = self.calls.lock();
        if !wakes(&calls) {
            let _timed_out = self.rung.wait_while_for(&mut calls, |calls| !wakes(calls), for_at_most);
        }
        let taken = *calls;
        *calls = Calls { stopped: calls.stopped, ..Calls::default() };
        taken
    }
}

impl Watcher {
    /// Starts watching. `on` is told of every reload that came to something new, and of every one that was asked for
    /// by [`poke`](Self::poke); it runs on the watcher's thread.
    ///
    /// # Errors
    /// When the thread cannot be started. Without inotify the polling goes on alone.
    pub fn start(
        registry: Arc<Registry>,
        clock: SharedClock,
        on: impl Fn(&Reload) + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::begin(registry, clock, on, true)
    }

    fn begin(
        registry: Arc<Registry>,
        clock: SharedClock,
        on: impl Fn(&Reload) + Send + 'static,
        inotify: bool,
    ) -> std::io::Result<Self> {
        let bell = Arc::new(Bell::default());
        let ears = inotify.then(|| Ears::listen(Arc::clone(&bell))).flatten();
        let mut watch = Watch { registry, clock, bell: Arc::clone(&bell), ears };
        let body = move || watch.keep(&on);
        let thread = std::thread::Builder::new().name("registry-watch".to_owned()).spawn(body)?;
        Ok(Self { bell, thread: Some(thread) })
    }

    /// Has the files read again now, whether anything was noticed or not (SIGHUP).
    pub fn poke(&self) {
        self.bell.ring(|calls| calls.poked = true);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.bell.ring(|calls| calls.stopped = true);
        if let Some(thread) = self.thread.take() {
            // A panic of the callback was reported by the panic hook already.
            let _ended = thread.join();
        }
    }
}

/// The thread's belongings.
struct Watch {
    registry: Arc<Registry>,
    clock: SharedClock,
    bell: Arc<Bell>,
    ears: Option<Ears>,
}

impl Watch {
    fn keep(&mut self, on: &dyn Fn(&Reload)) {
        let mut seen = Listing::default();
        // Contents may change within one tick of the file system's clock, and before this thread began: one more look
        // at them follows every change that was seen.
        let mut look_again = true;
        let mut told: Option<Rejection> = None;
        self.rearm();
        loop {
            let calls = self.bell.wait(POLL, |calls| calls.stopped || calls.poked || calls.stirred);
            if calls.stopped {
                return;
            }
            let poked = calls.poked || (calls.stirred && self.settle());
            // Taken before the files are read: what changes meanwhile differs from it next time.
            let listing = Listing::of(self.registry.policies());
            let moved = listing != seen;
            if !(moved || poked || calls.stirred || look_again) {
                continue;
            }
            seen = listing;
            let reload = self.registry.reload(self.clock.utc());
            let news = match &reload {
                Reload::Unchanged => false,
                Reload::Recovered | Reload::Activated { .. } => true,
                Reload::Rejected(rejection) => {
                    told.as_ref().is_none_or(|t| (t.digest, &t.faults) != (rejection.digest, &rejection.faults))
                }
            };
            if poked || news {
                on(&reload);
            }
            told = match reload {
                Reload::Rejected(rejection) => Some(rejection),
                Reload::Unchanged | Reload::Recovered | Reload::Activated { .. } => None,
            };
            // What was not refused for its contents may do as it is, once the disk or the permissions allow.
            let retry = told.as_ref().is_some_and(|rejection| rejection.digest.is_none());
            look_again = moved || calls.stirred || retry;
            if moved {
                self.rearm();
            }
        }
    }

    /// Waits until the directory is quiet, for 300 ms at most; answers whether somebody asked for a reload meanwhile.
    fn settle(&self) -> bool {
        let mut quiet = 0;
        for _ in 0..MOST_SLICES {
            let calls = self.bell.wait(SLICE, |calls| calls.stopped || calls.poked);
            if calls.stopped || calls.poked {
                return calls.poked;
            }
            quiet = if calls.stirred { 0 } else { quiet + 1 };
            if quiet == 2 {
                break;
            }
        }
        false
    }

    /// Listens to the folders that are there now.
    fn rearm(&mut self) {
        if let Some(ears) = &mut self.ears {
            ears.point_at(folders(self.registry.policies()));
        }
    }
}

/// The inotify side.
struct Ears {
    watcher: RecommendedWatcher,
    pointed_at: Vec<std::path::PathBuf>,
}

impl Ears {
    /// `None` when the kernel has no watch to give.
    fn listen(bell: Arc<Bell>) -> Option<Self> {
        let heard = move |event: notify::Result<notify::Event>| {
            // Our own reading of the files is no news; an error may hide some.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                bell.ring(|calls| calls.stirred = true);
            }
        };
        let watcher = notify::recommended_watcher(heard).ok()?;
        Some(Self { watcher, pointed_at: Vec::new() })
    }

    /// Folders are watched one by one and anew: a name may mean another folder since (`..data` swaps). What cannot be
    /// watched is left to the poll.
    fn point_at(&mut self, folders: Vec<std::path::PathBuf>) {
        for folder in self.pointed_at.drain(..) {
            let _gone = self.watcher.unwatch(&folder);
        }
        for folder in folders {
            if self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.pointed_at.push(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::Watcher;
    use crate::clock::{Clock, SystemClock};
    use crate::config::bootstrap::Durability;
    use crate::governance::registry::{Registry, Reload, Settings};
    use crate::id::UpstreamId;

    fn model(status: &str) -> String {
        format!("model: m\nversion: \"1\"\nupstream: sim\nstatus: {status}\n")
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let temporary = path.with_extension("new");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, path).unwrap();
    }

    fn watched(dir: &Path, inotify: bool) -> (Arc<Registry>, Watcher, Receiver<Reload>) {
        write(dir, "policies/models/m.yaml", &model("approved"));
        let clock = Arc::new(SystemClock::new());
        let settings = Settings {
            policies: dir.join("policies"),
            state: dir.join("var"),
            upstreams: [UpstreamId::parse("sim").unwrap()].into(),
            durability: Durability::Group,
        };
        let registry = Arc::new(Registry::open(settings, Box::new(|_| {}), clock.utc()).unwrap());
        let (sender, reloads) = channel();
        let on = move |reload: &Reload| sender.send(reload.clone()).unwrap();
        let watcher = Watcher::begin(Arc::clone(&registry), clock, on, inotify).unwrap();
        (registry, watcher, reloads)
    }

    fn next(reloads: &Receiver<Reload>) -> Reload {
        reloads.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn a_revoked_model_is_noticed_with_inotify_and_without() {
        for inotify in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let (registry, _watcher, reloads) = watched(dir.path(), inotify);
            write(dir.path(), "policies/models/m.yaml", &model("revoked"));
            assert!(matches!(next(&reloads), Reload::Activated { .. }));
            let snapshot = registry.current();
            assert_eq!(snapshot.versions("m").unwrap()[0].file.status.as_str(), "revoked");
        }
    }

    #[test]
    fn a_file_in_a_new_folder_is_noticed_and_so_is_its_next_change() {
        let dir = tempfile::tempdir().unwrap();
        let (_registry, _watcher, reloads) = watched(dir.path(), true);
        write(dir.path(), "policies/models/new/n.yaml", &model("pending").replace("model: m", "model: n"));
        assert!(matches!(next(&reloads), Reload::Activated { .. }));
        write(dir.path(), "policies/models/new/n.yaml", &model("draft").replace("model: m", "model: n"));
        assert!(matches!(next(&reloads), Reload::Activated { .. }));
    }

    #[test]
    fn a_bad_change_is_told_once_and_its_repair_too() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, _watcher, reloads) = watched(dir.path(), true);
        write(dir.path(), "policies/models/m.yaml", "model: [");
        assert!(matches!(next(&reloads), Reload::Rejected(_)));
        assert_eq!(registry.standing().reload_failures, 1);
        write(dir.path(), "policies/models/m.yaml", &model("approved"));
        assert!(matches!(next(&reloads), Reload::Recovered));
        assert!(registry.standing().rejected.is_none());
    }

    #[test]
    fn a_poke_is_answered_also_when_nothing_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (_registry, watcher, reloads) = watched(dir.path(), false);
        watcher.poke();
        assert!(matches!(next(&reloads), Reload::Unchanged));
        drop(watcher);
        assert!(reloads.recv().is_err(), "the thread has ended");
    }
}
