//! When two spellings of a member name are one name to some parser.
//!
//! Parsers exist that compare names without case, trimmed, normalised, with invisible characters dropped, or cut at
//! NUL. A name that one of them takes for a governed name without being it makes a request ambiguous. Readers ask
//! this room about every name they do not know; nothing here changes what is sent.

use unicode_normalization::UnicodeNormalization;

/// Whether `name` can only be itself: lower-case ASCII letters, digits and the joining marks. The common case.
pub(crate) fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'$'))
}

/// Whether some lax parser takes `name` for a name that `governed` knows, although it is not that name.
pub(crate) fn folds_to(name: &str, governed: impl Fn(&str) -> bool) -> bool {
    if is_plain(name) {
        return false;
    }
    let whole = fold(name);
    if whole != name && governed(&whole) {
        return true;
    }
    // Bracketed query names (`model[]`) and names cut at NUL by a parser that hands them to C.
    [&['\0'][..], &['\0', '[']].iter().any(|cuts| {
        name.split(*cuts).next().is_some_and(|head| {
            let head = fold(head);
            head != name && governed(&head)
        })
    })
}

/// NFKC, lower case, without invisible characters, trimmed. Normalised twice, because lower case can decompose.
pub(crate) fn fold(name: &str) -> String {
    let visible: String = name.nfkc().filter(|c| !is_invisible(*c)).flat_map(char::to_lowercase).nfkc().collect();
    visible.trim().to_owned()
}

/// Characters that show nothing: controls, and Unicode's `Default_Ignorable_Code_Point` (UAX #44).
fn is_invisible(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::folds_to;

    #[test]
    fn every_lax_spelling_of_a_governed_name_folds_to_it() {
        for name in [
            "Model",
            "mOdEl",
            "MODEL",
            " model",
            "model ",
            "model\t",
            "\nmodel",
            "model\u{a0}",
            "model\u{2003}",
            "mo\u{200b}del",
            "mo\u{ad}del",
            "\u{feff}model",
            "model\u{fe0f}",
            "mod\u{2060}el",
            "model\u{e0041}",
            "\u{ff4d}\u{ff4f}\u{ff44}\u{ff45}\u{ff4c}",
            "\u{1d426}odel",
            "\u{24dc}odel",
            "mode\u{2113}",
            "\u{1d50}odel",
            "model\0",
            "model\0x",
            "\0model",
            "mo\u{1}del",
            "Model\0junk",
            "model\u{3164}",
            "model[]",
            "model[0]",
            "mo\u{202e}del",
            "\u{217f}odel",
        ] {
            assert!(folds_to(name, |n| n == "model"), "{}", name.escape_unicode());
        }
        assert!(folds_to("me\u{17f}\u{17f}age\u{17f}", |n| n == "messages"));
        assert!(folds_to("max_to\u{212a}ens", |n| n == "max_tokens"));
    }

    #[test]
    fn the_name_itself_and_other_names_do_not_fold() {
        for name in ["model", "models", "m\u{f6}del", "remodel", "mo del", "m0del", "mod-el", "\u{43c}odel"] {
            assert!(!folds_to(name, |n| n == "model"), "{}", name.escape_unicode());
        }
    }
}
