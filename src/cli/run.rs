//! `portcullis run`: the gate until a signal ends it.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::screen::{complain, unusable};
use super::{End, environment};
use crate::app::{App, StartFault};
use crate::clock::SystemClock;
use crate::config::bootstrap::Config;
use crate::id::Digest;

/// Worker threads when config names none: a sidecar shares its host.
const MOST_WORKERS: usize = 4;

pub(super) fn run(file: &Path) -> End {
    let (config, digest) = match load(file) {
        Ok(loaded) => loaded,
        Err(end) => return end,
    };
    let runtime = match runtime(config.workers) {
        Ok(runtime) => runtime,
        Err(fault) => return unusable(&fault),
    };
    // What a panic says may quote content; where it happened does not.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a defect of the gate");
    }));
    let end = runtime.block_on(serve(config, digest));
    drop(runtime);
    end
}

/// Reads the bootstrap config, or shows every fault of it.
pub(super) fn load(file: &Path) -> Result<(Config, Digest), End> {
    let digest = std::fs::read(file).map_or_else(|_| Digest::of(&[]), |bytes| Digest::of(&bytes));
    Config::load(file, &environment::variable, environment::all()).map(|config| (config, digest)).map_err(|faults| {
        complain(faults.render(super::screen::coloured()));
        End::Unusable
    })
}

/// Shows why the gate does not start.
pub(super) fn not_started(fault: &StartFault) -> End {
    if let StartFault::Policies(faults) = fault {
        complain(faults.render(super::screen::coloured()));
    }
    unusable(fault)
}

/// One worker: everything on one thread, the cheapest. More: a pool.
fn runtime(workers: Option<usize>) -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match workers.unwrap_or_else(|| cores.min(MOST_WORKERS)) {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        several => Builder::new_multi_thread().worker_threads(several).enable_all().build(),
    }
}

async fn serve(config: Config, digest: Digest) -> End {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        return unusable(&std::io::Error::last_os_error());
    };
    let app = match App::start(config, digest, Arc::new(SystemClock::new())).await {
        Ok(app) => app,
        Err(fault) => return not_started(&fault),
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => app.reload(),
        }
    }
    app.shutdown().await;
    End::Fine
}
