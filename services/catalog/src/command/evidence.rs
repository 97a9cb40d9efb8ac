use model::{DivergedTail, Gap, RegionName};
use serde::{Deserialize, Serialize};

/// Keeps what a region archived of an old lineage. Facts that are there already change nothing. Answered with
/// `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordDiverged {
    /// The region.
    pub region: RegionName,
    /// The tails.
    pub tails: Vec<DivergedTail>,
}

/// Keeps which offsets a region's links could not copy. Facts that are there already change nothing. Answered with
/// `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordGaps {
    /// The region.
    pub region: RegionName,
    /// The gaps.
    pub gaps: Vec<Gap>,
}
