//! `risk/*.yaml`: scoring profiles, and `risk:` of tenants and organizations.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::config::de::{Placed, Table};
use crate::config::finding;
use crate::config::node::Place;
use crate::config::policy::{Profile, RiskAction, RiskMode, RiskOverride};
use crate::config::reading::Reading;
use crate::id::ProfileId;

/// A risk profile: an additive score of 0 to 100 and what it calls for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis risk profile")]
pub(super) struct Written {
    /// The profile, as tenants name it.
    profile: Placed<ProfileId>,
    /// Where what is not named here comes from; `default` unless named.
    preset: Option<Preset>,
    /// Points for each class, 0 to 100; the preset's where not named.
    #[serde(default)]
    weights: Table<Class, Points>,
    /// Score from which a call is refused; 101 is never.
    block_at: Option<Threshold>,
    /// Score from which a call is held for approval; 101 is never.
    approve_at: Option<Threshold>,
    /// Whether it binds; `enforce` unless named.
    mode: Option<RiskMode>,
    /// What a finding type or class calls for, whatever the score.
    #[serde(default)]
    actions: Table<Subject, Action>,
}

super::format!(Written);

/// Risk settings over those of a profile.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RiskSettings")]
pub(super) struct OverrideWritten {
    /// The profile; `default` unless named.
    profile: Option<Placed<ProfileId>>,
    /// Score from which a call is refused; 101 is never.
    block_at: Option<Threshold>,
    /// Score from which a call is held for approval; 101 is never.
    approve_at: Option<Threshold>,
    /// Whether it binds.
    mode: Option<RiskMode>,
    /// Points for each class, 0 to 100.
    #[serde(default)]
    weights: Table<Class, Points>,
    /// What a finding type or class calls for, whatever the score.
    #[serde(default)]
    actions: Table<Subject, Action>,
}

/// A set of numbers to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Preset {
    /// Personal data 70, credentials 90, prompt injection 60, external models 0; refused from 50 on.
    #[default]
    Default,
    /// As `default`, external models 50.
    Seed,
    /// As `default`, held for approval from 75 on where nothing refuses before.
    Are,
}

/// What points are given for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Class {
    /// Data of a person.
    PersonalData,
    /// Ways to reach somebody.
    ContactData,
    /// The model runs outside the organization.
    ExternalModel,
    /// A credential.
    Credential,
    /// An attempt to turn the model against its instructions.
    PromptInjection,
}

impl Class {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PersonalData => "personal_data",
            Self::ContactData => "contact_data",
            Self::ExternalModel => "external_model",
            Self::Credential => "credential",
            Self::PromptInjection => "prompt_injection",
        }
    }
}

/// Points of a class.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Points(#[schemars(range(max = 100))] u8);

/// A score from which something happens.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Threshold(#[schemars(range(max = 101))] u8);

/// What a finding calls for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-not-enforced-yet" = ["redact"]))]
enum Action {
    /// Let it pass; it adds nothing to the score.
    Allow,
    /// Let it pass and say so.
    Flag,
    /// Hold for a human.
    RequireApproval,
    /// Refuse.
    Block,
}

impl From<Action> for RiskAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow,
            Action::Flag => Self::Flag,
            Action::RequireApproval => Self::RequireApproval,
            Action::Block => Self::Block,
        }
    }
}

/// A class or a finding type, in the spelling of the records.
#[derive(Debug, Clone)]
struct Subject(&'static str);

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known = finding::canonical(&word);
        known.map(Self).ok_or_else(|| serde::de::Error::custom("this is no finding type or class"))
    }
}

impl JsonSchema for Subject {
    fn schema_name() -> Cow<'static, str> {
        "FindingTypeOrClass".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a class or a finding type, such as `credential` or `CREDIT_CARD`",
            "enum": finding::spellings().collect::<Vec<_>>(),
            "x-not-enforced-yet": finding::later_spellings().collect::<Vec<_>>(),
        })
    }
}

fn weights(table: Table<Class, Points>) -> BTreeMap<String, u8> {
    table.0.into_iter().map(|(class, points)| (class.value.as_str().to_owned(), points.value.0)).collect()
}

fn actions(table: Table<Subject, Action>, reading: Option<&mut Reading>) -> BTreeMap<String, RiskAction> {
    let mut out = BTreeMap::new();
    let mut twice = Vec::new();
    for (subject, action) in table.0 {
        if out.insert(subject.value.0.to_owned(), action.value.into()).is_some() {
            twice.push((subject.place, subject.value.0));
        }
    }
    if let Some(reading) = reading {
        for (place, subject) in twice {
            reading.wrong(place, std::format!("`{subject}` stands here a second time, in another spelling"));
        }
    }
    out
}

/// Risk settings and where they name their profile.
pub(super) struct Choice {
    pub(super) risk: RiskOverride,
    pub(super) profile_at: Option<Place>,
}

impl OverrideWritten {
    pub(super) fn checked(self) -> Choice {
        let profile_at = self.profile.as_ref().map(|profile| profile.place);
        let risk = RiskOverride {
            profile: self.profile.map(|profile| profile.value),
            block_at: self.block_at.map(|score| score.0),
            approve_at: self.approve_at.map(|score| score.0),
            mode: self.mode,
            weights: weights(self.weights),
            actions: actions(self.actions, None),
        };
        Choice { risk, profile_at }
    }
}

/// A risk profile and the places that checks across files point at.
#[derive(Debug)]
pub struct Risk {
    /// What it says, the preset filled in.
    pub profile: Profile,
    /// Where the profile's name stands.
    pub profile_at: Place,
}

/// Reads a risk profile; what is wrong with it is noted in `reading`.
#[must_use]
pub fn read(reading: &mut Reading) -> Option<Risk> {
    let written: Written = super::written(reading)?;
    let profile_at = written.profile.place;
    let mut profile = preset(written.profile.value, written.preset.unwrap_or_default());
    profile.weights.extend(weights(written.weights));
    profile.actions = actions(written.actions, Some(reading));
    profile.block_at = written.block_at.map_or(profile.block_at, |score| score.0);
    profile.approve_at = written.approve_at.map_or(profile.approve_at, |score| score.0);
    profile.mode = written.mode.unwrap_or_default();
    Some(Risk { profile, profile_at })
}

/// The profile that is in force where no file says anything: the contract's numbers.
#[must_use]
pub fn standard(name: ProfileId) -> Profile {
    preset(name, Preset::Default)
}

fn preset(profile: ProfileId, preset: Preset) -> Profile {
    let external = if preset == Preset::Seed { 50 } else { 0 };
    let weights = [
        (Class::PersonalData, 70),
        (Class::ExternalModel, external),
        (Class::Credential, 90),
        (Class::PromptInjection, 60),
    ];
    Profile {
        profile,
        weights: weights.into_iter().map(|(class, points)| (class.as_str().to_owned(), points)).collect(),
        block_at: 50,
        approve_at: if preset == Preset::Are { 75 } else { 101 },
        mode: RiskMode::Enforce,
        actions: BTreeMap::new(),
    }
}
