//! The fields are documented as they are read, and both spellings of each mean the same.

use std::fmt::Write as _;

use bytes::Bytes;

use super::messages::{Field, Message};
use super::{snake, spells};
use crate::call::Call;
use crate::reason::Reason;
use crate::speech::Source;

const DOCS: &str = include_str!("../../../docs/dialects.md");

const MESSAGES: [Message; 23] = [
    Message::GenerateContentRequest,
    Message::CountTokensRequest,
    Message::EmbedContentRequest,
    Message::BatchEmbedContentsRequest,
    Message::PredictRequest,
    Message::Content,
    Message::SystemInstruction,
    Message::Part,
    Message::Blob,
    Message::FileData,
    Message::FunctionCall,
    Message::FunctionResponse,
    Message::ExecutableCode,
    Message::CodeExecutionResult,
    Message::ToolCall,
    Message::ToolResponse,
    Message::Tool,
    Message::FunctionDeclaration,
    Message::GenerationConfig,
    Message::EmbedContentConfig,
    Message::Instance,
    Message::Parameters,
    Message::Media,
];

const COLUMNS: [&str; 5] = ["governed", "read", "passes", "stored or fetched", "refused"];

fn column(field: Field) -> &'static str {
    match field {
        Field::Model | Field::One(_) | Field::Many(_) | Field::Role | Field::Bound | Field::Choices => "governed",
        Field::Text | Field::Free => "read",
        Field::Word | Field::Settings | Field::Base64 => "passes",
        Field::Place | Field::Stored => "stored or fetched",
        Field::Refuse(_) => "refused",
    }
}

fn table() -> String {
    let mut table = format!("| message | {} |\n|---|---|---|---|---|---|\n", COLUMNS.join(" | "));
    for message in MESSAGES {
        write!(table, "| `{message:?}` |").expect("memory");
        for due in COLUMNS {
            let names: Vec<String> = message
                .fields()
                .iter()
                .filter(|(_, field)| column(*field) == due)
                .map(|(name, field)| {
                    let is_reference = *field == Field::Refuse(Reason::ReferenceNotPermitted);
                    format!("`{name}`{}", if is_reference { " (reference)" } else { "" })
                })
                .collect();
            write!(table, " {} |", if names.is_empty() { "–".to_owned() } else { names.join(", ") }).expect("memory");
        }
        table.push('\n');
    }
    table
}

#[test]
fn the_fields_of_each_message_are_documented() {
    let table = table();
    assert!(DOCS.contains(&table), "docs/dialects.md should have:\n{table}");
}

#[test]
fn no_message_has_a_field_twice_or_more_than_can_be_told_apart() {
    for message in MESSAGES {
        let fields = message.fields();
        assert!(fields.len() <= 64, "{message:?}");
        for (at, (name, _)) in fields.iter().enumerate() {
            assert!(fields.iter().skip(at + 1).all(|(other, _)| !spells(&snake(name), other)), "{message:?} {name}");
        }
    }
}

#[test]
fn a_name_has_exactly_two_spellings() {
    for good in ["systemInstruction", "system_instruction"] {
        assert!(spells(good, "systemInstruction"), "{good}");
    }
    for bad in
        ["systeminstruction", "SystemInstruction", "system_Instruction", "system-instruction", "system__instruction"]
    {
        assert!(!spells(bad, "systemInstruction"), "{bad}");
    }
    assert!(spells("top_p", "topP") && spells("_response_json_schema", "_responseJsonSchema"));
}

const PATH: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const VERTEX: &str = "/v1/projects/p-1/locations/global/publishers/google/models/gemini-2.5-flash:countTokens";

