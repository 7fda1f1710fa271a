//! Facts that a client declares about its call: a small flat JSON object, in `x-portcullis-metadata` or `/v1/check`.
//!
//! Rules and scoring read them; the docket keeps the few that are known, as flags, counts and digests. They never
//! carry content: a field that could is refused by name.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Recorded;

use super::Unreadable;
use super::fold;
use super::json::{Document, Kind, Value};
use crate::id::Digest;
use crate::reason::Reason;

/// Longest metadata, in bytes of JSON.
const LONGEST_BYTES: usize = 4096;
/// Most facts in one call.
const MOST_FACTS: usize = 64;
/// Longest label, in bytes.
const LONGEST_LABEL: usize = 128;
/// Most labels in one list.
const MOST_LABELS: usize = 16;

/// Fields that would carry content, refused at any depth.
const FORBIDDEN: &[&str] = &["prompt", "text", "input", "message", "messages", "content"];

/// Facts that are flags and must be declared as such.
const FLAGS: [&str; 3] = ["contains_personal_data", "is_external_model", "uses_external_model"];

/// Facts a client declares about its call, in `x-portcullis-metadata` or in `/v1/check`: a flat JSON object of
/// booleans, integers and short strings, and lists of short strings.
#[derive(Clone, Default, PartialEq)]
pub struct Metadata {
    values: BTreeMap<String, Fact>,
}

/// Shows the count only: labels are content.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} facts)", self.values.len())
    }
}

/// One declared fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A label. Content for our purposes: recorded as its digest only.
    Text(String),
    /// Labels.
    List(Vec<String>),
}

impl Metadata {
    /// The fact of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.values.get(name)
    }

    /// Whether the fact of this name is declared `true`.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.get(name) == Some(&Fact::Bool(true))
    }

    /// Reads the header's value.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > LONGEST_BYTES {
            return Err(malformed());
        }
        let document =
            Document::read(bytes).map_err(|flaw| Unreadable::flawed_in("header `x-portcullis-metadata`", flaw))?;
        refuse_forbidden(document.root())?;
        Self::of(document.root())
    }

    /// Takes the facts of a parsed object; null means not declared.
    pub(crate) fn of(object: Value<'_>) -> Result<Self, Unreadable> {
        if object.kind() != Kind::Object {
            return Err(malformed());
        }
        let mut values = BTreeMap::new();
        for (name, value) in object.members().filter(|(_, value)| !value.is_null()) {
            let name = name.text();
            let fact = fact(value).ok_or_else(malformed)?;
            let flag_is_no_flag = FLAGS.contains(&name.as_ref()) && !matches!(fact, Fact::Bool(_));
            if flag_is_no_flag || name.len() > LONGEST_LABEL || values.len() >= MOST_FACTS {
                return Err(malformed());
            }
            values.insert(name.into_owned(), fact);
        }
        Ok(Self { values })
    }

    /// What the record may keep of them.
    pub(crate) fn recordable(&self) -> impl Iterator<Item = (&'static str, Recorded)> {
        let flags = FLAGS.into_iter().filter_map(|name| match self.get(name) {
            Some(Fact::Bool(flag)) => Some((name, Recorded::Bool(*flag))),
            _ => None,
        });
        let regulatory = self.get("regulatory_flags").map(|fact| {
            let count = match fact {
                Fact::List(labels) => labels.len(),
                Fact::Text(_) | Fact::Int(_) | Fact::Bool(true) => 1,
                Fact::Bool(false) => 0,
            };
            ("regulatory_flags", Recorded::from(count))
        });
        let intent = match self.get("intent") {
            Some(Fact::Text(label)) => Some(("intent", Recorded::from(Digest::of(label.as_bytes()).to_string()))),
            _ => None,
        };
        flags.chain(regulatory).chain(intent)
    }
}

fn malformed() -> Unreadable {
    Unreadable::new(Reason::MalformedRequest, "metadata: no small flat object of facts")
}

