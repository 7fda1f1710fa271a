//! What the head says about the body: media type, coding, the gate's own headers, and a query that must not speak.
//!
//! Nothing of it goes upstream. The head is strict where it decides how bytes are read, and refuses a query that
//! could name what the body names.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};

use super::fold;
use super::form::Boundary;
use super::metadata::Metadata;
use super::prompt::PromptClaim;
use super::{Unreadable, members};
use crate::arrival::Field;
use crate::reason::Reason;
use crate::route::Parameter;

const PROMPT: &str = "x-portcullis-prompt";
const METADATA: &str = "x-portcullis-metadata";

/// The fields of a head that say how a body is read, and what is declared beside it.
#[derive(Debug)]
pub(crate) struct Fields<'h> {
    media_type: Field<'h>,
    coding: Field<'h>,
    prompt: Field<'h>,
    metadata: Field<'h>,
}

impl<'h> Fields<'h> {
    /// Gathers them in one walk.
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let absent = Field::Absent;
        let mut fields = Self { media_type: absent, coding: absent, prompt: absent, metadata: absent };
        for (name, value) in headers {
            match name.as_str() {
                "content-type" => fields.media_type.see(value),
                "content-encoding" => fields.coding.see(value),
                PROMPT => fields.prompt.see(value),
                METADATA => fields.metadata.see(value),
                _ => {}
            }
        }
        fields
    }

    /// Checks that the body is one document of JSON in UTF-8 that no coding wraps.
    pub(crate) fn expect_json(&self) -> Result<(), Unreadable> {
        let Some(media_type) = self.media_type.one() else {
            return Err(Unreadable::new(Reason::UnsupportedEncoding, "head: not exactly one content type"));
        };
        // The usual spelling first.
        if media_type.as_bytes() != b"application/json" && !media_type.to_str().is_ok_and(is_json) {
            return Err(Unreadable::new(Reason::UnsupportedEncoding, "head: content type is not JSON in UTF-8"));
        }
        self.expect_no_coding()
    }

    /// The same where an endpoint takes a body without a label for JSON, as Amazon Bedrock does for invocations.
    pub(crate) fn expect_json_or_no_label(&self) -> Result<(), Unreadable> {
        if matches!(self.media_type, Field::Absent) { self.expect_no_coding() } else { self.expect_json() }
    }

    /// Checks that the body is one form that no coding wraps, and answers its boundary.
    pub(crate) fn expect_form(&self) -> Result<Boundary, Unreadable> {
        let bad = |what| Unreadable::new(Reason::UnsupportedEncoding, what);
        let Some(media_type) = self.media_type.one() else { return Err(bad("head: not exactly one content type")) };
        let boundary = media_type.to_str().ok().and_then(Boundary::of);
        let boundary = boundary.ok_or_else(|| bad("head: content type is not a form with one boundary"))?;
        self.expect_no_coding()?;
        Ok(boundary)
    }

    fn expect_no_coding(&self) -> Result<(), Unreadable> {
        match self.coding {
            Field::Absent => Ok(()),
            Field::Once(coding) if coding.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(()),
            Field::Once(_) | Field::Repeated => {
                Err(Unreadable::new(Reason::UnsupportedEncoding, "head: content coding is not read"))
            }
        }
    }

    /// The prompt that the head names.
    pub(crate) fn prompt(&self) -> Result<Option<PromptClaim>, Unreadable> {
        let Some(value) = only(self.prompt, PROMPT)? else { return Ok(None) };
        let claim = value.to_str().ok().and_then(PromptClaim::parse);
        claim.map(Some).ok_or_else(|| {
            Unreadable::new(Reason::MalformedRequest, "header `x-portcullis-prompt`: neither `name` nor `name@version`")
        })
    }

    /// The facts that the head declares.
    pub(crate) fn metadata(&self) -> Result<Metadata, Unreadable> {
        only(self.metadata, METADATA)?.map_or_else(|| Ok(Metadata::default()), |value| Metadata::read(value.as_bytes()))
    }
}

fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(|part| part.trim_matches([' ', '\t']));
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.filter(|parameter| !parameter.is_empty()).all(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
                name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
            })
        })
}

/// Reads the query: answers the parameters that the route sends on, as they stand in a target. Refuses one that some
/// reader could take for a governed member, and one that is sent on in two ways or with a value that is not listed.
/// Others are dropped.
pub(crate) fn query(
    query: Option<&str>,
    endpoint: Option<&members::Endpoint>,
    sent_on: &[Parameter],
) -> Result<String, Unreadable> {
    let mut kept = String::new();
    let Some(query) = query else { return Ok(kept) };
    let bad = |what| Unreadable::new(Reason::AmbiguousRequest, what);
    let governs = |name: &str| {
        QUERY_NAMES.contains(&name)
            || endpoint.and_then(|endpoint| endpoint.rule(name)).is_some_and(members::Rule::governs)
    };
    // `;` separates parameters for some readers.
    for parameter in query.split(['&', ';']) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if let Some(known) = sent_on.iter().find(|known| known.name == name) {
            let said = |pair: &str| pair.split_once('=').is_some_and(|(before, _)| before == name);
            if !known.values.allow(value) || kept.split('&').any(said) {
                return Err(bad("query: parameter said twice or with a value that is not governed"));
            }
            if !kept.is_empty() {
                kept.push('&');
            }
            kept.push_str(parameter);
            continue;
        }
        let name = percent_decoded(name);
        let is_sent_on = |name: &str| sent_on.iter().any(|known| known.name == name);
        if is_sent_on(&name) || fold::folds_to(&name, is_sent_on) {
            return Err(bad("query: ambiguous parameter name"));
        }
        if governs(&name) || fold::folds_to(&name, governs) {
            return Err(bad("query: parameter that could name what the body names"));
        }
    }
    Ok(kept)
}

