//! The top-level members of each endpoint's body, and what the gate does with each: the closed lists.
//!
//! A name that is not here is refused. The lists follow the request bodies that the vendors document, with what
//! compatible servers add and is harmless; Bedrock's, Cohere's and Ollama's stand in files of their own. They are closed
//! by design: what a vendor adds later is refused until it stands here. `docs/dialects.md` shows them and a test
//! compares.

mod bedrock;
mod cohere;
mod media;
mod ollama;

pub(crate) use bedrock::{BOUNDS, CONVERSATION};

use super::Unreadable;
use super::content::Shape;
use super::fold;
use super::grammar::Form;
use super::json::Value;
use crate::reason::Reason;
use crate::route::Payload;
use crate::speech::Operation;

/// What is done with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The model: exactly one string.
    Model,
    /// Whether the answer is a stream.
    Stream,
    /// An output bound in tokens.
    Bound,
    /// An output bound in tokens; a negative number is none.
    OpenBound,
    /// How many answers.
    Choices,
    /// A list of messages.
    Messages,
    /// OpenAI Responses input.
    Items,
    /// What the user says: exactly one string.
    Text,
    /// Content: a text, or texts and parts each with a `type`.
    Parts,
    /// Text, texts, token numbers, or lists of these.
    TextsOrTokens,
    /// Token numbers.
    Tokens,
    /// Texts, or structures with content in them.
    Contents,
    /// Texts that somebody else wrote, or structures of such.
    Documents,
    /// Media: base64 or a place each.
    Media,
    /// A structure with a closed list of its own.
    Group(Members),
    /// System instructions.
    System,
    /// A stored prompt by its id.
    PromptReference,
    /// Tool declarations.
    Tools,
    /// Tool declarations of OpenAI's first tool API.
    Functions,
    /// A structure with content in it.
    Content,
    /// Audio output: a format and one of the vendor's voices.
    Voice,
    /// Governed by a form of its own.
    Shaped(&'static Form),
    /// Passes; its strings are read as the user's text.
    Read,
    /// Passes; a structure whose strings are read as the user's text, and in which no member steers.
    Format,
    /// Passes; words and numbers, and no member that steers. A string that is no plain word is read as text all the same.
    Pass,
    /// One of the vendor's voices, or a stored one.
    VoiceName,
    /// How an answer of audio comes: whether it is a stream of events.
    StreamFormat,
    /// A file of a form: media.
    File,
    /// The calls of a batch: a file of JSON Lines, or a list.
    Lines,
    /// What a file is for.
    Purpose,
    /// A place that would be fetched from, or a `data:` URL.
    Place,
    /// The endpoint that the calls of a stored file go to.
    Target,
    /// Servers that the provider would call: passes where the tenant's list permits each address.
    Servers,
    /// A stored thing: passes where the tenant may refer to what the upstream keeps.
    Stored,
    /// Passes while it is `false` or an empty list, and refused otherwise.
    Off(Reason),
    /// Refused unless it is null.
    Refuse(Reason),
}

impl Rule {
    /// Whether a query parameter of this name could speak for the member.
    pub(crate) const fn governs(self) -> bool {
        !matches!(self, Self::Read | Self::Format | Self::Pass)
    }

    /// The rule in the words of `docs/dialects.md`.
    #[cfg(test)]
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Read | Self::Format => "read",
            Self::Pass => "passes",
            Self::Stored => "stored",
            Self::Off(_) => "off only",
            Self::Refuse(Reason::ReferenceNotPermitted) => "refused (reference)",
            Self::Refuse(_) => "refused",
            Self::Model
            | Self::Stream
            | Self::Bound
            | Self::OpenBound
            | Self::Text
            | Self::Tokens
            | Self::Contents
            | Self::Documents
            | Self::Media
            | Self::Group(_)
            | Self::Choices
            | Self::Messages
            | Self::Items
            | Self::TextsOrTokens
            | Self::System
            | Self::PromptReference
            | Self::Tools
            | Self::Functions
            | Self::Content
            | Self::Parts
            | Self::VoiceName
            | Self::StreamFormat
            | Self::File
            | Self::Lines
            | Self::Purpose
            | Self::Place
            | Self::Target
            | Self::Servers
            | Self::Voice
            | Self::Shaped(_) => "governed",
        }
    }
}

