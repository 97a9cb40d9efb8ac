//! What is written down of a group, and read back.
//!
//! A change is the difference of two states. Within one the order is Kafka's: what members own and should own is taken
//! back before they are, and written after them.

use super::group::{Clock, ConsumerGroup, session};
use super::state::{Matched, Member, Progress, State};
use crate::group::record::consumer as format;
use crate::group::record::consumer::{ConsumerKey, ConsumerRecord};
use crate::group::{MemberId, Moment, Settings};
use bytes::Bytes;
use model::GroupId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One record: its key and its value; no value takes the key back.
pub(in crate::group) type Change = (Bytes, Option<Bytes>);

/// The records that lead from `before` to `after`.
pub(super) fn changes(group: &GroupId, before: Option<&State>, after: Option<&State>) -> Vec<Change> {
    let empty = State::default();
    let ends = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    let mut journal = Journal { group, changes: vec![] };
    journal.take_back(ends);
    if let Some(after) = after {
        journal.put(before, after, ends.0);
    } else if before.is_some() {
        journal.drop_key(&ConsumerKey::TargetEpoch);
        journal.drop_key(&ConsumerKey::Epoch);
    }
    journal.changes
}

struct Journal<'a> {
    group: &'a GroupId,
    changes: Vec<Change>,
}

impl Journal<'_> {
    fn drop_key(&mut self, key: &ConsumerKey) {
        self.changes.push((format::key(self.group, key), None));
    }

    fn put_record(&mut self, key: &ConsumerKey, record: &ConsumerRecord<'_>) {
        self.changes.push((format::key(self.group, key), Some(format::value(record))));
    }

    fn take_back(&mut self, (before, after): (&State, &State)) {
        let gone: Vec<&MemberId> = before.members.keys().filter(|id| !after.members.contains_key(*id)).collect();
        gone.iter().for_each(|id| self.drop_key(&ConsumerKey::Assignment((*id).clone())));
        let targets = before.targets.keys().filter(|id| !after.targets.contains_key(*id));
        targets.for_each(|id| self.drop_key(&ConsumerKey::Target(id.clone())));
        gone.iter().for_each(|id| self.drop_key(&ConsumerKey::Member((*id).clone())));
        let patterns = before.patterns.keys().filter(|pattern| !after.patterns.contains_key(*pattern));
        patterns.for_each(|pattern| self.drop_key(&ConsumerKey::Pattern(pattern.clone())));
    }

    fn put(&mut self, was: Option<&State>, after: &State, before: &State) {
        for (id, member) in differing(&before.members, &after.members) {
            if before.members.get(id).is_none_or(|known| !tells_the_same(known, member)) {
                self.put_record(&ConsumerKey::Member(id.clone()), &ConsumerRecord::Member(member));
            }
        }
        for (pattern, matched) in differing(&before.patterns, &after.patterns) {
            self.put_record(&ConsumerKey::Pattern(pattern.clone()), &ConsumerRecord::Pattern(matched));
        }
        if was.is_none_or(|was| (was.epoch, was.metadata_hash) != (after.epoch, after.metadata_hash)) {
            let (epoch, hash) = (after.epoch, after.metadata_hash);
            self.put_record(&ConsumerKey::Epoch, &ConsumerRecord::Epoch { epoch, hash });
        }
        for (id, target) in differing(&before.targets, &after.targets) {
            self.put_record(&ConsumerKey::Target(id.clone()), &ConsumerRecord::Target(target));
        }
        if was.is_none_or(|was| was.target_epoch != after.target_epoch) {
            self.put_record(&ConsumerKey::TargetEpoch, &ConsumerRecord::TargetEpoch(after.target_epoch));
        }
        for (id, member) in differing(&before.members, &after.members) {
            if before.members.get(id).is_none_or(|known| !stands_the_same(known, member)) {
                self.put_record(&ConsumerKey::Assignment(id.clone()), &ConsumerRecord::Assignment(member));
            }
        }
    }
}

