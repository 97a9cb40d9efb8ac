//! Why a policy is refused.

use model::{ProtectionGroup, RegionName};
use std::time::Duration;

/// Why a protection group cannot be had as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A region nobody knows.
    #[error("protection group {group}: there is no region {region}; name one of {known}")]
    UnknownRegion {
        /// The group.
        group: ProtectionGroup,
        /// The region.
        region: RegionName,
        /// The regions there are.
        known: String,
    },
    /// A region named twice.
    #[error("protection group {group}: region {region} is named twice; name the home once and each standby once")]
    RegionTwice {
        /// The group.
        group: ProtectionGroup,
        /// The region.
        region: RegionName,
    },
    /// Nothing would belong to it.
    #[error("protection group {group} covers no topic and no consumer group; name at least one pattern")]
    CoversNothing {
        /// The group.
        group: ProtectionGroup,
    },
    /// A pattern without a name.
    #[error("protection group {group} has an empty pattern; name a topic or group, a prefix, or use `any`")]
    EmptyPattern {
        /// The group.
        group: ProtectionGroup,
    },
    /// Limits no line keeps, or every one, or an opinion that takes too long.
    #[error(
        "protection group {group}: auto with {what} {value}; give a round trip of 1 ms to 60 s, less than a million errors in \
         a million requests, and at most an hour for good_for_ms, bad_for_ms and dwell_ms"
    )]
    LineLimits {
        /// The group.
        group: ProtectionGroup,
        /// Which limit.
        what: &'static str,
        /// What was asked for.
        value: u32,
    },
    /// A group that every region takes writes for cannot be so.
    #[error("protection group {group} is active-active and {what}: {remedy}")]
    ActiveActive {
        /// The group.
        group: ProtectionGroup,
        /// What is wrong.
        what: &'static str,
        /// What would be right.
        remedy: &'static str,
    },
    /// A promise of two regions with one.
    #[error("protection group {group}: modes sync and auto need a standby and there is none; add one or use async")]
    SyncWithoutStandby {
        /// The group.
        group: ProtectionGroup,
    },
    /// Fencing this version cannot do.
    #[error("protection group {group}: fencing by an operator is not available in this version; use lease")]
    FencingUnavailable {
        /// The group.
        group: ProtectionGroup,
    },
    /// An objective no run can meet.
    #[error("protection group {group}: the {objective} of {value:?} is not above zero; give one of at least 1 ms")]
    ObjectiveZero {
        /// The group.
        group: ProtectionGroup,
        /// `rpo` or `rto`.
        objective: &'static str,
        /// What was asked for.
        value: Duration,
    },
    /// Automatic failover with nowhere to go.
    #[error("protection group {group}: automatic failover needs a standby and there is none; add one or switch it off")]
    AutomaticWithoutStandby {
        /// The group.
        group: ProtectionGroup,
    },
    /// Automatic failover that could never be decided.
    #[error(
        "protection group {group}: without region {home} {left} of {voters} council members are left, \
         which is no quorum; automatic failover could never happen: add a region or a witness, or switch it off"
    )]
    AutomaticWithoutQuorum {
        /// The group.
        group: ProtectionGroup,
        /// Its home.
        home: RegionName,
        /// How many members the council has.
        voters: usize,
        /// How many it would have.
        left: usize,
    },
    /// A dependency on a group nobody knows.
    #[error("protection group {group} depends on {dependency}, which does not exist; create it first")]
    UnknownDependency {
        /// The group.
        group: ProtectionGroup,
        /// What it depends on.
        dependency: ProtectionGroup,
    },
    /// A dependency on itself, perhaps through others.
    #[error("protection group {group} depends on itself through {path}; take one of these dependencies out")]
    DependencyCycle {
        /// The group.
        group: ProtectionGroup,
        /// The way back to it.
        path: String,
    },
    /// Two groups of one name.
    #[error("there are two protection groups named {group}; rename one")]
    NameTwice {
        /// The name.
        group: ProtectionGroup,
    },
}
