//! One rule of the window per test.

use crate::copy::settings;
use bytes::Bytes;
use mirror_core::gap::GapReason;
use mirror_core::window::{
    Answer, Body, Command, Diverging, Event, Fault, Fetch, LineageStart, LogState, Partition, Phase, Settings,
    StopReason,
};
use mirror_core::{EpochList, EpochStart};
use model::{Baseline, ByteCount, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, Timestamp, limits};
use record::BatchBuilder;
use std::time::Duration;

const GRANT: OwnershipEpoch = OwnershipEpoch(2);

fn epoch(grant: u32, start: u32) -> LeaderEpoch {
    LeaderEpoch::of(OwnershipEpoch(grant), start).unwrap()
}

fn batch(base: i64, records: i64, epoch: LeaderEpoch) -> Vec<u8> {
    let builder = BatchBuilder::new().base_offset(Offset(base)).leader_epoch(epoch);
    (0..records).fold(builder, |builder, n| builder.record(n, None, Some(b"value"), &[])).build()
}

fn answer(body: Body) -> Answer {
    Answer {
        source_time: Timestamp(1000),
        source_tail: Offset(100),
        high_watermark: Offset(100),
        log_start: Offset(0),
        leader_epoch: epoch(2, 3),
        ownership_epoch: GRANT,
        oldest_unread: Timestamp::NONE,
        served: None,
        baseline: Baseline::default(),
        body,
    }
}

fn records(batches: &[Vec<u8>]) -> Body {
    Body::Records(batches.concat().into())
}

/// A window whose copy ends at 10, in an epoch of the grant before, and its fetch.
fn window(settings: Settings) -> (Partition, Fetch) {
    let start = EpochStart { epoch: epoch(1, 0), start: Offset(0), base: Offset(0) };
    let ten = Offset(10);
    let epochs = EpochList::new(vec![start]).unwrap();
    let log =
        LogState { start: Offset(0), tail: ten, flushed: ten, high_watermark: ten, epochs, ..LogState::default() };
    let mut window = Partition::new(settings, log);
    let commands = window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: GRANT });
    let fetch = next_fetch(&commands);
    (window, fetch)
}

fn next_fetch(commands: &[Command]) -> Fetch {
    let fetch =
        commands.iter().find_map(|command| if let Command::Fetch(fetch) = command { Some(*fetch) } else { None });
    fetch.unwrap_or_else(|| panic!("no fetch in {commands:?}"))
}

fn reply(window: &mut Partition, fetch: Fetch, answer: Answer) -> Vec<Command> {
    window.on_event(Duration::from_secs(1), Event::Answered { ticket: fetch.ticket, answer })
}

fn appended(commands: &[Command]) -> Vec<OffsetRange> {
    let ranges = commands
        .iter()
        .filter_map(|command| if let Command::Append { range, .. } = command { Some(*range) } else { None });
    ranges.collect()
}

fn range(start: i64, end: i64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(end))
}

#[test]
fn the_next_fetch_goes_out_before_the_batches_are_on_disk() {
    let (mut window, fetch) = window(settings());
    assert_eq!((fetch.from, fetch.last_epoch), (Offset(10), epoch(1, 0)));
    let commands = reply(&mut window, fetch, answer(records(&[batch(10, 2, epoch(2, 0)), batch(12, 3, epoch(2, 3))])));
    assert_eq!(appended(&commands), [range(10, 15)]);
    let next = next_fetch(&commands);
    assert_eq!((next.from, next.last_epoch, next.durable), (Offset(15), epoch(2, 3), Offset(10)));
}

#[test]
fn readers_see_what_is_on_disk_here_and_committed_there() {
    let (mut window, fetch) = window(settings());
    let source = Answer { high_watermark: Offset(12), ..answer(records(&[batch(10, 5, epoch(2, 0))])) };
    reply(&mut window, fetch, source);
    assert_eq!(window.high_watermark(), Offset(10), "nothing is flushed yet");
    let commands = window.on_event(Duration::from_secs(1), Event::Flushed { to: Offset(15) });
    assert_eq!(commands, [Command::RaiseHighWatermark { to: Offset(12) }]);
    assert_eq!((window.copy_watermark(), window.source_watermark()), (Offset(15), Some(Offset(12))));
}