#[test]
fn every_speaker_reaches_the_scan_as_who_it_is() {
    let call = Call::for_tests(
        PATH,
        &[],
        r#"{"system_instruction":{"parts":{"text":"be kind"}},
            "contents":[{"role":"user","parts":[{"text":"what is it"}]},
                        {"role":"model","parts":[{"functionCall":{"name":"look_up","args":{"city":"Rome"}}}]},
                        {"role":"user","parts":[{"function_response":{"name":"look_up","response":{"sky":"blue"}}}]}],
            "tools":[{"functionDeclarations":[{"name":"look_up","description":"looks up"}]}]}"#,
    );
    let said = |source| -> String {
        call.texts().filter(|(of, _)| *of == source).map(|(_, text)| text).collect::<Vec<_>>().join("|")
    };
    assert_eq!(call.system_text().as_deref(), Some("be kind"));
    assert_eq!(said(Source::User), "what is it");
    assert_eq!(said(Source::Assistant), r#"look_up|{"city":"Rome"}"#);
    assert_eq!(said(Source::Tool), r#"look_up|{"sky":"blue"}|look_up|looks up"#);
}

#[test]
fn bounds_and_choices_are_read_in_either_spelling() {
    for body in [
        r#"{"contents":[],"generationConfig":{"maxOutputTokens":7,"candidateCount":3}}"#,
        r#"{"contents":[],"generation_config":{"max_output_tokens":7,"candidate_count":3}}"#,
    ] {
        let call = Call::for_tests(PATH, &[], body);
        assert_eq!((call.max_output_tokens(), call.choices(), call.stream()), (Some(21), 3, false));
    }
    let stream = Call::for_tests("/v1beta/models/m:streamGenerateContent", &[], r#"{"contents":[]}"#);
    assert!(stream.stream());
}

#[test]
fn a_pinned_model_is_written_wherever_the_body_names_it() {
    let call = Call::for_tests(
        "/v1beta/models/a:batchEmbedContents",
        &[],
        r#"{"requests":[{"model":"models/a","content":{"parts":[{"text":"x"}]}},{"content":{},"model":"a"}]}"#,
    );
    let sent = r#"{"requests":[{"model":"models/b","content":{"parts":[{"text":"x"}]}},{"content":{},"model":"b"}]}"#;
    assert_eq!(call.body_for("b"), Bytes::from_static(sent.as_bytes()));
    assert_eq!(call.target_for("b"), "/v1beta/models/b:batchEmbedContents");
    assert_eq!(call.choices(), 2);
    let vertex = "projects/p-1/locations/global/publishers/google/models/gemini-2.5-flash";
    let call = Call::for_tests(VERTEX, &[], &format!(r#"{{"model":"{vertex}","contents":[]}}"#));
    let sent = r#"{"model":"projects/p-1/locations/global/publishers/google/models/pin","contents":[]}"#;
    assert_eq!(call.body_for("pin"), Bytes::from_static(sent.as_bytes()));
}

#[test]
fn prose_in_settings_is_text_and_a_voice_sample_is_none() {
    let style = "Speak slowly: as if to somebody who takes notes. ".repeat(5);
    let sample = "QUJD".repeat(100);
    let body = format!(
        r#"{{"contents":[{{"parts":[{{"text":"x","speechMetadata":{{"style":"{style}"}}}}]}}],"generationConfig":{{"speechConfig":
        {{"voiceConfig":{{"replicatedVoiceConfig":{{"mimeType":"audio/wav","voiceSampleAudio":"{sample}"}}}}}}}}}}"#
    );
    let call = Call::for_tests(PATH, &[], &body);
    let texts: Vec<&str> = call.texts().map(|(_, text)| text).filter(|text| text.len() > 20).collect();
    assert_eq!(texts, [style.as_str()]);
}

#[test]
fn settings_of_very_many_members_are_read_in_one_pass() {
    let many: Vec<String> = (0..100_000).map(|n| format!(r#""a{n}":1"#)).collect();
    let body = format!(r#"{{"contents":[],"toolConfig":{{{}}}}}"#, many.join(","));
    // Comparing each with each would take hours.
    assert_eq!(Call::for_tests(PATH, &[], &body).texts().count(), 0);
}

#[test]
fn an_uploaded_file_is_stored_and_any_other_place_is_fetched() {
    let needs = |place: &str| {
        let body = format!(r#"{{"contents":[{{"parts":[{{"fileData":{{"fileUri":"{place}"}}}}]}}]}}"#);
        let call = Call::for_tests(PATH, &[], &body);
        (call.needs().stored_at().is_some(), call.needs().fetches().len())
    };
    for stored in ["https://generativelanguage.googleapis.com/v1beta/files/abc-1", "files/abc-1"] {
        assert_eq!(needs(stored), (true, 0), "{stored}");
    }
    for fetched in [
        "gs://bucket/a.pdf",
        "https://www.youtube.com/watch?v=x",
        "http://10.0.0.1/",
        "https://generativelanguage.googleapis.com/v1beta/files/../x",
        "https://generativelanguage.googleapis.com.evil.example/v1beta/files/a",
    ] {
        assert_eq!(needs(fetched), (false, 1), "{fetched}");
    }
    assert_eq!(needs("data:image/png;base64,iVBORw0KGgo="), (false, 0));
}
