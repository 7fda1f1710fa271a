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
    /// Google's Gemini API and Vertex AI.
    Gemini,
    /// Azure OpenAI: OpenAI's bodies at Azure's paths.
    Azure,
    /// Amazon Bedrock's runtime.
    Bedrock,
    /// Cohere, version 2 of its API.
    Cohere,
    /// Ollama.
    Ollama,
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
            Self::Gemini => "gemini",
            Self::Azure => "azure",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
            Self::Ollama => "ollama",
            Self::Own => "own",
        }
    }
}

/// What a call asks for, in the words of `operations:` in a model record and of `request.operation` in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A conversation: OpenAI chat completions, Anthropic messages, Gemini's `generateContent`, Bedrock, Cohere, Ollama.
    Chat,
    /// Text completions: OpenAI's legacy API, Ollama's `generate`.
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
    /// Uploading a file of batched calls.
    Files,
    /// Calls that are answered later, many at once.
    Batches,
    /// Ordering documents by relevance.
    Rerank,
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
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Moderations => "moderations",
            Self::Files => "files",
            Self::Batches => "batches",
            Self::Rerank => "rerank",
            Self::CountTokens => "count_tokens",
            Self::Models => "models",
            Self::Check => "check",
            Self::Evaluate => "evaluate",
        }
    }

    /// Whether the answer is text that a model writes, so that its length has a bound in tokens.
    #[must_use]
    pub const fn writes_text(self) -> bool {
        match self {
            Self::Chat | Self::Completions | Self::Responses => true,
            Self::Embeddings
            | Self::Images
            | Self::Audio
            | Self::Moderations
            | Self::Files
            | Self::Batches
            | Self::Rerank
            | Self::CountTokens
            | Self::Models
            | Self::Check
            | Self::Evaluate => false,
        }
    }

    /// Whether the gate answers it by itself and asks no upstream.
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(self, Self::Models | Self::Check | Self::Evaluate)
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