#[test]
fn of_a_diverging_answer_nothing_else_counts() {
    let (mut window, fetch) = window(settings());
    let diverging = Body::Diverging(Diverging { epoch: epoch(1, 0), end: Offset(7) });
    let commands = reply(&mut window, fetch, Answer { log_start: Offset(50), ..answer(diverging) });
    assert_eq!(commands, [Command::Archive { range: range(7, 10), last_epoch: epoch(1, 0) }]);
    assert_eq!((window.source_watermark(), window.log_start()), (None, Offset(0)));
    let commands = window.on_event(Duration::from_secs(1), Event::Archived { range: range(7, 10) });
    assert_eq!(commands, [Command::Truncate { to: Offset(7) }]);
    let commands = window.on_event(Duration::from_secs(1), Event::Truncated { tail: Offset(7) });
    assert_eq!(next_fetch(&commands).from, Offset(7));
    assert_eq!((window.copy_watermark(), window.high_watermark()), (Offset(7), Offset(10)));
}

#[test]
fn a_new_owner_decides_again_about_a_cut_that_was_not_begun() {
    let (mut window, fetch) = window(settings());
    reply(&mut window, fetch, answer(Body::Diverging(Diverging { epoch: epoch(1, 0), end: Offset(7) })));
    let same = window.on_event(Duration::from_secs(1), Event::LinkUp { ownership_epoch: GRANT });
    assert_eq!(same, []);
    let other = window.on_event(Duration::from_secs(1), Event::LinkUp { ownership_epoch: GRANT.next() });
    assert_eq!(next_fetch(&other).from, Offset(10));
    let late = window.on_event(Duration::from_secs(1), Event::Archived { range: range(7, 10) });
    assert_eq!(late, []);
}

#[test]
fn an_answer_of_another_grant_or_an_older_leader_is_asked_for_again() {
    for (ownership_epoch, leader_epoch) in [(1, epoch(1, 9)), (3, epoch(3, 0)), (2, epoch(2, 2))] {
        let (mut window, fetch) = window(settings());
        let first = reply(&mut window, fetch, answer(records(&[])));
        let stale = Answer {
            ownership_epoch: OwnershipEpoch(ownership_epoch),
            leader_epoch,
            ..answer(records(&[batch(10, 1, epoch(1, 9))]))
        };
        let commands = reply(&mut window, next_fetch(&first), stale);
        assert_eq!(appended(&commands), []);
        assert!(next_fetch(&commands).pause > Duration::ZERO);
    }
}

#[test]
fn a_batch_of_a_younger_leader_than_the_answer_waits() {
    let (mut window, fetch) = window(settings());
    let commands = reply(&mut window, fetch, answer(records(&[batch(10, 1, epoch(2, 3)), batch(11, 1, epoch(2, 4))])));
    assert_eq!(appended(&commands), [range(10, 11)]);
    assert_eq!(next_fetch(&commands).from, Offset(11));
}

#[test]
fn what_is_there_already_is_not_appended_again() {
    let (mut window, fetch) = window(settings());
    let commands = reply(&mut window, fetch, answer(records(&[batch(8, 2, epoch(1, 0)), batch(10, 2, epoch(2, 0))])));
    assert_eq!(appended(&commands), [range(10, 12)]);
}

fn fault(batches: &[Vec<u8>]) -> Fault {
    let (mut window, fetch) = window(settings());
    let commands = reply(&mut window, fetch, answer(records(batches)));
    assert_eq!(next_fetch(&commands).from, window.tail());
    let mut faults =
        commands.into_iter().filter_map(|c| if let Command::Report(fault) = c { Some(fault) } else { None });
    faults.next().expect("the fault is reported")
}

#[test]
fn what_a_source_must_not_send_is_reported_and_not_appended() {
    assert!(matches!(fault(&[batch(9, 3, epoch(2, 0))]), Fault::Overlap { .. }));
    assert!(matches!(fault(&[batch(11, 3, epoch(2, 0))]), Fault::Hole { tail: Offset(10), base: Offset(11) }));
    assert!(matches!(fault(&[batch(10, 3, epoch(0, 5))]), Fault::EpochWentBack { .. }));
    let mut damaged = batch(10, 3, epoch(2, 0));
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(fault(&[damaged]), Fault::Batch { tail: Offset(10), .. }));
}

