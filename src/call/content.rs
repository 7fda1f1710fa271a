//! The inside of a conversation: messages, content parts, tool calls and tool declarations of every dialect.
//!
//! One walk for all of them. It reads every string as text unless it knows it to be a label or binary media, goes
//! only into shapes it knows by their `type`, and refuses what refers to stored or remote things or names another
//! model. JSON that a person or machine made up (tool arguments, schemas) is text as a whole: inside it a member
//! `model` or `url` means nothing to an upstream.

mod hosted;
mod sense;

use self::sense::{Sense, refusal_of, sense};
use super::Unreadable;
use super::fold;
use super::json::{Elements, Kind, Name, Value};
use super::needs::Needs;
use super::texts::Texts;
use crate::id::is_plain_name;
use crate::reason::Reason;
use crate::speech::Source;

/// What a dialect's conversations are made of.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The `role`s of messages.
    pub(crate) roles: &'static [&'static str],
    /// The `type`s of content parts and input items.
    pub(crate) parts: &'static [&'static str],
    /// The `type`s of tools, exact, or with `*` as a prefix.
    pub(crate) tools: &'static [&'static str],
    /// Whether a tool without a `type` is one that the client runs.
    pub(crate) untyped_tools: bool,
}

/// A walk through one request.
#[derive(Debug)]
pub(crate) struct Walk<'t> {
    pub(crate) shape: &'static Shape,
    pub(crate) texts: &'t mut Texts,
    pub(crate) needs: &'t mut Needs,
}

