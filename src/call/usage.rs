//! Tokens as providers report them, in one shape.
//!
//! Sources: OpenAI API reference, `CompletionUsage`, `ResponseUsage` and embeddings' `usage`; Anthropic API reference,
//! `Usage` and `MessageDeltaUsage`; Gemini API reference, `UsageMetadata`, and Vertex AI's of the same name; Amazon Bedrock
//! API reference, `TokenUsage`; Cohere API reference, `Usage` and `ApiMeta`; Ollama API documentation, "Response".

use super::json::Value;
use crate::speech::Dialect;

/// Tokens as the provider counted them, or as we guessed where it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens that came from the provider's cache.
    pub cached: u64,
    /// Output tokens spent on reasoning.
    pub reasoning: u64,
    /// Whether this is our estimate because the provider gave none.
    pub estimated: bool,
}

/// What reports have said so far; `None` where nothing was said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    /// Cached tokens that are not among `input`: Bedrock's own figures, and Anthropic's.
    cached_apart: Option<u64>,
    /// Anthropic counts what it wrote into its cache apart from `input`.
    written: Option<u64>,
    reasoning: Option<u64>,
}

impl Counts {
    /// Takes one report in. Reports are cumulative, so the largest figure stands.
    pub(crate) fn take(&mut self, report: Value<'_>) {
        let count = |name: &str| report.member(name).and_then(Value::whole::<u64>);
        let detail = |group: &str, name: &str| {
            report.member(group).and_then(|group| group.member(name)).and_then(Value::whole::<u64>)
        };
        self.input = self.input.max(count("prompt_tokens")).max(count("input_tokens"));
        self.output = self.output.max(count("completion_tokens")).max(count("output_tokens"));
        self.cached = self
            .cached
            .max(count("cache_read_input_tokens"))
            .max(detail("prompt_tokens_details", "cached_tokens"))
            .max(detail("input_tokens_details", "cached_tokens"));
        self.written = self.written.max(count("cache_creation_input_tokens"));
        self.reasoning = self
            .reasoning
            .max(detail("completion_tokens_details", "reasoning_tokens"))
            .max(detail("output_tokens_details", "reasoning_tokens"));
        self.cached_apart = self.cached_apart.max(count("cache_read_input_tokens"));
        self.take_amazon(count);
    }

    /// Bedrock's `TokenUsage`, and the figures that end a stream of an invoked model.
    fn take_amazon(&mut self, count: impl Fn(&str) -> Option<u64>) {
        self.input = self.input.max(count("inputTokens")).max(count("inputTokenCount"));
        self.output = self.output.max(count("outputTokens")).max(count("outputTokenCount"));
        let cached = count("cacheReadInputTokens").max(count("cacheReadInputTokenCount"));
        (self.cached, self.cached_apart) = (self.cached.max(cached), self.cached_apart.max(cached));
        self.written = self.written.max(count("cacheWriteInputTokens")).max(count("cacheWriteInputTokenCount"));
    }

    /// Figures that stand elsewhere than in a report.
    pub(crate) const fn stated(input: Option<u64>, output: Option<u64>) -> Self {
        Self { input, output, cached: None, cached_apart: None, written: None, reasoning: None }
    }

    /// The top-level members of a whole answer in which this dialect reports.
    pub(crate) const fn reported_in(dialect: Dialect) -> &'static [&'static str] {
        match dialect {
            Dialect::Cohere => &["usage", "meta"],
            Dialect::Ollama => &["prompt_eval_count", "eval_count"],
            Dialect::Gemini => &["usageMetadata"],
            Dialect::OpenAi | Dialect::Anthropic | Dialect::Azure | Dialect::Bedrock | Dialect::Own => &["usage"],
        }
    }

    /// Takes one of these members in.
    pub(crate) fn take_member(&mut self, dialect: Dialect, name: &str, value: Value<'_>) {
        match (dialect, name) {
            (Dialect::Gemini, _) => self.take_google(value),
            (Dialect::Cohere, _) => self.take_cohere(value),
            (Dialect::Ollama, "prompt_eval_count") => self.input = self.input.max(count(value)),
            (Dialect::Ollama, _) => self.output = self.output.max(count(value)),
            (Dialect::OpenAi | Dialect::Anthropic | Dialect::Azure | Dialect::Bedrock | Dialect::Own, _) => {
                self.take(value);
            }
        }
    }

    /// Takes a report of Cohere's: what its model read and wrote (`tokens`), or where that is not said, what is billed.
    /// They differ by what Cohere itself puts around a call.
    pub(crate) fn take_cohere(&mut self, report: Value<'_>) {
        let figures = ["tokens", "billed_units"].map(|name| report.member(name));
        let figure = |name| figures.iter().flatten().find_map(|figures| figures.member(name)).and_then(count);
        self.input = self.input.max(figure("input_tokens"));
        self.output = self.output.max(figure("output_tokens"));
        self.cached = self.cached.max(report.member("cached_tokens").and_then(count));
    }

    /// Takes the counts in an answer of Ollama's. It leaves out a count of 0.
    pub(crate) fn take_ollama(&mut self, answer: Value<'_>) {
        for name in Self::reported_in(Dialect::Ollama) {
            if let Some(value) = answer.member(name) {
                self.take_member(Dialect::Ollama, name, value);
            }
        }
    }

    /// Takes one of Google's reports in: what a tool brought is input, what was thought is output.
    pub(crate) fn take_google(&mut self, report: Value<'_>) {
        let count = |name: &str| report.member(name).and_then(Value::whole::<u64>);
        let both = |one: Option<u64>, other: Option<u64>| {
            one.or(other).map(|_| one.unwrap_or_default().saturating_add(other.unwrap_or_default()))
        };
        self.input = self.input.max(both(count("promptTokenCount"), count("toolUsePromptTokenCount")));
        self.output = self.output.max(both(count("candidatesTokenCount"), count("thoughtsTokenCount")));
        self.cached = self.cached.max(count("cachedContentTokenCount"));
        self.reasoning = self.reasoning.max(count("thoughtsTokenCount"));
    }

    /// The sum of the reports, if there was one with a figure that counts.
    pub(crate) fn usage(self, dialect: Dialect) -> Option<Usage> {
        self.input.or(self.output)?;
        let input = self.input.unwrap_or_default();
        let cached = self.cached.unwrap_or_default();
        // Anthropic's `input_tokens` leaves out what was read from or written to the cache; OpenAI's includes it.
        let input = match dialect {
            Dialect::Anthropic => input.saturating_add(cached).saturating_add(self.written.unwrap_or_default()),
            Dialect::Bedrock => input
                .saturating_add(self.cached_apart.unwrap_or_default())
                .saturating_add(self.written.unwrap_or_default()),
            Dialect::OpenAi | Dialect::Gemini | Dialect::Azure | Dialect::Cohere | Dialect::Ollama | Dialect::Own => {
                input
            }
        };
        let (output, reasoning) = (self.output.unwrap_or_default(), self.reasoning.unwrap_or_default());
        Some(Usage { input, output, cached, reasoning, estimated: false })
    }
}

/// A count of tokens; Cohere's types have them as numbers with a fraction, which is zero.
fn count(value: Value<'_>) -> Option<u64> {
    value.whole().or_else(|| value.raw().strip_suffix(".0")?.parse().ok())
}
