//! The one place where the stages' errors meet: a [`Refusal`] is one variant per stage.
//!
//! Its code and failure class are the same in reply, record and metric; statuses and dialects are `edge::reply`'s.

use std::time::Duration;

use crate::breaker::Resting;
use crate::call::Unreadable;
use crate::call::coding::Flaw;
use crate::docket::Refuses;
use crate::governance::Denial;
use crate::identity::Unauthenticated;
use crate::quota::Exceeded;
use crate::reason::Reason;
use crate::risk::Risky;

/// Why a call ends at the gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `identity` found no caller.
    #[error(transparent)]
    Identity(#[from] Unauthenticated),
    /// The head or body could not be taken in: size, time, capacity.
    #[error(transparent)]
    Intake(#[from] Intake),
    /// `call` could not read the request in exactly one way.
    #[error(transparent)]
    Call(#[from] Unreadable),
    /// `governance` denies it.
    #[error(transparent)]
    Governance(#[from] Denial),
    /// `quota` has no room for it.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// `risk` blocks it.
    #[error(transparent)]
    Risk(#[from] Risky),
    /// `breaker` rests the upstream.
    #[error(transparent)]
    Breaker(#[from] Resting),
    /// The gate met a defect of its own.
    #[error("a defect of the gate")]
    Defect,
}

/// Why the bytes of a request were not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Intake {
    /// The body is longer than `body_limit`.
    #[error("body too large")]
    BodyTooLarge,
    /// The head is larger than its limit.
    #[error("headers too large")]
    HeadersTooLarge,
    /// The body did not arrive in time.
    #[error("request did not arrive in time")]
    TimedOut,
    /// The body broke off or its framing is bad.
    #[error("body broke off")]
    Broken,
    /// The body's coding has no one reading.
    #[error(transparent)]
    Coded(Flaw),
    /// The process-wide budget for bodies in flight is used up.
    #[error("no room for another body")]
    NoRoom,
    /// The head asks for another protocol.
    #[error("the head asks for another protocol")]
    Upgrade,
    /// The head has something HTTP does not allow or that names a place.
    #[error("head not well-formed")]
    BadHead,
}

impl Refuses for Intake {
    fn reason(&self) -> Reason {
        match self {
            Self::BodyTooLarge => Reason::BodyTooLarge,
            Self::HeadersTooLarge => Reason::HeadersTooLarge,
            Self::TimedOut => Reason::RequestTimeout,
            Self::Broken | Self::BadHead | Self::Coded(_) => Reason::MalformedRequest,
            Self::Upgrade => Reason::UnsupportedOperation,
            Self::NoRoom => Reason::Overloaded,
        }
    }
}

impl Refuses for Refusal {
    fn reason(&self) -> Reason {
        match self {
            Self::Identity(why) => why.reason(),
            Self::Intake(why) => why.reason(),
            Self::Call(why) => why.reason(),
            Self::Governance(why) => why.reason(),
            Self::Quota(why) => why.reason(),
            Self::Risk(why) => why.reason(),
            Self::Breaker(why) => why.reason(),
            Self::Defect => Reason::Internal,
        }
    }
}

impl Refusal {
    /// How long the caller should wait before it asks again, where waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Quota(why) => Some(why.retry_after()),
            Self::Breaker(why) => Some(why.retry_after()),
            Self::Intake(Intake::NoRoom) => Some(Duration::from_secs(1)),
            Self::Identity(_)
            | Self::Intake(_)
            | Self::Call(_)
            | Self::Governance(_)
            | Self::Risk(_)
            | Self::Defect => None,
        }
    }
}
