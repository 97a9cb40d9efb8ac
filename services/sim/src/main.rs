//! Runs the simulator: one seed with a trace, or many without.

use clap::Parser;
use sim::{Guard, Options};
use std::process::ExitCode;

/// Simulates replication inside one region.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// A guard to take away, by name.
    #[arg(long, value_parser = guard)]
    without: Option<Guard>,
    /// After how many violations to stop.
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Print how often everything worth trying happened.
    #[arg(long)]
    coverage: bool,
}

fn guard(name: &str) -> Result<Guard, String> {
    let names = || Guard::ALL.iter().map(|guard| guard.name()).collect::<Vec<_>>().join(", ");
    Guard::of_name(name).ok_or_else(|| format!("there is no guard {name}; there are {}", names()))
}

fn main() -> ExitCode {
    let Arguments { seed, seeds, trace, without, coverage, failures } = Arguments::parse();
    let options = Options { seed, without, trace };
    let (covered, violations) = if trace && seeds == 1 {
        let outcome = sim::run(options);
        print!("{}", outcome.trace);
        (outcome.coverage, Vec::from_iter(outcome.violation))
    } else {
        sim::sweep(seed..seed + seeds, options, failures)
    };
    if coverage {
        for marker in sim::Marker::ALL {
            println!("{marker:34} {}", covered.count(*marker));
        }
    }
    for violation in &violations {
        println!("{violation}");
    }
    println!("{seeds} seeds, {} violations", violations.len());
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
