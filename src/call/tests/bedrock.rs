//! Amazon Bedrock: what passes, what does not, and what is read.

use super::{JSON, cases, pieces, read, read_with, refusal, verdict};
use crate::call::Call;
use crate::speech::{Operation, Source};

#[test]
fn every_bypass_is_refused_for_its_reason() {
    let mut faults = Vec::new();
    for case in cases(include_str!("../../../tests/cases/call/bedrock-refused.txt"), 4) {
        let [class, reason, path, body] = case[..] else { panic!("four columns: {case:?}") };
        let found = verdict(read_with(path, &[JSON], body));
        if found != reason {
            faults.push(format!("{class}: {found} instead of {reason}: {path} {body}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_legitimate_call_passes_with_its_bytes_unchanged() {
    let mut faults = Vec::new();
    for case in cases(include_str!("../../../tests/cases/call/bedrock-forwarded.txt"), 3) {
        let [name, path, body] = case[..] else { panic!("three columns: {case:?}") };
        let found = read_with(path, &[JSON], body);
        if let Ok(call) = &found {
            assert_eq!(call.body_for(call.model().as_str()), body.as_bytes(), "{name}");
        }
        match verdict(found) {
            "forwarded" => {}
            code => faults.push(format!("{name}: {code}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn all_text_is_handed_to_the_scan() {
    for case in cases(include_str!("../../../tests/cases/call/bedrock-text.txt"), 2) {
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

/// No member that is ungoverned, and no second spelling of one that is governed, passes anywhere but in free JSON.
#[test]
fn no_structure_takes_a_member_that_it_does_not_list() {
    let mut count = 0;
    for case in cases(include_str!("../../../tests/cases/call/bedrock-forwarded.txt"), 3) {
        let [_, path, body] = case[..] else { panic!("three columns: {case:?}") };
        for before in [
            "{\"role\":",
            "{\"text\":",
            "{\"messages\":",
            "{\"format\":",
            "{\"toolSpec\":",
            "{\"maxTokens\":",
            "{\"inputText\":",
            "{\"prompt\":",
            "{\"toolUseId\":",
            "{\"texts\":",
        ] {
            for name in ["model", "modelId", "Text", "url", "brandNew", "fallbacks"] {
                // Typed parts are another dialect's, and its tests'.
                let typed = body.contains("anthropic_version") || body.contains("\"content\":\"");
                if !body.contains(before) || typed || body.contains("{\"type\":\"text\"") {
                    continue;
                }
                let changed = body.replacen(before, &format!("{{\"{name}\":\"x\",{}", &before[1..]), 1);
                assert_ne!(verdict(read_with(path, &[JSON], changed.clone())), "forwarded", "{changed}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn the_body_says_what_an_invocation_asks_for() {
    let asked = |path: &str, body: &str| {
        let call = read(path, body);
        assert_eq!(call.docket().operation, Some(call.operation()));
        call.operation()
    };
    for (body, operation) in [
        (r#"{"anthropic_version":"x","messages":[]}"#, Operation::Chat),
        (r#"{"inputText":"x","textGenerationConfig":{}}"#, Operation::Chat),
        (r#"{"inputText":"x"}"#, Operation::Chat),
        (r#"{"inputText":"x","normalize":true}"#, Operation::Embeddings),
        (r#"{"texts":["x"],"input_type":"search_query"}"#, Operation::Embeddings),
        (r#"{"query":"x","documents":["y"]}"#, Operation::Rerank),
        (r#"{"prompt":"x"}"#, Operation::Chat),
        (r#"{"messages":[]}"#, Operation::Chat),
    ] {
        assert_eq!(asked("/model/m/invoke", body), operation, "{body}");
    }
    assert_eq!(asked("/model/amazon.titan-embed-text-v1/invoke", r#"{"inputText":"x"}"#), Operation::Embeddings);
    assert_eq!(asked("/model/m/converse", r#"{"messages":[]}"#), Operation::Chat);
}

#[test]
fn every_familys_output_bound_counts() {
    let bound = |path: &str, body: &str| read(path, body).max_output_tokens();
    for body in [
        r#"{"messages":[],"inferenceConfig":{"maxTokens":7}}"#,
        r#"{"messages":[],"additionalModelRequestFields":{"max_tokens":7}}"#,
        r#"{"messages":[],"inferenceConfig":{"maxTokens":5},"additionalModelRequestFields":{"inferenceConfig":{"maxNewTokens":7}}}"#,
        r#"{"messages":[],"additionalModelRequestFields":{"MaxGenLen":7}}"#,
    ] {
        assert_eq!(bound("/model/m/converse", body), Some(7), "{body}");
    }
    for body in [
        r#"{"anthropic_version":"x","messages":[],"max_tokens":7}"#,
        r#"{"messages":[],"inferenceConfig":{"max_new_tokens":7,"maxTokens":5}}"#,
        r#"{"inputText":"x","textGenerationConfig":{"maxTokenCount":7}}"#,
        r#"{"prompt":"x","max_gen_len":7}"#,
        r#"{"message":"x","max_tokens":7}"#,
        r#"{"messages":[],"max_completion_tokens":7}"#,
    ] {
        assert_eq!(bound("/model/m/invoke", body), Some(7), "{body}");
    }
}

#[test]
fn the_path_names_the_model_and_says_whether_it_streams() {
    let call = read("/model/arn%3Aaws%3Abedrock%3A%3A%3Ax%2Fy-v1:0/converse-stream", r#"{"messages":[]}"#);
    assert_eq!(call.model().as_str(), "arn:aws:bedrock:::x/y-v1:0");
    assert!(call.stream() && !read("/model/m/converse", r#"{"messages":[]}"#).stream());
    assert_eq!(call.target_for("eu.x-v1:0"), "/model/eu.x-v1%3A0/converse-stream");
}

#[test]
fn who_speaks_is_known() {
    let call: Box<Call> = read(
        "/model/m/converse",
        r#"{"system":[{"text":"s"},{"cachePoint":{"type":"a b"}}],"messages":[{"role":"user","content":[{"text":"u"},
        {"toolResult":{"toolUseId":"t","content":[{"text":"r"}]}}]},{"role":"assistant","content":[{"text":"a"}]},
        {"role":"system","content":[{"text":"z"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f g"}}]}}"#,
    );
    let expected = [
        (Source::System, "s"),
        (Source::User, "a b"),
        (Source::User, "u"),
        (Source::Tool, "r"),
        (Source::Assistant, "a"),
        (Source::System, "z"),
        (Source::Tool, "f g"),
    ];
    assert_eq!(pieces(&call), expected.map(|(source, text)| (source, text.to_owned())));
    assert_eq!(call.system_text().as_deref(), Some("s\nz"));
}

#[test]
fn media_is_no_text() {
    let media = "iVBORw0KGgo".repeat(20);
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"image":{{"format":"png","source":{{"bytes":"{media}"}}}}}},
        {{"reasoningContent":{{"redactedContent":"{media}"}}}}]}}]}}"#
    );
    assert_eq!(pieces(&read("/model/m/converse", body)), []);
    let body = format!(r#"{{"images":["data:image/png;base64,{media}"],"input_type":"image"}}"#);
    assert_eq!(pieces(&read("/model/m/invoke", body)), []);
}

#[test]
fn an_invocation_needs_no_label_and_takes_no_other() {
    assert_eq!(verdict(read_with("/model/m/invoke", &[], r#"{"prompt":"x"}"#)), "forwarded");
    assert_eq!(refusal(read_with("/model/m/converse", &[], r#"{"messages":[]}"#)), "unsupported_encoding");
    let coded = read_with("/model/m/invoke", &[("content-encoding", "gzip")], r#"{"prompt":"x"}"#);
    assert_eq!(refusal(coded), "unsupported_encoding");
    for kind in ["application/octet-stream", "text/plain"] {
        let found = read_with("/model/m/invoke", &[("content-type", kind)], r#"{"prompt":"x"}"#);
        assert_eq!(refusal(found), "unsupported_encoding");
    }
}
