//! Groups of the consumer protocol (KIP-848), heartbeat by heartbeat.

use crate::lone_shell::{Shell, group, seconds};
use broker_core::config::{GROUP_HEARTBEAT, GROUP_SESSION, GroupEntries};
use broker_core::group::offsets::{Offsets, Place};
use broker_core::group::{
    Assigned, Commit, ConsumerHeartbeat, Coordinator, GroupError, InstanceId, MemberId, Partitions, Reply, Request,
    Settings, TopicShape, Topics, replay,
};
use bytes::Bytes;
use model::{PartitionId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) fn id_of(topic: u128) -> TopicId {
    TopicId(Uuid::from_u128(topic))
}

/// Topics `t1`, `t2`, ... with so many partitions.
pub(crate) fn topics(sizes: &[i32]) -> Topics {
    let names: Vec<String> = (1..=sizes.len()).map(|n| format!("t{n}")).collect();
    let shape = |(at, n): (usize, &i32)| TopicShape { id: id_of(at as u128 + 1), partitions: *n };
    names.iter().map(String::as_str).zip(sizes.iter().enumerate().map(shape)).collect()
}

pub(crate) fn parts(of: &[(u128, i32)]) -> Partitions {
    of.iter().map(|(topic, partition)| (id_of(*topic), PartitionId(*partition))).collect()
}

/// One client of the consumer protocol: it does what it is told, at once or later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) instance: Option<&'static str>,
    pub(crate) reads: Vec<&'static str>,
    pub(crate) pattern: Option<&'static str>,
    pub(crate) assignor: Option<&'static str>,
    pub(crate) epoch: i32,
    pub(crate) owned: Partitions,
}

impl Consumer {
    pub(crate) fn new(name: &str, reads: &[&'static str]) -> Self {
        Self { name: name.to_owned(), reads: reads.to_vec(), ..Self::default() }
    }

    pub(crate) fn request(&self, epoch: i32) -> ConsumerHeartbeat {
        let joins = epoch == 0;
        ConsumerHeartbeat {
            group: group(),
            member: MemberId::new(&self.name),
            fresh_member: MemberId::new("fresh"),
            names_itself: true,
            epoch,
            instance: self.instance.map(InstanceId::new),
            rack: None,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout: joins.then(|| seconds(60)),
            topics: joins.then(|| self.reads.iter().map(|&name| name.to_owned()).collect()),
            pattern: self.pattern.filter(|_| joins).map(str::to_owned),
            assignor: self.assignor.filter(|_| joins).map(str::to_owned),
            owned: Some(if joins { Partitions::default() } else { self.owned.clone() }),
        }
    }

    pub(crate) fn send(&mut self, shell: &mut Shell, request: ConsumerHeartbeat) -> Result<Assigned, GroupError> {
        let token = shell.send(Request::Consumer(request));
        let Some(Reply::Consumer(result)) = shell.replies.get(&token).cloned() else { panic!("not answered") };
        if let Ok(assigned) = &result {
            self.epoch = assigned.epoch;
        }
        result
    }

    /// A heartbeat with what it owns; returns what it may own, if that is told.
    pub(crate) fn beat(&mut self, shell: &mut Shell) -> Result<Option<Partitions>, GroupError> {
        let request = self.request(self.epoch);
        self.send(shell, request).map(|assigned| assigned.assignment)
    }

    /// A heartbeat, after which it owns just what it may own.
    pub(crate) fn obey(&mut self, shell: &mut Shell) -> Result<(), GroupError> {
        if let Some(assignment) = self.beat(shell)? {
            self.owned = assignment;
        }
        Ok(())
    }
}

/// A shell that knows topics of these sizes.
pub(crate) fn shell(sizes: &[i32]) -> Shell {
    let mut shell = Shell::prompt();
    shell.coordinator.see_topics(topics(sizes));
    shell
}

/// Heartbeats in turn until nothing changes any more.
fn settle(shell: &mut Shell, consumers: &mut [&mut Consumer]) {
    for _ in 0..12 {
        consumers.iter_mut().for_each(|consumer| consumer.obey(shell).unwrap());
    }
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().state, "Stable");
}

fn sizes(consumers: &[&Consumer]) -> Vec<usize> {
    consumers.iter().map(|consumer| consumer.owned.len()).collect()
}

