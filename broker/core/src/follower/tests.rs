use super::*;
use model::{OwnershipEpoch, Timestamp};
use proptest::prelude::*;
use record::{BatchBuilder, Batches, leader_change, set_base_offset, set_leader_epoch};

/// A log of batches with one record each.
#[derive(Clone, Debug, Default, PartialEq)]
struct Log {
    start: Offset,
    flushed: Offset,
    begin: Offset,
    batches: Vec<Bytes>,
    baseline: Baseline,
}

fn headers(log: &Log) -> impl Iterator<Item = record::Header> + '_ {
    log.batches.iter().map(|batch| *Batches::new(batch).next().unwrap().unwrap().header())
}

impl LogView for Log {
    fn start(&self) -> Offset {
        self.start
    }
    fn tail(&self) -> Offset {
        headers(self).last().map_or(self.begin, |last| last.next_offset())
    }
    fn durable(&self) -> Offset {
        self.flushed
    }
    fn last_epoch(&self) -> LeaderEpoch {
        headers(self).last().map_or(LeaderEpoch::NONE, |last| last.leader_epoch)
    }
    fn baseline(&self) -> Baseline {
        self.baseline
    }
    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        if epoch.0 < 0 || epoch > self.last_epoch() {
            return None;
        }
        let mut end = EpochEnd { epoch, end: self.start };
        let mut at = self.begin;
        for header in headers(self) {
            if header.leader_epoch > epoch {
                end.end = at;
                break;
            }
            (at, end) = (header.next_offset(), EpochEnd { epoch: header.leader_epoch, end: header.next_offset() });
        }
        Some(end)
    }
}

impl Log {
    fn of(epochs: &[i32]) -> Self {
        let mut log = Self::default();
        epochs.iter().for_each(|epoch| log.push(*epoch, *epoch as u8));
        log
    }

    fn push(&mut self, epoch: i32, value: u8) {
        let tail = self.tail();
        self.batches.push(batch(tail, epoch, value));
    }

    fn read(&self, from: Offset) -> Bytes {
        let reaching = self.batches.iter().zip(headers(self)).filter(|(_, header)| header.next_offset() > from);
        reaching.flat_map(|(batch, _)| batch.to_vec()).collect()
    }

    fn carry_out(&mut self, commands: &[Command]) {
        for command in commands {
            match command {
                Command::Truncate { to } => {
                    let kept = headers(self).filter(|header| header.next_offset() <= *to).count();
                    self.batches.truncate(kept);
                }
                Command::Restart { at } => {
                    let baseline = self.baseline.cleared();
                    *self = Self { start: *at, begin: *at, flushed: *at, batches: vec![], baseline };
                }
                Command::Inherit(baseline) => self.baseline = *baseline,
                Command::Append { batches } => {
                    let whole = Batches::new(batches).map(|batch| Bytes::copy_from_slice(batch.unwrap().bytes()));
                    self.batches.extend(whole);
                }
                Command::RaiseStart { to } => self.start = *to,
                Command::Commit { .. } | Command::Pause(_) => {}
            }
            self.flushed = self.flushed.min(self.tail());
        }
    }
}

fn batch(base: Offset, epoch: i32, value: u8) -> Bytes {
    let mut bytes = BatchBuilder::new().record(1, None, Some(&[value]), &[]).build();
    set_base_offset(&mut bytes, base);
    set_leader_epoch(&mut bytes, LeaderEpoch(epoch));
    bytes.into()
}

fn under(epoch: i32) -> Follower {
    Follower::new(Leadership { broker: BrokerSlot(1), fence: Fence::Epoch(LeaderEpoch(epoch)) }, vec![])
}

/// What `leader` says to `fetch`.
fn answer(leader: &Log, fetch: Fetch) -> Answer {
    let from = fetch.from;
    let batches = leader.read(from);
    let first = Batches::new(&batches).next().map(|batch| batch.unwrap().base_offset);
    let is_in = from >= leader.start && from <= leader.tail();
    Answer {
        fence: fetch.fence,
        from,
        diverging: divergence(leader, from, fetch.last_epoch),
        trouble: (!is_in).then_some(Trouble::OutOfRange),
        high_watermark: leader.tail(),
        log_start: leader.start,
        baseline: leader.baseline,
        first_offset: first.unwrap_or(from),
        batches,
    }
}

fn ask(follower: &mut Follower, log: &Log, leader: &Log) -> Vec<Command> {
    let fetch = follower.fetch(log).unwrap();
    follower.on_event(Event::Answered(Box::new(answer(leader, fetch))), log)
}

