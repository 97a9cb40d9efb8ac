use super::*;
use crate::attached::Run;
use model::{OwnershipEpoch, RegionName, Timestamp};
use proptest::prelude::*;
use record::{BatchBuilder, Batches, end_txn_marker};

const CLIENT: ProducerId = ProducerId(7);
const OURS: ProducerId = ProducerId(99);

/// Two records at `offset`, of a client's sequence numbers from `sequence` on.
fn pair(offset: i64, sequence: i32, keys: [&str; 2]) -> Vec<u8> {
    let batch = BatchBuilder::new().base_offset(Offset(offset)).producer(CLIENT, 0, sequence);
    batch.record(1, Some(keys[0].as_bytes()), Some(b"v"), &[]).record(2, Some(keys[1].as_bytes()), None, &[]).build()
}

fn anonymous(offset: i64, key: &str) -> Vec<u8> {
    BatchBuilder::new().base_offset(Offset(offset)).record(1, Some(key.as_bytes()), Some(b"v"), &[("h", None)]).build()
}

fn transactional(offset: i64, producer: i64) -> Vec<u8> {
    let batch = BatchBuilder::new().base_offset(Offset(offset)).producer(ProducerId(producer), 0, 0).transactional();
    batch.record(1, None, Some(b"v"), &[]).build()
}

fn marker(offset: i64, commit: bool, producer: i64) -> Vec<u8> {
    let mut batch = end_txn_marker(commit, ProducerId(producer), 0, 0, Timestamp(1));
    record::set_base_offset(&mut batch, Offset(offset));
    batch
}

fn judged(tail: &[u8], lineage: &[u8]) -> Salvage {
    let mut salvage = Salvage::default();
    for batch in Batches::new(tail) {
        salvage.note_tail(&batch.unwrap()).unwrap();
    }
    for batch in Batches::new(lineage) {
        salvage.note_lineage(&batch.unwrap()).unwrap();
    }
    salvage
}

fn fates(tail: &[u8], lineage: &[u8], wish: Wish) -> Vec<Fate> {
    let (salvage, mut fates) = (judged(tail, lineage), vec![]);
    for batch in Batches::new(tail).map(Result::unwrap).filter(|batch| !batch.header().attributes.is_control()) {
        fates.extend(records(&batch).unwrap().map(|record| salvage.fate(wish, &batch, &record.unwrap())));
    }
    fates
}

fn writer() -> Writer {
    let (region, epoch) = (RegionName::new("r1").unwrap(), OwnershipEpoch(3));
    Writer { producer_id: OURS, producer_epoch: 0, provenance: Some(Provenance { region, epoch }) }
}

/// Records stay as they are.
fn silent_writer() -> Writer {
    Writer { provenance: None, ..writer() }
}

fn parcels(tail: &[u8], lineage: &[u8], resume: Resume) -> Vec<Vec<u8>> {
    parcels_of(writer(), tail, lineage, resume)
}

fn parcels_of(writer: Writer, tail: &[u8], lineage: &[u8], resume: Resume) -> Vec<Vec<u8>> {
    let (salvage, mut parcel, mut sent) = (judged(tail, lineage), Parcel::new(writer, resume), vec![]);
    for batch in Batches::new(tail).map(Result::unwrap).filter(|batch| !batch.header().attributes.is_control()) {
        for record in records(&batch).unwrap().map(Result::unwrap) {
            sent.extend(parcel.push(salvage.fate(Wish::default(), &batch, &record), &batch, &record));
        }
    }
    sent.extend(parcel.seal());
    sent
}

#[test]
fn a_record_the_client_sent_again_is_held_and_one_it_gave_up_is_lacking() {
    let tail = [pair(10, 4, ["a", "b"]), pair(12, 6, ["c", "d"]), anonymous(14, "e")].concat();
    // The client sent the first batch again, in one with what followed.
    let lineage = pair(1 << 40, 4, ["a", "b"]);
    let expected = [Fate::Held, Fate::Held, Fate::Lacking, Fate::Lacking, Fate::Unknown];
    assert_eq!(fates(&tail, &lineage, Wish::default()), expected);
    let wish = Wish { leave_unknown: true, ..Wish::default() };
    assert_eq!(fates(&tail, &lineage, wish)[4], Fate::UnknownLeft);
}

#[test]
fn the_sequence_of_another_producer_epoch_is_another_record() {
    let tail = BatchBuilder::new().producer(CLIENT, 1, 0).record(1, None, None, &[]).build();
    let lineage = BatchBuilder::new().producer(CLIENT, 0, 0).record(1, None, None, &[]).build();
    assert_eq!(fates(&tail, &lineage, Wish::default()), [Fate::Lacking]);
}

#[test]
fn a_key_that_was_written_since_is_left_out_only_on_request() {
    let (tail, lineage) = (pair(10, 4, ["a", "b"]), anonymous(1 << 40, "a"));
    assert_eq!(fates(&tail, &lineage, Wish::default()), [Fate::Lacking, Fate::Lacking]);
    let wish = Wish { keys_not_newer: true, ..Wish::default() };
    assert_eq!(fates(&tail, &lineage, wish), [Fate::NewerKey, Fate::Lacking]);
}

