//! The messages of Google's API that a request is made of, field by field: closed lists at every depth.
//!
//! Sources: the Gemini API's REST reference ("Generating content", "Counting tokens", "Embeddings", "Caching":
//! `Content`, `Part`, `Tool`, `GenerationConfig`) and Vertex AI's (`GenerateContentRequest`, `CountTokensRequest`,
//! `PredictRequest` of embedding models). Names stand in lowerCamelCase; each has a second spelling in `snake_case`.

use crate::reason::Reason;
use crate::speech::Source;

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    GenerateContentRequest,
    CountTokensRequest,
    EmbedContentRequest,
    BatchEmbedContentsRequest,
    PredictRequest,
    Content,
    /// A `Content` that instructs.
    SystemInstruction,
    Part,
    Blob,
    FileData,
    FunctionCall,
    FunctionResponse,
    ExecutableCode,
    CodeExecutionResult,
    ToolCall,
    ToolResponse,
    Tool,
    FunctionDeclaration,
    GenerationConfig,
    EmbedContentConfig,
    Instance,
    Parameters,
    Media,
}

/// What a field holds, and what is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The model, once more; it must be the path's.
    Model,
    /// A message.
    One(Message),
    /// A list of messages, or one of them alone, which Google's parsers take as well.
    Many(Message),
    /// Who speaks.
    Role,
    /// Prose.
    Text,
    /// A word, a number, a truth value. A string that is no plain word is text all the same.
    Word,
    /// Words and numbers in a structure, in which no member steers.
    Settings,
    /// JSON without a meaning to the upstream, or a list of prose: text as a whole.
    Free,
    /// Base64.
    Base64,
    /// A place from which the upstream would fetch.
    Place,
    /// A stored thing.
    Stored,
    /// The output bound in tokens.
    Bound,
    /// How many answers.
    Choices,
    /// Refused unless it is null.
    Refuse(Reason),
}

use Field::{Base64, Bound, Choices, Free, Many, Model, One, Place, Refuse, Role, Settings, Stored, Text, Word};

pub(crate) type Fields = &'static [(&'static str, Field)];

/// What the provider runs: it fetches, keeps state, or calls what nobody approved.
const RUN: Field = Refuse(Reason::ReferenceNotPermitted);
const STEERING: Field = Refuse(Reason::UnsupportedParameter);

impl Message {
    /// Its fields.
    pub(crate) const fn fields(self) -> Fields {
        match self {
            Self::GenerateContentRequest => GENERATE,
            Self::CountTokensRequest => COUNT,
            Self::EmbedContentRequest => EMBED,
            Self::BatchEmbedContentsRequest => &[("requests", Many(Self::EmbedContentRequest))],
            Self::PredictRequest => PREDICT,
            Self::Content | Self::SystemInstruction => &[("role", Role), ("parts", Many(Self::Part))],
            Self::Part => PART,
            Self::Blob => &[("mimeType", Word), ("data", Base64), ("displayName", Text)],
            Self::FileData => &[("mimeType", Word), ("fileUri", Place), ("displayName", Text)],
            Self::FunctionCall => CALL,
            Self::FunctionResponse => RESPONSE,
            Self::ExecutableCode => &[("id", Word), ("language", Word), ("code", Text)],
            Self::CodeExecutionResult => &[("id", Word), ("outcome", Word), ("output", Text)],
            Self::ToolCall => &[("id", Word), ("toolType", Word), ("args", Free)],
            Self::ToolResponse => &[("id", Word), ("toolType", Word), ("response", Free)],
            Self::Tool => TOOL,
            Self::FunctionDeclaration => DECLARATION,
            Self::GenerationConfig => GENERATION,
            Self::EmbedContentConfig => EMBED_CONFIG,
            Self::Instance => INSTANCE,
            Self::Parameters => &[("autoTruncate", Word), ("outputDimensionality", Word), ("dimension", Word)],
            Self::Media => MEDIA,
        }
    }

    /// Who speaks in it, whatever it stands in.
    pub(super) const fn speaker(self) -> Option<Source> {
        match self {
            Self::SystemInstruction => Some(Source::System),
            Self::FunctionResponse
            | Self::CodeExecutionResult
            | Self::ToolResponse
            | Self::Tool
            | Self::FunctionDeclaration => Some(Source::Tool),
            Self::GenerateContentRequest
            | Self::CountTokensRequest
            | Self::EmbedContentRequest
            | Self::BatchEmbedContentsRequest
            | Self::PredictRequest
            | Self::Content
            | Self::Part
            | Self::Blob
            | Self::FileData
            | Self::FunctionCall
            | Self::ExecutableCode
            | Self::ToolCall
            | Self::GenerationConfig
            | Self::EmbedContentConfig
            | Self::Instance
            | Self::Parameters
            | Self::Media => None,
        }
    }
}

