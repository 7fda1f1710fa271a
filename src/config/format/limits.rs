//! `limits:` of tenants and organizations.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::de::{Either, Placed};
use crate::config::node::Flaw;
use crate::config::policy::{Algorithm, LimitsOverride, Rate};
use crate::config::reading::Reading;

/// How much a tenant may use. What is absent falls to the organization, then to 100 requests a minute.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Limits",
    extend("x-not-enforced-yet" = [
        "requests_per_second", "requests_per_hour", "requests_per_day", "tokens_per_hour", "tokens_per_day",
        "tokens_per_month", "cost_per_day", "cost_per_month"
    ])
)]
pub(super) struct Written {
    /// Requests a minute.
    requests_per_minute: Option<Either<NonZeroU32, RateWritten>>,
    /// Tokens a minute, input and output together.
    tokens_per_minute: Option<Either<NonZeroU32, RateWritten>>,
    /// Calls in flight.
    concurrent: Option<NonZeroU32>,
}

/// So many a minute, and how they are counted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rate")]
struct RateWritten {
    /// How many a minute.
    rate: NonZeroU32,
    /// How many at once (gcra); equal to `rate` unless named.
    burst: Option<Placed<NonZeroU32>>,
    /// How it is counted; gcra unless named.
    algorithm: Option<Algorithm>,
}

impl Written {
    pub(super) fn checked(self, reading: &mut Reading) -> LimitsOverride {
        LimitsOverride {
            requests: self.requests_per_minute.map(|rate| checked(rate, reading)),
            tokens: self.tokens_per_minute.map(|rate| checked(rate, reading)),
            concurrent: self.concurrent,
        }
    }
}

fn checked(rate: Either<NonZeroU32, RateWritten>, reading: &mut Reading) -> Rate {
    match rate {
        Either::Short(per_minute) => Rate { per_minute, burst: per_minute, algorithm: Algorithm::Gcra },
        Either::Long(RateWritten { rate, burst, algorithm }) => {
            let algorithm = algorithm.unwrap_or(Algorithm::Gcra);
            if let Some(burst) = &burst
                && algorithm == Algorithm::SlidingWindow
                && burst.value != rate
            {
                let flaw = Flaw::new(burst.place, "`burst` means nothing with sliding_window unless it equals `rate`");
                reading.fault(flaw.help("leave `burst` out, or use gcra"));
            }
            Rate { per_minute: rate, burst: burst.map_or(rate, |burst| burst.value), algorithm }
        }
    }
}
