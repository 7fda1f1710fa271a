//! One request from its head to its answer: take it in, have it judged, have it sealed, act.
//!
//! The order of the stages is `pipeline`'s; what stands here is what the world needs around it: the body, the record
//! before the act, the forwarding, and that a call outlives its client.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::body::{self, Bounds, Budget, Share};
use super::mishap::{self, Witness};
use super::outlive::{Outlive, Presence, Shelter};
use super::relay::{Begun, Relay};
use super::reply::Fields;
use super::uncoded::Uncoded;
use super::upstream::{Answered, NoAnswer, Upstreams};
use super::{decode, headers, own, reply};
use crate::arrival::Arrival;
use crate::audit::{Audit, Decision, End, GovernanceAct, Outcome, Sealed, Unsealed};
use crate::breaker::{Health, Passage};
use crate::call::coding::Coding;
use crate::call::{Framing, Seen, Watch};
use crate::config::bootstrap::Intake as IntakeBounds;
use crate::docket::{CheckVerdict, Docket, Refuses, Stopped};
use crate::pipeline::{Admitted, Answer, Pipeline, Verdict};
use crate::reason::Reason;
use crate::telemetry::Metrics;
use crate::verdict::{Intake, Refusal};

/// What the gate sends back: its own words, or an upstream's.
pub(super) type Reply = Response<Either<Full<Bytes>, Relay>>;

/// All that an exchange needs; shared by all connections.
#[derive(Debug)]
pub struct Gate {
    /// The stages.
    pub pipeline: Pipeline,
    /// Where records go.
    pub audit: Arc<Audit>,
    /// The way out.
    pub upstreams: Upstreams,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Bounds of what is taken in.
    pub bounds: IntakeBounds,
    /// The budget for bodies in flight.
    pub(super) budget: Budget,
    /// Where exchanges that lost their client are finished.
    pub(super) shelter: Shelter,
}

impl Gate {
    /// Puts the parts together. `tasks` tracks the exchanges that lose their client. Must run inside the runtime.
    #[must_use]
    pub fn new(
        pipeline: Pipeline,
        audit: Arc<Audit>,
        upstreams: Upstreams,
        metrics: Arc<Metrics>,
        bounds: IntakeBounds,
        tasks: TaskTracker,
    ) -> Self {
        let budget = Budget::new(bounds.body_budget_bytes);
        let shelter = Shelter { tracker: tasks, runtime: Handle::current() };
        Self { pipeline, audit, upstreams, metrics, bounds, budget, shelter }
    }

    /// Brings the gauges that are read rather than counted up to date.
    pub fn show_gauges(&self) {
        let standing = self.pipeline.registry.standing();
        let age = self.pipeline.clock.utc().signed_duration_since(standing.loaded_at).num_seconds();
        self.metrics.registry_age_seconds.set(age.max(0));
        self.metrics.body_bytes.set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
        self.metrics.audit_queue_records.set(i64::try_from(self.audit.log().state().queued).unwrap_or(i64::MAX));
        for (upstream, state) in self.pipeline.stages.breakers.states() {
            self.metrics.show_breaker(upstream.as_str(), state as i64);
        }
    }

    /// Writes down that the gate opened, and under which registry.
    pub async fn record_start(&self, listen: &str) {
        let snapshot = self.pipeline.registry.current();
        self.record_act(GovernanceAct {
            action: "GATE_STARTED",
            subject: "gate".to_owned(),
            data: serde_json::json!({
                "version": env!("CARGO_PKG_VERSION"), "listen": listen,
                "revision": snapshot.revision(), "digest": snapshot.digest(),
            }),
        })
        .await;
    }

    /// Writes down a governance act; a log that cannot take it is visible in `/readyz` and refuses every call anyway.
    pub async fn record_act(&self, act: GovernanceAct) {
        let action = act.action;
        if self.audit.governance(&act).await.is_err() {
            tracing::error!(action, "a governance act could not be recorded: the audit log is not available");
        }
    }

