//! What a record says: the docket and the outcome as one line of JSON each, a CloudEvent, written straight into bytes.
//!
//! Names, counts, sizes and verdicts only, never content. Every list has a bound, so every line is below 60 KiB. The place in the
//! chain (`sequence`, `prevhash`) is the writer's. The decision line is the hot one: no tree, one buffer.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::Method;
use serde_json::Value;
use uuid::Uuid;

use super::action::{Action, Decision, kind};
use super::floods::Suppressed;
use super::json::Line;
use super::recovery::Torn;
use super::writer::Draft;
use crate::docket::{Actor, Binding, CheckVerdict, Checks, Docket};
use crate::id::Uuids;
use crate::id::{Environment, OrganizationId, UpstreamId};
use crate::reason::Reason;
use crate::speech::Operation;

/// Bounds of a record's lists.
const MOST_ROLES: usize = 16;
const MOST_FINDINGS: usize = 128;
const MOST_REASONS: usize = 32;
const MOST_RULES: usize = 64;
const MOST_FACTS: usize = 48;
const MOST_FACT_BYTES: usize = 512;
/// Longest `details` of a governance record, in bytes.
const MOST_DETAILS_BYTES: usize = 48 * 1024;

/// The fields that every record begins with.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// Whose log.
    pub(super) origin: &'a str,
    /// Names the record.
    pub(super) id: Uuid,
    /// `portcullis.….v1`.
    pub(super) kind: &'static str,
    /// When it was made.
    pub(super) at: DateTime<Utc>,
}

