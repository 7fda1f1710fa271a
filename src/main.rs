//! Arguments, signals, exit code.

fn main() {}
