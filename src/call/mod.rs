//! What is asked: one pure reader turns the judged bytes into a [`Call`], by each endpoint's list of members.
//!
//! Strict by design: a body that two parsers could read differently has no reading here. Nothing in this room does
//! I/O; it also reads what comes back (`answer`): usage, finish, output size. `pipeline` calls it with a
//! [`Caller`] and the whole body; `governance` consumes the evidence.

#[cfg(test)]
mod agreement;
mod answer;
mod batch;
pub mod coding;
mod content;
mod fold;
mod form;
mod google;
mod grammar;
mod head;
mod item;
mod json;
mod lines;
mod members;
mod messages;
mod metadata;
mod needs;
mod own;
mod prompt;
mod reader;
mod sse;
mod texts;
mod unreadable;
mod usage;

pub use answer::{Framing, Seen, Watch};
pub use item::Item;
pub use messages::message;
pub use metadata::{Fact, Metadata};
pub use needs::{Fetch, Needs};
pub use own::{CheckAsk, EvaluateAsk, ListAsk};
pub use prompt::PromptClaim;
pub use unreadable::Unreadable;
pub use usage::Usage;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use self::batch::Line;
use self::form::Boundary;
use self::members::Endpoint;
use self::texts::Texts;
use crate::docket::{CheckVerdict, Docket, Stopped};
use crate::id::{ClaimedModel, TenantId};
use crate::identity::Caller;
use crate::reason::Reason;
use crate::route::{Payload, Route};
use crate::speech::{Operation, Source};

/// Evidence that a caller's bytes were read whole, in exactly one way. Owns the bytes.
pub struct Call {
    caller: Caller,
    body: Bytes,
    route: &'static Route,
    /// The parameters that travel upstream, as they stand in a target.
    query: String,
    /// Of a batch, what it says besides its lines.
    reading: Reading,
    /// The calls that a batch is made of; none where it is no batch.
    lines: Vec<Line>,
    /// Where the body is a form.
    boundary: Option<Boundary>,
    metadata: Metadata,
}

/// Shows sizes only: the body is content.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Call({} {}, {} bytes, {:?})",
            self.route.method(),
            self.route.path,
            self.body.len(),
            self.reading.texts
        )
    }
}

/// What the reader found in the body.
#[derive(Debug)]
pub(crate) struct Reading {
    model: ClaimedModel,
    /// Where the body names the model, in order; nowhere where only the path does.
    model_at: Vec<ModelPlace>,
    stream: bool,
    /// The output bound that the call names, in tokens, for one answer.
    max_output_tokens: Option<u64>,
    /// How many answers it asks for, all inputs together, at least 1; multiplies the output bound.
    choices: u64,
    prompt: Option<PromptClaim>,
    texts: Texts,
    needs: Needs,
    /// What the body asks for, where the route cannot tell.
    operation: Option<Operation>,
    /// What the calls of a stored file ask for that is to be run as a batch.
    batch_of: Option<Operation>,
}

/// A JSON string in the body that names the model.
#[derive(Debug)]
pub(crate) struct ModelPlace {
    /// Its bytes, quotes included.
    at: Range<usize>,
    /// What it says before the model's name, as in Google's `models/x`.
    before: String,
}

impl Call {
    /// Reads `body` as the caller's route says. Linear in the body's length. Boxed, because a call is large and the evidence
    /// of every later stage owns it: it stays where it is while they are handed on.
    ///
    /// # Errors
    /// [`Unreadable`] with its reason when the route does not exist, the head or the body cannot be read in exactly one
    /// way, no model is named, or something is asked for that the gate does not govern.
    pub fn read(caller: Caller, body: Bytes) -> Result<Box<Self>, Stopped<Unreadable>> {
        let found = judge(&caller, &body);
        let (caller, Read { route, query, reading, lines, boundary, metadata }) = settle(caller, found)?;
        let mut call = Box::new(Self { caller, body, route, query, reading, lines, boundary, metadata });
        call.describe();
        Ok(call)
    }

