use crate::random::Random;
use mirror_core::active::Policy;
use model::Incarnation;
use std::time::Duration;

/// How regions are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    Mesh,
    Ring,
    RingBothWays,
    Star,
}

impl Topology {
    /// The links, from source to target.
    pub(super) fn links(self, regions: usize) -> Vec<(usize, usize)> {
        let all = (0..regions).flat_map(|source| (0..regions).map(move |target| (source, target)));
        all.filter(|(source, target)| source != target && self.joins(*source, *target, regions)).collect()
    }

    const fn joins(self, source: usize, target: usize, regions: usize) -> bool {
        let next = (source + 1) % regions == target;
        match self {
            Self::Mesh => true,
            Self::Ring => next,
            Self::RingBothWays => next || (target + 1) % regions == source,
            Self::Star => source == 0 || target == 0,
        }
    }
}

/// How the regions are built and used, drawn from the seed.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) regions: usize,
    pub(super) topology: Topology,
    pub(super) policy: Policy,
    pub(super) keys: usize,
    /// Milliseconds between a region's writes.
    pub(super) writes_every: (u64, u64),
    /// Milliseconds between faults.
    pub(super) faults_every: (u64, u64),
    /// Milliseconds a message takes.
    pub(super) delay: (u64, u64),
    /// Milliseconds an idle link pauses at most.
    pub(super) idle_max: u64,
    /// Milliseconds a flush takes at most.
    pub(super) flush_max: u64,
    /// The step clocks go in, in milliseconds.
    pub(super) tick: i64,
    pub(super) records_max: u64,
}

/// How long the faults and the writes go on.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// How long everything has to come together.
pub(super) const HEALING: Duration = Duration::from_secs(900);
/// How wrong a clock may be, in milliseconds.
pub(super) const SKEW_MAX: u64 = 600_000;
/// The bytes of a record.
pub(super) const RECORD_BYTES: u64 = 1024;

/// The incarnation of a region.
pub(super) const fn incarnation(region: usize) -> Incarnation {
    Incarnation(region as u16 + 1)
}

impl Settings {
    pub(super) fn draw(random: &mut Random) -> Self {
        let regions = if random.chance(70) { 3 } else { 2 + 2 * random.below(2) };
        let faults = random.between(60_000..900_000);
        let writes = random.between(20_000..80_000);
        Self {
            regions,
            topology: [Topology::Mesh, Topology::Ring, Topology::RingBothWays, Topology::Star][random.below(4)],
            policy: policy(random, regions),
            keys: 2 + random.below(12),
            writes_every: (writes / 4, writes * 2),
            faults_every: (faults / 3, faults * 2),
            delay: if random.chance(30) { (50, 900) } else { (10, 150) },
            idle_max: random.between(1000..12_000),
            flush_max: if random.chance(40) { 60_000 } else { 2500 },
            tick: if random.chance(15) { 300_000 } else { 1 },
            records_max: random.between(4..40),
        }
    }
}

fn policy(random: &mut Random, regions: usize) -> Policy {
    match random.below(4) {
        0 => Policy::LastWriterWins,
        1 => {
            let first = random.below(regions);
            let order = (0..random.below(regions + 1)).map(|next| incarnation((first + next) % regions));
            Policy::RegionPriority { order: order.collect() }
        }
        2 => Policy::KeepBoth,
        _ => Policy::Quarantine,
    }
}
