//! The route table: which method and raw path the gate governs, what its body is, and what the upstream is asked for
//! instead.
//!
//! Exact comparison with the path as received: nothing is decoded, normalised or matched by prefix, so a path that
//! needs any of it has no route. Where a vendor puts the model into the path, one whole segment (or what stands before
//! its `:verb`) is taken out of it, of plain characters only. The path sent upstream is the table's, filled with the
//! names as judged, never the client's.

mod table;

pub use table::ROUTES;

use std::borrow::Cow;

use http::Method;

use crate::speech::{Dialect, Operation};

/// One governed endpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// Whose API it is.
    pub dialect: Dialect,
    /// What it asks for.
    pub operation: Operation,
    /// What its body is.
    pub payload: Payload,
    /// What says whether the answer is a stream.
    pub streaming: Streaming,
    /// The only method it answers to.
    pub verb: Verb,
    /// The path; `{model}` and the like stand for what a request fills in.
    pub path: &'static str,
    /// The query parameters that travel upstream.
    pub query: &'static [Parameter],
}

/// The methods of governed endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

/// The body of an endpoint, by the name that its vendor gives it. Decides how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payload {
    /// OpenAI `CreateChatCompletionRequest`.
    ChatCompletions,
    /// OpenAI `CreateCompletionRequest`.
    Completions,
    /// OpenAI `CreateResponse`.
    Responses,
    /// OpenAI `CreateEmbeddingRequest`.
    Embeddings,
    /// Anthropic `MessageCreateParams`.
    Messages,
    /// Anthropic `MessageCountTokensParams`.
    CountTokens,
    /// OpenAI `CreateImageRequest`.
    ImageGeneration,
    /// OpenAI `CreateImageEditRequest`, a form.
    ImageEdit,
    /// OpenAI `CreateImageVariationRequest`, a form.
    ImageVariation,
    /// OpenAI `CreateSpeechRequest`.
    Speech,
    /// OpenAI `CreateTranscriptionRequest`, a form.
    Transcription,
    /// OpenAI `CreateTranslationRequest`, a form.
    Translation,
    /// OpenAI `CreateModerationRequest`.
    Moderation,
    /// OpenAI `CreateFileRequest`, a form.
    File,
    /// OpenAI `CreateBatchRequest`.
    Batch,
    /// Anthropic `CreateMessageBatchParams`.
    MessageBatches,
    /// Google `GenerateContentRequest`.
    GenerateContent,
    /// Google `CountTokensRequest`, of the Gemini API and of Vertex AI.
    CountContentTokens,
    /// Google `EmbedContentRequest`.
    EmbedContent,
    /// Google `BatchEmbedContentsRequest`.
    BatchEmbedContents,
    /// Vertex AI `PredictRequest` to an embedding model.
    Predict,
    /// Amazon Bedrock `ConverseRequest`, streamed or not.
    Converse,
    /// Amazon Bedrock `InvokeModelRequest`: a body in the words of the model's family.
    Invoke,
    /// Amazon Bedrock `CountTokensRequest`.
    ConverseTokens,
    /// Cohere's `v2/chat` request.
    CohereChat,
    /// Cohere's `v2/embed` request.
    CohereEmbed,
    /// Cohere's `v2/rerank` request.
    CohereRerank,
    /// Ollama's `ChatRequest`.
    OllamaChat,
    /// Ollama's `GenerateRequest`.
    OllamaGenerate,
    /// Ollama's `EmbedRequest`.
    OllamaEmbed,
    /// Ollama's `EmbeddingRequest`, which `EmbedRequest` replaces.
    OllamaEmbeddings,
    /// Nothing, or one of the gate's own.
    Own,
}

impl Payload {
    /// Whether it is `multipart/form-data`.
    #[must_use]
    pub const fn is_form(self) -> bool {
        matches!(self, Self::ImageEdit | Self::ImageVariation | Self::Transcription | Self::Translation | Self::File)
    }
}

/// What says whether an answer is a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// It never is one.
    Never,
    /// It always is one: the path says so.
    Always,
    /// The body's `stream`; without it, it is none.
    Asked,
    /// The body's `stream`; without it, it is one.
    Unless,
}

/// A query parameter that the upstream needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its exact name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// What a query parameter may say.
#[derive(Debug, PartialEq, Eq)]
pub enum Values {
    /// A version: at most 32 small letters, digits and dashes.
    Version,
    /// One of these words.
    Words(&'static [&'static str]),
}

impl Values {
    /// Whether `value`, as it stands in the query, is one.
    #[must_use]
    pub fn allow(&self, value: &str) -> bool {
        match self {
            Self::Version => {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                (1..=32).contains(&value.len()) && value.bytes().all(plain)
            }
            Self::Words(words) => words.contains(&value),
        }
    }
}

/// A route, and what a request's path fills it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    route: &'static Route,
    /// The places in the order in which they stand in the path, decoded.
    filled: Vec<Box<str>>,
}

/// Longest name in a path, in bytes.
const LONGEST_NAME: usize = 256;

/// The route of exactly this method and raw path, if it is governed.
#[must_use]
pub fn find(method: &Method, path: &str) -> Option<Matched> {
    ROUTES.iter().find_map(|route| {
        let filled = if route.has_places() { fill(route.path, path)? } else { (route.path == path).then(Vec::new)? };
        (route.method() == *method).then_some(Matched { route, filled })
    })
}

impl Route {
    const fn post(dialect: Dialect, operation: Operation, payload: Payload, path: &'static str) -> Self {
        Self { dialect, operation, payload, streaming: Streaming::Never, verb: Verb::Post, path, query: &[] }
    }

