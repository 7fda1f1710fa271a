//! The gate's own endpoints, answered by the same stages: `GET /v1/models`, `POST /v1/check`, `POST /api/evaluate`.

use std::sync::Arc;

use bytes::Bytes;

use super::{Admitted, Pipeline, joined};
use crate::call::{CheckAsk, EvaluateAsk, ListAsk};
use crate::docket::{CheckVerdict, Docket, Resource, Stopped};
use crate::governance::{self, Described, Tenant};
use crate::id::ModelId;
use crate::identity::Unauthenticated;
use crate::quota::Standing;
use crate::reason::Reason;
use crate::risk;
use crate::verdict::Refusal;

/// An answer that the gate gives itself, to be recorded before it is sent.
#[derive(Debug)]
pub struct Answer {
    /// The case file.
    pub docket: Box<Docket>,
    /// What was asked, and what the gate says.
    pub asked: Asked,
}

/// What was asked of the gate itself.
#[derive(Debug)]
pub enum Asked {
    /// The models the tenant may use now, sorted.
    Models(Vec<ModelId>),
    /// The decision API.
    Check {
        /// What would refuse, if anything.
        refused: Option<Reason>,
        /// 0–100.
        score: u8,
        /// All reasons, in the contract's words; empty when there is none.
        reasons: Vec<&'static str>,
    },
    /// The limits API.
    Evaluate {
        /// Where the tenant stands after this request.
        standing: Option<Standing>,
    },
}

impl Pipeline {
    pub(super) fn answer(&self, admitted: Admitted, body: &Bytes) -> Result<Answer, Stopped<Refusal>> {
        match admitted.operation() {
            Some(crate::speech::Operation::Models) => self.list(admitted, body),
            Some(crate::speech::Operation::Check) => self.check(admitted, body),
            _ => self.evaluate(admitted, body),
        }
    }

    fn list(&self, admitted: Admitted, body: &Bytes) -> Result<Answer, Stopped<Refusal>> {
        let Admitted { caller, slot: _slot, snapshot } = admitted;
        let ask = ListAsk::read(caller, body).map_err(|stopped| self.stages.charged(joined(stopped)))?;
        let docket = self.paid(ask.into_docket())?;
        let (docket, tenant) = known(docket, &snapshot)?;
        let models = governance::usable_models(&snapshot, &tenant).into_iter().cloned().collect();
        Ok(Answer { docket, asked: Asked::Models(models) })
    }

    fn check(&self, admitted: Admitted, body: &Bytes) -> Result<Answer, Stopped<Refusal>> {
        let Admitted { caller, slot: _slot, snapshot } = admitted;
        let ask = CheckAsk::read(caller, body).map_err(|stopped| self.stages.charged(joined(stopped)))?;
        let (model, operation, metadata) = (ask.model.clone(), ask.operation.clone(), ask.metadata.clone());
        let docket = self.paid(ask.into_docket())?;
        let (mut docket, tenant) = known(docket, &snapshot)?;
        let mut found = None;
        let mut refused = None;
        let mut facts = risk::declared(&metadata);
        if let Some(claimed) = &model {
            match governance::check_model(&snapshot, &tenant, claimed.as_str()) {
                Ok(model) => {
                    docket.checks.model = CheckVerdict::Pass;
                    docket.model = Some(model.file.model.clone());
                    docket.resource = Some(governance::resource(&model.file));
                    facts.external_model |= model.file.external;
                    found = Some(model);
                }
                Err(reason) => {
                    docket.checks.model = CheckVerdict::Block;
                    docket.resource = Some(Resource {
                        kind: "model",
                        id: claimed.for_record(),
                        version: None,
                        status: None,
                        risk_level: None,
                    });
                    refused = Some(reason);
                }
            }
        }
        let score = risk::score(&tenant.profile, &facts);
        docket.risk.score = score.score;
        docket.risk.reasons.clone_from(&score.reasons);
        docket.checks.risk = score.verdict.as_check();
        let risk = score.verdict.refusal();
        let refused = refused.or_else(|| match &found {
            Some(model) => {
                let operation = operation.as_deref().unwrap_or_default();
                let described = Described { operation, metadata: &metadata, score: score.score, risk };
                governance::check_rules(&snapshot, &tenant, &model.file, &described, &mut docket)
            }
            None => risk,
        });
        Ok(Answer { docket, asked: Asked::Check { refused, score: score.score, reasons: score.reasons } })
    }

    fn evaluate(&self, admitted: Admitted, body: &Bytes) -> Result<Answer, Stopped<Refusal>> {
        let Admitted { caller, slot: _slot, .. } = admitted;
        let ask = EvaluateAsk::read(caller, body).map_err(|stopped| self.stages.charged(joined(stopped)))?;
        let customer = ask.customer.clone();
        let mut docket = ask.into_docket();
        if customer.is_some_and(|customer| docket.tenant.as_ref().is_none_or(|tenant| tenant.as_str() != customer)) {
            docket.checks.identity = CheckVerdict::Block;
            return Err(self.stages.charged(Stopped::new(docket, Unauthenticated::TenantMismatch.into())));
        }
        let docket = self.paid(docket)?;
        let standing = docket.tenant.as_ref().and_then(|tenant| self.stages.quota.standing(tenant));
        Ok(Answer { docket, asked: Asked::Evaluate { standing } })
    }

    /// Takes the one request that a question costs.
    fn paid(&self, mut docket: Box<Docket>) -> Result<Box<Docket>, Stopped<Refusal>> {
        let exceeded = docket.tenant.as_ref().and_then(|tenant| self.stages.quota.charge(tenant).err());
        docket.checks.limits = if exceeded.is_some() { CheckVerdict::Block } else { CheckVerdict::Pass };
        match exceeded {
            Some(exceeded) => Err(Stopped::new(docket, exceeded.into())),
            None => Ok(docket),
        }
    }
}

/// The docket's tenant in the snapshot; a key without one is no key.
fn known(
    mut docket: Box<Docket>,
    snapshot: &governance::Snapshot,
) -> Result<(Box<Docket>, Arc<Tenant>), Stopped<Refusal>> {
    let Some(tenant) = docket.tenant.as_ref().and_then(|tenant| snapshot.tenant(tenant)) else {
        docket.checks.identity = CheckVerdict::Block;
        return Err(Stopped::new(docket, Unauthenticated::Invalid.into()));
    };
    let tenant = Arc::clone(tenant);
    Ok((docket, tenant))
}
