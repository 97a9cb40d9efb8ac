//! The commits of consumer groups on their way from region to region.
//!
//! Every partition of a region's `__consumer_offsets` is a stream of commits of its own, and a place in it is an offset
//! of its log: it means the same after a restart and under another leader, for nothing that counted is ever cut off.

use crate::{
    GroupId, Incarnation, LeaderEpoch, Offset, OwnershipEpoch, PartitionId, ProtectionGroup, Timestamp, TopicId,
    TopicName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A place in the commits of one partition of a region's `__consumer_offsets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitCursor {
    /// The region's incarnation: places in another one's logs mean nothing.
    pub incarnation: Incarnation,
    /// Every commit whose record lies below it.
    pub position: Offset,
}

impl CommitCursor {
    /// Whether everything up to `wanted` lies below this place.
    pub fn has_reached(self, wanted: Self) -> bool {
        wanted.position == Offset::ZERO || self.incarnation == wanted.incarnation && self.position >= wanted.position
    }
}

/// A place in each partition of a region's `__consumer_offsets` that somebody spoke of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Marks", into = "Marks")]
pub struct CommitMarks(BTreeMap<PartitionId, CommitCursor>);

/// As they are written down.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Marks {
    List(Vec<(PartitionId, CommitCursor)>),
    /// Of the first versions: it counted the commits of one start of a broker, which is over.
    Counted {
        session: u64,
        version: u64,
    },
}

impl From<Marks> for CommitMarks {
    fn from(marks: Marks) -> Self {
        match marks {
            Marks::List(list) => list.into_iter().collect(),
            Marks::Counted { version: 0, .. } => Self::default(),
            // Nobody reaches it: whoever waits for it gives up, as after every restart then.
            Marks::Counted { .. } => {
                let never = CommitCursor { incarnation: Incarnation(0), position: Offset(i64::MAX) };
                Self::from_iter([(PartitionId(0), never)])
            }
        }
    }
}

impl From<CommitMarks> for Marks {
    fn from(marks: CommitMarks) -> Self {
        Self::List(marks.0.into_iter().collect())
    }
}

impl FromIterator<(PartitionId, CommitCursor)> for CommitMarks {
    fn from_iter<T: IntoIterator<Item = (PartitionId, CommitCursor)>>(marks: T) -> Self {
        Self(marks.into_iter().collect())
    }
}

impl CommitMarks {
    /// The place in one partition; the beginning where nobody spoke of it.
    pub fn of(&self, partition: PartitionId) -> CommitCursor {
        self.0.get(&partition).copied().unwrap_or_default()
    }

    /// The partitions that somebody spoke of, in order, with the places in them.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, CommitCursor)> {
        self.0.iter().map(|(partition, cursor)| (*partition, *cursor))
    }

    /// How many partitions somebody spoke of.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody spoke of any partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves on to `cursor` in one partition; back only to another incarnation.
    pub fn advance(&mut self, partition: PartitionId, cursor: CommitCursor) {
        let known = self.0.entry(partition).or_insert(cursor);
        if known.incarnation != cursor.incarnation || known.position < cursor.position {
            *known = cursor;
        }
    }

    /// Moves on to every place of `others`: what the brokers of a region say together.
    pub fn merge(&mut self, others: &Self) {
        others.iter().for_each(|(partition, cursor)| self.advance(partition, cursor));
    }

    /// Whether everything up to `wanted` lies below these places, in every partition of `wanted`.
    pub fn has_reached(&self, wanted: &Self) -> bool {
        wanted.iter().all(|(partition, cursor)| self.of(partition).has_reached(cursor))
    }

    /// Those of the partitions that `is_wanted`.
    pub fn only(&self, is_wanted: impl Fn(PartitionId) -> bool) -> Self {
        self.iter().filter(|(partition, _)| is_wanted(*partition)).collect()
    }

    /// Forgets the partitions that are not to `stay`.
    pub fn retain(&mut self, stay: impl Fn(PartitionId) -> bool) {
        self.0.retain(|partition, _| stay(*partition));
    }
}

/// `offset-sync`: the commits of a protection group's consumer groups, newest state per partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCommits {
    /// The group.
    pub group: ProtectionGroup,
    /// What the asker has of each partition of the source's `__consumer_offsets` it asks for.
    pub since: Vec<CommitsSince>,
    /// How long to wait for more.
    pub max_wait_ms: u32,
    /// How many commits to answer with at most, in all.
    pub limit: u32,
}