/// Names and what is done with each.
pub(crate) type Members = &'static [(&'static str, Rule)];

/// How the body of one endpoint is read.
#[derive(Debug)]
pub(crate) struct Endpoint {
    members: Members,
    pub(crate) shape: &'static Shape,
}

impl Endpoint {
    /// How a payload is read, if it is judged here.
    pub(crate) const fn of(payload: Payload) -> Option<&'static Self> {
        match payload {
            Payload::ChatCompletions => Some(&CHAT),
            Payload::Completions => Some(&COMPLETIONS),
            Payload::Responses => Some(&RESPONSES),
            Payload::Embeddings => Some(&EMBEDDINGS),
            Payload::Messages => Some(&MESSAGES),
            Payload::CountTokens => Some(&COUNT_TOKENS),
            Payload::ImageGeneration => Some(&media::IMAGES),
            Payload::ImageEdit => Some(&media::IMAGE_EDITS),
            Payload::ImageVariation => Some(&media::IMAGE_VARIATIONS),
            Payload::Speech => Some(&media::SPEECH),
            Payload::Transcription => Some(&media::TRANSCRIPTIONS),
            Payload::Translation => Some(&media::TRANSLATIONS),
            Payload::Moderation => Some(&media::MODERATIONS),
            Payload::File => Some(&media::FILES),
            Payload::Batch => Some(&media::BATCHES),
            Payload::MessageBatches => Some(&media::MESSAGE_BATCHES),
            Payload::GenerateContent
            | Payload::CountContentTokens
            | Payload::EmbedContent
            | Payload::BatchEmbedContents
            | Payload::Predict => Some(&GOOGLE),
            Payload::Converse => Some(&bedrock::CONVERSE),
            Payload::Invoke => Some(&bedrock::INVOKE),
            Payload::ConverseTokens => Some(&bedrock::COUNT),
            Payload::CohereChat => Some(&cohere::CHAT),
            Payload::CohereEmbed => Some(&cohere::EMBED),
            Payload::CohereRerank => Some(&cohere::RERANK),
            Payload::OllamaChat => Some(&ollama::CHAT),
            Payload::OllamaGenerate => Some(&ollama::GENERATE),
            Payload::OllamaEmbed => Some(&ollama::EMBED),
            Payload::OllamaEmbeddings => Some(&ollama::EMBEDDINGS),
            Payload::Own => None,
        }
    }

    /// Whether a body of it names a model.
    pub(crate) fn names_model(&self) -> bool {
        self.members.iter().any(|(_, rule)| *rule == Rule::Model)
    }

    /// The list that a body is read by, where one path takes the bodies of several, and what it asks for then.
    pub(crate) fn settled(
        &'static self,
        root: Value<'_>,
        named: Option<&str>,
    ) -> Result<(&'static Self, Option<Operation>), Unreadable> {
        if !std::ptr::eq(self, &raw const bedrock::INVOKE) {
            return Ok((self, None));
        }
        bedrock::family(root, named).map(|(endpoint, operation)| (endpoint, Some(operation)))
    }

    /// Whether a name of the list folds to this, or is it.
    pub(crate) fn knows(&self, folded: &str) -> bool {
        self.rule(folded).is_some() || names(self.members, folded)
    }

    /// The rule for exactly this name.
    pub(crate) fn rule(&self, name: &str) -> Option<Rule> {
        self.members.iter().chain(REFUSED).find(|(known, _)| *known == name).map(|(_, rule)| *rule)
    }
}

