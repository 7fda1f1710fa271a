//! `models/*.yaml`: one model version a file, and the only way to an upstream.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::de::{Either, Placed};
use crate::config::node::Place;
use crate::config::policy::{Approval, Evaluation, ModelFile, Price, RiskLevel, Status};
use crate::config::reading::Reading;
use crate::config::text::{Amount, Currency, Day, Line, Time};
use crate::id::{Environment, ModelId, ModelVersion, PersonId, UpstreamId};
use crate::speech::Operation;

/// A model version: who may be called, at which upstream, and who approved it. What has no such file has no upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis model version")]
pub(super) struct Written {
    /// The model as clients send it.
    model: Placed<ModelId>,
    /// Its version; the highest approved one serves calls that name none.
    version: Placed<ModelVersion>,
    /// The upstream of the bootstrap config that serves it.
    upstream: Placed<UpstreamId>,
    /// The model string that is sent upstream instead of `model`.
    upstream_model: Option<Line>,
    /// Other names that clients may send for this version.
    #[serde(default)]
    aliases: Vec<Placed<ModelId>>,
    /// What it may be used for; all that the gate reads unless named.
    #[schemars(length(min = 1))]
    operations: Option<Vec<OperationWord>>,
    /// Where it stands in its life. Only `approved` is forwarded.
    status: Placed<Status>,
    /// Risk level in the words of the EU AI Act; `unclassified` unless named. `unacceptable` is never forwarded.
    risk_level: Option<Placed<RiskLevel>>,
    /// Whether it runs outside the organization; false unless named.
    #[serde(default)]
    external: bool,
    /// Who answers for it.
    owner: Option<Line>,
    /// Output tokens that are reserved when a call names no maximum.
    #[schemars(range(min = 1))]
    max_output_tokens: Option<u64>,
    /// Environments it may be used in; all unless named.
    #[schemars(length(min = 1))]
    environments: Option<Vec<Environment>>,
    /// What it costs.
    price: Option<PriceWritten>,
    /// What was measured of it.
    #[serde(default)]
    evaluations: Vec<EvaluationWritten>,
    /// Who approved it, when and why.
    approval: Option<ApprovalWritten>,
    /// Who registered it.
    registered_by: Option<PersonId>,
    /// Who submitted it for approval.
    submitted_by: Option<PersonId>,
    /// What it is, for the record and the report.
    description: Option<String>,
    /// The domain it is used in.
    domain: Option<String>,
    /// What it is meant for.
    intended_purpose: Option<String>,
    /// What harm it may do.
    potential_harm: Option<String>,
    /// What it was made from.
    data_sources: Option<Either<String, Vec<String>>>,
    /// How people watch over it.
    oversight_plan: Option<String>,
    /// A digest of its weights or package.
    checksum: Option<String>,
}

super::format!(Written);

/// What a model may be used for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-not-enforced-yet" = ["realtime"]))]
enum OperationWord {
    /// Conversations: chat completions, messages.
    Chat,
    /// Legacy text completions.
    Completions,
    /// OpenAI responses.
    Responses,
    /// Embedding vectors.
    Embeddings,
    /// Making and editing images.
    Images,
    /// Speech from text and text from speech.
    Audio,
    /// Classifying content.
    Moderations,
    /// Uploading files of batched calls.
    Files,
    /// Running batches.
    Batches,
    /// Ordering documents by relevance.
    Rerank,
    /// Counting the tokens of a conversation.
    CountTokens,
}

impl From<OperationWord> for Operation {
    fn from(word: OperationWord) -> Self {
        match word {
            OperationWord::Chat => Self::Chat,
            OperationWord::Completions => Self::Completions,
            OperationWord::Responses => Self::Responses,
            OperationWord::Embeddings => Self::Embeddings,
            OperationWord::Images => Self::Images,
            OperationWord::Audio => Self::Audio,
            OperationWord::Moderations => Self::Moderations,
            OperationWord::Files => Self::Files,
            OperationWord::Batches => Self::Batches,
            OperationWord::Rerank => Self::Rerank,
            OperationWord::CountTokens => Self::CountTokens,
        }
    }
}

