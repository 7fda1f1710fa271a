//! The names of things: every identifier is a type of its own, so that a tenant cannot be taken for a model.
//!
//! All are cheap to clone (shared text). What comes from a client is a [`ClaimedModel`] until the registry knows it.

mod uuids;

pub use uuids::{Uuids, request_uuid};

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Longest identifier that stands in a record as it is.
pub const LONGEST_NAME: usize = 128;

/// Whether `text` matches `[A-Za-z0-9._:/@-]{1,128}`, the shape in which a name may stand in records and labels.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    let is_plain = |b: u8| PLAIN.get(usize::from(b)).copied().unwrap_or_default();
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(is_plain)
}

/// The bytes of plain names. A table, because every request has hundreds of bytes that are asked about.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0_u8;
    while b < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256 places; evaluated by the compiler")]
        {
            table[b as usize] = b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'@' | b'-');
        }
        b += 1;
    }
    table
};

/// A name that cannot be used, because it does not match `[A-Za-z0-9._:/@-]{1,128}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a name: use 1 to 128 of the characters A-Z a-z 0-9 . _ : / @ -", .0.escape_debug())]
pub struct BadName(pub String);

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the shape of `text`.
            ///
            /// # Errors
            /// [`BadName`] when it does not match `[A-Za-z0-9._:/@-]{1,128}`.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                if is_plain_name(text) { Ok(Self(Arc::from(text))) } else { Err(BadName(text.to_owned())) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": "^[A-Za-z0-9._:/@-]{1,128}$"})
            }
        }
    )+};
}

names! {
    /// A tenant: the party whose policy governs a call.
    TenantId;
    /// The organization a tenant belongs to.
    OrganizationId;
    /// Where a tenant runs: `prod`, `staging` …
    Environment;
    /// The `<id>` part of a gate key `pcl_<id>_<secret>`.
    KeyId;
    /// A model as the registry names it.
    ModelId;
    /// A version of a model.
    ModelVersion;
    /// A prompt template's name.
    PromptId;
    /// A rule's name.
    RuleId;
    /// An upstream's name in the bootstrap config.
    UpstreamId;
    /// A risk profile's name.
    ProfileId;
    /// A person on the admin plane.
    PersonId;
    /// Names one request; made by the gate or taken from the client when short and plain.
    RequestId;
    /// Joins the requests of one business transaction.
    CorrelationId;
}

impl RequestId {
    /// A name of the gate's own, for a request that arrives at this time.
    #[must_use]
    pub fn fresh(at: DateTime<Utc>) -> Self {
        let mut hex = [0; uuid::fmt::Simple::LENGTH];
        Self(["req-", request_uuid(at).simple().encode_lower(&mut hex)].concat().into())
    }
}

impl From<&RequestId> for CorrelationId {
    /// A request that joins no transaction is one of its own.
    fn from(request: &RequestId) -> Self {
        Self(Arc::clone(&request.0))
    }
}

/// A table by names that stand in files of ours. Only their authors choose its keys, so it is hashed fast rather than
/// with a defence against keys that are made to collide.
pub type ByName<N, T> = HashMap<N, T, foldhash::fast::RandomState>;

/// A set of such names.
pub type Names<N> = HashSet<N, foldhash::fast::RandomState>;

/// A model name as a client wrote it. It may be anything; records show it only when it is a plain name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedModel(String);

impl ClaimedModel {
    /// Keeps the decoded name exactly as the client sent it.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The exact text, for comparison with the registry.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What may stand in a record: the name when it is plain, else its SHA-256, so that content hidden in a
    /// model field reaches no log.
    #[must_use]
    pub fn for_record(&self) -> String {
        if is_plain_name(&self.0) { self.0.clone() } else { Digest::of(self.0.as_bytes()).to_string() }
    }
}

/// A SHA-256 digest; shown as `sha256:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// Reads `sha256:<64 hex digits>`; `None` when it is not of that form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        hex::decode_to_slice(text.strip_prefix("sha256:")?, &mut out).ok()?;
        Some(Self(out))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A registry snapshot's number: a local counter for a directory source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimedModel, Digest, TenantId, is_plain_name};

    #[test]
    fn a_plain_name_is_bounded_and_has_no_odd_character() {
        assert!(is_plain_name("anthropic.claude-3/x:1@2_a"));
        for bad in ["", "a b", "a\u{a0}", "a\n", "ä", &"x".repeat(129)] {
            assert!(!is_plain_name(bad), "{bad:?}");
            TenantId::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn an_odd_model_name_is_recorded_as_its_digest() {
        assert_eq!(ClaimedModel::new("gpt-4o".to_owned()).for_record(), "gpt-4o");
        assert!(ClaimedModel::new("my card is 4111".to_owned()).for_record().starts_with("sha256:"));
    }

    #[test]
    fn a_digest_reads_back_what_it_shows() {
        let d = Digest::of(b"abc");
        assert_eq!(Digest::parse(&d.to_string()), Some(d));
        assert_eq!(Digest::parse("sha256:zz"), None);
    }
}
