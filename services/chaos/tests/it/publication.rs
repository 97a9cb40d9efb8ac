//! Every record of a diverged tail is in a topic of its own, as it is, for any client and in every region.

use crate::load::{consumer, ends};
use crate::regions::equal_tails;
use crate::reinject::all_listed;
use crate::rest::{get, list};
use crate::sync::PATIENCE;
use api::diverged::{Diverged, PublicationState, PublishedOffsets, PublishedRecords};
use api::topics::Topic;
use chaos::platform::Platform;
use model::limits::DECOMPRESSED_BYTES_MAX;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use record::Batches;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

/// What a client sees of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    at: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Waits until the tails are published, and compares each with what clients of the gateway read. What regions that copied from
/// one owner have archived, too, is there once.
pub(crate) fn each_tail_is_in_its_topic(platform: &Platform, tails: &[Diverged]) {
    let all = all_listed(platform);
    for tail in tails {
        let of_lineage: Vec<_> = all.iter().filter(|other| lineage(other) == lineage(tail)).collect();
        let (mut places, mut archives, mut topics) = (BTreeMap::new(), vec![], BTreeSet::new());
        for tail in &of_lineage {
            let (topic, records) = published(platform, tail);
            assert_eq!((records.published + records.held, records.aborted, records.open), (tail.tail.records, 0, 0));
            assert!(records.offsets_complete, "{records:?}");
            for (from, to) in records.offsets.iter().flat_map(pairs) {
                assert_eq!(places.insert(from, to), None, "offset {from} is published twice: {of_lineage:?}");
            }
            topics.insert(topic);
            archives.push(archived(platform, tail));
        }
        let topic = topics.pop_first().expect("it has a topic");
        let original = tail.tail.topic.as_deref().expect("its topic is there");
        assert_eq!(topic, format!("{original}.diverged.{}", tail.tail.ownership_epoch));
        assert!(topics.is_empty(), "and one only: {topics:?}");
        let partition = tail.tail.partition;
        let read = read(&platform.endpoints().gateway, &topic, partition, places.len() as i64);
        let wrong = archives.iter().flatten().find(|(offset, record)| place(&places, &read, *offset) != Some(record));
        assert_eq!(wrong, None, "{topic}: what differs first");
        let asked: Topic = get(&platform.endpoints().api, &format!("/v1/topics/{topic}")).unwrap();
        equal_tails(platform, &topic, asked.partitions);
        let reader = consumer(&platform.endpoints().gateway, &format!("{topic}-ends"), &[]);
        let told = ends(&reader, &topic, partition, Instant::now() + PATIENCE);
        assert_eq!(told, (0, places.len() as i64), "nothing else is there");
    }
}

/// What tails have in common that regions have of the same records.
fn lineage(tail: &Diverged) -> (&str, i32, u32) {
    (&tail.tail.topic_id, tail.tail.partition, tail.tail.ownership_epoch)
}

fn pairs(run: &PublishedOffsets) -> impl Iterator<Item = (i64, i64)> {
    (run.tail.start..run.tail.end).zip(run.topic.start..run.topic.end)
}

/// The record that was read where that of `offset` is said to be.
fn place<'r>(places: &BTreeMap<i64, i64>, read: &'r [Seen], offset: i64) -> Option<&'r Seen> {
    read.get(usize::try_from(*places.get(&offset)?).ok()?)
}

/// The topic a tail is published in, and where.
fn published(platform: &Platform, tail: &Diverged) -> (String, PublishedRecords) {
    let (mut last, mut found) = (Ok(vec![]), None);
    let waited = platform.wait_for("a tail is published", PATIENCE, || {
        last = list::<Diverged>(&platform.endpoints().api, "/v1/diverged", "");
        let known = last.iter().flatten().find(|known| known.id == tail.id).map(|known| known.published.clone());
        found = known.filter(|published| published.state == PublicationState::Completed);
        found.is_some()
    });
    waited.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
    let published = found.expect("it was waited for");
    (published.topic.expect("it has a topic"), published.records.expect("it is complete"))
}

/// The records of a tail, as its region wrote them to its file, with their offsets.
fn archived(platform: &Platform, tail: &Diverged) -> Vec<(i64, Seen)> {
    let bytes = fs::read(platform.directory().join(&tail.region).join(&tail.tail.file)).unwrap();
    let batches: Vec<_> = Batches::new(&bytes).map(Result::unwrap).collect();
    let records = batches.iter().flat_map(|batch| batch.records(DECOMPRESSED_BYTES_MAX).unwrap().map(Result::unwrap));
    records
        .map(|record| {
            let headers = record.headers.into_iter().map(|header| (header.key, header.value)).collect();
            (record.offset.0, Seen { at: Some(record.timestamp.0), key: record.key, value: record.value, headers })
        })
        .collect()
}

/// What a client reads below an offset, each record at its own.
fn read(bootstrap: &str, topic: &str, partition: i32, end: i64) -> Vec<Seen> {
    let reader: BaseConsumer = consumer(bootstrap, &format!("{topic}-reader"), &[("enable.auto.commit", "false")]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(0)).unwrap();
    reader.assign(&list).unwrap();
    let (mut read, deadline) = (vec![], Instant::now() + PATIENCE);
    while (read.len() as i64) < end {
        assert!(Instant::now() < deadline, "{topic}-{partition} cannot be read from {} to {end}", read.len());
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) {
            assert_eq!(message.offset(), read.len() as i64, "no offset is left out");
            read.push(seen(&message));
        }
    }
    read
}

fn seen(message: &BorrowedMessage<'_>) -> Seen {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Seen {
        at: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.into(), header.value.map(<[u8]>::to_vec))).collect(),
    }
}
