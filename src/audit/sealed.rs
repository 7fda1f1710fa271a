//! The last evidence: a call whose decision is on stable storage. `edge::upstream` takes nothing but a [`Sealed`].
//!
//! A sealed call holds queue room for its outcome from the start, so that however it ends (finished, failed, client gone,
//! task cut down) its outcome is recorded, its tokens are settled, and its slot and probe are free, without I/O or
//! waiting.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::action::{Action, Decision};

use super::outcome::{self, End, Figures, Outcome, Settled};
use super::queue::{Address, Place, Unavailable};
use super::record::{self, Envelope, Judgement};
use super::{Audit, ROOM_WAIT};
use crate::breaker::{Health, Passage};
use crate::call::Seen;
use crate::clock::Moment;
use crate::config::policy::Price;
use crate::docket::{Docket, Refuses};
use crate::governance::Permit;
use crate::reason::Reason;
use crate::telemetry;

/// What a sealed call carries: the passage. This room's tests, which cannot make one, carry a stand-in.
pub(super) trait Carried {
    /// The case file.
    fn docket(&self) -> &Docket;
    /// The guess of the call's input tokens.
    fn input_estimate(&self) -> u64;
    /// The output that a batch may have when it is answered, later and where nobody sees it; `None` of a call that is
    /// none.
    fn later_output(&self) -> Option<u64>;
    /// What the model costs.
    fn price(&self) -> Option<&Price>;
    /// Settles tokens (`None` gives the whole reservation back), tells the breaker, frees the slot.
    fn close(self, tokens: Option<u64>, health: Health) -> Box<Docket>;
}

impl Carried for Passage {
    fn docket(&self) -> &Docket {
        Self::docket(self)
    }

    fn input_estimate(&self) -> u64 {
        self.permit().call().estimated_input_tokens()
    }

    fn later_output(&self) -> Option<u64> {
        self.permit().call().batch_lines()?;
        Some(crate::quota::reserve_for(self.permit()).saturating_sub(self.input_estimate()))
    }

    fn price(&self) -> Option<&Price> {
        let own = self.permit().model().file.price.as_ref();
        // The lines of a batch may cost differently each; then there is no one price.
        own.filter(|own| self.permit().items().all(|(_, model)| model.file.price.as_ref() == Some(own)))
    }

    fn close(self, tokens: Option<u64>, health: Health) -> Box<Docket> {
        Self::close(self, tokens, health)
    }
}

/// The record could not be written, so nothing moves. All it can become is the one 503 `audit_unavailable`.
#[derive(Debug)]
pub struct Unsealed {
    docket: Box<Docket>,
}

impl Unsealed {
    pub(super) const fn new(docket: Box<Docket>) -> Self {
        Self { docket }
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        &self.docket
    }

    /// The case file, for the reply.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.docket
    }
}

impl Refuses for Unsealed {
    fn reason(&self) -> Reason {
        Reason::AuditUnavailable
    }
}

/// Evidence that a call's decision is durable: it may go to its upstream.
///
/// Dropped without [`Sealed::finish`], it ends as cancelled.
#[derive(Debug)]
pub struct Sealed {
    held: Held<Passage>,
    address: Address,
}

impl Sealed {
    /// Where the decision stands.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The case file.
    #[must_use]
    pub fn docket(&self) -> &Docket {
        self.held.passage().docket()
    }

    /// What was permitted: the bytes to send, the model, the upstream.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        self.held.passage().permit()
    }

    /// Ends the call: settles its tokens, tells the breaker, queues the outcome. Neither waits nor does I/O.
    #[must_use]
    pub fn finish(self, outcome: Outcome) -> Settled {
        self.held.finish(outcome)
    }
}

/// Seals a passage, see [`Audit::seal`].
pub(super) async fn seal(audit: &Arc<Audit>, passage: Passage) -> Result<Sealed, Unsealed> {
    let (held, address) = hold(audit, passage).await?;
    Ok(Sealed { held, address })
}