const GENERATE: Fields = &[
    ("model", Model),
    ("contents", Many(Message::Content)),
    ("systemInstruction", One(Message::SystemInstruction)),
    ("tools", Many(Message::Tool)),
    ("toolConfig", Settings),
    ("safetySettings", Settings),
    ("generationConfig", One(Message::GenerationConfig)),
    ("cachedContent", Stored),
    ("labels", Free),
    ("modelArmorConfig", Stored),
    ("serviceTier", Word),
    ("store", Word),
];

const COUNT: Fields = &[
    ("model", Model),
    ("contents", Many(Message::Content)),
    ("generateContentRequest", One(Message::GenerateContentRequest)),
    ("systemInstruction", One(Message::SystemInstruction)),
    ("tools", Many(Message::Tool)),
    ("generationConfig", One(Message::GenerationConfig)),
    ("instances", Many(Message::Instance)),
];

const EMBED: Fields = &[
    ("model", Model),
    ("content", One(Message::Content)),
    ("taskType", Word),
    ("title", Text),
    ("outputDimensionality", Word),
    ("autoTruncate", Word),
    ("embedContentConfig", One(Message::EmbedContentConfig)),
];

const EMBED_CONFIG: Fields = &[
    ("taskType", Word),
    ("title", Text),
    ("outputDimensionality", Word),
    ("autoTruncate", Word),
    ("mimeType", Word),
    ("documentOcr", Word),
    ("audioTrackExtraction", Word),
];

const PREDICT: Fields =
    &[("instances", Many(Message::Instance)), ("parameters", One(Message::Parameters)), ("labels", Free)];

const INSTANCE: Fields = &[
    ("content", Text),
    ("taskType", Word),
    ("title", Text),
    ("mimeType", Word),
    ("text", Text),
    ("image", One(Message::Media)),
    ("video", One(Message::Media)),
];

const MEDIA: Fields =
    &[("bytesBase64Encoded", Base64), ("gcsUri", Place), ("mimeType", Word), ("videoSegmentConfig", Settings)];

const PART: Fields = &[
    ("text", Text),
    ("inlineData", One(Message::Blob)),
    ("fileData", One(Message::FileData)),
    ("functionCall", One(Message::FunctionCall)),
    ("functionResponse", One(Message::FunctionResponse)),
    ("executableCode", One(Message::ExecutableCode)),
    ("codeExecutionResult", One(Message::CodeExecutionResult)),
    ("toolCall", One(Message::ToolCall)),
    ("toolResponse", One(Message::ToolResponse)),
    ("thought", Word),
    ("thoughtSignature", Base64),
    ("videoMetadata", Settings),
    ("documentMetadata", Settings),
    ("spreadsheetMetadata", Settings),
    ("audioMetadata", Settings),
    ("speechMetadata", Settings),
    ("audioTranscription", Free),
    ("mediaResolution", Settings),
    ("mediaProcessing", Word),
    ("partMetadata", Free),
];

const CALL: Fields = &[("id", Word), ("name", Text), ("args", Free), ("partialArgs", Free), ("willContinue", Word)];

const RESPONSE: Fields = &[
    ("id", Word),
    ("name", Text),
    ("response", Free),
    ("parts", Many(Message::Part)),
    ("scheduling", Word),
    ("willContinue", Word),
];

const TOOL: Fields = &[
    ("functionDeclarations", Many(Message::FunctionDeclaration)),
    ("computerUse", Settings),
    ("codeExecution", RUN),
    ("enterpriseWebSearch", RUN),
    ("exaAiSearch", RUN),
    ("fileSearch", RUN),
    ("googleMaps", RUN),
    ("googleSearch", RUN),
    ("googleSearchRetrieval", RUN),
    ("mcpServers", RUN),
    ("parallelAiSearch", RUN),
    ("retrieval", RUN),
    ("urlContext", RUN),
];

const DECLARATION: Fields = &[
    ("name", Text),
    ("description", Text),
    ("parameters", Free),
    ("parametersJsonSchema", Free),
    ("response", Free),
    ("responseJsonSchema", Free),
    ("behavior", Word),
];

const GENERATION: Fields = &[
    ("maxOutputTokens", Bound),
    ("candidateCount", Choices),
    ("temperature", Word),
    ("topP", Word),
    ("topK", Word),
    ("stopSequences", Free),
    ("seed", Word),
    ("presencePenalty", Word),
    ("frequencyPenalty", Word),
    ("logprobs", Word),
    ("responseLogprobs", Word),
    ("responseMimeType", Word),
    ("responseSchema", Free),
    ("responseJsonSchema", Free),
    ("_responseJsonSchema", Free),
    ("responseFormat", Settings),
    ("responseModalities", Settings),
    ("mediaResolution", Word),
    ("speechConfig", Settings),
    ("thinkingConfig", Settings),
    ("imageConfig", Settings),
    ("translationConfig", Settings),
    ("audioTranscriptionConfig", Settings),
    ("audioTimestamp", Word),
    ("enableAffectiveDialog", Word),
    ("enableEnhancedCivicAnswers", Word),
    ("continuationToken", Base64),
    ("modelConfig", STEERING),
    ("modelSelectionConfig", STEERING),
    ("routingConfig", STEERING),
    ("outputConfig", RUN),
];
