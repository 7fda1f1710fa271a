//! What is seen of each vendor's answers, in any chunking.

use proptest::prelude::*;

use super::{Dialect, Framing, Operation, Seen, Usage, Watch};

fn seen(dialect: Dialect, operation: Operation, stream: bool, chunks: &[&[u8]]) -> Seen {
    let framing = match (stream, dialect) {
        (false, _) => Framing::Whole,
        (true, Dialect::Ollama) => Framing::Lines,
        (true, _) => Framing::Events,
    };
    let mut watch = Watch::new(dialect, operation, framing);
    for chunk in chunks {
        watch.feed(chunk);
    }
    watch.seen(true)
}

#[expect(clippy::unnecessary_wraps, reason = "what is seen is an option")]
fn usage(input: u64, output: u64, cached: u64, reasoning: u64) -> Option<Usage> {
    Some(Usage { input, output, cached, reasoning, estimated: false })
}

const CHAT: &str = r#"{"id":"x","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":1} {\\"},"usage":{"prompt_tokens":9}}],
 "usage" : {"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3},
 "completion_tokens_details":{"reasoning_tokens":5}},"service_tier":"default"}"#;

const CHAT_STREAM: &str = concat!(
    "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a \\\"usage\\\": 1\"}}],\"usage\":null}\n\n",
    ": keep-alive\n\n",
    "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}],\"usage\":null,\"error\":null}\n\n",
    "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2}}\r\n\r\n",
    "data: [DONE]\n\n"
);

const MESSAGES_STREAM: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":10,",
    "\"cache_creation_input_tokens\":4,\"cache_read_input_tokens\":6,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"hi\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":15}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
);

const RESPONSES_STREAM: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null,\"usage\":null}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":5,\"input_tokens_details\":",
    "{\"cached_tokens\":2},\"output_tokens\":8,\"output_tokens_details\":{\"reasoning_tokens\":4}}}}\n\n"
);

const COHERE_STREAM: &str = concat!(
    "event: message-start\ndata: {\"id\":\"x\",\"type\":\"message-start\",\"delta\":{\"message\":{}}}\n\n",
    "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"a\"}}}}\n\n",
    "data: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{}}\n\n",
    "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"error\":null,",
    "\"usage\":{\"billed_units\":{\"input_tokens\":4,\"output_tokens\":2},\"tokens\":{\"input_tokens\":11.0,\"output_tokens\":2}}}}\n\n"
);

const OLLAMA_STREAM: &str = concat!(
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\\\"done\\\":true \\\"error\\\": 1\"},\"done\":false}\n",
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"b\"},\"done\":false}\r\n",
    "{\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\" : true,\"context\":[1,2],\"prompt_eval_count\":26,\"eval_count\":298}\n"
);

