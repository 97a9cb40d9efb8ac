//! Committed offsets: what is durable in `__consumer_offsets`, and the stream of it that standbys copy.
//!
//! ```text
//!   commit --admitted--> append to the log --durable--> apply --> committed
//!                                                         |
//!                                                         +-----> feed(since) --> a standby: accepts_remote?
//! ```
//!
//! An offset is kept as it was committed: never clamped, and on a standby never expired.

use super::record::{CommitKey, OffsetRecord};
use model::{GroupId, OwnershipEpoch, PartitionId, Timestamp, TopicName, TopicPartition};
use std::collections::BTreeMap;
use std::time::Duration;

/// The committed offsets of all groups of a region.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    version: u64,
    entries: BTreeMap<CommitKey, Entry>,
    /// The newest change of each key, in order.
    changes: BTreeMap<u64, CommitKey>,
}

/// `None` is a deleted offset: it is kept for the feed.
#[derive(Clone, Debug)]
struct Entry {
    version: u64,
    committed: Option<OffsetRecord>,
}

/// One change of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is of.
    pub key: CommitKey,
    /// The offset; `None` when it was deleted.
    pub committed: Option<OffsetRecord>,
}

/// A part of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The newest change of each key that changed, oldest first.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub version: u64,
    /// Whether nothing more has changed.
    pub complete: bool,
}

impl Offsets {
    /// Counts the changes; it starts at 0 whenever the log is replayed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes a commit, or the deletion of one, that is durable in the log.
    pub fn apply(&mut self, key: CommitKey, committed: Option<OffsetRecord>) {
        self.version += 1;
        let entry = Entry { version: self.version, committed };
        if let Some(before) = self.entries.insert(key.clone(), entry) {
            self.changes.remove(&before.version);
        }
        self.changes.insert(self.version, key);
    }

    /// Forgets what another broker of the region keeps from now on. That is no change of the commits.
    pub fn unload(&mut self, moved: impl Fn(&GroupId) -> bool) {
        let changes = &mut self.changes;
        self.entries.retain(|key, entry| {
            let stays = !moved(&key.group);
            if !stays {
                changes.remove(&entry.version);
            }
            stays
        });
    }

    /// Whether a commit that came from the owner region, which holds the group under `authority`, is to be appended here.
    ///
    /// What this region knows under a newer grant stands; otherwise the owner is right, whatever the clocks say: its feed
    /// is in the order in which it committed.
    pub fn accepts_remote(&self, key: &CommitKey, authority: OwnershipEpoch, remote: Option<&OffsetRecord>) -> bool {
        let known = self.entries.get(key).and_then(|entry| entry.committed.as_ref());
        match (known, remote) {
            (None, remote) => remote.is_some(),
            (Some(known), _) if known.ownership_epoch > authority => false,
            (Some(_), None) => true,
            (Some(known), Some(remote)) => !same_commit(known, remote),
        }
    }

    /// What the group has committed for a partition.
    pub fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Option<&OffsetRecord> {
        let key = CommitKey { group: group.clone(), partition: partition.clone() };
        self.entries.get(&key)?.committed.as_ref()
    }

    /// Everything the group has committed.
    pub fn of_group(&self, group: &GroupId) -> impl Iterator<Item = (&TopicPartition, &OffsetRecord)> {
        self.keys_of(group).filter_map(|(key, entry)| Some((&key.partition, entry.committed.as_ref()?)))
    }

    fn keys_of(&self, group: &GroupId) -> impl Iterator<Item = (&CommitKey, &Entry)> {
        let least = self.entries.range(first_key(group)..);
        let group = group.clone();
        least.take_while(move |(key, _)| key.group == group)
    }

    /// Whether the group has committed anything.
    pub fn has_group(&self, group: &GroupId) -> bool {
        self.of_group(group).next().is_some()
    }

