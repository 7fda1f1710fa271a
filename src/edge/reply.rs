//! How the gate answers for itself: the only table from reason to status, in the shape that `words` has for each dialect.
//!
//! A refusal shows its code, one sentence, the request id and when to come back; never rule text, topology or the
//! caller's own body.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::words;
use crate::audit::Address;
use crate::call::Framing;
use crate::docket::Docket;
use crate::quota::{Gauge, Standing};
use crate::reason::Reason;
use crate::speech::Dialect;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
static AMAZON_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
static CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
static DECISION: HeaderName = HeaderName::from_static("x-portcullis-decision");
/// Where Amazon's SDKs look for the exception.
static AMAZON_ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
static REASON: HeaderName = HeaderName::from_static("x-portcullis-reason");
static AUDIT: HeaderName = HeaderName::from_static("x-portcullis-audit");
/// Limit, remaining and reset of requests, then of tokens.
static REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
static TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// What the values of the gate's own fields of one head take, mostly.
const TYPICAL_BYTES: usize = 256;

/// The status of a reason: the contract's table, once.
#[must_use]
pub const fn status(reason: Reason) -> StatusCode {
    use Reason as R;
    match reason {
        R::MalformedRequest
        | R::AmbiguousRequest
        | R::ModelMissing
        | R::ForbiddenField
        | R::UnsupportedParameter
        | R::ReasonRequired => StatusCode::BAD_REQUEST,
        R::CredentialMissing | R::CredentialInvalid | R::CredentialExpired => StatusCode::UNAUTHORIZED,
        R::TenantMismatch
        | R::ModelUnknown
        | R::ModelNotApproved
        | R::ModelNotPermitted
        | R::PromptRequired
        | R::PromptUnknown
        | R::PromptNotApproved
        | R::RuleDenied
        | R::ApprovalRequired
        | R::RoleDenied
        | R::SelfApproval
        | R::OperationNotPermitted
        | R::ReferenceNotPermitted
        | R::RiskBlocked => StatusCode::FORBIDDEN,
        R::UnsupportedOperation => StatusCode::NOT_FOUND,
        R::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        R::IdempotencyConflict | R::InvalidTransition | R::AlreadyExists | R::RegistryReadOnly => StatusCode::CONFLICT,
        R::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        R::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        R::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        R::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        R::RequestLimit | R::TokenLimit | R::BudgetExhausted | R::ConcurrencyLimit => StatusCode::TOO_MANY_REQUESTS,
        R::UpstreamFailed => StatusCode::BAD_GATEWAY,
        R::BreakerOpen | R::Overloaded | R::AuditUnavailable | R::RegistryUnavailable | R::SharedStateUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        R::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        R::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body of a refusal in the caller's dialect.
#[must_use]
pub fn refusal_body(docket: &Docket, reason: Reason) -> Bytes {
    Bytes::from(error_value(docket, reason).to_string())
}

/// A refusal after a stream has begun: one error of the dialect in the stream's framing, set off from whatever was cut
/// before it; `within_line` says that this was a line of a stream of lines.
#[must_use]
pub fn refusal_event(docket: &Docket, reason: Reason, framing: Framing, within_line: bool) -> Bytes {
    words::error_event(docket, framing, within_line, &error_value(docket, reason))
}

fn error_value(docket: &Docket, reason: Reason) -> serde_json::Value {
    words::error_value(docket, reason, status(reason), &message(docket, reason))
}

fn message(docket: &Docket, reason: Reason) -> String {
    let place = docket.fault.as_deref().map(|fault| format!(": {fault}")).unwrap_or_default();
    format!("{}{place} [{}] (request {})", reason.message(), reason.code(), docket.request_id)
}

/// The gate's own fields of a head. Their values stand one behind the other in one allocation.
pub(super) struct Fields<'h> {
    headers: &'h mut HeaderMap,
    text: BytesMut,
}

impl<'h> Fields<'h> {
    pub(super) fn of(headers: &'h mut HeaderMap) -> Self {
        Self { headers, text: BytesMut::with_capacity(TYPICAL_BYTES) }
    }

    /// What every answer to an identified request says: its names and what was decided.
    pub(super) fn sign(&mut self, docket: &Docket, decision: &'static str, reason: Option<Reason>) {
        self.put(&REQUEST_ID, |text| text.extend_from_slice(docket.request_id.as_str().as_bytes()));
        // Where Anthropic's and Amazon's SDKs look; an upstream's own would name another request.
        if docket.dialect == Dialect::Anthropic {
            self.put(&ANTHROPIC_REQUEST_ID, |text| text.extend_from_slice(docket.request_id.as_str().as_bytes()));
        }
        if docket.dialect == Dialect::Bedrock {
            self.put(&AMAZON_REQUEST_ID, |text| text.extend_from_slice(docket.request_id.as_str().as_bytes()));
        }
        self.put(&CORRELATION_ID, |text| text.extend_from_slice(docket.correlation_id.as_str().as_bytes()));
        self.headers.insert(&DECISION, HeaderValue::from_static(decision));
        if let Some(reason) = reason {
            if docket.dialect == Dialect::Bedrock {
                let exception = words::bedrock_exception(status(reason));
                self.headers.insert(&AMAZON_ERROR_TYPE, HeaderValue::from_static(exception));
            }
            self.headers.insert(&REASON, HeaderValue::from_static(reason.code()));
        }
    }

    /// Where the record stands.
    pub(super) fn address(&mut self, address: &Address) {
        self.put(&AUDIT, |text| {
            text.extend_from_slice(address.origin.as_bytes());
            text.extend_from_slice(b"#");
            put_number(text, address.sequence);
        });
    }

    /// Where the tenant stands, in the contract's header names.
    pub(super) fn standing(&mut self, standing: &Standing) {
        let mut show = |[limit, remaining, reset]: &[HeaderName; 3], gauge: &Gauge| {
            self.put(limit, |text| put_number(text, gauge.limit.into()));
            self.put(remaining, |text| put_number(text, gauge.remaining.into()));
            self.put(reset, |text| put_number(text, whole_seconds(gauge.reset)));
        };
        show(&REQUESTS, &standing.requests);
        if let Some(tokens) = &standing.tokens {
            show(&TOKENS, tokens);
        }
    }

    /// `Retry-After` in seconds, rounded up so that coming back then is not too early.
    pub(super) fn retry(&mut self, after: Duration) {
        self.put(&header::RETRY_AFTER, |text| put_number(text, whole_seconds(after).max(1)));
    }

    /// Sets a field to what `write` writes: names and numbers, which are always valid header text.
    fn put(&mut self, name: &HeaderName, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.text);
        if let Ok(value) = HeaderValue::from_maybe_shared(self.text.split().freeze()) {
            self.headers.insert(name, value);
        }
    }
}

