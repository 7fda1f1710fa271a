//! Cohere's request bodies, version 2 of its API.
//!
//! Sources: Cohere's API reference, "Chat", "Embed" and "Rerank" of v2.

use super::{Endpoint, REFERENCE, Rule};
use crate::call::content::Shape;

/// `POST /v2/chat`.
pub(super) static CHAT: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("messages", Rule::Messages),
        ("stream", Rule::Stream),
        ("max_tokens", Rule::Bound),
        ("documents", Rule::Documents),
        ("tools", Rule::Tools),
        ("citation_options", Rule::Pass),
        // Connectors are servers that Cohere asks; version 2 has none, and what still takes them must not.
        ("connectors", Rule::Refuse(REFERENCE)),
        ("frequency_penalty", Rule::Pass),
        ("k", Rule::Pass),
        ("logprobs", Rule::Pass),
        ("p", Rule::Pass),
        ("presence_penalty", Rule::Pass),
        ("priority", Rule::Pass),
        // Read and not searched: its `json_schema` is a schema as it is, whose properties have any name.
        ("response_format", Rule::Read),
        ("safety_mode", Rule::Pass),
        ("seed", Rule::Pass),
        ("stop_sequences", Rule::Read),
        ("strict_tools", Rule::Pass),
        ("temperature", Rule::Pass),
        ("thinking", Rule::Pass),
        ("tool_choice", Rule::Pass),
    ],
    shape: &SHAPE,
};

/// `POST /v2/embed`.
pub(super) static EMBED: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("texts", Rule::TextsOrTokens),
        ("images", Rule::Media),
        ("inputs", Rule::Contents),
        ("input_type", Rule::Pass),
        ("embedding_types", Rule::Pass),
        // Bounds what is read of each input, not an output.
        ("max_tokens", Rule::Pass),
        ("output_dimension", Rule::Pass),
        ("priority", Rule::Pass),
        ("truncate", Rule::Pass),
    ],
    shape: &SHAPE,
};

/// `POST /v2/rerank`.
pub(super) static RERANK: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("query", Rule::Text),
        ("documents", Rule::Documents),
        ("max_tokens_per_doc", Rule::Pass),
        ("priority", Rule::Pass),
        ("relevant_spans", Rule::Pass),
        // The reference no longer has it; clients still send it, and it only says whether texts come back.
        ("return_documents", Rule::Pass),
        ("top_n", Rule::Pass),
    ],
    shape: &SHAPE,
};

pub(super) static SHAPE: Shape = Shape {
    roles: &["user", "assistant", "system", "tool"],
    parts: &["text", "image_url", "thinking", "document"],
    tools: &["function"],
    untyped_tools: false,
};
