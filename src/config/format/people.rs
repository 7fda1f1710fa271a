//! `people.yaml`: who may do what on the admin plane and in the command line.

use schemars::JsonSchema;
use serde::Deserialize;

use super::rules::names;
use crate::config::de::Placed;
use crate::config::node::Place;
use crate::config::policy::Person as Entry;
use crate::config::reading::Reading;
use crate::config::text::{NameOrAll, Sha256};
use crate::docket::Role;
use crate::id::PersonId;

/// The people of the admin plane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis people")]
pub(super) struct Written {
    /// The people.
    people: Vec<PersonWritten>,
}

super::format!(Written);

/// One person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Person")]
struct PersonWritten {
    /// The name, as approvals and records show it.
    name: Placed<PersonId>,
    /// What the person may do.
    #[schemars(length(min = 1))]
    roles: Vec<Role>,
    /// Whose things the person sees; all unless named.
    #[serde(default)]
    tenants: Vec<NameOrAll>,
    /// SHA-256 of the person's bearer token.
    token: Option<Placed<Sha256>>,
}

/// A person and the places that later checks point at.
#[derive(Debug)]
pub struct Person {
    /// What the file says.
    pub entry: Entry,
    /// Where the name stands.
    pub name_at: Place,
    /// Where the token stands.
    pub token_at: Option<Place>,
}

/// Reads the people; what is wrong with the file is noted in `reading`.
#[must_use]
pub fn read(reading: &mut Reading) -> Option<Vec<Person>> {
    let written: Written = super::written(reading)?;
    Some(written.people.into_iter().map(|person| person.checked(reading)).collect())
}

impl PersonWritten {
    fn checked(self, reading: &mut Reading) -> Person {
        let token_at = self.token.as_ref().map(|token| token.place);
        let token = self.token.and_then(|token| token.read(reading));
        let entry = Entry { name: self.name.value, roles: self.roles, tenants: names(self.tenants), token };
        Person { entry, name_at: self.name.place, token_at }
    }
}
