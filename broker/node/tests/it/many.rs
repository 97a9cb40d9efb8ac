//! Ten thousand partitions on one broker, and thousands on three. Run them by name: they take a while, and print what they measured.

use crate::cluster::Cluster;
use crate::harness::{alone, batch, ports};
use broker::standalone::{Standalone, Topic};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use wire::ErrorCode;
use wire::api::metadata;

const PARTITIONS: usize = 10_000;

/// Bytes that the file system has given out below `dir`.
fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        metadata.blocks() * 512 + if metadata.is_dir() { disk_bytes(&entry.path()) } else { 0 }
    };
    entries.map(size).sum()
}

#[tokio::test]
#[ignore = "a measurement: cargo test -p broker ten_thousand -- --ignored --nocapture"]
async fn ten_thousand_partitions_cost_little_and_start_quickly() {
    let topics = [Topic::new("many", PARTITIONS)];
    let began = Instant::now();
    let first = alone(&topics).await;
    eprintln!("made in {:?}", began.elapsed());
    let (client, began) = (first.client().await, Instant::now());
    for partition in (0..PARTITIONS).step_by(10) {
        let taken = client.produce("many", partition as i32, batch(&["value"])).await;
        assert_eq!(taken.error_code, ErrorCode::NONE);
    }
    eprintln!("every tenth written to in {:?}", began.elapsed());
    let logs = first.broker.broker.config().data_dir.join("topics");
    let each = disk_bytes(&logs) / PARTITIONS as u64;
    eprintln!("{each} bytes on disk for each partition");
    assert!(each <= 200 << 10);
    // What a killed broker leaves: the same files, and no orderly end.
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", first.dir.path().display()))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    // Both at once would need more open files than one broker may.
    let began = Instant::now();
    first.broker.stop().await;
    eprintln!("stopped in {:?}", began.elapsed());
    let config = broker::Config { data_dir: copy.path().to_owned(), ..crate::harness::config(copy.path()) };
    let began = Instant::now();
    let killed = Standalone::start(config.clone(), ports(), &topics).await.unwrap();
    let took = began.elapsed();
    eprintln!("started after a kill in {took:?}");
    assert!(took <= Duration::from_secs(15));
    killed.stop().await;
    let began = Instant::now();
    let again = Standalone::start(config, ports(), &topics).await.unwrap();
    eprintln!("started after an orderly stop in {:?}", began.elapsed());
    again.stop().await;
}

/// How many the region of three has: all of its brokers are in this process, which may have so many open files.
const OF_THREE: usize = 5_000;
/// How long making so many may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// Waits until the brokers in `slots` name leaders that are `fit` of all partitions.
async fn all_led(cluster: &Cluster, slots: &[u16], fit: impl Fn(i32) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    for slot in slots {
        let is_led = |led: &metadata::PartitionResponse| led.error_code == ErrorCode::NONE && fit(led.leader_id);
        loop {
            let found = cluster.metadata(*slot, "many").await.topics.remove(0).partitions;
            if found.len() == OF_THREE && found.iter().all(is_led) {
                break;
            }
            assert!(Instant::now() < deadline, "{} are led", found.iter().filter(|led| is_led(led)).count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test -p broker thousands -- --ignored --nocapture"]
async fn thousands_of_partitions_of_three_brokers_elect_in_one_batch() {
    let mut cluster = Cluster::of(3).await;
    let began = Instant::now();
    // It may take longer than the answer does.
    let made = cluster.create(0, "many", OF_THREE as i32).await;
    eprintln!("asked for in {:?}: {:?} {:?}", began.elapsed(), made.error_code, made.error_message);
    all_led(&cluster, &[0, 1, 2], |_| true).await;
    eprintln!("made on three brokers in {:?}", began.elapsed());
    cluster.kill(0).await;
    let fenced = |image: &std::sync::Arc<broker_core::metadata::Image>| !image.is_unfenced(model::BrokerSlot(0));
    cluster.broker(1).watch_image().wait_for(fenced).await.unwrap();
    let since = Instant::now();
    all_led(&cluster, &[1, 2], |leader| leader != 1).await;
    let elected = since.elapsed();
    eprintln!("what a dead broker led is led by others {elected:?} after it was fenced");
    assert!(elected <= Duration::from_secs(2));
    let began = Instant::now();
    cluster.start(0).await;
    let let_in = |image: &std::sync::Arc<broker_core::metadata::Image>| image.is_unfenced(model::BrokerSlot(0));
    cluster.broker(1).watch_image().wait_for(let_in).await.unwrap();
    let took = began.elapsed();
    eprintln!("the killed broker is let in again after {took:?}");
    assert!(took <= Duration::from_secs(15));
    cluster.end().await;
}
