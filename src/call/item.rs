//! What a call asks for, one by one: itself, or each line of the batch that it is.
//!
//! Stages that judge go over the items of a call; a call that is no batch has one.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::batch::Line;
use super::needs::Needs;
use super::prompt::PromptClaim;
use super::{Call, ModelPlace, Reading};
use crate::id::ClaimedModel;
use crate::speech::{Operation, Source};

/// One thing that a call asks for.
#[derive(Debug, Clone, Copy)]
pub struct Item<'c> {
    call: &'c Call,
    line: Option<&'c Line>,
}

impl Call {
    /// What it asks for: itself, or each line of a batch, in order; at least one.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let own = self.lines.is_empty().then_some(Item { call: self, line: None });
        own.into_iter().chain(self.lines.iter().map(|line| Item { call: self, line: Some(line) }))
    }

    /// The item of this index, from 0.
    #[must_use]
    pub fn item(&self, index: usize) -> Option<Item<'_>> {
        match self.lines.get(index) {
            Some(line) => Some(Item { call: self, line: Some(line) }),
            None => (self.lines.is_empty() && index == 0).then_some(Item { call: self, line: None }),
        }
    }

    /// The call itself; of a batch, its first line.
    #[must_use]
    pub fn first(&self) -> Item<'_> {
        Item { call: self, line: self.lines.first() }
    }

    /// How many lines it has when it is a batch.
    #[must_use]
    pub const fn batch_lines(&self) -> Option<usize> {
        if self.lines.is_empty() { None } else { Some(self.lines.len()) }
    }

    /// What the calls of a stored batch file ask for, when it is such a file that is to be run.
    #[must_use]
    pub const fn batch_of(&self) -> Option<Operation> {
        self.reading.batch_of
    }

    /// The texts beside the lines of a batch: all, for a call that is none.
    pub fn own_texts(&self) -> impl Iterator<Item = (Source, &[u8])> {
        self.reading.texts.iter(&self.body)
    }

    /// The media type of its body.
    #[must_use]
    pub fn media_type(&self) -> Cow<'static, str> {
        self.boundary.as_ref().map_or(Cow::Borrowed("application/json"), |boundary| boundary.media_type().into())
    }

    /// The body as judged, with the model's name of each item replaced by the one in `names` where that is another. All
    /// other bytes stay. Free unless a name is replaced. `None` where a name does not fit into the body's form.
    #[must_use]
    pub fn body_as<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Bytes> {
        let mut body = BytesMut::new();
        let mut kept = 0;
        let is_field = self.boundary.is_some() && self.lines.is_empty();
        for (item, name) in self.items().zip(names) {
            if name == item.model().as_str() {
                continue;
            }
            for ModelPlace { at, before } in &item.reading().model_at {
                let (start, end) = (at.start + item.offset(), at.end + item.offset());
                if body.is_empty() {
                    body.reserve(self.body.len() + name.len());
                }
                body.extend_from_slice(self.body.get(kept..start)?);
                if is_field {
                    // In a form the name stands bare, so it may not look like the form's own lines.
                    let plain = !name.starts_with('-') && !name.contains(['\r', '\n']);
                    body.extend_from_slice(Some(name).filter(|_| plain)?.as_bytes());
                } else {
                    body.extend_from_slice(serde_json::Value::from(format!("{before}{name}")).to_string().as_bytes());
                }
                kept = end;
            }
        }
        if kept == 0 {
            return Some(self.body.clone());
        }
        body.extend_from_slice(self.body.get(kept..)?);
        Some(body.freeze())
    }
}

impl<'c> Item<'c> {
    fn reading(self) -> &'c Reading {
        self.line.map_or(&self.call.reading, |line| &line.reading)
    }

    fn offset(self) -> usize {
        self.line.map_or(0, |line| line.at)
    }

    /// Which line of a batch it is, from 1.
    #[must_use]
    pub fn line(self) -> Option<usize> {
        self.line.map(|line| line.number)
    }

    /// The model as the client names it.
    #[must_use]
    pub fn model(self) -> &'c ClaimedModel {
        &self.reading().model
    }

    /// What is asked for.
    #[must_use]
    pub fn operation(self) -> Operation {
        self.line.map_or_else(|| self.call.operation(), |line| line.operation)
    }

    /// Whether the answer is to be a stream.
    #[must_use]
    pub fn stream(self) -> bool {
        self.reading().stream
    }

    /// How many answers are asked for; at least 1.
    #[must_use]
    pub fn choices(self) -> u64 {
        self.reading().choices.max(1)
    }

    /// The output bound that is named, all choices together, in tokens.
    #[must_use]
    pub fn max_output_tokens(self) -> Option<u64> {
        self.reading().max_output_tokens.map(|tokens| tokens.saturating_mul(self.choices()))
    }

    /// The prompt that is named.
    #[must_use]
    pub fn prompt(self) -> Option<&'c PromptClaim> {
        self.reading().prompt.as_ref()
    }

    /// What it refers to besides its model.
    #[must_use]
    pub fn needs(self) -> &'c Needs {
        &self.reading().needs
    }

    /// Everything a person or machine wrote, in order, as bytes of UTF-8.
    pub fn texts_as_bytes(self) -> impl Iterator<Item = (Source, &'c [u8])> {
        self.reading().texts.iter(self.call.body.get(self.offset()..).unwrap_or_default())
    }

    /// All system and developer instructions, joined by line feeds; `None` when there are none. Borrowed when it is one
    /// piece.
    #[must_use]
    pub fn system_text(self) -> Option<Cow<'c, str>> {
        // What is more than text can be no approved text.
        if self.reading().texts.mixes_system() {
            return Some(Cow::Borrowed(""));
        }
        let mut pieces = self
            .texts_as_bytes()
            .filter(|(source, _)| *source == Source::System)
            .map(|(_, text)| std::str::from_utf8(text).unwrap_or_default());
        let mut joined = Cow::Borrowed(pieces.next()?);
        for piece in pieces {
            let text = joined.to_mut();
            text.push('\n');
            text.push_str(piece);
        }
        Some(joined)
    }

    /// Input tokens, guessed as one for four bytes of text, at least 1. Never billed on. Input that came as token numbers
    /// is counted; media is not.
    #[must_use]
    pub fn estimated_input_tokens(self) -> u64 {
        let texts = &self.reading().texts;
        texts.bytes().div_ceil(4).saturating_add(texts.tokens()).max(1)
    }
}
