//! The files that people write: the bootstrap config and the policy files, read strictly and checked whole.
//!
//! Text becomes a tree that remembers places (`yaml`, `node`). The tree is checked against its format with *all* faults
//! collected (`shape`, compiled from the schema that `schema` generates), turned into the format's raw shape (`de`,
//! `text`) and from that into the checked types of [`policy`] and [`bootstrap`] ([`mod@format`]). What the files say about
//! each other is checked by `governance::registry`.

pub mod bootstrap;
mod de;
mod environment;
pub mod fault;
pub mod finding;
pub mod format;
mod mask;
pub(crate) mod nearest;
pub mod node;
pub mod policy;
pub mod reading;
pub mod remote;
mod schema;
mod shape;
mod text;
mod yaml;
