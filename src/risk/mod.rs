//! How risky: scans the text of a call and turns findings and facts into a score of 0–100.

use crate::docket::{Refuses, Stopped};
use crate::quota::Grant;
use crate::reason::Reason;

/// Evidence that a call's content was scanned and its risk is acceptable under the tenant's profile.
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

/// Scans and scores a call, then asks the rules that need risk figures.
pub fn assess(_grant: Grant) -> Result<Assessment, Stopped<Risky>> {
    todo!()
}
