//! Active-active: regions that all take writes of the same keys for an hour, while the network between them is cut and
//! healed, their clocks are wrong, and they crash; then everything is healed and has to come to the same.
//!
//! The regions drive [`mirror_core::active`] as brokers will, with a log, a side log in its real format, and what a
//! crash leaves of both. An [`oracle`] knows of every record what its region really held when it was written, and says
//! from that alone which record of each key has to stand, and which ones lost.

mod event;
mod guard;
mod links;
mod marker;
mod oracle;
mod region;
mod settings;
mod world;

pub use guard::Guard;
pub use marker::Marker;

use crate::marker::Coverage;
use crate::run::{Violation, sweep_with};
use std::ops::Range;

/// What is to be run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// All that happens follows from it.
    pub seed: u64,
    /// A guard to take away.
    pub without: Option<Guard>,
    /// Whether to write down what happens.
    pub trace: bool,
}

/// What became of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first violation, which ended it.
    pub violation: Option<Violation>,
    /// What happened in it.
    pub coverage: Coverage<Marker>,
    /// Records written that were not lost by a crash.
    pub written: usize,
    /// Versions that lost a conflict.
    pub lost: usize,
    /// Bytes that came over all links, for each thousand of records that had to: to every other region once, and again
    /// where a crash took what was not durable yet.
    pub amplification_permille: u64,
    /// What happened, line by line, if it was asked for.
    pub trace: String,
}

/// Runs one seed.
pub fn run(options: Options) -> Outcome {
    let mut world = world::World::new(options);
    world.run();
    world.outcome()
}

/// Runs all of `seeds` on all processors, until some fail.
pub fn sweep(seeds: Range<u64>, options: Options, failures_max: usize) -> (Coverage<Marker>, Vec<Violation>) {
    sweep_with(seeds, failures_max, |seed| {
        let outcome = run(Options { seed, ..options });
        (outcome.coverage, outcome.violation)
    })
}