/// Another coordinator that has read the same log.
pub(crate) fn restarted(shell: &Shell) -> Shell {
    let mut again = Shell::prompt();
    let mut offsets = Offsets::default();
    again.now = shell.now;
    let last: BTreeMap<Bytes, usize> =
        shell.records.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
    let compacted = shell.records.iter().enumerate().filter(|(at, (key, _))| last[key] == *at);
    for (_, (key, value)) in compacted {
        let now = again.moment();
        replay(&mut again.coordinator, &mut offsets, now, Place::default(), key, value.as_ref()).unwrap();
    }
    again
}

#[test]
fn one_member_gets_everything_at_once() {
    let mut shell = shell(&[3]);
    let mut a = Consumer::new("a", &["t1"]);
    let answer = a.send(&mut shell, Consumer::new("a", &["t1"]).request(0)).unwrap();
    assert_eq!(answer.assignment, Some(parts(&[(1, 0), (1, 1), (1, 2)])));
    assert_eq!((answer.epoch, answer.heartbeat_interval), (1, seconds(5)));
    a.owned = answer.assignment.unwrap();
    assert_eq!(a.beat(&mut shell), Ok(None), "nothing new is told");
}

#[test]
fn a_partition_goes_to_its_new_owner_only_after_the_old_one_gave_it_back() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    a.obey(&mut shell).unwrap();
    b.obey(&mut shell).unwrap();
    assert_eq!((b.owned.len(), b.epoch), (0, 2), "a still owns all of them");
    let kept = a.beat(&mut shell).unwrap().unwrap();
    assert_eq!((kept.len(), a.epoch), (2, 1), "a is to give two back and stays in its epoch");
    assert_eq!(b.beat(&mut shell), Ok(None));
    assert_eq!(a.beat(&mut shell), Ok(None), "it still owns them");
    assert_eq!(b.beat(&mut shell), Ok(None));
    a.owned = kept;
    assert_eq!(a.beat(&mut shell), Ok(None));
    assert_eq!(a.epoch, 2, "it has given them back");
    b.obey(&mut shell).unwrap();
    assert_eq!((b.owned.len(), b.owned.intersects(&a.owned)), (2, false));
    settle(&mut shell, &mut [&mut a, &mut b]);
}

/// Gives the group a session of its own, in whole seconds, and a heartbeat interval of one.
fn hasten(shell: &mut Shell, session: u64) {
    let own = [(GROUP_SESSION, session), (GROUP_HEARTBEAT, 1)];
    let own = own.map(|(name, seconds)| (name.to_owned(), (seconds * 1000).to_string()));
    let entries = GroupEntries::from([(group(), own.into())]);
    shell.coordinator.see_entries(shell.moment(), &Arc::new(entries));
}

#[test]
fn a_group_may_say_how_long_its_members_are_silent() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    hasten(&mut shell, 3);
    settle(&mut shell, &mut [&mut a, &mut b]);
    let request = a.request(a.epoch);
    assert_eq!(a.send(&mut shell, request).unwrap().heartbeat_interval, seconds(1));
    shell.pass(seconds(2));
    a.beat(&mut shell).unwrap();
    shell.pass(seconds(2));
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(a.owned.len(), 4, "b was silent for more than three seconds");
}

#[test]
fn a_shorter_session_counts_from_the_heartbeat_that_tells_it() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    settle(&mut shell, &mut [&mut a, &mut b]);
    hasten(&mut shell, 3);
    shell.pass(seconds(5));
    a.beat(&mut shell).unwrap();
    b.beat(&mut shell).unwrap();
    shell.pass(seconds(2));
    a.beat(&mut shell).unwrap();
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().members.len(), 2, "each has heard of it in time");
    shell.pass(seconds(2));
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().members.len(), 1);
}

#[test]
fn who_never_hears_of_a_shorter_session_is_out_soon() {
    let mut before = shell(&[4]);
    let mut a = Consumer::new("a", &["t1"]);
    settle(&mut before, &mut [&mut a]);
    let mut shell = restarted(&before);
    hasten(&mut shell, 3);
    shell.pass(seconds(7));
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().members.len(), 1);
    shell.pass(seconds(2));
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().members.len(), 0);
}

#[test]
fn a_silent_member_is_out_and_the_rest_takes_over() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    settle(&mut shell, &mut [&mut a, &mut b]);
    for _ in 0..10 {
        shell.pass(seconds(5));
        a.obey(&mut shell).unwrap();
    }
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(a.owned.len(), 4);
    assert_eq!(b.beat(&mut shell), Err(GroupError::UnknownMember(MemberId::new("b"))));
    b.epoch = 0;
    b.obey(&mut shell).unwrap();
    settle(&mut shell, &mut [&mut a, &mut b]);
    assert_eq!(sizes(&[&a, &b]), [2, 2]);
}