/// A price per million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PriceWritten {
    /// ISO 4217 code.
    currency: Currency,
    /// Per million input tokens.
    input_per_million: Placed<Amount>,
    /// Per million output tokens.
    output_per_million: Placed<Amount>,
}

/// One measured quality.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EvaluationWritten {
    /// What was measured.
    name: Line,
    /// The figure.
    value: Line,
    /// When.
    at: Placed<Day>,
    /// Digest of the evidence.
    evidence: Option<Line>,
}

/// A decision by a person, as the file claims it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalWritten {
    /// Who decided.
    by: PersonId,
    /// When.
    at: Placed<Time>,
    /// Why.
    #[schemars(length(min = 1))]
    reason: String,
}

impl ApprovalWritten {
    pub(super) fn checked(self, reading: &mut Reading) -> Option<Approval> {
        let at = self.at.read(reading)?;
        Some(Approval { by: self.by, at, reason: self.reason })
    }
}

/// A model file and the places that checks across files point at.
#[derive(Debug)]
pub struct Model {
    /// What it says.
    pub file: ModelFile,
    /// Where the version stands.
    pub version_at: Place,
    /// Where the upstream stands.
    pub upstream_at: Place,
    /// Where the status stands.
    pub status_at: Place,
    /// Where each alias stands.
    pub aliases_at: Vec<Place>,
}

/// Reads a model file; what is wrong with it is noted in `reading`.
#[must_use]
pub fn read(reading: &mut Reading) -> Option<Model> {
    super::written::<Written>(reading).map(|written| written.checked(reading))
}

impl Written {
    fn checked(self, reading: &mut Reading) -> Model {
        let notes = self.notes();
        let places = (self.version.place, self.upstream.place, self.status.place);
        let aliases_at = self.aliases.iter().map(|alias| alias.place).collect();
        let file = ModelFile {
            model: self.model.value,
            version: self.version.value,
            upstream: self.upstream.value,
            upstream_model: self.upstream_model.map(|line| line.0),
            aliases: self.aliases.into_iter().map(|alias| alias.value).collect(),
            operations: self.operations.map(|words| words.into_iter().map(Operation::from).collect()),
            status: self.status.value,
            risk_level: self.risk_level.map_or(RiskLevel::Unclassified, |level| level.value),
            external: self.external,
            owner: self.owner.map(|line| line.0),
            max_output_tokens: self.max_output_tokens,
            environments: self.environments.map(BTreeSet::from_iter),
            price: self.price.and_then(|price| price.checked(reading)),
            evaluations: self.evaluations.into_iter().filter_map(|e| e.checked(reading)).collect(),
            approval: self.approval.and_then(|approval| approval.checked(reading)),
            notes,
        };
        let (version_at, upstream_at, status_at) = places;
        Model { file, version_at, upstream_at, status_at, aliases_at }
    }

    fn notes(&self) -> BTreeMap<String, String> {
        let sources = self.data_sources.as_ref().map(|sources| match sources {
            Either::Short(one) => one.clone(),
            Either::Long(many) => many.join("; "),
        });
        let person = |id: &Option<PersonId>| id.as_ref().map(ToString::to_string);
        [
            ("description", self.description.clone()),
            ("domain", self.domain.clone()),
            ("intended_purpose", self.intended_purpose.clone()),
            ("potential_harm", self.potential_harm.clone()),
            ("data_sources", sources),
            ("oversight_plan", self.oversight_plan.clone()),
            ("checksum", self.checksum.clone()),
            ("registered_by", person(&self.registered_by)),
            ("submitted_by", person(&self.submitted_by)),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?)))
        .collect()
    }
}

impl PriceWritten {
    fn checked(self, reading: &mut Reading) -> Option<Price> {
        let (input, output) = (self.input_per_million.read(reading), self.output_per_million.read(reading));
        Some(Price { currency: self.currency.0, input_per_million: input?, output_per_million: output? })
    }
}

impl EvaluationWritten {
    fn checked(self, reading: &mut Reading) -> Option<Evaluation> {
        self.at.read(reading)?;
        let evidence = self.evidence.map(|line| line.0);
        Some(Evaluation { name: self.name.0, value: self.value.0, at: self.at.value.0, evidence })
    }
}
