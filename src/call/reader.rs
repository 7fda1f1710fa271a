//! Reads a body by its endpoint's member list: one reader, since the dialects differ only in the lists.
//!
//! Called by [`super::Call::read`] with the head's findings. What stands inside messages and tools is `content`'s.

use std::ops::Range;

use super::batch;
use super::content::{Walk, present};
use super::fold;
use super::grammar::Filling;
use super::json::{Document, Kind, Value};
use super::members::{Endpoint, Members, Rule, names};
use super::needs::Needs;
use super::prompt::PromptClaim;
use super::texts::Texts;
use super::{ModelPlace, Reading, Unreadable};
use crate::id::ClaimedModel;
use crate::reason::Reason;
use crate::route::Streaming;
use crate::speech::{Operation, Source};

/// Reads a body whole. `named` is the model that the path names, where it does.
pub(crate) fn read(
    endpoint: &'static Endpoint,
    named: Option<&str>,
    streaming: Streaming,
    body: &[u8],
) -> Result<Reading, Unreadable> {
    let document = Document::read(body).map_err(Unreadable::flawed)?;
    read_value(endpoint, named, streaming, document.root())
}

/// Reads a body that is a value of a document.
pub(crate) fn read_value(
    endpoint: &'static Endpoint,
    named: Option<&str>,
    streaming: Streaming,
    root: Value<'_>,
) -> Result<Reading, Unreadable> {
    let (endpoint, operation) = endpoint.settled(root, named)?;
    if root.kind() != Kind::Object {
        return Err(Unreadable::new(Reason::MalformedRequest, "body: no JSON object"));
    }
    let mut found = Found::default();
    for (name, value) in root.members() {
        let key = name.text();
        let rule = rule(endpoint, &key, name.offset())?;
        // Null is what an absent optional member looks like in many SDKs.
        if !value.is_null() {
            found.take(endpoint, rule, &key, value)?;
        }
    }
    Ok(Reading { operation, ..found.into_reading(endpoint, named, streaming)? })
}

/// The rule for a member or field of this name.
pub(crate) fn rule(endpoint: &Endpoint, name: &str, at: usize) -> Result<Rule, Unreadable> {
    endpoint.rule(name).ok_or_else(|| unlisted(name, at, |folded| endpoint.knows(folded)))
}