#[test]
fn a_member_that_does_not_give_back_in_time_is_out() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    a.obey(&mut shell).unwrap();
    b.obey(&mut shell).unwrap();
    for _ in 0..13 {
        shell.pass(seconds(5));
        let _ = a.beat(&mut shell);
        b.obey(&mut shell).unwrap();
    }
    assert_eq!(a.beat(&mut shell), Err(GroupError::UnknownMember(MemberId::new("a"))));
    settle(&mut shell, &mut [&mut b]);
    assert_eq!(b.owned.len(), 4);
}

#[test]
fn who_leaves_leaves_its_partitions_to_the_rest() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    settle(&mut shell, &mut [&mut a, &mut b]);
    let left = b.request(-1);
    assert_eq!(b.send(&mut shell, left).unwrap().epoch, -1);
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(a.owned.len(), 4);
    let left = a.request(-1);
    a.send(&mut shell, left).unwrap();
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().state, "Empty");
}

#[test]
fn epochs_that_are_not_the_members_are_fenced_and_a_lost_answer_is_forgiven() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    settle(&mut shell, &mut [&mut a, &mut b]);
    let (current, previous) = (a.epoch, a.epoch - 1);
    let ahead = a.request(current + 1);
    assert_eq!(a.send(&mut shell, ahead), Err(GroupError::FencedMemberEpoch { given: current + 1, current }));
    let behind = a.request(previous);
    assert_eq!(a.send(&mut shell, behind.clone()).unwrap().epoch, current, "the answer with the epoch was lost");
    let too_much = ConsumerHeartbeat { owned: Some(parts(&[(1, 0), (1, 1), (1, 2)])), ..behind };
    assert!(matches!(a.send(&mut shell, too_much), Err(GroupError::FencedMemberEpoch { .. })));
    a.epoch = 0;
    a.owned = Partitions::default();
    a.obey(&mut shell).unwrap();
    assert_eq!((a.epoch, a.owned.len()), (current, 2), "it joins again and gets back what it may own");
}

#[test]
fn commits_and_reads_need_the_members_epoch() {
    let mut shell = shell(&[1]);
    let mut a = Consumer::new("a", &["t1"]);
    a.obey(&mut shell).unwrap();
    let commit = |member: &str, generation: i32, knows_epochs: bool| Commit {
        group: group(),
        member: MemberId::new(member),
        instance: None,
        generation,
        knows_epochs,
    };
    let now = shell.moment();
    let mut admit = |commit| shell.coordinator.admit_commit(now, &commit);
    assert_eq!(admit(commit("a", 1, true)), Ok(()));
    assert_eq!(admit(commit("a", 1, false)), Err(GroupError::CommitTooOld));
    assert_eq!(admit(commit("a", 0, true)), Err(GroupError::StaleMemberEpoch { given: 0, current: 1 }));
    assert_eq!(admit(commit("b", 1, true)), Err(GroupError::UnknownMember(MemberId::new("b"))));
    assert!(admit(commit("", -1, true)).is_err(), "somebody is in the group");
    let fetch = |member: &str, epoch| shell.coordinator.admit_fetch(&group(), &MemberId::new(member), epoch);
    assert_eq!(fetch("", -1), Ok(()));
    assert_eq!(fetch("a", 1), Ok(()));
    assert_eq!(fetch("a", 7), Err(GroupError::StaleMemberEpoch { given: 7, current: 1 }));
}

#[test]
fn a_static_member_comes_back_to_what_it_owned() {
    let mut shell = shell(&[4]);
    let mut a = Consumer { instance: Some("i"), ..Consumer::new("a", &["t1"]) };
    let mut b = Consumer::new("b", &["t1"]);
    settle(&mut shell, &mut [&mut a, &mut b]);
    let mut twin = Consumer { instance: Some("i"), ..Consumer::new("a2", &["t1"]) };
    assert_eq!(twin.beat(&mut shell), Err(GroupError::UnreleasedInstance(InstanceId::new("i"))));
    let away = a.request(-2);
    assert_eq!(a.send(&mut shell, away).unwrap().epoch, -2);
    let epoch = shell.coordinator.describe_consumer(&group()).unwrap().epoch;
    b.obey(&mut shell).unwrap();
    twin.obey(&mut shell).unwrap();
    assert_eq!(twin.owned, a.owned);
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().epoch, epoch, "nobody was disturbed");
    a.epoch = epoch;
    assert_eq!(a.beat(&mut shell), Err(GroupError::FencedInstance(InstanceId::new("i"))));
    settle(&mut shell, &mut [&mut twin, &mut b]);
}

