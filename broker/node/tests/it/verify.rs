//! Hashes at checkpoints: what regions keep beside their logs, and what comes of comparing it.

use crate::harness::{Client, batch, eventually};
use crate::region_links::sink;
use crate::two::{ask, client};
use crate::world::{World, region};
use broker::{Broker, Config};
use env::real::SystemClock;
use mirror::{Agent, WireConnector};
use mirror_core::verify::{AskCheckpoints, Checkpoint, CheckpointsPage, CheckpointsSince, Interval};
use model::{Baseline, ByteCount, CopyProof, Incarnation, Offset, OffsetRange, PartitionId, TopicId, methods};
use record::{BatchBuilder, Batches};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wire::ErrorCode;

const STEP: i64 = 1 << 16;
const RECORDS_PER_BATCH: i64 = 8_000;

fn quick(config: &mut Config) {
    (config.verify_every, config.digest_every) = (Duration::from_millis(20), Duration::from_millis(200));
}

/// Hashes nothing: what it has of checkpoints it had before.
fn idle(config: &mut Config) {
    config.verify_every = Duration::from_secs(3600);
}

/// Looks again at all that it has hashed.
fn reread(config: &mut Config) {
    quick(config);
    config.reread = ByteCount::mib(1);
}

/// Region r1 owns topic `t`, region r2 copies it.
struct Pair {
    world: Arc<World>,
    one: Broker,
    two: Broker,
    topic: TopicId,
    dirs: [TempDir; 2],
}

impl Pair {
    async fn new() -> Self {
        let (world, dirs) = (World::new(), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
        let one = world.start_with("r1", dirs[0].path(), quick).await;
        let two = world.start_with("r2", dirs[1].path(), quick).await;
        let topic = world.create("t", 1).await;
        Self { world, one, two, topic, dirs }
    }

    /// Writes until the owner has this many offsets or a few more.
    async fn fill(&self, upto: i64) {
        let (client, values) = (client(&self.one).await, vec!["x"; RECORDS_PER_BATCH as usize]);
        eventually("the topic is led", async || client.leads("t", 0).await.is_ok()).await;
        loop {
            let taken = client.produce("t", 0, batch(&values)).await;
            assert_eq!(taken.error_code, ErrorCode::NONE);
            if taken.base_offset + RECORDS_PER_BATCH >= upto {
                return;
            }
        }
    }

    fn link(&self) -> Agent {
        let connector = Arc::new(WireConnector { region: region("r2"), incarnation: Incarnation(7) });
        let agent = Agent::new(sink(&self.two), connector, Arc::new(SystemClock));
        agent.assign(&self.world.assignment(&region("r2")));
        agent
    }

    async fn restart_copy(&mut self, change: impl FnOnce(&mut Config)) {
        self.world.stop(self.two.clone()).await;
        self.two = self.world.start_with("r2", self.dirs[1].path(), change).await;
        eventually("the copy is led", async || self.two.leads_copy(self.topic, PartitionId(0))).await;
    }

    fn hashed_copy(&self) -> Vec<Checkpoint> {
        let kept = self.two.copy_checkpoints(self.topic, PartitionId(0));
        kept.map(|kept| kept.checkpoints.entries().to_vec()).unwrap_or_default()
    }

    async fn hashed_source(&self) -> Vec<Checkpoint> {
        let (topic, partition) = (self.topic, PartitionId(0));
        let since = CheckpointsSince { topic, partition, generation: 0, from: Interval(0), digest: 0, judge: None };
        let asked = AskCheckpoints { partitions: vec![since] };
        let pages: Vec<CheckpointsPage> = ask(&self.one, methods::CHECKPOINTS, &asked).await.unwrap();
        pages.into_iter().flat_map(|page| page.entries).collect()
    }

    async fn until_hashed_alike(&self, intervals: usize) {
        eventually("both have hashed the same", async || {
            let source = self.hashed_source().await;
            source.len() == intervals && self.hashed_copy() == source
        })
        .await;
    }

    /// Where the copy is kept not to hold what its source holds.
    fn different(&self) -> Option<OffsetRange> {
        self.two.copy_state(self.topic, PartitionId(0)).unwrap().baseline.different
    }

    fn log_dir(&self) -> PathBuf {
        find(self.dirs[1].path(), "t-0").expect("the copy is on the disk")
    }
}

/// The directory of that name, somewhere below.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut dirs: Vec<_> = entries.collect();
    dirs.sort();
    dirs.iter()
        .find(|dir| dir.file_name().is_some_and(|found| found == name))
        .cloned()
        .or_else(|| dirs.iter().find_map(|dir| find(dir, name)))
}