    /// The groups that have committed something.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let mut last = None;
        let live = self.entries.iter().filter(|(_, entry)| entry.committed.is_some());
        live.map(|(key, _)| &key.group).filter(move |group| last.replace(*group) != Some(group))
    }

    /// What changed after `since` in the groups that `covers` names, at most `limit` changes.
    pub fn feed(&self, since: u64, limit: usize, covers: impl Fn(&GroupId) -> bool) -> Feed {
        let mut feed = Feed { changes: vec![], version: since, complete: true };
        for (version, key) in self.changes.range(since + 1..) {
            if !covers(&key.group) {
                feed.version = *version;
                continue;
            }
            if feed.changes.len() >= limit {
                feed.complete = false;
                return feed;
            }
            let committed = self.entries.get(key).and_then(|entry| entry.committed.clone());
            feed.changes.push(Change { key: key.clone(), committed });
            feed.version = *version;
        }
        feed.version = feed.version.max(self.version);
        feed
    }

    /// The offsets that have outlived `retention`, for the owner to delete: of a group nobody is in, counted from when it
    /// became empty or from the commit, whichever is later. `empty_since` is `None` for a group that somebody is in.
    pub fn expired(
        &self,
        now: Timestamp,
        retention: Duration,
        empty_since: impl Fn(&GroupId) -> Option<Timestamp>,
    ) -> Vec<CommitKey> {
        let is_old = |key: &CommitKey, committed: &OffsetRecord| {
            empty_since(&key.group).is_some_and(|since| since.max(committed.commit_time).plus(retention) <= now)
        };
        let live = self.entries.iter().filter_map(|(key, entry)| Some((key, entry.committed.as_ref()?)));
        live.filter(|(key, committed)| is_old(key, committed)).map(|(key, _)| key.clone()).collect()
    }
}

fn same_commit(a: &OffsetRecord, b: &OffsetRecord) -> bool {
    let content = |record: &OffsetRecord| (record.offset, record.leader_epoch, record.commit_time, record.topic_id);
    content(a) == content(b) && a.metadata == b.metadata
}

