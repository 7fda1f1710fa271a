//! The command line: one file a command, each calling the library.
//!
//! Exit codes: 0 fine, 1 the check said no, 2 bad usage or config. Results go to standard output, everything else to
//! standard error.

mod audit;
mod completions;
mod demo;
mod environment;
mod explain;
mod keys;
mod run;
mod scan;
mod screen;
mod simulate;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::{BadFilter, LogFilter, LogFormat};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Done.
    Fine,
    /// The check said no.
    No,
    /// Bad usage, config or surroundings; the message was shown.
    Unusable,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Fine => Self::SUCCESS,
            End::No => Self::from(1),
            End::Unusable => Self::from(2),
        }
    }
}

/// A policy-enforcement sidecar for LLM traffic: nothing ungoverned gets through, and you can prove it offline.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "See it work, with nothing set up:  portcullis demo")]
struct Arguments {
    /// How log lines look (standard error)
    #[arg(long, global = true, value_enum, default_value = "auto")]
    log_format: LogFormat,
    /// Which log lines: `info`, `debug`, `portcullis::edge=debug,info` …
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<LogFilter>,
    #[command(subcommand)]
    command: Command,
}

/// Where the bootstrap config is.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The bootstrap config
    #[arg(long, value_name = "FILE", default_value = "config/portcullis.yaml")]
    config: PathBuf,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate
    #[command(after_help = "Example:  portcullis run --config config/portcullis.yaml")]
    Run(ConfigFile),
    /// See the gate at work against a simulated LLM; needs nothing else
    #[command(after_help = "Example:  portcullis demo --serve    (then point an SDK at the address it prints)")]
    Demo(demo::Demo),
    /// Check the config and all policy files, and show every fault with its place
    #[command(after_help = "Example:  portcullis validate --config config/portcullis.yaml")]
    Validate(validate::Validate),
    /// Say what the gate would decide about a request, without sending it
    #[command(after_help = "Example:  portcullis explain --tenant acme --request request.json")]
    Explain(explain::Explain),
    /// Scan texts: JSON Lines {id,text} on standard input, findings on standard output
    #[command(after_help = "Example:  echo '{\"id\":1,\"text\":\"card 4111 1111 1111 1111\"}' | portcullis scan")]
    Scan(scan::Scan),
    /// Make gate keys
    #[command(subcommand, after_help = "Example:  portcullis keys new --tenant acme")]
    Keys(keys::Keys),
    /// Verify and read the audit log
    #[command(subcommand, after_help = "Example:  portcullis audit verify var/audit")]
    Audit(audit::Audit),
    /// Print shell completions
    #[command(after_help = "Example:  portcullis completions bash > /etc/bash_completion.d/portcullis")]
    Completions(completions::Completions),
    /// Run the simulated LLM alone (for tests and demonstrations)
    #[command(hide = true)]
    Simulate(simulate::Simulate),
}

/// A log filter in the environment that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("PORTCULLIS_LOG is not a log filter")]
struct BadVariable(#[from] BadFilter);

fn filter_of_environment() -> Result<Option<LogFilter>, BadVariable> {
    let text = environment::variable("PORTCULLIS_LOG").filter(|text| !text.is_empty());
    Ok(text.map(|text| text.parse()).transpose()?)
}

/// Runs the command that the process was asked for.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { log_format, log, command } = Arguments::parse();
    let filter = match log.map_or_else(filter_of_environment, |filter| Ok(Some(filter))) {
        Ok(filter) => filter,
        Err(fault) => return screen::unusable(&fault).into(),
    };
    if !matches!(command, Command::Demo(_)) || filter.is_some() {
        crate::telemetry::start_log(log_format, filter.as_ref());
    }
    let end = match command {
        Command::Run(config) => run::run(&config.config),
        Command::Demo(demo) => demo.run(),
        Command::Validate(validate) => validate.run(),
        Command::Explain(explain) => explain.run(),
        Command::Scan(scan) => scan.run(),
        Command::Keys(keys) => keys.run(),
        Command::Audit(audit) => audit.run(),
        Command::Completions(completions) => completions.run(),
        Command::Simulate(simulate) => simulate.run(),
    };
    end.into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent_and_every_shown_command_has_an_example() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for shown in command.get_subcommands().filter(|shown| !shown.is_hide_set()) {
            let help = shown.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:"), "{}", shown.get_name());
        }
    }
}
