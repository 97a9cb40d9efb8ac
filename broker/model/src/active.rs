//! Groups whose topics every region takes writes for.

use crate::{Incarnation, RegionName};
use serde::{Deserialize, Serialize};

/// Which of two writes of one key stands that knew nothing of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPolicy {
    /// The later one.
    LastWriterWins,
    /// The one of the region that comes first.
    RegionPriority {
        /// The regions, most important first; those that are not named come behind all of them.
        order: Vec<RegionName>,
    },
    /// Both count: the later one is the last of the key, the other one is in the conflict topic.
    KeepBoth,
    /// The earlier one, until a person has chosen.
    Quarantine,
}

/// What a grant says of a group that every region owns, each for the writes of its own clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveActive {
    /// Which of two writes stands.
    pub policy: ConflictPolicy,
    /// The regions that take writes.
    pub regions: Vec<ActiveRegion>,
}

/// A region that takes writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRegion {
    /// Its name.
    pub region: RegionName,
    /// Its incarnation, by which its records are known everywhere.
    pub incarnation: Incarnation,
}

impl ActiveActive {
    /// The name of the region whose records have that origin; `None` for one that was rebuilt since.
    pub fn region_of(&self, origin: Incarnation) -> Option<&RegionName> {
        self.regions.iter().find(|known| known.incarnation == origin).map(|known| &known.region)
    }

    /// The incarnation of a region that takes writes.
    pub fn incarnation_of(&self, region: &RegionName) -> Option<Incarnation> {
        self.regions.iter().find(|known| known.region == *region).map(|known| known.incarnation)
    }
}
