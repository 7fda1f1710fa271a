//! The rows. What is not here is refused `unsupported_operation`.

use super::{Parameter, Payload, Route, Streaming, Values, Verb};
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
    // The Gemini API.
    generate("/v1beta/models/{model}:generateContent"),
    stream("/v1beta/models/{model}:streamGenerateContent"),
    count("/v1beta/models/{model}:countTokens"),
    embed(Payload::EmbedContent, "/v1beta/models/{model}:embedContent"),
    embed(Payload::BatchEmbedContents, "/v1beta/models/{model}:batchEmbedContents"),
    generate("/v1/models/{model}:generateContent"),
    stream("/v1/models/{model}:streamGenerateContent"),
    count("/v1/models/{model}:countTokens"),
    embed(Payload::EmbedContent, "/v1/models/{model}:embedContent"),
    embed(Payload::BatchEmbedContents, "/v1/models/{model}:batchEmbedContents"),
    Route { verb: Verb::Get, ..Route::post(Dialect::Gemini, Operation::Models, Payload::Own, "/v1beta/models") },
    // Vertex AI, with a project and in express mode without one.
    generate("/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent"),
    stream("/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:streamGenerateContent"),
    count("/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:countTokens"),
    embed(
        Payload::EmbedContent,
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:embedContent",
    ),
    embed(
        Payload::BatchEmbedContents,
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:batchEmbedContents",
    ),
    embed(Payload::Predict, "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:predict"),
    generate("/v1/publishers/google/models/{model}:generateContent"),
    stream("/v1/publishers/google/models/{model}:streamGenerateContent"),
    count("/v1/publishers/google/models/{model}:countTokens"),
    embed(Payload::EmbedContent, "/v1/publishers/google/models/{model}:embedContent"),
    embed(Payload::BatchEmbedContents, "/v1/publishers/google/models/{model}:batchEmbedContents"),
    embed(Payload::Predict, "/v1/publishers/google/models/{model}:predict"),
    generate("/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent"),
    stream("/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:streamGenerateContent"),
    count("/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:countTokens"),
    embed(
        Payload::EmbedContent,
        "/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:embedContent",
    ),
    embed(
        Payload::BatchEmbedContents,
        "/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:batchEmbedContents",
    ),
    embed(
        Payload::Predict,
        "/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:predict",
    ),
    generate("/v1beta1/publishers/google/models/{model}:generateContent"),
    stream("/v1beta1/publishers/google/models/{model}:streamGenerateContent"),
    count("/v1beta1/publishers/google/models/{model}:countTokens"),
    embed(Payload::EmbedContent, "/v1beta1/publishers/google/models/{model}:embedContent"),
    embed(Payload::BatchEmbedContents, "/v1beta1/publishers/google/models/{model}:batchEmbedContents"),
    embed(Payload::Predict, "/v1beta1/publishers/google/models/{model}:predict"),
    // Anthropic's models on Vertex AI: Anthropic's bodies. A count names its model in the body.
    Route::post(
        Dialect::Anthropic,
        Operation::CountTokens,
        Payload::CountTokens,
        "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/count-tokens:rawPredict",
    ),
    messages(
        Streaming::Asked,
        "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict",
    ),
    messages(
        Streaming::Always,
        "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:streamRawPredict",
    ),
    Route::post(
        Dialect::Anthropic,
        Operation::CountTokens,
        Payload::CountTokens,
        "/v1beta1/projects/{project}/locations/{location}/publishers/anthropic/models/count-tokens:rawPredict",
    ),
    messages(
        Streaming::Asked,
        "/v1beta1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict",
    ),
    messages(
        Streaming::Always,
        "/v1beta1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:streamRawPredict",
    ),
    // Azure OpenAI.
    azure(Operation::Chat, Payload::ChatCompletions, "/openai/deployments/{model}/chat/completions"),
    azure(Operation::Completions, Payload::Completions, "/openai/deployments/{model}/completions"),
    azure(Operation::Embeddings, Payload::Embeddings, "/openai/deployments/{model}/embeddings"),
    azure(Operation::Responses, Payload::Responses, "/openai/responses"),
    azure(Operation::Chat, Payload::ChatCompletions, "/openai/v1/chat/completions"),
    azure(Operation::Completions, Payload::Completions, "/openai/v1/completions"),
    azure(Operation::Responses, Payload::Responses, "/openai/v1/responses"),
    azure(Operation::Embeddings, Payload::Embeddings, "/openai/v1/embeddings"),
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

/// How a stream is written: as server-sent events, or as one JSON list.
const ALT: &[Parameter] = &[Parameter { name: "alt", values: Values::Words(&["sse", "json"]) }];

/// Which version of Azure's API is meant.
const API_VERSION: &[Parameter] = &[Parameter { name: "api-version", values: Values::Version }];

const fn generate(path: &'static str) -> Route {
    Route::post(Dialect::Gemini, Operation::Chat, Payload::GenerateContent, path)
}

const fn stream(path: &'static str) -> Route {
    generate(path).streaming(Streaming::Always).query(ALT)
}

const fn count(path: &'static str) -> Route {
    Route::post(Dialect::Gemini, Operation::CountTokens, Payload::CountContentTokens, path)
}

const fn embed(payload: Payload, path: &'static str) -> Route {
    Route::post(Dialect::Gemini, Operation::Embeddings, payload, path)
}

const fn messages(streaming: Streaming, path: &'static str) -> Route {
    Route::post(Dialect::Anthropic, Operation::Chat, Payload::Messages, path).streaming(streaming)
}

const fn azure(operation: Operation, payload: Payload, path: &'static str) -> Route {
    let streaming = if matches!(operation, Operation::Embeddings) { Streaming::Never } else { Streaming::Asked };
    Route::post(Dialect::Azure, operation, payload, path).streaming(streaming).query(API_VERSION)
}
