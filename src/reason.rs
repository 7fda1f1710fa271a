//! Why a call was refused: the closed list of reason codes and their failure classes.
//!
//! The same code stands in the reply, the audit record, the metric and the docs. Statuses and each dialect's own
//! error words are the edge's business (`edge::reply`), not this room's.

use serde::Serialize;

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureClass {
    /// The request itself cannot be judged.
    ValidationError,
    /// Policy says no.
    PolicyViolation,
    /// The content's risk says no.
    HighRisk,
    /// Something the gate depends on is not well.
    InfraError,
    /// A governance act that the workflow does not allow (admin plane).
    WorkflowError,
    /// A defect of the gate.
    UnexpectedError,
}

impl FailureClass {
    /// The class as it stands in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::PolicyViolation => "POLICY_VIOLATION",
            Self::HighRisk => "HIGH_RISK",
            Self::InfraError => "INFRA_ERROR",
            Self::WorkflowError => "WORKFLOW_ERROR",
            Self::UnexpectedError => "UNEXPECTED_ERROR",
        }
    }
}

macro_rules! reasons {
    ($($name:ident $code:literal $class:ident $message:literal;)+) => {
        /// One reason code. Closed: a new one is a change of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = concat!("`", $code, "`: ", $message, ".")] $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn class(self) -> FailureClass {
                match self { $(Self::$name => FailureClass::$class),+ }
            }

            /// One sentence for the caller. Names no rule, tenant, upstream or content.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message),+ }
            }
        }
    };
}

reasons! {
    MalformedRequest "malformed_request" ValidationError "the request cannot be read: it is not well-formed for this endpoint";
    AmbiguousRequest "ambiguous_request" ValidationError "the request can be read in more than one way, so it was not forwarded";
    ModelMissing "model_missing" ValidationError "the request names no model: send `model` as one string";
    ForbiddenField "forbidden_field" ValidationError "the request has a field that is not allowed here";
    UnsupportedParameter "unsupported_parameter" ValidationError "the request has a parameter that this gate does not govern";
    RequestTimeout "request_timeout" ValidationError "the request did not arrive in time";
    CredentialMissing "credential_missing" PolicyViolation "no gate key was sent: put it where your SDK puts its API key";
    CredentialInvalid "credential_invalid" PolicyViolation "the gate key is not valid";
    CredentialExpired "credential_expired" PolicyViolation "the gate key has expired: ask for a new one";
    TenantMismatch "tenant_mismatch" PolicyViolation "the tenant that was named is not the key's tenant";
    ModelUnknown "model_unknown" PolicyViolation "the model is not in the registry";
    ModelNotApproved "model_not_approved" PolicyViolation "the model is not approved";
    ModelNotPermitted "model_not_permitted" PolicyViolation "the model is not permitted for this tenant";
    PromptRequired "prompt_required" PolicyViolation "this tenant may call only with an approved prompt";
    PromptUnknown "prompt_unknown" PolicyViolation "the prompt is not in the registry";
    PromptNotApproved "prompt_not_approved" PolicyViolation "the prompt is not approved, or the system message is not the approved text";
    RuleDenied "rule_denied" PolicyViolation "a governance rule denies this call";
    ApprovalRequired "approval_required" PolicyViolation "this call needs a human approval first";
    RoleDenied "role_denied" PolicyViolation "the credential's role does not allow this";
    SelfApproval "self_approval" PolicyViolation "nobody may approve what they requested or wrote";
    OperationNotPermitted "operation_not_permitted" PolicyViolation "the model may not be used for this operation";
    ReferenceNotPermitted "reference_not_permitted" PolicyViolation "the request refers to stored or remote content that is not approved";
    RiskBlocked "risk_blocked" HighRisk "the content's risk score is too high";
    UnsupportedOperation "unsupported_operation" PolicyViolation "this method and path are not governed, so they are refused";
    BodyTooLarge "body_too_large" ValidationError "the request body is larger than this gate accepts";
    UnsupportedEncoding "unsupported_encoding" ValidationError "the content type or content encoding is not one that this endpoint reads";
    HeadersTooLarge "headers_too_large" ValidationError "the request headers are larger than this gate accepts";
    IdempotencyConflict "idempotency_conflict" ValidationError "this idempotency key was used with another body";
    RequestLimit "request_limit" PolicyViolation "the tenant's request limit is reached";
    TokenLimit "token_limit" PolicyViolation "the tenant's token limit is reached";
    BudgetExhausted "budget_exhausted" PolicyViolation "the tenant's budget is used up";
    ConcurrencyLimit "concurrency_limit" PolicyViolation "the tenant has too many calls in flight";
    UpstreamFailed "upstream_failed" InfraError "the model endpoint failed";
    BreakerOpen "breaker_open" InfraError "the model endpoint failed repeatedly and is given a rest";
    Overloaded "overloaded" InfraError "the gate is at capacity";
    AuditUnavailable "audit_unavailable" InfraError "the audit record could not be written, so nothing was forwarded";
    RegistryUnavailable "registry_unavailable" InfraError "the registry is not available, so nothing can be approved";
    SharedStateUnavailable "shared_state_unavailable" InfraError "the shared limit state is not available";
    UpstreamTimeout "upstream_timeout" InfraError "the model endpoint did not answer in time";
    InvalidTransition "invalid_transition" WorkflowError "the version's status does not allow this step";
    AlreadyExists "already_exists" WorkflowError "this version exists already";
    RegistryReadOnly "registry_read_only" WorkflowError "this registry is read-only here";
    ReasonRequired "reason_required" WorkflowError "a reason is required";
    PreconditionFailed "precondition_failed" WorkflowError "the record changed since it was read";
    Internal "internal" UnexpectedError "the gate met a defect of its own and refused";
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}
