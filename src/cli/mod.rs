//! Cli.

pub mod scan;
