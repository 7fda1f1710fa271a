//! The scanner: one look over the bytes of a text for all detectors and phrases together.
//!
//! Compiled once at start, shared by all threads. Nothing is merged into one expression: anchors of detectors and
//! phrases go to vectorised multi-literal search over case-folded bytes ([`anchors`](super::anchors)), `@` to memchr,
//! numbers to a count of digits a block. What those find is confirmed in place with bounded look-around, so the work is
//! linear in the text whatever it holds.

use super::anchors::Anchors;
pub use super::anchors::NotCompiled;
use super::detector::{Anchor, Detector};
use super::detectors::TABLE;
use super::digits;
use super::finding::Findings;
use super::injection::{self, PHRASES, Phrases, Tally};
use super::site::Site;
use crate::speech::Source;

/// Whose anchor a literal is.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Detector(&'static Detector),
    Phrase(usize),
}

/// Finds everything the build knows of in a text.
#[derive(Debug)]
pub struct Scanner {
    anchors: Anchors<Owner>,
    at_signs: Vec<&'static Detector>,
    numbers: Vec<&'static Detector>,
    phrases: Phrases,
}

impl Scanner {
    /// Compiles the tables; takes about a millisecond, once.
    ///
    /// # Errors
    /// [`NotCompiled`] when the search library takes none of its forms for our literals; not known to happen.
    pub fn new() -> Result<Self, NotCompiled> {
        let of = |wanted: fn(&Anchor) -> bool| TABLE.iter().copied().filter(|d| wanted(&d.anchor)).collect();
        Ok(Self {
            anchors: Anchors::compile(anchors())?,
            at_signs: of(|anchor| matches!(anchor, Anchor::At)),
            numbers: of(|anchor| matches!(anchor, Anchor::Number)),
            phrases: Phrases::compile(),
        })
    }

    /// Scans one text: its findings become the list of `findings`, and are added to its counts. Linear in the text;
    /// until something is found it allocates one stride of memory, which `findings` keeps for the next text.
    pub fn scan(&self, text: &str, findings: &mut Findings) {
        self.scan_for(text.as_bytes(), findings, true);
    }

    /// As [`Scanner::scan`], without looking for prompt injection: for text that gives the instructions.
    pub fn scan_instructions(&self, text: &str, findings: &mut Findings) {
        self.scan_for(text.as_bytes(), findings, false);
    }

    /// Scans what `source` wrote, as UTF-8. System text is scanned for data and credentials, not for injection: it is what
    /// gives the instructions, and good ones quote the phrases they warn of.
    pub(super) fn scan_of(&self, source: Source, text: &[u8], findings: &mut Findings) {
        let injection = match source {
            Source::System => false,
            Source::User | Source::Assistant | Source::Tool => true,
        };
        self.scan_for(text, findings, injection);
    }

    fn scan_for(&self, bytes: &[u8], findings: &mut Findings, injection: bool) {
        findings.next_text();
        digits::groups(bytes, |at| ask(&self.numbers, Site { text: bytes, at }, findings));
        if !self.at_signs.is_empty() {
            for at in memchr::memchr_iter(b'@', bytes) {
                ask(&self.at_signs, Site { text: bytes, at }, findings);
            }
        }
        let mut tally = Tally::default();
        let mut folded = std::mem::take(&mut findings.folded);
        self.anchors.each(bytes, &mut folded, |owner, at, len| match owner {
            Owner::Detector(detector) => ask(&[detector], Site { text: bytes, at }, findings),
            Owner::Phrase(number) if injection => self.phrases.judge(number, Site { text: bytes, at }, len, &mut tally),
            Owner::Phrase(_) => {}
        });
        findings.folded = folded;
        findings.note_injection(tally.score(), injection::COUNTS_FROM);
        findings.settle();
    }
}

/// Asks each detector about a place.
fn ask(detectors: &[&'static Detector], site: Site<'_>, findings: &mut Findings) {
    for detector in detectors {
        if let Some(range) = (detector.confirm)(site) {
            findings.note(detector.kind, range.start, range.end);
        }
    }
}

/// Every anchor that is a literal, and whose it is.
fn anchors() -> impl Iterator<Item = (&'static str, Owner)> {
    let of_detectors = TABLE.iter().flat_map(|detector| {
        let literals = match detector.anchor {
            Anchor::Literal(literals) => literals,
            Anchor::At | Anchor::Number => &[],
        };
        literals.iter().map(|literal| (*literal, Owner::Detector(detector)))
    });
    let of_phrases = PHRASES
        .iter()
        .enumerate()
        .flat_map(|(i, phrase)| phrase.anchors.iter().map(move |anchor| (*anchor, Owner::Phrase(i))));
    of_detectors.chain(of_phrases)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::anchors::LONGEST;
    use super::*;

    static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new().unwrap());

    #[test]
    fn every_anchor_is_of_a_length_that_can_be_searched_for() {
        for (anchor, _) in anchors() {
            assert!((3..=LONGEST).contains(&anchor.len()), "{anchor} is of 3 to {LONGEST} bytes");
        }
    }

    /// Anchors that are read as tokens or end in other tokens' anchors: a chain of them must not be read to its end from
    /// each of its links.
    #[test]
    fn a_chain_of_prefixes_makes_no_finding_of_its_links() {
        for link in ["sk-xoxb-1", "sk-sk-", "xoxb-1xapp-1", "AKIAASIA", "ghp_gho_", "k_live_k_test_"] {
            let mut findings = Findings::new();
            SCANNER.scan(&link.repeat(500), &mut findings);
            assert!(findings.list().len() <= 1, "{link}");
        }
    }

    #[test]
    fn an_empty_text_has_no_findings() {
        let mut findings = Findings::new();
        SCANNER.scan("", &mut findings);
        assert!(findings.list().is_empty() && findings.injection_score() == 0);
    }

    /// Text made of what detectors look for, whole and broken, so that their edges are met.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "\\PC{0,12}",
            "[0-9 -]{0,24}",
            "[A-Z]{2}[0-9]{2}[A-Z0-9 ]{0,30}",
            "[a-z@.:/]{0,20}",
            proptest::sample::select(vec![
                "AKIA",
                "ghp_",
                "github_pat_",
                "xoxb-",
                "xapp-",
                "sk-",
                "sk-ant-",
                "sk_live_",
                "hooks.slack.com/",
                "services/T",
                "-----BEGIN ",
                "PRIVATE KEY",
                "-----",
                "\n",
                "\\n",
                "secret_access_key",
                "=",
                "@",
                "://",
                "4111 1111 1111 1111",
                "GB82 WEST 1234 5698 7654 32",
                "536-22-1234",
                "ignore previous instructions",
                "忽略之前的指令",
                "system prompt",
                "<|im_start|>",
                "é",
                "☃",
            ])
            .prop_map(String::from),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn findings_are_sorted_apart_and_on_character_boundaries(text in hostile()) {
            let mut findings = Findings::new();
            SCANNER.scan(&text, &mut findings);
            let mut last = 0;
            for finding in findings.list() {
                prop_assert!(finding.start >= last && finding.end > finding.start && finding.end <= text.len());
                prop_assert!(text.is_char_boundary(finding.start) && text.is_char_boundary(finding.end));
                last = finding.end;
            }
            prop_assert!(findings.injection_score() <= 100);
        }
    }
}
