//! How risky: scans the text of a call and turns findings and facts into a score of 0–100.

#[cfg(test)]
pub(crate) mod for_tests;

use crate::docket::{Refuses, Stopped};
use crate::quota::Grant;
use crate::reason::Reason;

/// Evidence that a call's content was scanned and its risk is acceptable under the tenant's profile.
#[derive(Debug)]
pub struct Assessment {
    grant: Grant,
}

impl Assessment {
    /// The case file.
    #[must_use]
    pub const fn docket(&self) -> &crate::docket::Docket {
        self.grant.docket()
    }

    /// The case file, for the stage that holds this evidence.
    #[must_use]
    pub const fn docket_mut(&mut self) -> &mut crate::docket::Docket {
        self.grant.docket_mut()
    }

    /// What the quota granted.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The same, given up.
    #[must_use]
    pub fn into_grant(self) -> Grant {
        self.grant
    }
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

/// Scans and scores a call, then asks the rules that need risk figures.
pub fn assess(_grant: Grant) -> Result<Assessment, Stopped<Risky>> {
    todo!()
}
