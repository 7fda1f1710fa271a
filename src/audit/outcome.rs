//! What became of a call that was let through: its outcome record, tokens and cost.

use std::time::Duration;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::json::Line;
use super::record::{Envelope, joined, subject};
use super::writer::Draft;
use crate::breaker::Health;
use crate::call::{Seen, Usage};
use crate::config::policy::Price;
use crate::docket::Docket;
use crate::id::{TenantId, UpstreamId};
use crate::speech::Operation;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The answer came to its own end.
    Complete,
    /// The upstream failed or broke off.
    Failed,
    /// The client left.
    Cancelled,
    /// The output guard refused the answer.
    Refused,
}

impl End {
    /// The end as it stands in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

/// What the edge saw of a call's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The upstream's status, when it answered.
    pub status: Option<u16>,
    /// What was seen of the answer.
    pub seen: Seen,
    /// From sealing to the first byte of the answer's body.
    pub first_byte_after: Option<Duration>,
    /// What the breaker is told.
    pub health: Health,
}

/// What a call cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The amount, without trailing zeros.
    pub amount: Decimal,
    /// ISO 4217 code.
    pub currency: String,
}

/// What a call is settled at, for metrics.
#[derive(Debug)]
pub struct Settled {
    /// The call's case file.
    pub docket: Box<Docket>,
    /// How it ended.
    pub end: End,
    /// Tokens.
    pub usage: Usage,
    /// What they cost; `None` when the model has no price.
    pub cost: Option<Cost>,
    /// From sealing to the end.
    pub duration: Duration,
}

/// The tokens a call is charged: the provider's count; else a guess from the text that went in and the bytes that came out.
///
/// A call whose upstream answered with an error, or failed without any answer, is charged nothing: no provider bills
/// it. Counting tokens costs none. A batch that was taken in is charged all that it may cost (`later_output`): its answers
/// are made later, and no answer that is seen says what they took.
pub(super) fn usage(
    outcome: &Outcome,
    operation: Option<Operation>,
    input: impl FnOnce() -> u64,
    later_output: Option<u64>,
) -> Usage {
    if let Some(usage) = outcome.seen.usage {
        return usage;
    }
    let refused = outcome.status.is_some_and(|status| status >= 400);
    let unanswered = outcome.end == End::Failed && outcome.status.is_none();
    if refused || unanswered || operation == Some(Operation::CountTokens) {
        return Usage { estimated: true, ..Usage::default() };
    }
    let output = match later_output {
        Some(later) => later,
        // Images, sound and receipts are no tokens.
        None if outcome.seen.bytes == 0 || operation.is_some_and(answers_otherwise) => 0,
        None => outcome.seen.estimated_output_tokens(),
    };
    Usage { input: input(), output, cached: 0, reasoning: 0, estimated: true }
}

/// Whether the answer's size says nothing about tokens.
const fn answers_otherwise(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Images | Operation::Audio | Operation::Moderations | Operation::Files | Operation::Batches
    )
}

/// `(input · price + output · price) / 1,000,000`, exact. `None` where a figure does not fit 96 bits.
pub(super) fn cost(usage: Usage, price: &Price) -> Option<Cost> {
    let amount = small_amount(usage, price).or_else(|| amount(usage, price))?;
    Some(Cost { amount, currency: price.currency.clone() })
}

fn amount(usage: Usage, price: &Price) -> Option<Decimal> {
    let input = Decimal::from(usage.input).checked_mul(price.input_per_million)?;
    let output = Decimal::from(usage.output).checked_mul(price.output_per_million)?;
    Some(input.checked_add(output)?.checked_div(Decimal::from(1_000_000_u32))?.normalize())
}

/// The same in 64 bits, where all figures fit: every call has a cost, and hardly one is beyond this.
fn small_amount(usage: Usage, price: &Price) -> Option<Decimal> {
    let mut scale = price.input_per_million.scale().max(price.output_per_million.scale());
    let part = |tokens: u64, price: Decimal| {
        let unit = 10_u64.checked_pow(scale.checked_sub(price.scale())?)?;
        u64::try_from(price.mantissa()).ok()?.checked_mul(unit)?.checked_mul(tokens)
    };
    let (input, output) = (part(usage.input, price.input_per_million)?, part(usage.output, price.output_per_million)?);
    let mut mantissa = input.checked_add(output)?;
    if mantissa == 0 {
        return Some(Decimal::ZERO);
    }
    scale = scale.checked_add(6)?;
    while scale > 0 && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        scale = scale.saturating_sub(1);
    }
    Decimal::try_from_i128_with_scale(mantissa.into(), scale).ok()
}

/// The amount for a metric, where the nearest float is good enough.
#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
pub(super) fn approximate(amount: Decimal) -> f64 {
    amount.mantissa() as f64 / 10_f64.powi(i32::try_from(amount.scale()).unwrap_or_default())
}

/// The outcome's figures, as the record has them.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    pub(super) decision: Uuid,
    pub(super) outcome: &'a Outcome,
    pub(super) usage: Usage,
    pub(super) cost: Option<&'a Cost>,
    pub(super) duration: Duration,
}