/// Why a member of this name is refused at every endpoint that does not itself list it.
pub(crate) fn refused_everywhere(name: &str) -> Option<Reason> {
    let (_, rule) = REFUSED.iter().find(|(known, _)| *known == name)?;
    if let Rule::Refuse(reason) = rule { Some(*reason) } else { (*rule == Rule::Stored).then_some(REFERENCE) }
}

/// Whether a name of these folds to this; the vendors' own names may have capitals.
pub(crate) fn names(members: Members, folded: &str) -> bool {
    members.iter().any(|(known, _)| fold::fold(known) == folded)
}

const REFERENCE: Reason = Reason::ReferenceNotPermitted;
const STEERING: Reason = Reason::UnsupportedParameter;

/// Refused at every endpoint that does not itself list them.
pub(crate) const REFUSED: Members = &[
    ("models", Rule::Refuse(STEERING)),
    ("model_list", Rule::Refuse(STEERING)),
    ("model_id", Rule::Refuse(STEERING)),
    ("model_name", Rule::Refuse(STEERING)),
    ("fallback", Rule::Refuse(STEERING)),
    ("fallbacks", Rule::Refuse(STEERING)),
    ("fallback_models", Rule::Refuse(STEERING)),
    ("context_window_fallbacks", Rule::Refuse(STEERING)),
    ("deployment", Rule::Refuse(STEERING)),
    ("deployment_id", Rule::Refuse(STEERING)),
    ("engine", Rule::Refuse(STEERING)),
    ("adapter_id", Rule::Refuse(STEERING)),
    ("lora_adapter", Rule::Refuse(STEERING)),
    ("api_base", Rule::Refuse(STEERING)),
    ("api_key", Rule::Refuse(STEERING)),
    ("api_type", Rule::Refuse(STEERING)),
    ("api_url", Rule::Refuse(STEERING)),
    ("api_version", Rule::Refuse(STEERING)),
    ("base_url", Rule::Refuse(STEERING)),
    ("endpoint", Rule::Refuse(STEERING)),
    ("url", Rule::Refuse(STEERING)),
    ("credentials", Rule::Refuse(STEERING)),
    ("authorization", Rule::Refuse(STEERING)),
    ("headers", Rule::Refuse(STEERING)),
    ("extra_body", Rule::Refuse(STEERING)),
    ("extra_headers", Rule::Refuse(STEERING)),
    ("extra_query", Rule::Refuse(STEERING)),
    ("inference_geo", Rule::Refuse(STEERING)),
    ("organization", Rule::Refuse(STEERING)),
    ("project", Rule::Refuse(STEERING)),
    ("provider", Rule::Refuse(STEERING)),
    ("providers", Rule::Refuse(STEERING)),
    ("provider_options", Rule::Refuse(STEERING)),
    ("custom_llm_provider", Rule::Refuse(STEERING)),
    ("route", Rule::Refuse(STEERING)),
    ("router", Rule::Refuse(STEERING)),
    ("transforms", Rule::Refuse(STEERING)),
    ("preset", Rule::Refuse(STEERING)),
    ("plugins", Rule::Refuse(STEERING)),
    ("mock_response", Rule::Refuse(STEERING)),
    ("chat_template", Rule::Refuse(STEERING)),
    ("cached_content", Rule::Stored),
    ("container", Rule::Stored),
    ("conversation", Rule::Stored),
    ("conversation_id", Rule::Stored),
    ("data_sources", Rule::Refuse(REFERENCE)),
    ("file_id", Rule::Stored),
    ("file_ids", Rule::Stored),
    ("mcp_servers", Rule::Refuse(REFERENCE)),
    ("previous_response_id", Rule::Stored),
    ("search_parameters", Rule::Refuse(REFERENCE)),
    ("thread_id", Rule::Stored),
    ("assistant_id", Rule::Refuse(REFERENCE)),
    ("tool_resources", Rule::Refuse(REFERENCE)),
    ("vector_store_ids", Rule::Stored),
    ("web_search_options", Rule::Refuse(REFERENCE)),
];

