//! What a detector is: a type, an anchor that is cheap to find, and a function that confirms or refuses a place.
//!
//! A detector is data. To add one, write its entry with its examples into a file of `detectors/` and name it in
//! [`TABLE`](super::detectors::TABLE); the scanner and the tests take it from there.

use std::ops::Range;

use super::finding::FindingType;
use super::site::Site;

/// Looks at a place and answers where the finding is, if it is one. Must be bounded: it may look at no more than a
/// fixed number of bytes, however long the text is.
pub(super) type Confirm = fn(Site<'_>) -> Option<Range<usize>>;

/// What the scanner looks for on a detector's behalf.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// Any of these literals, whatever the case of its ASCII letters, of at least three bytes, better four. The search
    /// compares only their rarest stretch: `confirm` is asked about more places than they stand at, and has to look.
    Literal(&'static [&'static str]),
    /// Every `@`.
    At,
    /// The start of every group of digits in a stretch of text that has at least
    /// [`DENSE`](super::digits::DENSE) digits in 64 bytes.
    Number,
}

/// One detector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detector {
    /// What it finds.
    pub(super) kind: FindingType,
    /// Where it looks.
    pub(super) anchor: Anchor,
    /// What it says to a place.
    pub(super) confirm: Confirm,
    /// Texts with the findings of this type marked `«so»`; without a mark, a text in which there is none.
    #[cfg(test)]
    pub(super) examples: &'static [&'static str],
}

/// Writes one entry of the table.
macro_rules! detector {
    ($name:ident, $class:ident, $anchor:expr, $confirm:expr, [$($example:expr),+ $(,)?]) => {
        #[doc = concat!("Finds `", stringify!($name), "`.")]
        pub(in crate::risk) static $name: $crate::risk::detector::Detector = $crate::risk::detector::Detector {
            kind: $crate::risk::finding::FindingType::new(stringify!($name), $crate::risk::finding::Class::$class),
            anchor: $anchor,
            confirm: $confirm,
            #[cfg(test)]
            examples: &[$($example),+],
        };
    };
}
pub(super) use detector;
