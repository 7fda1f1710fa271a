//! Texts of a fixed form that several formats share: durations, sizes, decimals, dates, digests, single lines.
//!
//! Each names its form once, as a pattern that the schema shows and the check goes by. What a pattern cannot say
//! (the 31st of February) is said by the methods here, with the place.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::de::Placed;
use super::reading::Reading;
use crate::id::Digest;

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident $pattern:literal $title:literal;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) String);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "title": $title})
            }
        }
    )+};
}

texts! {
    /// One line, 1 to 256 characters.
    Line r"^[^\x00-\x1f\x7f]{1,256}$" "one line of 1 to 256 characters";
    /// A length of time: `500ms`, `30s`, `10m`, `1h30m`.
    Span "^([0-9]{1,9}(ms|s|m|h|d))+$" "a duration such as `30s` or `10m`";
    /// A number of bytes: `10MiB`, `64KiB`, `4096`.
    Size "^[0-9]{1,9}(B|KB|MB|GB|KiB|MiB|GiB)?$" "a size such as `10MiB`";
    /// A decimal number that is not negative.
    Amount r"^[0-9]{1,15}(\.[0-9]{1,12})?$" "a decimal number such as \"0.15\"";
    /// A day or a point in time.
    Day r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,20}(Z|[+-][0-9]{2}:[0-9]{2}))?$" "a date such as 2027-01-31 or a time such as 2027-01-31T09:00:00Z";
    /// A point in time.
    Time r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,20}(Z|[+-][0-9]{2}:[0-9]{2})$" "a time such as 2027-01-31T09:00:00Z";
    /// The SHA-256 of something, in hex.
    Sha256 "^sha256:[0-9a-fA-F]{64}$" "`sha256:` and 64 hex digits";
    /// A currency by its ISO 4217 code.
    Currency "^[A-Z]{3}$" "a currency code such as USD";
    /// A region or a service in the scope of an AWS signature.
    ScopeWord "^[a-z0-9-]{1,64}$" "a word of small letters, digits and dashes, such as eu-west-1";
    /// One name, or `*` for all.
    NameOrAll r"^(\*|[A-Za-z0-9._:/@-]{1,128})$" "a name, or \"*\" for all";
}

impl Placed<Span> {
    /// The duration; a fault when it is zero or more than a year.
    pub(crate) fn read(&self, reading: &mut Reading) -> Option<Duration> {
        let duration = humantime::parse_duration(&self.value.0).ok();
        let sane = duration.filter(|d| !d.is_zero() && *d <= Duration::from_hours(366 * 24));
        if sane.is_none() {
            reading.wrong(self.place, "a duration must be more than nothing and at most a year");
        }
        sane
    }
}

impl Placed<Size> {
    /// The number of bytes; a fault when it is not within `least..=most`.
    pub(crate) fn read(&self, reading: &mut Reading, least: u64, most: u64) -> Option<u64> {
        let bytes = bytes(&self.value.0).filter(|bytes| (least..=most).contains(bytes));
        if bytes.is_none() {
            reading.wrong(self.place, format!("the size must be between {} and {}", shown(least), shown(most)));
        }
        bytes
    }
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..)? {
        "" | "B" => 1,
        "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The size in its largest whole unit.
fn shown(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

impl Placed<Amount> {
    /// The number.
    pub(crate) fn read(&self, reading: &mut Reading) -> Option<Decimal> {
        let amount = Decimal::from_str_exact(&self.value.0).ok();
        if amount.is_none() {
            reading.wrong(self.place, "the number has too many digits");
        }
        amount
    }
}

impl Placed<Day> {
    /// The point in time; where only a date is given, the start of that day in UTC.
    pub(crate) fn read(&self, reading: &mut Reading) -> Option<DateTime<Utc>> {
        let text = self.value.0.as_str();
        let found = match text.len() {
            10 => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|d| d.and_time(NaiveTime::MIN).and_utc()),
            _ => instant(text),
        };
        if found.is_none() {
            reading.wrong(self.place, "there is no such day or time");
        }
        found
    }
}

impl Placed<Time> {
    /// The point in time.
    pub(crate) fn read(&self, reading: &mut Reading) -> Option<DateTime<Utc>> {
        let found = instant(&self.value.0);
        if found.is_none() {
            reading.wrong(self.place, "there is no such time");
        }
        found
    }
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc())
}

impl Placed<Sha256> {
    /// The digest.
    pub(crate) fn read(&self, reading: &mut Reading) -> Option<Digest> {
        let digest = Digest::parse(&self.value.0);
        if digest.is_none() {
            reading.wrong(self.place, "the value is not `sha256:` and 64 hex digits");
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Amount, Day, Size, Span};
    use crate::config::de::Placed;
    use crate::config::node::Place;
    use crate::config::reading::Reading;

    fn placed<T>(value: T) -> Placed<T> {
        Placed { value, place: Place::default() }
    }

    fn reading() -> Reading {
        Reading::open("t.yaml", b"").unwrap()
    }

    #[test]
    fn durations_have_units_and_are_neither_nothing_nor_endless() {
        let span = |text: &str| placed(Span(text.to_owned())).read(&mut reading());
        assert_eq!(span("30s"), Some(Duration::from_secs(30)));
        assert_eq!(span("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(span("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(span("0s"), None);
        assert_eq!(span("999999999d"), None);
        assert_eq!(span("999999999d999999999d999999999d"), None);
    }

    #[test]
    fn sizes_count_in_both_kinds_of_units_within_bounds() {
        let size = |text: &str| placed(Size(text.to_owned())).read(&mut reading(), 1, 1 << 40);
        assert_eq!(size("10MiB"), Some(10 << 20));
        assert_eq!(size("64KB"), Some(64_000));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("0"), None);
        assert_eq!(size("999999999GiB"), None);
        let mut reading = reading();
        assert_eq!(placed(Size("1".to_owned())).read(&mut reading, 1024, 1 << 20), None);
        assert!(reading.close().next().unwrap().message.contains("between 1KiB and 1MiB"));
    }

    #[test]
    fn amounts_keep_every_digit() {
        assert_eq!(placed(Amount("0.150".to_owned())).read(&mut reading()).unwrap().to_string(), "0.150");
        placed(Amount("999999999999999.999999999999".to_owned())).read(&mut reading()).unwrap();
    }

    #[test]
    fn days_must_exist() {
        let day = |text: &str| placed(Day(text.to_owned())).read(&mut reading()).map(|t| t.to_rfc3339());
        assert_eq!(day("2027-01-01").as_deref(), Some("2027-01-01T00:00:00+00:00"));
        assert_eq!(day("2027-01-01T02:00:00+02:00").as_deref(), Some("2027-01-01T00:00:00+00:00"));
        assert_eq!(day("2027-02-31"), None);
        assert_eq!(day("2027-01-01T25:00:00Z"), None);
    }
}
