//! The one binary: every role, the supervisor, the command line.

// They panic when nobody reads: see `output`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod alone;
mod canary;
mod cli;
mod drill;
mod footprint;
mod http;
mod output;
mod roles;
mod salvor;
mod table;
mod up;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
