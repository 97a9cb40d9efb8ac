//! Apache Kafka's own reader of log directories on the directories that a platform leaves behind.

use crate::cluster::start;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RECORDS: usize = 4000;

#[test]
fn apache_kafka_accepts_our_segments_and_indexes() {
    let mut platform = start();
    let bootstrap = platform.region("r1").expect("a first region").bootstrap.clone();
    for codec in ["none", "zstd"] {
        produce(&bootstrap, &format!("segments-{codec}"), codec);
    }
    platform.stop().expect("the platform stops in good order");
    let topics = platform.directory().join("r1/topics");
    for codec in ["none", "zstd"] {
        let directory = topics.join(format!("segments-{codec}-0"));
        let logs = files(&directory, ".log");
        let dumped = dump(&["--deep-iteration"], &logs);
        assert_eq!(dumped.matches("| offset:").count(), RECORDS, "records in {}", directory.display());
        assert!(!dumped.contains("isvalid: false"), "{dumped}");
        let indexes = [files(&directory, ".index"), files(&directory, ".timeindex")].concat();
        let checked = dump(&["--index-sanity-check"], &indexes);
        assert_eq!(checked.matches("passed sanity check").count(), indexes.len(), "{checked}");
        let dumped = dump(&[], &indexes);
        assert!(dumped.contains("offset: ") && !dumped.contains("ismatch"), "{dumped}");
    }
}

/// Records of 1 KiB in batches of ten, so that the indexes get entries.
fn produce(bootstrap: &str, topic: &str, codec: &str) {
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", bootstrap, "-t", topic, "-p", "0", "-z", codec, "-X", "batch.num.messages=10"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat runs (clients/install installs it)");
    let mut input = kcat.stdin.take().expect("its input is a pipe");
    for number in 0..RECORDS {
        writeln!(input, "{number:01024}").expect("kcat reads");
    }
    drop(input);
    assert!(kcat.wait().expect("kcat ends").success());
}

fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    assert!(!files.is_empty(), "no {ending} in {}", directory.display());
    files
}

fn dump(options: &[&str], files: &[PathBuf]) -> String {
    let list = files.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>().join(",");
    let ran = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/kafka"))
        .args(["java", "-Xmx256m", "org.apache.kafka.tools.DumpLogSegments"])
        .args(options)
        .args(["--files", &list])
        .output()
        .expect("the peer's script runs");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "DumpLogSegments ended with {}: {printed}", ran.status);
    printed
}