/// Appends a number in decimal.
fn put_number(text: &mut BytesMut, number: u64) {
    // As many digits as the largest has.
    let mut digits = [0; 20];
    let (mut left, mut start) = (number, digits.len());
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        start -= 1;
        if left == 0 {
            break;
        }
    }
    text.extend_from_slice(digits.get(start..).unwrap_or_default());
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, Method};

    use super::{Fields, Framing, put_number, refusal_body, refusal_event, status, whole_seconds};
    use crate::clock::Moment;
    use crate::docket::Docket;
    use crate::id::{CorrelationId, RequestId};
    use crate::reason::{FailureClass, Reason};
    use crate::speech::Dialect;

    fn docket(dialect: Dialect) -> Docket {
        let name = "req-1";
        let mut docket = Docket::open(
            RequestId::parse(name).unwrap(),
            CorrelationId::parse(name).unwrap(),
            Method::POST,
            Moment::default(),
            chrono::DateTime::UNIX_EPOCH,
        );
        docket.dialect = dialect;
        docket
    }

    #[test]
    fn a_status_suits_the_failure_class() {
        for reason in Reason::ALL {
            let status = status(*reason).as_u16();
            match reason.class() {
                FailureClass::ValidationError | FailureClass::WorkflowError => assert!((400..=431).contains(&status)),
                FailureClass::PolicyViolation => assert!([401, 403, 404, 429].contains(&status), "{reason:?}"),
                FailureClass::HighRisk => assert_eq!(status, 403),
                FailureClass::InfraError => assert!([502, 503, 504].contains(&status)),
                FailureClass::UnexpectedError => assert_eq!(status, 500),
            }
        }
    }

    #[test]
    fn each_dialect_finds_our_code_where_its_sdk_looks() {
        let openai: serde_json::Value =
            serde_json::from_slice(&refusal_body(&docket(Dialect::OpenAi), Reason::ModelUnknown)).unwrap();
        assert_eq!(openai["error"]["code"], "model_unknown");
        let anthropic: serde_json::Value =
            serde_json::from_slice(&refusal_body(&docket(Dialect::Anthropic), Reason::RequestLimit)).unwrap();
        assert_eq!(anthropic["error"]["type"], "rate_limit_error");
        assert_eq!(anthropic["error"]["details"]["error_code"], "request_limit");
        assert!(anthropic["error"]["message"].as_str().unwrap().contains("[request_limit]"));
    }

    #[test]
    fn each_dialect_finds_the_request_id_where_its_sdk_looks() {
        let signed = |dialect| {
            let mut headers = HeaderMap::new();
            headers.insert("request-id", HeaderValue::from_static("of-the-upstream"));
            Fields::of(&mut headers).sign(&docket(dialect), "allow", None);
            headers
        };
        assert_eq!(signed(Dialect::OpenAi)["x-request-id"], "req-1");
        let anthropic = signed(Dialect::Anthropic);
        assert_eq!(anthropic["x-request-id"], "req-1");
        assert_eq!(anthropic["request-id"], "req-1");
        assert_eq!(signed(Dialect::Bedrock)["x-amzn-requestid"], "req-1");
    }

    #[test]
    fn an_error_event_stands_apart_from_a_cut_one() {
        let event = refusal_event(&docket(Dialect::Anthropic), Reason::UpstreamFailed, Framing::Events, false);
        assert!(event.starts_with(b"\n\nevent: error\ndata: {") && event.ends_with(b"}\n\n"));
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for number in [0, 7, 10, 99, 1_000_000, u64::MAX - 1, u64::MAX] {
            let mut text = bytes::BytesMut::new();
            put_number(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }

    #[test]
    fn a_stream_of_lines_ends_with_a_line_of_its_own_and_no_blank_one() {
        let line = |within| refusal_event(&docket(Dialect::Ollama), Reason::UpstreamFailed, Framing::Lines, within);
        let error: serde_json::Value = serde_json::from_slice(&line(false)).unwrap();
        assert_eq!(error["code"], "upstream_failed");
        assert_eq!(line(true), [b"\n", &line(false)[..]].concat());
        assert!(line(false).ends_with(b"}\n"));
    }

    #[test]
    fn a_message_of_coheres_that_broke_off_ends_as_cohere_ends_it() {
        let event = refusal_event(&docket(Dialect::Cohere), Reason::UpstreamTimeout, Framing::Events, false);
        let data = event.strip_prefix(b"\n\nevent: message-end\ndata: ").unwrap();
        let end: serde_json::Value = serde_json::from_slice(data).unwrap();
        assert_eq!((&end["type"], &end["delta"]["finish_reason"]), (&"message-end".into(), &"ERROR".into()));
        assert!(end["delta"]["error"].as_str().unwrap().contains("[upstream_timeout]"));
    }

    #[test]
    fn waiting_times_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
    }
}