/// Fetches until nothing changes any more.
fn follow(follower: &mut Follower, log: &mut Log, leader: &Log) {
    for _ in 0..100 {
        let commands = ask(follower, log, leader);
        if !commands.iter().any(Command::changes_log) {
            return;
        }
        assert_eq!(follower.fetch(log), None, "a log that is being changed is not fetched for");
        log.carry_out(&commands);
        follower.on_event(Event::Done, log);
    }
    panic!("{log:?} never becomes {leader:?}");
}

#[test]
fn a_replica_takes_what_its_leader_has() {
    let (mut follower, mut log, leader) = (under(3), Log::default(), Log::of(&[1, 1, 3]));
    follow(&mut follower, &mut log, &leader);
    assert_eq!(log.batches, leader.batches);
}

#[test]
fn a_fetch_acknowledges_what_is_on_disk_and_asks_from_the_tail() {
    let (follower, mut log) = (under(1), Log::of(&[1, 1, 1]));
    log.flushed = Offset(2);
    let fetch = follower.fetch(&log).unwrap();
    assert_eq!((fetch.from, fetch.durable, fetch.last_epoch), (Offset(3), Offset(2), LeaderEpoch(1)));
}

#[test]
fn a_diverged_tail_is_cut_where_the_epochs_part_and_not_at_the_watermark() {
    let (mut follower, mut log, leader) = (under(3), Log::of(&[1, 1, 2, 2]), Log::of(&[1, 1, 1, 3]));
    let commands = ask(&mut follower, &log, &leader);
    assert_eq!(commands, [Command::Truncate { to: Offset(2) }]);
    log.carry_out(&commands);
    follower.on_event(Event::Done, &log);
    follow(&mut follower, &mut log, &leader);
    assert_eq!(log.batches, leader.batches);
}

#[test]
fn after_two_fast_elections_the_end_of_a_smaller_epoch_is_asked_about() {
    // KIP-279: the leader's answer names an epoch this log lacks.
    let (mut follower, mut log, leader) = (under(5), Log::of(&[1, 1, 1, 4]), Log::of(&[1, 2, 2, 5]));
    let commands = ask(&mut follower, &log, &leader);
    assert_eq!(commands, [Command::Truncate { to: Offset(3) }]);
    log.carry_out(&commands);
    follower.on_event(Event::Done, &log);
    follow(&mut follower, &mut log, &leader);
    assert_eq!(log.batches, leader.batches);
}

fn baseline(forgotten: i64, remade: u32) -> Baseline {
    Baseline { forgotten: Offset(forgotten), thinned: Offset(forgotten), remade, ..Baseline::default() }
}

#[test]
fn what_the_leader_has_forgotten_is_known_before_what_comes_behind_it_is_here() {
    let (mut follower, mut log, mut leader) = (under(3), Log::of(&[1]), Log::of(&[1, 1]));
    leader.baseline = baseline(2, 0);
    let commands = ask(&mut follower, &log, &leader);
    assert!(matches!(commands[..], [Command::Inherit(_), Command::Append { .. }, _]), "{commands:?}");
    log.carry_out(&commands);
    follower.on_event(Event::Done, &log);
    assert_eq!(log.baseline, leader.baseline);
    log.baseline = baseline(9, 0);
    follow(&mut follower, &mut log, &leader);
    assert_eq!(log.baseline, baseline(9, 0), "a replica of an owner is cleaned by itself");
}

#[test]
fn a_replica_of_a_copy_says_of_itself_what_its_leader_says() {
    let leadership = Leadership { broker: BrokerSlot(1), fence: Fence::Term(CopyTerm(3)) };
    let (mut follower, mut log, mut leader) = (Follower::new(leadership, vec![]), Log::of(&[1]), Log::of(&[1, 1]));
    leader.baseline = baseline(2, 0).missing(model::OffsetRange::new(Offset(1), Offset(2)));
    follow(&mut follower, &mut log, &leader);
    assert_eq!(log.baseline, leader.baseline);
    leader.baseline = baseline(2, 0);
    leader.push(1, 7);
    follow(&mut follower, &mut log, &leader);
    assert_eq!(log.baseline.missed, None);
}

#[test]
fn a_log_that_was_made_anew_is_copied_anew() {
    let (mut follower, mut log, mut leader) = (under(3), Log::of(&[1, 1, 1]), Log::default());
    leader.baseline = baseline(2, 1);
    leader.push(1, 7);
    assert_eq!(ask(&mut follower, &log, &leader), [Command::Restart { at: Offset(0) }]);
    log.carry_out(&[Command::Restart { at: Offset(0) }]);
    follower.on_event(Event::Done, &log);
    follow(&mut follower, &mut log, &leader);
    assert_eq!((&log.batches, log.baseline), (&leader.batches, leader.baseline));
}

