//! The rows. What is not here is refused `unsupported_operation`.

use super::{Payload, Route, Streaming, Verb};
use crate::speech::{Dialect, Operation};

/// Everything that is governed.
pub const ROUTES: &[Route] = &[
    Route::post(Dialect::OpenAi, Operation::Chat, Payload::ChatCompletions, "/v1/chat/completions")
        .streaming(Streaming::Asked),
    Route::post(Dialect::OpenAi, Operation::Completions, Payload::Completions, "/v1/completions")
        .streaming(Streaming::Asked),
    Route::post(Dialect::OpenAi, Operation::Responses, Payload::Responses, "/v1/responses").streaming(Streaming::Asked),
    Route::post(Dialect::OpenAi, Operation::Embeddings, Payload::Embeddings, "/v1/embeddings"),
    Route::post(Dialect::OpenAi, Operation::Images, Payload::ImageGeneration, "/v1/images/generations")
        .streaming(Streaming::Asked),
    Route::post(Dialect::OpenAi, Operation::Images, Payload::ImageEdit, "/v1/images/edits").streaming(Streaming::Asked),
    Route::post(Dialect::OpenAi, Operation::Images, Payload::ImageVariation, "/v1/images/variations"),
    Route::post(Dialect::OpenAi, Operation::Audio, Payload::Speech, "/v1/audio/speech").streaming(Streaming::Asked),
    Route::post(Dialect::OpenAi, Operation::Audio, Payload::Transcription, "/v1/audio/transcriptions")
        .streaming(Streaming::Asked),
    Route::post(Dialect::OpenAi, Operation::Audio, Payload::Translation, "/v1/audio/translations"),
    Route::post(Dialect::OpenAi, Operation::Moderations, Payload::Moderation, "/v1/moderations"),
    Route::post(Dialect::OpenAi, Operation::Files, Payload::File, "/v1/files"),
    Route::post(Dialect::OpenAi, Operation::Batches, Payload::Batch, "/v1/batches"),
    Route { verb: Verb::Get, ..Route::post(Dialect::OpenAi, Operation::Models, Payload::Own, "/v1/models") },
    Route::post(Dialect::Anthropic, Operation::Chat, Payload::Messages, "/v1/messages").streaming(Streaming::Asked),
    Route::post(Dialect::Anthropic, Operation::CountTokens, Payload::CountTokens, "/v1/messages/count_tokens"),
    Route::post(Dialect::Anthropic, Operation::Batches, Payload::MessageBatches, "/v1/messages/batches"),
    Route::post(Dialect::Own, Operation::Check, Payload::Own, "/v1/check"),
    Route::post(Dialect::Own, Operation::Evaluate, Payload::Own, "/api/evaluate"),
];
