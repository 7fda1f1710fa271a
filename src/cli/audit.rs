//! `portcullis audit`: verify the log offline, show its end.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::TableStyle;
use serde_json::json;

use super::screen::{complain, printed, say, unusable};
use super::{End, Format};
use crate::audit::tail::{Entry, Filter, Tail as LogTail};
use crate::audit::verify::{Verified, verify};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that no record was changed, removed, reordered or added
    #[command(after_help = "Example:  portcullis audit verify var/audit    (exit 0: whole, 1: broken, with the place)")]
    Verify(Verify),
    /// Show the last records, and the new ones as they come
    #[command(after_help = "Example:  portcullis audit tail --follow --tenant acme")]
    Tail(Tail),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The audit directory
    #[arg(default_value = "var/audit")]
    dir: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Tail {
    /// The audit directory
    #[arg(default_value = "var/audit")]
    dir: PathBuf,
    /// How many records to begin with
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
    /// Go on as records come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only this reason code
    #[arg(long)]
    reason: Option<String>,
    /// Only this action, such as GOVERNANCE_VIOLATION
    #[arg(long)]
    action: Option<String>,
    /// Only this request or correlation id
    #[arg(long)]
    request: Option<String>,
    /// Only from this time on (RFC 3339)
    #[arg(long)]
    since: Option<DateTime<Utc>>,
    /// Only before this time (RFC 3339)
    #[arg(long)]
    until: Option<DateTime<Utc>>,
    /// How to print the records
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Audit {
    pub(super) fn run(self) -> End {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Tail(tail) => tail.run(),
        }
    }
}

impl Verify {
    fn run(&self) -> End {
        if !self.dir.is_dir() {
            return unusable(&NoLog(self.dir.clone()));
        }
        match verify(&self.dir) {
            Ok(verified) => printed(match self.format {
                Format::Json => say(as_json(&verified)),
                Format::Table => say(as_table(&verified)),
            }),
            Err(broken) => {
                complain(format_args!("the log is broken: {broken}"));
                if self.format == Format::Json {
                    let at = json!({"file": broken.file, "line": broken.line, "sequence": broken.sequence});
                    drop(say(json!({"whole": false, "at": at, "what": broken.what.to_string()})));
                }
                End::No
            }
        }
    }
}

/// There is nothing to verify or show.
#[derive(Debug, thiserror::Error)]
#[error("there is no audit log at `{}`: name the state directory's audit/", .0.display())]
struct NoLog(PathBuf);

fn as_json(verified: &Verified) -> serde_json::Value {
    json!({
        "whole": true,
        "records": verified.records,
        "segments": verified.segments,
        "first": verified.first,
        "last": verified.last,
        "head": verified.head,
        "by_action": verified.by_action,
        "outcome_unknown": verified.outcome_unknown,
        "unknown": verified.unknown,
        "outcome_without_decision": verified.outcome_without_decision,
        "in_progress_bytes": verified.in_progress,
    })
}

fn as_table(verified: &Verified) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("whole", "yes: each record is vouched for by the next, the last one by `head`".to_owned());
    row("records", verified.records.to_string());
    row("segments", verified.segments.to_string());
    row("sequences", format!("{} to {}", verified.first, verified.last));
    row("head", verified.head.clone());
    for (action, count) in &verified.by_action {
        row(&format!("  {action}"), count.to_string());
    }
    if verified.outcome_unknown > 0 {
        row("outcome unknown", format!("{} (in flight, or lost to a crash)", verified.outcome_unknown));
    }
    if verified.in_progress > 0 {
        row("in progress", format!("{} bytes of a last line without its end", verified.in_progress));
    }
    table.to_string()
}

impl Tail {
    fn run(self) -> End {
        if !self.dir.is_dir() {
            return unusable(&NoLog(self.dir));
        }
        let (format, follow) = (self.format, self.follow);
        let filter = Filter {
            tenant: self.tenant,
            reason: self.reason,
            action: self.action,
            request: self.request,
            since: self.since,
            until: self.until,
        };
        printed(show(LogTail::open(&self.dir, self.lines, filter), format, follow))
    }
}

fn show(opened: io::Result<(Vec<Entry>, LogTail)>, format: Format, follow: bool) -> io::Result<()> {
    let (mut entries, mut tail) = opened?;
    loop {
        for entry in &entries {
            match format {
                Format::Json => say(&entry.raw)?,
                Format::Table => say(entry.pretty())?,
            }
        }
        if !follow {
            return Ok(());
        }
        std::thread::sleep(LOOK);
        entries = tail.poll()?;
    }
}
