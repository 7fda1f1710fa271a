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
    Route { verb: Verb::Get, ..Route::post(Dialect::OpenAi, Operation::Models, Payload::Own, "/v1/models") },
    Route::post(Dialect::Anthropic, Operation::Chat, Payload::Messages, "/v1/messages").streaming(Streaming::Asked),
    Route::post(Dialect::Anthropic, Operation::CountTokens, Payload::CountTokens, "/v1/messages/count_tokens"),
    Route::post(Dialect::Bedrock, Operation::Chat, Payload::Converse, "/model/{model_id}/converse"),
    Route::post(Dialect::Bedrock, Operation::Chat, Payload::Converse, "/model/{model_id}/converse-stream")
        .streaming(Streaming::Always),
    // Its body may correct the operation: an embedding model is invoked like any other.
    Route::post(Dialect::Bedrock, Operation::Chat, Payload::Invoke, "/model/{model_id}/invoke"),
    Route::post(Dialect::Bedrock, Operation::Chat, Payload::Invoke, "/model/{model_id}/invoke-with-response-stream")
        .streaming(Streaming::Always),
    Route::post(Dialect::Bedrock, Operation::CountTokens, Payload::ConverseTokens, "/model/{model_id}/count-tokens"),
    Route::post(Dialect::Cohere, Operation::Chat, Payload::CohereChat, "/v2/chat").streaming(Streaming::Asked),
    Route::post(Dialect::Cohere, Operation::Embeddings, Payload::CohereEmbed, "/v2/embed"),
    Route::post(Dialect::Cohere, Operation::Rerank, Payload::CohereRerank, "/v2/rerank"),
    Route::post(Dialect::Ollama, Operation::Chat, Payload::OllamaChat, "/api/chat").streaming(Streaming::Unless),
    Route::post(Dialect::Ollama, Operation::Completions, Payload::OllamaGenerate, "/api/generate")
        .streaming(Streaming::Unless),
    Route::post(Dialect::Ollama, Operation::Embeddings, Payload::OllamaEmbed, "/api/embed"),
    Route::post(Dialect::Ollama, Operation::Embeddings, Payload::OllamaEmbeddings, "/api/embeddings"),
    Route::post(Dialect::Own, Operation::Check, Payload::Own, "/v1/check"),
    Route::post(Dialect::Own, Operation::Evaluate, Payload::Own, "/api/evaluate"),
];
