//! What one broker is asked for its region's sake, and what it answers.

use crate::ConsumerGroup;
use crate::ports::{ConfigChange, CouncilError, NewTopic};
use model::{
    Assignment, CommitMarks, DivergedTail, Gap, LinkPartitionStatus, OwnershipEpoch, PartitionEnd, ProtectionGroup,
    RegionName, RegionStatus, SealedPartition, TopicId, TopicSpec,
};
use serde::{Deserialize, Serialize};

/// A question of whoever speaks for the region; the last two are asked of the desk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Where ends what it leads of the group, once every write it took is answered and all of it is committed? And how far
    /// do the commits go that it keeps?
    Drained(ProtectionGroup),
    /// Where do the copies end that it leads of the group, once they reach as far as these?
    CaughtUp {
        /// The group.
        group: ProtectionGroup,
        /// The grant of its owner.
        epoch: OwnershipEpoch,
        /// What is wanted.
        ends: Vec<PartitionEnd>,
        /// How far the source's commits go.
        commits: CommitMarks,
    },
    /// The same once it has fetched what the copies in those regions hold.
    Collected {
        /// The group.
        group: ProtectionGroup,
        /// Other standbys.
        from: Vec<RegionName>,
    },
    /// What does the whole in-sync set hold of each sealed copy it leads, and what is known of its source?
    Sealed(ProtectionGroup),
    /// Where ends what it leads of the group under the current grant, once all of it is committed, and under which epochs?
    Begun(ProtectionGroup),
    /// How is it?
    Status {
        /// With hashes over its partitions.
        with_hashes: bool,
    },
    /// How far are the copies it leads?
    Links,
    /// Drop the copies it leads of the group that have to be made anew, and copy them again.
    Rebuild(ProtectionGroup),
    /// Which consumer groups does it know of?
    ConsumerGroups,
    /// What of diverged tails and gaps has the council not stored yet?
    Facts,
    /// The council has stored these facts.
    Acknowledge {
        /// Diverged tails.
        diverged: Vec<DivergedTail>,
        /// Gaps.
        gaps: Vec<Gap>,
    },
    /// What is in a file of a diverged tail?
    Diverged {
        /// The file, as the tail names it.
        file: String,
        /// From this byte on.
        at: u64,
        /// At most so many bytes.
        max: u32,
    },
    /// Which assignment is newer than the council's entry `above`? Answered as soon as there is one, or after a while.
    Assignment {
        /// The entry of the newest one known; `None` where none is.
        above: Option<u64>,
    },
    /// Have the council change topics.
    Topic(TopicAsk),
}

/// What a client asks of the council.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TopicAsk {
    /// Make a topic.
    Create {
        /// Which.
        topic: NewTopic,
        /// Only say whether it could.
        validate_only: bool,
    },
    /// Delete a topic.
    Delete(TopicId),
    /// Make it have so many partitions.
    Grow {
        /// Which.
        topic: TopicId,
        /// So many.
        total: i32,
        /// Only say whether it could.
        validate_only: bool,
    },
    /// Change its configuration.
    Configure {
        /// Which.
        topic: TopicId,
        /// How.
        changes: Vec<ConfigChange>,
        /// Only say whether it could.
        validate_only: bool,
    },
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// Where partitions end, and how far the commits go it knows of.
    Ends {
        /// What it leads.
        ends: Vec<PartitionEnd>,
        /// Commits.
        commits: CommitMarks,
    },
    /// What sealed copies hold.
    Sealed(Vec<SealedPartition>),
    /// How it is.
    Status(Box<RegionStatus>),
    /// How far copies are.
    Links(Vec<LinkPartitionStatus>),
    /// So many copies are copied anew.
    Rebuilt(u64),
    /// Consumer groups.
    ConsumerGroups(Vec<ConsumerGroup>),
    /// Diverged tails and gaps.
    Facts(Vec<DivergedTail>, Vec<Gap>),
    /// Bytes of a diverged tail; `None` where another broker has the file.
    Diverged(Option<Vec<u8>>),
    /// It was done.
    Done,
    /// An assignment; `None` when there is no newer one.
    Assignment(Option<Box<Assignment>>),
    /// What the council said of a topic.
    Topic(Result<Option<TopicSpec>, CouncilError>),
    /// It could not, and why.
    Failed(String),
}
