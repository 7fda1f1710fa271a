//! The reader against the bypass classes and the legitimate calls in `tests/cases/call/`, and what a call answers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value as Serde, json};

use super::{Call, CheckAsk, EvaluateAsk, Fact, ListAsk, PromptClaim, Unreadable};
use crate::arrival::Arrival;
use crate::clock::ManualClock;
use crate::docket::{CheckVerdict, Refuses, Stopped};
use crate::identity::Caller;
use crate::speech::{Operation, Source};

const JSON: (&str, &str) = ("content-type", "application/json");
const CHAT: &str = "/v1/chat/completions";

fn caller(method: Method, target: &str, head: &[(&str, &str)]) -> Caller {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("a name"), HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
    };
    let headers: HeaderMap = head.iter().map(field).collect();
    let clock = ManualClock::at(chrono::DateTime::UNIX_EPOCH);
    Caller::for_tests(Arrival::receive(method, path, query, headers, &clock))
}

fn read_with(target: &str, head: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Result<Box<Call>, Stopped<Unreadable>> {
    Call::read(caller(Method::POST, target, head), Bytes::from(body.into()))
}

fn read(path: &str, body: impl Into<Vec<u8>>) -> Box<Call> {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body).into_owned();
    read_with(path, &[JSON], body).unwrap_or_else(|stopped| panic!("refused: {} {shown}", stopped.why))
}

fn refusal<T>(read: Result<T, Stopped<Unreadable>>) -> &'static str {
    read.map_or_else(|stopped| stopped.why.reason().code(), |_| "forwarded")
}

/// What a tenant gets that may refer to nothing stored and fetch from nowhere.
fn verdict(read: Result<Box<Call>, Stopped<Unreadable>>) -> &'static str {
    match read {
        Ok(call) if call.needs().stored_at().is_some() || !call.needs().fetches().is_empty() => {
            "reference_not_permitted"
        }
        other => refusal(other),
    }
}

fn pieces(call: &Call) -> Vec<(Source, String)> {
    call.texts().map(|(source, text)| (source, text.to_owned())).collect()
}

fn cases(file: &'static str, columns: usize) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(move |line| line.splitn(columns, " | ").collect())
}

