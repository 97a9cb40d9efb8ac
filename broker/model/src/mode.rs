//! What acknowledgements of a protection group promise across regions, as the council says.

use crate::{Incarnation, ModeEpoch, RegionName, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a protection group stands between `async` and `sync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModePhase {
    /// Writes are safe in the owner region; copies follow.
    #[default]
    Async,
    /// The copy is catching up with what is committed: writers are slowed down until it is near, then they wait for it.
    /// Nothing is promised yet.
    Converging,
    /// A write with acks=all is acknowledged only when the target region has it durable.
    Sync,
    /// As `Async`, though `sync` is asked for: the target was lost or too slow, or the group has just moved.
    Degraded,
}

/// What becomes of writes while the target of SYNC does not make them durable in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlowTarget {
    /// They go on without it once the council has said so.
    #[default]
    Degrade,
    /// They wait for it.
    Block,
}

impl SlowTarget {
    /// Whether it is what groups have that say nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The SYNC rule: the high watermark of the group's partitions waits for the copy in one other region, which writers are
/// slowed down for while it is far behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRule {
    /// Which switching on of the rule. A link's word counts only under the same number.
    pub mode_epoch: ModeEpoch,
    /// The region whose copy is waited for.
    pub target: RegionName,
    /// Its incarnation: another one of that region has lost that copy.
    pub incarnation: Incarnation,
    /// What writes do for it.
    #[serde(default, skip_serializing_if = "Patience::is_waiting")]
    pub patience: Patience,
}

/// What writes do for the copy that is to hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patience {
    /// Those with acks=all wait for it.
    #[default]
    Waits,
    /// None waits; writers are slowed down until it is near.
    SlowsDown,
}

impl Patience {
    const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waits)
    }
}

impl SyncRule {
    /// Whether writes with acks=all wait for the copy.
    pub const fn waits(&self) -> bool {
        self.patience.is_waiting()
    }

    /// Whether the copy in `region` is the one that is waited for: another incarnation of that region has lost it.
    pub fn is_for(&self, region: &RegionName, incarnation: Incarnation) -> bool {
        self.target == *region && self.incarnation == incarnation
    }

    /// Whether what the copy in `region` says under `mode` counts under this very rule.
    pub fn is_heard(&self, region: &RegionName, incarnation: Incarnation, mode: ModeEpoch) -> bool {
        self.mode_epoch == mode && self.is_for(region, incarnation)
    }
}

/// The durability of a protection group's writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeState {
    /// Where it stands.
    pub phase: ModePhase,
    /// Counts every change of it.
    pub epoch: ModeEpoch,
    /// What the owner's leaders obey; `Some` in `Converging` and `Sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<SyncRule>,
    /// When it came to be so.
    pub since: Timestamp,
}

impl ModeState {
    /// Whether it never was anything but `async`.
    pub fn is_initial(&self) -> bool {
        self.epoch == ModeEpoch::default()
    }

    /// Whether a rule is on that has writes wait.
    pub fn waits(&self) -> bool {
        self.rule.as_ref().is_some_and(SyncRule::waits)
    }

    /// The region whose copy is proven to hold every write that was acknowledged with acks=all; `None` but in `Sync`.
    pub fn proven(&self) -> Option<&SyncRule> {
        self.rule.as_ref().filter(|_| self.phase == ModePhase::Sync)
    }
}

/// Why a group began to be exposed: a crash of its owner region would have lost writes since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExposureReason {
    /// The group was made; it begins in `async`.
    Created,
    /// A person asked for `async`, or took the target out of the standbys.
    Operator,
    /// The target did not make writes durable in time, and the policy is to degrade.
    TargetSlow,
    /// The target lost its copy.
    TargetLost,
    /// The copy did not catch up in time.
    NotConverged,
    /// Another region became the owner.
    Moved,
    /// The line to the target became longer, or failed more often, than `auto` accepts.
    Line,
}

/// What `auto` accepts of the line to the target, and how slowly it changes its mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineLimits {
    /// The longest round trip, in milliseconds.
    pub round_trip_max_ms: u32,
    /// How many of a million requests may fail.
    pub errors_max_ppm: u32,
    /// For how many milliseconds a line has to be good without a break before SYNC is asked for.
    pub good_for_ms: u32,
    /// For how many milliseconds a line has to be bad without a break before SYNC is asked for no more.
    pub bad_for_ms: u32,
    /// The least time between two changes of mind, in milliseconds.
    pub dwell_ms: u32,
}

impl Default for LineLimits {
    fn default() -> Self {
        Self { round_trip_max_ms: 100, errors_max_ppm: 1000, good_for_ms: 10_000, bad_for_ms: 3_000, dwell_ms: 15_000 }
    }
}

impl LineLimits {
    /// Whether they are the usual ones.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the line of a link was like in the last seconds, as the copy measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The shortest round trip of late, in microseconds; `None` where nothing was heard.
    pub round_trip_us: Option<u64>,
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those of them that failed: refused, broken off, or not answered in time.
    pub failures: u64,
}

impl Line {
    /// How many of a million requests failed.
    pub fn errors_ppm(&self) -> u64 {
        self.failures.saturating_mul(1_000_000) / self.requests.max(self.failures).max(1)
    }

    /// What stands for both lines of a link: the longer round trip, and the larger share of failures. A round trip of which
    /// one is not known is not known.
    pub fn worse(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
        let round_trip_us = one.round_trip_us.zip(other.round_trip_us).map(|(one, other)| one.max(other));
        let failing = std::cmp::max_by_key(one, other, |line| (line.errors_ppm(), line.requests));
        Some(Self { round_trip_us, ..failing })
    }
}

/// How much a crash of the owner region would have lost at the worst moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtRisk {
    /// Records.
    pub records: u64,
    /// Bytes, reckoned.
    pub bytes: u64,
    /// Milliseconds of writes.
    pub millis: u64,
}

impl AtRisk {
    /// The worse of both, in each figure.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            records: self.records.max(other.records),
            bytes: self.bytes.max(other.bytes),
            millis: self.millis.max(other.millis),
        }
    }
}

/// One interval in which a crash of the owner region would have lost writes: an entry of the RPO ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The change of mode that began it.
    pub mode_epoch: ModeEpoch,
    /// Since when.
    pub from: Timestamp,
    /// Until when; `None` while it lasts.
    pub to: Option<Timestamp>,
    /// Why.
    pub reason: ExposureReason,
    /// The worst of it, as far as was seen.
    pub worst: AtRisk,
}

/// How one partition stands to the SYNC rule, on its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// The rule it obeys.
    pub mode_epoch: ModeEpoch,
    /// What the target has durable, as far as was heard under this leadership.
    pub copy_watermark: Option<crate::Offset>,
    /// For how many milliseconds the oldest write has waited for the target that the region itself has committed.
    pub waiting_ms: u64,
    /// For how many milliseconds the target has said that it lacks something that readers were shown.
    #[serde(default)]
    pub lacking_ms: u64,
}