    /// A call of tenant `acme` with this JSON body, for the tests of later rooms.
    #[cfg(test)]
    pub(crate) fn for_tests(path: &str, head: &[(&'static str, &'static str)], body: &str) -> Box<Self> {
        Self::of_type("application/json", path, head, body)
            .unwrap_or_else(|stopped| panic!("not read: {}", stopped.why))
    }

    /// The same, of a form whose boundary is `x`.
    #[cfg(test)]
    pub(crate) fn form_for_tests(path: &str, body: &str) -> Result<Box<Self>, Stopped<Unreadable>> {
        Self::of_type("multipart/form-data; boundary=x", path, &[], body)
    }

    #[cfg(test)]
    fn of_type(
        media_type: &'static str,
        path: &str,
        head: &[(&'static str, &'static str)],
        body: &str,
    ) -> Result<Box<Self>, Stopped<Unreadable>> {
        let json = [("content-type", media_type)];
        let field = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        };
        let headers = json.iter().chain(head).map(field).collect();
        let clock = crate::clock::ManualClock::at(chrono::DateTime::UNIX_EPOCH);
        let arrival = crate::arrival::Arrival::receive(http::Method::POST, path, None, headers, &clock);
        let body = Bytes::copy_from_slice(body.as_bytes());
        Self::read(Caller::for_tests(arrival), body)
    }

    /// Writes what was read into the docket.
    fn describe(&mut self) {
        let (operation, stream, max_tokens) = (self.operation(), self.stream(), self.max_output_tokens());
        let lines = self.batch_lines();
        let docket = self.caller.docket_mut();
        docket.operation = Some(operation);
        docket.stream = stream;
        docket.max_tokens = max_tokens;
        docket.facts.extend(self.metadata.recordable());
        if let Some(lines) = lines {
            docket.facts.insert("batch_lines", lines.into());
        }
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        self.caller.docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        self.caller.docket_mut()
    }

    /// Ends the case here and gives its file back.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.caller.into_docket()
    }

    /// Who calls.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whose policy governs.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        self.caller.tenant()
    }

    /// The endpoint that was called, and that the upstream is asked for.
    #[must_use]
    pub const fn route(&self) -> &'static Route {
        self.route
    }

    /// The model as the client names it.
    #[must_use]
    pub const fn model(&self) -> &ClaimedModel {
        &self.reading.model
    }

    /// What is asked for.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.reading.operation.unwrap_or(self.route.operation)
    }

    /// Whether the answer is to be a stream.
    #[must_use]
    pub const fn stream(&self) -> bool {
        self.reading.stream
    }

    /// The output bound the call names, all choices together, in tokens.
    #[must_use]
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.reading.max_output_tokens.map(|tokens| tokens.saturating_mul(self.choices()))
    }

    /// How many answers are asked for, all inputs together; at least 1.
    #[must_use]
    pub fn choices(&self) -> u64 {
        self.reading.choices.max(1)
    }

    /// The prompt the call names.
    #[must_use]
    pub const fn prompt(&self) -> Option<&PromptClaim> {
        self.reading.prompt.as_ref()
    }

    /// Everything a person or machine wrote, in order, JSON escapes decoded. Free-form JSON (tool arguments, schemas)
    /// comes as one piece, member names included.
    pub fn texts(&self) -> impl Iterator<Item = (Source, &str)> {
        self.texts_as_bytes().map(|(source, text)| (source, std::str::from_utf8(text).unwrap_or_default()))
    }

    /// The same as bytes of UTF-8: free, where a `str` of a range of the body would have to be checked again.
    pub fn texts_as_bytes(&self) -> impl Iterator<Item = (Source, &[u8])> {
        let own = if self.lines.is_empty() { None } else { Some(self.own_texts()) };
        own.into_iter().flatten().chain(self.items().flat_map(Item::texts_as_bytes))
    }

    /// What the system says, see [`Item::system_text`].
    #[must_use]
    pub fn system_text(&self) -> Option<Cow<'_, str>> {
        self.first().system_text()
    }

    /// Facts the client declared in `x-portcullis-metadata`.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Input tokens of all that is asked for, see [`Item::estimated_input_tokens`].
    #[must_use]
    pub fn estimated_input_tokens(&self) -> u64 {
        self.items().map(Item::estimated_input_tokens).fold(0, u64::saturating_add)
    }

    /// Path and query to ask the upstream for, with this model where the path names one.
    #[must_use]
    pub fn target_for(&self, model: &str) -> Cow<'static, str> {
        let path =
            self.caller.arrival().matched().map_or(Cow::Borrowed(self.route.path), |matched| matched.target(model));
        if self.query.is_empty() { path } else { Cow::Owned(format!("{path}?{}", self.query)) }
    }

    /// What it refers to besides its model.
    #[must_use]
    pub const fn needs(&self) -> &Needs {
        &self.reading.needs
    }

    /// The body as judged, for one model.
    #[cfg(test)]
    pub(crate) fn body_for(&self, model: &str) -> Bytes {
        self.body_as(std::iter::once(model)).unwrap_or_else(|| panic!("`{model}` does not fit"))
    }
}