    /// Answers one request. Dropping the future does not drop the call: it is finished in the shelter.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Option<IpAddr>) -> Reply {
        if request.uri().path() == "/health" && request.method() == Method::GET {
            return own::health();
        }
        let presence = Presence::default();
        let shelter = self.shelter.clone();
        Outlive::new(shelter, presence.clone(), self.unfailing(request, peer, presence)).await
    }

    /// The exchange, or what is said when it meets a defect.
    async fn unfailing(self: Arc<Self>, request: Request<Incoming>, peer: Option<IpAddr>, presence: Presence) -> Reply {
        let around = Around { presence, witness: Witness::default() };
        // What the exchange held is dropped before anything else is said.
        let reply = {
            let exchange = pin!(self.exchange(request, peer, &around));
            mishap::caught(exchange).await
        };
        if let Some(reply) = reply {
            return reply;
        }
        let mut reply = match around.witness.take() {
            Some((docket, true)) => refusal(&docket, Reason::Internal),
            Some((docket, false)) => self.refuse(Stopped::new(docket, Refusal::Defect), &Around::default()).await,
            None => own::json(reply::status(Reason::Internal), Bytes::new()),
        };
        // Nobody knows how much of the body was read.
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        reply
    }

    async fn exchange(&self, request: Request<Incoming>, peer: Option<IpAddr>, around: &Around) -> Reply {
        let (head, mut body) = request.into_parts();
        let waits = head.headers.contains_key(header::EXPECT);
        let version = head.version;
        let mut reply = self.judged(head, &mut body, peer, around).await;
        // A body that was refused unread would stand before the next request of its connection.
        let is_over = body.is_end_stream() || (!waits && body::leave(&mut body).await);
        if !is_over && version < Version::HTTP_2 {
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }

    async fn judged(
        &self,
        head: http::request::Parts,
        body: &mut Incoming,
        peer: Option<IpAddr>,
        around: &Around,
    ) -> Reply {
        let asks_for_upgrade = headers::asks_for_upgrade(&head.headers);
        let well_formed = head_is_well_formed(&head);
        let clock = &*self.pipeline.clock;
        let mut arrival = Arrival::receive(head.method, head.uri.path(), head.uri.query(), head.headers, clock);
        arrival.docket_mut().peer = peer;
        around.witness.note(arrival.docket());
        if !well_formed || asks_for_upgrade {
            let mut docket = arrival.into_docket();
            docket.checks.request = CheckVerdict::Block;
            let why = if well_formed { Intake::Upgrade } else { Intake::BadHead };
            return self.refuse(Stopped::new(docket, why.into()), around).await;
        }
        let mut admitted = match self.pipeline.admit(arrival) {
            Ok(admitted) => admitted,
            Err(stopped) => return self.refuse(stopped, around).await,
        };
        around.witness.note(admitted.docket_mut());
        let mut share = self.budget.share();
        // A path that no route claims is refused without its body.
        let taken = if admitted.operation().is_some() {
            let bounds = Bounds { limit_bytes: self.bounds.body_limit_bytes, time: self.bounds.body_timeout };
            body::take_in(body, bounds, &mut share).await
        } else {
            Ok(Bytes::new())
        };
        let verdict = match taken {
            Ok(bytes) => {
                admitted.docket_mut().bytes_in = bytes.len() as u64;
                match self.plain(&mut admitted, bytes, &mut share).await {
                    Ok(bytes) => self.pipeline.judge(admitted, bytes),
                    Err(why) => Verdict::Refuse(self.pipeline.refuse_intake(admitted, why)),
                }
            }
            Err(why) => Verdict::Refuse(self.pipeline.refuse_intake(admitted, why)),
        };
        match verdict {
            Verdict::Forward(passage) => self.forward(passage, share, around).await,
            Verdict::Answer(answer) => self.say(answer, around).await,
            Verdict::Refuse(stopped) => self.refuse(stopped, around).await,
        }
    }

    /// The body without the coding that the head names, where it is one that the gate undoes.
    async fn plain(&self, admitted: &mut Admitted, received: Bytes, share: &mut Share) -> Result<Bytes, Intake> {
        let Some(coding) = admitted.coding().filter(|_| !received.is_empty()) else { return Ok(received) };
        let plain = decode::undo(coding, &received, self.bounds.body_limit_bytes, &self.budget, share).await?;
        admitted.made_plain();
        Ok(plain)
    }

    /// Seals the call, then sends it, then passes the answer on.
    async fn forward(&self, passage: Passage, share: Share, around: &Around) -> Reply {
        let standing = passage.docket().tenant.as_ref().and_then(|tenant| self.pipeline.stages.quota.standing(tenant));
        let sealed = match self.audit.seal(passage).await {
            Ok(sealed) => Box::new(sealed),
            Err(unsealed) => return self.unsealed(unsealed),
        };
        around.witness.recorded();
        self.metrics.decided(sealed.docket(), "allow", None);
        let Some(answer) = around.presence.bound(self.upstreams.send(&sealed)).await else {
            let health = Health::Unknown;
            let _settled = sealed.finish(Outcome {
                end: End::Cancelled,
                status: None,
                seen: Seen::default(),
                first_byte_after: None,
                health,
            });
            return nobody();
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return self.no_answer(sealed, why),
        };
        let Answered { response, sent, timeouts } = answer;
        let (head, upstream) = response.into_parts();
        let Ok(coding) = Coding::of_answer(&head.headers) else { return self.no_answer(sealed, NoAnswer::Failed) };
        let upstream = Uncoded::new(upstream, coding, self.budget.share());
        let call = sealed.permit().call();
        let framing = framing(&head.headers).to_call(call.route().dialect, call.stream());
        // A coding has an end of its own.
        let ends_by_closing =
            coding.is_none() && head.version < Version::HTTP_2 && headers::ends_by_closing(&head.headers);
        let mut watch = Watch::new(call.route().dialect, call.operation(), framing);
        watch.see_head(&head.headers);
        let mut shown = headers::for_client(head.headers);
        if coding.is_some() {
            shown.remove(header::CONTENT_LENGTH);
        }
        let mut fields = Fields::of(&mut shown);
        fields.sign(sealed.docket(), "allow", None);
        fields.address(sealed.address());
        if let Some(standing) = &standing {
            fields.standing(standing);
        }
        let begun = Begun {
            watch,
            status: head.status.as_u16(),
            framing,
            ends_by_closing,
            first_byte_after: sent.elapsed(),
            timeouts,
            ends_at: sent + timeouts.total,
            share,
            sealed,
        };
        let mut response = Response::new(Either::Right(Relay::new(upstream, begun)));
        *response.status_mut() = head.status;
        *response.headers_mut() = shown;
        response
    }

    /// The upstream gave no answer that may be passed on: the sealed call ends with the gate's own words.
    fn no_answer(&self, sealed: Box<Sealed>, why: NoAnswer) -> Reply {
        let reason = why.reason();
        let mut response = refusal(sealed.docket(), reason);
        // The decision stands as recorded: the gate let the call through, the upstream did not answer it.
        let mut fields = Fields::of(response.headers_mut());
        fields.sign(sealed.docket(), Decision::Allow.as_str(), Some(reason));
        fields.address(sealed.address());
        self.metrics.failed_after_decision(sealed.docket(), reason);
        let _settled = sealed.finish(Outcome {
            end: End::Failed,
            status: Some(response.status().as_u16()),
            seen: Seen::default(),
            first_byte_after: None,
            health: Health::Failed,
        });
        response
    }

    /// Records a refusal, then says it.
    async fn refuse(&self, stopped: Stopped<Refusal>, around: &Around) -> Reply {
        let (reason, retry) = (stopped.why.reason(), stopped.why.retry_after());
        let status = reply::status(reason).as_u16();
        let decision = Decision::of(reason).as_str();
        match self.audit.refuse(stopped, status).await {
            Ok(recorded) => {
                around.witness.recorded();
                let address = recorded.address().cloned();
                let docket = recorded.into_docket();
                self.metrics.decided(&docket, decision, Some(reason));
                let mut response = refusal(&docket, reason);
                let standing = docket.tenant.as_ref().and_then(|tenant| self.pipeline.stages.quota.standing(tenant));
                let mut fields = Fields::of(response.headers_mut());
                if let Some(address) = &address {
                    fields.address(address);
                }
                if let Some(after) = retry {
                    fields.retry(after);
                }
                if let Some(standing) = &standing {
                    fields.standing(standing);
                }
                response
            }
            Err(unsealed) => self.unsealed(unsealed),
        }
    }

    /// Records an answer of the gate's own, then gives it.
    async fn say(&self, answer: Answer, around: &Around) -> Reply {
        let Answer { docket, asked } = answer;
        let refused = own::refusal_of(&asked);
        let decision = refused.map_or(Decision::Allow, Decision::of);
        match self.audit.answered(docket, own::action_of(&asked), decision, refused, 200).await {
            Ok(recorded) => {
                around.witness.recorded();
                let address = recorded.address().cloned();
                let docket = recorded.into_docket();
                let decision = decision.as_str();
                self.metrics.decided(&docket, decision, refused);
                let mut response = own::answer(&docket, &asked);
                let standing = docket.tenant.as_ref().and_then(|tenant| self.pipeline.stages.quota.standing(tenant));
                let mut fields = Fields::of(response.headers_mut());
                fields.sign(&docket, decision, refused);
                if let Some(address) = &address {
                    fields.address(address);
                }
                if let Some(standing) = &standing {
                    fields.standing(standing);
                }
                response
            }
            Err(unsealed) => self.unsealed(unsealed),
        }
    }

    /// All that a call without a durable record can become.
    fn unsealed(&self, unsealed: Unsealed) -> Reply {
        let docket = unsealed.into_docket();
        self.metrics.decided(&docket, "block", Some(Reason::AuditUnavailable));
        let mut response = refusal(&docket, Reason::AuditUnavailable);
        Fields::of(response.headers_mut()).retry(std::time::Duration::from_secs(1));
        response
    }
}

