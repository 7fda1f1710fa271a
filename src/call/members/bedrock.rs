//! Amazon Bedrock's runtime: the members of Converse, and of the bodies of each model family that can be invoked.
//!
//! Sources: Amazon Bedrock API reference, `Converse`, `ConverseStream`, `CountTokens`; Amazon Bedrock user guide,
//! "Inference request parameters and response fields" of each family.

mod forms;

use super::{CHAT, Endpoint, MESSAGES_SHAPE, REFERENCE, Rule, STEERING};
use crate::call::Unreadable;
use crate::call::content::{Shape, present};
use crate::call::json::{Kind, Value};
use crate::reason::Reason;
use crate::speech::Operation;
use forms::{
    COHERE_HISTORY, COHERE_INPUTS, CONVERSE_COUNT, EXTRA, FREE_LIST_BY_TOOLS, INFERENCE, INSTRUCTIONS, MEDIA,
    MEDIA_LIST, MESSAGES, NOVA_INFERENCE, PLACES, SYSTEM, TEXT, TEXTS, TITAN_GENERATION, TOOLS, VARIABLES,
};

/// Nothing is told by `type` here.
static NO_SHAPE: Shape = Shape { roles: &[], parts: &[], tools: &[], untyped_tools: false };

/// Names that would be a second conversation, a second input, a second list of tools or a second word on streaming
/// beside the governed ones; folded.
pub(crate) const CONVERSATION: &[&str] = &[
    "messages",
    "message",
    "system",
    "prompt",
    "input",
    "inputs",
    "input_text",
    "texts",
    "query",
    "preamble",
    "chat_history",
    "instructions",
    "stream",
    "tool_config",
    "connectors",
];

/// Names of output bounds in the families' own words; folded.
pub(crate) const BOUNDS: &[&str] = &[
    "max_tokens",
    "max_new_tokens",
    "max_gen_len",
    "max_token_count",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
];

/// `POST /model/{id}/converse` and `converse-stream`.
pub(crate) static CONVERSE: Endpoint = Endpoint {
    members: &[
        ("messages", Rule::Shaped(&MESSAGES)),
        ("system", Rule::Shaped(&SYSTEM)),
        ("inferenceConfig", Rule::Shaped(&INFERENCE)),
        ("toolConfig", Rule::Shaped(&TOOLS)),
        ("additionalModelRequestFields", Rule::Shaped(&EXTRA)),
        ("promptVariables", Rule::Shaped(&VARIABLES)),
        ("additionalModelResponseFieldPaths", Rule::Read),
        // A guardrail of the account only ever takes away.
        ("guardrailConfig", Rule::Pass),
        ("outputConfig", Rule::Format),
        ("performanceConfig", Rule::Pass),
        ("projectIdentifier", Rule::Refuse(STEERING)),
        ("requestMetadata", Rule::Read),
        ("serviceTier", Rule::Pass),
    ],
    shape: &NO_SHAPE,
};

/// `POST /model/{id}/count-tokens`.
pub(crate) static COUNT: Endpoint = Endpoint { members: &[("input", Rule::Shaped(&CONVERSE_COUNT))], shape: &NO_SHAPE };

/// `POST /model/{id}/invoke` and `invoke-with-response-stream`, before the body says whose it is.
pub(crate) static INVOKE: Endpoint = Endpoint { members: &[], shape: &NO_SHAPE };

/// Anthropic's messages without model and stream.
pub(crate) static CLAUDE: Endpoint = Endpoint {
    members: &[
        ("anthropic_version", Rule::Pass),
        ("anthropic_beta", Rule::Pass),
        ("amazon-bedrock-guardrailConfig", Rule::Pass),
        ("max_tokens", Rule::Bound),
        ("messages", Rule::Messages),
        ("system", Rule::System),
        ("temperature", Rule::Pass),
        ("tools", Rule::Tools),
        ("tool_choice", Rule::Pass),
        ("thinking", Rule::Pass),
        ("cache_control", Rule::Pass),
        ("container", Rule::Refuse(REFERENCE)),
        ("context_management", Rule::Format),
        ("mcp_servers", Rule::Off(REFERENCE)),
        ("metadata", Rule::Read),
        ("output_config", Rule::Format),
        ("output_format", Rule::Format),
        ("stop_sequences", Rule::Read),
        ("top_k", Rule::Pass),
        ("top_p", Rule::Pass),
    ],
    shape: &MESSAGES_SHAPE,
};

/// Amazon Nova: Converse's conversation under Nova's own settings.
pub(crate) static NOVA: Endpoint = Endpoint {
    members: &[
        ("schemaVersion", Rule::Pass),
        ("amazon-bedrock-guardrailConfig", Rule::Pass),
        ("messages", Rule::Shaped(&MESSAGES)),
        ("system", Rule::Shaped(&SYSTEM)),
        ("inferenceConfig", Rule::Shaped(&NOVA_INFERENCE)),
        ("toolConfig", Rule::Shaped(&TOOLS)),
    ],
    shape: &NO_SHAPE,
};

/// Amazon Titan: text and embeddings.
pub(crate) static TITAN: Endpoint = Endpoint {
    members: &[
        ("inputText", Rule::Shaped(&TEXT)),
        ("textGenerationConfig", Rule::Shaped(&TITAN_GENERATION)),
        ("inputImage", Rule::Shaped(&MEDIA)),
        ("dimensions", Rule::Pass),
        ("normalize", Rule::Pass),
        ("embeddingTypes", Rule::Pass),
        ("embeddingConfig", Rule::Pass),
        ("amazon-bedrock-guardrailConfig", Rule::Pass),
    ],
    shape: &NO_SHAPE,
};

