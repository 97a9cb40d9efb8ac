//! Ten thousand partitions on one broker. Run it by name: it takes a while, and prints what it measured.

use crate::harness::{alone, batch, ports};
use broker::standalone::{Standalone, Topic};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;
use wire::ErrorCode;

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
    let client = first.client().await;
    for partition in (0..PARTITIONS).step_by(10) {
        let taken = client.produce("many", partition as i32, batch(&["value"])).await;
        assert_eq!(taken.error_code, ErrorCode::NONE);
    }
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
    first.broker.stop().await;
    let config = broker::Config { data_dir: copy.path().to_owned(), ..crate::harness::config(copy.path()) };
    let began = Instant::now();
    let killed = Standalone::start(config.clone(), ports(), &topics).await.unwrap();
    eprintln!("started after a kill in {:?}", began.elapsed());
    killed.stop().await;
    let began = Instant::now();
    let again = Standalone::start(config, ports(), &topics).await.unwrap();
    eprintln!("started after an orderly stop in {:?}", began.elapsed());
    again.stop().await;
}