/// Why a member that no list names is refused.
fn unlisted(name: &str, at: usize, is_listed: impl Fn(&str) -> bool) -> Unreadable {
    if fold::folds_to(name, is_listed) {
        Unreadable::at(Reason::AmbiguousRequest, "ambiguous member name", at)
    } else {
        Unreadable::at(Reason::UnsupportedParameter, "member that is not governed", at)
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found<'d> {
    model: Option<Value<'d>>,
    stream: Option<bool>,
    bound: Option<u64>,
    choices: u64,
    /// Texts or token lists that are each answered, where an endpoint takes many.
    inputs: u64,
    prompt: Option<PromptClaim>,
    texts: Texts,
    needs: Needs,
    batch_of: Option<Operation>,
}

impl<'d> Found<'d> {
    fn take(&mut self, endpoint: &Endpoint, rule: Rule, key: &str, value: Value<'d>) -> Result<(), Unreadable> {
        let mut walk = Walk { shape: endpoint.shape, texts: &mut self.texts, needs: &mut self.needs };
        match rule {
            Rule::Model => self.model = Some(value),
            Rule::Stream => self.stream = Some(value.boolean().ok_or_else(|| bad(key, "no boolean"))?),
            // A call that names two bounds is held to the larger: the upstream may read either.
            Rule::OpenBound if value.whole::<i64>().is_some_and(i64::is_negative) => {}
            Rule::Bound | Rule::OpenBound => self.bound = self.bound.max(Some(whole(key, value)?)),
            Rule::Choices => self.choices = self.choices.max(at_least_one(key, value)?),
            Rule::Messages => walk.messages(value)?,
            Rule::Items => walk.items(value)?,
            Rule::System => walk.content(Source::System, value)?,
            Rule::Tools => walk.tools(value)?,
            Rule::Functions => walk.functions(value)?,
            Rule::Content => walk.object(Source::User, value)?,
            Rule::TextsOrTokens => self.inputs = texts_or_tokens(&mut self.texts, key, value)?,
            Rule::Text if value.is_text() => self.texts.add(Source::User, value),
            Rule::Text => return Err(bad(key, "no text")),
            Rule::Tokens => {
                // An earlier conversation that nobody can read.
                self.texts.mix_system();
                tokens(&mut self.texts, key, value)?;
            }
            Rule::Contents => walk.contents(value)?,
            Rule::Documents => walk.documents(value)?,
            Rule::Media => walk.media(Source::User, value)?,
            Rule::Group(members) => self.take_group(endpoint, members, key, value)?,
            Rule::PromptReference => self.prompt = Some(prompt_reference(&mut walk, value)?),
            Rule::Parts => walk.content(Source::User, value)?,
            Rule::VoiceName => {
                // A voice by id is one that somebody has made there.
                if !value.is_text() {
                    walk.needs.store(value.range().start);
                }
                walk.stored(Source::User, value)?;
            }
            Rule::StreamFormat => {
                self.stream = Some(value.text().as_deref() == Some("sse"));
                walk.label(Source::User, value);
            }
            Rule::Target => {
                let route = value.text().as_deref().and_then(batch::target);
                let unknown = || Unreadable::new(Reason::UnsupportedOperation, "body: `endpoint` is none for batches");
                self.batch_of = Some(route.ok_or_else(unknown)?.operation);
            }
            Rule::File | Rule::Lines | Rule::Purpose | Rule::Place => {
                return Err(refused(Reason::UnsupportedParameter, key));
            }
            Rule::Voice => voice(&mut walk, value)?,
            Rule::Shaped(form) => {
                let mut filling = Filling { texts: walk.texts, needs: walk.needs, bound: &mut self.bound };
                filling.take(form, Source::User, value)?;
            }
            Rule::Read => self.texts.add(Source::User, value),
            Rule::Format => {
                Walk::settings(value)?;
                self.texts.add(Source::User, value);
            }
            Rule::Pass => {
                Walk::settings(value)?;
                walk.label(Source::User, value);
            }
            Rule::Stored => {
                walk.needs.store(value.range().start);
                walk.stored(Source::User, value)?;
            }
            Rule::Servers => walk.servers(value)?,
            Rule::Off(_) if value.boolean() == Some(false) || is_empty_list(value) => {}
            Rule::Off(reason) | Rule::Refuse(reason) => return Err(refused(reason, key)),
        }
        Ok(())
    }

    /// Takes a structure that has a closed list of its own.
    fn take_group(
        &mut self,
        endpoint: &Endpoint,
        members: Members,
        key: &str,
        value: Value<'d>,
    ) -> Result<(), Unreadable> {
        if value.kind() != Kind::Object {
            return Err(bad(key, "no object"));
        }
        let rule = |name: &str| members.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule);
        for (name, value) in value.members() {
            let key = name.text();
            let rule = rule(&key).ok_or_else(|| unlisted(&key, name.offset(), |folded| names(members, folded)))?;
            if !value.is_null() {
                self.take(endpoint, rule, &key, value)?;
            }
        }
        Ok(())
    }

    fn into_reading(
        mut self,
        endpoint: &Endpoint,
        named: Option<&str>,
        streaming: Streaming,
    ) -> Result<Reading, Unreadable> {
        let (model, model_at) = if endpoint.names_model() || named.is_some() {
            model(self.model, named)?
        } else if self.batch_of.is_some() {
            (ClaimedModel::new(String::new()), None)
        } else {
            return Err(Unreadable::new(Reason::MalformedRequest, "body: no `endpoint`"));
        };
        self.needs.close();
        let stream = match streaming {
            Streaming::Never if self.stream == Some(true) => {
                return Err(Unreadable::new(Reason::AmbiguousRequest, "body: `stream` at a path that does not stream"));
            }
            Streaming::Never => false,
            Streaming::Always => true,
            Streaming::Asked => self.stream.unwrap_or(false),
            Streaming::Unless => self.stream.unwrap_or(true),
        };
        Ok(Reading {
            model,
            model_at: model_at.map(|at| ModelPlace { at, before: String::new() }).into_iter().collect(),
            stream,
            max_output_tokens: self.bound,
            choices: self.choices.max(1).saturating_mul(self.inputs.max(1)),
            prompt: self.prompt,
            texts: self.texts,
            needs: self.needs,
            operation: None,
            batch_of: self.batch_of,
        })
    }
}

