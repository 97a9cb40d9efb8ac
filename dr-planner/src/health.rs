//! Whether a region is there.

use model::{RegionName, Timestamp};
use serde::{Deserialize, Serialize};

/// What one observer sees of one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Who observes: a council member.
    pub observer: RegionName,
    /// Whom.
    pub target: RegionName,
    /// When this was said, on the clock of whoever asked.
    pub observed_at: Timestamp,
    /// What is seen.
    pub seen: Seen,
}

/// What an observer sees of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "seen")]
pub enum Seen {
    /// It last answered so long ago.
    Silent {
        /// Milliseconds.
        for_ms: u64,
    },
    /// The observer cannot say: it stalled, or has not watched for long enough.
    Abstains,
}
