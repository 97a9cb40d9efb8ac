//! A gateway in one of several regions that all take writes: clients that know nothing but the gateway are sent to its
//! region, go on in another one when that dies, without a restart, and come back.

use crate::active::{Acked, producer};
use crate::cluster::start_with;
use crate::load::{consumer, create, unique};
use crate::rest::list;
use api::conflicts::ActivePartition;
use chaos::platform::Platform;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The region the gateway stands in; the home of every group is r1.
const OWN: &str = "r2";
const PATIENCE: Duration = Duration::from_secs(120);
const COUNT: usize = 200;

#[test]
fn clients_of_a_gateway_write_to_its_region_and_elsewhere_while_that_is_away() {
    let mut platform = start_with(|options| options.arguments = vec!["--gateway-in".to_owned(), OWN.to_owned()]);
    let (topic, gateway) = (unique("shared"), platform.endpoints().gateway.clone());
    platform.command(&["protection", "active", "shared", "--topics", "shared*", "--groups", "shared*"]).unwrap();
    create(&gateway, &topic, 1);
    let stage = Stage { topic: topic.clone(), acked: Acked::default() };
    let producer = producer(&gateway, &stage.acked);
    let write = |round: &str| {
        let before = stage.acked.lock().unwrap().len();
        for number in 0..COUNT {
            let (key, value) = (format!("{round}-{number}"), format!("{round}/{number}"));
            let record: BaseRecord<'_, str, str, _> =
                BaseRecord::with_opaque_to(&topic, Box::new((key.clone(), value.clone())));
            producer.send(record.key(key.as_str()).payload(value.as_str())).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        assert_eq!(stage.acked.lock().unwrap().len(), before + COUNT, "{round}: all of it is acknowledged");
    };
    let reader = Reader::start(consumer(&gateway, &topic, &[]), &topic);
    write("at-home");
    stage.has(&platform, OWN, COUNT as i64);
    assert_eq!(stage.wrote(&platform, "r1"), 0, "the gateway's region took them");
    reader.sees_all(&platform, &stage);
    platform.kill_region(OWN).unwrap();
    write("away");
    stage.has(&platform, "r1", COUNT as i64);
    reader.sees_all(&platform, &stage);
    platform.start_region(OWN).unwrap();
    let mut rounds = 0;
    let returned = platform.wait_for("clients come back", PATIENCE, || {
        let (elsewhere, round) = (stage.wrote(&platform, "r1"), format!("again-{rounds}"));
        rounds += 1;
        write(&round);
        stage.wrote(&platform, "r1") == elsewhere
    });
    returned.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
    write("at-home-again");
    reader.sees_all(&platform, &stage);
    reader.stop();
}

struct Stage {
    topic: String,
    acked: Acked,
}

impl Stage {
    /// How many offsets of its own a region has used, as r1 has heard.
    fn wrote(&self, platform: &Platform, region: &str) -> i64 {
        let mut tail = None;
        let known = platform.wait_for("r1 says what it has", PATIENCE, || {
            let path = "/v1/regions/r1/active-partitions";
            let all: Vec<ActivePartition> = list(&platform.endpoints().api, path, "").unwrap_or_default();
            let known = all.into_iter().find(|known| known.topic == self.topic);
            tail = known.map(|known| {
                let of_region = known.received.iter().find(|known| known.region.as_deref() == Some(region));
                // Offsets of a region begin at a place of its own.
                of_region.map_or(0, |known| known.tail & ((1 << 47) - 1))
            });
            tail.is_some()
        });
        known.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
        tail.unwrap_or_default()
    }

    /// Waits until so many have come to r1.
    fn has(&self, platform: &Platform, region: &str, count: i64) {
        let has = platform.wait_for("r1 has what was written", PATIENCE, || self.wrote(platform, region) >= count);
        has.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
    }
}

/// A member of a consumer group that is never started anew.
struct Reader {
    seen: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Reader {
    fn start(consumer: BaseConsumer, topic: &str) -> Self {
        consumer.subscribe(&[topic]).unwrap();
        let (seen, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let (noted, ended) = (seen.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                // Errors are about a region that is away; the client goes on by itself.
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
                let value = String::from_utf8(message.payload().unwrap_or_default().to_vec()).unwrap();
                noted.lock().unwrap().insert(value);
            }
        });
        Self { seen, stop, thread }
    }

    /// Waits until it has seen everything that was acknowledged.
    fn sees_all(&self, platform: &Platform, stage: &Stage) {
        let lacks = || {
            let (seen, acked) = (self.seen.lock().unwrap(), stage.acked.lock().unwrap());
            acked.iter().filter(|(_, value)| !seen.contains(value)).count()
        };
        let all = platform.wait_for("the reader sees everything", PATIENCE, || lacks() == 0);
        all.unwrap_or_else(|error| panic!("{error}: {} are missing\n{}", lacks(), platform.logs()));
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}
