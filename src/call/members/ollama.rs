//! Ollama's request bodies.
//!
//! Sources: Ollama's API documentation, and the request types of its Go package `api`.

use super::{Endpoint, Members, Rule};
use crate::call::content::Shape;

/// `POST /api/chat`.
pub(super) static CHAT: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("messages", Rule::Messages),
        ("stream", Rule::Stream),
        ("tools", Rule::Tools),
        // A schema as it is, whose properties have any name.
        ("format", Rule::Read),
        ("options", Rule::Group(OPTIONS)),
        ("keep_alive", Rule::Pass),
        ("logprobs", Rule::Pass),
        ("shift", Rule::Pass),
        ("think", Rule::Pass),
        ("top_logprobs", Rule::Pass),
        ("truncate", Rule::Pass),
    ],
    shape: &SHAPE,
};

/// `POST /api/generate`.
pub(super) static GENERATE: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("prompt", Rule::Text),
        ("stream", Rule::Stream),
        ("system", Rule::System),
        // What it says stands around all other text, as a system prompt does.
        ("template", Rule::System),
        ("context", Rule::Tokens),
        ("images", Rule::Media),
        ("format", Rule::Read),
        ("options", Rule::Group(OPTIONS)),
        ("keep_alive", Rule::Pass),
        ("logprobs", Rule::Pass),
        ("raw", Rule::Pass),
        ("shift", Rule::Pass),
        ("suffix", Rule::Read),
        ("think", Rule::Pass),
        ("top_logprobs", Rule::Pass),
        ("truncate", Rule::Pass),
    ],
    shape: &SHAPE,
};

/// `POST /api/embed`.
pub(super) static EMBED: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("input", Rule::TextsOrTokens),
        ("dimensions", Rule::Pass),
        ("options", Rule::Group(OPTIONS)),
        ("keep_alive", Rule::Pass),
        ("truncate", Rule::Pass),
    ],
    shape: &SHAPE,
};

/// `POST /api/embeddings`.
pub(super) static EMBEDDINGS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("prompt", Rule::Text),
        ("options", Rule::Group(OPTIONS)),
        ("keep_alive", Rule::Pass),
    ],
    shape: &SHAPE,
};

/// The model's parameters, those of its runner included.
pub(super) const OPTIONS: Members = &[
    ("num_predict", Rule::OpenBound),
    ("num_ctx", Rule::Pass),
    ("stop", Rule::Read),
    ("embedding_only", Rule::Pass),
    ("f16_kv", Rule::Pass),
    ("frequency_penalty", Rule::Pass),
    ("logits_all", Rule::Pass),
    ("low_vram", Rule::Pass),
    ("main_gpu", Rule::Pass),
    ("min_p", Rule::Pass),
    ("mirostat", Rule::Pass),
    ("mirostat_eta", Rule::Pass),
    ("mirostat_tau", Rule::Pass),
    ("num_batch", Rule::Pass),
    ("num_gpu", Rule::Pass),
    ("num_keep", Rule::Pass),
    ("num_thread", Rule::Pass),
    ("numa", Rule::Pass),
    ("penalize_newline", Rule::Pass),
    ("presence_penalty", Rule::Pass),
    ("repeat_last_n", Rule::Pass),
    ("repeat_penalty", Rule::Pass),
    ("seed", Rule::Pass),
    ("temperature", Rule::Pass),
    ("tfs_z", Rule::Pass),
    ("top_k", Rule::Pass),
    ("top_p", Rule::Pass),
    ("typical_p", Rule::Pass),
    ("use_mlock", Rule::Pass),
    ("use_mmap", Rule::Pass),
    ("vocab_only", Rule::Pass),
];

/// Content is text alone: Ollama's images stand beside it, in the message's `images`.
pub(super) static SHAPE: Shape =
    Shape { roles: &["user", "assistant", "system", "tool"], parts: &[], tools: &["function"], untyped_tools: false };
