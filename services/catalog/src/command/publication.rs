use model::{Offset, ProducerId, RegionName, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// Begins to copy the records of a diverged tail, as they are, into a topic of its own. A publication that has begun stays as
/// it was agreed on. Regions that copied from one owner archive the same records: none of them begins before another one's
/// tail, of the same partition and epoch, is complete. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartPublication {
    /// The region that archived the tail.
    pub region: RegionName,
    /// The id of the tail.
    pub tail: String,
    /// Where and how.
    pub plan: PublicationPlan,
}

/// What is agreed on before the first record is sent, so that whoever goes on with it sends the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationPlan {
    /// The topic.
    pub topic: TopicId,
    /// Its name.
    pub name: TopicName,
    /// The producer of all that is sent.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: i16,
    /// What is sent lies at or behind this offset of the tail's partition in the topic.
    pub since: Offset,
}

/// Says that a publication is complete. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishPublication {
    /// The id of the tail.
    pub tail: String,
    /// Where its records are.
    pub summary: PublicationSummary,
}

/// Where the records of a tail are in its topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationSummary {
    /// How many are there.
    pub records: u64,
    /// Left out: a tail of another region, which was published before, has brought the same records there.
    #[serde(default, skip_serializing_if = "is_none")]
    pub held: u64,
    /// Left out: their transaction was aborted.
    pub aborted: u64,
    /// Left out: their transaction has no end in the tail.
    pub open: u64,
    /// Where each of them is, in order.
    pub runs: Vec<PublishedRun>,
    /// Whether `runs` has all of them: only so many are kept.
    pub runs_complete: bool,
}

/// Records that follow each other in the tail and in the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRun {
    /// The offset of the first in the tail.
    pub from: Offset,
    /// Its offset in the topic.
    pub to: Offset,
    /// How many they are.
    pub count: u64,
}

// As serde calls it.
fn is_none(count: &u64) -> bool {
    *count == 0
}