/// Flips a bit in the second interval of two.
fn flip(log_dir: &Path) {
    let segment = log_dir.join("00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.len() * 7 / 10;
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
}

fn proof(agent: &Agent) -> Option<CopyProof> {
    agent.status().into_iter().find_map(|link| link.proof)
}

/// Every key's latest value there; `None` for one that was deleted and whose tombstone is still there.
async fn latest(broker: &Broker) -> Option<BTreeMap<String, Option<String>>> {
    let client = client(broker).await;
    let (mut latest, mut from) = (BTreeMap::new(), 0);
    loop {
        let found = client.fetch("t", 0, from).await;
        if found.error_code != ErrorCode::NONE {
            return None;
        }
        let bytes = found.records.into_bytes();
        let begun = from;
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            for record in batch.records(ByteCount::mib(1)).unwrap().map(Result::unwrap) {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                if let Some(key) = record.key {
                    latest.insert(text(key), record.value.map(text));
                }
            }
            from = batch.next_offset().0;
        }
        if from == begun {
            return Some(latest);
        }
    }
}

async fn put(client: &Client, key: &str, value: Option<&str>) {
    let batch = BatchBuilder::new().record(1, Some(key.as_bytes()), value.map(str::as_bytes), &[]).build();
    assert_eq!(client.produce("t", 0, batch.into()).await.error_code, ErrorCode::NONE);
}

