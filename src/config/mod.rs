//! The files that people write: the bootstrap config and the policy files, read strictly and checked whole.
//!
//! Text becomes a tree that remembers places (`yaml`), the tree is checked against the format with *all* faults
//! collected (`fault`, `shape`), then turned into the checked types below. What the files say about each other is
//! checked by `governance::registry`.

pub mod bootstrap;
mod de;
mod environment;
pub mod fault;
pub mod finding;
pub mod format;
mod mask;
mod nearest;
pub mod node;
pub mod policy;
mod schema;
mod shape;
mod text;
mod yaml;
