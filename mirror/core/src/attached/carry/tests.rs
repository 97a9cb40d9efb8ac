use super::*;
use model::{LeaderEpoch, Timestamp};
use record::end_txn_marker;

const US: Identity = Identity { producer: ProducerId(9000), epoch: 4 };

fn batch(base: i64, values: &[&str]) -> BatchBuilder {
    let builder = BatchBuilder::new().base_offset(Offset(base)).leader_epoch(LeaderEpoch(3));
    values.iter().fold(builder, |builder, value| builder.record(base, Some(b"k"), Some(value.as_bytes()), &[]))
}

fn of(builder: BatchBuilder, producer: i64) -> BatchBuilder {
    builder.producer(ProducerId(producer), 0, 0).transactional()
}

/// The batch as compaction leaves it: with the records at these places only.
fn compacted(bytes: &[u8], kept: &[usize]) -> Vec<u8> {
    let view = BatchView::parse(bytes).unwrap();
    let records: Vec<_> = view.records(DECOMPRESSED_BYTES_MAX).unwrap().map(Result::unwrap).collect();
    let kept: Vec<_> = kept.iter().map(|at| records[*at].clone()).collect();
    view.with_records(&kept, None).unwrap()
}

fn marker(at: i64, producer: i64, commits: bool) -> Vec<u8> {
    let mut marker = end_txn_marker(commits, ProducerId(producer), 0, 0, Timestamp(1));
    record::set_base_offset(&mut marker, Offset(at));
    marker
}

fn values(bytes: &[u8]) -> Vec<(i64, String)> {
    let view = BatchView::parse(bytes).unwrap();
    view.verify().unwrap();
    let text = |record: Record| (record.timestamp.0, String::from_utf8(record.value.unwrap()).unwrap());
    view.records(DECOMPRESSED_BYTES_MAX).unwrap().map(|record| text(record.unwrap())).collect()
}

#[test]
fn batches_without_holes_pass_with_their_bytes() {
    for compression in Compression::ALL {
        let bytes = batch(40, &["a", "b"]).compression(compression).build();
        let load = carry(&bytes, Offset(40), &[]).unwrap();
        let parcel = load.parcels[0].clone();
        assert!(parcel.is_whole());
        assert_eq!((parcel.runs.clone(), parcel.end), (vec![(Offset(40), 2)], Offset(42)));
        let sent = parcel.batch(US, 7);
        let view = BatchView::parse(&sent).unwrap();
        assert_eq!(view.payload(), BatchView::parse(&bytes).unwrap().payload());
        assert_eq!((view.base_sequence, view.producer_id, view.producer_epoch), (7, US.producer, US.epoch));
    }
}

#[test]
fn holes_are_closed_and_kept_in_the_runs() {
    let bytes = compacted(&batch(40, &["a", "b", "c", "d", "e"]).compression(Compression::Lz4).build(), &[0, 1, 4]);
    let load = carry(&bytes, Offset(40), &[]).unwrap();
    let parcel = load.parcels[0].clone();
    assert!(!parcel.is_whole());
    assert_eq!((parcel.runs.clone(), parcel.end), (vec![(Offset(40), 2), (Offset(44), 1)], Offset(45)));
    let sent = parcel.batch(US, 0);
    assert_eq!(BatchView::parse(&sent).unwrap().last_offset_delta, 2);
    assert_eq!(BatchView::parse(&sent).unwrap().attributes.compression(), Ok(Compression::Lz4));
    assert_eq!(values(&sent), [(40, "a".into()), (40, "b".into()), (40, "e".into())]);
}

#[test]
fn a_position_within_a_batch_takes_the_rest_of_it() {
    let bytes = batch(40, &["a", "b", "c"]).build();
    let load = carry(&bytes, Offset(41), &[]).unwrap();
    assert_eq!(load.parcels[0].runs, [(Offset(41), 2)]);
    assert!(carry(&bytes, Offset(43), &[]).unwrap().parcels.is_empty());
}

#[test]
fn control_batches_and_emptied_ones_are_settled_with_what_is_before_them() {
    let marker = marker(42, 1, true);
    let emptied = BatchView::parse(&batch(43, &["x", "y"]).build()).unwrap().emptied();
    let bytes = [of(batch(40, &["a", "b"]), 1).build(), marker.clone(), emptied].concat();
    let load = carry(&bytes, Offset(40), &[]).unwrap();
    assert_eq!((load.parcels.len(), load.parcels[0].end, load.end), (1, Offset(45), Offset(45)));
    let load = carry(&marker, Offset(42), &[]).unwrap();
    assert_eq!((load.parcels.len(), load.end), (0, Offset(43)));
}

#[test]
fn aborted_transactions_are_left_out_and_committed_ones_are_not() {
    let bytes = [
        of(batch(40, &["lost"]), 1).build(),
        of(batch(41, &["kept"]), 2).build(),
        batch(42, &["plain"]).build(),
        marker(43, 1, false),
        marker(44, 2, true),
        of(batch(45, &["later"]), 1).build(),
        marker(46, 1, true),
    ]
    .concat();
    let aborted = [Aborted { producer: ProducerId(1), first: Offset(40) }];
    let load = carry(&bytes, Offset(40), &aborted).unwrap();
    let found: Vec<_> = load.parcels.iter().cloned().flat_map(|parcel| values(&parcel.batch(US, 0))).collect();
    assert_eq!(found.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["kept", "plain", "later"]);
    assert_eq!(load.tally, Tally { passed: 3, encoded: 0, empty: 3, aborted: 1 });
    assert_eq!(load.parcels[0].runs, [(Offset(41), 1)]);
}

#[test]
fn append_times_become_the_times_of_the_records() {
    let mut bytes = batch(40, &["a", "b"]).build();
    record::stamp_append_time(&mut bytes, Timestamp(777)).unwrap();
    let load = carry(&bytes, Offset(40), &[]).unwrap();
    let sent = load.parcels[0].clone().batch(US, 0);
    assert!(!BatchView::parse(&sent).unwrap().attributes.is_append_time());
    assert_eq!(values(&sent), [(777, "a".into()), (777, "b".into())]);
}

#[test]
fn a_batch_of_very_many_records_with_holes_is_cut_the_same_way_from_anywhere() {
    let many: Vec<String> = (0..RECORDS_MAX + 500).map(|n| n.to_string()).collect();
    let whole = batch(0, &many.iter().map(String::as_str).collect::<Vec<_>>()).build();
    let kept: Vec<usize> = (0..many.len()).filter(|n| n % 1000 != 7).collect();
    let bytes = compacted(&whole, &kept);
    let load = carry(&bytes, Offset(0), &[]).unwrap();
    assert_eq!(load.parcels.len(), 2);
    assert_eq!(load.parcels[0].count() as usize, RECORDS_MAX);
    let rest = carry(&bytes, load.parcels[0].end, &[]).unwrap();
    assert_eq!(rest.parcels[0].runs, load.parcels[1].runs);
    assert_eq!(rest.end, load.end);
}

#[test]
fn a_damaged_batch_is_not_carried() {
    let mut bytes = batch(40, &["a", "b"]).build();
    *bytes.last_mut().unwrap() ^= 1;
    let error = carry(&bytes, Offset(40), &[]).unwrap_err();
    assert!(matches!(error, CarryError::Batch { behind: Offset(40), .. }), "{error}");
}
