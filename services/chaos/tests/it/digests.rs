//! A compacted topic is compared between regions by the latest value of every key: cleaners take the rest away on each side
//! in their own time. A copy that holds another value is found, and stays no standby until it is copied anew.

use crate::cluster::start_with;
use crate::load::unique;
use crate::regions::equal_tails;
use crate::rest::list;
use crate::sync::wait;
use crate::tombstones::write;
use api::links::{Link, LinkPartition};
use chaos::platform::Platform;
use model::ByteCount;
use record::Batches;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const VALUE: &str = "................................................................................................";

#[test]
fn a_compacted_copy_is_compared_by_its_keys_and_one_with_another_value_is_refused_until_it_is_rebuilt() {
    let mut platform = start_with(|options| {
        options.regions = 2;
        options.arguments = ["--clean-every-s", "1", "--digest-every-s", "1"].map(str::to_owned).to_vec();
    });
    platform.command(&["protection", "set", "automatic", "off"]).unwrap();
    let topic = unique("digests");
    let config = ["cleanup.policy=compact", "segment.bytes=4096", "min.cleanable.dirty.ratio=0"];
    let options = config.iter().flat_map(|entry| ["--config", entry]);
    platform.command(&["topic", "create", &topic].into_iter().chain(options).collect::<Vec<_>>()).unwrap();
    let scene = Scene { topic };

    let mut tail = scene.fill(&platform, "r1", 0, 0..200);
    scene.wait(&platform, "r2", "the copy is proven by its keys", |copy| identical(copy) == Some((tail, 50)));
    let whole = scene.batches(&platform, "r2");
    let cleaned = platform.wait_for("the source is cleaned", PATIENCE, || scene.batches(&platform, "r1") < whole);
    cleaned.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
    tail = scene.fill(&platform, "r1", tail, 20..60);
    scene.wait(&platform, "r2", "it still is, cleaned in r1 alone", |copy| identical(copy) == Some((tail, 50)));

    platform.command(&["protection", "switchover", "--target", "r2"]).unwrap();
    wait(&platform, "r2 is the owner", |group| group.owner == "r2");
    let cleaned = platform.wait_for("r2 is cleaned, too", PATIENCE, || scene.batches(&platform, "r2") < whole);
    cleaned.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
    equal_tails(&platform, &scene.topic, 1);
    tail = scene.fill(&platform, "r2", scene.tail(&platform, "r2"), 40..55);
    scene.wait(&platform, "r1", "it still is, cleaned by itself in each", |copy| {
        identical(copy) == Some((tail, 50)) && copy.unusable.is_none()
    });

    platform.kill_region("r1").unwrap();
    falsify(&scene.log(&platform, "r1"), b"k7");
    platform.start_region("r1").unwrap();
    let is_different = |copy: &LinkPartition| copy.unusable.as_ref().is_some_and(|why| why.starts_with("different"));
    scene.wait(&platform, "r1", "the other value is found", is_different);
    scene.refuses(&platform);
    platform.kill_region("r1").unwrap();
    platform.kill_region("r2").unwrap();
    platform.start_region("r1").unwrap();
    scene.wait(&platform, "r1", "it is known though nothing can be compared", is_different);
    scene.refuses(&platform);

    platform.start_region("r2").unwrap();
    let rebuilt =
        platform.wait_for("it is rebuilt", PATIENCE, || platform.command(&["link", "rebuild", "r2", "r1"]).is_ok());
    rebuilt.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
    scene.wait(&platform, "r1", "the new copy is proven and a standby", |copy| {
        copy.unusable.is_none() && identical(copy).is_some_and(|(end, keys)| end >= tail && keys == 50)
    });
    let log = scene.log(&platform, "r1");
    let kept = fs::read_dir(log.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_kept = |path: &PathBuf| path.to_string_lossy().ends_with("-kept") && !segments(path).is_empty();
    assert_eq!(kept.filter(is_kept).count(), 1, "what it held before is put aside");
    platform.command(&["protection", "switchover", "--target", "r1"]).unwrap();
    wait(&platform, "r1 is the owner again", |group| group.owner == "r1");
}

/// Up to where the keys are proven to be the same, and how many there are.
fn identical(copy: &LinkPartition) -> Option<(i64, u64)> {
    let proof = copy.proof.as_ref().filter(|proof| proof.different_from_offset.is_none())?;
    proof.keys.as_ref().map(|keys| (keys.identical_to_offset, keys.keys))
}

struct Scene {
    topic: String,
}

impl Scene {
    /// Writes keys in `region`, which ends at `tail`; gives where it ends then.
    fn fill(&self, platform: &Platform, region: &str, tail: i64, keys: std::ops::Range<i64>) -> i64 {
        let keys: Vec<_> = keys.map(|n| format!("k{}", n % 50)).collect();
        let records: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(VALUE))).collect();
        write(&platform.region(region).unwrap().bootstrap, &self.topic, &records);
        tail + keys.len() as i64
    }

    fn tail(&self, platform: &Platform, region: &str) -> i64 {
        crate::load::tail(&platform.region(region).unwrap().bootstrap, &self.topic, 0).expect("it is led")
    }

    /// The directory of its log.
    fn log(&self, platform: &Platform, region: &str) -> PathBuf {
        let name = format!("{}-0", self.topic);
        find(&platform.directory().join(region), &name).unwrap_or_else(|| panic!("no {name} in {region}"))
    }

    /// How many batches its log has in `region`. Files may go while they are read.
    fn batches(&self, platform: &Platform, region: &str) -> usize {
        let read = segments(&self.log(platform, region)).into_iter().filter_map(|path| fs::read(path).ok());
        read.map(|bytes| Batches::new(&bytes).filter(Result::is_ok).count()).sum()
    }

    fn wait(&self, platform: &Platform, target: &str, what: &str, holds: impl Fn(&LinkPartition) -> bool) {
        let mut last = Vec::new();
        let waited = platform.wait_for(what, PATIENCE, || {
            let links = list::<Link>(&platform.endpoints().api, "/v1/links", "").unwrap_or_default();
            let to_target = links.into_iter().filter(|link| link.target == target);
            let partitions = to_target.flat_map(|link| link.partitions);
            last = partitions.filter(|partition| partition.topic == self.topic).collect();
            last.iter().any(&holds)
        });
        waited.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
    }

    /// A failover to r1 is refused for what it holds, as soon as whoever plans it has heard of that.
    fn refuses(&self, platform: &Platform) {
        let dry = ["protection", "failover", "--target", "r1", "--dry-run"];
        let is_refused = || platform.command(&dry).is_err_and(|error| error.to_string().contains("different"));
        platform.wait_for("a plan is refused", PATIENCE, is_refused).unwrap_or_else(|error| panic!("{error}"));
        let refused = platform.command(&["protection", "failover", "--target", "r1"]).unwrap_err().to_string();
        assert!(refused.contains("different") && refused.contains("farshore link rebuild"), "{refused}");
    }
}

/// The directory of that name, somewhere below.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let dirs = fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
    let dirs: BTreeSet<_> = dirs.collect();
    let found = dirs.iter().find(|dir| dir.file_name().is_some_and(|found| found == name)).cloned();
    found.or_else(|| dirs.iter().find_map(|dir| find(dir, name)))
}

fn segments(log: &Path) -> BTreeSet<PathBuf> {
    let files = fs::read_dir(log).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|path| path.extension().is_some_and(|is| is == "log")).collect()
}

/// Writes another value of the same length for the latest record of `key`, under a checksum that is right.
fn falsify(log: &Path, key: &[u8]) {
    for path in segments(log).iter().rev() {
        let mut bytes = fs::read(path).unwrap();
        let (mut at, mut found) = (0, None);
        // What was preallocated, or torn when the process died, is no batch.
        for batch in Batches::new(&bytes).map_while(Result::ok) {
            let mut records: Vec<_> = batch.records(ByteCount::mib(1)).unwrap().map(Result::unwrap).collect();
            if let Some(record) = records.iter_mut().rev().find(|record| record.key.as_deref() == Some(key)) {
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
    panic!("no segment in {} has the key", log.display());
}