#[test]
fn nothing_else_of_a_diverging_answer_counts() {
    let (mut follower, log, leader) = (under(3), Log::of(&[1, 2]), Log::of(&[1, 1, 3]));
    let mut said = answer(&leader, follower.fetch(&log).unwrap());
    assert!(said.diverging.is_some() && said.high_watermark > Offset(1) && !said.batches.is_empty());
    said.trouble = Some(Trouble::OutOfRange);
    let commands = follower.on_event(Event::Answered(Box::new(said)), &log);
    assert_eq!(commands, [Command::Truncate { to: Offset(1) }]);
}

#[test]
fn an_answer_of_another_leadership_or_to_another_fetch_is_dropped() {
    let (mut follower, log, leader) = (under(3), Log::of(&[1, 2]), Log::of(&[1, 3]));
    let said = answer(&leader, follower.fetch(&log).unwrap());
    let fence = Fence::Epoch(LeaderEpoch(2));
    assert_eq!(follower.on_event(Event::Answered(Box::new(Answer { fence, ..said.clone() })), &log), []);
    assert_eq!(follower.on_event(Event::Answered(Box::new(Answer { from: Offset(1), ..said })), &log), []);
}

#[test]
fn a_late_answer_is_dropped_while_the_log_is_changed() {
    let (mut follower, log, leader) = (under(3), Log::of(&[1, 2]), Log::of(&[1, 3]));
    let said = answer(&leader, follower.fetch(&log).unwrap());
    assert_eq!(follower.on_event(Event::Answered(Box::new(said.clone())), &log).len(), 1);
    assert_eq!(follower.on_event(Event::Answered(Box::new(said)), &log), []);
    follower.on_event(Event::Failed, &log);
    assert!(follower.fetch(&log).is_some());
}