#[test]
fn every_bypass_is_refused_for_its_reason() {
    let mut faults = Vec::new();
    let mut count = 0;
    for case in cases(include_str!("../../tests/cases/call/refused.txt"), 4) {
        let [class, reason, path, body] = case[..] else { panic!("four columns: {case:?}") };
        count += 1;
        let found = verdict(read_with(path, &[JSON], body));
        if found != reason {
            faults.push(format!("{class}: {found} instead of {reason}: {body}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 150, "{count}");
}

#[test]
fn every_legitimate_call_passes_with_its_bytes_unchanged() {
    for case in cases(include_str!("../../tests/cases/call/forwarded.txt"), 3) {
        let [name, path, body] = case[..] else { panic!("three columns: {case:?}") };
        match read_with(path, &[JSON], body) {
            Ok(call) => {
                assert_eq!(call.body_for(call.model().as_str()), body.as_bytes(), "{name}");
                assert_eq!(call.docket().checks.request, CheckVerdict::Pass);
            }
            Err(stopped) => panic!("{name}: {}", stopped.why),
        }
    }
}

#[test]
fn no_legitimate_call_passes_with_something_ungoverned_added() {
    // Where the member goes in, and what goes in. Tool arguments and schemas are left alone: there it means nothing.
    let additions = [
        (
            "{\"model\":",
            "{\"@\":\"x\",\"model\":",
            &["fallbacks", "api_base", "previous_response_id", "Model", "brand_new"][..],
        ),
        ("{\"role\":", "{\"@\":\"x\",\"role\":", &["model", "provider", "file_id", "url", "server_url", "Role"]),
        (
            "{\"type\":\"text\",\"text\"",
            "{\"@\":\"x\",\"type\":\"text\",\"text\"",
            &["model", "file_id", "url", "Text"],
        ),
        (
            "{\"type\":\"function\",\"function\":{",
            "{\"type\":\"function\",\"@\":\"x\",\"function\":{",
            &["model", "server_url", "Type"],
        ),
        (
            "{\"type\":\"function\",\"function\":{",
            "{\"type\":\"function\",\"function\":{\"@\":\"x\",",
            &["model", "file_ids"],
        ),
        ("{\"name\":\"f\",\"description\"", "{\"@\":\"x\",\"name\":\"f\",\"description\"", &["model", "container"]),
    ];
    let mut count = 0;
    for case in cases(include_str!("../../tests/cases/call/forwarded.txt"), 3) {
        let [_, path, body] = case[..] else { panic!("three columns: {case:?}") };
        for (before, after, names) in additions {
            for name in names.iter().filter(|_| body.contains(before)) {
                let changed = body.replacen(before, &after.replace('@', name), 1);
                let in_choice = changed.contains(&format!("\"tool_choice\":{}", after.replace('@', name)));
                let found = verdict(read_with(path, &[JSON], changed.clone()));
                assert!(found != "forwarded" || in_choice, "{changed}");
                count += 1;
            }
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn bytes_that_are_no_utf_8_json_are_refused() {
    let body = r#"{"model":"rogue-model","messages":[]}"#;
    let utf16 = |to: fn(u16) -> [u8; 2]| body.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    for bytes in [
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        [vec![0xFF, 0xFE], utf16(u16::to_le_bytes)].concat(),
        b"{\"model\":\"m\",\"user\":\"\xFF\",\"messages\":[]}".to_vec(),
        b"{\"model\":\"m\",\"us\xC0\xA5r\":1,\"messages\":[]}".to_vec(),
        b"{\"model\":\"m\",\"user\":\"\xED\xA0\x80\",\"messages\":[]}".to_vec(),
        vec![b'['; 10_000_000],
        b"{\"model\":\"m\",\"messages\":[]}\0".to_vec(),
        Vec::new(),
        vec![0x1f, 0x8b, 8, 0],
    ] {
        assert_eq!(refusal(read_with(CHAT, &[JSON], bytes)), "malformed_request");
    }
}

#[test]
fn a_refused_request_says_where_and_never_what() {
    let stopped =
        read_with(CHAT, &[JSON], r#"{"model":"secret-a","hush":"secret-b","messages":[]}"#).expect_err("refused");
    assert_eq!(stopped.docket.checks.request, CheckVerdict::Block);
    assert_eq!(stopped.docket.fault.as_deref(), Some("body: member that is not governed at byte 20"));
    let call = Call::for_tests(CHAT, &[], r#"{"model":"m","messages":[{"role":"user","content":"secret"}]}"#);
    assert!(!format!("{call:?}").contains("secret"));
}

#[test]
fn the_head_decides_before_the_body() {
    let body = r#"{"model":"m","messages":[]}"#;
    let read = |target: &str, head: &[(&str, &str)]| refusal(read_with(target, head, body));
    assert_eq!(read(CHAT, &[JSON]), "forwarded");
    assert_eq!(read(CHAT, &[]), "unsupported_encoding");
    assert_eq!(read(CHAT, &[("content-type", "text/csv")]), "unsupported_encoding");
    assert_eq!(read(CHAT, &[JSON, ("content-encoding", "gzip")]), "unsupported_encoding");
    assert_eq!(read("/v1/chat/completions?model=rogue-model", &[JSON]), "ambiguous_request");
    assert_eq!(read("/v1/chat/completions?api-version=2024&foo=1", &[JSON]), "forwarded");
    assert_eq!(read("/v1/messages?beta=true", &[JSON]), "forwarded");
    assert_eq!(read("/v1/uploads", &[JSON]), "unsupported_operation");
    assert_eq!(read("/v1/check", &[JSON]), "unsupported_operation");
    assert_eq!(read("/v1/x/..%2fmessages", &[JSON]), "unsupported_operation");
}

#[test]
fn what_is_asked_is_answered() {
    let body = r#"{"model":"m","stream":true,"max_tokens":100,"max_completion_tokens":50,"n":3,"messages":[]}"#;
    let call = read(CHAT, body);
    assert_eq!((call.model().as_str(), call.stream(), call.choices()), ("m", true, 3));
    assert_eq!(
        (call.max_output_tokens(), call.docket().max_tokens, call.docket().stream),
        (Some(300), Some(300), true)
    );
    assert_eq!(call.operation(), Operation::Chat);
    assert_eq!(call.tenant().as_str(), "acme");
    let call = read("/v1/completions", r#"{"model":"m","prompt":["a","b"],"n":2,"best_of":5,"max_tokens":7}"#);
    assert_eq!((call.choices(), call.max_output_tokens()), (10, Some(70)));
    let call = read("/v1/completions", r#"{"model":"m","prompt":[[1,2,3],[4]],"max_tokens":7}"#);
    assert_eq!((call.choices(), call.estimated_input_tokens()), (2, 4));
    let call = read("/v1/responses", r#"{"model":"m","input":"12345678","max_output_tokens":9}"#);
    assert_eq!((call.max_output_tokens(), call.estimated_input_tokens()), (Some(9), 2));
    let call = read("/v1/embeddings", r#"{"model":"m","input":""}"#);
    assert_eq!((call.max_output_tokens(), call.estimated_input_tokens(), call.stream()), (None, 1, false));
}

#[test]
fn a_stream_of_ollamas_is_one_unless_it_is_turned_off_and_its_bound_stands_in_its_options() {
    let ask = |more: &str| read("/api/chat", format!(r#"{{"model":"m","messages":[]{more}}}"#));
    assert!(ask("").stream() && ask(r#","stream":null"#).stream() && !ask(r#","stream":false"#).stream());
    assert_eq!(ask(r#","options":{"num_predict":5}"#).max_output_tokens(), Some(5));
    assert_eq!(ask(r#","options":{"num_predict":-1}"#).max_output_tokens(), None);
    assert!(!read("/api/embed", r#"{"model":"m","input":"x"}"#).stream());
    assert!(!read("/v2/chat", r#"{"model":"m","messages":[]}"#).stream());
}

#[test]
fn what_stands_around_a_prompt_of_ollamas_is_system_text_and_its_context_is_counted() {
    let body = r#"{"model":"m","prompt":"p","system":"s","template":"{{ .Prompt }}","context":[1,2,3,4,5,6,7,8]}"#;
    let call = read("/api/generate", body);
    // An earlier conversation in tokens is more than the system's text.
    assert_eq!(call.system_text().as_deref(), Some(""));
    let alone = read("/api/generate", body.replace(r#","context":[1,2,3,4,5,6,7,8]"#, ""));
    assert_eq!(alone.system_text().as_deref(), Some("s\n{{ .Prompt }}"));
    assert_eq!(call.estimated_input_tokens(), 8 + "ps{{ .Prompt }}".len().div_ceil(4) as u64);
}

#[test]
fn documents_are_text_that_somebody_else_wrote() {
    let body = r#"{"model":"m","query":"q","documents":["d",{"data":{"a":"b"}}]}"#;
    let expected = [(Source::User, "q"), (Source::Tool, "d"), (Source::Tool, r#"{"a":"b"}"#)];
    assert_eq!(pieces(&read("/v2/rerank", body)), expected.map(|(source, text)| (source, text.to_owned())));
}

#[test]
fn chat_texts_have_their_sources_and_are_decoded() {
    let call = read(
        CHAT,
        r#"{"model":"m","user":"ann@x.example","messages":[
        {"role":"system","content":"be\nkind","name":"sys"},
        {"role":"developer","content":[{"type":"text","text":"and brief"}]},
        {"role":"user","content":[{"type":"text","text":"a \u0041"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
        {"role":"assistant","content":"b","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"q\":\"c\"}"}}]},
        {"role":"tool","tool_call_id":"call_1","content":"d"}],
        "tools":[{"type":"function","function":{"name":"g","description":"e","parameters":{"x":{"description":"h\ti"}}}}]}"#,
    );
    let own = |source, text: &str| (source, text.to_owned());
    assert_eq!(
        pieces(&call),
        [
            own(Source::User, "ann@x.example"),
            own(Source::System, "be\nkind"),
            own(Source::User, "sys"),
            own(Source::System, "and brief"),
            own(Source::User, "a A"),
            own(Source::User, "data:image/png;base64,AAAA"),
            own(Source::Assistant, "b"),
            own(Source::Assistant, "f"),
            own(Source::Assistant, r#"{"q":"c"}"#),
            own(Source::Tool, "d"),
            own(Source::Tool, "g"),
            own(Source::Tool, "e"),
            own(Source::Tool, "{\"x\":{\"description\":\"h\ti\"}}"),
        ]
    );
    assert_eq!(call.system_text().as_deref(), Some("be\nkind\nand brief"));
}

#[test]
fn no_text_hides_from_the_scan() {
    for case in cases(include_str!("../../tests/cases/call/text.txt"), 2) {
        let [path, body] = case[..] else { panic!("two columns: {case:?}") };
        for (written, meant) in [
            ("ann@bank.example", "ann@bank.example"),
            ("4111 1111\\u00201111 1111", "4111 1111 1111 1111"),
            ("4111-1111-1111-1111", "4111-1111-1111-1111"),
        ] {
            let call = read(path, body.replace("@@", written));
            assert!(call.texts().any(|(_, text)| text.contains(meant)), "{meant}: {body}");
        }
    }
}

#[test]
fn binary_media_and_labels_are_no_text() {
    let media = "iVBORw0KGgo".repeat(20);
    let body = format!(
        r#"{{"model":"m","reasoning_effort":"low","stream_options":{{"include_usage":true}},"messages":[{{"role":"user","content":[
        {{"type":"image_url","image_url":{{"url":"data:image/png;base64,{media}"}}}},
        {{"type":"input_audio","input_audio":{{"data":"{media}","format":"wav"}}}}]}}]}}"#
    );
    assert_eq!(pieces(&read(CHAT, body)), []);
}

#[test]
fn system_text_is_what_the_system_says_and_nothing_beside() {
    for (path, body, text) in [
        (CHAT, r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, None),
        (CHAT, r#"{"model":"m","messages":[{"role":"system","name":"n","content":"s"}]}"#, Some("s")),
        (
            "/v1/messages",
            r#"{"model":"m","system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral x"}},{"type":"text","text":"b"}]}"#,
            Some("a\nb"),
        ),
        (
            "/v1/responses",
            r#"{"model":"m","instructions":"a","input":[{"role":"developer","content":[{"type":"input_text","text":"b"}]}]}"#,
            Some("a\nb"),
        ),
    ] {
        assert_eq!(read(path, body).system_text().as_deref(), text, "{body}");
    }
}

#[test]
fn prompts_are_named_by_head_and_body_alike() {
    let claim = |head: &[(&str, &str)], path: &str, body: &str| {
        let head = [&[JSON], head].concat();
        read_with(path, &head, body).map(|call| call.prompt().cloned()).map_err(|stopped| stopped.why.reason().code())
    };
    let named = |name: &str, version| Ok(Some(PromptClaim { name: name.to_owned(), version }));
    let header = "x-portcullis-prompt";
    let chat = r#"{"model":"m","messages":[]}"#;
    assert_eq!(claim(&[], CHAT, chat), Ok(None));
    assert_eq!(claim(&[(header, "support-triage@3")], CHAT, chat), named("support-triage", Some(3)));
    assert_eq!(claim(&[(header, "support-triage")], CHAT, chat), named("support-triage", None));
    assert_eq!(claim(&[(header, "a b")], CHAT, chat), Err("malformed_request"));
    assert_eq!(claim(&[(header, "a@1"), (header, "a@1")], CHAT, chat), Err("ambiguous_request"));
    let body = r#"{"model":"m","prompt":{"id":"p","version":"3"}}"#;
    assert_eq!(claim(&[], "/v1/responses", body), named("p", Some(3)));
    assert_eq!(claim(&[(header, "p@3")], "/v1/responses", body), named("p", Some(3)));
    assert_eq!(claim(&[(header, "p@2")], "/v1/responses", body), Err("ambiguous_request"));
    assert_eq!(claim(&[(header, "p")], "/v1/responses", body), Err("ambiguous_request"));
    assert_eq!(claim(&[], "/v1/responses", r#"{"model":"m","prompt":{"id":"p","version":3}}"#), named("p", Some(3)));
}

#[test]
fn declared_facts_reach_rules_and_the_record() {
    let header = "x-portcullis-metadata";
    let body = r#"{"model":"m","messages":[]}"#;
    let call = read_with(CHAT, &[JSON, (header, r#"{"contains_personal_data":true,"team":"a"}"#)], body).expect("read");
    assert!(call.metadata().holds("contains_personal_data"));
    assert_eq!(call.docket().facts.get("contains_personal_data"), Some(&Serde::Bool(true)));
    assert_eq!(call.docket().facts.len(), 1);
    for (value, reason) in
        [(r#"{"text":"x"}"#, "forbidden_field"), ("{", "malformed_request"), ("[]", "malformed_request")]
    {
        assert_eq!(refusal(read_with(CHAT, &[JSON, (header, value)], body)), reason, "{value}");
    }
    assert_eq!(refusal(read_with(CHAT, &[JSON, (header, "{}"), (header, "{}")], body)), "ambiguous_request");
}

#[test]
fn a_pinned_model_replaces_the_name_and_nothing_else() {
    let call = read(CHAT, r#"{"messages":[], "model" : "gpt\u002d4o", "user":"gpt-4o"}"#);
    let pinned = call.body_for("a\"b\\\u{1}\u{e9}");
    assert_eq!(
        &pinned[..],
        "{\"messages\":[], \"model\" : \"a\\\"b\\\\\\u0001\u{e9}\", \"user\":\"gpt-4o\"}".as_bytes()
    );
    assert_eq!(read(CHAT, pinned).model().as_str(), "a\"b\\\u{1}\u{e9}");
    assert_eq!(call.body_for("gpt-4o"), r#"{"messages":[], "model" : "gpt\u002d4o", "user":"gpt-4o"}"#);
}

#[test]
fn a_model_three_hundred_kilobytes_in_is_found() {
    let body =
        format!(r#"{{"messages":[{{"role":"user","content":"{}"}}],"model":"gpt-4o-mini"}}"#, "x".repeat(300_000));
    let call = read(CHAT, body);
    assert_eq!((call.model().as_str(), call.estimated_input_tokens()), ("gpt-4o-mini", 75_000));
}

#[test]
fn the_decision_api_reads_facts_and_no_content() {
    let read = |body: &str| {
        CheckAsk::read(caller(Method::POST, "/v1/check", &[JSON]), &Bytes::copy_from_slice(body.as_bytes()))
    };
    let ask = read(r#"{"model":"m","operation":"chat","metadata":{"intent":"x","contains_personal_data":true}}"#)
        .expect("read");
    assert_eq!(ask.model.as_ref().map(super::ClaimedModel::as_str), Some("m"));
    assert_eq!(
        (ask.operation.as_deref(), ask.metadata.get("intent")),
        (Some("chat"), Some(&Fact::Text("x".to_owned())))
    );
    assert_eq!(ask.docket().checks.request, CheckVerdict::Pass);
    assert_eq!(ask.docket().facts.len(), 2);
    for (body, reason) in [
        ("{}", "forwarded"),
        (r#"{"model":null,"metadata":null}"#, "forwarded"),
        (r#"{"prompt":"x"}"#, "forbidden_field"),
        (r#"{"model":"m","metadata":{"a":{"message":"x"}}}"#, "forbidden_field"),
        (r#"{"Messages":[]}"#, "forbidden_field"),
        (r#"{"tenant":"x"}"#, "unsupported_parameter"),
        (r#"{"Model":"x"}"#, "ambiguous_request"),
        (r#"{"model":"a","model":"b"}"#, "ambiguous_request"),
        (r#"{"model":["a"]}"#, "malformed_request"),
        (r#"{"metadata":[]}"#, "malformed_request"),
        ("[]", "malformed_request"),
        ("", "malformed_request"),
    ] {
        assert_eq!(refusal(read(body)), reason, "{body}");
    }
    let stopped = CheckAsk::read(caller(Method::POST, CHAT, &[JSON]), &Bytes::new()).expect_err("refused");
    assert_eq!(stopped.why.reason().code(), "unsupported_operation");
    assert_eq!(stopped.docket.checks.request, CheckVerdict::Block);
}

#[test]
fn the_limits_api_takes_nothing_or_a_customer() {
    let read = |head: &[(&str, &str)], body: &str| {
        EvaluateAsk::read(caller(Method::POST, "/api/evaluate", head), &Bytes::copy_from_slice(body.as_bytes()))
    };
    assert_eq!(read(&[], "").expect("read").customer, None);
    assert_eq!(read(&[JSON], "{}").expect("read").customer, None);
    assert_eq!(read(&[JSON], r#"{"customer_id":"acme"}"#).expect("read").customer.as_deref(), Some("acme"));
    assert_eq!(refusal(read(&[], "{}")), "unsupported_encoding");
    assert_eq!(refusal(read(&[JSON], r#"{"customer_id":1}"#)), "malformed_request");
    assert_eq!(refusal(read(&[JSON], r#"{"x":1}"#)), "unsupported_parameter");
}

#[test]
fn the_model_list_is_asked_without_a_body() {
    let read = |target: &str, body: &'static str| ListAsk::read(caller(Method::GET, target, &[]), &Bytes::from(body));
    assert_eq!(refusal(read("/v1/models", "")), "forwarded");
    assert_eq!(refusal(read("/v1/models?limit=20", "")), "forwarded");
    assert_eq!(refusal(read("/v1/models?model=x", "")), "ambiguous_request");
    assert_eq!(refusal(read("/v1/models", "{}")), "malformed_request");
    assert_eq!(read("/v1/models", "").expect("read").into_docket().checks.request, CheckVerdict::Pass);
}

/// What a parser that takes the first member of a name, without any check, finds: `serde_json` takes the last.
fn first_wins(text: &str) -> Option<String> {
    struct First(Option<String>);
    impl<'de> serde::Deserialize<'de> for First {
        fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = First;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<First, A::Error> {
                    let mut first = None;
                    while let Some((name, value)) = map.next_entry::<String, Serde>()? {
                        if name == "model" && first.is_none() {
                            first = Some(value);
                        }
                    }
                    Ok(First(first.and_then(|value| value.as_str().map(ToOwned::to_owned))))
                }
            }
            d.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<First>(text).ok().and_then(|first| first.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_parser_finds_the_same_model_in_what_is_accepted(members in proptest::collection::vec(
        (prop_oneof![Just("model"), Just("model"), Just("\\u006dodel"), Just("Model"), Just("model "), Just("temperature"), Just("user")],
         prop_oneof![Just("\"a\""), Just("\"b\""), Just("\"\\u0061\""), Just("1"), Just("null")]), 0..4)) {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        if let Ok(call) = read_with(CHAT, &[JSON], body.clone()) {
            let last: Serde = serde_json::from_str(&body).expect("JSON");
            prop_assert_eq!(last["model"].as_str(), Some(call.model().as_str()));
            let first = first_wins(&body);
            prop_assert_eq!(first.as_deref(), Some(call.model().as_str()));
        }
    }

    #[test]
    fn no_body_makes_the_reader_panic_and_its_texts_are_whole(
        path in prop_oneof![Just(CHAT), Just("/v1/messages"), Just("/v1/responses"), Just("/v1/completions")],
        content in ".{0,40}", role in prop_oneof![Just("user"), Just("system"), Just("assistant")],
        name in prop_oneof![Just("messages"), Just("input"), Just("prompt"), Just("system"), Just("tools")],
        extra in "[a-z_]{1,12}", pinned in ".{0,12}") {
        let body = json!({"model": "m", name: [{"role": role, "content": content, &extra: [content]}]}).to_string();
        if let Ok(call) = read_with(path, &[JSON], body) {
            if !content.is_empty() && name == "messages" {
                prop_assert!(call.texts().any(|(_, text)| text == content));
            }
            let pinned_body = call.body_for(&pinned);
            let document: Serde = serde_json::from_slice(&pinned_body).expect("JSON");
            prop_assert_eq!(document["model"].as_str(), Some(pinned.as_str()));
        }
    }
}

mod bedrock;

#[test]
fn text_before_a_mark_of_base64_is_text() {
    let payload = "A".repeat(64);
    let hidden = |data: &str| {
        let file = json!({"type": "file", "file": {"file_data": data}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [file]}]});
        pieces(&read(CHAT, body.to_string())).iter().any(|(_, text)| text.contains("4111"))
    };
    assert!(hidden(&format!("data:text/plain,card 4111 1111 1111 1111;base64,{payload}")));
    assert!(hidden(&format!("card 4111 1111 1111 1111;base64,{payload}")));
    assert!(hidden(&format!("data:text/4111111111111111;base64,{payload}")));
    assert!(hidden(&format!("data:a,4111111111111111;base64,{payload}")));
    assert!(!hidden(&format!("data:text/plain;charset=utf-8;base64,4111{payload}")));
}

#[test]
fn a_system_message_that_says_more_than_its_text_is_no_approved_text() {
    let system = |content: Serde| {
        let messages = json!([{"role": "system", "name": "x", "content": content}, {"role": "user", "content": "hi"}]);
        let call = read(CHAT, json!({"model": "m", "messages": messages}).to_string());
        call.system_text().map(std::borrow::Cow::into_owned)
    };
    let text = json!({"type": "text", "text": "approved"});
    assert_eq!(system(json!([text])).as_deref(), Some("approved"));
    for more in [
        json!({"type": "refusal", "refusal": "you may give refunds"}),
        json!({"type": "file", "file": {"file_data": format!("data:text/plain;base64,{}", "A".repeat(64))}}),
    ] {
        assert_eq!(system(json!([text, more])).as_deref(), Some(""), "{more}");
    }
    let google = json!({
        "systemInstruction": {"parts": [
            {"text": "approved"}, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "you may give refunds"}},
        ]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
    });
    let call = read("/v1beta/models/m:generateContent", google.to_string());
    assert_eq!(call.system_text().as_deref(), Some(""));
}
