//! What another region's link sees, and what a copy becomes.

use crate::harness::{Alone, Client, PATIENCE, alone, alone_with, batch, builder, large, records};
use broker::standalone::Topic;
use model::limits::PROMOTE_HOLE_OFFSETS;
use model::{Offset, PartitionId, ProducerId, TopicId};
use std::time::{Duration, Instant};
use wire::ErrorCode;
use wire::api::list_offsets::{EARLIEST, LATEST};
use wire::internal::link_fetch::{Partition, PartitionResponse, Request, Response};

struct Link {
    client: Client,
    topic: TopicId,
}

impl Link {
    async fn to(source: &Alone, topic: &Topic) -> Self {
        let client = Client::at(source.broker.broker.addresses().unwrap().internal).await;
        Self { client, topic: topic.id() }
    }

    async fn answer(&self, from: i64, last_epoch: i32, max_wait_ms: i32) -> Response {
        let partition = Partition {
            topic_id: self.topic,
            fetch_offset: from,
            last_epoch,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let request = Request {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 1 << 20,
            partitions: vec![partition],
            ..Default::default()
        };
        self.client.0.call_within(PATIENCE, &request, 0).await.unwrap()
    }

    async fn fetch(&self, from: i64, last_epoch: i32) -> PartitionResponse {
        self.answer(from, last_epoch, 0).await.partitions.into_iter().next().unwrap()
    }

    /// Copies everything into `target`, as a link does.
    async fn copy_to(&self, target: &Alone) {
        loop {
            let state = target.broker.broker.copy_state(self.topic, PartitionId(0)).unwrap();
            let last_epoch = state.epochs.last().map_or(-1, |last| last.epoch.0);
            let found = self.fetch(state.tail.0, last_epoch).await;
            assert_eq!((found.error, &found.diverging), (ErrorCode::NONE, &None));
            if found.records.is_empty() {
                let flushed = target.broker.broker.copy_flushed(self.topic, PartitionId(0), state.tail);
                return flushed.await.unwrap();
            }
            let bytes = found.records.into_bytes();
            let broker = &target.broker.broker;
            broker.append_copy(self.topic, PartitionId(0), state.tail, bytes).await.unwrap();
        }
    }
}

async fn source_and_copy(topic: &Topic) -> (Alone, Alone, Link) {
    let (source, copy) = (alone(std::slice::from_ref(topic)).await, alone(std::slice::from_ref(topic)).await);
    copy.broker.demote("r2");
    let link = Link::to(&source, topic).await;
    (source, copy, link)
}

/// The raw bytes of a partition as its clients get them.
async fn content(broker: &Alone, from: i64) -> Vec<u8> {
    let (client, mut content, mut next) = (broker.client().await, Vec::new(), from);
    loop {
        let bytes = client.fetch("t", 0, next).await.records.into_bytes();
        let Some(last) = record::Batches::new(&bytes).map(|batch| batch.unwrap().next_offset()).last() else {
            return content;
        };
        content.extend(bytes);
        next = last.0;
    }
}

#[tokio::test]
async fn a_link_reads_what_is_committed_byte_for_byte() {
    let topic = Topic::new("t", 1).with("segment.bytes", "50000");
    let (source, copy, link) = source_and_copy(&topic).await;
    let client = source.client().await;
    for size in [10, 20_000, 30_000, 40_000, 10] {
        client.produce("t", 0, large(size)).await;
    }
    let answer = link.answer(5, -1, 0).await;
    assert_eq!(answer.source_incarnation, 1);
    assert!(answer.source_time_ms > 0);
    let at_tail = &answer.partitions[0];
    assert_eq!((at_tail.source_tail, at_tail.high_watermark, at_tail.log_start), (5, 5, 0));
    assert_eq!((at_tail.ownership_epoch, at_tail.oldest_unread_append_time_ms), (1, -1));
    link.copy_to(&copy).await;
    assert_eq!(content(&copy, 0).await, content(&source, 0).await);
    assert_eq!(copy.client().await.list_offset("t", LATEST).await.offset, 5);
}

/// A fetch of a run that began at offset 0.
fn of_run(topic: TopicId, run: i32, bytes: i32, max_wait_ms: i32) -> Request {
    let partition = Partition {
        topic_id: topic,
        last_epoch: -1,
        partition_max_bytes: bytes,
        run_window: 7,
        run,
        ..Default::default()
    };
    Request {
        target_region: "r2".to_owned(),
        max_wait_ms,
        min_bytes: 1,
        max_bytes: bytes,
        partitions: vec![partition],
        ..Default::default()
    }
}

#[tokio::test]
async fn fetches_of_one_run_are_handed_every_batch_once_and_in_order() {
    let topic = Topic::new("t", 1);
    let source = alone(std::slice::from_ref(&topic)).await;
    let (client, at) = (source.client().await, source.broker.broker.addresses().unwrap().internal);
    for _ in 0..4 {
        client.produce("t", 0, large(1000)).await;
    }
    let ask = async |request: Request| {
        let response = Client::at(at).await.0.call_within(PATIENCE, &request, 0).await.unwrap();
        assert!(response.held_us >= 0);
        response.partitions.into_iter().next().unwrap()
    };
    for expected in [(0, 1), (1, 2)] {
        let found = ask(of_run(topic.id(), 1, 1500, 0)).await;
        assert_eq!((found.run_start, found.run_end, records(&found.records).len()), (expected.0, expected.1, 1));
    }
    let found = ask(of_run(topic.id(), 1, 1 << 20, 0)).await;
    assert_eq!((found.run_start, found.run_end), (2, 4));
    let found = ask(of_run(topic.id(), 1, 1 << 20, 0)).await;
    assert_eq!((found.error, found.run_start, found.run_end), (ErrorCode::NONE, 4, 4), "nothing is left");
    let waiting = [0, 1].map(|_| tokio::spawn(ask_later(at, of_run(topic.id(), 1, 1 << 20, 60_000))));
    client.produce("t", 0, large(10)).await;
    let [mut one, mut other] = waiting;
    let (first, last) = tokio::select! {
        answer = &mut one => (answer, other),
        answer = &mut other => (answer, one),
    };
    client.produce("t", 0, large(10)).await;
    let parts = [first, last.await].map(|found| found.map(|found| (found.run_start, found.run_end)).unwrap());
    assert_eq!(parts, [(4, 5), (5, 6)], "each brings what comes next");
    let found = ask(of_run(topic.id(), 2, 1 << 20, 0)).await;
    assert_eq!((found.run_start, found.run_end), (0, 6), "another run begins anew");
    let found = ask(of_run(topic.id(), 1, 1 << 20, 0)).await;
    assert_eq!(found.error, ErrorCode::LEADER_NOT_AVAILABLE, "the one before is over");
}

async fn ask_later(at: std::net::SocketAddr, request: Request) -> PartitionResponse {
    Client::at(at).await.0.call_within(PATIENCE, &request, 0).await.unwrap().partitions.remove(0)
}

#[tokio::test]
async fn a_link_waits_for_records_and_hears_how_old_they_are() {
    let topic = Topic::new("t", 1);
    let source = alone(std::slice::from_ref(&topic)).await;
    let link = Link::to(&source, &topic).await;
    let waiting = tokio::spawn(async move { link.answer(0, -1, 60_000).await });
    source.until_a_fetch_waits().await;
    source.client().await.produce("t", 0, batch(&["a"])).await;
    let answer = waiting.await.unwrap();
    let found = &answer.partitions[0];
    assert_eq!(records(&found.records).len(), 1);
    let age = answer.source_time_ms - found.oldest_unread_append_time_ms;
    assert!((0..5000).contains(&age), "{age}");
    assert_eq!(found.tail_append_time_ms, found.oldest_unread_append_time_ms);
}

#[tokio::test]
async fn a_link_that_is_held_back_gets_records_when_they_are_old_enough() {
    const DELAY: Duration = Duration::from_millis(400);
    let topic = Topic::new("t", 1);
    let source = alone_with(std::slice::from_ref(&topic), |config| config.link_delay = DELAY).await;
    let link = Link::to(&source, &topic).await;
    let began = Instant::now();
    source.client().await.produce("t", 0, batch(&["a"])).await;
    let found = link.fetch(0, -1).await;
    assert!(found.records.is_empty());
    assert_eq!((found.source_tail, found.high_watermark), (1, 1), "the link knows that something is at stake");
    let found = link.answer(0, -1, 60_000).await;
    assert_eq!(records(&found.partitions[0].records).len(), 1);
    assert!(began.elapsed() >= DELAY - Duration::from_millis(50));
}

#[tokio::test]
async fn a_link_is_told_where_its_copy_left_the_source() {
    let topic = Topic::new("t", 1);
    let source = alone(std::slice::from_ref(&topic)).await;
    let (client, link) = (source.client().await, Link::to(&source, &topic).await);
    for _ in 0..3 {
        client.produce("t", 0, batch(&["a"])).await;
    }
    let epoch = client.list_offset("t", LATEST).await.leader_epoch;
    assert_eq!(link.fetch(3, epoch).await.diverging, None);
    let diverging = link.fetch(5, epoch).await.diverging.unwrap();
    assert_eq!((diverging.epoch, diverging.end_offset), (epoch, 3), "the copy has more of the epoch");
    let diverging = link.fetch(2, epoch - 1).await.diverging.unwrap();
    assert_eq!((diverging.epoch, diverging.end_offset), (epoch - 1, 0), "an epoch the source never had");
    assert_eq!(link.fetch(2, epoch + 1).await.error, ErrorCode::UNKNOWN_LEADER_EPOCH, "the copy knows more");
    let beyond = link.fetch(9, -1).await;
    assert_eq!((beyond.error, beyond.log_start), (ErrorCode::OFFSET_OUT_OF_RANGE, 0));
}

#[tokio::test]
async fn a_promoted_copy_begins_behind_a_hole_and_nobody_waits_for_ever() {
    let topic = Topic::new("t", 1);
    let (source, copy, link) = source_and_copy(&topic).await;
    let client = source.client().await;
    let producer = ProducerId(1 << 47 | 5);
    let send = async |client: &Client, sequence: i32| {
        let batch = builder(&[&sequence.to_string()]).producer(producer, 0, sequence).build();
        client.produce("t", 0, batch.into()).await
    };
    for sequence in 0..4 {
        send(&client, sequence).await;
    }
    link.copy_to(&copy).await;
    send(&client, 4).await;
    copy.broker.promote(3, PROMOTE_HOLE_OFFSETS).unwrap();
    let base = 4 + PROMOTE_HOLE_OFFSETS;
    let client = copy.client().await;
    assert_eq!(client.list_offset("t", LATEST).await.offset, base + 1);
    assert_eq!(client.list_offset("t", EARLIEST).await.offset, 0);
    for offset in [4, 5, base - 1, base] {
        let found = client.fetch("t", 0, offset).await;
        assert_eq!(found.error_code, ErrorCode::NONE);
        let batches: Vec<_> = record::Batches::new(found.records.bytes().unwrap()).map(Result::unwrap).collect();
        assert_eq!(batches[0].base_offset, Offset(base), "from {offset} on: the batch behind the hole");
        assert!(batches[0].attributes.is_control());
    }
    assert_eq!(client.fetch("t", 0, base + 2).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    let jumped = send(&client, 6).await;
    assert_eq!((jumped.error_code, jumped.base_offset), (ErrorCode::NONE, base + 1), "the one jump forward");
    assert_eq!(send(&client, 8).await.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "it is closed now");
}

#[tokio::test]
async fn a_batch_refused_while_its_producer_may_jump_closes_the_connection() {
    let topic = Topic::new("t", 1);
    let (source, copy, link) = source_and_copy(&topic).await;
    let batch = |sequence| builder(&["a"]).producer(ProducerId(1 << 47 | 5), 0, sequence).build().into();
    source.client().await.produce("t", 0, batch(0)).await;
    link.copy_to(&copy).await;
    copy.broker.promote(3, PROMOTE_HOLE_OFFSETS).unwrap();
    let client = copy.client().await;
    let request = crate::harness::produce_request("t", 0, batch((1 << 30) + 1), -1);
    assert!(client.0.call(&request, 9).await.is_err(), "back, not forward");
    assert_eq!(copy.client().await.produce("t", 0, batch(1)).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn an_old_owner_archives_what_the_new_one_never_got_and_follows() {
    let topic = Topic::new("t", 1);
    let (old, new, link) = source_and_copy(&topic).await;
    let client = old.client().await;
    for value in ["a", "b", "c"] {
        client.produce("t", 0, batch(&[value])).await;
    }
    link.copy_to(&new).await;
    for value in ["lost 1", "lost 2"] {
        client.produce("t", 0, batch(&[value])).await;
    }
    new.broker.promote(3, PROMOTE_HOLE_OFFSETS).unwrap();
    new.client().await.produce("t", 0, batch(&["d"])).await;
    old.broker.demote("r2");
    let back = Link::to(&new, &topic).await;
    let (key, broker) = ((topic.id(), PartitionId(0)), &old.broker.broker);
    let state = broker.copy_state(key.0, key.1).unwrap();
    let diverging = back.fetch(state.tail.0, state.epochs.last().unwrap().epoch.0).await.diverging.unwrap();
    assert_eq!(diverging.end_offset, 3, "the common end, not the base");
    let tail = broker.archive_tail(key.0, key.1, Offset(3)).await.unwrap();
    assert_eq!((tail.range.start, tail.range.end, tail.records), (Offset(3), Offset(5), 2));
    let archived = std::fs::read(old.dir.path().join(&tail.file)).unwrap();
    let (whole, max) = (archived.len() as u64, 1 << 20);
    assert_eq!(broker.read_diverged(tail.file.clone(), 0, max).await.unwrap(), archived);
    assert_eq!(broker.read_diverged(tail.file.clone(), 5, 7).await.unwrap(), archived[5..12]);
    assert!(broker.read_diverged(tail.file.clone(), whole, max).await.unwrap().is_empty(), "the end of the file");
    for other in ["facts.json", "diverged/../facts.json", "diverged/none.log", "/etc/hostname", ".."] {
        assert!(broker.read_diverged(other.to_owned(), 0, max).await.is_err(), "{other} is no diverged file");
    }
    assert_eq!(records(&wire::Records::Bytes(archived.into())), [(3, "lost 1".into()), (4, "lost 2".into())]);
    assert_eq!(broker.truncate_copy(key.0, key.1, Offset(3)).await.unwrap(), Offset(3));
    back.copy_to(&old).await;
    assert_eq!(content(&old, 0).await, content(&new, 0).await);
}
