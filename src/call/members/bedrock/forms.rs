//! The structures inside Amazon Bedrock's bodies, member by member.
//!
//! Source: Amazon Bedrock API reference, data types of `Converse`; the user guide's pages of each model family.

use crate::call::grammar::{Fields, Form, Roles};
use crate::reason::Reason;
use crate::speech::Source;

const REFERENCE: Reason = Reason::ReferenceNotPermitted;

pub(super) static TEXT: Form = Form::Text;
pub(super) static TEXTS: Form = Form::List(&Form::Text);
pub(super) static INSTRUCTIONS: Form = Form::By(Source::System, &Form::Text);
pub(super) static MEDIA: Form = Form::Media;
pub(super) static MEDIA_LIST: Form = Form::List(&Form::Media);
pub(super) static PLACES: Form = Form::List(&Form::Place);
pub(super) static EXTRA: Form = Form::Extra;
pub(super) static FREE_LIST_BY_TOOLS: Form = Form::By(Source::Tool, &Form::List(&Form::Free));

const CACHE_POINT: Form = Form::Object(&[("type", Form::Words), ("ttl", Form::Words)]);
const TEXT_BLOCKS: Form = Form::List(&Form::Object(&[("text", Form::Text)]));
const CITING: Form = Form::Object(&[("enabled", Form::Words)]);
const ERROR: Form = Form::Object(&[("message", Form::Text)]);

const OBJECT_IN_S3: Form = Form::Object(&[("uri", Form::Place), ("bucketOwner", Form::Words)]);
const SOURCE: Form = Form::OneOf(&[("bytes", Form::Media), ("s3Location", OBJECT_IN_S3)]);
const MEDIUM: Form = Form::Object(&[("format", Form::Words), ("source", SOURCE), ("error", ERROR)]);
const DOCUMENT: Form = Form::Object(&[
    ("format", Form::Words),
    ("name", Form::Text),
    (
        "source",
        Form::OneOf(&[
            ("bytes", Form::Media),
            ("s3Location", OBJECT_IN_S3),
            ("text", Form::Text),
            ("content", TEXT_BLOCKS),
        ]),
    ),
    ("context", Form::Text),
    ("citations", CITING),
]);
// Where a result was found is told to the model; nothing is fetched from there.
const SEARCH_RESULT: Form = Form::By(
    Source::Tool,
    &Form::Object(&[("source", Form::Text), ("title", Form::Text), ("content", TEXT_BLOCKS), ("citations", CITING)]),
);

const GUARDED: Form = Form::OneOf(&[
    ("text", Form::Object(&[("text", Form::Text), ("qualifiers", Form::List(&Form::Words))])),
    ("image", MEDIUM),
]);

const TOOL_USE: Form =
    Form::Object(&[("toolUseId", Form::Words), ("name", Form::Text), ("input", Form::Free), ("type", Form::Words)]);
const TOOL_RESULT: Form = Form::By(
    Source::Tool,
    &Form::Object(&[
        ("toolUseId", Form::Words),
        (
            "content",
            Form::List(&Form::OneOf(&[
                ("text", Form::Text),
                ("json", Form::Free),
                ("image", MEDIUM),
                ("document", DOCUMENT),
                ("video", MEDIUM),
                ("searchResult", SEARCH_RESULT),
            ])),
        ),
        ("status", Form::Words),
        ("type", Form::Words),
    ]),
);

const REASONING: Form = Form::OneOf(&[
    ("reasoningText", Form::Object(&[("text", Form::Text), ("signature", Form::Media)])),
    ("redactedContent", Form::Media),
]);

// A tool of a server is one that the provider calls.
const TOOL_REFERENCE: Form = Form::Object(&[(
    "tool",
    Form::Object(&[("type", Form::Words), ("name", Form::Text), ("serverName", Form::Refused(REFERENCE))]),
)]);

/// `ContentBlock`.
pub(super) const BLOCKS: Fields = &[
    ("text", Form::Text),
    ("image", MEDIUM),
    ("document", DOCUMENT),
    ("video", MEDIUM),
    ("audio", MEDIUM),
    ("toolUse", TOOL_USE),
    ("toolResult", TOOL_RESULT),
    ("guardContent", GUARDED),
    ("cachePoint", CACHE_POINT),
    ("reasoningContent", REASONING),
    // An answer of the model's, sent back: its citations are quotations.
    ("citationsContent", Form::Object(&[("content", TEXT_BLOCKS), ("citations", Form::Free)])),
    ("searchResult", SEARCH_RESULT),
    ("toolAddition", TOOL_REFERENCE),
    ("toolRemoval", TOOL_REFERENCE),
];