#[test]
fn a_static_member_that_stays_away_is_out_when_its_session_ends() {
    let mut shell = shell(&[4]);
    let mut a = Consumer { instance: Some("i"), ..Consumer::new("a", &["t1"]) };
    let mut b = Consumer::new("b", &["t1"]);
    settle(&mut shell, &mut [&mut a, &mut b]);
    let away = a.request(-2);
    a.send(&mut shell, away).unwrap();
    for _ in 0..10 {
        shell.pass(seconds(5));
        b.obey(&mut shell).unwrap();
    }
    settle(&mut shell, &mut [&mut b]);
    assert_eq!(b.owned.len(), 4);
}

#[test]
fn new_partitions_and_deleted_topics_reach_the_members() {
    let mut shell = shell(&[2, 1]);
    let mut a = Consumer::new("a", &["t1", "t2", "later"]);
    settle(&mut shell, &mut [&mut a]);
    let epoch = a.epoch;
    shell.coordinator.see_topics(topics(&[5, 1]));
    a.obey(&mut shell).unwrap();
    assert_eq!((a.owned.len(), a.epoch), (6, epoch + 1));
    shell.coordinator.see_topics(topics(&[5]));
    settle(&mut shell, &mut [&mut a]);
    assert_eq!((a.owned.len(), a.epoch), (5, epoch + 2));
    shell.coordinator.see_topics(topics(&[5]));
    a.obey(&mut shell).unwrap();
    assert_eq!(a.epoch, epoch + 2, "the same topics are no news");
}

#[test]
fn a_pattern_follows_the_topics_that_come() {
    let mut shell = shell(&[2]);
    let mut a = Consumer { pattern: Some("t[12]"), ..Consumer::new("a", &[]) };
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(a.owned.len(), 2);
    shell.coordinator.see_topics(topics(&[2, 3, 4]));
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(a.owned.len(), 5, "t3 is not meant");
    let mut bad = Consumer { pattern: Some("t["), ..Consumer::new("bad", &[]) };
    assert!(matches!(bad.beat(&mut shell), Err(GroupError::InvalidPattern(_))));
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().members.len(), 1);
}

#[test]
fn a_member_that_reads_something_else_gives_back_first() {
    let mut shell = shell(&[2, 2]);
    let mut a = Consumer::new("a", &["t1"]);
    settle(&mut shell, &mut [&mut a]);
    let mut changed = a.request(a.epoch);
    changed.topics = Some(["t2".to_owned()].into());
    let told = a.send(&mut shell, changed).unwrap();
    assert_eq!(told.assignment, Some(Partitions::default()));
    a.owned = Partitions::default();
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(a.owned, parts(&[(2, 0), (2, 1)]));
}

#[test]
fn the_assignor_most_members_ask_for_is_used() {
    let mut shell = shell(&[4, 4]);
    let mut a = Consumer { assignor: Some("range"), ..Consumer::new("a", &["t1", "t2"]) };
    let mut b = Consumer { assignor: Some("range"), ..Consumer::new("b", &["t1", "t2"]) };
    settle(&mut shell, &mut [&mut a, &mut b]);
    assert_eq!(a.owned, parts(&[(1, 0), (1, 1), (2, 0), (2, 1)]));
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().assignor, "range");
    let mut c = Consumer { assignor: Some("mine"), ..Consumer::new("c", &["t1"]) };
    assert_eq!(c.beat(&mut shell), Err(GroupError::UnsupportedAssignor("mine".into())));
}

#[test]
fn what_is_no_heartbeat_is_refused_with_the_reason() {
    let mut shell = shell(&[1]);
    let mut a = Consumer::new("a", &["t1"]);
    let good = a.request(0);
    let bad = [
        ConsumerHeartbeat { member: MemberId::new(""), ..good.clone() },
        ConsumerHeartbeat { rebalance_timeout: None, ..good.clone() },
        ConsumerHeartbeat { topics: None, ..good.clone() },
        ConsumerHeartbeat { owned: Some(parts(&[(1, 0)])), ..good.clone() },
        ConsumerHeartbeat { epoch: -2, ..good.clone() },
        ConsumerHeartbeat { epoch: -3, ..good.clone() },
    ];
    for request in bad {
        assert!(matches!(a.send(&mut shell, request), Err(GroupError::InvalidHeartbeat(_))));
    }
    let unnamed = ConsumerHeartbeat { member: MemberId::new(""), names_itself: false, ..good };
    assert_eq!(a.send(&mut shell, unnamed).unwrap().member, MemberId::new("fresh"));
}

