//! Benchmarks against peers on the same machine.
//!
//! `broker` starts Apache Kafka and our broker, one after the other, drives both with the same librdkafka, and prints
//! ratios. A broker that throws everything away shows what the client alone can do; a platform shows what the gateway
//! costs. Figures are medians over rounds, in which the subjects take turns.
//!
//! `mirror` puts a long line between two regions, and compares what passes with raw TCP streams and with MirrorMaker 2.

mod args;
mod cluster;
mod load;
mod mirror;
mod null;
mod report;
mod rounds;
mod subject;
mod usage;

use args::{Bench, Command};
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `farshore-bench ARGUMENTS`: exit code 0 when every goal was met, 1 when one was missed, 2 when it could not run.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let program = std::iter::once(OsString::from("farshore bench"));
    let parsed = match Bench::try_parse_from(program.chain(arguments)) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _cannot_do_more = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match perform(parsed.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("farshore bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn perform(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Broker(broker) => {
            let results = rounds::run(&broker)?;
            report::print(&results, broker.json)?;
            Ok(results.goals().iter().all(report::Goal::is_met))
        }
        Command::Mirror(asked) => {
            let results = mirror::run(&asked)?;
            results.print(asked.json)?;
            Ok(results.goals().iter().all(report::Goal::is_met))
        }
        Command::NullBroker { port } => null::serve(port).map(|()| true),
    }
}
