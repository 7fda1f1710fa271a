//! OpenAI's endpoints besides conversations: images, audio, moderations, files and batches, and Anthropic's batches.
//!
//! A form's fields stand here by their names as forms write them: `[]` behind the name of a list, whose fields may
//! repeat, and `[member]` behind the name of a structure. Source: OpenAI API reference, "Images", "Audio",
//! "Moderations", "Files", "Batch"; Anthropic API reference, "Create a Message Batch".

use super::{CHAT_SHAPE, Endpoint, Rule, STEERING};

/// `POST /v1/images/generations`.
pub(crate) static IMAGES: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("prompt", Rule::Text),
        ("stream", Rule::Stream),
        ("n", Rule::Choices),
        ("background", Rule::Pass),
        ("complexity", Rule::Pass),
        ("frame_count", Rule::Pass),
        ("frame_duration_ms", Rule::Pass),
        ("moderation", Rule::Pass),
        ("output_compression", Rule::Pass),
        ("output_format", Rule::Pass),
        ("partial_images", Rule::Pass),
        ("quality", Rule::Pass),
        ("response_format", Rule::Pass),
        ("safety_identifier", Rule::Read),
        ("size", Rule::Pass),
        ("style", Rule::Pass),
        ("svg", Rule::Refuse(STEERING)),
        ("user", Rule::Read),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/images/edits`.
pub(crate) static IMAGE_EDITS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("prompt", Rule::Text),
        ("stream", Rule::Stream),
        ("n", Rule::Choices),
        ("image", Rule::File),
        ("image[]", Rule::File),
        ("mask", Rule::File),
        ("markup", Rule::File),
        ("background", Rule::Pass),
        ("complexity", Rule::Pass),
        ("frame_count", Rule::Pass),
        ("frame_duration_ms", Rule::Pass),
        ("input_fidelity", Rule::Pass),
        ("output_compression", Rule::Pass),
        ("output_format", Rule::Pass),
        ("partial_images", Rule::Pass),
        ("quality", Rule::Pass),
        ("response_format", Rule::Pass),
        ("safety_identifier", Rule::Read),
        ("size", Rule::Pass),
        ("svg", Rule::Refuse(STEERING)),
        ("user", Rule::Read),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/images/variations`.
pub(crate) static IMAGE_VARIATIONS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("image", Rule::File),
        ("n", Rule::Choices),
        ("response_format", Rule::Pass),
        ("size", Rule::Pass),
        ("user", Rule::Read),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/audio/speech`.
pub(crate) static SPEECH: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("input", Rule::Text),
        ("instructions", Rule::Text),
        ("voice", Rule::VoiceName),
        ("stream_format", Rule::StreamFormat),
        ("response_format", Rule::Pass),
        ("speed", Rule::Pass),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/audio/transcriptions`.
pub(crate) static TRANSCRIPTIONS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("file", Rule::File),
        ("stream", Rule::Stream),
        ("prompt", Rule::Text),
        ("chunking_strategy", Rule::Pass),
        ("chunking_strategy[prefix_padding_ms]", Rule::Pass),
        ("chunking_strategy[silence_duration_ms]", Rule::Pass),
        ("chunking_strategy[threshold]", Rule::Pass),
        ("chunking_strategy[type]", Rule::Pass),
        ("include[]", Rule::Pass),
        ("keywords[]", Rule::Read),
        ("known_speaker_names[]", Rule::Read),
        ("known_speaker_references[]", Rule::Place),
        ("language", Rule::Pass),
        ("languages[]", Rule::Pass),
        ("response_format", Rule::Pass),
        ("temperature", Rule::Pass),
        ("timestamp_granularities[]", Rule::Pass),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/audio/translations`.
pub(crate) static TRANSLATIONS: Endpoint = Endpoint {
    members: &[
        ("model", Rule::Model),
        ("file", Rule::File),
        ("prompt", Rule::Text),
        ("response_format", Rule::Pass),
        ("temperature", Rule::Pass),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/moderations`.
pub(crate) static MODERATIONS: Endpoint =
    Endpoint { members: &[("model", Rule::Model), ("input", Rule::Parts)], shape: &CHAT_SHAPE };

/// `POST /v1/files`.
pub(crate) static FILES: Endpoint = Endpoint {
    members: &[
        ("purpose", Rule::Purpose),
        ("file", Rule::Lines),
        ("expires_after[anchor]", Rule::Pass),
        ("expires_after[seconds]", Rule::Pass),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/batches`.
pub(crate) static BATCHES: Endpoint = Endpoint {
    members: &[
        ("input_file_id", Rule::Stored),
        ("endpoint", Rule::Target),
        ("completion_window", Rule::Pass),
        ("metadata", Rule::Read),
        ("output_expires_after", Rule::Pass),
    ],
    shape: &CHAT_SHAPE,
};

/// `POST /v1/messages/batches`.
pub(crate) static MESSAGE_BATCHES: Endpoint = Endpoint { members: &[("requests", Rule::Lines)], shape: &CHAT_SHAPE };