/// Google's bodies, whose members `google` lists, message by message.
static GOOGLE: Endpoint = Endpoint { members: &[], shape: &CHAT_SHAPE };

/// `POST /v1/chat/completions`.
pub(crate) static CHAT: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("messages", Rule::Messages),
        ("stream", Rule::Stream),
        ("max_tokens", Rule::Bound),
        ("max_completion_tokens", Rule::Bound),
        ("temperature", Rule::Pass),
        ("stream_options", Rule::Pass),
        ("tools", Rule::Tools),
        ("tool_choice", Rule::Pass),
        ("n", Rule::Choices),
        ("audio", Rule::Voice),
        ("frequency_penalty", Rule::Pass),
        ("function_call", Rule::Pass),
        ("functions", Rule::Functions),
        ("include_reasoning", Rule::Pass),
        ("logit_bias", Rule::Pass),
        ("logprobs", Rule::Pass),
        ("metadata", Rule::Read),
        ("min_p", Rule::Pass),
        ("min_tokens", Rule::Pass),
        ("modalities", Rule::Pass),
        ("parallel_tool_calls", Rule::Pass),
        ("prediction", Rule::Content),
        ("presence_penalty", Rule::Pass),
        ("prompt_cache_key", Rule::Read),
        ("prompt_cache_retention", Rule::Pass),
        ("reasoning", Rule::Pass),
        ("reasoning_effort", Rule::Pass),
        ("repetition_penalty", Rule::Pass),
        ("response_format", Rule::Format),
        ("safety_identifier", Rule::Read),
        ("seed", Rule::Pass),
        ("service_tier", Rule::Pass),
        ("stop", Rule::Read),
        ("store", Rule::Pass),
        ("thinking", Rule::Pass),
        ("top_k", Rule::Pass),
        ("top_logprobs", Rule::Pass),
        ("top_p", Rule::Pass),
        ("user", Rule::Read),
        ("user_security_context", Rule::Read),
        ("verbosity", Rule::Pass),
    ],
    shape: &CHAT_SHAPE,
};

static CHAT_SHAPE: Shape = Shape {
    roles: &["user", "assistant", "system", "tool", "developer", "function"],
    parts: &["text", "image_url", "input_audio", "file", "refusal", "thinking", "audio_url", "video_url"],
    tools: &["function", "custom"],
    untyped_tools: false,
};

/// `POST /v1/completions`.
pub(crate) static COMPLETIONS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("prompt", Rule::TextsOrTokens),
        ("stream", Rule::Stream),
        ("max_tokens", Rule::Bound),
        ("temperature", Rule::Pass),
        ("best_of", Rule::Choices),
        ("echo", Rule::Pass),
        ("frequency_penalty", Rule::Pass),
        ("logit_bias", Rule::Pass),
        ("logprobs", Rule::Pass),
        ("min_p", Rule::Pass),
        ("min_tokens", Rule::Pass),
        ("n", Rule::Choices),
        ("presence_penalty", Rule::Pass),
        ("repetition_penalty", Rule::Pass),
        ("seed", Rule::Pass),
        ("stop", Rule::Read),
        ("stream_options", Rule::Pass),
        ("suffix", Rule::Read),
        ("top_k", Rule::Pass),
        ("top_p", Rule::Pass),
        ("user", Rule::Read),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/embeddings`.
pub(crate) static EMBEDDINGS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("input", Rule::TextsOrTokens),
        ("dimensions", Rule::Pass),
        ("encoding_format", Rule::Pass),
        ("input_type", Rule::Pass),
        ("truncate", Rule::Pass),
        ("user", Rule::Read),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/responses`.