#[test]
fn cohere_and_ollama_report_in_their_own_places() {
    let look = |dialect, operation, text: &str| seen(dialect, operation, false, &[text.as_bytes()]).usage;
    let tokens = r#""tokens":{"input_tokens":9,"output_tokens":7}"#;
    let text = format!(
        r#"{{"message":{{}},"usage":{{"billed_units":{{"input_tokens":5,"output_tokens":7}},{tokens},"cached_tokens":2}}}}"#
    );
    assert_eq!(look(Dialect::Cohere, Operation::Chat, &text), usage(9, 7, 2, 0));
    let text =
        r#"{"embeddings":{"float":[[0.1]]},"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":5}}}"#;
    assert_eq!(look(Dialect::Cohere, Operation::Embeddings, text), usage(5, 0, 0, 0));
    let text = r#"{"results":[],"meta":{"billed_units":{"search_units":1}}}"#;
    assert_eq!(look(Dialect::Cohere, Operation::Rerank, text), None);
    let text = r#"{"message":{"content":"eval_count"},"done":true,"eval_count" : 298,"prompt_eval_count":26,"x":{"eval_count":1}}"#;
    assert_eq!(look(Dialect::Ollama, Operation::Chat, text), usage(26, 298, 0, 0));
    assert_eq!(look(Dialect::Ollama, Operation::Embeddings, r#"{"embedding":[0.1]}"#), None);
}

#[test]
fn cohere_and_ollama_end_and_fail_in_their_own_ways() {
    let cohere = |text: &str| seen(Dialect::Cohere, Operation::Chat, true, &[text.as_bytes()]);
    let all = cohere(COHERE_STREAM);
    assert_eq!((all.usage, all.events, all.finished, all.failed), (usage(11, 2, 0, 0), 2, true, false));
    for end in [r#""error":"out of memory""#, r#""finish_reason":"ERROR""#, r#""finish_reason":"TIMEOUT""#] {
        let end = cohere(&format!("data: {{\"type\":\"message-end\",\"delta\":{{{end}}}}}\n\n"));
        assert!(end.failed && end.finished);
    }
    let lines = COHERE_STREAM.lines().filter_map(|line| Some(format!("{}\n", line.strip_prefix("data: ")?)));
    let mut watch = Watch::new(Dialect::Cohere, Operation::Chat, Framing::of("application/stream+json"));
    lines.for_each(|line| watch.feed(line.as_bytes()));
    let in_lines = watch.seen(true);
    assert_eq!((in_lines.usage, in_lines.events, in_lines.finished), (all.usage, all.events, true));
    let ollama = |text: &str| seen(Dialect::Ollama, Operation::Chat, true, &[text.as_bytes()]);
    let all = ollama(OLLAMA_STREAM);
    assert_eq!((all.usage, all.events, all.finished, all.failed), (usage(26, 298, 0, 0), 2, true, false));
    let failed = ollama("{\"message\":{},\"done\":false}\n{\"error\":\"model runner has stopped\"}\n");
    assert!(failed.failed && !failed.finished);
}

#[test]
fn a_watch_knows_whether_a_line_is_open() {
    let mut watch = Watch::new(Dialect::Ollama, Operation::Chat, Framing::of("application/x-ndjson; charset=utf-8"));
    assert!(!watch.is_within_line());
    for (bytes, is_open) in [(&b"{\"done\""[..], true), (b":false}\n", false), (b"{", true)] {
        watch.feed(bytes);
        assert_eq!(watch.is_within_line(), is_open);
    }
    assert!(Framing::Lines.is_stream());
}

#[test]
fn a_whole_answers_usage_is_its_top_level_member() {
    let look = |dialect, operation, text: &str| seen(dialect, operation, false, &[text.as_bytes()]);
    let chat = look(Dialect::OpenAi, Operation::Chat, CHAT);
    assert_eq!(chat.usage, usage(11, 7, 3, 5));
    assert!(chat.finished && !chat.failed);
    let text = r#"{"type":"message","usage":{"input_tokens":10,"cache_creation_input_tokens":4,
        "cache_read_input_tokens":6,"output_tokens":15,"cache_creation":{"a":1}}}"#;
    assert_eq!(look(Dialect::Anthropic, Operation::Chat, text).usage, usage(20, 15, 6, 0));
    let text = r#"{"data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    assert_eq!(look(Dialect::OpenAi, Operation::Embeddings, text).usage, usage(8, 0, 0, 0));
    let text = r#"{"usage":{"input_tokens":5,"output_tokens":8,"output_tokens_details":{"reasoning_tokens":4}}}"#;
    assert_eq!(look(Dialect::OpenAi, Operation::Responses, text).usage, usage(5, 8, 0, 4));
}

