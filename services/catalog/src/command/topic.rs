use model::{LeaderEpoch, Timestamp, TopicId, TopicName, TopicState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Creates topics, each by itself: one may be refused and the next created. Answered with `Answer::Topics`, in order.
///
/// A topic belongs to the protection group that covers its name most closely; a name nothing covers is refused. A topic
/// that is there already under the same id is answered as if it had just been created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its id, drawn at random by whoever asks.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it gets.
    pub partitions: i32,
    /// Its configuration, as Kafka names the entries.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Whether clients may use it at once.
    pub state: TopicState,
    /// Its leader epochs begin above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs_above: Option<LeaderEpoch>,
}

/// Deletes topics, each by itself. Their rows are kept until they are purged. Answered with `Answer::Topics`, in order:
/// the topics as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteTopics {
    /// The topics.
    pub topics: Vec<DeleteTopic>,
}

/// A topic to be deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteTopic {
    /// Its name.
    pub name: TopicName,
    /// The id it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<TopicId>,
}

/// Changes the configuration of a topic. Answered with `Answer::Topic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlterTopicConfig {
    /// The topic.
    pub topic: TopicName,
    /// The id it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<TopicId>,
    /// The revision it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether entries that are not in `set` go back to their defaults.
    #[serde(default)]
    pub replace: bool,
    /// Entries to set.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Entries to take back to their defaults.
    #[serde(default)]
    pub remove: BTreeSet<String>,
}

/// Gives a topic more partitions. Answered with `Answer::Topic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddPartitions {
    /// The topic.
    pub topic: TopicName,
    /// The id it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<TopicId>,
    /// How many it shall have altogether; more than now.
    pub partitions: i32,
}

/// Has a topic copied that was made again under its name and is not copied for that; one that is copied stays so. Answered with
/// `Answer::Topic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowTopic {
    /// The topic.
    pub topic: TopicName,
    /// The id it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<TopicId>,
}

/// Forgets topics deleted before a time. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PurgeTopics {
    /// The time.
    pub deleted_before: Timestamp,
}

impl CreateTopics {
    pub(super) fn names(&self) -> String {
        joined(self.topics.iter().map(|topic| &topic.name))
    }
}

impl DeleteTopics {
    pub(super) fn names(&self) -> String {
        joined(self.topics.iter().map(|topic| &topic.name))
    }
}

/// The first few names, for the audit.
fn joined<'a>(names: impl ExactSizeIterator<Item = &'a TopicName>) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names.take(SHOWN).map(TopicName::as_str).collect::<Vec<_>>().join(",");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
