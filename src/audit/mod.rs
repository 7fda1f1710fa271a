//! The audit log: nothing is answered or forwarded before its record is on stable storage.
//!
//! Takes a [`Passage`] and gives back a [`Sealed`], or takes a refusal and gives back a [`Recorded`]; either may become an
//! [`Unsealed`] instead, whose one answer is 503 `audit_unavailable`. Called by `pipeline` and `edge`; `cli` calls
//! [`verify`] and [`tail`]. Knows no statuses and no dialects.

mod action;
mod chain;
mod directory;
mod floods;
mod json;
mod lines;
mod log;
mod outcome;
mod queue;
mod record;
mod recovery;
mod sealed;
mod segment;
pub mod tail;
pub mod verify;
mod writer;

pub use action::{Action, Decision};
pub use chain::{BadLine, LONGEST_LINE};
pub use log::{Log, LogState, OpenFault, Opened};
pub use outcome::{Cost, End, Outcome, Settled};
pub use queue::{Address, Place, Unavailable, Written};
pub use record::GovernanceAct;
pub use recovery::Torn;
pub use sealed::{Sealed, Unsealed};
pub use writer::Draft;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::breaker::Passage;
use crate::clock::SharedClock;
use crate::config::bootstrap;
use crate::docket::{Docket, Refuses as _, Stopped};
use crate::id::Uuids;
use crate::reason::Reason;
use crate::telemetry::Metrics;
use crate::verdict::Refusal;
use floods::Floods;
use record::{Envelope, Judgement};

/// How long a call waits for room in the queue before it is answered 503.
pub const ROOM_WAIT: Duration = Duration::from_secs(2);

/// The room's counter: turns evidence and refusals into durable records.
#[derive(Debug)]
pub struct Audit {
    log: Log,
    ids: Uuids,
    floods: Mutex<Floods>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
}

/// Evidence that a refusal or an answer stands in the log, or was counted with a flood: it may be shown. Made only here.
#[derive(Debug)]
pub struct Recorded {
    docket: Box<Docket>,
    address: Option<Address>,
    action: Action,
}

impl Recorded {
    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        &self.docket
    }

    /// Where the decision stands; `None` when it was counted with a flood of its like.
    #[must_use]
    pub const fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// What it was recorded as.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The case file, for the reply.
    #[must_use]
    pub fn into_docket(self) -> Box<Docket> {
        self.docket
    }
}

impl Audit {
    /// Over an open log.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(
        log: Log,
        settings: bootstrap::Audit,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Arc<Self>> {
        let floods = Mutex::new(Floods::new(settings.flood_threshold));
        let append_seconds = metrics.audit_append_seconds.clone();
        log.observe_appends(move |took| append_seconds.observe(took.as_secs_f64()));
        Ok(Arc::new(Self { log, ids: Uuids::new()?, floods, clock, metrics }))
    }

    /// The log, for its state and its observer.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Records that a call is let through; answers once that is durable.
    ///
    /// Cancel safe: dropped before the decision is queued, the passage is dropped with it; dropped after, the call ends
    /// as cancelled with an outcome, and nothing was sent.
    ///
    /// # Errors
    /// [`Unsealed`] when the record could not be written within [`ROOM_WAIT`] for room; tokens and slot are free then.
    pub async fn seal(self: &Arc<Self>, passage: Passage) -> Result<Sealed, Unsealed> {
        sealed::seal(self, passage).await
    }

    /// Records a refusal that the caller gets with `status`; beyond the flood threshold failed credentials and
    /// exhausted limits are only counted.
    ///
    /// Cancel safe: a record that is queued stays.
    ///
    /// # Errors
    /// [`Unsealed`] when the record could not be written; the refusal must not be shown then.
    pub async fn refuse(&self, stopped: Stopped<Refusal>, status: u16) -> Result<Recorded, Unsealed> {
        let reason = stopped.why.reason();
        let docket = stopped.docket;
        let action = Action::of(reason);
        if self.floods.lock().admit(&docket, reason, self.clock.moment()) {
            return self.record(docket, action, Decision::of(reason), Some(reason), status).await;
        }
        // What is only counted will be recorded within a second, unless the log can take nothing any more.
        if self.log.has_failed() { Err(Unsealed::new(docket)) } else { Ok(Recorded { docket, address: None, action }) }
    }

    /// Records what the gate answers by itself: [`Action::List`] and [`Action::Check`].
    ///
    /// Cancel safe: a record that is queued stays.
    ///
    /// # Errors
    /// [`Unsealed`] when the record could not be written; the answer must not be given then.
    pub async fn answered(
        &self,
        docket: Box<Docket>,
        action: Action,
        decision: Decision,
        reason: Option<Reason>,
        status: u16,
    ) -> Result<Recorded, Unsealed> {
        self.record(docket, action, decision, reason, status).await
    }

    async fn record(
        &self,
        docket: Box<Docket>,
        action: Action,
        decision: Decision,
        reason: Option<Reason>,
        status: u16,
    ) -> Result<Recorded, Unsealed> {
        let Ok([place]) = self.log.room::<1>(ROOM_WAIT).await else { return Err(Unsealed::new(docket)) };
        let took = self.clock.moment().since(docket.arrived);
        self.metrics.judged(action.as_str(), took);
        let judged = Judgement { docket: &docket, action, decision, reason, status: Some(status), took };
        let draft = record::decision(&self.envelope("portcullis.decision.v1"), &judged);
        match place.write(draft).await {
            Ok(address) => Ok(Recorded { docket, address: Some(address), action }),
            Err(Unavailable) => Err(Unsealed::new(docket)),
        }
    }

    /// Records something that happened to the gate or its registry.
    ///
    /// Cancel safe: a record that is queued stays.
    ///
    /// # Errors
    /// [`Unavailable`] when it could not be written; whoever acts must then not act.
    pub async fn governance(&self, act: &GovernanceAct) -> Result<Address, Unavailable> {
        let [place] = self.log.room::<1>(ROOM_WAIT).await?;
        place.write(record::governance(&self.envelope("portcullis.governance.v1"), act)).await
    }

    /// Records the floods that were only counted since the last call; the app calls this every second and before
    /// [`Audit::close`]. `None` when there were none.
    ///
    /// Cancel safe: what is counted stays counted until its record is queued.
    ///
    /// # Errors
    /// [`Unavailable`] when it could not be written; the counts are kept for the next time.
    pub async fn flush_floods(&self) -> Result<Option<Address>, Unavailable> {
        if self.floods.lock().is_calm() {
            return Ok(None);
        }
        let [place] = self.log.room::<1>(ROOM_WAIT).await?;
        let Some(suppressed) = self.floods.lock().take() else { return Ok(None) };
        let draft = record::suppressed(&self.envelope("portcullis.suppressed.v1"), &suppressed);
        let answer = place.write(draft).await;
        if answer.is_err() {
            self.floods.lock().put_back(&suppressed);
        }
        answer.map(Some)
    }

    /// Closes the log, see [`Log::close`].
    ///
    /// # Errors
    /// [`Unavailable`] when the log failed before.
    pub async fn close(&self) -> Result<(), Unavailable> {
        self.log.close().await
    }

    fn envelope(&self, kind: &'static str) -> Envelope<'_> {
        let at = self.clock.utc();
        Envelope { origin: self.log.origin(), id: self.ids.next(at), kind, at }
    }
}

#[cfg(test)]
mod for_tests;
#[cfg(test)]
mod tests;
