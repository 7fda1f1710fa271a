//! What a scan found: which type, of which class, where. Offsets and counts only, never the text itself.
//!
//! `scanner` fills a [`Findings`]; `score` and the docket read its counts. Nothing here decides anything.

use std::collections::BTreeMap;

use super::anchors::Folded;

/// What kind of harm a finding can do; the words are those of a profile's `weights` and `actions` and of
/// `risk.count(…)` in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Identifies a person or an account of theirs.
    PersonalData,
    /// Reaches a person; weighs less than what identifies one.
    ContactData,
    /// Opens something.
    Credential,
    /// Tries to talk the model out of its instructions.
    PromptInjection,
}

impl Class {
    /// Every class, in the order in which reasons are given.
    pub const ALL: [Self; 4] = [Self::PersonalData, Self::ContactData, Self::Credential, Self::PromptInjection];

    /// The word in profiles, rules and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PersonalData => "personal_data",
            Self::ContactData => "contact_data",
            Self::Credential => "credential",
            Self::PromptInjection => "prompt_injection",
        }
    }
}

/// A type of finding: its name, which records, metrics and profiles use, and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingType {
    name: &'static str,
    class: Class,
}

impl FindingType {
    /// The type under which prompt injection is counted.
    pub const PROMPT_INJECTION: Self = Self::new("PROMPT_INJECTION", Class::PromptInjection);

    /// A type of this name.
    #[must_use]
    pub(crate) const fn new(name: &'static str, class: Class) -> Self {
        Self { name, class }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Its class.
    #[must_use]
    pub const fn class(self) -> Class {
        self.class
    }
}

/// One finding in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingType,
    /// Where it starts, in bytes; a character boundary.
    pub start: usize,
    /// Where it ends, in bytes, exclusive; a character boundary.
    pub end: usize,
}

/// How often each type was found; a type that was not found has no entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<FindingType, u32>);

impl Counts {
    /// Adds `n` findings of a type, saturating.
    pub fn add(&mut self, kind: FindingType, n: u32) {
        let count = self.0.entry(kind).or_default();
        *count = count.saturating_add(n);
    }

    /// All types that were found, by name.
    pub fn iter(&self) -> impl Iterator<Item = (FindingType, u32)> {
        self.0.iter().map(|(kind, n)| (*kind, *n))
    }

    /// How many findings the type or class of this name has; 0 for a name that is neither.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.iter()
            .filter(|(kind, _)| kind.name == name || kind.class.as_str() == name)
            .map(|(_, n)| u64::from(n))
            .sum()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The findings of the text that was scanned last, and the counts of all texts since the last [`Findings::clear`].
///
/// Memory is bounded: of one text at most [`Findings::LISTED`] candidates are listed with their place. Beyond that
/// they are only counted, and overlaps among them are counted twice: a flood of findings can raise a count, never
/// hide one.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    list: Vec<Finding>,
    counts: Counts,
    injection_score: u8,
    /// The scanner's working memory.
    pub(super) folded: Folded,
}

impl Findings {
    /// How many candidates of one text are listed with their place.
    pub const LISTED: usize = 10_000;

    /// No findings. Allocates nothing until a text is scanned.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new(), counts: Counts(BTreeMap::new()), injection_score: 0, folded: Folded::new() }
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.counts.0.clear();
        self.injection_score = 0;
    }

    /// The findings of the text scanned last, by place, none overlapping another. Prompt injection is not among them:
    /// it is a property of a text.
    #[must_use]
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// Counts over all texts scanned.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Counts over all texts scanned, the rest given up.
    #[must_use]
    pub fn into_counts(self) -> Counts {
        self.counts
    }

    /// How much the worst of the texts reads like prompt injection, 0–100.
    #[must_use]
    pub const fn injection_score(&self) -> u8 {
        self.injection_score
    }

    /// Begins another text.
    pub(super) fn next_text(&mut self) {
        self.list.clear();
    }

    /// Notes a candidate.
    pub(super) fn note(&mut self, kind: FindingType, start: usize, end: usize) {
        if self.list.len() < Self::LISTED {
            self.list.push(Finding { kind, start, end });
        } else {
            self.counts.add(kind, 1);
        }
    }

    /// Notes how much a text reads like prompt injection; from `counts_from` on it counts as a finding.
    pub(super) fn note_injection(&mut self, score: u8, counts_from: u8) {
        self.injection_score = self.injection_score.max(score);
        if score >= counts_from {
            self.counts.add(FindingType::PROMPT_INJECTION, 1);
        }
    }

    /// Ends a text: sorts its candidates, keeps the longest of those that overlap (of equally long ones the one noted
    /// first: the table lists the more specific type first), and counts what is left.
    pub(super) fn settle(&mut self) {
        if self.list.is_empty() {
            return;
        }
        self.list.sort_by_key(|f| f.start);
        self.list.dedup_by(|next, kept| {
            let overlaps = next.start < kept.end;
            if overlaps && next.end - next.start > kept.end - kept.start {
                *kept = *next;
            }
            overlaps
        });
        for finding in &self.list {
            self.counts.add(finding.kind, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: FindingType = FindingType::new("SHORT", Class::PersonalData);
    const LONG: FindingType = FindingType::new("LONG", Class::Credential);

    #[test]
    fn of_overlapping_candidates_the_longest_stays() {
        let mut findings = Findings::new();
        findings.note(SHORT, 4, 8);
        findings.note(LONG, 2, 20);
        findings.note(SHORT, 18, 22);
        findings.note(SHORT, 30, 31);
        findings.settle();
        let kept: Vec<_> = findings.list().iter().map(|f| (f.kind.name(), f.start)).collect();
        assert_eq!(kept, [("LONG", 2), ("SHORT", 30)]);
        assert_eq!((findings.counts().of("SHORT"), findings.counts().of("credential")), (1, 1));
    }

    #[test]
    fn of_equal_candidates_the_one_noted_first_stays() {
        let mut findings = Findings::new();
        findings.note(LONG, 0, 5);
        findings.note(SHORT, 0, 5);
        findings.settle();
        assert_eq!(findings.list().len(), 1);
        assert_eq!(findings.list()[0].kind, LONG);
    }

    #[test]
    fn a_flood_is_counted_but_not_listed() {
        let mut findings = Findings::new();
        for i in 0..Findings::LISTED + 5 {
            findings.note(SHORT, i * 2, i * 2 + 1);
        }
        findings.note(LONG, 50_000, 50_004);
        findings.settle();
        assert_eq!(findings.list().len(), Findings::LISTED);
        assert_eq!(findings.counts().of("SHORT"), 10_005);
        assert_eq!(findings.counts().of("LONG"), 1);
    }

    #[test]
    fn counts_add_up_over_texts_and_the_worst_injection_score_stays() {
        let mut findings = Findings::new();
        findings.next_text();
        findings.note(SHORT, 0, 1);
        findings.note_injection(80, 50);
        findings.settle();
        findings.next_text();
        findings.note(SHORT, 0, 1);
        findings.note_injection(10, 50);
        findings.settle();
        assert_eq!((findings.counts().of("personal_data"), findings.list().len()), (2, 1));
        assert_eq!((findings.injection_score(), findings.counts().of("prompt_injection")), (80, 1));
        findings.clear();
        assert!(findings.counts().is_empty() && findings.injection_score() == 0);
    }
}
