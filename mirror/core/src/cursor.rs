//! The commits of consumer groups on their way to another region.
//!
//! The source numbers its commits in the order it took them, anew at each start of its coordinator (a *session*), and
//! keeps the newest per (group, topic, partition). The target asks for what came after its cursor, page by page, and
//! writes what differs from what it holds. Commits travel as they are: never translated, never clamped. A rewind is a
//! commit like any other: newer is what the source took later, not what is larger.

mod feed;
mod sink;

pub use feed::{CommitFeed, CommitPage};
pub use sink::CommitSink;

use model::{Commit, GroupId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// What one group last said of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCommit {
    /// The consumer group.
    pub consumer_group: GroupId,
    /// The topic.
    pub topic_id: TopicId,
    /// Its name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset the group reads; -1 when its commit was removed or has expired.
    pub offset: Offset,
    /// The leader epoch the group had read there.
    pub leader_epoch: LeaderEpoch,
    /// What the group said with it.
    pub metadata: String,
    /// When the source took it.
    pub commit_time: Timestamp,
}

impl GroupCommit {
    /// Whether the source forgot the group's place.
    pub const fn is_removal(&self) -> bool {
        self.offset.0 < 0
    }

    /// As Kafka keeps them: a removal names the topic, not its id.
    fn key(&self) -> CommitKey {
        (self.consumer_group.clone(), self.topic.clone(), self.partition)
    }
}

impl From<Commit> for GroupCommit {
    fn from(commit: Commit) -> Self {
        Self {
            consumer_group: commit.consumer_group,
            topic_id: commit.topic_id,
            topic: commit.topic,
            partition: commit.partition,
            offset: commit.offset.unwrap_or(Offset(-1)),
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata,
            commit_time: commit.commit_time,
        }
    }
}

/// A carried commit expires by the source's decision alone: it has no time of its own for that.
impl From<GroupCommit> for Commit {
    fn from(commit: GroupCommit) -> Self {
        let offset = (!commit.is_removal()).then_some(commit.offset);
        Self {
            consumer_group: commit.consumer_group,
            topic: commit.topic,
            topic_id: commit.topic_id,
            partition: commit.partition,
            offset,
            leader_epoch: if offset.is_some() { commit.leader_epoch } else { LeaderEpoch::NONE },
            metadata: commit.metadata,
            commit_time: commit.commit_time,
            expire_time: None,
        }
    }
}

type CommitKey = (GroupId, TopicName, PartitionId);

#[cfg(test)]
mod tests {
    use super::*;
    use model::CommitCursor;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn commit(group: u8, partition: i32, offset: i64) -> GroupCommit {
        GroupCommit {
            consumer_group: GroupId::new(format!("group-{group}")),
            topic_id: TopicId(uuid::Uuid::from_u128(1)),
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionId(partition),
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(4096),
            metadata: "note".into(),
            commit_time: Timestamp(offset),
        }
    }

    #[test]
    fn a_rewind_travels_like_any_commit() {
        let (mut feed, mut sink) = (CommitFeed::new(1), CommitSink::default());
        feed.record(commit(1, 0, 50));
        assert_eq!(sink.apply(sink.cursor(), feed.since(sink.cursor(), 10, |_| true)).len(), 1);
        feed.record(commit(1, 0, 20));
        let page = feed.since(sink.cursor(), 10, |_| true);
        assert_eq!(sink.apply(sink.cursor(), page), [commit(1, 0, 20)]);
    }

    #[test]
    fn a_commit_that_is_removed_twice_is_written_twice() {
        let mut sink = CommitSink::default();
        let removal = GroupCommit { topic_id: TopicId::ZERO, ..commit(1, 0, -1) };
        for (version, next) in (1..).zip([commit(1, 0, 5), removal.clone(), commit(1, 0, 7), removal]) {
            let asked = sink.cursor();
            let cursor = CommitCursor { session: 0, version };
            let page = CommitPage { cursor, session_changed: false, more: false, commits: vec![next.clone()] };
            assert_eq!(sink.apply(asked, page), [next]);
        }
    }

    #[test]
    fn of_many_commits_only_the_newest_travels() {
        let mut feed = CommitFeed::new(1);
        (0..1000).map(|offset| commit(1, 0, offset)).for_each(|commit| _ = feed.record(commit));
        let page = feed.since(CommitCursor::default(), 10, |_| true);
        assert_eq!((page.commits, page.more), (vec![commit(1, 0, 999)], false));
        assert_eq!(page.cursor, feed.cursor());
    }