#[test]
fn the_sound_batches_before_a_damaged_one_are_kept() {
    let (mut window, fetch) = window(settings());
    let mut damaged = batch(12, 1, epoch(2, 0));
    *damaged.last_mut().unwrap() ^= 1;
    let commands = reply(&mut window, fetch, answer(records(&[batch(10, 2, epoch(2, 0)), damaged])));
    assert_eq!(appended(&commands), [range(10, 12)]);
    assert_eq!(next_fetch(&commands).from, Offset(12));
}

#[test]
fn a_compacted_source_may_lack_offsets_but_not_as_many_as_a_failover_skips() {
    let compacted = || Settings { compacted: true, ..settings() };
    let (mut window, fetch) = window(compacted());
    let commands = reply(&mut window, fetch, answer(records(&[batch(14, 2, epoch(2, 0))])));
    assert_eq!(appended(&commands), [range(10, 16)]);
    let far = batch(16 + limits::PROMOTE_HOLE_OFFSETS, 1, epoch(2, 0));
    let commands = reply(&mut window, next_fetch(&commands), answer(records(&[far])));
    assert!(matches!(commands[0], Command::Report(Fault::Hole { .. })));
}

fn leader_change(base: i64, epoch: LeaderEpoch) -> Vec<u8> {
    record::leader_change(Offset(base), epoch, 1, Timestamp(5)).to_vec()
}

#[test]
fn only_the_batch_that_begins_an_epoch_crosses_a_hole() {
    let (mut window, fetch) = window(settings());
    let base = 10 + limits::PROMOTE_HOLE_OFFSETS;
    let body = records(&[leader_change(base, epoch(2, 0)), batch(base + 1, 2, epoch(2, 0))]);
    let commands = reply(&mut window, fetch, answer(body));
    assert!(
        matches!(&commands[0], Command::Cross { hole, epoch: begun, .. } if *hole == range(10, base) && *begun == epoch(2, 0))
    );
    assert_eq!(appended(&commands), [range(base + 1, base + 3)]);
    let last = *window.epochs().entries().last().unwrap();
    assert_eq!((last.start, last.base), (Offset(10), Offset(base)));
    assert!(matches!(fault(&[leader_change(base, epoch(1, 0))]), Fault::Hole { .. }), "the epoch is not new");
}

#[test]
fn a_lineage_that_departs_elsewhere_than_the_council_says_stops_the_link() {
    let base = 10 + limits::PROMOTE_HOLE_OFFSETS;
    let opening = |start| vec![LineageStart { ownership_epoch: GRANT, hole: range(start, base) }];
    let (mut agreeing, fetch) = window(Settings { openings: opening(10), ..settings() });
    let commands = reply(&mut agreeing, fetch, answer(records(&[leader_change(base, epoch(2, 0))])));
    assert!(matches!(commands[0], Command::Cross { .. }));
    let (mut contradicting, fetch) = window(Settings { openings: opening(9), ..settings() });
    let commands = reply(&mut contradicting, fetch, answer(records(&[leader_change(base, epoch(2, 0))])));
    assert_eq!(commands, [Command::Stop { reason: StopReason::LineageMismatch }]);
    assert_eq!(contradicting.tail(), Offset(10));
}

#[test]
fn what_the_source_dropped_is_stored_before_the_copy_goes_on_behind_it() {
    let (mut window, fetch) = window(settings());
    let body = records(&[batch(38, 4, epoch(2, 0))]);
    let commands = reply(&mut window, fetch, Answer { log_start: Offset(40), ..answer(body) });
    assert!(
        matches!(&commands[0], Command::RecordGap(gap) if gap.range == range(10, 40) && gap.ownership_epoch == GRANT)
    );
    assert_eq!(commands[1], Command::Restart { at: Offset(40) });
    assert_eq!(commands[2], Command::Restart { at: Offset(38) }, "the batch that holds the log start comes whole");
    assert_eq!(appended(&commands), [range(38, 42)]);
    let commands = window.on_event(Duration::from_secs(2), Event::Flushed { to: Offset(42) });
    assert_eq!(commands, [Command::RaiseHighWatermark { to: Offset(42) }, Command::RaiseLogStart { to: Offset(40) }]);
}