pub(crate) static RESPONSES: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("input", Rule::Items),
        ("instructions", Rule::System),
        ("stream", Rule::Stream),
        ("max_output_tokens", Rule::Bound),
        ("tools", Rule::Tools),
        ("tool_choice", Rule::Pass),
        ("prompt", Rule::PromptReference),
        ("background", Rule::Off(REFERENCE)),
        ("context_management", Rule::Pass),
        ("conversation", Rule::Stored),
        ("include", Rule::Pass),
        ("max_tool_calls", Rule::Pass),
        ("metadata", Rule::Read),
        ("parallel_tool_calls", Rule::Pass),
        ("previous_response_id", Rule::Stored),
        ("prompt_cache_key", Rule::Read),
        ("prompt_cache_retention", Rule::Pass),
        ("reasoning", Rule::Pass),
        ("safety_identifier", Rule::Read),
        ("service_tier", Rule::Pass),
        ("store", Rule::Pass),
        ("stream_options", Rule::Pass),
        ("temperature", Rule::Pass),
        ("text", Rule::Format),
        ("top_logprobs", Rule::Pass),
        ("top_p", Rule::Pass),
        ("truncation", Rule::Pass),
        ("user", Rule::Read),
        ("verbosity", Rule::Pass),
    ],
    shape: &RESPONSES_SHAPE,
};

static RESPONSES_SHAPE: Shape = Shape {
    roles: &["user", "assistant", "system", "developer"],
    parts: &[
        "input_text",
        "output_text",
        "text",
        "refusal",
        "input_image",
        "input_file",
        "input_audio",
        "summary_text",
        "reasoning_text",
        "computer_screenshot",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
        "compaction",
        "computer_call",
        "computer_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "item_reference",
        "file_search_call",
        "code_interpreter_call",
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
    ],
    tools: &[
        "function",
        "custom",
        "computer",
        "computer_use_preview",
        "local_shell",
        "apply_patch",
        "file_search",
        "code_interpreter",
        "mcp",
    ],
    untyped_tools: false,
};

/// `POST /v1/messages`.
pub(crate) static MESSAGES: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("max_tokens", Rule::Bound),
        ("messages", Rule::Messages),
        ("system", Rule::System),
        ("stream", Rule::Stream),
        ("temperature", Rule::Pass),
        ("tools", Rule::Tools),
        ("tool_choice", Rule::Pass),
        ("thinking", Rule::Pass),
        ("anthropic_beta", Rule::Pass),
        ("anthropic_version", Rule::Pass),
        ("cache_control", Rule::Pass),
        ("container", Rule::Stored),
        ("context_management", Rule::Format),
        ("mcp_servers", Rule::Servers),
        ("metadata", Rule::Read),
        ("output_config", Rule::Format),
        ("output_format", Rule::Format),
        ("service_tier", Rule::Pass),
        ("speed", Rule::Pass),
        ("stop_sequences", Rule::Read),
        ("top_k", Rule::Pass),
        ("top_p", Rule::Pass),
    ],
    shape: &MESSAGES_SHAPE,
};

/// `POST /v1/messages/count_tokens`.
pub(crate) static COUNT_TOKENS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("messages", Rule::Messages),
        ("system", Rule::System),
        ("tools", Rule::Tools),
        ("tool_choice", Rule::Pass),
        ("thinking", Rule::Pass),
        ("anthropic_beta", Rule::Pass),
        ("anthropic_version", Rule::Pass),
        ("cache_control", Rule::Pass),
        ("context_management", Rule::Format),
        ("mcp_servers", Rule::Servers),
        ("output_config", Rule::Format),
        ("output_format", Rule::Format),
        ("speed", Rule::Pass),
    ],
    shape: &MESSAGES_SHAPE,
};

static MESSAGES_SHAPE: Shape = Shape {
    roles: &["user", "assistant", "system"],
    parts: &[
        "text",
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "tool_reference",
        "compaction",
        "mcp_tool_use",
        "mcp_tool_result",
        "server_tool_use",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "container_upload",
    ],
    tools: &[
        "custom",
        "bash_2*",
        "text_editor_2*",
        "computer_2*",
        "memory_2*",
        "tool_search_tool_*",
        "mcp_toolset",
        "code_execution_2*",
    ],
    untyped_tools: true,
};

#[cfg(test)]
mod tests;
