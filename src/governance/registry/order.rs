//! Versions in the order people mean: runs of digits compare as numbers.

use std::cmp::Ordering;

/// Compares two versions: `v10` comes after `v9`, `2024-08-06` after `2024-07-18`. A total order: versions that differ
/// only in leading zeros are told apart by their text.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let ordering = match (piece(&mut left), piece(&mut right)) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) if is_number(x) && is_number(y) => as_numbers(x, y),
            (Some(x), Some(y)) => x.cmp(y),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// Takes the next run of digits or of other characters.
fn piece<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let first = rest.bytes().next()?.is_ascii_digit();
    let end = rest.bytes().position(|b| b.is_ascii_digit() != first).unwrap_or(rest.len());
    let (piece, after) = rest.split_at_checked(end)?;
    *rest = after;
    Some(piece)
}

fn is_number(piece: &str) -> bool {
    piece.bytes().next().is_some_and(|b| b.is_ascii_digit())
}

/// Numbers of any length, without computing them.
fn as_numbers(x: &str, y: &str) -> Ordering {
    let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
    x.len().cmp(&y.len()).then_with(|| x.cmp(y))
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::natural;

    #[test]
    fn digits_compare_as_numbers() {
        let mut versions = ["v10", "v9", "v1.10", "v1.9", "2024-08-06", "2024-07-18", "v9-beta", "007", "7"];
        versions.sort_by(|a, b| natural(a, b));
        assert_eq!(versions, ["007", "7", "2024-07-18", "2024-08-06", "v1.9", "v1.10", "v9", "v9-beta", "v10"]);
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[a0-9.-]{0,6}", b in "[a0-9.-]{0,6}", c in "[a0-9.-]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b) != Ordering::Greater && natural(&b, &c) != Ordering::Greater {
                prop_assert_ne!(natural(&a, &c), Ordering::Greater);
            }
        }
    }
}
