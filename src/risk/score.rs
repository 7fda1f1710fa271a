//! From facts to a score of 0–100 and a verdict: pure, the same for a call's content and for `/v1/check`.
//!
//! The score is additive: each class that is present adds its weight once, however many findings it has, and the sum
//! stops at 100. A finding type or class with an action of its own is decided by that action; the thresholds are asked
//! about the rest.

use std::collections::BTreeMap;

use crate::config::finding::EXTERNAL_MODEL;
use crate::config::policy::{Profile, RiskAction, RiskMode};
use crate::docket::CheckVerdict;
use crate::reason::Reason;

use super::finding::{Class, Counts, FindingType};

/// What is known of a call that bears on its risk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What was found in its content, prompt injection included.
    pub counts: Counts,
    /// Whether its client declares that it contains personal data.
    pub declared_personal_data: bool,
    /// Whether its model runs outside the organization, by registry or by declaration.
    pub external_model: bool,
}

/// What a profile makes of the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// 0–100: the weights of everything that is present and not allowed by an action.
    pub score: u8,
    /// Why, in a fixed order: each fact that added points or has an action other than `allow`.
    pub reasons: Vec<&'static str>,
    /// What follows.
    pub verdict: Verdict,
}

/// What a score leads to, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// No objection.
    Pass,
    /// An objection that does not bind: an action `flag`, or a profile that only monitors.
    Flag,
    /// A human has to approve it first.
    Hold,
    /// Refused.
    Block,
}

impl Verdict {
    /// The verdict of the risk check.
    #[must_use]
    pub const fn as_check(self) -> CheckVerdict {
        match self {
            Self::Pass => CheckVerdict::Pass,
            Self::Flag => CheckVerdict::Flag,
            Self::Hold | Self::Block => CheckVerdict::Block,
        }
    }

    /// The reason with which it refuses, if it does.
    #[must_use]
    pub const fn refusal(self) -> Option<Reason> {
        match self {
            Self::Pass | Self::Flag => None,
            Self::Hold => Some(Reason::ApprovalRequired),
            Self::Block => Some(Reason::RiskBlocked),
        }
    }
}

/// A class's weight where the profile names none.
#[must_use]
pub const fn default_weight(class: Class) -> u8 {
    match class {
        Class::PersonalData => 70,
        Class::ContactData => 20,
        Class::Credential => 90,
        Class::PromptInjection => 60,
    }
}

/// Scores facts under a profile: weights, then actions (one for a type beats one for its class), then thresholds, then
/// the mode.
#[must_use]
pub fn score(profile: &Profile, facts: &Facts) -> Score {
    let mut sum = Sum::default();
    for class in Class::ALL {
        let parts = actions_of(class, profile, facts);
        if parts.is_empty() {
            continue;
        }
        sum.add(reason_of(class), weight(&profile.weights, class.as_str(), default_weight(class)), &parts);
    }
    if facts.external_model {
        let action = profile.actions.get(EXTERNAL_MODEL).copied();
        sum.add("external_model_detected", weight(&profile.weights, EXTERNAL_MODEL, 0), &[action]);
    }
    sum.judge(profile)
}

/// The score under the default weights and no actions: what `portcullis scan` says without a profile.
#[must_use]
pub fn default_score(counts: &Counts) -> u8 {
    let present = Class::ALL.into_iter().filter(|class| counts.of(class.as_str()) > 0);
    present.fold(0_u8, |sum, class| sum.saturating_add(default_weight(class))).min(100)
}

fn weight(weights: &BTreeMap<String, u8>, name: &str, default: u8) -> u8 {
    weights.get(name).copied().unwrap_or(default)
}

const fn reason_of(class: Class) -> &'static str {
    match class {
        Class::PersonalData => "contains_personal_data",
        Class::ContactData => "contains_contact_data",
        Class::Credential => "contains_credential",
        Class::PromptInjection => "prompt_injection_detected",
    }
}

/// The action, or none, for each type of a class that is present.
fn actions_of(class: Class, profile: &Profile, facts: &Facts) -> Vec<Option<RiskAction>> {
    let mut found = facts.counts.iter().map(|(kind, _)| kind).filter(|kind| kind.class() == class).peekable();
    let is_declared = class == Class::PersonalData && facts.declared_personal_data;
    if found.peek().is_none() && !is_declared {
        return Vec::new();
    }
    let for_class = profile.actions.get(class.as_str()).copied();
    let mut actions: Vec<_> =
        found.map(|kind: FindingType| profile.actions.get(kind.name()).copied().or(for_class)).collect();
    if is_declared {
        actions.push(for_class);
    }
    actions
}

