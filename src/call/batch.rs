//! Batches: many calls in one body, each read like a call of its own.
//!
//! OpenAI's are a file of JSON Lines, `{custom_id, method, url, body}` each (API reference, "The request input object" of
//! the batch API); Anthropic's a list of `{custom_id, params}`. A line that cannot be read refuses all of them.

use std::ops::Range;

use super::content::Walk;
use super::json::{Document, Kind, Value};
use super::members::{Endpoint, MESSAGES, Rule};
use super::{Reading, Unreadable, needs::Needs, reader, texts::Texts};
use crate::id::ClaimedModel;
use crate::reason::Reason;
use crate::route::{Payload, ROUTES, Route, Streaming, Verb};
use crate::speech::{Dialect, Operation, Source};

/// Most calls in one batch; Anthropic's own limit, twice OpenAI's.
const MOST_LINES: usize = 100_000;

/// One call of a batch.
#[derive(Debug)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    /// The byte of the call's body from which the reading counts.
    pub(super) at: usize,
    pub(super) operation: Operation,
    pub(super) reading: Reading,
}

/// The route of a path that batched calls may go to.
pub(super) fn target(path: &str) -> Option<&'static Route> {
    let batched = |payload| {
        matches!(
            payload,
            Payload::ChatCompletions
                | Payload::Completions
                | Payload::Responses
                | Payload::Embeddings
                | Payload::Moderation
                | Payload::ImageGeneration
        )
    };
    ROUTES.iter().find(|route| {
        route.path == path && route.dialect == Dialect::OpenAi && route.verb == Verb::Post && batched(route.payload)
    })
}

/// Reads a file of JSON Lines that stands in `file` of the body.
pub(super) fn lines(body: &[u8], file: Range<usize>) -> Result<Vec<Line>, Unreadable> {
    let text = body.get(file.clone()).unwrap_or_default();
    // One line feed ends the last line.
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut lines = Vec::new();
    let mut at = file.start;
    for (i, bytes) in text.split(|b| *b == b'\n').enumerate() {
        let number = i + 1;
        let bytes_read = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let line = if memchr::memchr(b'\r', bytes_read).is_some() {
            Err(Unreadable::new(Reason::AmbiguousRequest, "return inside of a line"))
        } else if i == MOST_LINES {
            Err(Unreadable::new(Reason::BodyTooLarge, "too many calls in one batch"))
        } else {
            line(bytes_read)
        };
        let (operation, reading) = line.map_err(|why| why.in_line(number))?;
        lines.push(Line { number, at, operation, reading });
        at += bytes.len() + 1;
    }
    Ok(lines)
}

fn line(bytes: &[u8]) -> Result<(Operation, Reading), Unreadable> {
    let document = Document::read(bytes).map_err(Unreadable::flawed)?;
    let mut found = Envelope::of(document.root(), &["custom_id", "method", "url", "body"])?;
    if found.text("method").as_deref() != Some("POST") {
        return Err(Unreadable::new(Reason::MalformedRequest, "body: `method` is not POST"));
    }
    let route = found.text("url").as_deref().and_then(target);
    let route =
        route.ok_or_else(|| Unreadable::new(Reason::UnsupportedOperation, "body: `url` is no endpoint for batches"))?;
    let endpoint = Endpoint::of(route.payload);
    let endpoint = endpoint.ok_or_else(|| Unreadable::new(Reason::UnsupportedOperation, "no such endpoint"))?;
    let mut reading = reader::read_value(endpoint, None, route.streaming, found.due("body")?)?;
    found.label("custom_id", &mut reading);
    Ok((route.operation, reading))
}

/// Reads Anthropic's list of calls.
pub(super) fn requests(endpoint: &'static Endpoint, body: &[u8]) -> Result<(Reading, Vec<Line>), Unreadable> {
    let document = Document::read(body).map_err(Unreadable::flawed)?;
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(Unreadable::new(Reason::MalformedRequest, "body: no JSON object"));
    }
    let mut lines = Vec::new();
    for (name, value) in root.members() {
        let rule = reader::rule(endpoint, &name.text(), name.offset())?;
        if value.is_null() && matches!(rule, Rule::Refuse(_) | Rule::Stored) {
            continue;
        }
        if rule != Rule::Lines || value.kind() != Kind::List {
            return Err(Unreadable::at(Reason::UnsupportedParameter, "member that is not governed", name.offset()));
        }
        for (i, element) in value.elements().enumerate() {
            let number = i + 1;
            if i == MOST_LINES {
                return Err(Unreadable::new(Reason::BodyTooLarge, "too many calls in one batch"));
            }
            let reading = request(element).map_err(|why| why.in_line(number))?;
            lines.push(Line { number, at: 0, operation: Operation::Chat, reading });
        }
    }
    if lines.is_empty() {
        return Err(Unreadable::new(Reason::MalformedRequest, "body: `requests` has no calls"));
    }
    Ok((envelope(), lines))
}