/// Writes another value of the same length for the latest record of `key`, as if it had been taken in so.
fn falsify(log_dir: &Path, key: &str) {
    let segments = fs::read_dir(log_dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = segments.filter(|path| path.extension().is_some_and(|is| is == "log")).collect();
    segments.sort();
    for path in segments.iter().rev() {
        let mut bytes = fs::read(path).unwrap();
        let (mut at, mut found) = (0, None);
        for batch in Batches::new(&bytes).map(Result::unwrap) {
            let mut records: Vec<_> = batch.records(ByteCount::mib(1)).unwrap().map(Result::unwrap).collect();
            if let Some(record) = records.iter_mut().rev().find(|record| record.key.as_deref() == Some(key.as_bytes()))
            {
                record.value.as_mut().expect("a value").fill(b'!');
                found = Some((at, batch.with_records(&records, None).unwrap()));
            }
            at += batch.bytes().len();
        }
        if let Some((at, other)) = found {
            bytes[at..at + other.len()].copy_from_slice(&other);
            return fs::write(path, bytes).unwrap();
        }
    }
    panic!("no segment in {} has key {key}", log_dir.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_copy_is_proven_by_its_keys_and_one_that_is_different_stays_so_until_it_is_made_anew() {
    let mut pair = Pair::new().await;
    let eager = [("cleanup.policy", "compact"), ("segment.bytes", "2000"), ("min.cleanable.dirty.ratio", "0.01")];
    let eager = eager.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.world.decide(|_, topics| topics[0].config.extend(eager)).await;
    let source = client(&pair.one).await;
    eventually("the topic is led", async || source.leads("t", 0).await.is_ok()).await;
    let agent = pair.link();
    for n in 0..100 {
        put(&source, &format!("k{}", n % 7), Some(&n.to_string())).await;
    }
    let keys = || proof(&agent).and_then(|proof| proof.keys).map(|keys| (keys.range.end, keys.keys));
    eventually("it is proven while nothing was cleaned", async || keys() == Some((Offset(100), 7))).await;
    put(&source, "k3", None).await;
    for n in 0..100 {
        put(&source, &format!("l{}", n % 2), Some(&n.to_string())).await;
    }
    eventually("all of it is copied", async || {
        pair.two.copy_state(pair.topic, PartitionId(0)).is_ok_and(|copy| copy.flushed == Offset(201))
    })
    .await;
    let held = find(pair.dirs[0].path(), "t-0").unwrap();
    let segments = || fs::read_dir(&held).unwrap().count();
    let before = segments();
    eventually("only the source is cleaned", async || {
        pair.one.clean().await;
        segments() < before
    })
    .await;
    eventually("the keys are still the same", async || keys() == Some((Offset(201), 8))).await;
    assert_eq!(proof(&agent).unwrap().difference, None);
    drop(agent);

    pair.world.stop(pair.two.clone()).await;
    falsify(&pair.log_dir(), "k5");
    pair.two = pair.world.start_with("r2", pair.dirs[1].path(), quick).await;
    let agent = pair.link();
    let all = OffsetRange::new(Offset(0), Offset(201));
    let different = async || pair.two.pending_facts().await.1.into_iter().map(|gap| gap.range).collect::<Vec<_>>();
    eventually("it is found", async || different().await == [all]).await;
    assert_eq!(proof(&agent).unwrap().difference, Some(all));
    drop(agent);

    pair.restart_copy(idle).await;
    let known = || pair.two.copy_state(pair.topic, PartitionId(0)).unwrap().baseline.different;
    assert_eq!(known(), Some(all), "it is known before anything is compared");
    let cleaned = Baseline { thinned: Offset(150), ..Baseline::default() };
    pair.two.inherit_copy(pair.topic, PartitionId(0), cleaned).await.unwrap();
    assert_eq!(known(), Some(all), "whatever else is said of it");
    pair.two.mark_copy_different(pair.topic, PartitionId(0), all, 7).await.unwrap_err();
    pair.two.restart_copy(pair.topic, PartitionId(0), Offset(0)).await.unwrap();
    assert_eq!(known(), None, "nothing is left of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_key_does_not_come_back_from_a_copy_that_lagged_behind_its_tombstone() {
    let pair = Pair::new().await;
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "2000"),
        ("delete.retention.ms", "0"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    let eager = eager.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.world.decide(|_, topics| topics[0].config.extend(eager)).await;
    let source = client(&pair.one).await;
    eventually("the topic is led", async || source.leads("t", 0).await.is_ok()).await;
    put(&source, "deleted", Some("old")).await;
    let agent = pair.link();
    let old = Some(BTreeMap::from([("deleted".to_owned(), Some("old".to_owned()))]));
    eventually("the old value is copied", async || latest(&pair.two).await == old).await;
    drop(agent);

    put(&source, "deleted", None).await;
    for n in 0..200 {
        put(&source, &format!("k{}", n % 3), Some(&n.to_string())).await;
    }
    for _ in 0..3 {
        pair.one.clean().await;
    }
    let agent = pair.link();
    let end = |broker: &Broker| {
        let kept = broker.copy_state(pair.topic, PartitionId(0)).ok();
        kept.map(|state| state.high_watermark.min(state.flushed))
    };
    eventually("all of it is copied", async || end(&pair.two) == Some(Offset(202))).await;
    drop(agent);
    let found = latest(&pair.two).await.unwrap();
    assert_eq!(found.get("k1"), Some(&Some("199".to_owned())));
    assert_eq!(found.get("deleted").cloned().flatten(), None, "a deleted key is there again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flips_in_a_copy_is_found_and_told_with_its_range() {
    let mut pair = Pair::new().await;
    pair.fill(2 * STEP + 1).await;
    let agent = pair.link();
    let end = || proof(&agent).map(|proof| (proof.identical, proof.unproven_ranges, proof.difference));
    let all = OffsetRange::new(Offset(0), Offset(2 * STEP));
    eventually("all of it is proven", async || end() == Some((all, 0, None))).await;
    drop(agent);

    pair.world.stop(pair.two.clone()).await;
    flip(&pair.log_dir());
    pair.two = pair.world.start_with("r2", pair.dirs[1].path(), reread).await;

    let agent = pair.link();
    let bad = OffsetRange::new(Offset(STEP), Offset(2 * STEP));
    eventually("it is shown", async || proof(&agent).is_some_and(|proof| proof.difference == Some(bad))).await;
    let shown = proof(&agent).unwrap();
    assert_eq!((shown.identical, shown.source_damaged), (OffsetRange::new(Offset(0), Offset(STEP)), vec![]));
    eventually("it is kept for the council", async || {
        let gaps = pair.two.pending_facts().await.1;
        gaps.len() == 1 && gaps[0].range == bad && gaps[0].topic == pair.topic
    })
    .await;
    assert_eq!(pair.different(), Some(bad));
}

/// Has a bit of the source's disk flip in `[2^16, 2 x 2^16)`. The source finds that where it reads what it has hashed again, or
/// hashes it for the first time because it `forgets` what it has hashed.
async fn with_damaged_source(forgets: bool) {
    let mut pair = Pair::new().await;
    pair.fill(2 * STEP + 1).await;
    let agent = pair.link();
    pair.until_hashed_alike(2).await;
    drop(agent);

    pair.world.stop(pair.one.clone()).await;
    let log = find(pair.dirs[0].path(), "t-0").unwrap();
    flip(&log);
    if forgets {
        fs::remove_file(log.join("content-checkpoints")).unwrap();
    }
    pair.one = pair.world.start_with("r1", pair.dirs[0].path(), if forgets { quick } else { reread }).await;

    let bad = OffsetRange::new(Offset(STEP), Offset(2 * STEP));
    let agent = pair.link();
    eventually("the source is to blame", async || proof(&agent).is_some_and(|proof| proof.source_damaged == [bad]))
        .await;
    let shown = proof(&agent).unwrap();
    assert_eq!((shown.identical, shown.difference), (OffsetRange::new(Offset(0), Offset(STEP)), None));
    eventually("it is kept for the council", async || pair.two.pending_facts().await.1.len() == 1).await;
    let fact = pair.two.pending_facts().await.1.remove(0);
    assert!(fact.range == bad && fact.reason.contains("what the source stores is damaged"), "{fact:?}");
    assert_eq!(agent.status()[0].unusable(), None, "it is a standby");
    assert_eq!(pair.different(), None, "nothing has to be rebuilt");
    drop(agent);

    pair.restart_copy(quick).await;
    let agent = pair.link();
    eventually("it is found again", async || proof(&agent).is_some_and(|proof| proof.source_damaged == [bad])).await;
    assert_eq!((agent.status()[0].unusable(), pair.different()), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flips_in_the_source_leaves_its_copy_a_standby() {
    with_damaged_source(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_hashes_damaged_batches_for_the_first_time_is_to_blame_for_them() {
    with_damaged_source(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_log_is_hashed_again_from_the_cut_on() {
    let pair = Pair::new().await;
    pair.fill(3 * STEP + 1).await;
    let agent = pair.link();
    pair.until_hashed_alike(3).await;
    drop(agent);
    let before = pair.hashed_copy();
    let file = pair.log_dir().join("content-checkpoints");
    let whole = fs::metadata(&file).unwrap().len();
    eventually("the copy is cut", async || {
        pair.two.truncate_copy(pair.topic, PartitionId(0), Offset(2 * STEP - 1)).await.is_ok()
    })
    .await;
    assert_eq!(pair.hashed_copy(), before[..1]);
    assert_eq!(fs::metadata(&file).unwrap().len(), whole - 2 * 32, "before the log is cut, the file is");
    let _agent = pair.link();
    pair.until_hashed_alike(3).await;
    assert_eq!(pair.hashed_copy(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_outlive_the_process_and_a_damaged_file_is_made_anew() {
    let mut pair = Pair::new().await;
    pair.fill(2 * STEP + 1).await;
    let agent = pair.link();
    pair.until_hashed_alike(2).await;
    drop(agent);
    let before = pair.hashed_copy();
    pair.restart_copy(idle).await;
    assert_eq!(pair.hashed_copy(), before, "they were read from the file");

    let file = pair.log_dir().join("content-checkpoints");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    pair.restart_copy(idle).await;
    assert_eq!(pair.hashed_copy(), before[..1], "what was torn does not count");
    fs::write(&file, b"something else").unwrap();
    pair.restart_copy(quick).await;
    eventually("they are made anew", async || pair.hashed_copy() == before).await;
    assert_eq!(fs::read(&file).unwrap(), bytes);
}
