//! The `silentmon` program.

fn main() {}
