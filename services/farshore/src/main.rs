//! The one binary: every role, the supervisor, the command line.

mod alone;
mod canary;
mod cli;
mod drill;
mod footprint;
mod http;
mod roles;
mod salvor;
mod table;
mod up;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