impl Envelope<'_> {
    /// Begins a line up to where the chain's fields go in; `subject` writes the subject without its quotes.
    pub(super) fn open(&self, capacity: usize, subject: impl FnOnce(&mut Line)) -> (Line, usize) {
        let mut line = Line::with_capacity(capacity);
        line.raw(r#"{"specversion":"1.0","id":"#).uuid(self.id);
        line.raw(r#","source":"//"#).raw(self.origin).raw(r#"","type":""#).raw(self.kind);
        line.raw(r#"","subject":""#);
        subject(&mut line);
        line.raw(r#"","time":"#).time(self.at).raw(r#","datacontenttype":"application/json","#);
        let split = line.len();
        (line, split)
    }
}

/// A decision that is to be recorded.
#[derive(Debug)]
pub(super) struct Judgement<'a> {
    pub(super) docket: &'a Docket,
    pub(super) action: Action,
    pub(super) decision: Decision,
    pub(super) reason: Option<Reason>,
    /// The status the caller gets; a call that is let through has none yet.
    pub(super) status: Option<u16>,
    /// From the head's arrival to here.
    pub(super) took: Duration,
}

/// The decision record.
pub(super) fn decision(envelope: &Envelope<'_>, judged: &Judgement<'_>) -> Draft {
    let docket = judged.docket;
    let (mut line, split) = envelope.open(1536, |line| subject(line, docket));
    joined(&mut line, docket);
    line.raw(r#""data":{"actor":"#);
    actor(&mut line, &docket.actor);
    line.raw(r#","organization":"#).name_or_null(docket.organization.as_ref().map(OrganizationId::as_str));
    line.raw(r#","environment":"#).name_or_null(docket.environment.as_ref().map(Environment::as_str));
    line.raw(r#","action":""#).raw(judged.action.as_str());
    line.raw(r#"","decision":""#).raw(judged.decision.as_str()).raw(r#"""#);
    reason(&mut line, judged.reason, docket.checks);
    checks(&mut line, docket.checks);
    resource(&mut line, docket);
    prompt(&mut line, docket);
    line.raw(r#","rules":"#).list("[", docket.rules.iter().take(MOST_RULES), "]", |line, rule| {
        line.word(rule.as_str());
    });
    match &docket.registry {
        Some((revision, digest)) => {
            line.raw(r#","registry":{"revision":"#).number(revision.0).raw(r#","digest":"#).digest(digest).raw("}")
        }
        None => line.raw(r#","registry":null"#),
    };
    risk(&mut line, docket);
    llm(&mut line, docket);
    line.raw(r#","http":{"method":""#).raw(method_word(&docket.method));
    line.raw(r#"","route":"#).name_or_null(docket.route);
    line.raw(r#","status":"#).number_or_null(judged.status);
    line.raw(r#","bytes_in":"#).number(docket.bytes_in);
    line.raw(r#"},"facts":"#).list("{", docket.facts.iter().take(MOST_FACTS), "}", |line, (name, fact)| {
        line.text(name).raw(":").value(fact, MOST_FACT_BYTES);
    });
    if let Some(fault) = &docket.fault {
        line.raw(r#","fault":"#).text(fault);
    }
    line.raw(r#","latency_us":{"policy":"#).number(u64::try_from(judged.took.as_micros()).unwrap_or(u64::MAX));
    line.raw(r#"},"request_id":""#).raw(docket.request_id.as_str()).raw(r#""}}"#);
    Draft::new(line.into_bytes(), split)
}

/// What the record is about: the model version as judged, else the route, else nothing nameable.
pub(super) fn subject(line: &mut Line, docket: &Docket) {
    match (&docket.resource, docket.route) {
        (Some(resource), _) => {
            line.raw(resource.kind).raw("/").escaped(&resource.id);
            if let Some(version) = &resource.version {
                line.raw("/").escaped(version);
            }
        }
        (None, Some(route)) => {
            line.raw("route").raw(route);
        }
        (None, None) => {
            line.raw("request");
        }
    }
}

/// The fields that join the records of a call.
pub(super) fn joined(line: &mut Line, docket: &Docket) {
    line.raw(r#""correlationid":""#).raw(docket.correlation_id.as_str()).raw(r#"","#);
    if let Some(traceparent) = &docket.traceparent {
        line.raw(r#""traceparent":"#).text(traceparent).raw(",");
    }
    if let Some(tenant) = &docket.tenant {
        line.raw(r#""tenantid":""#).raw(tenant.as_str()).raw(r#"","#);
    }
}

fn actor(line: &mut Line, actor: &Actor) {
    match actor {
        Actor::Anonymous => line.raw(r#"{"type":"anonymous"}"#),
        Actor::ApiKey { id, roles } => {
            line.raw(r#"{"type":"api_key","id":""#).raw(id.as_str());
            line.raw(r#"","roles":"#).list("[", roles.iter().take(MOST_ROLES), "]", |line, role| {
                line.word(role.as_str());
            });
            line.raw("}")
        }
    };
}

/// A method that HTTP registers by its name (RFC 9110 section 9, RFC 5789); one that the client made up is its own text.
const fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "other",
    }
}

fn reason(line: &mut Line, reason: Option<Reason>, checks: Checks) {
    match reason {
        Some(reason) => line
            .raw(r#","reason":{"code":"#)
            .word(reason.code())
            .raw(r#","failure_class":"#)
            .word(reason.class().as_str())
            .raw(r#","kind":"#)
            .word(kind(reason, checks))
            .raw("}"),
        None => line.raw(r#","reason":null"#),
    };
}

fn checks(line: &mut Line, checks: Checks) {
    line.raw(r#","checks":{"identity":"#);
    verdict(line, checks.identity).raw(r#","request":"#);
    verdict(line, checks.request).raw(r#","model":"#);
    verdict(line, checks.model).raw(r#","prompt":"#);
    verdict(line, checks.prompt).raw(r#","rules":"#);
    verdict(line, checks.rules).raw(r#","limits":"#);
    verdict(line, checks.limits).raw(r#","risk":"#);
    verdict(line, checks.risk).raw(r#","breaker":"#);
    verdict(line, checks.breaker).raw("}");
}

#[inline]
fn verdict(line: &mut Line, verdict: CheckVerdict) -> &mut Line {
    // A literal in each arm: its length is known then, and it is stored rather than copied.
    match verdict {
        CheckVerdict::Pass => line.raw(r#""pass""#),
        CheckVerdict::Flag => line.raw(r#""flag""#),
        CheckVerdict::Block => line.raw(r#""block""#),
        CheckVerdict::NotApplicable => line.raw(r#""not_applicable""#),
        CheckVerdict::Error => line.raw(r#""error""#),
    }
}

fn resource(line: &mut Line, docket: &Docket) {
    let Some(resource) = &docket.resource else {
        line.raw(r#","resource":null"#);
        return;
    };
    line.raw(r#","resource":{"type":""#).raw(resource.kind).raw(r#"","id":"#).text(&resource.id);
    line.raw(r#","version":"#).text_or_null(resource.version.as_deref());
    line.raw(r#","status":"#).name_or_null(resource.status);
    line.raw(r#","risk_level":"#).name_or_null(resource.risk_level).raw("}");
}

fn prompt(line: &mut Line, docket: &Docket) {
    let Some(prompt) = &docket.prompt else {
        line.raw(r#","prompt":null"#);
        return;
    };
    let binding = match prompt.binding {
        Binding::Declared => "declared",
        Binding::Matched => "matched",
    };
    line.raw(r#","prompt":{"id":""#).raw(prompt.id.as_str()).raw(r#"","version":"#).number(prompt.version);
    line.raw(r#","binding":""#).raw(binding).raw(r#""}"#);
}

fn risk(line: &mut Line, docket: &Docket) {
    let risk = &docket.risk;
    line.raw(r#","risk":{"score":"#).number(risk.score);
    line.raw(r#","findings":"#).list("{", risk.findings.iter().take(MOST_FINDINGS), "}", |line, (name, count)| {
        line.text(name).raw(":").number(*count);
    });
    line.raw(r#","reasons":"#).list("[", risk.reasons.iter().take(MOST_REASONS), "]", |line, why| {
        line.text(why);
    });
    line.raw("}");
}

fn llm(line: &mut Line, docket: &Docket) {
    line.raw(r#","llm":{"dialect":""#).raw(docket.dialect.as_str());
    line.raw(r#"","operation":"#).name_or_null(docket.operation.map(Operation::as_str));
    line.raw(r#","upstream":"#).name_or_null(docket.upstream.as_ref().map(UpstreamId::as_str));
    line.raw(r#","stream":"#).flag(docket.stream);
    line.raw(r#","max_tokens":"#).number_or_null(docket.max_tokens);
    line.raw(r#","reserved_tokens":"#).number_or_null(docket.reserved_tokens).raw("}");
}

/// Something that happened to the gate or its registry, not to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernanceAct {
    /// What was done, in capitals: `REGISTRY_ACTIVATED`, `GATE_STARTED` …
    pub action: &'static str,
    /// What it was done to: `registry/12`, `model/gpt-4o/1` …
    pub subject: String,
    /// Figures and names of it, never content. More than 48 KiB stands as its digest.
    pub data: Value,
}

/// The governance record.
pub(super) fn governance(envelope: &Envelope<'_>, act: &GovernanceAct) -> Draft {
    let (mut line, split) = envelope.open(1024, |line| {
        line.escaped(&act.subject);
    });
    line.raw(r#""data":{"actor":{"type":"gate"},"action":"#).text(act.action);
    line.raw(r#","details":"#).value(&act.data, MOST_DETAILS_BYTES).raw("}}");
    Draft::new(line.into_bytes(), split)
}

/// The record of a torn tail that was cut off at start.
///
/// # Errors
/// When the system gives no randomness for the record's name.
pub(super) fn recovered(origin: &str, torn: &Torn, at: DateTime<Utc>) -> std::io::Result<Draft> {
    let envelope = Envelope { origin, id: Uuids::new()?.next(at), kind: "portcullis.log.recovered.v1", at };
    let act = GovernanceAct {
        action: "LOG_RECOVERED",
        subject: format!("log/{}", torn.first),
        data: serde_json::json!({
            "first_lost": torn.first, "bytes": torn.bytes, "complete_lines": torn.complete_lines,
            "digest": torn.digest.to_string(),
        }),
    };
    Ok(governance(&envelope, &act))
}

/// The record of refusals that were only counted.
pub(super) fn suppressed(envelope: &Envelope<'_>, suppressed: &Suppressed) -> Draft {
    let (mut line, split) = envelope.open(1024, |line| {
        line.raw("floods");
    });
    line.raw(r#""data":{"action":"SUPPRESSED","decision":"block","counts":"#);
    counts(&mut line, &suppressed.counts);
    line.raw(r#","tenants":"#).list("{", &suppressed.tenants, "}", |line, (tenant, codes)| {
        line.text(tenant.as_ref().map_or("other", |tenant| tenant.as_str())).raw(":");
        counts(line, codes);
    });
    line.raw("}}");
    Draft::new(line.into_bytes(), split)
}

fn counts(line: &mut Line, counts: &BTreeMap<&'static str, u64>) {
    line.list("{", counts, "}", |line, (code, count)| {
        line.word(code).raw(":").number(*count);
    });
}