fn fact(value: Value<'_>) -> Option<Fact> {
    match value.kind() {
        Kind::True => Some(Fact::Bool(true)),
        Kind::False => Some(Fact::Bool(false)),
        Kind::Number => value.whole().map(Fact::Int),
        Kind::Text | Kind::EscapedText => label(value).map(Fact::Text),
        Kind::List if value.elements().count() <= MOST_LABELS => {
            value.elements().map(label).collect::<Option<_>>().map(Fact::List)
        }
        Kind::List | Kind::Object | Kind::Null => None,
    }
}

fn label(value: Value<'_>) -> Option<String> {
    value.text().filter(|text| text.len() <= LONGEST_LABEL).map(std::borrow::Cow::into_owned)
}

/// Refuses an object that has, at any depth and in any lax spelling, a field that would carry content.
pub(crate) fn refuse_forbidden(value: Value<'_>) -> Result<(), Unreadable> {
    for (name, value) in value.members() {
        let key = name.text();
        let forbidden = |name: &str| FORBIDDEN.contains(&name);
        if forbidden(&key) || fold::folds_to(&key, forbidden) {
            return Err(Unreadable::new(Reason::ForbiddenField, "field that would carry content"));
        }
        refuse_forbidden(value)?;
    }
    value.elements().try_for_each(refuse_forbidden)
}

#[cfg(test)]
mod tests {
    use super::{Fact, Metadata};
    use crate::docket::Refuses;

    fn refusal(text: &str) -> &'static str {
        Metadata::read(text.as_bytes()).map_or_else(|why| why.reason().code(), |_| "read")
    }

    #[test]
    fn facts_are_read_and_only_known_ones_are_recordable() {
        let text = r#"{"intent":"triage","contains_personal_data":true,"regulatory_flags":["gdpr","bait"],
            "team":"blue","level":3,"none":null}"#;
        let facts = Metadata::read(text.as_bytes()).expect("good");
        assert!(facts.holds("contains_personal_data"));
        assert_eq!(facts.get("team"), Some(&Fact::Text("blue".to_owned())));
        assert_eq!(facts.get("level"), Some(&Fact::Int(3)));
        assert_eq!(facts.get("none"), None);
        let kept: std::collections::BTreeMap<_, _> = facts.recordable().collect();
        assert_eq!(kept["contains_personal_data"], true);
        assert_eq!(kept["regulatory_flags"], 2);
        assert!(kept["intent"].as_str().is_some_and(|d| d.starts_with("sha256:")));
        assert_eq!(kept.len(), 3);
        assert_eq!(format!("{facts:?}"), "Metadata(5 facts)");
    }

    #[test]
    fn a_field_that_would_carry_content_is_forbidden_at_any_depth_and_spelling() {
        for text in [
            r#"{"prompt":"x"}"#,
            r#"{"a":{"text":1}}"#,
            r#"{"a":[{"b":[{"messages":null}]}]}"#,
            r#"{"Content":"x"}"#,
            r#"{"\u0069nput":"x"}"#,
            "{\"mess\u{200b}age\":1}",
            r#"{"text\u0000":1}"#,
        ] {
            assert_eq!(refusal(text), "forbidden_field", "{text}");
        }
    }

    #[test]
    fn what_is_no_small_flat_object_of_facts_is_malformed() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(129));
        let many = format!(r#"{{"a":[{}"x"]}}"#, r#""x","#.repeat(16));
        let large = format!(r#"{{"a":["{}"]}}"#, " ".repeat(4096));
        for text in [
            "",
            "[]",
            "1",
            "{",
            r#"{"a":1.5}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[["b"]]}"#,
            &long,
            &many,
            &large,
            r#"{"contains_personal_data":"yes"}"#,
            r#"{"is_external_model":1}"#,
            r#"{"a":99999999999999999999}"#,
        ] {
            assert_eq!(refusal(text), "malformed_request", "{text}");
        }
        assert_eq!(refusal(r#"{"a":1,"a":2}"#), "ambiguous_request");
    }
}
