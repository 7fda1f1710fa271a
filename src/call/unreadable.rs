//! Why a request was not read.

use std::borrow::Cow;

use super::json::{Flaw, FlawKind};
use crate::docket::Refuses;
use crate::reason::Reason;

/// Why a request was not read. `place` says where and what kind, never what the content was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}")]
pub struct Unreadable {
    reason: Reason,
    place: Cow<'static, str>,
}

impl Refuses for Unreadable {
    fn reason(&self) -> Reason {
        self.reason
    }
}

impl Unreadable {
    pub(crate) fn new(reason: Reason, place: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, place: place.into() }
    }

    /// A fault in the body, at a byte.
    pub(crate) fn at(reason: Reason, what: &'static str, byte: usize) -> Self {
        Self::new(reason, format!("body: {what} at byte {byte}"))
    }

    /// The same, of a line of a batch.
    pub(crate) fn in_line(self, number: usize) -> Self {
        Self::new(self.reason, format!("line {number}: {}", self.place))
    }

    /// A body that is no JSON text with exactly one reading.
    pub(crate) fn flawed(flaw: Flaw) -> Self {
        Self::flawed_in("body", flaw)
    }

    /// Something else that is no such text.
    pub(crate) fn flawed_in(place: &'static str, flaw: Flaw) -> Self {
        let reason = match flaw.kind {
            FlawKind::DuplicateName => Reason::AmbiguousRequest,
            FlawKind::NotUtf8
            | FlawKind::ByteOrderMark
            | FlawKind::Truncated
            | FlawKind::Unexpected
            | FlawKind::ControlCharacter
            | FlawKind::BadEscape
            | FlawKind::LoneSurrogate
            | FlawKind::BadNumber
            | FlawKind::TooDeep
            | FlawKind::TooManyNodes
            | FlawKind::TooLong
            | FlawKind::TrailingData => Reason::MalformedRequest,
        };
        Self::new(reason, format!("{place}: {flaw}"))
    }
}
