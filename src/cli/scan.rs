//! `portcullis scan`: JSON Lines in `{id, text}` from standard input, one answer a line to standard output.
//!
//! Reads and writes; what a line says is `risk::answer`'s business. Needs no running gate, and a configuration only where
//! a profile is named.

use std::io::{self, BufRead, Read, Write};

use clap::Args;

use super::screen::{coloured, complain, unusable};
use super::{ConfigFile, End};
use crate::app::settings_of;
use crate::clock::{Clock, SystemClock};
use crate::config::policy::Profile;
use crate::governance::Registry;
use crate::risk::{self, BadLine, NotCompiled, Scanner};

/// Longest line that is read, in bytes.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
enum ScanFault {
    /// A line that is not `{id, text}`.
    #[error("line {line}")]
    Line {
        /// Which, counted from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        why: BadLine,
    },
    /// A line longer than 64 MiB.
    #[error("line {line} is longer than 64 MiB")]
    TooLong {
        /// Which, counted from 1.
        line: u64,
    },
    /// Reading or writing failed, or the input is not UTF-8.
    #[error("cannot read or write")]
    Stream(#[from] io::Error),
    /// The scanner could not be made.
    #[error(transparent)]
    Scanner(#[from] NotCompiled),

    /// A profile that the policies do not have.
    #[error("there is no risk profile `{0}` in the policy directory's risk/")]
    NoProfile(String),
}

#[derive(Debug, Args)]
pub(super) struct Scan {
    /// Score under this risk profile of the policy directory instead of the default weights
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Scan {
    pub(super) fn run(&self) -> End {
        let profile = match self.profile.as_deref().map(|name| self.find(name)).transpose() {
            Ok(profile) => profile,
            Err(end) => return end,
        };
        match scan(io::stdin().lock(), io::stdout().lock(), profile.as_ref()) {
            Ok(()) => End::Fine,
            Err(ScanFault::Stream(fault)) if fault.kind() == io::ErrorKind::BrokenPipe => End::Fine,
            Err(fault) => unusable(&fault),
        }
    }

    fn find(&self, name: &str) -> Result<Profile, End> {
        let (config, _) = super::run::load(&self.config.config)?;
        let snapshot = Registry::inspect(&settings_of(&config), SystemClock::new().utc()).map_err(|faults| {
            complain(faults.render(coloured()));
            End::Unusable
        })?;
        let profile = snapshot.profile(name).cloned();
        profile.ok_or_else(|| unusable(&ScanFault::NoProfile(name.to_owned())))
    }
}

/// Answers every line of `input`, empty ones left out, under `profile` or else the default weights.
///
/// # Errors
/// [`ScanFault`] at the first line that cannot be read or answered; the answers before it are written.
fn scan(mut input: impl BufRead, mut output: impl Write, profile: Option<&Profile>) -> Result<(), ScanFault> {
    let scanner = Scanner::new()?;
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        if input.by_ref().take(LONGEST_LINE).read_line(&mut text)? == 0 {
            break;
        }
        if text.len() as u64 >= LONGEST_LINE && !text.ends_with('\n') {
            return Err(ScanFault::TooLong { line });
        }
        if !text.trim().is_empty() {
            let answer = risk::answer(&scanner, profile, &text).map_err(|why| ScanFault::Line { line, why })?;
            writeln!(output, "{answer}")?;
        }
    }
    output.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_answered_in_order() {
        let input = "{\"id\":\"a\",\"text\":\"536-22-1234\"}\n\n{\"id\":\"b\",\"text\":\"\"}";
        let mut output = Vec::new();
        scan(input.as_bytes(), &mut output, None).unwrap();
        let lines: Vec<_> = std::str::from_utf8(&output).unwrap().lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("US_SSN") && lines[1].contains(r#""id":"b","findings":[]"#));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let mut output = Vec::new();
        let fault = scan("{\"id\":1,\"text\":\"x\"}\n[]\n".as_bytes(), &mut output, None).unwrap_err();
        assert!(matches!(fault, ScanFault::Line { line: 2, .. }));
        assert!(output.ends_with(b"}\n") && output.starts_with(b"{\"id\":1"));
    }
}
