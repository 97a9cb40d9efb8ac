//! The one binary: every role, the supervisor, the command line.

fn main() {}
