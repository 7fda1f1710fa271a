//! The words of an LLM call that every room shares: dialects and operations.

use serde::{Deserialize, Serialize};

/// Whose API a request speaks; decides how it is read and in which shape a refusal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI and compatible.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Portcullis's own endpoints, and what no dialect claims.
    Own,
}

impl Dialect {
    /// The name in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Own => "own",
        }
    }
}

/// What a call asks for, in the words of `operations:` in a model record and of `request.operation` in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A conversation: OpenAI chat completions, Anthropic messages.
    Chat,
    /// OpenAI's legacy text completions.
    Completions,
    /// OpenAI responses.
    Responses,
    /// Embedding vectors.
    Embeddings,
    /// Counting the tokens of a conversation; governed as `chat`.
    CountTokens,
    /// Listing the models a tenant may use.
    Models,
    /// The decision API `POST /v1/check`.
    Check,
    /// The limits API `POST /api/evaluate`.
    Evaluate,
}

impl Operation {
    /// The name in records, rules and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::CountTokens => "count_tokens",
            Self::Models => "models",
            Self::Check => "check",
            Self::Evaluate => "evaluate",
        }
    }
}

/// Who speaks in a piece of text that is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// System or developer instructions.
    System,
    /// The user.
    User,
    /// The model's earlier answers.
    Assistant,
    /// Tool results and tool declarations: text that a third party may have written.
    Tool,
}
