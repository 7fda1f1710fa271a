//! Structures whose every member is known: a small grammar for the closed lists of Amazon Bedrock's Converse and its kin.
//!
//! Where other dialects say by `type` what a part is, these say it by the one member that a part has. A [`Form`] lists
//! the members of each structure, a [`Filling`] reads a value by it: what is not listed is refused, what is text is
//! collected, what is a place or steers is noted or refused. The forms themselves stand in `members`.

use super::Unreadable;
use super::content::{Shape, Walk, governed_setting, is_data_url, is_media, present};
use super::fold;
use super::json::{Kind, Name, Value};
use super::members::{BOUNDS, CONVERSATION, refused_everywhere};
use super::needs::Needs;
use super::texts::Texts;
use crate::reason::Reason;
use crate::speech::Source;

/// What a value must be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text.
    Text,
    /// A program's plain words and numbers; what is no plain word is text.
    Words,
    /// An output bound in tokens.
    Bound,
    /// Base64 media.
    Media,
    /// JSON that means nothing to the upstream: text as a whole.
    Free,
    /// Free JSON of which each member reaches the model as if it stood in the body of its own API.
    Extra,
    /// A place to fetch from, or a `data:` URL.
    Place,
    /// Nothing: what is here is refused.
    Refused(Reason),
    /// A list of these.
    List(&'static Form),
    /// A map with keys of the caller's.
    Map(&'static Form),
    /// A structure of these members.
    Object(Fields),
    /// A structure with exactly one of these members.
    OneOf(Fields),
    /// A message: a structure with a `role` that says who speaks.
    Said(Roles, Fields),
    /// The same, said by somebody else.
    By(Source, &'static Form),
    /// What another form says.
    Same(&'static Form),
}

/// The members of a structure.
pub(crate) type Fields = &'static [(&'static str, Form)];

/// The roles of messages, and who speaks in each.
pub(crate) type Roles = &'static [(&'static str, Source)];

/// Reads values by their forms.
#[derive(Debug)]
pub(crate) struct Filling<'t> {
    pub(crate) texts: &'t mut Texts,
    pub(crate) needs: &'t mut Needs,
    /// The largest output bound that was named.
    pub(crate) bound: &'t mut Option<u64>,
}

/// Tools that the client runs, as far as extra fields may declare some: Anthropic's.
static EXTRA_SHAPE: Shape = Shape {
    roles: &[],
    parts: &[],
    tools: &["custom", "bash_2*", "text_editor_2*", "computer_2*", "memory_2*", "tool_search_tool_*"],
    untyped_tools: true,
};

impl Filling<'_> {
    /// Reads `value`, which `source` says.
    pub(crate) fn take(&mut self, form: &'static Form, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        // What stands beside the text of instructions is none.
        let beside = if source == Source::System { Source::User } else { source };
        let says_more = matches!(form, Form::Media | Form::Free | Form::Place) && source == Source::System;
        if says_more || (matches!(form, Form::Extra) && holds_a_message(value)) {
            self.texts.mix_system();
        }
        match form {
            Form::Text if value.is_text() => self.texts.add(source, value),
            Form::Text => return Err(malformed("no text where it is due", value)),
            Form::Words => {
                Walk::settings(value)?;
                self.walk().label(beside, value);
            }
            Form::Bound => *self.bound = (*self.bound).max(Some(bound(value)?)),
            Form::Media if !value.is_text() => return Err(malformed("no base64 where it is due", value)),
            Form::Media if value.text().is_some_and(|text| is_media(&text)) => {}
            Form::Media | Form::Free => self.texts.add(beside, value),
            Form::Extra => self.extra(value)?,
            Form::Place => self.place(beside, value)?,
            Form::Refused(reason) => return Err(fault(*reason, "member that is not governed", value)),
            Form::List(form) => {
                expect(value, Kind::List)?;
                value.elements().try_for_each(|element| self.take(form, source, element))?;
            }
            Form::Map(form) => {
                expect(value, Kind::Object)?;
                for (name, value) in value.members() {
                    self.walk().label(beside, name.value());
                    self.take(form, source, value)?;
                }
            }
            Form::Object(fields) => self.fields(fields, source, value)?,
            Form::OneOf(fields) => {
                expect(value, Kind::Object)?;
                match value.members().filter(|(_, value)| !value.is_null()).count() {
                    0 => return Err(malformed("structure without its one member", value)),
                    1 => {}
                    _ => return Err(fault(Reason::AmbiguousRequest, "structure with more than its one member", value)),
                }
                self.fields(fields, source, value)?;
            }
            Form::Said(roles, fields) => {
                let role = present(value, "role").and_then(Value::text);
                let said = roles.iter().find(|(known, _)| role.as_deref() == Some(*known));
                let Some((_, speaker)) = said else { return Err(malformed("message without a known role", value)) };
                self.fields(fields, *speaker, value)?;
            }
            Form::By(speaker, form) => self.take(form, *speaker, value)?,
            Form::Same(form) => self.take(form, source, value)?,
        }
        Ok(())
    }

    fn fields(&mut self, fields: Fields, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        expect(value, Kind::Object)?;
        let form = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, form)| form);
        for (name, value) in value.members() {
            let key = name.text();
            let Some(form) = form(&key) else {
                let lax = fold::fold(&key);
                let is_lax = |known: &str| known != key && fold::fold(known) == lax;
                let ambiguous = fields.iter().any(|(known, _)| is_lax(known));
                let reason = if ambiguous { Reason::AmbiguousRequest } else { Reason::UnsupportedParameter };
                return Err(Unreadable::at(reason, "member that is not governed", name.offset()));
            };
            if !value.is_null() {
                self.take(form, source, value)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        let Some(text) = value.text() else { return Err(malformed("no address where it is due", value)) };
        if !is_data_url(&text) {
            self.needs.fetch(text.into_owned(), value.range().start);
            self.texts.add(source, value);
        } else if !is_media(&text) {
            self.texts.add(source, value);
        }
        Ok(())
    }

    /// Reads fields that a caller adds to the body of the model's own API: no second conversation, no second model,
    /// nothing stored or remote, and an output bound counts like any other.
    fn extra(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        expect(value, Kind::Object)?;
        for (name, value) in value.members() {
            let key = name.text();
            if CONVERSATION.contains(&snake(&key).as_str()) {
                let what = "field that would be a second conversation";
                return Err(Unreadable::at(Reason::UnsupportedParameter, what, name.offset()));
            }
            if value.is_null() {
                continue;
            }
            self.bounds(name, value)?;
            if key == "tools" {
                self.walk().tools(value)?;
            } else if snake(&key) == "tools" {
                return Err(Unreadable::at(Reason::AmbiguousRequest, "ambiguous member name", name.offset()));
            } else {
                steers_nothing(name, value)?;
                self.texts.add(Source::User, name.value());
                self.texts.add(Source::User, value);
            }
        }
        Ok(())
    }

    /// Takes in the output bounds that stand in a field or in the settings that it holds.
    fn bounds(&mut self, name: Name<'_>, value: Value<'_>) -> Result<(), Unreadable> {
        if BOUNDS.contains(&snake(&name.text()).as_str()) {
            *self.bound = (*self.bound).max(Some(bound(value)?));
        }
        let settings = value.members().filter(|(_, value)| !value.is_null());
        if name.text().ends_with("onfig") {
            return settings.into_iter().try_for_each(|(name, value)| self.bounds(name, value));
        }
        Ok(())
    }

    const fn walk(&mut self) -> Walk<'_> {
        Walk { shape: &EXTRA_SHAPE, texts: self.texts, needs: self.needs }
    }
}