/// Names that speak for a model or a credential at any endpoint.
const QUERY_NAMES: &[&str] = &[
    "model",
    "models",
    "model_id",
    "modelid",
    "model_name",
    "deployment",
    "deployment_id",
    "engine",
    "key",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "token",
    "prompt",
];

fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.first_chunk::<2>().and_then(|[high, low]| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
        });
        match (first, escape) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn only<'h>(field: Field<'h>, name: &'static str) -> Result<Option<&'h HeaderValue>, Unreadable> {
    match field {
        Field::Absent => Ok(None),
        Field::Once(value) => Ok(Some(value)),
        Field::Repeated => Err(Unreadable::new(Reason::AmbiguousRequest, format!("header `{name}`: more than one"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Unreadable, members::CHAT, query};
    use crate::route::{Parameter, Values};
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn expect_json(headers: &HeaderMap) -> Result<(), Unreadable> {
        Fields::of(headers).expect_json()
    }

    fn head(fields: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"))
        };
        fields.iter().map(pair).collect()
    }

    #[test]
    fn json_in_utf_8_is_the_only_media_type() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            "application/json ; charset=\"Utf-8\"",
            "application/json;",
        ] {
            assert!(expect_json(&head(&[("content-type", good)])).is_ok(), "{good}");
        }
        for bad in [
            "",
            "text/csv",
            "text/json",
            "application/json; charset=utf-16",
            "application/json; charset=latin1",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json, application/json",
            "application/json; boundary=x",
            "application/jsonx",
            "application/vnd.api+json",
            "application/x-ndjson",
            "multipart/form-data; boundary=x",
            "application/json; charset",
            "application/json/x",
        ] {
            assert!(expect_json(&head(&[("content-type", bad)])).is_err(), "{bad}");
        }
        assert!(expect_json(&head(&[])).is_err());
        assert!(
            expect_json(&head(&[("content-type", "application/json"), ("content-type", "application/json")])).is_err()
        );
    }

    #[test]
    fn any_coding_but_identity_is_refused() {
        let json = ("content-type", "application/json");
        assert!(expect_json(&head(&[json, ("content-encoding", "Identity")])).is_ok());
        for bad in ["gzip", "zstd", "gzip, zstd", "identity, gzip", "br", "", "x-gzip", "identity,identity"] {
            assert!(expect_json(&head(&[json, ("content-encoding", bad)])).is_err(), "{bad}");
        }
        let two = [json, ("content-encoding", "identity"), ("content-encoding", "identity")];
        assert!(expect_json(&head(&two)).is_err());
    }

    #[test]
    fn a_query_may_not_speak_for_the_body() {
        for good in
            ["", "beta=true", "api-version=2024-10-21", "foo=model", "a=b&&c", "temperature=1", "limit=20", "%zz=1"]
        {
            assert!(query(Some(good), Some(&CHAT), &[]).is_ok(), "{good}");
        }
        for bad in [
            "model=x",
            "a=b&model=x",
            "Model=x",
            "%6dodel=x",
            "%6Dodel=x",
            "model%00=x",
            "+model=x",
            "model[]=x",
            "a;model=x",
            "api_key=x",
            "key=x",
            "%EF%BD%8Dodel=x",
            "fallbacks=x",
            "model",
            "stream=true",
            "m%E2%80%8Bodel=1",
        ] {
            assert!(query(Some(bad), Some(&CHAT), &[]).is_err(), "{bad}");
        }
        assert!(query(None, None, &[]).is_ok());
        assert!(query(Some("model=x"), None, &[]).is_err());
    }

    #[test]
    fn a_parameter_that_the_upstream_needs_is_sent_on_in_one_way_or_refused() {
        let sent_on = [
            Parameter { name: "api-version", values: Values::Version },
            Parameter { name: "alt", values: Values::Words(&["sse"]) },
        ];
        let kept = |text| query(Some(text), Some(&CHAT), &sent_on).ok();
        assert_eq!(kept("a=b&api-version=2024-10-21&alt=sse&c").as_deref(), Some("api-version=2024-10-21&alt=sse"));
        assert_eq!(kept("foo=1").as_deref(), Some(""));
        for bad in [
            "api-version=2024-10-21&api-version=2024-10-21",
            "api-version",
            "api-version=",
            "api-version=a%26b",
            "Api-Version=2024-10-21",
            "api%2Dversion=2024-10-21",
            "alt=json",
            "alt=sse;alt=json",
        ] {
            assert_eq!(kept(bad), None, "{bad}");
        }
    }
}
