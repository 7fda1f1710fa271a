//! The room as a whole: what is acknowledged is there, what is broken is found, what is dropped leaves nothing behind.

mod chain;
mod crash;
mod log;
mod record;
mod recovery;
mod sealed;
mod tail;
