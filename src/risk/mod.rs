//! How risky: scans the text of a call and turns findings and facts into a score of 0–100 and a verdict.
//!
//! `scanner` finds, `score` judges; both are pure. [`assess`] is the stage: it scans every text of a call, writes counts
//! and score (never text) into the docket, refuses or lets pass by the tenant's profile, and asks the rules that need
//! risk figures. `portcullis scan` and `/v1/check` use the same two. What detectors exist is data: `detectors`.

mod anchors;
mod detector;
mod detectors;
mod digits;
mod finding;
mod injection;
mod line;
mod scanner;
mod score;
mod site;

pub use finding::{Class, Counts, Finding, FindingType, Findings};
pub use line::{BadLine, answer};
pub use scanner::{NotCompiled, Scanner};
pub use score::{Facts, Score, Verdict, default_score, default_weight, score};

use crate::call::Metadata;
use crate::docket::{Docket, Refuses, RiskLine, Stopped};
use crate::governance::{Denial, Permit};
use crate::quota::Grant;
use crate::reason::Reason;

/// Evidence that a call's content was scanned and its risk is acceptable under the tenant's profile and rules.
#[derive(Debug)]
pub struct Assessment {
    grant: Grant,
}

/// Why content is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.code())]
pub struct Risky(Reason);

impl Refuses for Risky {
    fn reason(&self) -> Reason {
        self.0
    }
}

impl From<Denial> for Risky {
    fn from(denial: Denial) -> Self {
        Self(denial.reason())
    }
}

impl Assessment {
    /// The evidence before.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Gives the evidence before back.
    #[must_use]
    pub fn into_grant(self) -> Grant {
        self.grant
    }

    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &Docket {
        self.grant.permit().docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut Docket {
        self.grant.docket_mut()
    }
}

/// Scans and scores a call, then asks the rules that need risk figures; of a batch each line, and the first that is refused
/// refuses all. Linear in the call's text; of its findings only counts are kept, all lines together, with the highest
/// score.
///
/// # Errors
/// [`Risky`] with `risk_blocked` or `approval_required` when the profile says so, or with what a rule says.
pub fn assess(scanner: &Scanner, mut grant: Grant) -> Result<Assessment, Stopped<Risky>> {
    let mut all = Counts::default();
    let mut worst: Option<Score> = None;
    for index in 0..grant.permit().items().count() {
        let Some(facts) = facts_of(scanner, grant.permit(), index) else { continue };
        let scored = score(&grant.permit().tenant().profile, &facts);
        for (kind, n) in facts.counts.iter() {
            all.add(kind, n);
        }
        let refused = scored.verdict.refusal().map(Risky).or_else(|| {
            let counts = |name: &str| facts.counts.of(name);
            grant.permit_mut().judge_risk(index, scored.score, &counts).err().map(Risky::from)
        });
        if let Some(why) = refused {
            if grant.permit().call().batch_lines().is_some() {
                grant.docket_mut().fault = Some(format!("line {}: {}", index + 1, why.reason().code()));
            }
            write(grant.docket_mut(), &scored, &all);
            return Err(Stopped::new(grant.into_docket(), why));
        }
        if worst.as_ref().is_none_or(|worst| scored.score > worst.score) {
            worst = Some(scored);
        }
    }
    if let Some(scored) = worst {
        write(grant.docket_mut(), &scored, &all);
    }
    Ok(Assessment { grant })
}

/// The facts of a call or a line: what its texts hold, what its client declares, where its model runs. The texts beside
/// the lines of a batch are the first line's.
fn facts_of(scanner: &Scanner, permit: &Permit, index: usize) -> Option<Facts> {
    let (item, model) = permit.item(index)?;
    let mut findings = Findings::new();
    let beside = (item.line() == Some(1)).then(|| permit.call().own_texts());
    for (source, text) in beside.into_iter().flatten().chain(item.texts_as_bytes()) {
        scanner.scan_of(source, text, &mut findings);
    }
    let mut facts = declared(permit.call().metadata());
    facts.external_model |= model.file.external;
    facts.counts = findings.into_counts();
    Some(facts)
}

/// What a client declares of a call: the facts of `/v1/check`, and those that add to what is found in content.
#[must_use]
pub fn declared(metadata: &Metadata) -> Facts {
    Facts {
        counts: Counts::default(),
        declared_personal_data: metadata.holds("contains_personal_data"),
        external_model: metadata.holds("is_external_model") || metadata.holds("uses_external_model"),
    }
}

/// Writes what was found, and what it led to, into the case file.
fn write(docket: &mut Docket, scored: &Score, counts: &Counts) {
    docket.risk = RiskLine {
        score: scored.score,
        findings: counts.iter().map(|(kind, n)| (kind.name(), n)).collect(),
        reasons: scored.reasons.clone(),
    };
    docket.checks.risk = scored.verdict.as_check();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docket::CheckVerdict;

    #[test]
    fn only_hold_and_block_refuse() {
        assert_eq!(Verdict::Pass.refusal(), None);
        assert_eq!(Verdict::Flag.refusal(), None);
        assert_eq!(Verdict::Hold.refusal(), Some(Reason::ApprovalRequired));
        assert_eq!(Verdict::Block.refusal(), Some(Reason::RiskBlocked));
    }

    #[test]
    fn the_docket_gets_counts_and_verdict_and_no_text() {
        let mut docket = Docket::open(
            crate::id::RequestId::parse("r").unwrap(),
            crate::id::CorrelationId::parse("c").unwrap(),
            http::Method::POST,
            crate::clock::Moment::default(),
            chrono::DateTime::UNIX_EPOCH,
        );
        let mut findings = Findings::new();
        Scanner::new().unwrap().scan("card 4111 1111 1111 1111, 5105 1051 0510 5100", &mut findings);
        let scored = Score { score: 70, reasons: vec!["contains_personal_data"], verdict: Verdict::Flag };
        write(&mut docket, &scored, findings.counts());
        assert_eq!(docket.checks.risk, CheckVerdict::Flag);
        let line = serde_json::to_string(&docket.risk).unwrap();
        assert_eq!(line, r#"{"score":70,"findings":{"CREDIT_CARD":2},"reasons":["contains_personal_data"]}"#);
    }
}