/// What head and body say.
struct Read {
    route: &'static Route,
    query: String,
    reading: Reading,
    lines: Vec<Line>,
    boundary: Option<Boundary>,
    metadata: Metadata,
}

/// Judges head and body, cheapest first.
fn judge(caller: &Caller, body: &Bytes) -> Result<Read, Unreadable> {
    let arrival = caller.arrival();
    let no_route = || Unreadable::new(Reason::UnsupportedOperation, "no such endpoint");
    let matched = arrival.matched().ok_or_else(no_route)?;
    let route = matched.route();
    let endpoint = Endpoint::of(route.payload).ok_or_else(no_route)?;
    let query = head::query(arrival.query(), Some(endpoint), route.query)?;
    let fields = head::Fields::of(arrival.headers());
    let boundary = if route.payload.is_form() {
        Some(fields.expect_form()?)
    } else if route.payload == Payload::Invoke {
        fields.expect_json_or_no_label()?;
        None
    } else {
        fields.expect_json()?;
        None
    };
    let metadata = fields.metadata()?;
    let declared = fields.prompt()?;
    let (mut reading, mut lines) = match &boundary {
        Some(boundary) => {
            let filled = form::fields::read(endpoint, route.streaming, boundary, body)?;
            let lines = filled.lines.map(|file| batch::lines(body, file)).transpose()?;
            (filled.reading, lines.unwrap_or_default())
        }
        None if route.payload == Payload::MessageBatches => batch::requests(endpoint, body)?,
        None if let Some(request) = google::request(route.payload) => {
            (google::read(request, matched, body)?, Vec::new())
        }
        None => (reader::read(endpoint, matched.model(), route.streaming, body)?, Vec::new()),
    };
    if let Some(declared) = declared {
        let own = if lines.is_empty() { Some(&mut reading) } else { None };
        for reading in own.into_iter().chain(lines.iter_mut().map(|line| &mut line.reading)) {
            if reading.prompt.as_ref().is_some_and(|named| *named != declared) {
                return Err(Unreadable::new(Reason::AmbiguousRequest, "header and body name different prompts"));
            }
            reading.prompt = Some(declared.clone());
        }
    }
    Ok(Read { route, query, reading, lines, boundary, metadata })
}

/// Writes the verdict into the docket; a refusal ends the case with it.
fn settle<T>(mut caller: Caller, found: Result<T, Unreadable>) -> Result<(Caller, T), Stopped<Unreadable>> {
    match found {
        Ok(found) => {
            caller.docket_mut().checks.request = CheckVerdict::Pass;
            Ok((caller, found))
        }
        Err(why) => {
            let docket = caller.docket_mut();
            docket.checks.request = CheckVerdict::Block;
            docket.fault = Some(why.to_string());
            Err(Stopped::new(caller.into_docket(), why))
        }
    }
}

#[cfg(test)]
mod tests;