    const fn streaming(self, streaming: Streaming) -> Self {
        Self { streaming, ..self }
    }

    const fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// The method it answers to, and that the upstream is asked with.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
        }
    }

    /// Whether a request fills something in.
    #[must_use]
    pub fn has_places(&self) -> bool {
        memchr::memchr(b'{', self.path.as_bytes()).is_some()
    }
}

impl Matched {
    /// The row of the table.
    #[must_use]
    pub const fn route(&self) -> &'static Route {
        self.route
    }

    /// The model that the path names, decoded.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.named("model").or_else(|| self.named("model_id"))
    }

    /// What stands in the place of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&str> {
        let at = places(self.route.path).position(|place| place == name)?;
        self.filled.get(at).map(AsRef::as_ref)
    }

    /// The path to ask the upstream for, the model's place filled with `model`: without escapes where every reader
    /// agrees, with RFC 3986 escapes in capitals elsewhere.
    #[must_use]
    pub fn target(&self, model: &str) -> Cow<'static, str> {
        if self.filled.is_empty() {
            return Cow::Borrowed(self.route.path);
        }
        let mut filled = self.filled.iter();
        let mut path = String::with_capacity(self.route.path.len() + model.len());
        for piece in pieces(self.route.path) {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Place(name) => {
                    let own = filled.next().map(AsRef::as_ref).unwrap_or_default();
                    escape(if matches!(name, "model" | "model_id") { model } else { own }, &mut path);
                }
            }
        }
        Cow::Owned(path)
    }
}

/// A stretch of a route's path.
enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

/// A route's path cut at its places.
fn pieces(path: &str) -> impl Iterator<Item = Piece<'_>> {
    path.split('{').enumerate().flat_map(|(i, part)| {
        let (place, text) =
            if i == 0 { (None, part) } else { part.split_once('}').map_or((None, part), |(p, t)| (Some(p), t)) };
        place.map(Piece::Place).into_iter().chain((!text.is_empty()).then_some(Piece::Text(text)))
    })
}

/// The names of a route's places.
fn places(path: &str) -> impl Iterator<Item = &str> {
    pieces(path).filter_map(|piece| if let Piece::Place(name) = piece { Some(name) } else { None })
}

/// What fills the places of `template` to make it `path`; `None` where nothing does. A place is a whole segment, or what
/// stands in one before its `:verb`.
fn fill(template: &str, path: &str) -> Option<Vec<Box<str>>> {
    let mut filled = Vec::new();
    let (mut expected, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return Some(filled),
            (Some(literal), Some(segment)) if !literal.starts_with('{') => {
                if literal != segment {
                    return None;
                }
            }
            (Some(place), Some(segment)) => {
                let (name, verb) = place.strip_prefix('{')?.split_once('}')?;
                let text = segment.strip_suffix(verb)?;
                filled.push(if name == "model_id" { identifier(text)? } else { plain(text)? });
            }
            (Some(_), None) | (None, Some(_)) => return None,
        }
    }
}

/// A name of characters that no reader of paths does anything with.
fn plain(text: &str) -> Option<Box<str>> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    let is_plain = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(good) && !is_dots(text);
    is_plain.then(|| text.into())
}

/// Such a name, or one with the colons and slashes of an ARN in the one spelling that Amazon's SDKs give them: a colon as
/// it is or as `%3A`, a slash as `%2F`.
fn identifier(text: &str) -> Option<Box<str>> {
    if !(1..=LONGEST_NAME).contains(&text.len()) {
        return None;
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '@' | ':' => {
                decoded.push(c);
                1
            }
            '%' if rest.starts_with("%3A") => {
                decoded.push(':');
                3
            }
            '%' if rest.starts_with("%2F") => {
                decoded.push('/');
                3
            }
            _ => return None,
        };
        rest = rest.get(taken..)?;
    }
    let is_good = !decoded.split('/').any(|part| part.is_empty() || is_dots(part));
    is_good.then(|| decoded.into())
}

fn is_dots(text: &str) -> bool {
    matches!(text, "." | "..")
}

/// Appends a name as one segment of a path (RFC 3986 section 2.1).
fn escape(name: &str, path: &mut String) {
    for b in name.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'~' | b'@') {
            path.push(char::from(b));
        } else {
            let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase();
            path.extend(['%', digit(b >> 4), digit(b & 15)]);
        }
    }
}

/// The dialect whose error shape suits a path that may have no route: the vendor's when the path begins like one of
/// the vendor's, else OpenAI's, which most clients read.
#[must_use]
pub fn likely_dialect(path: &str) -> Dialect {
    const BEGINNINGS: &[(&str, Dialect)] = &[
        ("/v1/messages", Dialect::Anthropic),
        ("/v1beta/", Dialect::Gemini),
        ("/v1/projects/", Dialect::Gemini),
        ("/v1beta1/projects/", Dialect::Gemini),
        ("/v1/publishers/", Dialect::Gemini),
        ("/v1beta1/publishers/", Dialect::Gemini),
        ("/openai/", Dialect::Azure),
        ("/model/", Dialect::Bedrock),
        ("/v2/", Dialect::Cohere),
        ("/v1/check", Dialect::Own),
        ("/api/evaluate", Dialect::Own),
        ("/api/", Dialect::Ollama),
    ];
    BEGINNINGS
        .iter()
        .find(|(beginning, _)| path.starts_with(beginning))
        .map_or(Dialect::OpenAi, |(_, dialect)| *dialect)
}

#[cfg(test)]
mod tests;
