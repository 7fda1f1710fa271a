//! The registry: the policy files as one checked whole, and the routing table.
//!
//! [`Snapshot`] is what calls are judged by; it never changes. [`Registry`] holds the active one and swaps it when the
//! files change for the better; [`Watcher`] notices that they changed. What may be forwarded is `governance`'s
//! decision; how a file is read is `config`'s.

mod assemble;
mod counter;
mod exclusive;
mod files;
mod holder;
mod locate;
mod merge;
mod order;
mod snapshot;
mod watch;

pub use holder::{Prepare, Registry, Rejection, Reload, Settings, Standing};
pub use snapshot::{Model, Prompt, Snapshot, Tenant};
pub use watch::Watcher;