fn forgotten(below: i64) -> Baseline {
    Baseline { forgotten: Offset(below), forgotten_at: Timestamp(7), ..Baseline::default() }
}

#[test]
fn a_copy_that_hears_of_a_deletion_no_more_has_a_gap_once_and_follows_all_the_same() {
    let (mut window, fetch) = window(settings());
    let body = records(&[batch(10, 5, epoch(2, 0))]);
    let commands = reply(&mut window, fetch, Answer { baseline: forgotten(40), ..answer(body) });
    let missed = Baseline { missed: Some(range(10, 40)), ..forgotten(40) };
    assert!(
        matches!(&commands[0], Command::RecordGap(gap) if gap.range == range(10, 40) && gap.reason == GapReason::Compaction)
    );
    assert_eq!(commands[1], Command::Inherit(missed), "before what comes behind it");
    assert_eq!(appended(&commands), [range(10, 15)]);
    let body = records(&[batch(15, 5, epoch(2, 0))]);
    let commands = reply(&mut window, next_fetch(&commands), Answer { baseline: forgotten(40), ..answer(body) });
    let is_told = |command: &Command| matches!(command, Command::RecordGap(_) | Command::Inherit(_));
    assert!(!commands.iter().any(is_told), "it is known: {commands:?}");
    assert_eq!(window.baseline(), missed);
}

#[test]
fn a_copy_that_begins_where_much_is_forgotten_misses_nothing() {
    let mut window = Partition::new(settings(), LogState::default());
    let fetch = next_fetch(&window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: GRANT }));
    let said = |body| Answer { baseline: forgotten(40), log_start: Offset(3), ..answer(body) };
    let commands = reply(&mut window, fetch, said(Body::OutOfRange));
    assert_eq!(commands[..2], [Command::Restart { at: Offset(3) }, Command::Inherit(forgotten(40))]);
    let body = records(&[batch(2, 4, epoch(2, 0))]);
    let commands = reply(&mut window, next_fetch(&commands), said(body));
    assert_eq!(commands[0], Command::Restart { at: Offset(2) }, "the batch comes whole: {commands:?}");
    let commands = reply(&mut window, next_fetch(&commands), said(records(&[batch(6, 5, epoch(2, 0))])));
    assert_eq!(appended(&commands), [range(6, 11)]);
    assert_eq!(window.baseline(), forgotten(40));
}

#[test]
fn a_copy_that_is_cut_below_what_it_was_thinned_by_has_a_gap() {
    let thinned = Baseline { thinned: Offset(8), ..Baseline::default() };
    let start = EpochStart { epoch: epoch(1, 0), start: Offset(0), base: Offset(0) };
    let (ten, epochs) = (Offset(10), EpochList::new(vec![start]).unwrap());
    let log =
        LogState { tail: ten, flushed: ten, high_watermark: ten, epochs, baseline: thinned, ..LogState::default() };
    let mut window = Partition::new(settings(), log);
    let commands = window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: GRANT });
    let diverging = Body::Diverging(Diverging { epoch: epoch(1, 0), end: Offset(6) });
    reply(&mut window, next_fetch(&commands), answer(diverging));
    window.on_event(Duration::ZERO, Event::Archived { range: range(6, 10) });
    let commands = window.on_event(Duration::ZERO, Event::Truncated { tail: Offset(6) });
    assert!(matches!(&commands[0], Command::RecordGap(gap) if gap.range == range(6, 8)), "{commands:?}");
}

#[test]
fn a_copy_that_never_began_misses_nothing() {
    let mut window = Partition::new(settings(), LogState::default());
    let fetch = next_fetch(&window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: GRANT }));
    assert_eq!(fetch.last_epoch, LeaderEpoch::NONE);
    let commands = reply(&mut window, fetch, Answer { log_start: Offset(40), ..answer(Body::OutOfRange) });
    assert_eq!(commands[0], Command::Restart { at: Offset(40) });
}

