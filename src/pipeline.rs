//! The order of the stages: the only room that knows it.
//!
//! [`Pipeline::admit`] asks what is cheap before the body is read, [`Pipeline::judge`] asks everything else. Nothing
//! here does I/O; the caller (`edge::exchange`) takes the body in, has the verdict sealed and acts on it.

mod own;

pub use own::{Answer, Asked};

use std::sync::Arc;

use bytes::Bytes;

use crate::arrival::Arrival;
use crate::breaker::{Breakers, Passage};
use crate::call::Call;
use crate::call::coding::Coding;
use crate::clock::SharedClock;
use crate::docket::{CheckVerdict, Docket, Refuses, Stopped};
use crate::governance::{self, Places, Registry, Snapshot};
use crate::identity::{self, Caller};
use crate::quota::{Quota, Slot};
use crate::risk::{self, Scanner};
use crate::speech::Operation;
use crate::verdict::{Intake, Refusal};

/// All that is asked of a request, in one place.
#[derive(Debug)]
pub struct Pipeline {
    /// Time.
    pub clock: SharedClock,
    /// Who may do what.
    pub registry: Arc<Registry>,
    /// Everything that is asked under one snapshot.
    pub stages: Stages,
}

/// The stages that keep state of their own.
#[derive(Debug)]
pub struct Stages {
    /// Where, for upstreams that serve one place only.
    pub places: Places,
    /// How much.
    pub quota: Arc<Quota>,
    /// How risky.
    pub scanner: Scanner,
    /// How healthy.
    pub breakers: Breakers,
}

/// A caller who may send its body, and its place among the tenant's calls in flight.
#[derive(Debug)]
pub struct Admitted {
    caller: Caller,
    slot: Slot,
    snapshot: Arc<Snapshot>,
}

/// What the stages say of a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and it is moved once")]
pub enum Verdict {
    /// It may go to its upstream, once its record is durable.
    Forward(Passage),
    /// The gate answers it itself.
    Answer(Answer),
    /// It ends here.
    Refuse(Stopped<Refusal>),
}

impl Pipeline {
    /// Before the body is read: is the credential good, is there a slot, is the tenant known to be exhausted?
    ///
    /// # Errors
    /// The stage's refusal with the docket.
    pub fn admit(&self, arrival: Arrival) -> Result<Admitted, Stopped<Refusal>> {
        let snapshot = self.registry.current();
        let now = arrival.docket().at;
        let caller = identity::authenticate(snapshot.keyring(), arrival, now).map_err(joined)?;
        let quota = &self.stages.quota;
        let entered = match caller.docket().operation {
            Some(Operation::Models | Operation::Check | Operation::Evaluate) => quota.enter(caller.tenant()),
            _ => quota.enter_for_tokens(caller.tenant()),
        };
        match entered {
            Ok(slot) => Ok(Admitted { caller, slot, snapshot }),
            Err(exceeded) => {
                let mut docket = caller.into_docket();
                place(&mut docket, &snapshot);
                docket.checks.limits = CheckVerdict::Block;
                Err(Stopped::new(docket, exceeded.into()))
            }
        }
    }

    /// Judges a request whose body was read, under one snapshot.
    pub fn judge(&self, admitted: Admitted, body: Bytes) -> Verdict {
        let judged = self.current(admitted).and_then(|admitted| {
            if matches!(admitted.operation(), Some(Operation::Models | Operation::Check | Operation::Evaluate)) {
                return self.answer(admitted, &body).map(Verdict::Answer);
            }
            let Admitted { caller, slot, snapshot } = admitted;
            self.stages.verdict(caller, slot, &snapshot, body).map(Verdict::Forward)
        });
        judged.unwrap_or_else(Verdict::Refuse)
    }

    /// A body that could not be taken in; the attempt costs a request like any other.
    #[must_use]
    pub fn refuse_intake(&self, admitted: Admitted, why: Intake) -> Stopped<Refusal> {
        let Admitted { caller, snapshot, .. } = admitted;
        let mut docket = caller.into_docket();
        place(&mut docket, &snapshot);
        if let Intake::Coded(flaw) = why {
            docket.fault = Some(flaw.to_string());
        }
        docket.checks.request = if why == Intake::NoRoom { CheckVerdict::Error } else { CheckVerdict::Block };
        self.stages.charged(Stopped::new(docket, why.into()))
    }

    /// The same caller under the snapshot of now: what was revoked while the body was on its way is revoked.
    fn current(&self, admitted: Admitted) -> Result<Admitted, Stopped<Refusal>> {
        let Admitted { mut caller, slot, mut snapshot } = admitted;
        let now = self.registry.current();
        if !Arc::ptr_eq(&now, &snapshot) {
            caller = caller.again(now.keyring(), self.clock.utc()).map_err(joined)?;
            snapshot = now;
        }
        place(caller.docket_mut(), &snapshot);
        Ok(Admitted { caller, slot, snapshot })
    }
}

impl Stages {
    /// The stages, in order. Each consumes the evidence of the one before.
    ///
    /// # Errors
    /// The first stage's refusal, with the docket. An attempt that is refused before it was counted costs a request.
    pub fn verdict(
        &self,
        caller: Caller,
        slot: Slot,
        snapshot: &Arc<Snapshot>,
        body: Bytes,
    ) -> Result<Passage, Stopped<Refusal>> {
        let call = Call::read(caller, body).map_err(|stopped| self.charged(joined(stopped)))?;
        let permit = governance::decide(snapshot, call)
            .and_then(|permit| self.places.keep(permit))
            .map_err(|stopped| self.charged(joined(stopped)))?;
        let grant = self.quota.take(permit, slot).map_err(joined)?;
        let assessment = risk::assess(&self.scanner, grant).map_err(joined)?;
        self.breakers.enter(assessment).map_err(joined)
    }

    /// A refused attempt costs a request of the tenant's quota; where there is none left, that is the refusal.
    fn charged(&self, stopped: Stopped<Refusal>) -> Stopped<Refusal> {
        self.quota.refuse(stopped).unwrap_or_else(joined)
    }
}

impl Admitted {
    /// What is asked for, when the route is governed.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        self.caller.docket().operation
    }

    /// The coding of its body, where the gate undoes it.
    #[must_use]
    pub fn coding(&self) -> Option<Coding> {
        Coding::of_request(self.caller.arrival().headers())
    }

    /// Says that the body's coding was undone.
    pub fn made_plain(&mut self) {
        self.caller.made_plain();
    }

    /// The case file.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        self.caller.docket_mut()
    }
}

/// Says in the docket under which snapshot and for whom is judged.
pub(crate) fn place(docket: &mut Docket, snapshot: &Snapshot) {
    docket.registry = Some((snapshot.revision(), snapshot.digest()));
    let tenant = docket.tenant.as_ref().and_then(|tenant| snapshot.tenant(tenant));
    if let Some(tenant) = tenant {
        docket.organization.clone_from(&tenant.file.organization);
        docket.environment.clone_from(&tenant.file.environment);
    }
}

fn joined<E: Refuses>(stopped: Stopped<E>) -> Stopped<Refusal>
where
    Refusal: From<E>,
{
    stopped.map(Refusal::from)
}
