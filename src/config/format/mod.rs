//! The formats of the files that people write, one a file here: its raw shape (which is its schema) and the check that
//! turns it into the type of `config::policy` or `config::bootstrap`.
//!
//! A format's checks see one file. What files say about each other is checked by `governance::registry`.

pub mod bootstrap;
mod limits;
pub mod model;
pub mod organization;
pub mod people;
pub mod prompt;
mod remote;
pub mod risk;
pub mod rules;
pub mod tenant;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::node::{Flaw, Node, Place};
use super::reading::Reading;
use super::schema::schema_of;
use super::shape::{Shape, UnknownKeyword};
use super::{de, yaml};

/// A raw shape that is a whole file.
trait Format: DeserializeOwned + JsonSchema {
    /// The compiled schema.
    fn shape() -> &'static Result<Shape, UnknownKeyword>;
}

/// Makes a raw shape a file format; the schema is compiled once a process.
macro_rules! format {
    ($written:ty) => {
        impl super::Format for $written {
            fn shape() -> &'static Result<crate::config::shape::Shape, crate::config::shape::UnknownKeyword> {
                static SHAPE: std::sync::LazyLock<
                    Result<crate::config::shape::Shape, crate::config::shape::UnknownKeyword>,
                > = std::sync::LazyLock::new(|| {
                    crate::config::shape::Shape::compile(&crate::config::schema::schema_of::<$written>())
                });
                &SHAPE
            }
        }
    };
}
use format;

/// Reads the text as this format; what is wrong is noted, and what is left is answered when it is enough to go on.
fn written<T: Format>(reading: &mut Reading) -> Option<T> {
    let tree = tree(reading)?;
    fitted(tree, reading)
}

/// The tree of the text.
fn tree(reading: &mut Reading) -> Option<Node> {
    match yaml::parse(reading.text()) {
        Ok(tree) => Some(tree),
        Err(flaws) => {
            for flaw in flaws {
                reading.fault(flaw);
            }
            None
        }
    }
}

/// The tree as this format.
fn fitted<T: Format>(mut tree: Node, reading: &mut Reading) -> Option<T> {
    let shape = match T::shape() {
        Ok(shape) => shape,
        Err(error) => {
            reading.fault(Flaw::new(Place::default(), error.to_string()));
            return None;
        }
    };
    let findings = shape.check(&mut tree);
    for place in findings.hidden {
        reading.hide(place);
    }
    for flaw in findings.flaws {
        reading.fault(flaw);
    }
    if !findings.usable {
        return None;
    }
    de::value(&tree).map_err(|flaw| reading.fault(flaw)).ok()
}

/// Every format's name and schema, as `docs/schema/<name>.schema.json` shows them.
#[must_use]
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("portcullis", schema_of::<bootstrap::Written>()),
        ("model", schema_of::<model::Written>()),
        ("prompt", schema_of::<prompt::Written>()),
        ("tenant", schema_of::<tenant::Written>()),
        ("organization", schema_of::<organization::Written>()),
        ("rules", schema_of::<rules::Written>()),
        ("risk", schema_of::<risk::Written>()),
        ("people", schema_of::<people::Written>()),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Format, schemas};

    #[test]
    fn every_schema_says_only_what_is_checked() {
        fn compiles<T: Format>() {
            T::shape().as_ref().unwrap();
        }
        compiles::<super::bootstrap::Written>();
        compiles::<super::model::Written>();
        compiles::<super::prompt::Written>();
        compiles::<super::tenant::Written>();
        compiles::<super::organization::Written>();
        compiles::<super::rules::Written>();
        compiles::<super::risk::Written>();
        compiles::<super::people::Written>();
    }

    /// `UPDATE_SCHEMAS=1` writes the files anew instead.
    #[test]
    fn the_committed_schemas_are_those_of_the_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
        let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
        for (name, schema) in schemas() {
            let path = folder.join(std::format!("{name}.schema.json"));
            let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            if update {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, text).unwrap();
            } else {
                let committed = std::fs::read_to_string(&path).unwrap_or_default();
                let committed: serde_json::Value = serde_json::from_str(&committed).unwrap_or_default();
                assert!(committed == schema, "{} is stale: run this test with UPDATE_SCHEMAS=1", path.display());
            }
        }
    }
}