impl Walk<'_> {
    /// Reads a list of messages.
    pub(crate) fn messages(&mut self, list: Value<'_>) -> Result<(), Unreadable> {
        elements(list, "messages")?.try_for_each(|message| self.message(message))
    }

    /// Reads the items of an OpenAI Responses `input`: text, messages, and what the model and its tools said.
    pub(crate) fn items(&mut self, input: Value<'_>) -> Result<(), Unreadable> {
        if input.is_text() {
            self.texts.add(Source::User, input);
            return Ok(());
        }
        elements(input, "input")?.try_for_each(|item| self.item(item))
    }

    fn item(&mut self, item: Value<'_>) -> Result<(), Unreadable> {
        match present(item, "type") {
            Some(kind) if kind.text().as_deref() != Some("message") => self.part(Source::Assistant, item),
            // OpenAI lets an item reference go without its `type`: an id and no content.
            None if present(item, "content").is_none() && present(item, "id").is_some() => {
                self.needs.store(item.range().start);
                self.object(Source::User, item)
            }
            Some(_) | None => self.message(item),
        }
    }

    fn message(&mut self, message: Value<'_>) -> Result<(), Unreadable> {
        let role = present(message, "role").and_then(Value::text);
        let Some(role) = role.filter(|role| self.shape.roles.contains(&role.as_ref())) else {
            return Err(fault(Reason::MalformedRequest, "message without a known role", message));
        };
        let source = match role.as_ref() {
            "system" | "developer" => Source::System,
            "assistant" => Source::Assistant,
            "tool" | "function" => Source::Tool,
            _ => Source::User,
        };
        self.object(source, message)
    }

    /// Reads content: a string, or parts each of a known `type`.
    pub(crate) fn content(&mut self, source: Source, content: Value<'_>) -> Result<(), Unreadable> {
        self.parts(source, content, true)
    }

    fn parts(&mut self, source: Source, content: Value<'_>, typed: bool) -> Result<(), Unreadable> {
        match content.kind() {
            Kind::List => content.elements().try_for_each(|part| self.piece(source, part, typed)),
            Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::Text | Kind::EscapedText | Kind::Object => {
                self.piece(source, content, typed)
            }
        }
    }

    /// Reads one piece of content: text or a part.
    pub(crate) fn piece(&mut self, source: Source, piece: Value<'_>, typed: bool) -> Result<(), Unreadable> {
        match piece.kind() {
            Kind::Text | Kind::EscapedText => self.texts.add(source, piece),
            Kind::Object if typed || present(piece, "type").is_some() => self.part(source, piece)?,
            Kind::Object => self.object(source, piece)?,
            // What is no text here may become some in an upstream that is lax with types.
            Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::List => {
                return Err(fault(Reason::MalformedRequest, "content that is neither text nor a part", piece));
            }
        }
        Ok(())
    }

    fn part(&mut self, source: Source, part: Value<'_>) -> Result<(), Unreadable> {
        let kind = present(part, "type").and_then(Value::text);
        let Some(kind) = kind else {
            return Err(fault(Reason::MalformedRequest, "content part without a type", part));
        };
        if !self.shape.parts.contains(&kind.as_ref()) {
            return Err(fault(refusal_of(&kind), "content of a type that is not governed", part));
        }
        self.note_item(&kind, part);
        let third_party = kind.ends_with("_output") || kind.ends_with("_result");
        self.object(if third_party { Source::Tool } else { source }, part)
    }

    /// Reads a list of tool declarations.
    pub(crate) fn tools(&mut self, list: Value<'_>) -> Result<(), Unreadable> {
        elements(list, "tools")?.try_for_each(|tool| self.tool(tool))
    }

    fn tool(&mut self, tool: Value<'_>) -> Result<(), Unreadable> {
        let kind = present(tool, "type");
        let known = match kind.map(Value::text) {
            None => self.shape.untyped_tools && present(tool, "name").is_some(),
            Some(Some(kind)) if !self.is_listed(&kind) => {
                return Err(fault(refusal_of(&kind), "tool of a type that is not governed", tool));
            }
            Some(kind) => kind.is_some(),
        };
        if !known {
            return Err(fault(Reason::MalformedRequest, "tool without a type", tool));
        }
        let kind = kind.and_then(Value::text).unwrap_or_default();
        self.listed_tool(&kind, tool)
    }

    fn is_listed(&self, kind: &str) -> bool {
        self.shape.tools.iter().any(|known| match known.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => kind == *known,
        })
    }

    /// Reads the functions of OpenAI's first tool API: declarations without a `type`.
    pub(crate) fn functions(&mut self, list: Value<'_>) -> Result<(), Unreadable> {
        elements(list, "functions")?.try_for_each(|function| self.object(Source::Tool, function))
    }

    /// Reads a list of texts, or of structures with content in them, that the user brings.
    pub(crate) fn contents(&mut self, list: Value<'_>) -> Result<(), Unreadable> {
        elements(list, "inputs")?.try_for_each(|piece| self.piece(Source::User, piece, false))
    }

    /// Reads a list of documents that a third party may have written: texts, or structures with `data`.
    pub(crate) fn documents(&mut self, list: Value<'_>) -> Result<(), Unreadable> {
        elements(list, "documents")?.try_for_each(|document| self.document(document))
    }

    /// Reads one document. Its data is text or an object of the caller's own making.
    fn document(&mut self, document: Value<'_>) -> Result<(), Unreadable> {
        if document.is_text() {
            self.texts.add(Source::Tool, document);
            return Ok(());
        }
        if document.kind() != Kind::Object {
            return Err(fault(Reason::MalformedRequest, "document that is neither text nor an object", document));
        }
        document.members().filter(|(_, value)| !value.is_null()).try_for_each(|(name, value)| {
            if name.text() == "data" {
                self.texts.add(Source::Tool, value);
                return Ok(());
            }
            self.member(Source::Tool, document, name, value)
        })
    }

    /// Reads media, one or a list: base64 as it is or as a `data:` URL, or a place from which it would be fetched.
    pub(crate) fn media(&mut self, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        let Some(text) = value.text() else {
            value.elements().try_for_each(|element| self.media(source, element))?;
            return if value.kind() == Kind::List { Ok(()) } else { self.loose(source, value) };
        };
        if text.contains(':') && !is_data_url(&text) {
            self.needs.fetch(text.into_owned(), value.range().start);
            self.texts.add(source, value);
        } else {
            self.binary(source, &text, value);
        }
        Ok(())
    }

    /// Reads an object whose shape is the dialect's.
    pub(crate) fn object(&mut self, source: Source, object: Value<'_>) -> Result<(), Unreadable> {
        if object.kind() != Kind::Object {
            return Err(fault(Reason::MalformedRequest, "no object where one is due", object));
        }
        for (name, value) in object.members().filter(|(_, value)| !value.is_null()) {
            self.member(source, object, name, value)?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        source: Source,
        object: Value<'_>,
        name: Name<'_>,
        value: Value<'_>,
    ) -> Result<(), Unreadable> {
        // Only text is what a system message says; its name, its cache mark and the like are beside it.
        let beside = if source == Source::System { Source::User } else { source };
        let key = name.text();
        let sense_of_key = sense(&key);
        if source == Source::System && says_more(sense_of_key, &key) {
            self.texts.mix_system();
        }
        match sense_of_key {
            Sense::Label => {
                Self::settings(value)?;
                self.label(beside, value);
            }
            Sense::Text => self.loose(if key == "text" { source } else { beside }, value)?,
            Sense::Document => self.document(value)?,
            Sense::Images => self.media(beside, value)?,
            Sense::Parts => self.parts(source, value, true)?,
            Sense::LooseParts => self.parts(source, value, false)?,
            Sense::Free => self.texts.add(beside, value),
            Sense::Blob if is_of_type(object, "text") => self.texts.add(source, value),
            Sense::Blob => self.blob(beside, name, value)?,
            Sense::Place => self.place(beside, name, value)?,
            Sense::Media if value.is_text() => self.place(beside, name, value)?,
            Sense::Origin if value.is_text() && !is_of_type(object, "search_result") => {
                self.place(beside, name, value)?;
            }
            Sense::Audio if present(value, "id").is_some() => {
                self.needs.store(name.offset());
                self.loose(beside, value)?;
            }
            Sense::Media | Sense::Origin | Sense::Audio => self.loose(source, value)?,
            Sense::Reference => {
                self.needs.store(name.offset());
                self.stored(beside, value)?;
            }
            Sense::Server => return Err(reference(name)),
            Sense::Steering => return Err(steering(name)),
            Sense::Unknown => {
                if fold::folds_to(&key, |folded| sense(folded) != Sense::Unknown) {
                    return Err(ambiguous(name));
                }
                self.label(beside, name.value());
                self.loose(beside, value)?;
            }
        }
        Ok(())
    }

    /// Reads a value of any shape, members as in [`Self::object`].
    fn loose(&mut self, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        if value.is_text() {
            self.texts.add(source, value);
            return Ok(());
        }
        value.elements().try_for_each(|element| self.loose(source, element))?;
        if value.members().next().is_some() { self.object(source, value) } else { Ok(()) }
    }

    /// Refuses settings in which a member names another model, endpoint, place or stored thing. A schema in them is free.
    pub(crate) fn settings(value: Value<'_>) -> Result<(), Unreadable> {
        value.elements().try_for_each(Self::settings)?;
        value.members().filter(|(_, value)| !value.is_null()).try_for_each(|(name, value)| {
            let key = name.text();
            match sense(&key) {
                Sense::Reference | Sense::Server => Err(reference(name)),
                Sense::Steering => Err(steering(name)),
                Sense::Place if value.text().is_some_and(|text| !is_data_url(&text)) => Err(reference(name)),
                Sense::Free => Ok(()),
                Sense::Unknown if fold::folds_to(&key, |folded| sense(folded).governs()) => Err(ambiguous(name)),
                Sense::Label
                | Sense::Text
                | Sense::Parts
                | Sense::LooseParts
                | Sense::Blob
                | Sense::Place
                | Sense::Origin
                | Sense::Audio
                | Sense::Media
                | Sense::Document
                | Sense::Images
                | Sense::Unknown => Self::settings(value),
            }
        })
    }

    /// Passes over short words of programs; whatever looks otherwise is text.
    pub(crate) fn label(&mut self, source: Source, value: Value<'_>) {
        if value.is_text() {
            if !value.text().is_some_and(|text| is_label(&text)) {
                self.texts.add(source, value);
            }
            return;
        }
        value.elements().for_each(|element| self.label(source, element));
        for (name, value) in value.members() {
            self.label(source, name.value());
            self.label(source, value);
        }
    }

    /// Reads what says where media is: a `data:` URL, or a structure in which every other string is one.
    fn place(&mut self, source: Source, name: Name<'_>, value: Value<'_>) -> Result<(), Unreadable> {
        if let Some(text) = value.text() {
            if is_data_url(&text) {
                return self.blob(source, name, value);
            }
            self.needs.fetch(text.into_owned(), value.range().start);
            self.texts.add(source, value);
            return Ok(());
        }
        value.elements().try_for_each(|element| self.place(source, name, element))?;
        value.members().filter(|(_, value)| !value.is_null()).try_for_each(|(name, inner)| {
            let key = name.text();
            match sense(&key) {
                Sense::Unknown if fold::folds_to(&key, |folded| sense(folded) != Sense::Unknown) => {
                    Err(ambiguous(name))
                }
                Sense::Unknown | Sense::Place => self.place(source, name, inner),
                Sense::Label
                | Sense::Text
                | Sense::Parts
                | Sense::LooseParts
                | Sense::Free
                | Sense::Blob
                | Sense::Origin
                | Sense::Audio
                | Sense::Media
                | Sense::Document
                | Sense::Images
                | Sense::Reference
                | Sense::Server
                | Sense::Steering => self.member(source, value, name, inner),
            }
        })
    }

    /// Passes over base64 media, alone or as a `data:` URL; what is not base64 is text, and an address is refused: some
    /// servers fetch what they expect as media.
    pub(super) fn blob(&mut self, source: Source, name: Name<'_>, value: Value<'_>) -> Result<(), Unreadable> {
        let text = value.text().unwrap_or_default();
        if text.contains(':') && !is_data_url(&text) {
            return Err(reference(name));
        }
        self.binary(source, &text, value);
        Ok(())
    }

    /// Passes over base64, alone or as a `data:` URL; what is none is text.
    fn binary(&mut self, source: Source, text: &str, value: Value<'_>) {
        if !is_media(text) {
            self.texts.add(source, value);
        }
    }
}