#[test]
fn of_transactions_only_committed_ones_are_written_again() {
    let tail =
        [transactional(10, 1), transactional(11, 2), transactional(12, 3), marker(13, true, 1), marker(14, false, 2)];
    assert_eq!(fates(&tail.concat(), &[], Wish::default()), [Fate::Lacking, Fate::Aborted, Fate::Open]);
}

#[test]
fn findings_rank_keys_by_versions_and_count_everything() {
    let tail = [pair(10, 0, ["a", "b"]), pair(12, 2, ["a", "c"]), marker(14, true, 1)].concat();
    let salvage = judged(&tail, &anonymous(1 << 40, "c"));
    let findings = salvage.findings(Tally::default(), 2);
    let key = |key: &str, versions| KeyFinding { key: key.into(), versions, held: false };
    assert_eq!(findings.top, [key("a", 2), key("b", 1)]);
    assert_eq!((findings.keys, findings.keys_held, findings.keyless, findings.control_batches), (3, 1, 0, 1));
    assert_eq!(findings.lineage, Some(OffsetRange::new(Offset(1 << 40), Offset((1 << 40) + 1))));
}

#[test]
fn what_is_written_again_says_where_it_comes_from() {
    let sent = parcels(&anonymous(14, "e"), &[], Resume::default());
    let batch = BatchView::parse(&sent[0]).unwrap();
    assert_eq!((batch.producer_id, batch.base_sequence), (OURS, 0));
    let record = records(&batch).unwrap().next().unwrap().unwrap();
    let headers: Vec<_> = record.headers.iter().map(|header| String::from_utf8_lossy(&header.key)).collect();
    assert_eq!(headers, ["h", REGION_HEADER, EPOCH_HEADER, OFFSET_HEADER]);
    assert_eq!(record.headers[3].value.as_deref(), Some(&b"14"[..]));
}

#[test]
fn what_is_published_is_what_it_was_whatever_its_headers_say() {
    // It was written again before, and lies in a tail again.
    let tail = parcels(&[pair(10, 4, ["a", "b"]), anonymous(14, "e")].concat(), &[], Resume::default()).concat();
    let published = parcels_of(silent_writer(), &tail, &[], Resume::default());
    let told = |bytes: &[u8]| -> Vec<_> {
        let batches: Vec<_> = Batches::new(bytes).map(Result::unwrap).collect();
        let all = batches.iter().flat_map(|batch| records(batch).unwrap().map(Result::unwrap));
        all.map(|record| (record.timestamp, record.key, record.value, record.headers)).collect()
    };
    assert_eq!(told(&published.concat()), told(&tail));
    let mut resume = Resume::default();
    resume.note(&silent_writer(), &BatchView::parse(&published[0]).unwrap());
    assert_eq!(resume, Resume { sequence: 3, last: None });
    assert!(parcels_of(silent_writer(), &tail, &[], resume).is_empty(), "all of it is there");
}

#[test]
fn places_tell_where_each_record_went() {
    let run = |source, target, count| Run { source: Offset(source), target: Offset(target), count };
    let places = |stretches: &[(i64, u64)]| {
        let mut places = Places::default();
        stretches.iter().for_each(|(start, count)| places.push(Offset(*start), *count));
        places
    };
    let tail = places(&[(10, 2), (12, 1), (14, 3)]);
    assert_eq!(tail, places(&[(10, 3), (14, 3)]), "what follows each other is one stretch");
    let topic = places(&[(0, 4), (9, 2)]);
    assert_eq!(tail.runs_to(&topic), [run(10, 0, 3), run(14, 3, 1), run(15, 9, 2)]);
    assert_eq!(Places::default().runs_to(&topic), []);
}

#[test]
fn what_lies_in_a_topic_is_what_its_writer_has_written() {
    let ours = |offset, sequence| {
        let batch = BatchBuilder::new().base_offset(Offset(offset)).producer(OURS, 0, sequence);
        batch.record(1, None, Some(b"v"), &[]).record(1, None, Some(b"w"), &[]).build()
    };
    let note = |log: &[u8]| {
        let mut places = Places::default();
        Batches::new(log).try_for_each(|batch| places.note(&silent_writer(), &batch.unwrap())).map(|()| places)
    };
    let places = note(&[ours(0, 0), anonymous(2, "e"), ours(3, 2)].concat()).unwrap();
    let mut expected = Places::default();
    expected.push(Offset(0), 2);
    expected.push(Offset(3), 2);
    assert_eq!(places, expected);
    let failed = note(&[ours(0, 0), ours(2, 4)].concat()).unwrap_err();
    assert!(matches!(failed, SalvageError::NotInOrder { at: Offset(2), found: 4, expected: 2 }), "{failed}");
}

/// What the owner's log holds once `tail`, of the epoch that [`writer`] names, was written again.
fn written_again(tail: &[u8]) -> Vec<u8> {
    parcels(tail, &[], Resume::default()).concat()
}

