//! A compacted topic whose mirror lags past a tombstone: a key that was deleted meanwhile does not come back.

use crate::cluster::start_with;
use crate::load::{consumer, unique};
use crate::regions::equal_tails;
use crate::rest::list;
use crate::sync::wait;
use api::links::Link;
use chaos::platform::Platform;
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_key_deleted_while_the_mirror_was_away_does_not_come_back_at_failover() {
    let mut platform = start_with(|options| {
        options.regions = 2;
        let arguments = ["--link-hold-s", "0", "--link-hold-mib", "0", "--clean-every-s", "1"];
        options.arguments = arguments.map(str::to_owned).to_vec();
    });
    let topic = unique("tombstones");
    let config =
        ["cleanup.policy=compact", "segment.bytes=4096", "min.cleanable.dirty.ratio=0", "delete.retention.ms=0"];
    let options = config.iter().flat_map(|entry| ["--config", entry]);
    platform.command(&["topic", "create", &topic].into_iter().chain(options).collect::<Vec<_>>()).unwrap();
    let r1 = platform.region("r1").expect("a first region").bootstrap.clone();
    let r2 = platform.region("r2").expect("a second region").bootstrap.clone();
    let write = |records: &[(&str, Option<&str>)]| write(&r1, &topic, records);
    write(&[("deleted", Some("once")), ("kept", Some("always"))]);
    write(&others());
    equal_tails(&platform, &topic, 1);

    // Not a line that is cut: the answer under way on it, with the deletion, comes once it is let go.
    platform.kill_region("r2").unwrap();
    write(&[("deleted", None)]);
    let forgotten = platform.wait_for("nothing at the source tells of the deletion any more", PATIENCE, || {
        write(&others());
        !state(&r1, &topic).contains_key("deleted")
    });
    forgotten.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
    platform.start_region("r2").unwrap();
    wait_for_link(&platform, "the copy is no standby", |link| {
        let of_topic = link.partitions.iter().find(|partition| partition.topic == topic);
        of_topic.is_some_and(|partition| partition.state == "must_rebuild" && partition.unusable.is_some())
    });
    assert_eq!(state(&r2, &topic).get("deleted"), Some(&Some("once".to_owned())), "the copy never heard of it");
    let refused = platform.command(&["protection", "failover", "--target", "r2"]).unwrap_err().to_string();
    assert!(refused.contains("must_rebuild") && refused.contains("farshore link rebuild"), "{refused}");

    platform.command(&["link", "rebuild", "r1", "r2"]).unwrap();
    wait_for_link(&platform, "the copy is a standby again", |link| {
        link.unusable_partitions == 0 && link.state == "caught_up"
    });
    equal_tails(&platform, &topic, 1);
    platform.command(&["protection", "failover", "--target", "r2"]).unwrap();
    wait(&platform, "r2 is the owner", |group| group.owner == "r2");
    let found = state(&platform.endpoints().gateway, &topic);
    assert_eq!(found.get("kept"), Some(&Some("always".to_owned())));
    assert_eq!(found.get("deleted"), None, "{found:?}");
}

fn others() -> Vec<(&'static str, Option<&'static str>)> {
    const VALUE: &str =
        "................................................................................................";
    (0..200).map(|n| (["a", "b", "c"][n % 3], Some(VALUE))).collect()
}

pub(crate) fn write(bootstrap: &str, topic: &str, records: &[(&str, Option<&str>)]) {
    let mut config = ClientConfig::new();
    // One record per batch and segment soon: what is old is soon behind the active segment.
    config.set("bootstrap.servers", bootstrap).set("batch.num.messages", "10");
    let producer: BaseProducer = config.create().unwrap();
    for (key, value) in records {
        let record = BaseRecord::to(topic).key(*key).partition(0);
        let record = match value {
            Some(value) => record.payload(*value),
            None => record,
        };
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).expect("every record gets its receipt");
}

/// The latest record of each key, as the clients of a region read it.
fn state(bootstrap: &str, topic: &str) -> BTreeMap<String, Option<String>> {
    let changes = [("enable.auto.commit", "false"), ("enable.partition.eof", "true")];
    let consumer = consumer(bootstrap, &format!("{topic}-state"), &changes);
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let (mut latest, deadline) = (BTreeMap::new(), Instant::now() + PATIENCE);
    loop {
        assert!(Instant::now() < deadline, "{topic} cannot be read to its end at {bootstrap}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                latest.insert(message.key().map(text).unwrap_or_default(), message.payload().map(text));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return latest,
            // Leaders may still move: what errors tell is over soon, or the deadline is.
            Some(Err(_)) | None => {}
        }
    }
}

fn wait_for_link(platform: &Platform, what: &str, holds: impl Fn(&Link) -> bool) {
    let (api, mut last) = (platform.endpoints().api.clone(), Vec::new());
    let waited = platform.wait_for(what, PATIENCE, || {
        last = list::<Link>(&api, "/v1/links", "").unwrap_or_default();
        last.iter().any(|link| link.target == "r2" && holds(link))
    });
    waited.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
}
