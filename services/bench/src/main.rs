//! The benchmarks as a binary of their own; `farshore bench` runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench::run(std::env::args_os().skip(1))
}