/// A key before every real one of the group.
fn first_key(group: &GroupId) -> CommitKey {
    let topic = TopicName::new("-").expect("a hyphen is a name");
    let partition = TopicPartition { topic, partition: PartitionId(i32::MIN) };
    CommitKey { group: group.clone(), partition }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{LeaderEpoch, Offset, TopicId};
    use proptest::prelude::*;

    fn key(group: &str, partition: i32) -> CommitKey {
        let partition = TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionId(partition) };
        CommitKey { group: GroupId::new(group), partition }
    }

    fn at(offset: i64, time: i64, epoch: u32) -> OffsetRecord {
        OffsetRecord {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(1),
            metadata: "m".into(),
            commit_time: Timestamp(time),
            topic_id: TopicId::ZERO,
            ownership_epoch: OwnershipEpoch(epoch),
        }
    }

    #[test]
    fn the_last_commit_of_a_partition_stands() {
        let mut offsets = Offsets::default();
        offsets.apply(key("g", 0), Some(at(5, 1, 1)));
        offsets.apply(key("g", 0), Some(at(3, 2, 1)));
        assert_eq!(offsets.committed(&GroupId::new("g"), &key("g", 0).partition).unwrap().offset, Offset(3));
        offsets.apply(key("g", 0), None);
        assert!(!offsets.has_group(&GroupId::new("g")));
    }

    #[test]
    fn groups_are_told_apart_whatever_their_names() {
        let mut offsets = Offsets::default();
        for group in ["g", "g2", "", "f"] {
            offsets.apply(key(group, 0), Some(at(1, 1, 1)));
            offsets.apply(key(group, 1), Some(at(1, 1, 1)));
        }
        assert_eq!(offsets.of_group(&GroupId::new("g")).count(), 2);
        let groups: Vec<_> = offsets.groups().map(GroupId::as_str).collect();
        assert_eq!(groups, ["", "f", "g", "g2"]);
    }

    #[test]
    fn the_feed_tells_only_the_newest_of_each_key_and_deletions_too() {
        let mut offsets = Offsets::default();
        offsets.apply(key("g", 0), Some(at(1, 1, 1)));
        offsets.apply(key("g", 0), Some(at(2, 2, 1)));
        offsets.apply(key("g", 1), Some(at(9, 2, 1)));
        offsets.apply(key("g", 1), None);
        let feed = offsets.feed(0, 10, |_| true);
        let told: Vec<_> = feed.changes.iter().map(|c| c.committed.as_ref().map(|c| c.offset.0)).collect();
        assert_eq!((told, feed.version, feed.complete), (vec![Some(2), None], 4, true));
        assert!(offsets.feed(feed.version, 10, |_| true).changes.is_empty());
    }

    #[test]
    fn a_feed_of_other_groups_moves_on_without_them() {
        let mut offsets = Offsets::default();
        for partition in 0..5 {
            offsets.apply(key("other", partition), Some(at(1, 1, 1)));
        }
        let feed = offsets.feed(0, 2, |group| group.as_str() == "mine");
        assert_eq!((feed.changes.len(), feed.version, feed.complete), (0, 5, true));
    }

    #[test]
    fn what_another_broker_keeps_is_forgotten_without_a_word_to_followers() {
        let mut offsets = Offsets::default();
        offsets.apply(key("mine", 0), Some(at(1, 1, 1)));
        offsets.apply(key("moved", 0), Some(at(1, 1, 1)));
        offsets.unload(|group| group.as_str() == "moved");
        assert!(!offsets.has_group(&GroupId::new("moved")));
        let told: Vec<_> = offsets.feed(0, 9, |_| true).changes.into_iter().map(|change| change.key).collect();
        assert_eq!(told, [key("mine", 0)]);
    }

    #[test]
    fn the_owner_is_right_about_everything_but_what_a_newer_grant_said() {
        let mut offsets = Offsets::default();
        offsets.apply(key("g", 0), Some(at(50, 900, 1)));
        let rewound = at(40, 100, 2);
        assert!(offsets.accepts_remote(&key("g", 0), OwnershipEpoch(2), Some(&rewound)));
        offsets.apply(key("g", 0), Some(rewound.clone()));
        assert!(!offsets.accepts_remote(&key("g", 0), OwnershipEpoch(1), Some(&at(60, 999, 1))));
        assert!(!offsets.accepts_remote(&key("g", 0), OwnershipEpoch(3), Some(&rewound)));
        assert!(offsets.accepts_remote(&key("g", 0), OwnershipEpoch(2), None));
        assert!(!offsets.accepts_remote(&key("g", 1), OwnershipEpoch(2), None));
    }

    #[test]
    fn offsets_expire_from_when_the_group_became_empty() {
        let mut offsets = Offsets::default();
        offsets.apply(key("empty", 0), Some(at(1, 100, 1)));
        offsets.apply(key("late", 0), Some(at(1, 100, 1)));
        offsets.apply(key("busy", 0), Some(at(1, 100, 1)));
        let since = |group: &GroupId| match group.as_str() {
            "empty" => Some(Timestamp(200)),
            "late" => Some(Timestamp(900)),
            _ => None,
        };
        let expired = offsets.expired(Timestamp(1300), Duration::from_millis(1000), since);
        assert_eq!(expired, vec![key("empty", 0)]);
    }

    proptest! {
        #[test]
        fn a_standby_that_follows_the_feed_holds_the_same(
            commits in prop::collection::vec((0_i32..4, prop::option::of(0_i64..100)), 0..60),
            limit in 1_usize..5,
            pause in 1_usize..10,
        ) {
            let (mut owner, mut standby, mut cursor) = (Offsets::default(), Offsets::default(), 0);
            let follow = |owner: &Offsets, standby: &mut Offsets, cursor: &mut u64| loop {
                let feed = owner.feed(*cursor, limit, |_| true);
                *cursor = feed.version;
                for Change { key, committed } in feed.changes {
                    if standby.accepts_remote(&key, OwnershipEpoch(1), committed.as_ref()) {
                        standby.apply(key, committed);
                    }
                }
                if feed.complete { break }
            };
            for (n, (partition, offset)) in commits.into_iter().enumerate() {
                owner.apply(key("g", partition), offset.map(|offset| at(offset, n as i64, 1)));
                if n % pause == 0 {
                    follow(&owner, &mut standby, &mut cursor);
                }
            }
            follow(&owner, &mut standby, &mut cursor);
            let all = |offsets: &Offsets| {
                let group = GroupId::new("g");
                offsets.of_group(&group).map(|(p, o)| (p.clone(), o.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(all(&owner), all(&standby));
        }
    }
}
