//! Transactions that came from elsewhere, as readers of decided records see them.

use crate::harness::{Alone, alone, builder, fetch_request, only, records};
use broker::standalone::Topic;
use bytes::Bytes;
use model::limits::PROMOTE_HOLE_OFFSETS;
use model::{LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp};
use wire::api::fetch::PartitionResponse;

const EPOCH: LeaderEpoch = LeaderEpoch(2 << 12);
const COMMITTED: i8 = 1;

/// A copy of a log in which producer 1 aborted, producer 2 committed, and producer 3 is not decided.
async fn copy_with_transactions() -> Alone {
    let topic = Topic::new("t", 1);
    let copy = alone(std::slice::from_ref(&topic)).await;
    copy.broker.demote("r2");
    let of = |producer: i64, offset: i64| {
        let batch = builder(&[&format!("{producer}")]).transactional().producer(ProducerId(producer), 0, 0);
        batch.base_offset(Offset(offset)).leader_epoch(EPOCH).build()
    };
    let ends = |producer: i64, offset: i64, commits: bool| {
        let mut marker = record::end_txn_marker(commits, ProducerId(producer), 0, 0, Timestamp(1));
        record::set_base_offset(&mut marker, Offset(offset));
        record::set_leader_epoch(&mut marker, EPOCH);
        marker
    };
    let plain = builder(&["plain"]).base_offset(Offset(6)).leader_epoch(EPOCH).build();
    let log = [of(1, 0), of(2, 1), ends(1, 2, false), ends(2, 3, true), of(3, 4), of(2, 5), plain];
    let (log, broker) = (Bytes::from(log.concat()), &copy.broker.broker);
    broker.append_copy(topic.id(), PartitionId(0), Offset(0), log).await.unwrap();
    broker.copy_flushed(topic.id(), PartitionId(0), Offset(7)).await.unwrap();
    copy
}

async fn read(broker: &Alone, isolation_level: i8) -> PartitionResponse {
    let request = wire::api::fetch::Request { isolation_level, ..fetch_request("t", 0, 0) };
    only(broker.client().await.0.call(&request, 11).await.unwrap())
}

fn aborted(found: &PartitionResponse) -> Vec<(i64, i64)> {
    let aborted = found.aborted_transactions.as_deref().unwrap_or_default();
    aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect()
}

#[tokio::test]
async fn a_reader_of_decided_records_stops_at_the_first_open_transaction() {
    let copy = copy_with_transactions().await;
    let found = read(&copy, COMMITTED).await;
    assert_eq!((found.high_watermark, found.last_stable_offset), (7, 4));
    let batches = record::Batches::new(found.records.bytes().unwrap()).map(Result::unwrap);
    assert_eq!(batches.map(|batch| batch.base_offset.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(aborted(&found), [(1, 0)]);
    let found = read(&copy, 0).await;
    assert_eq!(found.aborted_transactions, None);
    let batches = record::Batches::new(found.records.bytes().unwrap()).map(Result::unwrap);
    assert_eq!(batches.last().unwrap().base_offset.0, 6, "others see everything that is committed");
}

#[tokio::test]
async fn a_promoted_copy_aborts_what_nobody_can_decide_any_more() {
    let copy = copy_with_transactions().await;
    copy.broker.promote(3, PROMOTE_HOLE_OFFSETS).unwrap();
    let found = read(&copy, COMMITTED).await;
    assert_eq!(found.last_stable_offset, found.high_watermark);
    assert_eq!(found.high_watermark, 7 + PROMOTE_HOLE_OFFSETS + 3, "the first batch and two markers");
    assert_eq!(aborted(&found), [(1, 0), (3, 4), (2, 5)]);
    let batches = record::Batches::new(found.records.bytes().unwrap()).map(Result::unwrap);
    let plain = batches.filter(|batch| !batch.attributes.is_transactional() && !batch.attributes.is_control());
    assert_eq!(plain.count(), 1);
    assert_eq!(records(&found.records).len(), 5 + 2, "markers are records too");
}