/// The one model that path and body name, and where the body names it.
fn model(written: Option<Value<'_>>, named: Option<&str>) -> Result<(ClaimedModel, Option<Range<usize>>), Unreadable> {
    let text = written.map(|value| (value.range(), value.text().filter(|text| !text.is_empty())));
    match (text, named) {
        (None, Some(named)) => Ok((ClaimedModel::new(named.to_owned()), None)),
        (Some((at, Some(text))), None) => Ok((ClaimedModel::new(text.into_owned()), Some(at))),
        (Some((at, Some(text))), Some(named)) if text == named => Ok((ClaimedModel::new(named.to_owned()), Some(at))),
        (Some((_, Some(_))), Some(_)) => {
            Err(Unreadable::new(Reason::AmbiguousRequest, "path and body name different models"))
        }
        (Some((_, None)) | None, _) => Err(Unreadable::new(Reason::ModelMissing, "body: `model` is not one string")),
    }
}

fn bad(key: &str, what: &str) -> Unreadable {
    // `key` is a name of our lists here, so it may be shown.
    Unreadable::new(Reason::MalformedRequest, format!("body: `{key}` is {what}"))
}

fn refused(reason: Reason, key: &str) -> Unreadable {
    Unreadable::new(reason, format!("body: `{key}` is not governed"))
}

fn whole(key: &str, value: Value<'_>) -> Result<u64, Unreadable> {
    value.whole().ok_or_else(|| bad(key, "no whole number"))
}

fn at_least_one(key: &str, value: Value<'_>) -> Result<u64, Unreadable> {
    whole(key, value).and_then(|n| if n == 0 { Err(bad(key, "no positive number")) } else { Ok(n) })
}

fn is_empty_list(value: Value<'_>) -> bool {
    value.kind() == Kind::List && value.elements().next().is_none()
}

/// Reads a text, a list of texts, a list of token numbers or a list of such lists. Answers how many inputs these are.
fn texts_or_tokens(texts: &mut Texts, key: &str, value: Value<'_>) -> Result<u64, Unreadable> {
    match value.kind() {
        Kind::Text | Kind::EscapedText => {
            texts.add(Source::User, value);
            Ok(1)
        }
        Kind::List if value.elements().next().is_some_and(|first| first.kind() == Kind::Number) => {
            tokens(texts, key, value)
        }
        Kind::List => value.elements().try_fold(0, |inputs: u64, element| {
            if element.is_text() {
                texts.add(Source::User, element);
            } else {
                tokens(texts, key, element)?;
            }
            Ok(inputs + 1)
        }),
        Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::Object => Err(bad(key, "neither text nor tokens")),
    }
}

/// Counts one list of token numbers.
fn tokens(texts: &mut Texts, key: &str, list: Value<'_>) -> Result<u64, Unreadable> {
    let mut count = 0;
    let only_numbers = list.kind() == Kind::List
        && list.elements().all(|token| {
            count += 1;
            token.whole::<u32>().is_some()
        });
    if !only_numbers {
        return Err(bad(key, "neither text nor tokens"));
    }
    texts.add_tokens(count);
    Ok(1)
}

/// Reads OpenAI's `prompt: {id, version, variables}`. The variables are what the user says.
fn prompt_reference(walk: &mut Walk<'_>, value: Value<'_>) -> Result<PromptClaim, Unreadable> {
    let malformed = || bad("prompt", "no `{id, version, variables}`");
    if value.kind() != Kind::Object {
        return Err(malformed());
    }
    for (name, value) in value.members().filter(|(_, value)| !value.is_null()) {
        match name.text().as_ref() {
            "id" | "version" => {}
            "variables" if value.kind() == Kind::Object => {
                for (name, variable) in value.members() {
                    walk.label(Source::User, name.value());
                    walk.piece(Source::User, variable, true)?;
                }
            }
            "variables" => return Err(malformed()),
            _ => {
                let what = "member of `prompt` that is not governed";
                return Err(Unreadable::at(Reason::UnsupportedParameter, what, name.offset()));
            }
        }
    }
    let id = present(value, "id").and_then(Value::text).ok_or_else(malformed)?;
    // Without a version the upstream would take its own choice, and what was judged would not be what is used.
    let version = match present(value, "version") {
        None => return Err(refused(Reason::ReferenceNotPermitted, "prompt")),
        Some(version) if version.is_text() => version.text().unwrap_or_default(),
        Some(version) => version.raw().into(),
    };
    PromptClaim::new(&id, Some(&version)).ok_or_else(malformed)
}

/// Reads chat's `audio`: a format and the name of one of the vendor's voices. A voice by id is a stored thing.
fn voice(walk: &mut Walk<'_>, value: Value<'_>) -> Result<(), Unreadable> {
    if present(value, "voice").is_some_and(|voice| !voice.is_text()) || present(value, "id").is_some() {
        return Err(refused(Reason::ReferenceNotPermitted, "audio"));
    }
    Walk::settings(value)?;
    walk.label(Source::User, value);
    Ok(())
}