const ROLES: Roles = &[("user", Source::User), ("assistant", Source::Assistant), ("system", Source::System)];

/// `messages` of Converse and of Nova.
pub(super) static MESSAGES: Form =
    Form::List(&Form::Said(ROLES, &[("role", Form::Words), ("content", Form::List(&Form::OneOf(BLOCKS)))]));

/// `SystemContentBlock`s.
pub(super) static SYSTEM: Form = Form::By(
    Source::System,
    &Form::List(&Form::OneOf(&[("text", Form::Text), ("guardContent", GUARDED), ("cachePoint", CACHE_POINT)])),
);

/// `InferenceConfiguration`.
pub(super) static INFERENCE: Form = Form::Object(&[
    ("maxTokens", Form::Bound),
    ("temperature", Form::Words),
    ("topP", Form::Words),
    ("stopSequences", Form::List(&Form::Text)),
]);

/// `ToolConfiguration`. A system tool is run by the provider.
pub(super) static TOOLS: Form = Form::By(
    Source::Tool,
    &Form::Object(&[
        (
            "tools",
            Form::List(&Form::OneOf(&[
                (
                    "toolSpec",
                    Form::Object(&[
                        ("name", Form::Text),
                        ("description", Form::Text),
                        ("inputSchema", Form::OneOf(&[("json", Form::Free)])),
                        ("strict", Form::Words),
                    ]),
                ),
                ("systemTool", Form::Refused(REFERENCE)),
                ("cachePoint", CACHE_POINT),
            ])),
        ),
        (
            "toolChoice",
            Form::OneOf(&[
                ("auto", Form::Object(&[])),
                ("any", Form::Object(&[])),
                ("tool", Form::Object(&[("name", Form::Text)])),
            ]),
        ),
    ]),
);

/// `PromptVariableValues` by their names.
pub(super) static VARIABLES: Form = Form::Map(&Form::OneOf(&[("text", Form::Text)]));

/// `CountTokensInput`. The body of an invocation would come wrapped in base64, which nothing here reads.
pub(super) static CONVERSE_COUNT: Form = Form::OneOf(&[
    (
        "converse",
        Form::Object(&[
            ("messages", Form::Same(&MESSAGES)),
            ("system", Form::Same(&SYSTEM)),
            ("toolConfig", Form::Same(&TOOLS)),
            ("additionalModelRequestFields", Form::Extra),
        ]),
    ),
    ("invokeModel", Form::Refused(Reason::UnsupportedParameter)),
]);

/// Nova's `inferenceConfig`, which has each name in two spellings.
pub(super) static NOVA_INFERENCE: Form = Form::Object(&[
    ("maxTokens", Form::Bound),
    ("max_new_tokens", Form::Bound),
    ("temperature", Form::Words),
    ("topP", Form::Words),
    ("top_p", Form::Words),
    ("topK", Form::Words),
    ("top_k", Form::Words),
    ("stopSequences", Form::List(&Form::Text)),
    ("reasoningConfig", Form::Object(&[("type", Form::Words), ("maxReasoningEffort", Form::Words)])),
]);

/// Titan's `textGenerationConfig`.
pub(super) static TITAN_GENERATION: Form = Form::Object(&[
    ("maxTokenCount", Form::Bound),
    ("temperature", Form::Words),
    ("topP", Form::Words),
    ("stopSequences", Form::List(&Form::Text)),
]);

const COHERE_ROLES: Roles =
    &[("USER", Source::User), ("CHATBOT", Source::Assistant), ("SYSTEM", Source::System), ("TOOL", Source::Tool)];

/// `chat_history` of Command R.
pub(super) static COHERE_HISTORY: Form = Form::List(&Form::Said(
    COHERE_ROLES,
    &[("role", Form::Words), ("message", Form::Text), ("tool_calls", Form::Free), ("tool_results", Form::Free)],
));

/// `inputs` of Embed 4.
pub(super) static COHERE_INPUTS: Form = Form::List(&Form::Object(&[(
    "content",
    Form::List(&Form::Object(&[
        ("type", Form::Words),
        ("text", Form::Text),
        ("image_url", Form::Object(&[("url", Form::Place), ("detail", Form::Words)])),
    ])),
)]));