/// A score in the making.
#[derive(Default)]
struct Sum {
    /// Points of everything that is not allowed.
    points: u32,
    /// Points of what has no action of its own.
    undecided: u32,
    reasons: Vec<&'static str>,
    by_action: Option<RiskAction>,
}

impl Sum {
    /// Adds a fact that is present in parts with these actions; with no part, it is absent.
    fn add(&mut self, reason: &'static str, weight: u8, parts: &[Option<RiskAction>]) {
        let counts = |part: &&Option<RiskAction>| **part != Some(RiskAction::Allow);
        let Some(strictest) = parts.iter().filter(counts).max() else { return };
        self.points += u32::from(weight);
        if parts.contains(&None) {
            self.undecided += u32::from(weight);
        }
        if weight > 0 || strictest.is_some() {
            self.reasons.push(reason);
        }
        self.by_action = self.by_action.max(*strictest);
    }

    fn judge(self, profile: &Profile) -> Score {
        let undecided = self.undecided.min(100);
        let by_score = if undecided >= u32::from(profile.block_at) {
            Verdict::Block
        } else if undecided >= u32::from(profile.approve_at) {
            Verdict::Hold
        } else {
            Verdict::Pass
        };
        let by_action = match self.by_action {
            None | Some(RiskAction::Allow) => Verdict::Pass,
            Some(RiskAction::Flag) => Verdict::Flag,
            Some(RiskAction::RequireApproval) => Verdict::Hold,
            Some(RiskAction::Block) => Verdict::Block,
        };
        let strictest = by_score.max(by_action);
        let verdict = match profile.mode {
            RiskMode::Enforce => strictest,
            RiskMode::Monitor => strictest.min(Verdict::Flag),
        };
        Score { score: u8::try_from(self.points.min(100)).unwrap_or(100), reasons: self.reasons, verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ProfileId;

    const CARD: FindingType = FindingType::new("CREDIT_CARD", Class::PersonalData);
    const SSN: FindingType = FindingType::new("US_SSN", Class::PersonalData);
    const EMAIL: FindingType = FindingType::new("EMAIL", Class::ContactData);
    const KEY: FindingType = FindingType::new("AWS_ACCESS_KEY_ID", Class::Credential);

    /// The profile of the acceptance files.
    fn seed() -> Profile {
        let weights = [("personal_data", 70), ("external_model", 50), ("credential", 90), ("prompt_injection", 60)];
        Profile {
            profile: ProfileId::parse("default").unwrap(),
            weights: weights.into_iter().map(|(name, points)| (name.to_owned(), points)).collect(),
            block_at: 50,
            approve_at: 101,
            mode: RiskMode::Enforce,
            actions: BTreeMap::new(),
        }
    }

    fn acting(actions: &[(&str, RiskAction)]) -> Profile {
        Profile { actions: actions.iter().map(|(name, action)| ((*name).to_owned(), *action)).collect(), ..seed() }
    }

    fn found(kinds: &[FindingType]) -> Facts {
        let mut facts = Facts::default();
        for kind in kinds {
            facts.counts.add(*kind, 1);
        }
        facts
    }

    #[test]
    fn the_figures_of_the_decision_api_come_out() {
        let table = [
            ((false, false), 0, Verdict::Pass, vec![]),
            ((true, false), 70, Verdict::Block, vec!["contains_personal_data"]),
            ((false, true), 50, Verdict::Block, vec!["external_model_detected"]),
            ((true, true), 100, Verdict::Block, vec!["contains_personal_data", "external_model_detected"]),
        ];
        for ((declared_personal_data, external_model), points, verdict, reasons) in table {
            let facts = Facts { declared_personal_data, external_model, ..Facts::default() };
            assert_eq!(score(&seed(), &facts), Score { score: points, reasons, verdict });
        }
    }

    #[test]
    fn a_class_adds_its_weight_once() {
        let mut facts = found(&[CARD, CARD, SSN]);
        facts.declared_personal_data = true;
        assert_eq!(score(&seed(), &facts).score, 70);
    }

    #[test]
    fn each_class_alone_has_its_weight() {
        let alone = |kind| score(&seed(), &found(&[kind]));
        assert_eq!((alone(CARD).score, alone(CARD).verdict), (70, Verdict::Block));
        assert_eq!((alone(KEY).score, alone(KEY).verdict), (90, Verdict::Block));
        assert_eq!(
            (alone(FindingType::PROMPT_INJECTION).score, alone(FindingType::PROMPT_INJECTION).verdict),
            (60, Verdict::Block)
        );
        assert_eq!((alone(EMAIL).score, alone(EMAIL).verdict), (20, Verdict::Pass));
        assert_eq!(alone(EMAIL).reasons, ["contains_contact_data"]);
    }

    #[test]
    fn a_profile_without_weights_uses_the_defaults() {
        let bare = Profile { weights: BTreeMap::new(), ..seed() };
        let mut facts = found(&[KEY]);
        facts.external_model = true;
        assert_eq!(score(&bare, &facts).score, 90);
        assert_eq!(score(&bare, &facts).reasons, ["contains_credential"]);
        assert_eq!(default_score(&found(&[EMAIL, CARD]).counts), 90);
        assert_eq!(default_score(&found(&[KEY, CARD]).counts), 100);
    }

    #[test]
    fn what_is_allowed_adds_nothing() {
        let scored = score(&acting(&[("CREDIT_CARD", RiskAction::Allow)]), &found(&[CARD]));
        assert_eq!(scored, Score { score: 0, reasons: vec![], verdict: Verdict::Pass });
        let other_type = score(&acting(&[("CREDIT_CARD", RiskAction::Allow)]), &found(&[CARD, SSN]));
        assert_eq!((other_type.score, other_type.verdict), (70, Verdict::Block));
    }

    #[test]
    fn an_action_beats_the_score() {
        let verdict = |action| score(&acting(&[("personal_data", action)]), &found(&[CARD])).verdict;
        assert_eq!(verdict(RiskAction::Flag), Verdict::Flag);
        assert_eq!(verdict(RiskAction::RequireApproval), Verdict::Hold);
        assert_eq!(verdict(RiskAction::Block), Verdict::Block);
        let mail = score(&acting(&[("EMAIL", RiskAction::Block)]), &found(&[EMAIL]));
        assert_eq!((mail.score, mail.verdict), (20, Verdict::Block));
    }

    #[test]
    fn an_action_for_a_type_beats_the_one_for_its_class() {
        let profile = acting(&[("personal_data", RiskAction::Block), ("CREDIT_CARD", RiskAction::Flag)]);
        assert_eq!(score(&profile, &found(&[CARD])).verdict, Verdict::Flag);
        assert_eq!(score(&profile, &found(&[CARD, SSN])).verdict, Verdict::Block);
    }

    #[test]
    fn an_action_does_not_take_away_what_others_weigh() {
        let profile = acting(&[("personal_data", RiskAction::Flag)]);
        let scored = score(&profile, &found(&[CARD, KEY]));
        assert_eq!((scored.score, scored.verdict), (100, Verdict::Block));
    }

    #[test]
    fn between_the_thresholds_a_human_decides() {
        let profile = Profile { block_at: 101, approve_at: 70, ..seed() };
        assert_eq!(score(&profile, &found(&[CARD])).verdict, Verdict::Hold);
        assert_eq!(score(&profile, &found(&[FindingType::PROMPT_INJECTION])).verdict, Verdict::Pass);
    }

    #[test]
    fn a_threshold_of_101_is_never_reached() {
        let profile = Profile { block_at: 101, ..seed() };
        assert_eq!(score(&profile, &found(&[CARD, KEY, EMAIL])).verdict, Verdict::Pass);
    }

    #[test]
    fn monitoring_only_flags() {
        let profile = Profile { mode: RiskMode::Monitor, ..seed() };
        assert_eq!(score(&profile, &found(&[CARD])).verdict, Verdict::Flag);
        assert_eq!(score(&profile, &found(&[])).verdict, Verdict::Pass);
        let held = Profile { block_at: 101, approve_at: 50, mode: RiskMode::Monitor, ..seed() };
        assert_eq!(score(&held, &found(&[CARD])).verdict, Verdict::Flag);
    }
}