/// Whether a member of a system message says something to the model besides the message's text.
fn says_more(sense: Sense, name: &str) -> bool {
    match sense {
        Sense::Label | Sense::Parts | Sense::LooseParts | Sense::Reference | Sense::Server | Sense::Steering => false,
        Sense::Text => !matches!(name, "text" | "name"),
        Sense::Free
        | Sense::Blob
        | Sense::Place
        | Sense::Origin
        | Sense::Audio
        | Sense::Media
        | Sense::Document
        | Sense::Images
        | Sense::Unknown => true,
    }
}

/// Whether a string is base64, alone or as a `data:` URL, and long enough to be media.
pub(crate) fn is_media(text: &str) -> bool {
    let payload = if is_data_url(text) { payload_of(text) } else { Some(text) };
    payload.is_some_and(|payload| payload.len() >= SHORTEST_MEDIA && is_base64(payload.as_bytes()))
}

/// Longest media type of a `data:` URL, parameters and all, and most digits in it: a number is no part of one.
const LONGEST_MEDIA_TYPE: usize = 64;
const MOST_DIGITS: usize = 8;

/// What stands behind the first comma of a `data:` URL (RFC 2397) whose head is a plain media type and says base64. A
/// head that could hold a message is none.
fn payload_of(url: &str) -> Option<&str> {
    let (head, payload) = url.get(5..)?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'+' | b'-' | b'_' | b';' | b'=');
    let is_plain = media_type.len() <= LONGEST_MEDIA_TYPE
        && media_type.bytes().all(plain)
        && media_type.bytes().filter(u8::is_ascii_digit).count() <= MOST_DIGITS;
    is_plain.then_some(payload)
}

