//! Ten thousand partitions of three brokers, each with a replica on every one. A measurement: run it by name, with the
//! binary of the release profile in FARSHORE_BIN; it takes minutes and prints what it measured.

use super::scene::{directory, made, rest, until};
use crate::cluster::binary;
use crate::librdkafka::create_replicated;
use crate::load::consumer;
use chaos::brokers::Brokers;
use rdkafka::consumer::Consumer;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use std::time::{Duration, Instant};

const TOPICS: usize = 10;
const PARTITIONS: i32 = 1000;
const PATIENCE: Duration = Duration::from_secs(300);

/// How many of all partitions are `fit`, as a broker that runs says.
fn count(bootstrap: &str, fit: impl Fn(&MetadataPartition) -> bool) -> usize {
    let client = consumer(bootstrap, "chaos-many", &[]);
    let Ok(known) = client.fetch_metadata(None, Duration::from_secs(20)) else { return 0 };
    let ours = known.topics().iter().filter(|topic| topic.name().starts_with("many-"));
    ours.flat_map(MetadataTopic::partitions).filter(|partition| fit(partition)).count()
}

/// Waits until all partitions are `fit`, and says how long that took.
fn all(brokers: &Brokers, bootstrap: &str, fit: impl Fn(&MetadataPartition) -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let found = count(bootstrap, &fit);
        if found == TOPICS * PARTITIONS as usize {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{found} partitions after {PATIENCE:?}\n{}", brokers.logs());
        rest(Duration::from_millis(20));
    }
}

fn is_whole(partition: &MetadataPartition) -> bool {
    partition.leader() > 0 && partition.isr().len() == 3
}

#[test]
#[ignore = "a measurement: cargo test -p chaos --test it ten_thousand -- --ignored --nocapture"]
fn ten_thousand_partitions_of_three_brokers_are_led_again_in_one_batch() {
    let mut brokers = Brokers::start(binary(), directory("many"), 3).unwrap();
    let (everybody, began) = (brokers.bootstrap(), Instant::now());
    for topic in 0..TOPICS {
        until(&brokers, "the topic is made", || {
            made(create_replicated(&everybody, &format!("many-{topic}"), PARTITIONS, 3))
        });
    }
    all(&brokers, &everybody, is_whole);
    println!("all made and in sync after {:.1} s", began.elapsed().as_secs_f64());
    let (victim, witness) = (0, brokers.address(1));
    let led = count(&everybody, |partition| partition.leader() == 1);
    let killed = Instant::now();
    brokers.kill(victim);
    let first = |partition: &MetadataPartition| partition.leader() == 1;
    while count(&witness, first) == led && killed.elapsed() < PATIENCE {}
    let noticed = killed.elapsed();
    all(&brokers, &witness, |partition| partition.leader() > 1);
    println!(
        "{led} were led by the dead broker; a change is seen after {noticed:?}, the last {:?} later",
        killed.elapsed() - noticed
    );
    let began = Instant::now();
    brokers.start_all().unwrap();
    println!("the killed broker listens after {:?}", began.elapsed());
    all(&brokers, &everybody, is_whole);
    println!("all in sync again {:?} after its start", began.elapsed());
}