fn refused(follower: &mut Follower, log: &Log, said: Answer) -> Trouble {
    match follower.on_event(Event::Answered(Box::new(said)), log).as_slice() {
        [Command::Pause(trouble)] => trouble.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn batches_of_a_later_epoch_than_the_leadership_are_refused() {
    let (mut follower, log, leader) = (under(3), Log::of(&[1]), Log::of(&[1, 4]));
    let said = answer(&leader, follower.fetch(&log).unwrap());
    assert!(matches!(refused(&mut follower, &log, said), Trouble::WrongEpoch { epoch: LeaderEpoch(4), .. }));
}

#[test]
fn damaged_and_overlapping_batches_are_refused_as_a_whole() {
    let (mut follower, log, leader) = (under(3), Log::of(&[1]), Log::of(&[1, 3, 3]));
    let said = answer(&leader, follower.fetch(&log).unwrap());
    let mut bytes = said.batches.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = Answer { batches: bytes.into(), ..said.clone() };
    assert!(matches!(refused(&mut follower, &log, damaged), Trouble::Damaged { at: Offset(2), .. }));
    let twice = [batch(Offset(1), 3, 3), batch(Offset(1), 3, 3)].concat();
    let overlapping = Answer { batches: twice.into(), ..said.clone() };
    let expected = Trouble::OutOfOrder { expected: Offset(2), found: Offset(1) };
    assert_eq!(refused(&mut follower, &log, overlapping), expected);
    let elsewhere = Answer { first_offset: Offset(2), ..said };
    assert!(matches!(refused(&mut follower, &log, elsewhere), Trouble::OutOfOrder { .. }));
}

#[test]
fn a_torn_last_batch_is_left_out() {
    let (mut follower, log, leader) = (under(3), Log::of(&[1]), Log::of(&[1, 3, 3]));
    let mut said = answer(&leader, follower.fetch(&log).unwrap());
    said.batches = said.batches.slice(..said.batches.len() - 1);
    let commands = follower.on_event(Event::Answered(Box::new(said)), &log);
    let append = Command::Append { batches: batch(Offset(1), 3, 3) };
    assert_eq!(commands, [append, Command::Commit { upto: Offset(3) }]);
}

#[test]
fn a_replica_below_the_leaders_start_begins_anew() {
    let (mut follower, mut log, mut leader) = (under(3), Log::of(&[1, 1]), Log::of(&[1, 1, 1, 3, 3]));
    leader.carry_out(&[Command::RaiseStart { to: Offset(3) }]);
    leader.batches.drain(..3);
    leader.begin = Offset(3);
    follow(&mut follower, &mut log, &leader);
    assert_eq!((log.start, &log.batches), (Offset(3), &leader.batches));
}

#[test]
fn a_start_within_a_batch_brings_the_whole_batch() {
    // KAFKA-6975
    let mut leader = Log::default();
    let mut three = BatchBuilder::new().record(1, None, Some(b"a"), &[]);
    three = three.record(1, None, Some(b"b"), &[]).record(1, None, Some(b"c"), &[]);
    let mut bytes = three.build();
    set_leader_epoch(&mut bytes, LeaderEpoch(1));
    leader.batches.push(bytes.into());
    leader.push(1, 9);
    leader.start = Offset(2);
    let (mut follower, mut log) = (under(1), Log::default());
    follow(&mut follower, &mut log, &leader);
    assert_eq!((log.start, log.tail(), &log.batches), (Offset(2), Offset(4), &leader.batches));
}

#[test]
fn the_leaders_start_is_followed_when_nothing_else_is_to_do() {
    let (mut follower, log, mut leader) = (under(1), Log::of(&[1, 1]), Log::of(&[1, 1]));
    leader.start = Offset(1);
    let commands = ask(&mut follower, &log, &leader);
    assert_eq!(commands, [Command::RaiseStart { to: Offset(1) }, Command::Commit { upto: Offset(2) }]);
}

const BASE: Offset = Offset(1 << 40);

fn behind_hole(common_end: i64) -> (Follower, Log) {
    let epoch = LeaderEpoch::of(OwnershipEpoch(2), 0).unwrap();
    let lineage = Lineage { ownership_epoch: OwnershipEpoch(2), common_end: Offset(common_end), base: BASE };
    let leadership = Leadership { broker: BrokerSlot(1), fence: Fence::Epoch(epoch) };
    let mut leader = Log::of(&[1, 1]);
    leader.batches.push(leader_change(BASE, epoch, 1, Timestamp(1)).into());
    (Follower::new(leadership, vec![lineage]), leader)
}

#[test]
fn a_hole_is_crossed_at_the_common_end_and_nowhere_else() {
    let (mut follower, leader) = behind_hole(2);
    let mut log = Log::of(&[1]);
    follow(&mut follower, &mut log, &leader);
    assert_eq!(log.batches, leader.batches);
    let (mut follower, leader) = behind_hole(3);
    let log = Log::of(&[1, 1]);
    let said = answer(&leader, follower.fetch(&log).unwrap());
    assert_eq!(refused(&mut follower, &log, said), Trouble::WrongHole { tail: Offset(2), base: BASE });
}

#[test]
fn the_same_leadership_again_changes_nothing() {
    let mut follower = under(3);
    let leadership = follower.leadership();
    assert!(!follower.assign(leadership, vec![]));
    assert!(follower.assign(Leadership { fence: Fence::Epoch(LeaderEpoch(4)), ..leadership }, vec![]));
}

proptest! {
    /// Logs whose common beginning and whose tails of other epochs are arbitrary: (epoch, offset) names one batch.
    #[test]
    fn any_replica_becomes_its_leader(
        shared in prop::collection::vec(0_i32..4, 0..6),
        own in prop::collection::vec(0_i32..4, 0..6),
        leaders in prop::collection::vec(0_i32..4, 0..6),
    ) {
        let mut epochs = shared;
        epochs.sort_unstable();
        let last = epochs.last().copied().unwrap_or(0);
        let (mut log, mut leader) = (Log::of(&epochs), Log::of(&epochs));
        let mut tails = [(own, 0), (leaders, 1)].map(|(mut steps, side)| {
            steps.sort_unstable();
            // Epochs of one side are never those of the other.
            steps.iter().map(|step| last + 1 + step * 2 + side).collect::<Vec<_>>()
        });
        tails[0].iter().for_each(|epoch| log.push(*epoch, *epoch as u8));
        tails[1].push(last + 20);
        tails[1].iter().for_each(|epoch| leader.push(*epoch, *epoch as u8));
        let mut follower = under(last + 20);
        follow(&mut follower, &mut log, &leader);
        prop_assert_eq!(log.batches, leader.batches);
    }

    /// Whatever comes, nothing is appended that does not follow the tail.
    #[test]
    fn no_answer_breaks_the_order_of_a_log(
        offsets in prop::collection::vec((0_i64..6, 0_i32..6), 0..4),
        first in 0_i64..6,
    ) {
        let (mut follower, mut log) = (under(4), Log::of(&[1, 2]));
        let fetch = follower.fetch(&log).unwrap();
        let bytes: Vec<u8> = offsets.iter().flat_map(|(at, epoch)| batch(Offset(*at), *epoch, 0).to_vec()).collect();
        let said = Answer { first_offset: Offset(first), batches: bytes.into(), ..answer(&Log::of(&[1, 2]), fetch) };
        let commands = follower.on_event(Event::Answered(Box::new(said)), &log);
        log.carry_out(&commands);
        let all: Vec<_> = headers(&log).collect();
        let follows = |a: &record::Header, b: &record::Header| {
            a.next_offset() <= b.base_offset && a.leader_epoch <= b.leader_epoch
        };
        prop_assert!(all.windows(2).all(|pair| follows(&pair[0], &pair[1])));
        prop_assert!(all.iter().all(|header| header.leader_epoch <= LeaderEpoch(4)));
    }
}
