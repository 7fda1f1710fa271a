//! `remote_fetch:` of tenants and organizations.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::config::de::Placed;
use crate::config::node::Flaw;
use crate::config::reading::Reading;
use crate::config::remote::RemotePlace;

/// A place: `https://host/path`, or `connector:` and an id.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct RemoteWritten(String);

impl JsonSchema for RemoteWritten {
    fn schema_name() -> Cow<'static, str> {
        "Remote".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^((https|http|s3|gs)://|connector:).{1,4096}$",
            "title": "a place such as https://images.acme.example/ or connector:connector_dropbox",
        })
    }
}

/// The list, without what is no place; that is noted.
pub(super) fn checked(written: Option<Vec<Placed<RemoteWritten>>>, reading: &mut Reading) -> Option<Vec<RemotePlace>> {
    let mut place = |entry: Placed<RemoteWritten>| match RemotePlace::entry(&entry.value.0) {
        Ok(place) => Some(place),
        Err(why) => {
            let flaw = Flaw::new(entry.place, format!("nothing can be fetched from there: {why}"));
            reading.fault(flaw.help("write it as clients do: https://host/beginning-of-path"));
            None
        }
    };
    Some(written?.into_iter().filter_map(&mut place).collect())
}
