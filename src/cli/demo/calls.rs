//! The calls of the demo, in order, and what each has to end with.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// The demo key of tenant `acme`; it opens nothing but this demo.
pub(super) const ACME: &str = "pcl_acme1_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// The demo key of tenant `globex`, whose limit is small.
pub(super) const GLOBEX: &str = "pcl_globex1_ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

/// Calls of one burst and failing calls in a row: more than globex's limit and than the breaker's bound.
const BURST: usize = 12;
const FAILURES: usize = 4;

/// How one call of the demo ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) title: &'static str,
    pub(super) status: u16,
    pub(super) decision: String,
    pub(super) reason: String,
    pub(super) told: String,
    pub(super) record: String,
    pub(super) as_expected: bool,
}

/// An application that uses the gate.
#[derive(Debug)]
pub(super) struct Caller {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// One call to make.
struct Ask<'a> {
    title: &'static str,
    key: &'a str,
    method: Method,
    path: &'static str,
    prompt: Option<&'static str>,
    body: Value,
    expected: (u16, &'static str),
}

fn chat(title: &'static str, model: &str, text: &str, expected: (u16, &'static str)) -> Ask<'static> {
    Ask {
        title,
        key: ACME,
        method: Method::POST,
        path: "/v1/chat/completions",
        prompt: None,
        body: json!({"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 64}),
        expected,
    }
}

impl Caller {
    pub(super) fn new(gate: &str) -> Self {
        Self {
            base: format!("http://{gate}"),
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
        }
    }

    /// Makes all calls of the demo.
    pub(super) async fn all(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for ask in script() {
            outcomes.push(self.one(&ask).await);
        }
        outcomes.push(self.over_the_limit().await);
        outcomes.push(self.until_the_breaker_opens().await);
        outcomes
    }

    /// A burst of a tenant with a small limit: answers the first call that found no room.
    async fn over_the_limit(&self) -> Outcome {
        let mut ask = chat("globex, a burst over its limit", "gpt-4o-mini", "Hello again.", (429, "request_limit"));
        ask.key = GLOBEX;
        self.until_refused(&ask, BURST).await
    }

    /// An upstream that fails until it is given a rest.
    async fn until_the_breaker_opens(&self) -> Outcome {
        let mut ask = chat("an upstream that keeps failing", "claude-sonnet-4-5", "Hello.", (503, "breaker_open"));
        ask.path = "/v1/messages";
        ask.body = json!({
            "model": "claude-sonnet-4-5", "max_tokens": 64, "metadata": {"user_id": "sim:status=500"},
            "messages": [{"role": "user", "content": "Hello."}],
        });
        self.until_refused(&ask, FAILURES).await
    }

    async fn until_refused(&self, ask: &Ask<'_>, most: usize) -> Outcome {
        let mut before = Vec::new();
        loop {
            let mut outcome = self.one(ask).await;
            if outcome.as_expected || before.len() >= most {
                outcome.told = format!("after {}: {}", counted(&before), outcome.told);
                return outcome;
            }
            before.push(outcome.status);
        }
    }

    async fn one(&self, ask: &Ask<'_>) -> Outcome {
        let mut outcome = Outcome {
            title: ask.title,
            status: 0,
            decision: String::new(),
            reason: String::new(),
            told: String::new(),
            record: String::new(),
            as_expected: false,
        };
        match self.send(ask).await {
            Ok((head, body)) => {
                let header = |name: &str| {
                    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
                };
                outcome.status = head.status.as_u16();
                outcome.decision = header("x-portcullis-decision");
                outcome.reason = header("x-portcullis-reason");
                let address = header("x-portcullis-audit");
                outcome.record = address.rsplit_once('#').map_or(String::new(), |(_, sequence)| format!("#{sequence}"));
                outcome.told = told(&head, &body);
                outcome.as_expected = (outcome.status, outcome.reason.as_str()) == ask.expected;
            }
            Err(fault) => outcome.told = fault,
        }
        outcome
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<(http::response::Parts, Bytes), String> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.base, ask.path))
            .header("authorization", format!("Bearer {}", ask.key))
            .header("content-type", "application/json");
        if let Some(prompt) = ask.prompt {
            request = request.header("x-portcullis-prompt", prompt);
        }
        let body = if ask.body.is_null() { Bytes::new() } else { Bytes::from(ask.body.to_string()) };
        let request = request.body(Full::new(body)).map_err(|fault| fault.to_string())?;
        let (head, body) = self.client.request(request).await.map_err(|fault| fault.to_string())?.into_parts();
        let body = body.collect().await.map_err(|fault| fault.to_string())?.to_bytes();
        Ok((head, body))
    }
}

/// The calls that end the same way every time.
fn script() -> Vec<Ask<'static>> {
    let mut streamed = chat("an approved model, streamed", "gpt-4o-mini", "Tell me about gates.", (200, ""));
    if let Some(body) = streamed.body.as_object_mut() {
        body.insert("stream".to_owned(), json!(true));
    }
    let mut prompt = chat("a prompt nobody registered", "gpt-4o-mini", "Hello.", (403, "prompt_unknown"));
    prompt.prompt = Some("support-triage@9");
    let mut models = chat("which models may I use?", "", "", (200, ""));
    (models.method, models.path, models.body) = (Method::GET, "/v1/models", Value::Null);
    let mut stranger = chat("a key nobody knows", "gpt-4o-mini", "Hello.", (401, "credential_invalid"));
    stranger.key = "pcl_nobody_00000000000000000000000000000000";
    let card = "Please charge 4111 1111 1111 1111 for the renewal.";
    vec![
        chat("an approved model", "gpt-4o-mini", "Hello.", (200, "")),
        streamed,
        models,
        chat("a model that waits for approval", "gpt-4o", "Hello.", (403, "model_not_approved")),
        chat("a model nobody registered", "rogue-model", "Hello.", (403, "model_unknown")),
        prompt,
        chat("a card number in the text", "gpt-4o-mini", card, (403, "risk_blocked")),
        stranger,
    ]
}

/// What the application hears, in a few words; of answers only their size.
fn told(head: &http::response::Parts, body: &Bytes) -> String {
    let streamed =
        head.headers.get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if streamed {
        let events = String::from_utf8_lossy(body).matches("data:").count();
        return format!("{events} events relayed");
    }
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if let Some(message) = value.pointer("/error/message").and_then(Value::as_str) {
        return message.split(" [").next().unwrap_or_default().to_owned();
    }
    if let Some(models) = value.pointer("/data").and_then(Value::as_array) {
        let names: Vec<&str> = models.iter().filter_map(|model| model.get("id").and_then(Value::as_str)).collect();
        return names.join(", ");
    }
    format!("{} bytes relayed", body.len())
}

/// Statuses in words: `10 × 200`.
fn counted(statuses: &[u16]) -> String {
    let mut runs: Vec<(u16, usize)> = Vec::new();
    for status in statuses {
        match runs.last_mut() {
            Some((last, count)) if last == status => *count += 1,
            _ => runs.push((*status, 1)),
        }
    }
    let words: Vec<String> = runs.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    if words.is_empty() { "0 calls".to_owned() } else { words.join(", ") }
}
