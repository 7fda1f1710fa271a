//! The words of a decision record that follow from a reason: what was done, what was decided, and what kind of check said so.

use crate::docket::{CheckVerdict, Checks};
use crate::reason::{FailureClass, Reason};

/// What a decision record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A call was let through.
    LlmCall,
    /// The models were listed.
    List,
    /// The decision API was asked.
    Check,
    /// The gate, the rules, risk or identity refused.
    GovernanceViolation,
    /// The request could not be judged.
    Rejected,
    /// A limit refused.
    Throttled,
    /// The gate or what it depends on was not well.
    Unavailable,
}

impl Action {
    /// Every action.
    pub const ALL: &[Self] = &[
        Self::LlmCall,
        Self::List,
        Self::Check,
        Self::GovernanceViolation,
        Self::Rejected,
        Self::Throttled,
        Self::Unavailable,
    ];

    /// The action as it stands in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LlmCall => "LLM_CALL",
            Self::List => "LIST",
            Self::Check => "CHECK",
            Self::GovernanceViolation => "GOVERNANCE_VIOLATION",
            Self::Rejected => "REJECTED",
            Self::Throttled => "THROTTLED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// What a refusal for this reason is. Limits are policy too, but being over one is no violation.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        if is_limit(reason) {
            return Self::Throttled;
        }
        match reason.class() {
            FailureClass::PolicyViolation | FailureClass::HighRisk => Self::GovernanceViolation,
            FailureClass::ValidationError | FailureClass::WorkflowError => Self::Rejected,
            FailureClass::InfraError | FailureClass::UnexpectedError => Self::Unavailable,
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Let through, or answered.
    Allow,
    /// Refused.
    Block,
    /// Held until a human approves.
    Hold,
}

impl Decision {
    /// The decision as it stands in records, metrics and `x-portcullis-decision`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Hold => "hold",
        }
    }

    /// What a refusal for this reason decides.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        if matches!(reason, Reason::ApprovalRequired) { Self::Hold } else { Self::Block }
    }
}

const fn is_limit(reason: Reason) -> bool {
    matches!(reason, Reason::RequestLimit | Reason::TokenLimit | Reason::BudgetExhausted | Reason::ConcurrencyLimit)
}

/// What kind of thing refused: the `kind` of a record's reason.
pub(super) const fn kind(reason: Reason, checks: Checks) -> &'static str {
    match reason {
        Reason::MalformedRequest
        | Reason::AmbiguousRequest
        | Reason::ModelMissing
        | Reason::ForbiddenField
        | Reason::UnsupportedParameter
        | Reason::RequestTimeout
        | Reason::ReferenceNotPermitted
        | Reason::UnsupportedOperation
        | Reason::BodyTooLarge
        | Reason::UnsupportedEncoding
        | Reason::HeadersTooLarge
        | Reason::IdempotencyConflict => "request",
        Reason::CredentialMissing
        | Reason::CredentialInvalid
        | Reason::CredentialExpired
        | Reason::TenantMismatch
        | Reason::RoleDenied
        | Reason::SelfApproval => "identity",
        Reason::ModelUnknown | Reason::ModelNotApproved | Reason::ModelNotPermitted | Reason::OperationNotPermitted => {
            "model"
        }
        Reason::PromptRequired | Reason::PromptUnknown | Reason::PromptNotApproved => "prompt",
        // Rules and risk may both hold a call; the one that did says so in its check.
        Reason::ApprovalRequired if matches!(checks.risk, CheckVerdict::Block) => "risk",
        Reason::RiskBlocked => "risk",
        Reason::ApprovalRequired | Reason::RuleDenied => "rule",
        Reason::RequestLimit | Reason::TokenLimit | Reason::BudgetExhausted | Reason::ConcurrencyLimit => "limit",
        Reason::UpstreamFailed | Reason::UpstreamTimeout | Reason::BreakerOpen => "upstream",
        Reason::Overloaded => "capacity",
        Reason::AuditUnavailable => "audit",
        Reason::RegistryUnavailable => "registry",
        Reason::SharedStateUnavailable => "shared_state",
        Reason::InvalidTransition
        | Reason::AlreadyExists
        | Reason::RegistryReadOnly
        | Reason::ReasonRequired
        | Reason::PreconditionFailed => "workflow",
        Reason::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Decision, kind};
    use crate::docket::{CheckVerdict, Checks};
    use crate::reason::Reason;

    #[test]
    fn every_reason_is_recorded_under_the_action_of_the_contract() {
        for &reason in Reason::ALL {
            let expected = match reason.code() {
                "request_limit" | "token_limit" | "budget_exhausted" | "concurrency_limit" => "THROTTLED",
                _ => match reason.class().as_str() {
                    "POLICY_VIOLATION" | "HIGH_RISK" => "GOVERNANCE_VIOLATION",
                    "VALIDATION_ERROR" | "WORKFLOW_ERROR" => "REJECTED",
                    "INFRA_ERROR" | "UNEXPECTED_ERROR" => "UNAVAILABLE",
                    other => panic!("{other}"),
                },
            };
            assert_eq!(Action::of(reason).as_str(), expected, "{}", reason.code());
        }
    }

    #[test]
    fn these_reasons_have_these_actions_and_kinds() {
        for (reason, action, what) in [
            (Reason::CredentialInvalid, Action::GovernanceViolation, "identity"),
            (Reason::UnsupportedOperation, Action::GovernanceViolation, "request"),
            (Reason::ModelNotApproved, Action::GovernanceViolation, "model"),
            (Reason::PromptUnknown, Action::GovernanceViolation, "prompt"),
            (Reason::RuleDenied, Action::GovernanceViolation, "rule"),
            (Reason::RiskBlocked, Action::GovernanceViolation, "risk"),
            (Reason::BodyTooLarge, Action::Rejected, "request"),
            (Reason::TokenLimit, Action::Throttled, "limit"),
            (Reason::BreakerOpen, Action::Unavailable, "upstream"),
            (Reason::AuditUnavailable, Action::Unavailable, "audit"),
            (Reason::Internal, Action::Unavailable, "internal"),
        ] {
            assert_eq!((Action::of(reason), kind(reason, Checks::default())), (action, what), "{}", reason.code());
        }
    }

    #[test]
    fn a_call_that_needs_approval_is_held_by_the_check_that_said_so() {
        assert_eq!(Decision::of(Reason::ApprovalRequired), Decision::Hold);
        assert_eq!(Decision::of(Reason::RuleDenied), Decision::Block);
        let by_risk = Checks { risk: CheckVerdict::Block, ..Checks::default() };
        assert_eq!(kind(Reason::ApprovalRequired, by_risk), "risk");
        assert_eq!(kind(Reason::ApprovalRequired, Checks::default()), "rule");
    }
}