#[test]
fn the_log_start_follows_when_the_copy_has_come_so_far_also_when_the_source_is_idle() {
    let (mut window, fetch) = window(settings());
    let body = records(&[batch(10, 5, epoch(2, 0))]);
    let commands = reply(&mut window, fetch, Answer { log_start: Offset(10), ..answer(body) });
    assert!(commands.contains(&Command::RaiseLogStart { to: Offset(10) }));
    let fetch = next_fetch(&commands);
    let commands = reply(&mut window, fetch, Answer { log_start: Offset(15), ..answer(records(&[])) });
    assert!(!commands.iter().any(|command| matches!(command, Command::RaiseLogStart { .. })), "not on disk yet");
    let commands = window.on_event(Duration::from_secs(2), Event::Flushed { to: Offset(15) });
    assert_eq!(commands, [Command::RaiseHighWatermark { to: Offset(15) }, Command::RaiseLogStart { to: Offset(15) }]);
}

#[test]
fn fetching_waits_while_too_much_is_on_its_way_to_the_disk() {
    let (mut window, fetch) = window(Settings { unflushed_max: ByteCount(100), ..settings() });
    let commands = reply(&mut window, fetch, answer(records(&[batch(10, 20, epoch(2, 0))])));
    assert_eq!((commands.len(), window.phase()), (1, Phase::Full));
    let commands = window.on_event(Duration::from_secs(1), Event::Flushed { to: Offset(30) });
    assert_eq!(next_fetch(&commands).from, Offset(30));
}

#[test]
fn a_sealed_copy_takes_nothing_more_from_any_link() {
    let (mut window, fetch) = window(settings());
    let stop = [Command::Stop { reason: StopReason::Sealed }];
    assert_eq!(window.on_event(Duration::ZERO, Event::Seal), stop);
    assert_eq!(reply(&mut window, fetch, answer(records(&[batch(10, 1, epoch(2, 0))]))), []);
    assert_eq!(window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: GRANT.next() }), []);
    assert_eq!(window.tail(), Offset(10));
    assert_eq!(next_fetch(&window.on_event(Duration::ZERO, Event::Unseal)).from, Offset(10));
}

#[test]
fn a_source_that_is_no_owner_is_asked_again_when_the_link_comes_up_again() {
    let (mut window, fetch) = window(settings());
    assert_eq!(reply(&mut window, fetch, answer(Body::NotOwner)), [Command::Stop { reason: StopReason::NotOwner }]);
    let older = window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: OwnershipEpoch(1) });
    assert_eq!(older, []);
    assert_eq!(next_fetch(&window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: GRANT })).from, Offset(10));
}

#[test]
fn a_topic_made_again_stops_the_link_for_good() {
    let (mut window, fetch) = window(settings());
    assert_eq!(reply(&mut window, fetch, answer(Body::TopicReset)), [Command::Stop { reason: StopReason::TopicReset }]);
    assert_eq!(window.on_event(Duration::ZERO, Event::LinkUp { ownership_epoch: GRANT.next() }), []);
}

#[test]
fn fetches_that_fail_are_repeated_ever_more_slowly() {
    let (mut window, mut fetch) = window(settings());
    let mut pauses = Vec::new();
    for _ in 0..8 {
        fetch = next_fetch(&window.on_event(Duration::ZERO, Event::Unanswered { ticket: fetch.ticket }));
        pauses.push(fetch.pause.as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400, 500, 500, 500, 500]);
    let commands = reply(&mut window, fetch, answer(Body::Records(Bytes::new())));
    assert_eq!(next_fetch(&commands).pause, Duration::ZERO);
}

/// An answer that hands out a part of a run.
fn part(start: i64, end: i64) -> Answer {
    let body = if start == end { records(&[]) } else { records(&[batch(start, end - start, epoch(2, 0))]) };
    Answer { served: Some(range(start, end)), ..answer(body) }
}

fn fetches(commands: &[Command]) -> Vec<Fetch> {
    commands
        .iter()
        .filter_map(|command| if let Command::Fetch(fetch) = command { Some(*fetch) } else { None })
        .collect()
}

/// A window over a line of 100 ms with several fetches of one run under way.
fn run() -> (Partition, Vec<Fetch>) {
    let (mut window, first) = window(settings());
    window.note_round_trip(Duration::from_millis(100));
    let commands = reply(&mut window, first, part(10, 12));
    (window, fetches(&commands))
}

