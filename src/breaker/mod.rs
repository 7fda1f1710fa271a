//! Is the upstream healthy: one breaker per upstream, Closed, Open or HalfOpen.

use std::time::Duration;

use crate::docket::{Refuses, Stopped};
use crate::reason::Reason;
use crate::risk::Assessment;

/// Evidence that an assessed call may go to its upstream now.
#[derive(Debug)]
pub struct Passage {
    assessment: Assessment,
    pass: Pass,
}

/// A place at the upstream; gives a probe back when it is dropped without a report.
#[derive(Debug)]
pub struct Pass {}

/// How the upstream did, for its breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered as a healthy one does.
    Succeeded,
    /// It failed.
    Failed,
    /// Nothing can be said, as when the client left first.
    Unknown,
}

impl Passage {
    /// The case file.
    pub fn docket(&self) -> &crate::docket::Docket {
        todo!()
    }
    /// The case file, for the stage that holds this evidence.
    pub fn docket_mut(&mut self) -> &mut crate::docket::Docket {
        todo!()
    }
    /// What the gate permitted.
    pub fn permit(&self) -> &crate::governance::Permit {
        todo!()
    }
    /// Settles tokens, tells the breaker and frees the slot.
    pub fn close(self, _tokens: Option<u64>, _health: Health) -> Box<crate::docket::Docket> {
        todo!()
    }
}

/// The upstream is given a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("upstream rests for {retry_after:?}")]
pub struct Resting {
    retry_after: Duration,
}

impl Resting {
    /// When a probe may be let through.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }
}

impl Refuses for Resting {
    fn reason(&self) -> Reason {
        Reason::BreakerOpen
    }
}

/// All upstreams' breakers.
#[derive(Debug)]
pub struct Breakers {}

impl Breakers {
    /// Lets a call through, unless its upstream rests.
    pub fn enter(&self, _assessment: Assessment) -> Result<Passage, Stopped<Resting>> {
        todo!()
    }
}
