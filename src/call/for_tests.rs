//! Calls without bytes to read, for the tests of later rooms.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::arrival::Arrival;
use crate::call::{Call, Fact, Metadata, PromptClaim, Reading, Texts};
use crate::clock::ManualClock;
use crate::id::ClaimedModel;
use crate::identity;

/// Declared facts.
pub(crate) fn metadata(facts: impl IntoIterator<Item = (&'static str, Fact)>) -> Metadata {
    Metadata { values: facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect() }
}

/// A chat call of `tenant` for `model`, of four bytes and so of one input token.
pub(crate) fn chat(tenant: &str, model: &str, max_output_tokens: Option<u64>, prompt: Option<PromptClaim>) -> Call {
    let clock = ManualClock::at(chrono::DateTime::UNIX_EPOCH);
    let arrival = Arrival::receive(Method::POST, "/v1/chat/completions", None, HeaderMap::new(), &clock);
    Call {
        caller: identity::for_tests::caller(arrival, tenant),
        body: Bytes::from_static(b"body"),
        reading: Reading {
            model: ClaimedModel::new(model.to_owned()),
            model_at: 0..0,
            stream: false,
            max_output_tokens,
            choices: 1,
            prompt,
            texts: Texts::default(),
            metadata: Metadata::default(),
        },
    }
}
