//! Reads a body by its endpoint's member list: one reader, since the dialects differ only in the lists.
//!
//! Called by [`super::Call::read`] with the head's findings. What stands inside messages and tools is `content`'s.

use std::ops::Range;

use super::content::{Walk, present};
use super::fold;
use super::json::{Document, Kind, Value};
use super::members::{Endpoint, Rule};
use super::needs::Needs;
use super::prompt::PromptClaim;
use super::texts::Texts;
use super::{Reading, Unreadable};
use crate::id::ClaimedModel;
use crate::reason::Reason;
use crate::route::Streaming;
use crate::speech::Source;

/// Reads a body whole. `named` is the model that the path names, where it does.
pub(crate) fn read(
    endpoint: &'static Endpoint,
    named: Option<&str>,
    streaming: Streaming,
    body: &[u8],
) -> Result<Reading, Unreadable> {
    let document = Document::read(body).map_err(Unreadable::flawed)?;
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(Unreadable::new(Reason::MalformedRequest, "body: no JSON object"));
    }
    let mut found = Found::default();
    for (name, value) in root.members() {
        let key = name.text();
        let Some(rule) = endpoint.rule(&key) else {
            let ambiguous = fold::folds_to(&key, |folded| endpoint.rule(folded).is_some());
            return Err(if ambiguous {
                Unreadable::at(Reason::AmbiguousRequest, "ambiguous member name", name.offset())
            } else {
                Unreadable::at(Reason::UnsupportedParameter, "member that is not governed", name.offset())
            });
        };
        // Null is what an absent optional member looks like in many SDKs.
        if !value.is_null() {
            found.take(endpoint, rule, &key, value)?;
        }
    }
    found.into_reading(named, streaming)
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
}

impl<'d> Found<'d> {
    fn take(&mut self, endpoint: &Endpoint, rule: Rule, key: &str, value: Value<'d>) -> Result<(), Unreadable> {
        let mut walk = Walk { shape: endpoint.shape, texts: &mut self.texts, needs: &mut self.needs };
        match rule {
            Rule::Model => self.model = Some(value),
            Rule::Stream => self.stream = Some(value.boolean().ok_or_else(|| bad(key, "no boolean"))?),
            // A call that names two bounds is held to the larger: the upstream may read either.
            Rule::Bound => self.bound = self.bound.max(Some(whole(key, value)?)),
            Rule::Choices => self.choices = self.choices.max(at_least_one(key, value)?),
            Rule::Messages => walk.messages(value)?,
            Rule::Items => walk.items(value)?,
            Rule::System => walk.content(Source::System, value)?,
            Rule::Tools => walk.tools(value)?,
            Rule::Functions => walk.functions(value)?,
            Rule::Content => walk.object(Source::User, value)?,
            Rule::TextsOrTokens => self.inputs = texts_or_tokens(&mut self.texts, key, value)?,
            Rule::PromptReference => self.prompt = Some(prompt_reference(&mut walk, value)?),
            Rule::Voice => voice(&mut walk, value)?,
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
                walk.label(Source::User, value);
            }
            Rule::Off(_) if value.boolean() == Some(false) || is_empty_list(value) => {}
            Rule::Off(reason) | Rule::Refuse(reason) => return Err(refused(reason, key)),
        }
        Ok(())
    }

    fn into_reading(self, named: Option<&str>, streaming: Streaming) -> Result<Reading, Unreadable> {
        let (model, model_at) = model(self.model, named)?;
        let stream = match streaming {
            Streaming::Never => false,
            Streaming::Always => true,
            Streaming::Asked => self.stream.unwrap_or(false),
            Streaming::Unless => self.stream.unwrap_or(true),
        };
        Ok(Reading {
            model,
            model_at,
            stream,
            max_output_tokens: self.bound,
            choices: self.choices.max(1).saturating_mul(self.inputs.max(1)),
            prompt: self.prompt,
            texts: self.texts,
            needs: self.needs,
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
