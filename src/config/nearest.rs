//! "Did you mean …?": the known word nearest to a misspelt one.

/// The nearest of `known`, when it is near enough to be meant.
#[must_use]
pub(crate) fn to<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = fold(word);
    let allowed = (folded.len() / 3).clamp(1, 3);
    known
        .iter()
        .map(|name| (distance(&folded, &fold(name)), *name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Case and the kind of dash make no difference; nobody misspells 64 characters.
fn fold(word: &str) -> Vec<u8> {
    word.bytes().take(64).map(|b| if b == b'-' || b == b' ' { b'_' } else { b.to_ascii_lowercase() }).collect()
}

/// Edits from one word to the other, a swap of neighbours being one (optimal string alignment).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::to;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["upstream", "upstream_model", "status", "version"];
        assert_eq!(to("upstraem", &known), Some("upstream"));
        assert_eq!(to("Upstream-Model", &known), Some("upstream_model"));
        assert_eq!(to("stats", &known), Some("status"));
        assert_eq!(to("colour", &known), None);
        assert_eq!(to("", &known), None);
    }
}
