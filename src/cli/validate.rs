//! `portcullis validate`: the config and every policy file, all faults at once, with their places.

use clap::Args;
use serde_json::json;

use super::screen::{coloured, complain, counted, printed, say};
use super::{ConfigFile, End, Format, environment};
use crate::app::settings_of;
use crate::clock::{Clock, SystemClock};
use crate::config::bootstrap::Config;
use crate::config::fault::Faults;
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
            let warnings: Vec<String> = snapshot.warnings().iter().map(ToString::to_string).collect();
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
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            drop(say(json!({"valid": false, "faults": lines})));
        } else {
            complain(faults.render(coloured()));
            complain(format_args!("{}; nothing would be loaded", counted(faults.iter().count(), "fault")));
        }
        End::No
    }
}
