//! The first evidence: a request whose head was read, with its case file opened. The body is not read yet.
//!
//! Made by `edge::exchange`; consumed by `identity`.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::clock::Clock;
use crate::docket::Docket;
use crate::id::{CorrelationId, RequestId};
use crate::route::{self, Matched, Route};
use crate::speech::{Dialect, Operation};

/// A request's head as received, and its docket.
#[derive(Debug)]
pub struct Arrival {
    docket: Box<Docket>,
    query: Option<String>,
    headers: HeaderMap,
    matched: Option<Matched>,
}

impl Arrival {
    /// Opens the case: looks the route up by exact method and raw path and names the request.
    #[must_use]
    pub fn receive(method: Method, path: &str, query: Option<&str>, headers: HeaderMap, clock: &dyn Clock) -> Self {
        let at = clock.utc();
        let (mut request_id, mut correlation, mut trace) = (Field::Absent, Field::Absent, Field::Absent);
        let (mut has_version, mut has_google_key) = (false, false);
        for (name, value) in &headers {
            match name.as_str() {
                "x-request-id" => request_id.see(value),
                "x-correlation-id" => correlation.see(value),
                "traceparent" => trace.see(value),
                "anthropic-version" => has_version = true,
                "x-goog-api-key" => has_google_key = true,
                _ => {}
            }
        }
        let request_id = own_name(request_id).and_then(|name| RequestId::parse(name).ok());
        let request_id = request_id.unwrap_or_else(|| RequestId::fresh(at));
        let correlation = own_name(correlation).and_then(|name| CorrelationId::parse(name).ok());
        let correlation = correlation.unwrap_or_else(|| CorrelationId::from(&request_id));
        let matched = route::find(&method, path);
        let route = matched.as_ref().map(Matched::route);
        let mut docket = Docket::open(request_id, correlation, method, clock.moment(), at);
        docket.dialect = match route {
            // The one path that three vendors have.
            Some(route) if route.operation == Operation::Models => {
                told_by_head(route.dialect, has_version, has_google_key)
            }
            Some(route) => route.dialect,
            None => told_by_head(route::likely_dialect(path), has_version, has_google_key),
        };
        docket.route = route.map(|r| r.path);
        docket.operation = route.map(|r| r.operation);
        docket.traceparent = traceparent(trace);
        Self { docket: Box::new(docket), query: query.map(ToOwned::to_owned), headers, matched }
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        &self.docket
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        &mut self.docket
    }

    /// The raw query, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The head's fields as received.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body that is read next is plain: its coding was undone, so the head does not name it any longer. A head
    /// that still names one is refused by what reads the body.
    pub fn made_plain(&mut self) {
        self.headers.remove(header::CONTENT_ENCODING);
    }

    /// The governed endpoint, or `None` where there is none.
    #[must_use]
    pub fn route(&self) -> Option<&'static Route> {
        self.matched.as_ref().map(Matched::route)
    }

    /// The governed endpoint with what the path fills it with, or `None` where there is none.
    #[must_use]
    pub const fn matched(&self) -> Option<&Matched> {
        self.matched.as_ref()
    }

    /// Ends the case here and gives its file back.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.docket
    }
}

/// What a head says in a field that must say one thing. Gathered in one walk over the head: a look-up for each field costs
/// as much as a walk past all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'h> {
    /// It is not there.
    Absent,
    /// It is there once.
    Once(&'h HeaderValue),
    /// It is there more than once, and nobody may choose.
    Repeated,
}

impl<'h> Field<'h> {
    /// Takes the next line of this field in.
    pub(crate) const fn see(&mut self, value: &'h HeaderValue) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// The value, if there is exactly one.
    pub(crate) const fn one(self) -> Option<&'h HeaderValue> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }
}

/// The dialect of a path that is OpenAI's and others' too, by the field that only the other's SDKs send.
const fn told_by_head(dialect: Dialect, has_version: bool, has_google_key: bool) -> Dialect {
    if !matches!(dialect, Dialect::OpenAi) {
        dialect
    } else if has_version {
        Dialect::Anthropic
    } else if has_google_key {
        Dialect::Gemini
    } else {
        Dialect::OpenAi
    }
}

/// A name that the client gave, if there is exactly one, and it is short.
fn own_name(field: Field<'_>) -> Option<&str> {
    field.one().and_then(|value| value.to_str().ok()).filter(|text| text.len() <= 64)
}

/// The caller's trace context (W3C Trace Context, section 3.2), if there is exactly one and it is of version 00.
fn traceparent(field: Field<'_>) -> Option<String> {
    let text = field.one()?.to_str().ok()?;
    let mut fields = text.split('-');
    let is_hex = |field: &str, length| {
        field.len() == length && field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let names_something = |field: &str, length| is_hex(field, length) && field.bytes().any(|b| b != b'0');
    let good = fields.next() == Some("00")
        && fields.next().is_some_and(|trace| names_something(trace, 32))
        && fields.next().is_some_and(|parent| names_something(parent, 16))
        && fields.next().is_some_and(|flags| is_hex(flags, 2))
        && fields.next().is_none();
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::Arrival;
    use crate::clock::ManualClock;
    use crate::speech::Dialect;

    fn arrival(path: &str, head: &[(&'static str, &'static str)]) -> Arrival {
        let mut headers = HeaderMap::new();
        for (name, value) in head {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Arrival::receive(Method::POST, path, None, headers, &ManualClock::at(chrono::DateTime::UNIX_EPOCH))
    }

    #[test]
    fn a_header_does_not_choose_the_dialect_of_a_path_that_one_vendor_has() {
        let arrival = arrival("/v1/chat/completions", &[("anthropic-version", "2023-06-01")]);
        assert_eq!(arrival.docket().dialect, Dialect::OpenAi);
    }

    #[test]
    fn the_one_path_of_three_vendors_is_whose_sdk_asks() {
        let dialect = |head: &[(&'static str, &'static str)]| {
            let headers = head.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)));
            let clock = ManualClock::at(chrono::DateTime::UNIX_EPOCH);
            let list = Arrival::receive(Method::GET, "/v1/models", None, headers.collect(), &clock);
            list.docket().dialect
        };
        assert_eq!(dialect(&[]), Dialect::OpenAi);
        assert_eq!(dialect(&[("anthropic-version", "2023-06-01")]), Dialect::Anthropic);
        assert_eq!(dialect(&[("x-goog-api-key", "k")]), Dialect::Gemini);
    }

    #[test]
    fn one_well_formed_trace_context_is_kept_and_nothing_else() {
        const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let kept = |values: &[&'static str]| {
            let head: Vec<_> = values.iter().map(|value| ("traceparent", *value)).collect();
            arrival("/", &head).docket().traceparent.clone()
        };
        assert_eq!(kept(&[GOOD]).as_deref(), Some(GOOD));
        for bad in [
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-words-of-the-client",
            "",
        ] {
            assert_eq!(kept(&[bad]), None, "{bad}");
        }
        assert_eq!(kept(&[GOOD, GOOD]), None);
    }
}
