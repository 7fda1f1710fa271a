//! Payment cards.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum};

/// Words that say a number is a card's, so that the Luhn digit alone will do.
const CARD_WORDS: &[&str] = &[
    "card",
    "cards",
    "cc",
    "visa",
    "mastercard",
    "amex",
    "maestro",
    "diners",
    "discover",
    "jcb",
    "pan",
    "kreditkarte",
    "karte",
    "carte",
    "tarjeta",
    "carta",
    "cartão",
    "kaart",
];

/// Longest card number, separators included: five groups of 19 digits.
const LONGEST: usize = 19 + 4;

detector!(
    CREDIT_CARD,
    PersonalData,
    Anchor::Number,
    confirm,
    [
        "My card is «4111 1111 1111 1111».",
        "card_number=«4111111111111111»&cvv=123",
        "rows: 1,«5105-1051-0510-5100»,ok",
        "Amex «3782 822463 10005» and Diners «3056 9309 0259 04»",
        "short Maestro card «501800000009»",
        "«6011 1111 1111 1117» 12/27 123",
        "not one by its check digit: 4111 1111 1111 1112",
        "order 501800000009 has no card word near it",
        "a longer run 41111111111111110000, part of a word x4111111111111111, a decimal 0.4111111111111111",
        "a South African identity number 4601131679186",
        "milliseconds 1713531038000, separators that change 4111 1111-1111 1111",
    ]
);

fn confirm(site: Site<'_>) -> Option<Range<usize>> {
    let number = Number::read(site)?;
    if !luhn(number.digits()) {
        return None;
    }
    // Thirteen digits are what many national identifiers have, and no scheme issues such numbers any more.
    let alone = number.count > 13 && is_issued(number.digits());
    let fits = || alone || site.mentions(site.at, 40, CARD_WORDS);
    (stands_free(site, &number) && fits()).then_some(number.start..number.end)
}

/// A number in the groupings in which cards are written.
struct Number {
    digits: [u8; 19],
    count: usize,
    start: usize,
    end: usize,
}

impl Number {
    fn digits(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }

    /// Reads one block of 12–19 digits, or groups with one kind of separator between them.
    fn read(site: Site<'_>) -> Option<Self> {
        let first = site.run(site.at, 19, |b| b.is_ascii_digit());
        let mut number = Self { digits: [0; 19], count: 0, start: site.at, end: first };
        match first - site.at {
            12..=19 => number.push(site.bytes(site.at..first))?,
            4 => {
                let separator = site.byte(first).filter(|b| matches!(b, b' ' | b'-'))?;
                number.read_groups(site, separator)?;
            }
            _ => return None,
        }
        Some(number)
    }

    /// 4-4-4-4, 4-4-4-4-3, 4-4-4-1 (13 digits), 4-6-5 or 4-6-4.
    fn read_groups(&mut self, site: Site<'_>, separator: u8) -> Option<()> {
        let mut sizes = [0_usize; 5];
        let (mut groups, mut at) = (0, site.at);
        for size in &mut sizes {
            let end = site.run(at, 6, |b| b.is_ascii_digit());
            *size = end - at;
            if *size == 0 || self.push(site.bytes(at..end)).is_none() {
                *size = 0;
                break;
            }
            groups += 1;
            self.end = end;
            if site.byte(end) != Some(separator) {
                break;
            }
            at = end + 1;
        }
        match sizes.get(..groups)? {
            [4, 4, 4, 1..=4] | [4, 4, 4, 4, 3] | [4, 6, 4 | 5] => Some(()),
            // What follows the card after another separator of the same kind is not part of it: `… 1111 12 27`.
            [4, 4, 4, 4, last] => {
                self.count -= last;
                self.end -= last + 1;
                Some(())
            }
            [4, 6, 4 | 5, rest @ ..] => {
                self.count -= rest.iter().sum::<usize>();
                self.end -= rest.iter().map(|n| n + 1).sum::<usize>();
                Some(())
            }
            _ => None,
        }
    }

    fn push(&mut self, digits: &[u8]) -> Option<()> {
        let to = self.digits.get_mut(self.count..self.count + digits.len())?;
        for (to, digit) in to.iter_mut().zip(digits) {
            *to = digit - b'0';
        }
        self.count += digits.len();
        Some(())
    }
}

/// Whether the number is not the inside of something longer: a word, a decimal, a longer run.
fn stands_free(site: Site<'_>, number: &Number) -> bool {
    debug_assert!(number.end - number.start <= LONGEST, "a card number is bounded");
    let before = site.before(number.start);
    let decimal = before == Some(b'.') && site.before(number.start - 1).is_some_and(|b| b.is_ascii_digit());
    !decimal && !before.is_some_and(|b| alnum(b) || b == b'_') && !site.byte(number.end).is_some_and(alnum)
}

/// ISO/IEC 7812-1 annex B: the Luhn formula.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| match (i % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|d| *d != 0)
}

/// Whether an issuer's range and its lengths fit (ISO/IEC 7812 issuer identification numbers, as the schemes publish
/// them: Visa, Mastercard, American Express, Diners Club, Discover, JCB, `UnionPay`, Maestro).
fn is_issued(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(6).fold(0_u32, |n, d| n * 10 + u32::from(*d));
    let lengths: &[usize] = match prefix {
        400_000..=499_999 => &[13, 16, 19],
        510_000..=559_999 | 222_100..=272_099 => &[16],
        340_000..=349_999 | 370_000..=379_999 | 180_000..=180_099 | 213_100..=213_199 => &[15],
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => &[14, 15, 16, 17, 18, 19],
        601_100..=601_199 | 644_000..=659_999 | 352_800..=358_999 | 620_000..=629_999 => &[16, 17, 18, 19],
        500_000..=509_999 | 560_000..=589_999 | 630_000..=639_999 | 670_000..=679_999 => &[13, 15, 16, 18, 19],
        _ => &[],
    };
    lengths.contains(&digits.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().map(|b| b - b'0').collect()
    }

    #[test]
    fn the_schemes_test_numbers_pass() {
        for number in [
            "4111111111111111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
        ] {
            assert!(luhn(&digits(number)) && is_issued(&digits(number)), "{number}");
        }
    }

    #[test]
    fn zeros_are_no_card() {
        assert!(!luhn(&digits("0000000000000000")));
    }

    proptest! {
        #[test]
        fn one_changed_digit_is_noticed(number in "[0-9]{15}", at in 0..15_usize, by in 1..10_u8) {
            let mut number = digits(&number);
            number.push((0..10).find(|d| luhn(&[number.as_slice(), &[*d]].concat())).unwrap_or(0));
            prop_assume!(luhn(&number));
            number[at] = (number[at] + by) % 10;
            prop_assert!(!luhn(&number));
        }
    }
}