/// The outcome record.
pub(super) fn record(envelope: &Envelope<'_>, docket: &Docket, figures: &Figures<'_>) -> Draft {
    let (mut line, split) = envelope.open(896, |line| subject(line, docket));
    joined(&mut line, docket);
    line.raw(r#""causationid":"#).uuid(figures.decision);
    line.raw(r#","data":{"request_id":""#).raw(docket.request_id.as_str());
    line.raw(r#"","tenant":"#).name_or_null(docket.tenant.as_ref().map(TenantId::as_str));
    line.raw(r#","model":"#).text_or_null(docket.resource.as_ref().map(|r| r.id.as_str()));
    line.raw(r#","upstream":"#).name_or_null(docket.upstream.as_ref().map(UpstreamId::as_str));
    line.raw(r#","status":"#).number_or_null(figures.outcome.status);
    tokens(&mut line, figures.usage);
    match figures.cost {
        Some(cost) => {
            line.raw(r#","cost":{"amount":""#).decimal(cost.amount);
            line.raw(r#"","currency":"#).text(&cost.currency).raw("}")
        }
        None => line.raw(r#","cost":null"#),
    };
    line.raw(r#","ttft_ms":"#).number_or_null(figures.outcome.first_byte_after.map(millis));
    line.raw(r#","duration_ms":"#).number(millis(figures.duration));
    line.raw(r#","bytes_out":"#).number(figures.outcome.seen.bytes);
    line.raw(r#","end":""#).raw(figures.outcome.end.as_str()).raw(r#""}}"#);
    Draft::new(line.into_bytes(), split)
}

fn tokens(line: &mut Line, usage: Usage) {
    line.raw(r#","usage":{"input":"#).number(usage.input).raw(r#","output":"#).number(usage.output);
    line.raw(r#","cached":"#).number(usage.cached).raw(r#","reasoning":"#).number(usage.reasoning);
    line.raw(r#","estimated":"#).flag(usage.estimated).raw("}");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{End, Outcome, amount, approximate, cost, small_amount, usage};
    use crate::breaker::Health;
    use crate::call::{Seen, Usage};
    use crate::config::policy::Price;
    use crate::speech::Operation;
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use rust_decimal::prelude::ToPrimitive as _;

    fn ended(end: End, status: Option<u16>, seen: Seen) -> Outcome {
        Outcome { end, status, seen, first_byte_after: None, health: Health::Unknown }
    }

    #[test]
    fn a_cost_is_exact_and_has_no_trailing_zeros() {
        let price = Price {
            currency: "USD".to_owned(),
            input_per_million: "0.15".parse().unwrap(),
            output_per_million: "0.60".parse().unwrap(),
        };
        let used = Usage { input: 1000, output: 500, ..Usage::default() };
        assert_eq!(cost(used, &price).unwrap().amount.to_string(), "0.00045");
        assert_eq!(cost(Usage::default(), &price).unwrap().amount.to_string(), "0");
        let absurd = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        let dear = Price { input_per_million: Decimal::MAX, ..price };
        assert_eq!(cost(absurd, &dear), None);
    }

    proptest! {
        #[test]
        fn a_small_cost_is_the_same_in_64_bits(
            input in 0..20_000_000_u64, output in 0..20_000_000_u64,
            prices in (0..100_000_000_u64, 0..100_000_000_u64), scales in (0..=12_u32, 0..=12_u32),
        ) {
            let price = Price {
                currency: "USD".to_owned(),
                input_per_million: Decimal::new(i64::try_from(prices.0).unwrap(), scales.0),
                output_per_million: Decimal::new(i64::try_from(prices.1).unwrap(), scales.1),
            };
            let usage = Usage { input, output, ..Usage::default() };
            let exact = amount(usage, &price).unwrap();
            if let Some(small) = small_amount(usage, &price) {
                prop_assert_eq!(small.to_string(), exact.to_string());
            }
            let off = (approximate(exact) - exact.to_f64().unwrap()).abs();
            prop_assert!(off <= approximate(exact) * 1e-12, "{off}");
        }
    }

    #[test]
    fn the_providers_count_is_taken_as_it_is() {
        let counted = Usage { input: 7, output: 3, ..Usage::default() };
        let seen = Seen { usage: Some(counted), ..Seen::default() };
        assert_eq!(usage(&ended(End::Cancelled, Some(200), seen), None, || 99, None), counted);
    }

    #[test]
    fn a_cancelled_call_is_charged_the_guess_of_its_input_and_a_failed_one_nothing() {
        let none = Seen::default();
        let guess = usage(&ended(End::Cancelled, None, none), Some(Operation::Chat), || 99, None);
        assert_eq!((guess.input, guess.output, guess.estimated), (99, 0, true));
        for (end, status) in [(End::Failed, None), (End::Complete, Some(400)), (End::Failed, Some(500))] {
            assert_eq!(usage(&ended(end, status, none), Some(Operation::Chat), || 99, None).input, 0);
        }
        assert_eq!(usage(&ended(End::Complete, Some(200), none), Some(Operation::CountTokens), || 99, None).input, 0);
    }
}
