//! OpenAI's endpoints, one file each.

mod batches;
mod chat;
mod embeddings;
mod media;
mod responses;

pub(super) use batches::{batches, files};
pub(super) use chat::{chat, completions};
pub(super) use embeddings::{MOST_DIMENSIONS, embeddings, pack as base64, vector};
pub(super) use media::{edits, heard, images, moderations, speech};
pub(super) use responses::responses;

/// When everything was made, in seconds since 1970: the simulator has no clock, so that answers repeat.
const CREATED: u64 = 1_790_000_000;