    #[test]
    fn pages_are_bounded_and_join_without_loss() {
        let (mut feed, mut sink) = (CommitFeed::new(1), CommitSink::default());
        (0..25).map(|partition| commit(1, partition, 5)).for_each(|commit| _ = feed.record(commit));
        let mut written = Vec::new();
        loop {
            let page = feed.since(sink.cursor(), 10, |_| true);
            let more = page.more;
            assert!(page.commits.len() <= 10);
            written.extend(sink.apply(sink.cursor(), page));
            if !more {
                break;
            }
        }
        assert_eq!(written.len(), 25);
        assert!(sink.has_reached(feed.cursor()));
    }

    #[test]
    fn after_the_sources_restart_everything_comes_again_and_only_changes_are_written() {
        let (mut feed, mut sink) = (CommitFeed::new(1), CommitSink::default());
        feed.record(commit(1, 0, 5));
        feed.record(commit(1, 1, 6));
        sink.apply(sink.cursor(), feed.since(sink.cursor(), 10, |_| true));
        let mut feed = CommitFeed::new(2);
        feed.record(commit(1, 0, 5));
        feed.record(commit(1, 1, 9));
        assert!(!sink.has_reached(feed.cursor()));
        let page = feed.since(sink.cursor(), 10, |_| true);
        assert!(page.session_changed);
        assert_eq!(sink.apply(sink.cursor(), page), [commit(1, 1, 9)]);
        assert!(sink.has_reached(feed.cursor()));
    }

    #[test]
    fn a_late_page_changes_nothing() {
        let (mut feed, mut sink) = (CommitFeed::new(1), CommitSink::default());
        let asked = sink.cursor();
        feed.record(commit(1, 0, 5));
        let late = feed.since(asked, 10, |_| true);
        feed.record(commit(1, 0, 8));
        sink.apply(asked, feed.since(asked, 10, |_| true));
        assert_eq!(sink.apply(asked, late), []);
        assert_eq!(sink.held().cloned().collect::<Vec<_>>(), [commit(1, 0, 8)]);
    }

    #[test]
    fn commits_of_other_protection_groups_are_passed_over() {
        let mut feed = CommitFeed::new(1);
        feed.record(commit(1, 0, 5));
        feed.record(commit(2, 0, 6));
        let page = feed.since(CommitCursor::default(), 10, |commit| commit.consumer_group.as_str() == "group-2");
        assert_eq!((page.commits, page.cursor), (vec![commit(2, 0, 6)], feed.cursor()));
    }

    #[test]
    fn a_commit_crosses_the_wire_as_it_is() {
        let page = CommitPage {
            commits: vec![commit(1, 0, -1)],
            ..CommitFeed::new(7).since(CommitCursor::default(), 1, |_| true)
        };
        let json = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<CommitPage>(&json).unwrap(), page);
        assert!(page.commits[0].is_removal());
    }

    proptest! {
        #[test]
        fn whatever_pages_arrive_the_target_ends_with_the_sources_newest(
            steps in prop::collection::vec((0_u8..6, 0_i32..3, -1_i64..50, 1_usize..4), 1..200)
        ) {
            let (mut feed, mut sink) = (CommitFeed::new(0), CommitSink::default());
            let (mut truth, mut asked, mut late) = (BTreeMap::new(), sink.cursor(), None);
            for (kind, partition, offset, limit) in steps {
                match kind {
                    0 | 1 => {
                        feed.record(commit(1, partition, offset));
                        truth.insert(partition, commit(1, partition, offset));
                    }
                    2 => {
                        let mut next = CommitFeed::new(feed.cursor().session + 1);
                        truth.values().cloned().for_each(|commit| _ = next.record(commit));
                        feed = next;
                    }
                    3 => (asked, late) = (sink.cursor(), Some(feed.since(sink.cursor(), limit, |_| true))),
                    4 => drop(late.clone().map(|page| sink.apply(asked, page))),
                    _ => sink = CommitSink::new(sink.held().cloned()),
                }
            }
            while !sink.has_reached(feed.cursor()) {
                sink.apply(sink.cursor(), feed.since(sink.cursor(), 2, |_| true));
            }
            prop_assert!(sink.held().eq(truth.values()));
        }
    }
}
