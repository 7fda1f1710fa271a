//! The process log on standard error: one line an event, as text or JSON.

use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which events are logged: `target=level` directives.
#[derive(Debug, Clone)]
pub struct LogFilter(Arc<str>);

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("it is written `info`, `debug` or `portcullis::edge=debug,info`")]
pub struct BadFilter(#[source] tracing_subscriber::filter::ParseError);

impl FromStr for LogFilter {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        EnvFilter::builder().parse(text).map(|_| Self(Arc::from(text))).map_err(BadFilter)
    }
}

/// Starts the log; without a filter at `info`.
///
/// Calling it again changes nothing, so that tests may.
pub fn start_log(format: LogFormat, filter: Option<&LogFilter>) {
    let filter = EnvFilter::new(filter.map_or("info", |filter| &filter.0));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let started = if json { lines.json().try_init() } else { lines.with_ansi(false).try_init() };
    drop(started);
}
