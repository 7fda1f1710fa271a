//! Images, audio and moderations.
//!
//! Shapes: OpenAI's API reference, "Images", "Audio" and "Moderations". An image is one pixel, a sound is silence.

use bytes::Bytes;
use serde_json::{Value, json};

use super::CREATED;
use crate::simulator::ask::Ask;
use crate::simulator::reply::{Answer, named};

/// A PNG of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A frame of an MP3 file's beginning.
const SOUND: &[u8] = b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\xc4";

/// `POST /v1/images/generations` and `/v1/images/variations`.
pub(in crate::simulator) fn images(ask: &Ask<'_>) -> Answer {
    made(ask, "image_generation")
}

/// `POST /v1/images/edits`.
pub(in crate::simulator) fn edits(ask: &Ask<'_>) -> Answer {
    made(ask, "image_edit")
}

fn made(ask: &Ask<'_>, event: &str) -> Answer {
    if !ask.streamed() {
        let mut body = json!({"created": CREATED, "data": [{"b64_json": PIXEL}]});
        if let Some(members) = body.as_object_mut().filter(|_| !ask.orders.no_usage) {
            members.insert("usage".to_owned(), usage(ask));
        }
        return Answer::ok(body);
    }
    let about = json!({
        "b64_json": PIXEL, "created_at": CREATED, "size": "1024x1024", "quality": "low", "background": "opaque",
        "output_format": "png",
    });
    let with = |more: Value| {
        let members = [&about, &more].into_iter().filter_map(Value::as_object).flatten();
        Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    let partial = with(json!({"type": format!("{event}.partial_image"), "partial_image_index": 0}));
    let whole = with(json!({"type": format!("{event}.completed"), "usage": usage(ask)}));
    Answer::Stream(vec![named(&partial), named(&whole)])
}

fn usage(ask: &Ask<'_>) -> Value {
    let (input, output) = (ask.input_tokens(), ask.output_tokens());
    json!({
        "input_tokens": input, "output_tokens": output, "total_tokens": input + output,
        "input_tokens_details": {"text_tokens": input, "image_tokens": 0},
    })
}

/// `POST /v1/audio/speech`.
pub(in crate::simulator) fn speech(ask: &Ask<'_>) -> Answer {
    if ask.body.get("stream_format").and_then(Value::as_str) != Some("sse") {
        return Answer::Bytes("audio/mpeg", Bytes::from_static(SOUND));
    }
    Answer::Stream(vec![
        named(&json!({"type": "speech.audio.delta", "audio": "SUQz"})),
        named(&json!({"type": "speech.audio.done", "usage": usage(ask)})),
    ])
}

/// `POST /v1/audio/transcriptions` and `/v1/audio/translations`.
pub(in crate::simulator) fn heard(ask: &Ask<'_>) -> Answer {
    let text = ask.pieces().concat();
    let used = || {
        let (input, output) = (ask.input_tokens(), ask.output_tokens());
        json!({"type": "tokens", "input_tokens": input, "output_tokens": output, "total_tokens": input + output})
    };
    if ask.streamed() {
        let mut events: Vec<Bytes> =
            ask.pieces().iter().map(|piece| named(&json!({"type": "transcript.text.delta", "delta": piece}))).collect();
        events.push(named(&json!({"type": "transcript.text.done", "text": text, "usage": used()})));
        return Answer::Stream(events);
    }
    match ask.body.get("response_format").and_then(Value::as_str) {
        Some("text" | "srt" | "vtt") => Answer::Bytes("text/plain; charset=utf-8", Bytes::from(format!("{text}\n"))),
        Some("verbose_json") => Answer::ok(json!({
            "task": "transcribe", "language": "english", "duration": 1.5, "text": text, "segments": [],
            "usage": {"type": "duration", "seconds": 2},
        })),
        _ => Answer::ok(json!({"text": text, "usage": used()})),
    }
}

/// `POST /v1/moderations`.
pub(in crate::simulator) fn moderations(ask: &Ask<'_>) -> Answer {
    let words = [
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    let all = |value: Value| Value::Object(words.iter().map(|word| ((*word).to_owned(), value.clone())).collect());
    let result = json!({
        "flagged": false, "categories": all(json!(false)), "category_scores": all(json!(0.0)),
        "category_applied_input_types": all(json!(["text"])),
    });
    let inputs = ask.body.get("input").and_then(Value::as_array);
    let count = inputs.filter(|list| list.iter().all(Value::is_string)).map_or(1, Vec::len);
    let id = format!("modr-sim{}", ask.number);
    Answer::ok(json!({"id": id, "model": ask.model, "results": vec![result; count]}))
}