/// Takes room for decision and outcome, queues the decision and waits until it is durable.
///
/// Dropped while it waits for room, the passage is dropped with it. Dropped later, the call ends as cancelled:
/// the decision is on its way and must not stay without an outcome.
pub(super) async fn hold<P: Carried>(audit: &Arc<Audit>, passage: P) -> Result<(Held<P>, Address), Unsealed> {
    let Ok([decision, outcome]) = audit.log.room::<2>(ROOM_WAIT).await else {
        return Err(Unsealed::new(passage.close(None, Health::Unknown)));
    };
    let (id, draft, now) = let_through(audit, passage.docket());
    let written = decision.write_at(draft, now);
    let mut held = Held { audit: Arc::clone(audit), call: Some(Call { passage, outcome, id, sealed: None }) };
    match written.await {
        Ok(address) => {
            held.seal(audit.clock.moment().max(now));
            Ok((held, address))
        }
        Err(Unavailable) => Err(Unsealed::new(held.give_up())),
    }
}

/// The record of a call that is let through.
fn let_through(audit: &Audit, docket: &Docket) -> (Uuid, super::Draft, Moment) {
    let now = audit.clock.moment();
    let at = audit.clock.utc();
    let id = audit.ids.next(at);
    let took = now.since(docket.arrived);
    audit.metrics.judged(Action::LlmCall.as_str(), took);
    let judged =
        Judgement { docket, action: Action::LlmCall, decision: Decision::Allow, reason: None, status: None, took };
    let envelope = Envelope { origin: audit.log.origin(), id, kind: "portcullis.decision.v1", at };
    (id, record::decision(&envelope, &judged), now)
}

/// A call whose decision is queued, and what is needed to end it.
#[derive(Debug)]
struct Call<P> {
    passage: P,
    outcome: Place,
    id: Uuid,
    /// When the decision was durable; `None` until then, and nothing was sent.
    sealed: Option<Moment>,
}

/// Ends its call when it is dropped.
#[derive(Debug)]
pub(super) struct Held<P: Carried> {
    audit: Arc<Audit>,
    /// Leaves only in the functions that consume the whole, and in `drop`.
    call: Option<Call<P>>,
}

impl<P: Carried> Held<P> {
    fn passage(&self) -> &P {
        let Some(call) = &self.call else { unreachable!("a held call leaves only with its holder") };
        &call.passage
    }

    const fn seal(&mut self, at: Moment) {
        if let Some(call) = &mut self.call {
            call.sealed = Some(at);
        }
    }

    /// Ends a call whose decision could not be written: there is no outcome, and nothing was sent.
    fn give_up(mut self) -> Box<Docket> {
        let Some(call) = self.call.take() else { unreachable!("a held call leaves only with its holder") };
        call.passage.close(None, Health::Unknown)
    }

    pub(super) fn finish(mut self, outcome: Outcome) -> Settled {
        let Some(call) = self.call.take() else { unreachable!("a held call leaves only with its holder") };
        call.settle(&self.audit, &outcome)
    }
}

impl<P: Carried> Drop for Held<P> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let cancelled = Outcome {
                end: End::Cancelled,
                status: None,
                seen: Seen::default(),
                first_byte_after: None,
                health: Health::Unknown,
            };
            drop(call.settle(&self.audit, &cancelled));
        }
    }
}

impl<P: Carried> Call<P> {
    fn settle(self, audit: &Audit, outcome: &Outcome) -> Settled {
        let usage = match self.sealed {
            Some(_) => {
                let later = self.passage.later_output();
                outcome::usage(outcome, self.passage.docket().operation, || self.passage.input_estimate(), later)
            }
            None => crate::call::Usage { estimated: true, ..crate::call::Usage::default() },
        };
        let cost = self.passage.price().and_then(|price| outcome::cost(usage, price));
        let now = audit.clock.moment();
        let duration = self.sealed.map_or(Duration::ZERO, |sealed| now.since(sealed));
        let figures = Figures { decision: self.id, outcome, usage, cost: cost.as_ref(), duration };
        let at = audit.clock.utc();
        let envelope =
            Envelope { origin: audit.log.origin(), id: audit.ids.next(at), kind: "portcullis.outcome.v1", at };
        let draft = outcome::record(&envelope, self.passage.docket(), &figures);
        // First the tokens, so that who reads the outcome finds the call settled.
        let docket = self.passage.close(Some(usage.input.saturating_add(usage.output)), outcome.health);
        self.outcome.post_at(draft, now);
        audit.metrics.settled(&telemetry::Settled {
            docket: &docket,
            status: outcome.status,
            input_tokens: usage.input,
            output_tokens: usage.output,
            cost: cost.as_ref().map(|cost| (outcome::approximate(cost.amount), cost.currency.as_str())),
            first_byte_after: outcome.first_byte_after,
            duration: now.since(docket.arrived),
        });
        Settled { docket, end: outcome.end, usage, cost, duration }
    }
}