/// One prompt: Llama, Mistral, DeepSeek, Cohere's first Command.
pub(crate) static PROMPT: Endpoint = Endpoint {
    members: &[
        ("prompt", Rule::Shaped(&TEXT)),
        ("max_gen_len", Rule::Bound),
        ("amazon-bedrock-guardrailConfig", Rule::Pass),
        ("max_tokens", Rule::Bound),
        ("images", Rule::Shaped(&MEDIA_LIST)),
        ("k", Rule::Pass),
        ("logit_bias", Rule::Pass),
        ("num_generations", Rule::Choices),
        ("p", Rule::Pass),
        ("return_likelihoods", Rule::Pass),
        ("stop", Rule::Read),
        ("stop_sequences", Rule::Read),
        ("stream", Rule::Stream),
        ("temperature", Rule::Pass),
        ("top_k", Rule::Pass),
        ("top_p", Rule::Pass),
        ("truncate", Rule::Pass),
    ],
    shape: &NO_SHAPE,
};

/// Cohere Command R.
pub(crate) static COMMAND: Endpoint = Endpoint {
    members: &[
        ("message", Rule::Shaped(&TEXT)),
        ("chat_history", Rule::Shaped(&COHERE_HISTORY)),
        ("documents", Rule::Shaped(&FREE_LIST_BY_TOOLS)),
        ("preamble", Rule::Shaped(&INSTRUCTIONS)),
        ("amazon-bedrock-guardrailConfig", Rule::Pass),
        ("max_tokens", Rule::Bound),
        ("frequency_penalty", Rule::Pass),
        ("k", Rule::Pass),
        ("p", Rule::Pass),
        ("presence_penalty", Rule::Pass),
        ("prompt_truncation", Rule::Pass),
        ("raw_prompting", Rule::Pass),
        ("return_prompt", Rule::Pass),
        ("search_queries_only", Rule::Pass),
        ("seed", Rule::Pass),
        ("stop_sequences", Rule::Read),
        ("temperature", Rule::Pass),
        ("tools", Rule::Shaped(&FREE_LIST_BY_TOOLS)),
        ("tool_results", Rule::Shaped(&FREE_LIST_BY_TOOLS)),
    ],
    shape: &NO_SHAPE,
};

/// Cohere Embed.
pub(crate) static EMBED: Endpoint = Endpoint {
    members: &[
        ("input_type", Rule::Pass),
        ("texts", Rule::Shaped(&TEXTS)),
        ("images", Rule::Shaped(&PLACES)),
        ("inputs", Rule::Shaped(&COHERE_INPUTS)),
        ("embedding_types", Rule::Pass),
        ("max_tokens", Rule::Pass),
        ("output_dimension", Rule::Pass),
        ("truncate", Rule::Pass),
    ],
    shape: &NO_SHAPE,
};

/// Cohere and Amazon Rerank.
pub(crate) static RERANK: Endpoint = Endpoint {
    members: &[
        ("query", Rule::Shaped(&TEXT)),
        ("documents", Rule::Shaped(&FREE_LIST_BY_TOOLS)),
        // The version of the body, a number; no endpoint.
        ("api_version", Rule::Pass),
        ("max_tokens_per_doc", Rule::Pass),
        ("rank_fields", Rule::Read),
        ("return_documents", Rule::Pass),
        ("top_n", Rule::Pass),
    ],
    shape: &NO_SHAPE,
};

/// Whose body this is, and what it asks for. Its members decide, and the list that they choose is closed: a body with
/// the marks of two families has a member that the chosen list refuses.
pub(crate) fn family(root: Value<'_>, named: Option<&str>) -> Result<(&'static Endpoint, Operation), Unreadable> {
    let has = |name: &str| root.kind() == Kind::Object && present(root, name).is_some();
    let has_any = |names: &[&str]| names.iter().any(|name| has(name));
    Ok(if has("anthropic_version") {
        (&CLAUDE, Operation::Chat)
    } else if has_any(&["schemaVersion", "inferenceConfig", "toolConfig"]) {
        (&NOVA, Operation::Chat)
    } else if has_any(&["inputText", "inputImage"]) {
        let embeds = has_any(&["inputImage", "dimensions", "normalize", "embeddingTypes", "embeddingConfig"]);
        match (embeds, has("textGenerationConfig")) {
            (true, true) => {
                return Err(Unreadable::new(Reason::AmbiguousRequest, "body: asks for both text and embeddings"));
            }
            (true, false) => (&TITAN, Operation::Embeddings),
            // The text alone is what both take; only the name can tell, and without it the larger reservation stands.
            (false, false) if named.is_some_and(|name| name.contains("embed")) => (&TITAN, Operation::Embeddings),
            (false, _) => (&TITAN, Operation::Chat),
        }
    } else if has("input_type") {
        (&EMBED, Operation::Embeddings)
    } else if has("query") {
        (&RERANK, Operation::Rerank)
    } else if has("message") {
        (&COMMAND, Operation::Chat)
    } else if has("prompt") {
        (&PROMPT, Operation::Chat)
    } else if has("messages") {
        (&CHAT, Operation::Chat)
    } else {
        return Err(Unreadable::new(Reason::UnsupportedParameter, "body: of no model family that is governed"));
    })
}

#[cfg(test)]
mod tests;
