//! Runs the simulator: one seed with a trace, or many without.

use clap::{Parser, Subcommand};
use sim::{Guard, Options, Violation, active};
use std::process::ExitCode;

/// Simulates replication inside one region, or what is named.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    brokers: Arguments<Guard>,
}

#[derive(Subcommand)]
enum Scenario {
    /// Regions that all take writes, for an hour of cuts, crashes and wrong clocks.
    Active(Arguments<active::Guard>),
}

#[derive(clap::Args)]
struct Arguments<G: Named> {
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
    #[arg(long, value_parser = G::parse)]
    without: Option<G>,
    /// After how many violations to stop.
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Print how often everything worth trying happened.
    #[arg(long)]
    coverage: bool,
}

/// Something that is called by name.
trait Named: Clone + Send + Sync + 'static {
    fn parse(name: &str) -> Result<Self, String>;
}

impl Named for Guard {
    fn parse(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|guard| guard.name()).collect::<Vec<_>>().join(", ");
        Self::of_name(name).ok_or_else(|| format!("there is no guard {name}; there are {}", names()))
    }
}

impl Named for active::Guard {
    fn parse(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|guard| guard.name()).collect::<Vec<_>>().join(", ");
        Self::of_name(name).ok_or_else(|| format!("there is no guard {name}; there are {}", names()))
    }
}

fn main() -> ExitCode {
    let Command { scenario, brokers } = Command::parse();
    let (seeds, violations) = match scenario {
        None => (brokers.seeds, run_brokers(&brokers)),
        Some(Scenario::Active(arguments)) => (arguments.seeds, run_active(&arguments)),
    };
    for violation in &violations {
        println!("{violation}");
    }
    println!("{seeds} seeds, {} violations", violations.len());
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_brokers(arguments: &Arguments<Guard>) -> Vec<Violation> {
    let Arguments { seed, seeds, trace, without, coverage, failures } = *arguments;
    let options = Options { seed, without, trace };
    let (covered, violations) = if trace && seeds == 1 {
        let outcome = sim::run(options);
        print!("{}", outcome.trace);
        (outcome.coverage, Vec::from_iter(outcome.violation))
    } else {
        sim::sweep(seed..seed + seeds, options, failures)
    };
    for marker in sim::Marker::ALL.iter().filter(|_| coverage) {
        println!("{marker:34} {}", covered.count(*marker));
    }
    violations
}

fn run_active(arguments: &Arguments<active::Guard>) -> Vec<Violation> {
    let Arguments { seed, seeds, trace, without, coverage, failures } = *arguments;
    let options = active::Options { seed, without, trace };
    let (covered, violations) = if seeds == 1 {
        let outcome = active::run(options);
        print!("{}", outcome.trace);
        let active::Outcome { written, lost, amplification_permille, .. } = outcome;
        println!(
            "{written} records, {lost} of them lost a conflict, {amplification_permille} bytes carried for 1000 needed"
        );
        (outcome.coverage, Vec::from_iter(outcome.violation))
    } else {
        active::sweep(seed..seed + seeds, options, failures)
    };
    for marker in active::Marker::ALL.iter().filter(|_| coverage) {
        println!("{marker:34} {}", covered.count(*marker));
    }
    violations
}
