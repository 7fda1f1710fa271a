//! Every detector of the build, by family. `scanner` compiles [`TABLE`]; nobody else looks in here.

mod aws;
mod contact;
mod github;
mod iban;
mod models;
mod payment;
mod pem;
mod saas;
mod us;

use super::detector::Detector;

/// All detectors. Where two find the same bytes the one named first stays, so the more specific comes first.
pub(super) static TABLE: &[&Detector] = &[
    &payment::CREDIT_CARD,
    &iban::IBAN,
    &us::US_SSN,
    &contact::EMAIL,
    &aws::AWS_ACCESS_KEY_ID,
    &aws::AWS_SECRET_ACCESS_KEY,
    &github::GITHUB_TOKEN,
    &github::GITHUB_FINE_GRAINED_PAT,
    &saas::SLACK_TOKEN,
    &saas::SLACK_WEBHOOK,
    &saas::STRIPE_KEY,
    &models::ANTHROPIC_KEY,
    &models::OPENAI_KEY,
    &pem::PRIVATE_KEY,
];

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::finding::{Class, FindingType, Findings};
    use super::super::scanner::Scanner;
    use super::*;
    use crate::config::finding;

    /// Takes the marks out of `«marked» text` and says where they stood.
    fn unmark(marked: &str) -> (String, Vec<Range<usize>>) {
        let (mut text, mut spans, mut start) = (String::new(), Vec::new(), 0);
        for c in marked.chars() {
            match c {
                '«' => start = text.len(),
                '»' => spans.push(start..text.len()),
                c => text.push(c),
            }
        }
        (text, spans)
    }

    #[test]
    fn every_detector_finds_its_examples_and_nothing_else_in_them() {
        let scanner = Scanner::new().unwrap();
        for detector in TABLE {
            assert!(detector.examples.iter().any(|e| e.contains('«')), "{} shows a finding", detector.kind.name());
            assert!(detector.examples.iter().any(|e| !e.contains('«')), "{} shows a refusal", detector.kind.name());
            for example in detector.examples {
                let (text, expected) = unmark(example);
                let mut findings = Findings::new();
                scanner.scan(&text, &mut findings);
                let found: Vec<_> =
                    findings.list().iter().filter(|f| f.kind == detector.kind).map(|f| f.start..f.end).collect();
                assert_eq!(found, expected, "{} in {text:?}", detector.kind.name());
            }
        }
    }

    #[test]
    fn what_profiles_and_rules_may_name_is_what_is_detected() {
        let injection = FindingType::PROMPT_INJECTION;
        let mut detected: Vec<_> = TABLE.iter().map(|d| d.kind.name()).chain([injection.name()]).collect();
        let mut named = finding::TYPES;
        detected.sort_unstable();
        named.sort_unstable();
        assert_eq!(detected, named);
        assert_eq!(Class::ALL.map(Class::as_str), finding::CLASSES);
    }

    #[test]
    fn no_two_detectors_share_a_name() {
        let mut names: Vec<_> = TABLE.iter().map(|d| d.kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }
}