/// What somebody has of one partition's commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsSince {
    /// The partition of `__consumer_offsets`.
    pub partition: PartitionId,
    /// Up to here. A place in another incarnation is answered from the start.
    pub cursor: CommitCursor,
    /// What the source said of `swept` with that; 0 at the beginning.
    pub swept: Offset,
}

impl CommitsSince {
    /// Nothing of `partition`.
    pub fn beginning(partition: PartitionId) -> Self {
        Self { partition, cursor: CommitCursor::default(), swept: Offset::ZERO }
    }
}

/// The answer to [`SyncCommits`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPage {
    /// The ownership epoch under which they were taken.
    pub ownership_epoch: OwnershipEpoch,
    /// How many partitions the source's `__consumer_offsets` has.
    pub partitions: i32,
    /// Those of the partitions asked for whose leader answers.
    pub parts: Vec<CommitPart>,
}

/// What came to one partition of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPart {
    /// The partition.
    pub partition: PartitionId,
    /// Ask from here next time. It lies before what was asked for when the source begins again.
    pub next: CommitCursor,
    /// The source's newest.
    pub newest: CommitCursor,
    /// Compaction may have dropped deletions that lay below it, so that who has less than that hears everything again.
    pub swept: Offset,
    /// The commits, oldest first.
    pub commits: Vec<Commit>,
}

impl CommitPart {
    /// What somebody has who had what was asked for, and this.
    pub fn onwards(&self) -> CommitsSince {
        CommitsSince { partition: self.partition, cursor: self.next, swept: self.swept }
    }
}

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The consumer group.
    pub consumer_group: GroupId,
    /// The topic.
    pub topic: TopicName,
    /// Its id when the offset was committed.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The offset to read next; `None` is a deleted commit.
    pub offset: Option<Offset>,
    /// The leader epoch that came with it, -1 for none.
    pub leader_epoch: LeaderEpoch,
    /// The client's own note.
    pub metadata: String,
    /// When it was committed.
    pub commit_time: Timestamp,
    /// When it expires, if the client said so (KIP-211's predecessors do).
    pub expire_time: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(incarnation: u16, position: i64) -> CommitCursor {
        CommitCursor { incarnation: Incarnation(incarnation), position: Offset(position) }
    }

    fn marks(marks: &[(i32, CommitCursor)]) -> CommitMarks {
        marks.iter().map(|(partition, cursor)| (PartitionId(*partition), *cursor)).collect()
    }

    #[test]
    fn marks_are_reached_partition_by_partition_in_one_incarnation() {
        let wanted = marks(&[(0, at(7, 0)), (1, at(7, 5))]);
        assert!(marks(&[(1, at(7, 5))]).has_reached(&wanted));
        assert!(!marks(&[(1, at(7, 4))]).has_reached(&wanted));
        assert!(!marks(&[(1, at(8, 9))]).has_reached(&wanted));
        assert!(!marks(&[(0, at(7, 9))]).has_reached(&wanted));
        assert!(CommitMarks::default().has_reached(&CommitMarks::default()));
    }

    #[test]
    fn what_brokers_say_together_never_goes_back() {
        let mut all = marks(&[(0, at(7, 3)), (1, at(7, 5))]);
        all.merge(&marks(&[(0, at(7, 9)), (1, at(7, 2)), (2, at(7, 1))]));
        assert_eq!(all, marks(&[(0, at(7, 9)), (1, at(7, 5)), (2, at(7, 1))]));
        all.advance(PartitionId(0), at(8, 1));
        assert_eq!(all.of(PartitionId(0)), at(8, 1));
    }

    #[test]
    fn marks_are_written_as_a_list_inside_tagged_values_too() {
        let done = crate::Done::Stopped { ends: vec![], commits: marks(&[(3, at(7, 12))]) };
        let json = serde_json::to_string(&done).unwrap();
        assert!(json.contains(r#""commits":[[3,{"incarnation":7,"position":12}]]"#), "{json}");
        assert_eq!(serde_json::from_str::<crate::Done>(&json).unwrap(), done);
    }

    #[test]
    fn what_an_earlier_version_wrote_down_is_never_reached() {
        let json = r#"{"done":"stopped","ends":[],"commits":{"session":4711,"version":3}}"#;
        let crate::Done::Stopped { commits, .. } = serde_json::from_str(json).unwrap() else { panic!("stopped") };
        assert!(!marks(&[(0, at(7, i64::MAX))]).has_reached(&commits));
        let none: CommitMarks = serde_json::from_str(r#"{"session":0,"version":0}"#).unwrap();
        assert!(none.is_empty());
    }
}