#[test]
fn fetches_of_one_run_begin_at_the_same_offset_and_grow_in_number() {
    let (mut window, under_way) = run();
    assert_eq!(under_way.len(), 2);
    assert!(under_way.iter().all(|fetch| (fetch.from, fetch.last_epoch) == (Offset(10), epoch(1, 0))));
    assert!(under_way[0].stream.is_some() && under_way[0].stream == under_way[1].stream);
    assert!(under_way[0].ticket != under_way[1].ticket);
    let commands = reply(&mut window, under_way[0], part(12, 14));
    assert_eq!((fetches(&commands).len(), window.under_way()), (3, 4), "no more than fill the line");
    let commands = reply(&mut window, under_way[1], part(14, 14));
    assert_eq!((fetches(&commands).len(), window.under_way()), (0, 3), "fewer when nothing comes");
}

#[test]
fn what_comes_before_its_turn_is_appended_in_its_turn() {
    let (mut window, under_way) = run();
    let commands = reply(&mut window, under_way[1], part(15, 18));
    assert_eq!((appended(&commands), window.tail()), (vec![], Offset(12)));
    let commands = reply(&mut window, under_way[0], part(12, 15));
    assert_eq!(appended(&commands), [range(12, 15), range(15, 18)]);
}

#[test]
fn a_run_of_which_an_answer_is_missing_is_begun_again() {
    let (mut window, under_way) = run();
    reply(&mut window, under_way[1], part(15, 18));
    let commands = window.on_event(Duration::ZERO, Event::Unanswered { ticket: under_way[0].ticket });
    let [again] = fetches(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((again.from, window.tail()), (Offset(12), Offset(12)));
    assert!(again.stream != under_way[0].stream);
    assert_eq!(reply(&mut window, under_way[0], part(12, 15)), [], "too late");
    let commands = reply(&mut window, again, part(12, 18));
    assert_eq!(appended(&commands), [range(12, 18)], "nothing of the old run is left");
}

#[test]
fn what_no_fetch_will_bring_is_asked_for_again() {
    let (mut window, under_way) = run();
    reply(&mut window, under_way[0], part(18, 20));
    let commands = reply(&mut window, under_way[1], part(15, 18));
    assert_eq!(next_fetch(&commands).from, Offset(12), "12 to 15 was handed out and never came");
    let (mut window, under_way) = run();
    reply(&mut window, under_way[0], part(30, 30));
    let commands = reply(&mut window, under_way[1], part(30, 30));
    assert_eq!(next_fetch(&commands).from, Offset(12), "the source takes it for handed out");
}

#[test]
fn another_leader_than_the_rest_of_the_run_is_asked_from_the_tail_on() {
    let (mut window, under_way) = run();
    let commands = reply(&mut window, under_way[0], Answer { leader_epoch: epoch(2, 4), ..part(10, 14) });
    assert_eq!(appended(&commands), [], "it never saw how the copy ends");
    let again = next_fetch(&commands);
    assert_eq!((again.from, again.last_epoch, again.leader_epoch), (Offset(12), epoch(2, 0), epoch(2, 4)));
}

#[test]
fn another_copy_is_read_by_one_fetch_after_the_other() {
    let (mut window, fetch) = window(Settings { shares_runs: false, ..settings() });
    window.note_round_trip(Duration::from_millis(100));
    assert_eq!(fetch.stream, None);
    let commands = reply(&mut window, fetch, answer(records(&[batch(10, 2, epoch(2, 0))])));
    let [next] = fetches(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((next.from, next.stream), (Offset(12), None));
}

#[test]
fn while_an_answer_is_late_the_others_go_on_within_bounds() {
    let (mut window, under_way) = run();
    let mut commands = reply(&mut window, under_way[1], part(20, 22));
    let mut parked = 1;
    while let [next] = fetches(&commands)[..] {
        parked += 1;
        commands = reply(&mut window, next, part(18 + 2 * parked, 20 + 2 * parked));
    }
    assert_eq!((fetches(&commands).len(), window.under_way()), (0, 1));
    assert!((4..=16).contains(&parked), "{parked}");
    let commands = reply(&mut window, under_way[0], part(12, 20));
    assert_eq!(window.tail(), Offset(20 + 2 * parked), "{commands:?}");
}
