//! Names of records and requests: UUID version 7 (RFC 9562, section 5.7).
//!
//! The milliseconds come from the caller's time; the rest is a counter, mixed, from a random start. A name
//! has to be unique, not unguessable, and this needs no system call for each.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Steps and multipliers of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). The
/// mix is a bijection, so the counter gives no value twice.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes names.
#[derive(Debug)]
pub struct Uuids {
    counter: AtomicU64,
    salt: u16,
}

impl Uuids {
    /// Starts at a random place.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> std::io::Result<Self> {
        let mut seed = [0_u8; 8];
        let mut salt = [0_u8; 2];
        rand::fill(&mut seed)
            .and_then(|()| rand::fill(&mut salt))
            .map_err(|_| std::io::Error::other("no randomness"))?;
        Ok(Self { counter: AtomicU64::new(u64::from_le_bytes(seed)), salt: u16::from_le_bytes(salt) })
    }

    /// The name of what happens at this time.
    #[must_use]
    pub fn next(&self, at: DateTime<Utc>) -> Uuid {
        let mixed = mix(self.counter.fetch_add(STEP, Ordering::Relaxed));
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default() & 0xffff_ffff_ffff;
        // 48 bits of time, the version, ten bits of salt and the two highest of the mix, the variant, the other 62.
        let high = (millis << 16) | 0x7000 | u64::from((self.salt << 2) & 0xfff) | (mixed >> 62);
        let low = (0b10 << 62) | (mixed & (u64::MAX >> 2));
        Uuid::from_u64_pair(high, low)
    }
}

/// The names of this process's requests. One counter for the process, because two would have to be kept apart.
static REQUESTS: LazyLock<Option<Uuids>> = LazyLock::new(|| Uuids::new().ok());

/// A name for a request that arrives at this time; without randomness at the start, one that asks the system each time.
#[must_use]
pub fn request_uuid(at: DateTime<Utc>) -> Uuid {
    REQUESTS.as_ref().map_or_else(Uuid::now_v7, |names| names.next(at))
}

const fn mix(counter: u64) -> u64 {
    let mut z = counter;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Uuids;
    use chrono::DateTime;
    use std::collections::HashSet;

    #[test]
    fn names_are_version_7_and_never_the_same() {
        let ids = Uuids::new().unwrap();
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let all: HashSet<_> = (0..10_000).map(|_| ids.next(at)).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|id| id.get_version_num() == 7 && id.to_string().starts_with("018bcfe5-687b-7")));
    }
}
