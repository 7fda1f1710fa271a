//! Whether a call may refer to what a provider has stored, or have it fetch from a place.

use crate::call::Needs;

/// The byte of the body at which something stands that is not permitted.
pub(super) fn objection(needs: &Needs) -> Option<usize> {
    needs.stored_at().or_else(|| needs.fetches().first().map(crate::call::Fetch::at))
}