fn differing<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, Arc<V>>,
    after: &'a BTreeMap<K, Arc<V>>,
) -> impl Iterator<Item = (&'a K, &'a Arc<V>)> {
    let same =
        |key: &K, value: &Arc<V>| before.get(key).is_some_and(|known| Arc::ptr_eq(known, value) || known == value);
    after.iter().filter(move |(key, value)| !same(key, value))
}

/// Whether a member's own record says the same of both.
fn tells_the_same(a: &Member, b: &Member) -> bool {
    let told = |member: &Member| Member {
        epoch: 0,
        previous_epoch: 0,
        progress: Progress::Stable,
        assigned: Default::default(),
        revoking: Default::default(),
        ..member.clone()
    };
    told(a) == told(b)
}

/// Whether the record of a member's assignment says the same of both.
fn stands_the_same(a: &Member, b: &Member) -> bool {
    let epochs = |member: &Member| (member.epoch, member.previous_epoch, member.progress);
    epochs(a) == epochs(b) && a.assigned == b.assigned && a.revoking == b.revoking
}

/// What a record says, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) enum Told {
    Epoch { epoch: i32, hash: i64 },
    TargetEpoch(i32),
    Member(Box<Member>),
    Target(super::Partitions),
    Assignment(Box<Member>),
    Pattern(Matched),
}

impl ConsumerGroup {
    /// Takes one record in, while the log is replayed. The last one of a key wins.
    pub(in crate::group) fn replay(&mut self, now: Moment, settings: &Settings, key: ConsumerKey, told: Option<Told>) {
        let state = Arc::make_mut(&mut self.state);
        match (key, told) {
            (ConsumerKey::Epoch, Some(Told::Epoch { epoch, hash })) => {
                (state.epoch, state.metadata_hash) = (epoch, hash);
            }
            (ConsumerKey::TargetEpoch, Some(Told::TargetEpoch(epoch))) => state.target_epoch = epoch,
            (ConsumerKey::TargetEpoch, None) => state.target_epoch = 0,
            (ConsumerKey::Member(id), Some(Told::Member(told))) => self.replay_member(now, settings, id, *told),
            (ConsumerKey::Member(id), None) => {
                state.members.remove(&id);
                self.clocks.remove(&id);
            }
            (ConsumerKey::Target(id), Some(Told::Target(target))) => drop(state.targets.insert(id, Arc::new(target))),
            (ConsumerKey::Target(id), None) => drop(state.targets.remove(&id)),
            (ConsumerKey::Assignment(id), told) => self.replay_assignment(now, id, told),
            (ConsumerKey::Pattern(text), Some(Told::Pattern(m))) => drop(state.patterns.insert(text, Arc::new(m))),
            (ConsumerKey::Pattern(text), None) => drop(state.patterns.remove(&text)),
            _ => {}
        }
    }

    fn replay_member(&mut self, now: Moment, settings: &Settings, id: MemberId, told: Member) {
        let state = Arc::make_mut(&mut self.state);
        let known = state.members.remove(&id).map(Arc::unwrap_or_clone).unwrap_or_default();
        let member = Member {
            epoch: known.epoch,
            previous_epoch: known.previous_epoch,
            progress: known.progress,
            assigned: known.assigned,
            revoking: known.revoking,
            ..told
        };
        // Whoever was there before has one session to show up.
        let silent = now.boot + session(settings, &member);
        self.clocks.insert(id.clone(), Clock { silent, revoking: None, acting: None });
        state.members.insert(id, Arc::new(member));
    }

    fn replay_assignment(&mut self, now: Moment, id: MemberId, told: Option<Told>) {
        let state = Arc::make_mut(&mut self.state);
        let Some(member) = state.members.get_mut(&id) else { return };
        let member = Arc::make_mut(member);
        let stands = match told {
            Some(Told::Assignment(stands)) => *stands,
            _ => Member::default(),
        };
        (member.epoch, member.previous_epoch) = (stands.epoch, stands.previous_epoch);
        (member.assigned, member.revoking) = (stands.assigned, stands.revoking);
        member.progress = stands.progress;
        let revokes = member.progress == Progress::Revoking;
        let due = revokes.then_some(now.boot + member.rebalance_timeout);
        if let Some(clock) = self.clocks.get_mut(&id) {
            clock.revoking = due;
        }
    }
}