/// Why a setting of this name is refused in every dialect, whatever it says; `is_address` where it is a text that is no
/// inline data.
pub(super) fn governed_setting(name: &str, is_address: bool) -> Option<Reason> {
    match sense(name) {
        Sense::Reference | Sense::Server => Some(Reason::ReferenceNotPermitted),
        Sense::Place => is_address.then_some(Reason::ReferenceNotPermitted),
        Sense::Steering => Some(Reason::UnsupportedParameter),
        Sense::Label
        | Sense::Text
        | Sense::Parts
        | Sense::LooseParts
        | Sense::Free
        | Sense::Blob
        | Sense::Origin
        | Sense::Audio
        | Sense::Media
        | Sense::Document
        | Sense::Images
        | Sense::Unknown => None,
    }
}

pub(crate) fn is_data_url(text: &str) -> bool {
    text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// Shorter media does not exist; shorter strings are read as text, in case they are some.
const SHORTEST_MEDIA: usize = 64;

fn is_base64(bytes: &[u8]) -> bool {
    // By blocks without early exit, so that megabytes of an image cost microseconds.
    bytes.chunks(64).all(|block| {
        block.iter().fold(true, |good, byte| {
            good & (byte.is_ascii_alphanumeric() | matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'))
        })
    })
}

/// Whether a string is a word that a program made. Long runs of digits and anything like an address are not.
pub(crate) fn is_label(text: &str) -> bool {
    text.is_empty()
        || is_plain_name(text)
            && !text.contains('@')
            && (text.len() < 9 || text.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

/// The member of this name, unless it is null, which counts as absent.
pub(crate) fn present<'d>(object: Value<'d>, name: &str) -> Option<Value<'d>> {
    object.member(name).filter(|value| !value.is_null())
}

fn is_of_type(object: Value<'_>, kind: &str) -> bool {
    present(object, "type").and_then(Value::text).as_deref() == Some(kind)
}

fn elements<'d>(list: Value<'d>, name: &'static str) -> Result<Elements<'d>, Unreadable> {
    if list.kind() == Kind::List {
        Ok(list.elements())
    } else {
        Err(Unreadable::new(Reason::MalformedRequest, format!("body: `{name}` is no list")))
    }
}

fn reference(name: Name<'_>) -> Unreadable {
    Unreadable::at(Reason::ReferenceNotPermitted, "reference to something stored or remote", name.offset())
}

fn steering(name: Name<'_>) -> Unreadable {
    Unreadable::at(Reason::UnsupportedParameter, "member that steers the call", name.offset())
}

fn ambiguous(name: Name<'_>) -> Unreadable {
    Unreadable::at(Reason::AmbiguousRequest, "ambiguous member name", name.offset())
}

fn fault(reason: Reason, what: &'static str, value: Value<'_>) -> Unreadable {
    Unreadable::at(reason, what, value.range().start)
}
