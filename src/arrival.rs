//! The first evidence: a request whose head was read, with its case file opened. The body is not read yet.
//!
//! Made by `edge::exchange`; consumed by `identity`.

use chrono::{DateTime, Utc};
use http::{HeaderMap, Method};

use crate::clock::Clock;
use crate::docket::Docket;
use crate::id::{self, CorrelationId, RequestId};
use crate::route::{self, Route};
use crate::speech::Dialect;

/// A request's head as received, and its docket.
#[derive(Debug)]
pub struct Arrival {
    docket: Box<Docket>,
    query: Option<String>,
    headers: HeaderMap,
    route: Option<&'static Route>,
}

impl Arrival {
    /// Opens the case: looks the route up by exact method and raw path and names the request.
    #[must_use]
    pub fn receive(method: Method, path: &str, query: Option<&str>, headers: HeaderMap, clock: &dyn Clock) -> Self {
        let at = clock.utc();
        let request_id = own_name(&headers, "x-request-id").unwrap_or_else(|| fresh_name(at));
        let correlation = own_name(&headers, "x-correlation-id").unwrap_or_else(|| request_id.clone());
        let route = route::find(&method, path);
        let mut docket = Docket::open(
            RequestId::parse(&request_id).unwrap_or_else(|_| unreachable!("a plain name")),
            CorrelationId::parse(&correlation).unwrap_or_else(|_| unreachable!("a plain name")),
            method,
            clock.moment(),
            at,
        );
        docket.dialect = match route {
            Some(route) if headers.contains_key("anthropic-version") && route.dialect == Dialect::OpenAi => {
                Dialect::Anthropic
            }
            Some(route) => route.dialect,
            None => route::likely_dialect(path),
        };
        docket.route = route.map(|r| r.path);
        docket.operation = route.map(|r| r.operation);
        Self { docket: Box::new(docket), query: query.map(ToOwned::to_owned), headers, route }
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

    /// The governed endpoint, or `None` where there is none.
    #[must_use]
    pub const fn route(&self) -> Option<&'static Route> {
        self.route
    }

    /// Ends the case here and gives its file back.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.docket
    }
}

/// A name that the client gave, if there is exactly one, short and plain.
fn own_name(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut all = headers.get_all(name).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let text = value.to_str().ok()?;
    (text.len() <= 64 && id::is_plain_name(text)).then(|| text.to_owned())
}

fn fresh_name(at: DateTime<Utc>) -> String {
    format!("req-{}", id::request_uuid(at).simple())
}
