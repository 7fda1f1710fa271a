//! Which head fields travel: requests by allow list, responses without what belongs to one connection.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::speech::Dialect;

/// Request fields that may go upstream. Everything else stays here: credentials, tenant and verdict headers, routing
/// hints, cookies, forwarding chains, whatever a vendor invents next.
static REQUEST: [HeaderName; 5] = [
    header::ACCEPT,
    header::USER_AGENT,
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-beta"),
];

/// Request fields of Amazon Bedrock's invocations that may go upstream, with plain words only: how the answer is made,
/// and which of the account's guardrails watches it. Dropped, a guardrail would be missed in silence.
static BEDROCK_REQUEST: [HeaderName; 6] = [
    HeaderName::from_static("x-amzn-bedrock-accept"),
    HeaderName::from_static("x-amzn-bedrock-guardrailidentifier"),
    HeaderName::from_static("x-amzn-bedrock-guardrailversion"),
    HeaderName::from_static("x-amzn-bedrock-performanceconfig-latency"),
    HeaderName::from_static("x-amzn-bedrock-service-tier"),
    HeaderName::from_static("x-amzn-bedrock-trace"),
];

/// Longest value of these, in bytes: that of a guardrail's ARN.
const LONGEST_WORD: usize = 2048;

/// Fields of a response that belong to the hop or to the upstream's own account, not to the caller.
static RESPONSE_DROPPED: [HeaderName; 16] = [
    header::CONNECTION,
    // Undone here.
    header::CONTENT_ENCODING,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ALT_SVC,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::SERVER,
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("anthropic-organization-id"),
];

/// Beginnings of names that an upstream may not use towards the caller: the gate's own words, and limits that are not
/// the caller's.
const RESPONSE_DROPPED_PREFIXES: [&str; 3] = ["x-portcullis-", "x-ratelimit-", "anthropic-ratelimit-"];

/// Whether a head says in one way how long its body is (RFC 9112 section 6): one length or `chunked` alone, or
/// neither. hyper takes more than that, and a second reader might take it differently.
pub(super) fn length_is_plain(head: &HeaderMap) -> bool {
    let lengths = head.get_all(header::CONTENT_LENGTH).iter().count();
    let mut codings = head.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => lengths <= 1,
        (Some(coding), None) => lengths == 0 && coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Whether the head asks for another protocol on its connection: it names one, and `Connection` says so, without which
/// the field is to be ignored (RFC 9110 section 7.8).
pub(super) fn asks_for_upgrade(head: &HeaderMap) -> bool {
    head.contains_key(header::UPGRADE) && is_nominated(head, &header::UPGRADE)
}

/// Whether the head expects nothing, or what every server can do (RFC 9110 section 10.1.1).
pub(super) fn expectation_is_plain(head: &HeaderMap) -> bool {
    let mut lines = head.get_all(header::EXPECT).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(line), None) => line.as_bytes().eq_ignore_ascii_case(b"100-continue"),
        (Some(_), Some(_)) => false,
    }
}

/// Whether nothing in the head of an answer with a body says where that body ends.
pub(super) fn ends_by_closing(head: &HeaderMap) -> bool {
    !head.contains_key(header::CONTENT_LENGTH) && !head.contains_key(header::TRANSFER_ENCODING)
}

/// The fields of `client` that go upstream. A field the client nominated in any `Connection` line belongs to its
/// connection and stays here, like all that is not on the list.
pub(super) fn for_upstream(client: &HeaderMap, dialect: Dialect) -> HeaderMap {
    // hyper fills the map anew with the answer's head, which then takes the gate's own fields besides.
    let mut out = HeaderMap::with_capacity(24);
    let has_nominations = client.contains_key(header::CONNECTION);
    for name in &REQUEST {
        if has_nominations && is_nominated(client, name) {
            continue;
        }
        for value in client.get_all(name) {
            out.append(name.clone(), value.clone());
        }
    }
    if dialect == Dialect::Bedrock {
        for name in &BEDROCK_REQUEST {
            let mut values = client.get_all(name).iter();
            if let (Some(value), None) = (values.next(), values.next())
                && is_word(value.as_bytes())
                && !is_nominated(client, name)
            {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    out
}

/// Takes from an upstream's head what may not reach the caller.
pub(super) fn for_client(mut head: HeaderMap) -> HeaderMap {
    let has_nominations = head.contains_key(header::CONNECTION);
    let mut dropped = Vec::new();
    for name in head.keys() {
        // Framing is ours to write; a nomination cannot take it away.
        let framing = *name == header::CONTENT_LENGTH || *name == header::CONTENT_TYPE;
        if !framing && (is_dropped(name) || (has_nominations && is_nominated(&head, name))) {
            dropped.push(name.clone());
        }
    }
    for name in dropped {
        head.remove(name);
    }
    head
}

fn is_word(value: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'.' | b'_' | b'-' | b'*');
    value.len() <= LONGEST_WORD && value.iter().all(plain)
}

fn is_dropped(name: &HeaderName) -> bool {
    RESPONSE_DROPPED.contains(name) || RESPONSE_DROPPED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

fn nominations(head: &HeaderMap) -> impl Iterator<Item = &str> {
    head.get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

fn is_nominated(head: &HeaderMap, name: &HeaderName) -> bool {
    nominations(head).any(|nominated| nominated.eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{for_client, for_upstream};
    use crate::speech::Dialect;

    fn head(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn only_listed_fields_go_upstream() {
        let sent = head(&[
            ("authorization", "Bearer pcl_k1_x"),
            ("x-tenant", "other"),
            ("helicone-property-model", "x"),
            ("openai-organization", "org-x"),
            ("accept-encoding", "gzip"),
            ("host", "evil"),
            ("anthropic-version", "2023-06-01"),
            ("user-agent", "sdk"),
            ("connection", "keep-alive"),
            ("connection", "User-Agent"),
            ("x-amzn-bedrock-trace", "ENABLED"),
        ]);
        let out = for_upstream(&sent, Dialect::OpenAi);
        let mut names: Vec<_> = out.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "anthropic-version", "content-type"]);
        assert_eq!(out["accept-encoding"], "identity");
    }

    #[test]
    fn what_watches_an_invocation_goes_upstream_when_it_is_plain_words() {
        let out = for_upstream(
            &head(&[
                ("x-amzn-bedrock-guardrailidentifier", "arn:aws:bedrock:eu-west-1:1:guardrail/x"),
                ("x-amzn-bedrock-guardrailversion", "1"),
                ("x-amzn-bedrock-guardrailversion", "2"),
                ("x-amzn-bedrock-trace", "ENABLED please"),
                ("x-amzn-bedrock-projectidentifier", "other"),
                ("x-amzn-bedrock-request-metadata", "{}"),
                ("x-amz-security-token", "t"),
            ]),
            Dialect::Bedrock,
        );
        let mut names: Vec<_> = out.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "content-type", "x-amzn-bedrock-guardrailidentifier"]);
    }

    #[test]
    fn what_belongs_to_the_hop_does_not_reach_the_caller() {
        let out = for_client(head(&[
            ("connection", "x-hop, content-length"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("openai-organization", "org"),
            ("x-portcullis-reason", "model_unknown"),
            ("x-keep", "1"),
        ]));
        let mut names: Vec<_> = out.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x-keep"]);
    }
}
