//! Records there and back.

use crate::stage::{Outcome, PATIENCE, Plain, Stage, begin, fail, parts, same, take};
use confluent_kafka::common::TopicPartition;
use confluent_kafka::consumer::Consumer as _;
use confluent_kafka::producer::Producer as _;
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

/// zstd is left out: the client builds it from C.
const CODECS: [&str; 4] = ["none", "gzip", "snappy", "lz4"];
const PRODUCERS: [(&str, &[(&str, &str)]); 4] = [
    ("idempotent", &[]),
    ("acks=all", &[("acks", "all"), ("enable.idempotence", "false")]),
    ("acks=1", &[("acks", "1"), ("enable.idempotence", "false")]),
    ("acks=0", &[("acks", "0"), ("enable.idempotence", "false")]),
];

/// Records that are hard to keep byte-equal: null and empty keys and values, binary, repeated and null headers.
pub fn hard(seed: usize) -> Vec<Plain> {
    let plain = |key: Option<&[u8]>, value: Option<&[u8]>, headers: Vec<(&str, Option<&[u8]>)>| Plain {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
        timestamp: None,
    };
    let all: Vec<u8> = (0..=255).collect();
    let mut records = vec![
        plain(None, None, vec![]),
        plain(Some(&[]), Some(&[]), vec![]),
        plain(None, Some(b"value"), vec![("h", None), ("h", Some(b"again")), ("", Some(b"empty name"))]),
        plain(Some(&all), Some(&b"farshore".repeat(4096)), vec![("\u{fc}nicode", Some("\u{20ac}".as_bytes()))]),
    ];
    records.extend((4..40).map(|n| plain(Some(&[n as u8]), Some(&vec![seed as u8; n * 3]), vec![])));
    records
}

pub async fn codecs(stage: Stage) -> Outcome {
    let cases: Vec<_> = CODECS.iter().flat_map(|codec| PRODUCERS.iter().map(move |kind| (*codec, *kind))).collect();
    let topic = stage.create("codecs", cases.len() as i32).await?;
    for (partition, (codec, (kind, config))) in cases.iter().enumerate() {
        let config = [&[("compression.type", *codec)], *config].concat();
        let offsets = stage.send(&topic, partition as i32, &hard(partition), &config).await?;
        if *kind != "acks=0" {
            same(offsets, (0..40).collect(), &format!("offsets of {codec}, {kind}"))?;
        }
    }
    let mut consumer = stage.consumer(&stage.name("alone"), &[])?;
    consumer.assign(parts(&topic, 0..cases.len() as i32)).await?;
    let mut found = vec![Vec::new(); cases.len()];
    for record in take(&mut consumer, cases.len() * 40).await? {
        found[record.partition() as usize].push(Plain::of(&record));
    }
    consumer.close().await?;
    for (partition, found) in found.into_iter().enumerate() {
        same(found, hard(partition), &format!("records of {:?}", cases[partition]))?;
    }
    Ok(())
}

pub async fn several_topics(stage: Stage) -> Outcome {
    let mut topics = Vec::new();
    for n in 0..3 {
        topics.push(stage.create(&format!("several-{n}"), 3).await?);
    }
    let (producer, mut sent) = (stage.producer(&[])?, Vec::new());
    let mut expected: BTreeMap<(String, i32), Vec<i64>> = BTreeMap::new();
    for number in 0..900 {
        let (topic, partition) = (&topics[number as usize % 3], (number / 3 % 3) as i32);
        expected.entry((topic.clone(), partition)).or_default().push(number);
        sent.push(begin(&producer, topic, partition, &Plain::number(number)).await?);
    }
    for delivery in sent {
        delivery.get_with_timeout(PATIENCE).await?;
    }
    producer.close().await?;
    let mut consumer = stage.consumer(&stage.name("several-group"), &[])?;
    consumer.subscribe_with_topics(topics).await?;
    let mut found: BTreeMap<(String, i32), Vec<i64>> = BTreeMap::new();
    for record in take(&mut consumer, 900).await? {
        let number = record.value().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let numbers = found.entry((record.topic().to_owned(), record.partition())).or_default();
        numbers.push(number.unwrap_or(-1));
    }
    consumer.close().await?;
    same(found, expected, "numbers per partition, in order")
}

pub async fn seeks(stage: Stage) -> Outcome {
    let topic = stage.create("seek", 1).await?;
    let now = SystemTime::UNIX_EPOCH.elapsed().map(|since| since.as_millis() as i64).unwrap_or_default();
    let base = now - 3_600_000;
    let timed = |n| Plain { timestamp: Some(base + n * 1000), ..Plain::number(n) };
    let records: Vec<_> = (0..100).map(timed).collect();
    stage.send(&topic, 0, &records, &[("batch.size", "200")]).await?;
    let one = TopicPartition::new(topic.as_str(), 0);
    let mut consumer = stage.consumer(&stage.name("seeking"), &[])?;
    consumer.assign(vec![one.clone()]).await?;
    for (after, offset) in [(-5, 0), (42_000, 42), (42_001, 43), (99_000, 99)] {
        let found = consumer.offsets_for_times(HashMap::from([(one.clone(), base + after)])).await?;
        let Some(found) = found.get(&one).and_then(Option::as_ref) else {
            return fail(format!("there is no offset at {after} ms"));
        };
        same(found.offset(), offset, &format!("the offset at {after} ms"))?;
        consumer.seek_with_offset(one.clone(), found.offset()).await?;
        same(take(&mut consumer, 1).await?[0].offset(), offset, "the record after a seek")?;
    }
    let late = consumer.offsets_for_times(HashMap::from([(one.clone(), base + 100_000)])).await?;
    same(late.get(&one).and_then(Option::as_ref).is_none(), true, "nothing is later than the last record")?;
    consumer.seek_to_beginning(std::slice::from_ref(&one)).await?;
    same(take(&mut consumer, 1).await?[0].offset(), 0, "the first record")?;
    consumer.seek_to_end(std::slice::from_ref(&one)).await?;
    same(consumer.position(&one).await?, 100, "the position at the end")?;
    same(consumer.end_offsets(std::slice::from_ref(&one)).await?.get(&one).copied(), Some(100), "the end")?;
    Ok(consumer.close().await?)
}
