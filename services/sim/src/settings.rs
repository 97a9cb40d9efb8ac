use crate::guard::Guard;
use crate::random::Random;
use broker_core::liveness::Timing;
use std::time::Duration;

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

/// How a region is built, drawn from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) brokers: usize,
    pub(crate) partitions: usize,
    pub(crate) min_insync: usize,
    /// Whether acknowledgements wait for the page cache only (`flush=os`).
    pub(crate) late: bool,
    pub(crate) lag_max: Duration,
    pub(crate) timing: Timing,
    /// Microseconds a message takes.
    pub(crate) delay: (u64, u64),
    /// Milliseconds between faults.
    pub(crate) faults_every: (u64, u64),
    /// When faults end.
    pub(crate) heal_at: Duration,
    /// When everything must have come together.
    pub(crate) deadline: Duration,
}

/// How many replicas a partition has.
pub(crate) const REPLICAS: usize = 3;

/// Every so many seeds acknowledgements do not wait for the disk.
const LATE_EVERY: u64 = 8;

impl Settings {
    pub(crate) fn draw(seed: u64, random: &mut Random) -> Self {
        let heal_at = random.millis(1200..2800);
        let slow = random.chance(25);
        let often = random.between(40..160);
        let min_insync = if random.chance(80) { 2 } else { 1 };
        Self {
            brokers: if random.chance(75) { 3 } else { 4 + random.below(2) },
            partitions: 1 + random.below(2),
            min_insync,
            late: min_insync > 1 && seed.is_multiple_of(LATE_EVERY),
            lag_max: random.millis(80..300),
            timing: Timing { silence_max: random.millis(100..300) },
            delay: if slow { (200, 12_000) } else { (50, 1500) },
            faults_every: (often / 3, often * 2),
            heal_at,
            deadline: heal_at + Duration::from_secs(20),
        }
    }
}