fn fates_of(epoch: u32, tail: &[u8], lineage: &[u8]) -> Vec<Fate> {
    let (mut salvage, mut fates) = (Salvage::of(OwnershipEpoch(epoch)), vec![]);
    Batches::new(tail).for_each(|batch| salvage.note_tail(&batch.unwrap()).unwrap());
    Batches::new(lineage).for_each(|batch| salvage.note_lineage(&batch.unwrap()).unwrap());
    for batch in Batches::new(tail).map(Result::unwrap) {
        fates.extend(records(&batch).unwrap().map(|record| salvage.fate(Wish::default(), &batch, &record.unwrap())));
    }
    fates
}

#[test]
fn what_was_written_again_out_of_another_region_s_tail_is_held() {
    let shorter = [pair(10, 4, ["a", "b"]), anonymous(12, "c")].concat();
    let longer = [&shorter[..], &anonymous(13, "d"), &pair(14, 6, ["e", "f"])].concat();
    let expected = [Fate::Held, Fate::Held, Fate::Held, Fate::Unknown, Fate::Lacking, Fate::Lacking];
    assert_eq!(fates_of(3, &longer, &written_again(&shorter)), expected);
    assert_eq!(fates_of(3, &shorter, &written_again(&longer)), [Fate::Held; 3]);
}

#[test]
fn other_records_under_the_same_offsets_are_lacking_as_are_those_of_another_epoch() {
    let (tail, other) = (anonymous(12, "c"), anonymous(12, "x"));
    assert_eq!(fates_of(3, &tail, &written_again(&other)), [Fate::Unknown], "the source had lost it and wrote another");
    assert_eq!(fates_of(4, &tail, &written_again(&tail)), [Fate::Unknown], "it was written under another epoch");
}

#[test]
fn a_damaged_tail_is_refused() {
    let mut tail = anonymous(14, "e");
    *tail.last_mut().unwrap() ^= 1;
    let batch = BatchView::parse(&tail).unwrap();
    assert!(matches!(Salvage::default().note_tail(&batch), Err(SalvageError::Batch { at: Offset(14), .. })));
}

fn sent_offsets(batches: &[Vec<u8>]) -> Vec<i64> {
    let mut offsets = vec![];
    for batch in batches {
        for record in records(&BatchView::parse(batch).unwrap()).unwrap().map(Result::unwrap) {
            let header = record.headers.last().unwrap();
            offsets.push(std::str::from_utf8(header.value.as_deref().unwrap()).unwrap().parse().unwrap());
        }
    }
    offsets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However often it is cut short, and whichever batch got through without anybody hearing of it: every record is sent
    /// once, in order, under sequence numbers without a gap.
    #[test]
    fn a_re_injection_that_is_cut_short_goes_on_where_it_stopped(
        counts in prop::collection::vec(1..400i32, 1..12),
        through in prop::collection::vec(0..3usize, 0..12),
    ) {
        let (mut tail, mut at) = (vec![], 10);
        for count in counts {
            let mut batch = BatchBuilder::new().base_offset(Offset(at));
            for _ in 0..count {
                batch.push(Timestamp(1), None, Some(b"v"), &[]);
            }
            tail.extend(batch.build());
            at += i64::from(count);
        }
        let mut log: Vec<Vec<u8>> = vec![];
        for through in through.into_iter().chain([usize::MAX]) {
            let mut resume = Resume::default();
            for batch in &log {
                resume.note(&writer(), &BatchView::parse(batch).unwrap());
            }
            log.extend(parcels(&tail, &[], resume).into_iter().take(through));
        }
        prop_assert_eq!(sent_offsets(&log), (10..at).collect::<Vec<_>>());
        let mut next = 0;
        for batch in &log {
            let header = *BatchView::parse(batch).unwrap().header();
            prop_assert_eq!(header.base_sequence, next);
            next = sequence_after(header.last_sequence(), 1);
        }
        // A batch of somebody who was taken for dead is the one that is sent now: the broker knows it again.
        prop_assert_eq!(&log, &parcels(&tail, &[], Resume::default()));
    }

    /// Every record of the tail is held or sent, never both and never neither.
    #[test]
    fn every_record_is_present_exactly_once_afterwards(
        held in prop::collection::btree_set(0..20i32, 0..20),
    ) {
        let tail: Vec<u8> = (0..20).flat_map(|at| pair(10 + 2 * at, at as i32 * 2, ["a", "b"])).collect();
        let lineage: Vec<u8> = held.iter().enumerate()
            .flat_map(|(at, batch)| pair((1 << 40) + 2 * at as i64, batch * 2, ["a", "b"])).collect();
        let expected: Vec<i64> = (0..20).filter(|batch| !held.contains(batch))
            .flat_map(|batch| [10 + 2 * i64::from(batch), 11 + 2 * i64::from(batch)]).collect();
        prop_assert_eq!(sent_offsets(&parcels(&tail, &lineage, Resume::default())), expected);
    }
}