/// What stands around an exchange: whether its client is there, and what is known should it fail.
#[derive(Debug, Default)]
struct Around {
    presence: Presence,
    witness: Witness,
}

/// A refusal in the caller's dialect, signed.
fn refusal(docket: &Docket, reason: Reason) -> Reply {
    let mut response = own::json(reply::status(reason), reply::refusal_body(docket, reason));
    Fields::of(response.headers_mut()).sign(docket, Decision::of(reason).as_str(), Some(reason));
    response
}

/// The answer to a client that is not there to read it.
fn nobody() -> Reply {
    own::json(StatusCode::OK, Bytes::new())
}

fn framing(headers: &HeaderMap) -> Framing {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map_or(Framing::Whole, Framing::of)
}

/// Whether the head says in one way where the request goes and how long it is: one plain `Host` that agrees with the
/// target's own authority (RFC 9112 section 3.2), and one length or `chunked` alone (section 6.3). What it expects is
/// nothing that the gate does not do.
fn head_is_well_formed(head: &http::request::Parts) -> bool {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let host = first.map(|value| value.to_str().ok().filter(|text| is_plain_authority(text)));
    let host_is_good = match (host, second) {
        (_, Some(_)) | (Some(None), _) => false,
        // HTTP/2 says it in `:authority`; HTTP/1.1 needs the field besides an absolute target, too.
        (None, None) if head.version == Version::HTTP_2 => head.uri.authority().is_some(),
        (None, None) => head.version < Version::HTTP_11,
        (Some(Some(_)), None) => true,
    };
    let agrees = match (head.uri.authority(), host.flatten()) {
        (Some(target), Some(host)) => target.as_str().eq_ignore_ascii_case(host),
        (Some(target), None) => is_plain_authority(target.as_str()),
        (None, _) => true,
    };
    host_is_good && agrees && headers::length_is_plain(&head.headers) && headers::expectation_is_plain(&head.headers)
}

