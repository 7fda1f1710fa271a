//! What commands print: results to standard output, complaints to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use super::End;

/// Prints one result line. A reader that went away (`| head`) is not a fault.
pub(super) fn say(line: impl Display) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{line}")
}

/// Prints a complaint.
pub(super) fn complain(text: impl Display) {
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

/// Prints a fault and its causes as one message, and answers the exit for it.
pub(super) fn unusable(fault: &dyn std::error::Error) -> End {
    let mut lines = vec![format!("error: {fault}")];
    lines.extend(
        std::iter::successors(fault.source(), |cause| cause.source()).map(|cause| format!("  because: {cause}")),
    );
    complain(lines.join("\n"));
    End::Unusable
}

/// The end of a command that only printed.
pub(super) fn printed(result: io::Result<()>) -> End {
    match result {
        Ok(()) => End::Fine,
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => End::Fine,
        Err(fault) => unusable(&fault),
    }
}

/// Whether complaints may be coloured.
pub(super) fn coloured() -> bool {
    io::stderr().is_terminal()
}

/// So many of a thing: `1 fault`, `2 faults`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
