//! Google's bodies: the Gemini API's and Vertex AI's, read message by message.
//!
//! They are protocol buffers written as JSON, and every field has two names, `systemInstruction` and
//! `system_instruction` (ProtoJSON format, "Field names"). Both mean one member here, and both in one object are
//! refused, since parsers differ in which one wins. The path names the model; wherever the body repeats it, it must
//! say the same.

pub(crate) mod messages;

use std::borrow::Cow;
use std::collections::HashSet;

use super::content::{Shape, Walk, governed_setting, is_data_url};
use super::json::{Document, Kind, Name, Value};
use super::members;
use super::needs::Needs;
use super::texts::Texts;
use super::{ModelPlace, Reading, Unreadable, fold};
use crate::id::ClaimedModel;
use crate::reason::Reason;
use crate::route::{Matched, Payload, Streaming};
use crate::speech::Source;
use messages::{Field, Fields, Message};

/// The message that a payload is, where it is one of Google's.
pub(crate) const fn request(payload: Payload) -> Option<Message> {
    match payload {
        Payload::GenerateContent => Some(Message::GenerateContentRequest),
        Payload::CountContentTokens => Some(Message::CountTokensRequest),
        Payload::EmbedContent => Some(Message::EmbedContentRequest),
        Payload::BatchEmbedContents => Some(Message::BatchEmbedContentsRequest),
        Payload::Predict => Some(Message::PredictRequest),
        Payload::ChatCompletions
        | Payload::Completions
        | Payload::Responses
        | Payload::Embeddings
        | Payload::Messages
        | Payload::CountTokens
        | Payload::ImageGeneration
        | Payload::ImageEdit
        | Payload::ImageVariation
        | Payload::Speech
        | Payload::Transcription
        | Payload::Translation
        | Payload::Moderation
        | Payload::File
        | Payload::Batch
        | Payload::MessageBatches
        | Payload::Converse
        | Payload::Invoke
        | Payload::ConverseTokens
        | Payload::CohereChat
        | Payload::CohereEmbed
        | Payload::CohereRerank
        | Payload::OllamaChat
        | Payload::OllamaGenerate
        | Payload::OllamaEmbed
        | Payload::OllamaEmbeddings
        | Payload::Own => None,
    }
}

/// Reads a body whole, to the path that `matched` filled in.
pub(crate) fn read(request: Message, matched: &Matched, body: &[u8]) -> Result<Reading, Unreadable> {
    let document = Document::read(body).map_err(Unreadable::flawed)?;
    let named = matched.model().ok_or_else(|| Unreadable::new(Reason::ModelMissing, "path: no model"))?;
    let mut reader = Reader { named, before: prefixes(matched), ..Reader::default() };
    reader.object(request, Source::User, document.root())?;
    let Reader { models, bound, choices, inputs, texts, needs, .. } = reader;
    Ok(Reading {
        model: ClaimedModel::new(named.to_owned()),
        model_at: models,
        stream: matched.route().streaming == Streaming::Always,
        max_output_tokens: bound,
        choices: choices.max(1).saturating_mul(inputs.max(1)),
        prompt: None,
        texts,
        needs,
        operation: None,
        batch_of: None,
    })
}

/// What may stand before the model's name where a body repeats it.
fn prefixes(matched: &Matched) -> Vec<String> {
    let mut known = vec![String::new(), "models/".to_owned()];
    if matched.route().path.contains("/publishers/google/") {
        known.push("publishers/google/models/".to_owned());
    }
    if let (Some(project), Some(location)) = (matched.named("project"), matched.named("location")) {
        known.push(format!("projects/{project}/locations/{location}/publishers/google/models/"));
    }
    known
}

/// No words of another dialect's conversations.
static NO_SHAPE: Shape = Shape { roles: &[], parts: &[], tools: &[], untyped_tools: false };

/// What was found so far.
#[derive(Default)]
struct Reader<'m> {
    /// The model that the path names.
    named: &'m str,
    /// What may stand before it in the body.
    before: Vec<String>,
    models: Vec<ModelPlace>,
    bound: Option<u64>,
    choices: u64,
    /// Texts that are each answered with a vector.
    inputs: u64,
    texts: Texts,
    needs: Needs,
}

