//! What members and types inside conversations mean, in every dialect: the closed tables that the walk asks.

use crate::reason::Reason;

/// What a member inside a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    /// A short word that the dialect or a program made: no text while it looks like one.
    Label,
    /// Text, or a structure with text in it.
    Text,
    /// Content: a string, or parts each with a `type`.
    Parts,
    /// Content whose parts may lack a `type`.
    LooseParts,
    /// JSON that has no meaning to the upstream.
    Free,
    /// Base64 media.
    Blob,
    /// A place that the upstream would fetch, unless it is a `data:` URL.
    Place,
    /// Anthropic's `source`: a structure, or the name of where a search result came from.
    Origin,
    /// Inline audio, or a reference to an earlier answer's.
    Audio,
    /// Media: a structure, or a `data:` URL.
    Media,
    /// A document: text, or a structure whose `data` is of the caller's own making.
    Document,
    /// Images: base64 or a place each.
    Images,
    /// Something stored.
    Reference,
    /// Where a server that the provider would call is.
    Server,
    /// Something that can name another model, endpoint, provider or credential.
    Steering,
    /// Nothing the walk knows.
    Unknown,
}

impl Sense {
    /// Whether a setting of this name would do more than set something.
    pub(super) const fn governs(self) -> bool {
        matches!(self, Self::Place | Self::Reference | Self::Server | Self::Steering)
    }
}

/// What a member of exactly this name is.
pub(super) fn sense(name: &str) -> Sense {
    match name {
        // The comparisons are made in this order, and most messages have just these.
        "content" => Sense::Parts,
        "type" | "role" | "id" | "call_id" | "tool_call_id" | "tool_use_id" | "status" | "index" | "detail"
        | "format" | "media_type" | "mime_type" | "phase" | "server_label" | "mcp_server_name" | "cache_control"
        | "strict" | "is_error" | "ttl" => Sense::Label,
        "text" | "name" | "title" | "description" | "context" | "thinking" | "refusal" | "reasoning_content"
        | "reasoning" | "filename" | "tool_name" | "function" | "custom" | "tool_calls" | "function_call" => {
            Sense::Text
        }
        "file" | "input_audio" => Sense::Media,
        "output" | "summary" => Sense::LooseParts,
        "input"
        | "arguments"
        | "parameters"
        | "input_schema"
        | "schema"
        | "input_examples"
        | "annotations"
        | "citations"
        | "logprobs"
        | "action"
        | "operation"
        | "grammar"
        | "caller"
        | "pending_safety_checks"
        | "acknowledged_safety_checks"
        | "allowed_callers" => Sense::Free,
        "data" | "file_data" | "encrypted_content" | "signature" => Sense::Blob,
        "url" | "uri" | "image_url" | "file_url" | "audio_url" | "video_url" | "file_uri" | "image" => Sense::Place,
        "document" => Sense::Document,
        "images" => Sense::Images,
        "source" => Sense::Origin,
        "audio" => Sense::Audio,
        "file_id"
        | "file_ids"
        | "vector_store_id"
        | "vector_store_ids"
        | "container"
        | "container_id"
        | "previous_response_id"
        | "response_id"
        | "conversation"
        | "conversation_id"
        | "thread_id"
        | "assistant_id"
        | "item_id"
        | "skill_id"
        | "skills"
        | "memory_id"
        | "prompt_id"
        | "batch_id"
        | "upload_id"
        | "cached_content" => Sense::Reference,
        "server_url"
        | "connector_id"
        | "connector"
        | "tunnel_id"
        | "mcp_servers"
        | "authorization"
        | "authorization_token"
        | "network_policy"
        | "allowed_domains" => Sense::Server,
        "model"
        | "models"
        | "model_id"
        | "model_name"
        | "model_list"
        | "fallback"
        | "fallbacks"
        | "fallback_models"
        | "provider"
        | "providers"
        | "custom_llm_provider"
        | "api_base"
        | "api_key"
        | "api_url"
        | "base_url"
        | "endpoint"
        | "endpoint_url"
        | "deployment"
        | "deployment_id"
        | "engine"
        | "route"
        | "organization"
        | "headers"
        | "extra_body"
        | "extra_headers"
        | "credentials" => Sense::Steering,
        _ => Sense::Unknown,
    }
}

/// Beginnings of the `type`s of parts, items and tools that are run by the provider or refer to what it stores.
const REFERRING_TYPES: &[&str] = &[
    "item_reference",
    "image_file",
    "image_generation_call",
    "file_search",
    "web_search",
    "web_fetch",
    "web_browser",
    "browser",
    "url_context",
    "google_search",
    "x_search",
    "retrieval",
    "code_interpreter",
    "code_execution",
    "bash_code_execution",
    "text_editor_code_execution",
    "container",
    "mcp",
    "connector",
    "server_tool",
    "skill",
];

/// Why content or a tool of a type that is not governed is refused.
pub(super) fn refusal_of(kind: &str) -> Reason {
    if REFERRING_TYPES.iter().any(|referring| kind.starts_with(referring)) {
        Reason::ReferenceNotPermitted
    } else {
        Reason::UnsupportedParameter
    }
}
