//! Every record of a diverged tail is in a topic of its own, as it is, for any client and in every region.

use crate::load::{consumer, ends};
use crate::regions::equal_tails;
use crate::rest::{get, list};
use crate::sync::PATIENCE;
use api::diverged::{Diverged, PublicationState, PublishedRecords};
use api::topics::Topic;
use chaos::platform::Platform;
use model::limits::DECOMPRESSED_BYTES_MAX;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use record::Batches;
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

/// Waits until the tails are published, and compares each with what clients of the gateway read.
pub(crate) fn each_tail_is_in_its_topic(platform: &Platform, tails: &[Diverged]) {
    for tail in tails {
        let (topic, records) = published(platform, tail);
        let original = tail.tail.topic.as_deref().expect("its topic is there");
        assert_eq!(topic, format!("{original}.diverged.{}", tail.tail.ownership_epoch));
        assert_eq!((records.published, records.aborted, records.open), (tail.tail.records, 0, 0), "{records:?}");
        let archived = archived(platform, tail);
        let [run] = &records.offsets[..] else { panic!("one run: {records:?}") };
        assert_eq!(run.tail, tail.tail.range, "{tail:?}");
        let read = read(&platform.endpoints().gateway, &topic, tail.tail.partition, (run.topic.start, run.topic.end));
        let place = read.iter().zip(&archived).position(|(read, archived)| read != archived);
        assert_eq!((read.len(), place), (archived.len(), None), "{topic}: what differs first, if anything does");
        let asked: Topic = get(&platform.endpoints().api, &format!("/v1/topics/{topic}")).unwrap();
        equal_tails(platform, &topic, asked.partitions);
        let reader = consumer(&platform.endpoints().gateway, &format!("{topic}-ends"), &[]);
        let told = ends(&reader, &topic, tail.tail.partition, Instant::now() + PATIENCE);
        assert_eq!(told, (run.topic.start, run.topic.end), "nothing else is there");
    }
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

/// The records of a tail, as its region wrote them to its file.
fn archived(platform: &Platform, tail: &Diverged) -> Vec<Seen> {
    let bytes = fs::read(platform.directory().join(&tail.region).join(&tail.tail.file)).unwrap();
    let batches: Vec<_> = Batches::new(&bytes).map(Result::unwrap).collect();
    let records = batches.iter().flat_map(|batch| batch.records(DECOMPRESSED_BYTES_MAX).unwrap().map(Result::unwrap));
    records
        .map(|record| Seen {
            at: Some(record.timestamp.0),
            key: record.key,
            value: record.value,
            headers: record.headers.into_iter().map(|header| (header.key, header.value)).collect(),
        })
        .collect()
}

/// What a client reads between two offsets.
fn read(bootstrap: &str, topic: &str, partition: i32, (start, end): (i64, i64)) -> Vec<Seen> {
    let reader: BaseConsumer = consumer(bootstrap, &format!("{topic}-reader"), &[("enable.auto.commit", "false")]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(start)).unwrap();
    reader.assign(&list).unwrap();
    let (mut read, mut next, deadline) = (vec![], start, Instant::now() + PATIENCE);
    while next < end {
        assert!(Instant::now() < deadline, "{topic}-{partition} cannot be read from {next} to {end}");
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) {
            next = message.offset() + 1;
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