/// Refuses a field in which, at any depth, a member or a value leads elsewhere; names are taken in any case.
fn steers_nothing(name: Name<'_>, value: Value<'_>) -> Result<(), Unreadable> {
    let key = snake(&name.text());
    // A schema is free JSON, and its own words mean nothing to an upstream.
    if matches!(key.as_str(), "schema" | "input_schema" | "json_schema" | "parameters") {
        return Ok(());
    }
    if let Some(reason) = refused_everywhere(&key).or_else(|| governed_setting(&key, false)) {
        return Err(Unreadable::at(reason, "field that the gate governs", name.offset()));
    }
    leads_nowhere(value)?;
    Walk::settings(value)?;
    value.members().filter(|(_, value)| !value.is_null()).try_for_each(|(name, value)| steers_nothing(name, value))
}

/// Refuses a string that is an address or the name of a resource, in the value or in the lists that it is.
fn leads_nowhere(value: Value<'_>) -> Result<(), Unreadable> {
    const BEGINNINGS: [&str; 4] = ["arn:", "s3://", "http://", "https://"];
    let leads = |text: &str| {
        let text = text.trim_start();
        BEGINNINGS.iter().any(|b| text.get(..b.len()).is_some_and(|head| head.eq_ignore_ascii_case(b)))
    };
    if value.text().is_some_and(|text| leads(&text)) {
        return Err(fault(Reason::ReferenceNotPermitted, "reference to something stored or remote", value));
    }
    value.elements().try_for_each(|element| {
        leads_nowhere(element)?;
        element
            .members()
            .filter(|(_, value)| !value.is_null())
            .try_for_each(|(name, value)| steers_nothing(name, value))
    })
}

/// A name as `snake_case`, folded: `modelId`, `ModelID` and `model-id` are `model_id` to some server.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for c in name.chars() {
        if c.is_uppercase() && after_small {
            out.push('_');
        }
        // What shows nothing stands between nothing.
        if c.is_alphanumeric() || matches!(c, '_' | '-') {
            after_small = c.is_lowercase() || c.is_ascii_digit();
        }
        out.push(if c == '-' { '_' } else { c });
    }
    fold::fold(&out)
}

fn bound(value: Value<'_>) -> Result<u64, Unreadable> {
    value.whole().ok_or_else(|| malformed("output bound that is no whole number", value))
}

fn expect(value: Value<'_>, kind: Kind) -> Result<(), Unreadable> {
    if value.kind() == kind { Ok(()) } else { Err(malformed("value of another kind than is due", value)) }
}

fn malformed(what: &'static str, value: Value<'_>) -> Unreadable {
    fault(Reason::MalformedRequest, what, value)
}

fn fault(reason: Reason, what: &'static str, value: Value<'_>) -> Unreadable {
    Unreadable::at(reason, what, value.range().start)
}

/// Whether a structure that reaches the model has a text in it that could instruct: more than a word of a program's.
fn holds_a_message(value: Value<'_>) -> bool {
    value.text().is_some_and(|text| text.len() > LONGEST_OF_PROGRAMS || text.contains(char::is_whitespace))
        || value.elements().any(holds_a_message)
        || value.members().any(|(_, value)| holds_a_message(value))
}

/// Longest word of a program's, in bytes.
const LONGEST_OF_PROGRAMS: usize = 32;

#[cfg(test)]
mod tests {
    use super::snake;

    #[test]
    fn a_name_in_any_case_is_one_name() {
        for name in ["modelId", "ModelId", "modelID", "model_id", "model-id", "MODEL_ID", "model\u{200b}Id"] {
            assert_eq!(snake(name), "model_id", "{name}");
        }
        assert_eq!(snake("max_new_tokens"), "max_new_tokens");
    }
}
