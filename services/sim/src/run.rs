use crate::marker::Coverage;
use crate::settings::Options;
use crate::world::World;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is run, as an argument of the command; nothing for brokers.
    pub scenario: &'static str,
    /// The run it was seen in.
    pub seed: u64,
    /// When.
    pub at: Duration,
    /// What should always hold.
    pub invariant: &'static str,
    /// How it did not.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seed, at, invariant, what } = self;
        let space = if scenario.is_empty() { "" } else { " " };
        writeln!(f, "seed {seed} at {at:?}: {invariant}: {what}")?;
        write!(f, "again with: cargo run -p sim -- {scenario}{space}--seed {seed} --trace")
    }
}

/// What became of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first violation, which ended it.
    pub violation: Option<Violation>,
    /// What happened in it.
    pub coverage: Coverage,
    /// Records acknowledged.
    pub acked: usize,
    /// Events handled.
    pub events: u64,
    /// What happened, line by line, if it was asked for.
    pub trace: String,
}

/// Runs one seed.
pub fn run(options: Options) -> Outcome {
    let mut world = World::new(options);
    world.run();
    world.outcome()
}

/// Runs all of `seeds` on all processors, until some fail. Gives what happened in all of them, and the failed ones in
/// order.
pub fn sweep(seeds: Range<u64>, options: Options, failures_max: usize) -> (Coverage, Vec<Violation>) {
    sweep_with(seeds, failures_max, |seed| {
        let outcome = run(Options { seed, ..options });
        (outcome.coverage, outcome.violation)
    })
}

/// Does the same with what `run` makes of a seed.
pub(crate) fn sweep_with<M: Copy + Ord + Send>(
    seeds: Range<u64>,
    failures_max: usize,
    run: impl Fn(u64) -> (Coverage<M>, Option<Violation>) + Sync,
) -> (Coverage<M>, Vec<Violation>) {
    let next = AtomicU64::new(seeds.start);
    let failures = std::sync::Mutex::new(Vec::new());
    let lock = || failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let work = || {
        let mut coverage = Coverage::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || lock().len() >= failures_max {
                return coverage;
            }
            let (covered, violation) = run(seed);
            coverage.add(&covered);
            lock().extend(violation);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut coverage = Coverage::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(of_worker) => coverage.add(&of_worker),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failures.sort_by_key(|violation| violation.seed);
    (coverage, failures)
}
