use model::{DivergedTail, Gap, Offset, ProducerId, RegionName};
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

/// Begins to write the records of a diverged tail to the new lineage again, or goes on after a failure. A tail is written
/// again once: refused when it was, and while another region's tail of the same partition and epoch, which may hold the same
/// records, is written again. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartReinjection {
    /// The region that archived the tail.
    pub region: RegionName,
    /// The id of the tail.
    pub tail: String,
    /// How; one that was agreed on before stays.
    pub plan: ReinjectionPlan,
    /// The tails of the same partition and epoch that had been written again before the plan was agreed on: what they
    /// brought lies where the plan has it compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<String>,
}

/// What is agreed on before the first record is sent, so that whoever goes on with it sends the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReinjectionPlan {
    /// Records are left out whose key the new lineage has written since the common end.
    pub keys_not_newer: bool,
    /// Records without a producer id are left out.
    pub leave_unknown: bool,
    /// The producer of all that is sent.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The new lineage is compared below this offset.
    pub until: Offset,
}

/// Says what came of a re-injection. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishReinjection {
    /// The id of the tail.
    pub tail: String,
    /// What came of it.
    pub outcome: ReinjectionOutcome,
}

/// What came of a re-injection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum ReinjectionOutcome {
    /// Everything is there.
    Completed(ReinjectionSummary),
    /// Something may not be; it can be begun again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// How many records of a tail met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReinjectionSummary {
    /// Written again: the new lineage lacked them.
    pub lacking: u64,
    /// Written again, though nobody can tell whether it did: they have no producer id.
    pub unknown: u64,
    /// Left out: the new lineage held them.
    pub held: u64,
    /// Left out: the new lineage had a newer record of their key.
    pub newer_key: u64,
    /// Left out for having no producer id.
    pub unknown_left: u64,
    /// Left out: their transaction was aborted.
    pub aborted: u64,
    /// Left out: their transaction has no end in the tail.
    pub open: u64,
}
