//! One region's side of an active-active partition: what it sends, what it takes, what it refuses.

use mirror_core::active::{
    Ask, ConflictState, Content, HybridTime, KeyedRecord, Partition, Policy, Portion, Provenance, Reading, Reason,
    Refusal, Settings, Vector, select,
};
use model::{Incarnation, LeaderEpoch, Offset, OffsetRange, Timestamp};
use std::time::Duration;

const REGIONS: [Incarnation; 3] = [Incarnation(1), Incarnation(2), Incarnation(3)];
const EPOCH: LeaderEpoch = LeaderEpoch(4096);

fn partition(own: u16, policy: Policy) -> Partition {
    let log = Provenance::new(Incarnation(own), Offset::ZERO, Vector::default());
    Partition::new(Settings::new(REGIONS.to_vec(), policy), log)
}

fn at(millis: u64) -> Reading {
    Reading { wall: Timestamp(1_000_000 + millis as i64), boot: Duration::from_millis(millis) }
}

fn keyed(key: &str) -> Vec<KeyedRecord> {
    vec![KeyedRecord { index: 0, key: key.as_bytes().into() }]
}

fn write(region: &mut Partition, key: &str, millis: u64) -> Offset {
    region.write(at(millis), EPOCH, 1, &keyed(key)).local
}

fn ask(target: &Partition, wanted: &[u16]) -> Ask {
    let wanted = wanted.iter().copied().map(Incarnation).collect();
    Ask { target: target.log().own(), have: target.received().clone(), wanted, records_max: 100 }
}

fn answer(source: &Partition, target: &Partition, wanted: &[u16]) -> Vec<Portion> {
    select(source.log(), source.log().tail(), &ask(target, wanted))
}

/// All portions have one record, of this key.
fn carry(source: &Partition, target: &mut Partition, wanted: &[u16], key: &str) -> Vec<mirror_core::active::Taken> {
    let portions = answer(source, target, wanted);
    let taken = portions.iter().map(|portion| target.take(at(50), portion, &keyed(key)).unwrap()).collect();
    target.note(&source.rows(source.log().tail()));
    taken
}

#[test]
fn a_record_is_carried_once_and_never_home() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 1);
    assert_eq!(carry(&one, &mut two, &[1, 3], "k").len(), 1);
    assert!(answer(&one, &two, &[1, 3]).is_empty());
    assert!(answer(&two, &one, &[1, 2, 3]).is_empty());
    let portion = answer(&one, &partition(3, Policy::LastWriterWins), &[1]).remove(0);
    assert_eq!(two.take(at(9), &portion, &keyed("k")).unwrap().run, None);
    assert_eq!(one.take(at(9), &portion, &keyed("k")), Err(Refusal::OwnRecords(REGIONS[0])));
}

#[test]
fn both_sides_of_a_conflict_come_to_the_same_and_tell_it_once() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 1);
    write(&mut two, "k", 2);
    let to_two = answer(&one, &two, &[1]);
    let in_one = carry(&two, &mut one, &[2], "k").remove(0).conflicts;
    let in_two = two.take(at(50), &to_two[0], &keyed("k")).unwrap().conflicts;
    assert_eq!((in_one.len(), &in_one), (1, &in_two));
    assert_eq!((in_one[0].winner.dot.origin, in_one[0].reason), (REGIONS[1], Reason::LaterWrite));
    assert_eq!(in_one[0].state, ConflictState::Overwritten);
    assert!(one.repeats().is_empty());
    let repeats = two.repeats();
    assert_eq!((repeats.len(), repeats[0].dot.origin, repeats[0].place), (1, REGIONS[1], Offset(0)));
    assert_eq!((repeats[0].run.local, two.log().tail()), (Offset(2), Offset(3)));
    assert!(two.repeats().is_empty());
}

#[test]
fn a_repeat_is_carried_nowhere() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 1);
    write(&mut two, "k", 2);
    carry(&one, &mut two, &[1], "k");
    assert_eq!(two.repeats().len(), 1);
    write(&mut two, "other", 3);
    let mut three = partition(3, Policy::LastWriterWins);
    let portions = answer(&two, &three, &[1, 2]);
    let places: Vec<_> = portions.iter().map(|portion| portion.range.start.0).collect();
    assert_eq!(places, [0, 1, 3]);
    for (portion, key) in portions.iter().zip(["k", "k", "other"]) {
        assert_eq!(three.take(at(9), portion, &keyed(key)).unwrap().gap, None);
    }
}

#[test]
fn nothing_comes_before_what_its_writer_had_received() {
    let (mut one, mut two, mut three) = (
        partition(1, Policy::LastWriterWins),
        partition(2, Policy::LastWriterWins),
        partition(3, Policy::LastWriterWins),
    );
    write(&mut one, "k", 1);
    carry(&one, &mut two, &[1], "k");
    write(&mut two, "k", 2);
    assert!(answer(&two, &three, &[2]).is_empty());
    let whole = answer(&two, &three, &[1, 2]);
    assert_eq!(whole.len(), 2);
    let early = three.take(at(9), &whole[1], &keyed("k"));
    assert_eq!(early, Err(Refusal::Premature { origin: REGIONS[1], missing: REGIONS[0], tail: Offset(1) }));
    carry(&one, &mut three, &[1], "k");
    assert!(carry(&two, &mut three, &[2], "k")[0].conflicts.is_empty());
    assert!(three.repeats().is_empty());
}