/// Whether this is a host, and perhaps a port, and nothing else.
fn is_plain_authority(text: &str) -> bool {
    // What is not the host is a colon and a port, which may be empty (RFC 3986 section 3.2.3).
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    // Nearly every client names its host in letters, digits, dots and dashes: those need no parser.
    let plain = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'.' || b == b'-'));
    match plain.and_then(|end| text.split_at_checked(end)) {
        None => !text.is_empty(),
        Some((host, rest)) if !host.is_empty() && rest.starts_with(':') => rest.strip_prefix(':').is_some_and(is_port),
        Some(_) => text.parse::<Authority>().is_ok_and(|authority| {
            let rest = (!text.contains('@')).then(|| text.strip_prefix(authority.host())).flatten();
            rest.is_some_and(|rest| rest.strip_prefix(':').is_none_or(is_port))
        }),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Version};

    use super::{Gate, head_is_well_formed, refusal};
    use crate::clock::Moment;
    use crate::docket::Docket;
    use crate::id::{CorrelationId, RequestId};
    use crate::reason::Reason;

    const fn size_of_future<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_is_kept_of_a_call_between_two_steps_stays_small() {
        // Each call in flight has one, and it is moved once.
        let size = size_of_future(Gate::exchange);
        assert!(size <= 8 * 1024, "{size} bytes");
    }

    fn good(version: Version, target: &str, lines: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        head_is_well_formed(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn exactly_one_plain_host_that_agrees_with_the_target() {
        let v1 = Version::HTTP_11;
        assert!(good(v1, "/v1/messages", &[("host", "localhost:4100")]));
        assert!(good(v1, "/v1/messages", &[("host", "[::1]:4100")]));
        assert!(good(v1, "/v1/messages", &[("host", "gate:")]));
        assert!(good(v1, "http://gate:1/v1/messages", &[("host", "gate:1")]));
        assert!(good(Version::HTTP_2, "http://gate:1/v1/messages", &[]));
        assert!(good(Version::HTTP_10, "/v1/messages", &[]));
        for lines in [
            vec![],
            vec![("host", "a"), ("host", "a")],
            vec![("host", "a/b")],
            vec![("host", "user@a")],
            vec![("host", "")],
            vec![("host", "a b")],
            vec![("host", "gate:http")],
            vec![("host", "gate:65536")],
            vec![("host", "gate:+1")],
        ] {
            assert!(!good(v1, "/v1/messages", &lines), "{lines:?}");
        }
        assert!(!good(v1, "http://gate/v1/messages", &[]));
        assert!(!good(Version::HTTP_2, "/v1/messages", &[]));
        assert!(!good(v1, "http://evil/v1/messages", &[("host", "gate:1")]));
        assert!(!good(Version::HTTP_2, "http://gate/v1/messages", &[("host", "evil")]));
    }

    #[test]
    fn a_call_that_waits_for_approval_is_held_in_its_head_as_in_its_record() {
        let (request, correlation) = (RequestId::parse("r").unwrap(), CorrelationId::parse("r").unwrap());
        let docket = Docket::open(request, correlation, Method::POST, Moment::default(), chrono::DateTime::UNIX_EPOCH);
        for (reason, decision) in [(Reason::ApprovalRequired, "hold"), (Reason::RuleDenied, "block")] {
            assert_eq!(refusal(&docket, reason).headers()["x-portcullis-decision"], decision);
        }
    }

    #[test]
    fn a_length_and_a_coding_together_are_not_well_formed() {
        let host = ("host", "a");
        assert!(!good(Version::HTTP_11, "/", &[host, ("content-length", "1"), ("transfer-encoding", "chunked")]));
        assert!(!good(Version::HTTP_11, "/", &[host, ("content-length", "1"), ("content-length", "1")]));
        assert!(good(Version::HTTP_11, "/", &[host, ("transfer-encoding", "chunked")]));
        for coding in ["gzip, chunked", "chunked, chunked", "gzip", "identity", "xchunked", ""] {
            assert!(!good(Version::HTTP_11, "/", &[host, ("transfer-encoding", coding)]), "{coding}");
        }
    }
}
