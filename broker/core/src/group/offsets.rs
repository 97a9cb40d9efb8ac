//! Committed offsets: what is durable in `__consumer_offsets`, and the streams of it that standbys copy.
//!
//! ```text
//!   commit --admitted--> append to the log --durable--> apply --> committed
//!                                                         |
//!                                                         +-----> feed(since) --> a standby: accepts_remote?
//! ```
//!
//! Every partition of the topic is a stream of its own, and a place in it is the offset of the commit's record: another
//! leader, and another start of this one, read the same log and tell the same. Only what compaction has dropped is told by
//! nobody who reads the log later; a deletion may be among it.
//!
//! An offset is kept as it was committed: never clamped, and on a standby never expired.

use super::record::{CommitKey, OffsetRecord};
use model::{GroupId, Offset, OwnershipEpoch, PartitionId, Timestamp, TopicName, TopicPartition};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a record lies in `__consumer_offsets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
}

/// The committed offsets of the groups that are coordinated here.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    version: u64,
    entries: BTreeMap<CommitKey, Entry>,
    /// The newest change of each key, in the order of the logs.
    changes: BTreeMap<Place, CommitKey>,
    /// What is known of each partition of the topic.
    streams: BTreeMap<PartitionId, Stream>,
}

/// `None` is a deleted offset: it is kept for the feed.
#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    committed: Option<OffsetRecord>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Every commit below is here.
    newest: Offset,
    /// Below it deletions may have been dropped before they were read here.
    swept: Offset,
}

/// One change of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is of.
    pub key: CommitKey,
    /// The offset; `None` when it was deleted.
    pub committed: Option<OffsetRecord>,
}

/// A part of a partition's feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The newest change of each key that changed, oldest first.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub next: Offset,
    /// Whether nothing more has changed.
    pub complete: bool,
}

impl Offsets {
    /// Rises with every change of what the feeds say.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes a commit, or the deletion of one, that is durable in the log at `place`.
    pub fn apply(&mut self, place: Place, key: CommitKey, committed: Option<OffsetRecord>) {
        self.version += 1;
        if let Some(before) = self.entries.insert(key.clone(), Entry { place, committed }) {
            self.changes.remove(&before.place);
        }
        self.changes.insert(place, key);
        self.streams.entry(place.partition).or_default().newest.advance(place.offset.plus(1));
    }

    /// The log of a partition was read up to `upto`, and compaction had dropped something below `swept`.
    pub fn note_read(&mut self, partition: PartitionId, upto: Offset, swept: Offset) {
        self.version += 1;
        let stream = self.streams.entry(partition).or_default();
        stream.newest.advance(upto);
        stream.swept = swept;
    }

    /// Forgets a partition that another broker of the region keeps from now on. That is no change of the commits.
    pub fn unload(&mut self, partition: PartitionId) {
        self.entries.retain(|_, entry| entry.place.partition != partition);
        self.changes.retain(|place, _| place.partition != partition);
        self.streams.remove(&partition);
    }

    /// Every commit of a partition that is known here lies below.
    pub fn newest(&self, partition: PartitionId) -> Offset {
        self.stream(partition).newest
    }

    /// Below it compaction may have dropped deletions of a partition before they were read here.
    pub fn swept(&self, partition: PartitionId) -> Offset {
        self.stream(partition).swept
    }

    fn stream(&self, partition: PartitionId) -> Stream {
        self.streams.get(&partition).copied().unwrap_or_default()
    }

    /// From where to go on for somebody who has a partition's commits up to `since`, and who was told of `swept` then: from
    /// the start if a deletion may have been dropped that he has not heard of.
    pub fn resume(&self, partition: PartitionId, since: Offset, swept: Offset) -> Offset {
        let stream = self.stream(partition);
        let has_missed = since < stream.swept && swept != stream.swept;
        if has_missed || since > stream.newest { Offset::ZERO } else { since }
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

    /// What changed in a partition from `since` on in the groups that `covers` names, at most `limit` changes.
    pub fn feed(&self, partition: PartitionId, since: Offset, limit: usize, covers: impl Fn(&GroupId) -> bool) -> Feed {
        let mut feed = Feed { changes: vec![], next: since, complete: true };
        let upto = Place { partition, offset: Offset(i64::MAX) };
        for (place, key) in self.changes.range(Place { partition, offset: since }..upto) {
            if covers(&key.group) {
                if feed.changes.len() >= limit {
                    feed.complete = false;
                    return feed;
                }
                let committed = self.entries.get(key).and_then(|entry| entry.committed.clone());
                feed.changes.push(Change { key: key.clone(), committed });
            }
            feed.next = place.offset.plus(1);
        }
        feed.next.advance(self.newest(partition));
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
    use model::{LeaderEpoch, TopicId};
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

    /// The commits of one partition of the topic, whose log the tests write.
    #[derive(Default)]
    struct Owner {
        offsets: Offsets,
        log: Vec<(CommitKey, Option<OffsetRecord>)>,
    }

    const ONE: PartitionId = PartitionId(1);

    fn place(offset: usize) -> Place {
        Place { partition: ONE, offset: Offset(offset as i64) }
    }

    impl Owner {
        fn commit(&mut self, key: CommitKey, committed: Option<OffsetRecord>) {
            self.offsets.apply(place(self.log.len()), key.clone(), committed.clone());
            self.log.push((key, committed));
        }

        fn feed(&self, since: i64, limit: usize) -> Feed {
            self.offsets.feed(ONE, Offset(since), limit, |_| true)
        }

        /// Another leader reads the log, of which compaction has left only the newest of each key; no deletions.
        fn move_on(&mut self) {
            self.offsets = Offsets::default();
            let is_newest = |at: usize| !self.log[at + 1..].iter().any(|(key, _)| *key == self.log[at].0);
            let mut swept = 0;
            for at in 0..self.log.len() {
                let (key, committed) = self.log[at].clone();
                match committed {
                    Some(_) if is_newest(at) => self.offsets.apply(place(at), key, committed),
                    _ => swept = at + 1,
                }
            }
            self.offsets.note_read(ONE, Offset(self.log.len() as i64), Offset(swept as i64));
        }
    }

    #[test]
    fn the_last_commit_of_a_partition_stands() {
        let mut owner = Owner::default();
        owner.commit(key("g", 0), Some(at(5, 1, 1)));
        owner.commit(key("g", 0), Some(at(3, 2, 1)));
        let group = GroupId::new("g");
        assert_eq!(owner.offsets.committed(&group, &key("g", 0).partition).unwrap().offset, Offset(3));
        owner.commit(key("g", 0), None);
        assert!(!owner.offsets.has_group(&group));
    }

    #[test]
    fn groups_are_told_apart_whatever_their_names() {
        let mut owner = Owner::default();
        for group in ["g", "g2", "", "f"] {
            owner.commit(key(group, 0), Some(at(1, 1, 1)));
            owner.commit(key(group, 1), Some(at(1, 1, 1)));
        }
        assert_eq!(owner.offsets.of_group(&GroupId::new("g")).count(), 2);
        let groups: Vec<_> = owner.offsets.groups().map(GroupId::as_str).collect();
        assert_eq!(groups, ["", "f", "g", "g2"]);
    }

    #[test]
    fn the_feed_tells_only_the_newest_of_each_key_and_deletions_too() {
        let mut owner = Owner::default();
        owner.commit(key("g", 0), Some(at(1, 1, 1)));
        owner.commit(key("g", 0), Some(at(2, 2, 1)));
        owner.commit(key("g", 1), Some(at(9, 2, 1)));
        owner.commit(key("g", 1), None);
        let feed = owner.feed(0, 10);
        let told: Vec<_> = feed.changes.iter().map(|c| c.committed.as_ref().map(|c| c.offset.0)).collect();
        assert_eq!((told, feed.next, feed.complete), (vec![Some(2), None], Offset(4), true));
        assert!(owner.feed(feed.next.0, 10).changes.is_empty());
    }

    #[test]
    fn a_feed_of_other_groups_moves_on_without_them() {
        let mut owner = Owner::default();
        (0..5).for_each(|partition| owner.commit(key("other", partition), Some(at(1, 1, 1))));
        let feed = owner.offsets.feed(ONE, Offset(0), 2, |group| group.as_str() == "mine");
        assert_eq!((feed.changes.len(), feed.next, feed.complete), (0, Offset(5), true));
    }

    #[test]
    fn partitions_are_streams_of_their_own_and_one_is_forgotten_without_a_word_to_followers() {
        let mut owner = Owner::default();
        owner.commit(key("mine", 0), Some(at(1, 1, 1)));
        owner.offsets.apply(Place::default(), key("moved", 0), Some(at(1, 1, 1)));
        let of_moved = |owner: &Owner| owner.offsets.feed(PartitionId(0), Offset(0), 9, |_| true).changes.len();
        assert_eq!((of_moved(&owner), owner.offsets.newest(PartitionId(0))), (1, Offset(1)));
        owner.offsets.unload(PartitionId(0));
        assert!(!owner.offsets.has_group(&GroupId::new("moved")));
        assert_eq!((of_moved(&owner), owner.offsets.newest(PartitionId(0))), (0, Offset(0)));
        let told: Vec<_> = owner.feed(0, 9).changes.into_iter().map(|change| change.key).collect();
        assert_eq!(told, [key("mine", 0)]);
    }

    #[test]
    fn another_leader_goes_on_where_the_last_one_stopped() {
        let mut owner = Owner::default();
        (0..5).for_each(|partition| owner.commit(key("g", partition), Some(at(1, 1, 1))));
        let newest = owner.offsets.newest(ONE);
        owner.move_on();
        assert_eq!((owner.offsets.newest(ONE), owner.offsets.resume(ONE, newest, Offset(0))), (newest, newest));
        assert_eq!(owner.offsets.resume(ONE, Offset(2), Offset(0)), Offset(2), "nothing was dropped");
        owner.commit(key("g", 1), Some(at(9, 2, 1)));
        assert_eq!(owner.feed(newest.0, 9).changes.len(), 1);
    }

    #[test]
    fn who_may_have_missed_a_deletion_hears_everything_again_page_by_page() {
        let mut owner = Owner::default();
        (0..5).for_each(|partition| owner.commit(key("g", partition), Some(at(1, 1, 1))));
        owner.commit(key("g", 4), None);
        owner.move_on();
        assert_eq!(owner.offsets.newest(ONE), Offset(6), "what was dropped counts");
        let swept = owner.offsets.swept(ONE);
        assert_eq!((swept, owner.offsets.resume(ONE, Offset(5), Offset(0))), (Offset(6), Offset(0)));
        let page = owner.feed(0, 2);
        assert_eq!((page.next, page.complete), (Offset(2), false));
        assert_eq!(owner.offsets.resume(ONE, page.next, swept), Offset(2), "and then goes on");
        assert_eq!(owner.offsets.resume(ONE, Offset(7), swept), Offset(0), "nobody can have that");
    }

    #[test]
    fn the_owner_is_right_about_everything_but_what_a_newer_grant_said() {
        let mut offsets = Offsets::default();
        offsets.apply(place(0), key("g", 0), Some(at(50, 900, 1)));
        let rewound = at(40, 100, 2);
        assert!(offsets.accepts_remote(&key("g", 0), OwnershipEpoch(2), Some(&rewound)));
        offsets.apply(place(1), key("g", 0), Some(rewound.clone()));
        assert!(!offsets.accepts_remote(&key("g", 0), OwnershipEpoch(1), Some(&at(60, 999, 1))));
        assert!(!offsets.accepts_remote(&key("g", 0), OwnershipEpoch(3), Some(&rewound)));
        assert!(offsets.accepts_remote(&key("g", 0), OwnershipEpoch(2), None));
        assert!(!offsets.accepts_remote(&key("g", 1), OwnershipEpoch(2), None));
    }

    #[test]
    fn offsets_expire_from_when_the_group_became_empty() {
        let mut offsets = Offsets::default();
        offsets.apply(place(0), key("empty", 0), Some(at(1, 100, 1)));
        offsets.apply(place(1), key("late", 0), Some(at(1, 100, 1)));
        offsets.apply(place(2), key("busy", 0), Some(at(1, 100, 1)));
        let since = |group: &GroupId| match group.as_str() {
            "empty" => Some(Timestamp(200)),
            "late" => Some(Timestamp(900)),
            _ => None,
        };
        let expired = offsets.expired(Timestamp(1300), Duration::from_millis(1000), since);
        assert_eq!(expired, vec![key("empty", 0)]);
    }

    /// Carries everything there is to the standby, in pages of `limit`.
    fn follow(owner: &Owner, standby: &mut Owner, (since, swept): &mut (Offset, Offset), limit: usize) {
        loop {
            let feed = owner.feed(owner.offsets.resume(ONE, *since, *swept).0, limit);
            (*since, *swept) = (feed.next, owner.offsets.swept(ONE));
            for Change { key, committed } in feed.changes {
                if standby.offsets.accepts_remote(&key, OwnershipEpoch(1), committed.as_ref()) {
                    standby.commit(key, committed);
                }
            }
            if feed.complete {
                return;
            }
        }
    }

    proptest! {
        #[test]
        fn a_standby_that_follows_the_feed_holds_the_same_whoever_leads(
            commits in prop::collection::vec((0_i32..4, prop::option::of(0_i64..100)), 0..60),
            limit in 1_usize..5,
            pause in 1_usize..10,
            move_on in 1_usize..10,
        ) {
            let (mut owner, mut standby, mut read) = (Owner::default(), Owner::default(), Default::default());
            for (n, (partition, offset)) in commits.into_iter().enumerate() {
                owner.commit(key("g", partition), offset.map(|offset| at(offset, n as i64, 1)));
                if n % pause == 0 {
                    follow(&owner, &mut standby, &mut read, limit);
                    // What was deleted is dropped only long after everybody has heard of it.
                    if n % move_on == 0 {
                        owner.move_on();
                    }
                }
            }
            follow(&owner, &mut standby, &mut read, limit);
            let all = |owner: &Owner| {
                let group = GroupId::new("g");
                owner.offsets.of_group(&group).map(|(p, o)| (p.clone(), o.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(all(&owner), all(&standby));
            prop_assert_eq!(read.0, Offset(owner.log.len() as i64));
        }
    }
}