#[test]
fn a_restart_keeps_epochs_targets_and_what_members_own() {
    let mut shell = shell(&[4, 1]);
    let mut a = Consumer { pattern: Some("t.*"), ..Consumer::new("a", &[]) };
    let mut b = Consumer::new("b", &["t1"]);
    a.obey(&mut shell).unwrap();
    b.obey(&mut shell).unwrap();
    let kept = a.beat(&mut shell).unwrap().unwrap();
    let described = shell.coordinator.describe_consumer(&group()).unwrap();
    let mut again = restarted(&shell);
    again.coordinator.see_topics(topics(&[4, 1]));
    assert_eq!(again.coordinator.describe_consumer(&group()), Some(described));
    a.owned = kept;
    settle(&mut again, &mut [&mut a, &mut b]);
    assert_eq!(a.owned.len() + b.owned.len(), 5);
    again.pass(seconds(46));
    assert_eq!(again.coordinator.describe_consumer(&group()).unwrap().members.len(), 0, "nobody showed up");
    assert!(restarted(&again).coordinator.describe_consumer(&group()).unwrap().members.is_empty());
}

#[test]
fn what_cannot_be_written_has_not_happened() {
    let mut shell = shell(&[4]);
    let (mut a, mut b) = (Consumer::new("a", &["t1"]), Consumer::new("b", &["t1"]));
    shell.refuses = true;
    assert_eq!(a.beat(&mut shell), Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(shell.coordinator.describe_consumer(&group()), None);
    shell.refuses = false;
    settle(&mut shell, &mut [&mut a]);
    let before = shell.coordinator.describe_consumer(&group());
    shell.refuses = true;
    assert_eq!(b.beat(&mut shell), Err(GroupError::CoordinatorNotAvailable));
    shell.pass(seconds(60));
    assert_eq!(shell.coordinator.describe_consumer(&group()), before);
    shell.refuses = false;
    shell.pass(seconds(46));
    assert_eq!(shell.coordinator.describe_consumer(&group()).unwrap().members.len(), 0, "it was silent for long");
}

#[test]
fn members_of_a_group_that_is_gone_are_told_to_join_again() {
    let mut shell = shell(&[2]);
    let mut a = Consumer::new("a", &["t1"]);
    settle(&mut shell, &mut [&mut a]);
    shell.lose();
    assert!(restarted(&shell).coordinator.describe_consumer(&group()).is_none(), "its records are taken back");
    assert_eq!(a.beat(&mut shell), Err(GroupError::UnknownMember(MemberId::new("a"))));
    a.epoch = 0;
    a.owned = Partitions::default();
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(a.owned.len(), 2);
}

#[test]
fn an_empty_group_makes_room_for_the_other_protocol() {
    let mut shell = shell(&[2]);
    let mut a = Consumer::new("a", &["t1"]);
    settle(&mut shell, &mut [&mut a]);
    let left = a.request(-1);
    a.send(&mut shell, left).unwrap();
    let token = shell.join("");
    let joined = shell.join_result(token).unwrap();
    assert!(joined.generation > 1, "generations go on from the epoch");
    assert!(shell.coordinator.describe_consumer(&group()).is_none());
    shell.leave(joined.member.as_str(), None).unwrap();
    a.epoch = 0;
    a.owned = Partitions::default();
    settle(&mut shell, &mut [&mut a]);
    assert!(a.epoch > joined.generation);
    assert!(shell.coordinator.describe(&group()).is_none());
    assert!(restarted(&shell).coordinator.describe(&group()).is_none());
}

#[test]
fn a_full_group_takes_no_more() {
    let mut shell = Shell::new(Settings { members_max: 1, ..Settings::default() });
    shell.coordinator.see_topics(topics(&[1]));
    Consumer::new("a", &["t1"]).obey(&mut shell).unwrap();
    assert_eq!(Consumer::new("b", &["t1"]).beat(&mut shell), Err(GroupError::GroupFull(1)));
}

#[test]
fn a_deleted_group_leaves_nothing_behind() {
    let mut shell = shell(&[1]);
    let mut a = Consumer::new("a", &["t1"]);
    settle(&mut shell, &mut [&mut a]);
    assert_eq!(shell.coordinator.delete(&group(), true), Err(GroupError::NonEmptyGroup));
    let left = a.request(-1);
    a.send(&mut shell, left).unwrap();
    let deleted = shell.coordinator.delete(&group(), true).unwrap();
    shell.perform(deleted);
    assert!(!restarted(&shell).coordinator.contains(&group()));
    assert!(Coordinator::new(Settings::default()).describe_consumer(&group()).is_none());
}