#[test]
fn what_a_source_has_dropped_is_told_as_a_gap() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    for n in 0..5 {
        write(&mut one, "k", n);
    }
    let mut log = one.log().clone();
    log.raise_start(Offset(3));
    let portions = select(&log, log.tail(), &ask(&two, &[1]));
    let taken = two.take(at(9), &portions[0], &[]).unwrap();
    assert_eq!(taken.gap, Some(OffsetRange::new(Offset(0), Offset(3))));
    assert_eq!(two.received().tail(REGIONS[0]), portions[0].end());
}

#[test]
fn a_log_that_was_cut_at_its_origin_is_noticed() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 1);
    carry(&one, &mut two, &[1], "k");
    let older = LeaderEpoch(EPOCH.0 - 1);
    one.write(at(2), older, 1, &keyed("k"));
    let portion = answer(&one, &two, &[1]).remove(0);
    let refusal = two.take(at(9), &portion, &keyed("k"));
    assert_eq!(refusal, Err(Refusal::EpochWentBack { origin: REGIONS[0], found: older, last: EPOCH }));
}

#[test]
fn links_wait_rather_than_lose_a_conflict() {
    let mut settings = Settings::new(REGIONS.to_vec(), Policy::LastWriterWins);
    settings.versions_max = 2;
    let log = Provenance::new(REGIONS[1], Offset::ZERO, Vector::default());
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), Partition::new(settings, log));
    for n in 0..2 {
        write(&mut two, &format!("k{n}"), n);
    }
    write(&mut one, "k", 1);
    let portion = answer(&one, &two, &[1]).remove(0);
    assert_eq!(two.take(at(9), &portion, &keyed("k")), Err(Refusal::Full { held: 2, limit: 2 }));
}

#[test]
fn versions_are_let_go_when_all_regions_have_them() {
    let (mut one, mut two, mut three) = (
        partition(1, Policy::LastWriterWins),
        partition(2, Policy::LastWriterWins),
        partition(3, Policy::LastWriterWins),
    );
    write(&mut one, "k", 1);
    carry(&one, &mut two, &[1, 3], "k");
    carry(&two, &mut one, &[2, 3], "k");
    one.repeats();
    assert_eq!((one.versions(), one.settled_below([])), ((1, 0), Offset(0)));
    carry(&two, &mut three, &[1, 2], "k");
    carry(&three, &mut one, &[2, 3], "k");
    assert_eq!((one.versions(), one.settled_below([])), ((0, 0), Offset(1)));
}

#[test]
fn a_restart_finds_the_same_conflicts_and_repeats() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 1);
    write(&mut two, "k", 2);
    let told = carry(&one, &mut two, &[1], "k").remove(0).conflicts;
    let key = &keyed("k")[0].key;
    let mut again = Partition::new(Settings::new(REGIONS.to_vec(), Policy::LastWriterWins), two.log().clone());
    let found: Vec<_> = (0..2).flat_map(|local| again.replay(Offset(local), key)).collect();
    assert_eq!(found, told);
    assert_eq!(again.repeats(), two.repeats());
    let mut again = Partition::new(Settings::new(REGIONS.to_vec(), Policy::LastWriterWins), two.log().clone());
    (0..3).for_each(|local| drop(again.replay(Offset(local), key)));
    assert!(again.repeats().is_empty());
}

#[test]
fn what_a_repeat_tells_of_stands_after_a_restart_though_its_record_is_not_replayed() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 9);
    write(&mut two, "k", 2);
    carry(&two, &mut one, &[2], "k");
    assert_eq!(one.repeats().len(), 1, "the later one stands again at the end");
    let key = &keyed("k")[0].key;
    let mut again = Partition::new(Settings::new(REGIONS.to_vec(), Policy::LastWriterWins), one.log().clone());
    (1..3).for_each(|local| drop(again.replay(Offset(local), key)));
    assert_eq!(again.repeats(), []);
}

#[test]
fn a_settled_dispute_is_settled_everywhere() {
    let (mut one, mut two) = (partition(1, Policy::Quarantine), partition(2, Policy::Quarantine));
    write(&mut one, "k", 1);
    write(&mut two, "k", 2);
    let to_two = answer(&one, &two, &[1]).remove(0);
    carry(&two, &mut one, &[2], "k");
    two.take(at(50), &to_two, &keyed("k")).unwrap();
    assert_eq!((one.repeats().len(), two.repeats().len()), (1, 0));
    let dispute = one.quarantined().remove(0);
    let dots: Vec<_> = dispute.versions.iter().map(|(version, _)| version.dot).collect();
    assert_eq!(dots[0].origin, REGIONS[0]);
    let settlement = one.settle(b"k", dots[1], &dots).unwrap();
    assert_eq!(settlement.place, Offset(1));
    write(&mut one, "k", 60);
    assert!(carry(&one, &mut two, &[1], "k")[0].conflicts.is_empty());
    assert!(one.quarantined().is_empty() && two.quarantined().is_empty());
    assert!(one.repeats().is_empty() && two.repeats().is_empty());
}

#[test]
fn stamps_follow_what_was_received_also_after_a_restart() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 200_000);
    carry(&one, &mut two, &[1], "k");
    let mut again = Partition::new(Settings::new(REGIONS.to_vec(), Policy::LastWriterWins), two.log().clone());
    let run = again.write(at(60), EPOCH, 1, &keyed("k"));
    let Content::Written(written) = run.content else { panic!("a write gives a run of records") };
    assert!(written.time > HybridTime::at(Timestamp(1_200_000)));
}

#[test]
fn a_region_whose_clock_is_far_ahead_is_shown() {
    let (mut one, mut two) = (partition(1, Policy::LastWriterWins), partition(2, Policy::LastWriterWins));
    write(&mut one, "k", 900_000);
    let drift = carry(&one, &mut two, &[1], "k").remove(0).drift.unwrap();
    assert_eq!(drift.found, Timestamp(1_900_000));
}