fn request(element: Value<'_>) -> Result<Reading, Unreadable> {
    let mut found = Envelope::of(element, &["custom_id", "params"])?;
    let mut reading = reader::read_value(&MESSAGES, None, Streaming::Asked, found.due("params")?)?;
    found.label("custom_id", &mut reading);
    Ok(reading)
}

/// What a batch says besides its lines: nothing.
fn envelope() -> Reading {
    Reading {
        model: ClaimedModel::new(String::new()),
        model_at: Vec::new(),
        stream: false,
        max_output_tokens: None,
        choices: 1,
        prompt: None,
        texts: Texts::default(),
        needs: Needs::default(),
        operation: None,
        batch_of: None,
    }
}

/// The members around a call.
struct Envelope<'d>(Vec<(&'static str, Value<'d>)>);

impl<'d> Envelope<'d> {
    fn of(value: Value<'d>, names: &'static [&'static str]) -> Result<Self, Unreadable> {
        if value.kind() != Kind::Object {
            return Err(Unreadable::at(Reason::MalformedRequest, "no object where one is due", value.range().start));
        }
        let mut found = Vec::with_capacity(names.len());
        for (name, value) in value.members() {
            let known = names.iter().find(|known| name.is(known));
            let Some(known) = known else {
                let ambiguous = super::fold::folds_to(&name.text(), |folded| names.contains(&folded));
                let reason = if ambiguous { Reason::AmbiguousRequest } else { Reason::UnsupportedParameter };
                return Err(Unreadable::at(reason, "member that is not governed", name.offset()));
            };
            found.push((*known, value));
        }
        Ok(Self(found))
    }

    fn get(&self, name: &str) -> Option<Value<'d>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<std::borrow::Cow<'d, str>> {
        self.get(name).and_then(Value::text)
    }

    fn due(&self, name: &'static str) -> Result<Value<'d>, Unreadable> {
        let missing = || Unreadable::new(Reason::MalformedRequest, format!("body: no `{name}`"));
        self.get(name).filter(|value| value.kind() == Kind::Object).ok_or_else(missing)
    }

    /// Adds a name that the client made up to the texts, unless it is a plain word.
    fn label(&mut self, name: &str, reading: &mut Reading) {
        if let Some(value) = self.get(name) {
            let mut walk = Walk { shape: MESSAGES.shape, texts: &mut reading.texts, needs: &mut reading.needs };
            walk.label(Source::User, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::call::Call;
    use crate::docket::Refuses;
    use crate::speech::Operation;

    const CHAT: &str = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"one \u0041"}]}}"#;
    const VECTOR: &str =
        r#"{"custom_id":"b","method":"POST","url":"/v1/embeddings","body":{"model":"pin","input":"two"}}"#;

    fn upload(lines: &str, purpose: &str) -> Result<Box<Call>, (&'static str, String)> {
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--x\r\nContent-Disposition: form-data; \
             name=\"file\"; filename=\"b.jsonl\"\r\n\r\n{lines}\r\n--x--\r\n"
        );
        Call::form_for_tests("/v1/files", &body)
            .map_err(|stopped| (stopped.why.reason().code(), stopped.why.to_string()))
    }

    #[test]
    fn each_line_of_a_file_is_a_call() {
        let call = upload(&format!("{CHAT}\n{VECTOR}\r\n"), "batch").expect("a batch");
        let items: Vec<_> = call.items().map(|item| (item.line(), item.operation(), item.model().as_str())).collect();
        assert_eq!(items, [(Some(1), Operation::Chat, "m"), (Some(2), Operation::Embeddings, "pin")]);
        let texts: Vec<_> = call.texts().map(|(_, text)| text.to_owned()).collect();
        assert_eq!(texts, ["one A", "two"]);
        assert_eq!((call.operation(), call.batch_lines()), (Operation::Files, Some(2)));
        assert_eq!(call.docket().facts["batch_lines"], 2);
        assert_eq!(call.first().max_output_tokens(), Some(5));
    }

