//! The table and its comparison.

use http::Method;

use super::{ROUTES, Values, fill, find};

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
        assert!(ROUTES.iter().skip(i + 1).all(|b| (a.path, a.verb) != (b.path, b.verb)), "{a:?}");
    }
}

fn filled(template: &str, path: &str) -> Option<Vec<String>> {
    fill(template, path).map(|names| names.into_iter().map(String::from).collect())
}

#[test]
fn a_place_takes_one_plain_name() {
    let template = "/v1beta/models/{model}:generateContent";
    assert_eq!(
        filled(template, "/v1beta/models/gemini-2.5-flash:generateContent"),
        Some(vec!["gemini-2.5-flash".into()])
    );
    for path in [
        "/v1beta/models/:generateContent",
        "/v1beta/models/..:generateContent",
        "/v1beta/models/a:b:generateContent",
        "/v1beta/models/a%2Fb:generateContent",
        "/v1beta/models/a/b:generateContent",
        "/v1beta/models/a;b:generateContent",
        "/v1beta/models/a b:generateContent",
        "/v1beta/models/a:generateContent/",
        "/v1beta//models/a:generateContent",
        "/v1beta/models/a:generatecontent",
        "/v1beta/models/a",
    ] {
        assert_eq!(filled(template, path), None, "{path}");
    }
}

#[test]
fn an_identifier_has_its_colons_and_slashes_in_one_spelling() {
    let template = "/model/{model_id}/converse";
    for (path, name) in [
        ("/model/anthropic.claude-v2%3A1/converse", "anthropic.claude-v2:1"),
        ("/model/anthropic.claude-v2:1/converse", "anthropic.claude-v2:1"),
        ("/model/arn%3Aaws%3Abedrock%3Aeu::p%2Fx/converse", "arn:aws:bedrock:eu::p/x"),
    ] {
        assert_eq!(filled(template, path), Some(vec![name.into()]), "{path}");
    }
    for path in [
        "/model/a%3ab/converse",
        "/model/a%2fb/converse",
        "/model/a%41/converse",
        "/model/%2E%2E/converse",
        "/model/..%2Fx/converse",
        "/model/a%2F%2Fb/converse",
        "/model/a%2F/converse",
        "/model/a%253A/converse",
        "/model//converse",
        "/model/a%/converse",
        "/model/é/converse",
    ] {
        assert_eq!(filled(template, path), None, "{path}");
    }
}

#[test]
fn the_target_is_the_tables_path_with_the_judged_name() {
    for route in ROUTES.iter().filter(|route| route.has_places()) {
        let path = route.path.replace("{model}", "m-1").replace("{model_id}", "m-1").replace(['{', '}'], "");
        let matched = find(&route.method(), &path).expect("its own path");
        assert_eq!(matched.model(), Some("m-1"), "{path}");
        assert_eq!(matched.target("m-1"), path);
        assert_eq!(matched.target("a:b/c"), path.replace("m-1", "a%3Ab%2Fc"));
    }
}

#[test]
fn a_version_is_plain() {
    for good in ["2024-10-21", "2025-04-01-preview", "preview", "v1"] {
        assert!(Values::Version.allow(good), "{good}");
    }
    for bad in ["", "2024-10-21&model=x", "A", "%32", "a b", &"1".repeat(33)] {
        assert!(!Values::Version.allow(bad), "{bad}");
    }
}
