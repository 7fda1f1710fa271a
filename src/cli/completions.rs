//! `portcullis completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, End};

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> End {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "portcullis", &mut script);
        super::screen::printed(super::screen::say(String::from_utf8_lossy(&script)))
    }
}