    #[test]
    fn pinned_names_go_into_their_lines_and_nothing_else_changes() {
        let call = upload(&format!("{CHAT}\n{VECTOR}\n{CHAT}"), "batch").expect("a batch");
        let sent = call.body_as(["m", "pin-2024", "m-1"].into_iter()).expect("fits");
        let sent = std::str::from_utf8(&sent).unwrap();
        let expected =
            format!("{CHAT}\n{}\n{}", VECTOR.replace("\"pin\"", "\"pin-2024\""), CHAT.replace("\"m\"", "\"m-1\""));
        assert!(sent.contains(&format!("\r\n\r\n{expected}\r\n--x--")), "{sent}");
    }

    #[test]
    fn a_line_that_cannot_be_read_refuses_all_and_is_named() {
        for (line, reason, place) in [
            ("", "malformed_request", "line 2: body: unfinished document"),
            ("{}", "malformed_request", "line 2: body: `method`"),
            ("[1]", "malformed_request", "line 2"),
            (&format!("{VECTOR}{VECTOR}"), "malformed_request", "line 2: body: data after"),
            (&VECTOR.replace("/v1/embeddings", "/v1/uploads"), "unsupported_operation", "line 2: body: `url`"),
            (&VECTOR.replace("/v1/embeddings", "/v1/messages"), "unsupported_operation", "line 2: body: `url`"),
            (&VECTOR.replace("/v1/embeddings", "/v1/files"), "unsupported_operation", "line 2: body: `url`"),
            (&VECTOR.replace("/v1/embeddings", "/v1/embeddings?model=x"), "unsupported_operation", "line 2"),
            (&VECTOR.replace("POST", "post"), "malformed_request", "line 2: body: `method`"),
            (&VECTOR.replace("POST", "PUT"), "malformed_request", "line 2: body: `method`"),
            (&VECTOR.replace("\"input\"", "\"fallbacks\":[\"x\"],\"input\""), "unsupported_parameter", "line 2"),
            (&VECTOR.replace("\"input\"", "\"model\":\"x\",\"input\""), "ambiguous_request", "line 2"),
            (&VECTOR.replace("\"input\"", "\"Model\":\"x\",\"input\""), "ambiguous_request", "line 2"),
            (&VECTOR.replace("\"model\":\"pin\",", ""), "model_missing", "line 2"),
            (&VECTOR.replace("\"url\"", "\"URL\":\"x\",\"url\""), "ambiguous_request", "line 2"),
            (&VECTOR.replace("\"url\"", "\"model\":\"x\",\"url\""), "unsupported_parameter", "line 2"),
            (&VECTOR.replace(",\"url\"", ",\r\"url\""), "ambiguous_request", "line 2: return inside"),
            (
                &VECTOR.replace("{\"model\":\"pin\",\"input\":\"two\"}", "\"x\""),
                "malformed_request",
                "line 2: body: no `body`",
            ),
        ] {
            let (found, fault) = upload(&format!("{CHAT}\n{line}\n{CHAT}"), "batch").expect_err(line);
            assert!(found == reason && fault.starts_with(place), "{line}: {found} {fault}");
        }
    }

    #[test]
    fn a_file_of_another_purpose_or_without_lines_is_refused() {
        for purpose in ["assistants", "fine-tune", "Batch", "user_data", ""] {
            assert_eq!(upload(CHAT, purpose).expect_err(purpose).0, "reference_not_permitted");
        }
        assert_eq!(upload("", "batch").expect_err("empty").0, "malformed_request");
        assert_eq!(upload("\n\n", "batch").expect_err("empty").0, "malformed_request");
        let form = "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x--\r\n";
        assert!(Call::form_for_tests("/v1/files", form).is_err());
        let form = form.replace("purpose", "model").replace("batch", "m");
        assert!(Call::form_for_tests("/v1/files", &form).is_err());
    }

    #[test]
    fn each_request_of_an_anthropic_batch_is_a_call() {
        let one = r#"{"custom_id":"a","params":{"model":"m","max_tokens":5,"system":"be","messages":[{"role":"user","content":"x"}]}}"#;
        let two = one.replace("\"m\"", "\"n\"");
        let body = format!(r#"{{"requests":[{one},{two}]}}"#);
        let call = Call::for_tests("/v1/messages/batches", &[], &body);
        let items: Vec<_> = call.items().map(|item| (item.operation(), item.model().as_str())).collect();
        assert_eq!(items, [(Operation::Chat, "m"), (Operation::Chat, "n")]);
        assert_eq!(call.first().system_text().as_deref(), Some("be"));
        let sent = call.body_as(["m", "n-2"].into_iter()).expect("fits");
        assert_eq!(sent, body.replace("\"n\"", "\"n-2\""));
    }
}
