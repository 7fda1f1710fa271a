//! `portcullis demo`: a simulated LLM, the gate before it with the shipped policies, real calls over real sockets, a
//! table of what happened and why, and the audit log verified at the end. Needs no file, network or key.

mod calls;
mod embedded;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use tokio::signal::unix::{SignalKind, signal};

use self::calls::{Caller, Outcome};
use super::End;
use super::run::not_started;
use super::screen::{complain, printed, say, unusable};
use crate::app::App;
use crate::audit::verify::verify;
use crate::clock::SystemClock;
use crate::config::bootstrap::Config;
use crate::id::Digest;
use crate::simulator::Simulator;

/// What the simulated LLM takes for its credential; the application never sees it.
const UPSTREAM_KEY: &str = "sk-simulated-upstream";

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Keep the gate and the simulated LLM running until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// A directory that goes away with the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("portcullis-demo-{}", uuid::Uuid::now_v7().simple()));
        embedded::write(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Demo {
    pub(super) fn run(&self) -> End {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.show()),
            Err(fault) => unusable(&fault),
        }
    }

    async fn show(&self) -> End {
        let scratch = match Scratch::make() {
            Ok(scratch) => scratch,
            Err(fault) => return unusable(&fault),
        };
        let simulator = match Simulator::start(([127, 0, 0, 1], 0).into()).await {
            Ok(simulator) => simulator.expecting_key(UPSTREAM_KEY),
            Err(fault) => return unusable(&fault),
        };
        let variable = |name: &str| match name {
            "SIMULATOR" => Some(simulator.url()),
            "UPSTREAM_KEY" => Some(UPSTREAM_KEY.to_owned()),
            _ => None,
        };
        let config = Config::load(&scratch.path().join("portcullis.yaml"), &variable, std::iter::empty());
        let config = match config {
            Ok(loaded) => loaded,
            Err(faults) => {
                complain(faults.render(false));
                return End::Unusable;
            }
        };
        let app = match App::start(config, Digest::of(embedded::CONFIG.as_bytes()), Arc::new(SystemClock::new())).await
        {
            Ok(app) => app,
            Err(fault) => return not_started(&fault),
        };
        let log = scratch.path().join("var/audit");
        let outcomes = Caller::new(app.listen()).all().await;
        let mut end = report(&outcomes);
        if self.serve && end == End::Fine {
            drop(say(instructions(&app, &log)));
            told_to_end().await;
        }
        app.shutdown().await;
        simulator.stop().await;
        if verified(&log) != End::Fine {
            end = End::No;
        }
        end
    }
}

/// Waits for Ctrl-C, or for the signal by which a supervisor ends a process.
async fn told_to_end() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminate.recv() => {} }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// The table, and whether every call ended as the policies say it must.
fn report(outcomes: &[Outcome]) -> End {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["call", "status", "decision", "reason", "what happened", "record"]);
    let coloured = std::io::stdout().is_terminal();
    for outcome in outcomes {
        let decision = Cell::new(&outcome.decision);
        let colour = if outcome.decision == "allow" { Color::Green } else { Color::Red };
        table.add_row([
            Cell::new(outcome.title),
            Cell::new(outcome.status),
            if coloured { decision.fg(colour) } else { decision },
            Cell::new(&outcome.reason),
            Cell::new(&outcome.told),
            Cell::new(&outcome.record),
        ]);
    }
    let shown = printed(say(table));
    let odd: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.as_expected).collect();
    for outcome in &odd {
        complain(format_args!("unexpected: {} ended with {} {}", outcome.title, outcome.status, outcome.reason));
    }
    if odd.is_empty() { shown } else { End::No }
}

fn verified(log: &Path) -> End {
    match verify(log) {
        Ok(verified) => printed(say(format_args!(
            "\naudit log: {} records, chain whole, {} calls forwarded, {} of them without outcome",
            verified.records,
            verified.by_action.get("LLM_CALL").copied().unwrap_or_default(),
            verified.outcome_unknown
        ))),
        Err(broken) => {
            complain(format_args!("audit log: {broken}"));
            End::No
        }
    }
}

fn instructions(app: &App, log: &Path) -> String {
    format!(
        "\nThe gate is at http://{gate} and its admin plane at http://{admin}. Try, from another terminal:\n\n  \
         curl http://{gate}/v1/chat/completions -H 'authorization: Bearer {key}' \\\n       \
         -H 'content-type: application/json' \\\n       \
         -d '{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\n  \
         OpenAI(base_url=\"http://{gate}/v1\", api_key=\"{key}\")\n\n  \
         curl http://{admin}/status\n\n  portcullis audit tail --follow {log}\n\n\
         Policies and audit log are in {scratch} until Ctrl-C ends it.",
        gate = app.listen(),
        admin = app.admin(),
        key = calls::ACME,
        log = log.display(),
        scratch = log.ancestors().nth(2).unwrap_or(log).display(),
    )
}
