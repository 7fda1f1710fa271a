//! `portcullis validate`: the config and every policy file, all faults at once, with their places.

use clap::Args;
use serde_json::{Value, json};

use super::screen::{coloured, complain, counted, printed, say};
use super::{ConfigFile, End, Format, environment};
use crate::app::settings_of;
use crate::clock::{Clock, SystemClock};
use crate::config::bootstrap::Config;
use crate::config::fault::{Fault, Faults, Severity};
use crate::governance::{Registry, Snapshot};

#[derive(Debug, Args)]
pub(super) struct Validate {
    #[command(flatten)]
    file: ConfigFile,
    /// How to print the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Validate {
    pub(super) fn run(&self) -> End {
        match self.check() {
            Ok(snapshot) => self.accepted(&snapshot),
            Err(faults) => self.faulty(&faults),
        }
    }

    fn check(&self) -> Result<Snapshot, Faults> {
        let config = Config::load(&self.file.config, &environment::variable, environment::all())?;
        Registry::inspect(&settings_of(&config), SystemClock::new().utc())
    }

    fn accepted(&self, snapshot: &Snapshot) -> End {
        if self.format == Format::Json {
            let warnings: Vec<Value> = snapshot.warnings().iter().map(as_json).collect();
            return printed(say(json!({"valid": true, "digest": snapshot.digest(), "warnings": warnings})));
        }
        for warning in snapshot.warnings() {
            complain(warning.render(coloured()));
        }
        printed(say(format_args!(
            "valid: {}, {}, {}; digest {}",
            counted(snapshot.models().len(), "model version"),
            counted(snapshot.prompts().count(), "prompt version"),
            counted(snapshot.tenants().len(), "tenant"),
            snapshot.digest()
        )))
    }

    fn faulty(&self, faults: &Faults) -> End {
        if self.format == Format::Json {
            let list: Vec<Value> = faults.iter().map(as_json).collect();
            drop(say(json!({"valid": false, "faults": list})));
        } else {
            complain(faults.render(coloured()));
            complain(format_args!("\n{}; nothing would be loaded", counted(faults.len(), "fault")));
        }
        End::No
    }
}

/// A fault for programs; line and column are 0 where the file as a whole is meant.
fn as_json(fault: &Fault) -> Value {
    let severity = match fault.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "severity": severity,
        "file": &*fault.file,
        "line": fault.line,
        "column": fault.column,
        "message": fault.message,
        "help": fault.help,
    })
}