impl Reader<'_> {
    fn walk(&mut self) -> Walk<'_> {
        Walk { shape: &NO_SHAPE, texts: &mut self.texts, needs: &mut self.needs }
    }

    /// Reads a message.
    fn object(&mut self, message: Message, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        if value.kind() != Kind::Object {
            return Err(fault(Reason::MalformedRequest, "no object where one is due", value));
        }
        let fields = message.fields();
        let before = source;
        let source = if message == Message::Content { role(value)? } else { message.speaker().unwrap_or(source) };
        if before == Source::System && source != Source::System {
            self.texts.mix_system();
        }
        let mut seen = 0_u64;
        for (name, value) in value.members() {
            let key = name.text();
            let Some(at) = fields.iter().position(|(known, _)| spells(&key, known)) else {
                return Err(unknown(fields, &key, name));
            };
            if seen >> at & 1 == 1 {
                return Err(ambiguous(name));
            }
            seen |= 1 << at;
            if let Some((known, field)) = fields.get(at).filter(|_| !value.is_null()) {
                self.field(source, known, *field, name, value)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        source: Source,
        known: &'static str,
        field: Field,
        name: Name<'_>,
        value: Value<'_>,
    ) -> Result<(), Unreadable> {
        // Only text is what an instruction says; media, names and the like are beside it.
        let beside = if source == Source::System { Source::User } else { source };
        let says_more = matches!(field, Field::Free | Field::Base64 | Field::Place | Field::Stored | Field::Settings);
        if source == Source::System && says_more {
            self.texts.mix_system();
        }
        match field {
            Field::Model => self.model(value)?,
            Field::One(message) => self.object(message, source, value)?,
            Field::Many(message) => self.many(message, source, value)?,
            Field::Role | Field::Text if !value.is_text() => return Err(bad(known, "no text")),
            Field::Text => self.texts.add(source, value),
            Field::Word if value.is_container() => return Err(bad(known, "neither a word nor a number")),
            // What a role says was read ahead of the others; an instruction's says nothing.
            Field::Role | Field::Word => self.walk().label(beside, value),
            Field::Settings => self.settings(beside, name, value)?,
            Field::Free => self.texts.add(beside, value),
            Field::Base64 if value.is_text() => self.walk().blob(beside, name, value)?,
            Field::Base64 => return Err(bad(known, "no base64")),
            Field::Place => self.place(known, beside, name, value)?,
            Field::Stored => {
                self.needs.store(name.offset());
                self.walk().label(beside, value);
            }
            // A call that names two bounds is held to the larger.
            Field::Bound => self.bound = self.bound.max(Some(whole(known, value)?)),
            Field::Choices => self.choices = self.choices.max(whole(known, value)?),
            Field::Refuse(reason) => {
                return Err(Unreadable::new(reason, format!("body: `{known}` is not governed")));
            }
        }
        Ok(())
    }

    fn many(&mut self, message: Message, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        let counts = matches!(message, Message::EmbedContentRequest | Message::Instance);
        if value.kind() != Kind::List {
            self.inputs += u64::from(counts);
            return self.object(message, source, value);
        }
        value.elements().try_for_each(|element| {
            self.inputs += u64::from(counts);
            self.object(message, source, element)
        })
    }

    /// The model, once more: as the path has it, alone or under its collection.
    fn model(&mut self, value: Value<'_>) -> Result<(), Unreadable> {
        let Some(text) = value.text() else {
            return Err(fault(Reason::ModelMissing, "`model` is not one string", value));
        };
        let before = text.strip_suffix(self.named).filter(|before| self.before.iter().any(|known| known == before));
        let Some(before) = before else {
            return Err(fault(Reason::AmbiguousRequest, "path and body name different models", value));
        };
        self.models.push(ModelPlace { at: value.range(), before: before.to_owned() });
        Ok(())
    }

    fn place(&mut self, known: &str, source: Source, name: Name<'_>, value: Value<'_>) -> Result<(), Unreadable> {
        let text = value.text().ok_or_else(|| bad(known, "no address"))?;
        if is_data_url(&text) {
            return self.walk().blob(source, name, value);
        }
        if is_file_of_the_api(&text) {
            self.needs.store(value.range().start);
        } else {
            self.needs.fetch(text.into_owned(), value.range().start);
        }
        self.texts.add(source, value);
        Ok(())
    }

    /// Reads settings: nothing in them may steer, and no member may stand there in two spellings.
    fn settings(&mut self, source: Source, name: Name<'_>, value: Value<'_>) -> Result<(), Unreadable> {
        // Prose has a colon sooner or later, base64 never.
        let may_be_media = |text: &str| text.len() > LONGEST_WORD && !text.contains(':');
        if value.text().is_some_and(|text| may_be_media(&text)) {
            return self.walk().blob(source, name, value);
        }
        value.elements().try_for_each(|element| self.settings(source, name, element))?;
        let mut seen = HashSet::new();
        for (name, inner) in value.members() {
            let key = name.text();
            if !seen.insert(squeezed(&key)) {
                return Err(ambiguous(name));
            }
            if inner.is_null() {
                continue;
            }
            let key = snake(&key);
            let is_address = inner.text().is_some_and(|text| !is_data_url(&text));
            let reason = governed_setting(&key, is_address)
                .or_else(|| names_a_place(&key).then_some(Reason::ReferenceNotPermitted));
            if let Some(reason) = reason {
                return Err(Unreadable::at(reason, "setting that is not governed", name.offset()));
            }
            // A voice of one's own is a resource; the vendor's have plain names.
            if key == "voice" && inner.text().is_some_and(|text| text.contains('/')) {
                self.needs.store(name.offset());
            }
            self.walk().label(source, name.value());
            if matches!(key.as_ref(), "schema" | "json_schema") {
                self.texts.add(source, inner);
            } else {
                self.settings(source, name, inner)?;
            }
        }
        if !value.is_container() {
            self.walk().label(source, value);
        }
        Ok(())
    }
}

/// A string in settings that is longer, in bytes, may be media, such as the sample of a voice.
const LONGEST_WORD: usize = 128;

/// Who speaks in a `Content`; the user where it does not say.
fn role(content: Value<'_>) -> Result<Source, Unreadable> {
    let Some(role) = content.member("role").filter(|role| !role.is_null()) else { return Ok(Source::User) };
    match role.text().as_deref() {
        Some("user" | "") => Ok(Source::User),
        Some("model") => Ok(Source::Assistant),
        Some("function" | "tool") => Ok(Source::Tool),
        Some("system") => Ok(Source::System),
        Some(_) | None => Err(fault(Reason::MalformedRequest, "content without a known role", role)),
    }
}

/// Whether `name` is the field `known`, in lowerCamelCase or in `snake_case`.
fn spells(name: &str, known: &str) -> bool {
    name == known || (name.contains('_') && name == snake(known))
}

/// `systemInstruction` as `system_instruction`; what has no capital stays.
fn snake(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let mut spelled = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            spelled.push('_');
        }
        spelled.push(c.to_ascii_lowercase());
    }
    Cow::Owned(spelled)
}

