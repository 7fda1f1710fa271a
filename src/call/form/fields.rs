//! What the fields of a form say, by the same closed lists and rules as the members of a JSON body.
//!
//! Text fields are texts of the call; a file is media, and text as well where its bytes are UTF-8.

use std::collections::HashSet;
use std::ops::Range;

use super::{Boundary, Part};
use crate::call::ModelPlace;
use crate::call::content::{is_data_url, is_label, is_media};
use crate::call::members::{Endpoint, Rule};
use crate::call::needs::Needs;
use crate::call::texts::Texts;
use crate::call::{Reading, Unreadable, reader};
use crate::id::ClaimedModel;
use crate::reason::Reason;
use crate::route::Streaming;
use crate::speech::Source;

/// The only purpose of a file that is judged: its lines name models.
const PURPOSE: &str = "batch";

/// A form as read.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) reading: Reading,
    /// Where a file of calls stands, a call a line.
    pub(crate) lines: Option<Range<usize>>,
}

/// Reads a form whole.
pub(crate) fn read(
    endpoint: &'static Endpoint,
    streaming: Streaming,
    boundary: &Boundary,
    body: &[u8],
) -> Result<Filled, Unreadable> {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for part in super::read(boundary, body)? {
        let rule = reader::rule(endpoint, part.name, part.data.start)?;
        if !seen.insert(part.name) && !part.name.ends_with("[]") {
            return Err(Unreadable::at(Reason::AmbiguousRequest, "field that stands twice", part.data.start));
        }
        found.take(rule, &part, body)?;
    }
    let names_model = endpoint.names_model();
    if names_model && found.model.is_none() {
        return Err(Unreadable::new(Reason::ModelMissing, "body: no field `model`"));
    }
    if !(names_model || found.has_purpose && found.lines.is_some()) {
        return Err(Unreadable::new(Reason::MalformedRequest, "body: no field `purpose`, or no `file`"));
    }
    let (model, model_at) = found.model.unzip();
    let reading = Reading {
        model: model.unwrap_or_else(|| ClaimedModel::new(String::new())),
        model_at: model_at.map(|at| ModelPlace { at, before: String::new() }).into_iter().collect(),
        stream: streaming == Streaming::Asked && found.stream,
        max_output_tokens: None,
        choices: found.choices.max(1),
        prompt: None,
        texts: found.texts,
        needs: found.needs,
        operation: None,
        batch_of: None,
    };
    Ok(Filled { reading, lines: found.lines })
}

#[derive(Default)]
struct Found {
    model: Option<(ClaimedModel, Range<usize>)>,
    stream: bool,
    choices: u64,
    has_purpose: bool,
    lines: Option<Range<usize>>,
    texts: Texts,
    needs: Needs,
}

impl Found {
    fn take(&mut self, rule: Rule, part: &Part<'_>, body: &[u8]) -> Result<(), Unreadable> {
        let at = part.data.clone();
        let data = body.get(at.clone()).unwrap_or_default();
        if matches!(rule, Rule::File | Rule::Lines) {
            return self.file(rule, part, body);
        }
        let bad = |what| Unreadable::at(Reason::MalformedRequest, what, at.start);
        if part.filename.is_some() {
            return Err(bad("field that is a file"));
        }
        let text = std::str::from_utf8(data).map_err(|_| bad("field that is no UTF-8"))?;
        if text.contains('\0') {
            return Err(bad("field with a NUL"));
        }
        if rule == Rule::Place && !is_data_url(text) {
            self.needs.fetch(text.to_owned(), at.start);
        }
        match rule {
            Rule::Model if text.is_empty() => {
                return Err(Unreadable::new(Reason::ModelMissing, "body: `model` is empty"));
            }
            Rule::Model => self.model = Some((ClaimedModel::new(text.to_owned()), at)),
            Rule::Stream => {
                self.stream = match text {
                    "true" => true,
                    "false" => false,
                    _ => return Err(bad("field that is no boolean")),
                }
            }
            Rule::Choices => {
                let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let count = if plain { text.parse().ok() } else { None };
                self.choices = count.filter(|n| *n > 0).ok_or_else(|| bad("field that is no positive number"))?;
            }
            Rule::Place if is_data_url(text) && is_media(text) => {}
            Rule::Text | Rule::Read | Rule::Place => self.texts.add_plain(Source::User, at),
            Rule::Pass => self.label(text, at),
            Rule::Purpose if text == PURPOSE => self.has_purpose = true,
            Rule::Purpose => {
                let what = "file whose purpose is not `batch`";
                return Err(Unreadable::at(Reason::ReferenceNotPermitted, what, at.start));
            }
            Rule::Refuse(reason) | Rule::Off(reason) => {
                return Err(Unreadable::at(reason, "field that is not governed", at.start));
            }
            Rule::File
            | Rule::Lines
            | Rule::Bound
            | Rule::OpenBound
            | Rule::Messages
            | Rule::Items
            | Rule::TextsOrTokens
            | Rule::Tokens
            | Rule::Contents
            | Rule::Documents
            | Rule::Media
            | Rule::Group(_)
            | Rule::System
            | Rule::PromptReference
            | Rule::Tools
            | Rule::Functions
            | Rule::Content
            | Rule::Parts
            | Rule::Voice
            | Rule::Shaped(_)
            | Rule::VoiceName
            | Rule::StreamFormat
            | Rule::Format
            | Rule::Servers
            | Rule::Stored
            | Rule::Target => {
                return Err(Unreadable::at(Reason::UnsupportedParameter, "field that no form has", at.start));
            }
        }
        Ok(())
    }

    fn file(&mut self, rule: Rule, part: &Part<'_>, body: &[u8]) -> Result<(), Unreadable> {
        let name = part.filename.clone();
        let Some(name) = name else {
            return Err(Unreadable::at(Reason::MalformedRequest, "file without a name", part.data.start));
        };
        let text = |range: &Range<usize>| body.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
        self.label(text(&name).unwrap_or_default(), name);
        if rule == Rule::Lines {
            // Each line is read by its own endpoint's list.
            self.lines = Some(part.data.clone());
        } else if text(&part.data).is_some_and(|text| !text.contains('\0')) {
            self.texts.add_plain(Source::User, part.data.clone());
        }
        Ok(())
    }

    fn label(&mut self, text: &str, at: Range<usize>) {
        if !is_label(text) {
            self.texts.add_plain(Source::User, at);
        }
    }
}
