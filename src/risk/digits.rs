//! Finds the stretches of a text that can hold a number worth looking at, and the groups of digits in them.
//!
//! Prose has few digits, so the text is first asked in blocks of 64 bytes how many it has (a loop the compiler turns
//! into vector instructions). A number of at least nine digits within 64 bytes puts [`DENSE`] of them into one of the
//! two blocks it can touch.

/// Digits in a block of 64 bytes from which it is looked at.
pub(super) const DENSE: u8 = 5;

const BLOCK: usize = 64;

/// Calls `see` with the start of every group of digits in the dense blocks of `text` and in the blocks around them.
pub(super) fn groups(text: &[u8], mut see: impl FnMut(usize)) {
    let mut walked = 0;
    let mut look = |block: usize, digits: u8| {
        if digits >= DENSE {
            let start = (block * BLOCK).saturating_sub(BLOCK).max(walked);
            let end = ((block + 2) * BLOCK).min(text.len());
            walk(text, start, end, &mut see);
            walked = end;
        }
    };
    // Blocks of a length that the compiler knows take half the instructions of others.
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (i, block) in blocks.iter().enumerate() {
        look(i, digits_in(block));
    }
    look(blocks.len(), digits_in(rest));
}

#[inline]
fn digits_in(block: &[u8]) -> u8 {
    block.iter().map(|b| u8::from(b.wrapping_sub(b'0') < 10)).sum()
}

/// Sees the groups that start in `start..end`.
fn walk(text: &[u8], start: usize, end: usize, see: &mut impl FnMut(usize)) {
    let mut inside = start.checked_sub(1).and_then(|i| text.get(i)).is_some_and(u8::is_ascii_digit);
    for (i, b) in text.get(start..end).unwrap_or_default().iter().enumerate() {
        let digit = b.is_ascii_digit();
        if digit && !inside {
            see(start + i);
        }
        inside = digit;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(text: &str) -> Vec<usize> {
        let mut all = Vec::new();
        groups(text.as_bytes(), |at| all.push(at));
        all
    }

    #[test]
    fn sparse_digits_are_not_looked_at() {
        assert_eq!(seen("in 2019 we were 12"), [3, 16]);
        assert_eq!(seen("in 2019 we were"), [] as [usize; 0]);
    }

    proptest! {
        #[test]
        fn a_number_of_nine_digits_is_seen_wherever_it_stands(before in "[a-z ]{0,200}", after in "[a-z ]{0,200}") {
            let text = format!("{before}123-45-6789{after}");
            prop_assert_eq!(seen(&text), [before.len(), before.len() + 4, before.len() + 7]);
        }

        #[test]
        fn each_group_is_seen_at_most_once(text in "[0-9 a]{0,400}") {
            let all = seen(&text);
            prop_assert!(all.is_sorted_by(|a, b| a < b));
        }
    }
}
