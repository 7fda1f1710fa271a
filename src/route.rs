//! The route table: which method and raw path the gate governs, and what the upstream is asked for instead.
//!
//! Exact comparison with the path as received: nothing is decoded, normalised or matched by prefix, so a path that
//! needs any of it has no route. The path sent upstream is the table's, never the client's.

use http::Method;

use crate::speech::{Dialect, Operation};

/// One governed endpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// Whose API it is.
    pub dialect: Dialect,
    /// What it asks for.
    pub operation: Operation,
    /// The only method it answers to.
    pub method: Method,
    /// The path, as received and as sent upstream.
    pub path: &'static str,
}

impl Route {
    const fn post(dialect: Dialect, operation: Operation, path: &'static str) -> Self {
        Self { dialect, operation, method: Method::POST, path }
    }
}

/// Everything that is governed. What is not here is refused `unsupported_operation`.
pub const ROUTES: &[Route] = &[
    Route::post(Dialect::OpenAi, Operation::Chat, "/v1/chat/completions"),
    Route::post(Dialect::OpenAi, Operation::Completions, "/v1/completions"),
    Route::post(Dialect::OpenAi, Operation::Responses, "/v1/responses"),
    Route::post(Dialect::OpenAi, Operation::Embeddings, "/v1/embeddings"),
    Route { dialect: Dialect::OpenAi, operation: Operation::Models, method: Method::GET, path: "/v1/models" },
    Route::post(Dialect::Anthropic, Operation::Chat, "/v1/messages"),
    Route::post(Dialect::Anthropic, Operation::CountTokens, "/v1/messages/count_tokens"),
    Route::post(Dialect::Own, Operation::Check, "/v1/check"),
    Route::post(Dialect::Own, Operation::Evaluate, "/api/evaluate"),
];

/// The route of exactly this method and raw path, if it is governed.
#[must_use]
pub fn find(method: &Method, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.path == path && route.method == *method)
}

/// The dialect whose error shape suits a path that may have no route: the vendor's when the path begins like one of
/// the vendor's, else OpenAI's, which most clients read.
#[must_use]
pub fn likely_dialect(path: &str) -> Dialect {
    if path.starts_with("/v1/messages") {
        Dialect::Anthropic
    } else if path == "/v1/check" || path.starts_with("/api/") {
        Dialect::Own
    } else {
        Dialect::OpenAi
    }
}

#[cfg(test)]
mod tests {
    use super::{ROUTES, find};
    use http::Method;

    #[test]
    fn only_the_exact_method_and_raw_path_have_a_route() {
        assert!(find(&Method::POST, "/v1/messages").is_some());
        for (method, path) in [
            (Method::PUT, "/v1/messages"),
            (Method::POST, "/v1//messages"),
            (Method::POST, "/v1/%6dessages"),
            (Method::POST, "/v1/messages/"),
            (Method::POST, "/V1/messages"),
            (Method::POST, "/v1/x/..%2fmessages"),
            (Method::POST, "/v1/messages;a=b"),
            (Method::GET, "/v1/responses/resp_1"),
        ] {
            assert_eq!(find(&method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for (i, a) in ROUTES.iter().enumerate() {
            assert!(ROUTES.iter().skip(i + 1).all(|b| (a.path, &a.method) != (b.path, &b.method)), "{a:?}");
        }
    }
}