#[test]
fn an_answer_without_a_usage_has_none() {
    for text in [
        "",
        "{}",
        "[]",
        "<html>\"usage\": {}",
        r#"{"usage":null}"#,
        r#"{"usage":{}}"#,
        r#"["usage",{"usage":{"prompt_tokens":1}}]"#,
        r#"{"a":{"usage":{"prompt_tokens":1}}}"#,
        r#"{"usage":{"prompt_tokens":1"#,
        r#"{"a":"usage","b":{"prompt_tokens":1}}"#,
        r#"{"usages":{"prompt_tokens":1}}"#,
        r#"{"usag":{"prompt_tokens":1}}"#,
        r#"{"xusage":{"prompt_tokens":1}}"#,
    ] {
        assert_eq!(seen(Dialect::OpenAi, Operation::Chat, false, &[text.as_bytes()]).usage, None, "{text}");
    }
    let large = format!(r#"{{"usage":{{"prompt_tokens":1,"x":"{}"}}}}"#, "x".repeat(20_000));
    assert_eq!(seen(Dialect::OpenAi, Operation::Chat, false, &[large.as_bytes()]).usage, None);
}

#[test]
fn counting_tokens_uses_none() {
    let seen = seen(Dialect::Anthropic, Operation::CountTokens, false, &[br#"{"input_tokens":500}"#]);
    assert_eq!(seen.usage, usage(0, 0, 0, 0));
}

#[test]
fn streams_report_usage_and_end_in_each_vendors_way() {
    let chat = seen(Dialect::OpenAi, Operation::Chat, true, &[CHAT_STREAM.as_bytes()]);
    assert_eq!((chat.usage, chat.events, chat.finished, chat.failed), (usage(11, 2, 0, 0), 2, true, false));
    let messages = seen(Dialect::Anthropic, Operation::Chat, true, &[MESSAGES_STREAM.as_bytes()]);
    assert_eq!((messages.usage, messages.events, messages.finished), (usage(20, 15, 6, 0), 1, true));
    let responses = seen(Dialect::OpenAi, Operation::Responses, true, &[RESPONSES_STREAM.as_bytes()]);
    assert_eq!((responses.usage, responses.events, responses.finished), (usage(5, 8, 2, 4), 1, true));
}

#[test]
fn streams_of_images_and_audio_report_usage_and_end() {
    let stream = |operation, text: &str| seen(Dialect::OpenAi, operation, true, &[text.as_bytes()]);
    let text = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\ndata: {\"type\":\"transcript.text.done\",\
                \"text\":\"a\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":5,\"output_tokens\":2}}\n\n";
    let heard = stream(Operation::Audio, text);
    assert_eq!((heard.usage, heard.events, heard.finished), (usage(5, 2, 0, 0), 1, true));
    let text = "event: image_generation.partial_image\ndata: {\"b64_json\":\"AAAA\"}\n\nevent: image_generation.completed\ndata: \
                {\"type\":\"image_generation.completed\",\"b64_json\":\"AAAA\",\"usage\":{\"input_tokens\":9,\"output_tokens\":70}}\n\n";
    let made = stream(Operation::Images, text);
    assert_eq!((made.usage, made.events, made.finished), (usage(9, 70, 0, 0), 1, true));
    assert!(!stream(Operation::Images, &text[..text.len() - 10]).finished);
    let large = text.replace("AAAA\",\"usage", &format!("{}\",\"usage", "A".repeat(2 << 20)));
    let made = stream(Operation::Images, &large);
    assert_eq!((made.usage, made.finished, made.oversized), (None, true, 1));
}

#[test]
fn a_cut_stream_is_not_finished() {
    for (dialect, operation, text) in [
        (Dialect::OpenAi, Operation::Chat, CHAT_STREAM),
        (Dialect::Anthropic, Operation::Chat, MESSAGES_STREAM),
        (Dialect::OpenAi, Operation::Responses, RESPONSES_STREAM),
        (Dialect::Cohere, Operation::Chat, COHERE_STREAM),
        (Dialect::Ollama, Operation::Chat, OLLAMA_STREAM),
    ] {
        let cut = &text[..text.len() - 12];
        assert!(!seen(dialect, operation, true, &[cut.as_bytes()]).finished, "{cut}");
        assert!(seen(dialect, operation, true, &[text.trim_end().as_bytes()]).finished, "{text}");
    }
}

#[test]
fn error_events_are_failures() {
    for (dialect, operation, text) in [
        (Dialect::OpenAi, Operation::Chat, "data: {\"error\": {\"message\":\"x\"}}\n\n"),
        (Dialect::OpenAi, Operation::Chat, "event: error\ndata: {\"message\":\"x\"}\n\n"),
        (Dialect::Anthropic, Operation::Chat, "event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n"),
        (Dialect::Anthropic, Operation::Chat, "data: {\"error\":{}, \"type\":\"error\"}\n\n"),
        (Dialect::OpenAi, Operation::Responses, "data: {\"type\":\"error\",\"code\":\"x\"}\n\n"),
        (Dialect::OpenAi, Operation::Responses, "data: {\"type\":\"response.failed\",\"response\":{}}\n\n"),
    ] {
        assert!(seen(dialect, operation, true, &[text.as_bytes()]).failed, "{text}");
    }
}

#[test]
fn output_is_estimated_by_events_and_never_less_than_bytes_suggest() {
    let estimate = |events, bytes| Seen { bytes, events, ..Seen::default() }.estimated_output_tokens();
    assert_eq!(estimate(0, 4000), 1000);
    assert_eq!(estimate(100, 25_000), 100);
    assert_eq!(estimate(1, 8256), 2000);
}

#[test]
fn ordinary_events_need_no_room_and_large_ones_are_bounded() {
    let mut watch = Watch::new(Dialect::OpenAi, Operation::Chat, Framing::Events);
    for _ in 0..40 {
        watch.feed(&vec![b'x'; 100_000]);
    }
    assert!(format!("{watch:?}").len() < 1000);
    watch.feed(b"\n\ndata: [DONE]\n\n");
    let seen = watch.seen(true);
    assert_eq!((seen.oversized, seen.finished), (1, true));
}

fn cut(text: &str, sizes: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut chunks, mut sizes) = (text.as_bytes(), Vec::new(), sizes.iter().cycle());
    while !rest.is_empty() {
        let (now, after) = rest.split_at((*sizes.next().expect("endless")).min(rest.len()));
        chunks.push(now.to_vec());
        rest = after;
    }
    chunks
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_seen(sizes in proptest::collection::vec(1..60usize, 1..8), which in 0..6usize) {
        let (dialect, operation, stream, text) = [
            (Dialect::OpenAi, Operation::Chat, false, CHAT),
            (Dialect::OpenAi, Operation::Chat, true, CHAT_STREAM),
            (Dialect::Anthropic, Operation::Chat, true, MESSAGES_STREAM),
            (Dialect::OpenAi, Operation::Responses, true, RESPONSES_STREAM),
            (Dialect::Cohere, Operation::Chat, true, COHERE_STREAM),
            (Dialect::Ollama, Operation::Chat, true, OLLAMA_STREAM),
        ][which];
        let chunks = cut(text, &sizes);
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(seen(dialect, operation, stream, &chunks), seen(dialect, operation, stream, &[text.as_bytes()]));
    }

    #[test]
    fn the_scanner_finds_what_a_parser_finds(
        before in "[a-z\"\\\\{}\\[\\],: ]{0,30}", nested in any::<bool>(), tokens in 0..1_000_000u64, size in 1..9usize) {
        let mut answer = serde_json::json!({"id": before, "data": [{"usage": {"prompt_tokens": 1}}, before]});
        if !nested {
            answer["usage"] = serde_json::json!({"prompt_tokens": tokens});
        }
        let text = answer.to_string();
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let found = seen(Dialect::OpenAi, Operation::Chat, false, &chunks).usage.map(|usage| usage.input);
        prop_assert_eq!(found, (!nested).then_some(tokens));
    }
}