/// A name as the laxest parser compares it: folded, and without the marks that part words.
fn squeezed(name: &str) -> String {
    fold::fold(name).replace(['_', '-'], "")
}

/// Whether a setting of this name says where something is: `gcs_uri`, `output_urls` and the like.
fn names_a_place(name: &str) -> bool {
    ["_uri", "_uris", "_url", "_urls"].iter().any(|ending| name.ends_with(ending))
}

/// A file that was uploaded to the Gemini API, which keeps it.
fn is_file_of_the_api(place: &str) -> bool {
    const FILES: [&str; 3] = [
        "files/",
        "https://generativelanguage.googleapis.com/v1beta/files/",
        "https://generativelanguage.googleapis.com/v1/files/",
    ];
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    FILES.iter().any(|before| place.strip_prefix(before).is_some_and(is_id))
}

fn unknown(fields: Fields, key: &str, name: Name<'_>) -> Unreadable {
    let known = |folded: &str| fields.iter().any(|(known, _)| squeezed(known) == squeezed(folded));
    if fold::folds_to(key, known) || known(key) {
        return ambiguous(name);
    }
    let reason = members::refused_everywhere(&snake(key)).unwrap_or(Reason::UnsupportedParameter);
    Unreadable::at(reason, "member that is not governed", name.offset())
}

fn ambiguous(name: Name<'_>) -> Unreadable {
    Unreadable::at(Reason::AmbiguousRequest, "ambiguous member name", name.offset())
}

fn fault(reason: Reason, what: &'static str, value: Value<'_>) -> Unreadable {
    Unreadable::at(reason, what, value.range().start)
}

fn bad(known: &str, what: &str) -> Unreadable {
    // A name of our lists, so it may be shown.
    Unreadable::new(Reason::MalformedRequest, format!("body: `{known}` is {what}"))
}

fn whole(known: &str, value: Value<'_>) -> Result<u64, Unreadable> {
    value.whole().ok_or_else(|| bad(known, "no whole number"))
}

#[cfg(test)]
mod tests;
