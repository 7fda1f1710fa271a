//! Whether a JSON body came to its end, told from its bytes: for answers whose framing cannot say so.
//!
//! Without a length and without chunks a body ends with its connection (RFC 9112 section 6.3, case 8), as it also would
//! when the upstream died half-way. Brackets and strings are counted and nothing is judged: what is no JSON at all is
//! not whole either.

/// Follows brackets and strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Balance {
    depth: u64,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// Nothing but white space so far.
    #[default]
    Start,
    Inside,
    InString,
    Escaped,
    /// The outermost bracket is closed.
    End,
    /// No document that this can follow.
    Lost,
}

impl Balance {
    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.at = match (self.at, byte) {
                (At::Start | At::Inside, b'{' | b'[') => {
                    self.depth += 1;
                    At::Inside
                }
                (At::Inside, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 { At::End } else { At::Inside }
                }
                (At::Inside, b'"') | (At::Escaped, _) => At::InString,
                (At::InString, b'"') => At::Inside,
                (At::InString, b'\\') => At::Escaped,
                (at, b' ' | b'\t' | b'\r' | b'\n') | (at @ (At::Inside | At::InString), _) => at,
                (At::Start | At::End | At::Lost, _) => At::Lost,
            };
        }
    }

    /// Whether one object or list began and ended, and nothing else came.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self.at, At::End)
    }
}

#[cfg(test)]
mod tests {
    use super::Balance;

    fn whole(text: &str) -> bool {
        let mut balance = Balance::default();
        for piece in text.as_bytes().chunks(3) {
            balance.feed(piece);
        }
        balance.is_whole()
    }

    #[test]
    fn a_document_is_whole_with_its_last_bracket_and_not_before() {
        let text = r#" {"a":[{"b":"}\"]\\"},1],"c":{}}"#;
        assert!(whole(text) && whole(&format!("{text}\n")) && whole("[]"));
        for end in 0..text.len() {
            assert!(!whole(&text[..end]), "{}", &text[..end]);
        }
        for text in ["", " ", "<html></html>", "{}x", "{}{}", "1", "\"a\""] {
            assert!(!whole(text), "{text}");
        }
    }
}
