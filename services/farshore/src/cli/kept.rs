//! `farshore kept`
//!
//! A region keeps its copy of a topic that was deleted for a day: a whole log in a directory of its own, put aside. It is
//! read where it lies, so that it takes the machine whose disk that is, and no process of the region.

use super::place::Place;
use crate::output::remark;
use crate::table::{self, Table};
use anyhow::{Context, Result, bail, ensure};
use api::topics::{CreateTopic, Topic};
use bytes::Bytes;
use env::PortFuture;
use mirror::salvage::{Salvor, Tail, TailFile, extent};
use model::{OwnershipEpoch, PartitionId, RegionName, Timestamp, TopicName};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The end of the name of a directory that is kept: `<topic>-<partition>.<milliseconds>-kept`.
const ENDING: &str = "-kept";
/// How deep below the directory of a region its logs may lie.
const DEPTH_MAX: usize = 6;
/// Whatever fits into a batch that was written once.
const BATCH_BYTES_MAX: &str = "67108864";

/// Shows and restores copies of deleted topics, which regions keep for a day on their disks. To be run where the disks are.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows every kept copy below the data directory.
    List,
    /// Writes all records of a kept copy into a new topic, as they are, in their partitions and their order.
    Restore {
        /// The id that the deleted topic had.
        topic_id: String,
        /// The name of the new topic, which keeps everything until it is told otherwise.
        #[arg(long = "as", value_name = "NAME")]
        name: TopicName,
        /// The region whose copy it is; the one that holds most of it when it is left out.
        #[arg(long)]
        region: Option<RegionName>,
    },
}

/// The copy of a deleted topic in one region.
#[derive(Debug, Serialize)]
struct Kept {
    topic: String,
    topic_id: String,
    region: RegionName,
    /// When it was put aside.
    since: String,
    bytes: u64,
    partitions: BTreeMap<i32, KeptLog>,
}

/// The log of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct KeptLog {
    directory: PathBuf,
    bytes: u64,
    #[serde(skip)]
    since_ms: i64,
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let kept = kept(place.data_dir()?.path())?;
        match self {
            Self::List => table::print(place.json, &kept, |kept| rows(kept)),
            Self::Restore { topic_id, name, region } => {
                let topic = restore(place, &chosen(kept, &topic_id, region.as_ref())?, &name).await?;
                table::print(place.json, &topic, |topic| super::topic::rows(std::slice::from_ref(topic)))
            }
        }
    }
}

fn rows(kept: &[Kept]) -> Table {
    let mut table = Table::new(["topic", "topic id", "region", "partitions", "size", "deleted"]);
    for copy in kept {
        table.row([
            copy.topic.clone(),
            copy.topic_id.clone(),
            copy.region.to_string(),
            copy.partitions.len().to_string(),
            super::bytes(copy.bytes),
            copy.since.clone(),
        ]);
    }
    table
}

fn chosen(kept: Vec<Kept>, topic_id: &str, region: Option<&RegionName>) -> Result<Kept> {
    let is_meant = |copy: &Kept| copy.topic_id == topic_id && region.is_none_or(|region| copy.region == *region);
    let best = kept.into_iter().filter(is_meant).max_by_key(|copy| copy.bytes);
    best.with_context(|| format!("no copy of a topic with the id {topic_id} is kept; see `farshore kept list`"))
}

async fn restore(place: &Place, kept: &Kept, name: &TopicName) -> Result<Topic> {
    let partitions = kept.partitions.keys().max().map_or(1, |last| last + 1);
    let entries = [
        ("cleanup.policy", "delete".to_owned()),
        ("max.message.bytes", BATCH_BYTES_MAX.to_owned()),
        ("message.timestamp.after.max.ms", i64::MAX.to_string()),
        ("retention.bytes", "-1".to_owned()),
        ("retention.ms", "-1".to_owned()),
    ];
    let config = entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let asked = CreateTopic { name: name.to_string(), partitions, config };
    let topic: Topic = place.api().post("/v1/topics", &asked).await?;
    let salvor = Salvor::new(&place.endpoints()?.gateway);
    for (partition, log) in &kept.partitions {
        let restored = restore_partition(&salvor, kept, *partition, log, name).await;
        let records = restored.with_context(|| {
            format!("partition {partition} of {name} is not complete; delete {name} and restore it again")
        })?;
        remark!("{name}-{partition}: {records} records");
    }
    Ok(topic)
}

async fn restore_partition(
    salvor: &Salvor,
    kept: &Kept,
    partition: i32,
    log: &KeptLog,
    name: &TopicName,
) -> Result<u64> {
    let file = Segments::open(&log.directory)?;
    let (range, records) = extent(&file).await?;
    let tail = Tail {
        region: kept.region.clone(),
        epoch: OwnershipEpoch(0),
        topic: name.clone(),
        partition: PartitionId(partition),
        range,
        records,
    };
    let agreed = salvor.agree(&tail).await?;
    Ok(salvor.publish(&tail, agreed, &file, &[]).await?.tally.sent())
}

/// Every copy that is kept below `data`, by topic and region.
fn kept(data: &Path) -> Result<Vec<Kept>> {
    let mut found: BTreeMap<(String, String, RegionName), BTreeMap<i32, KeptLog>> = BTreeMap::new();
    for entry in fs::read_dir(data).with_context(|| format!("cannot read {}", data.display()))?.flatten() {
        let Some(Ok(region)) = entry.file_name().to_str().map(RegionName::new) else { continue };
        for (topic, partition, id, log) in logs_below(&entry.path(), DEPTH_MAX) {
            let logs = found.entry((topic, id, region.clone())).or_default();
            // Of several brokers each may have one.
            let best = logs.get(&partition).filter(|other| other.bytes >= log.bytes).cloned();
            logs.insert(partition, best.unwrap_or(log));
        }
    }
    let copy = |((topic, topic_id, region), partitions): (_, BTreeMap<i32, KeptLog>)| Kept {
        topic,
        topic_id,
        region,
        since: Timestamp(partitions.values().map(|log| log.since_ms).min().unwrap_or_default()).to_string(),
        bytes: partitions.values().map(|log| log.bytes).sum(),
        partitions,
    };
    Ok(found.into_iter().map(copy).collect())
}

/// Topic, partition and topic id of each kept log below `dir`.
fn logs_below(dir: &Path, depth: usize) -> Vec<(String, i32, String, KeptLog)> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        match log_at(&entry.path()) {
            Some(log) => found.push(log),
            None if depth > 0 => found.extend(logs_below(&entry.path(), depth - 1)),
            None => {}
        }
    }
    found
}

fn log_at(path: &Path) -> Option<(String, i32, String, KeptLog)> {
    let (name, millis) = path.file_name()?.to_str()?.strip_suffix(ENDING)?.rsplit_once('.')?;
    let (topic, partition) = name.rsplit_once('-')?;
    let id = log::topic_of(path)?.to_string();
    let bytes = segments(path).ok()?.iter().map(|(_, bytes)| bytes).sum();
    let kept = KeptLog { directory: path.to_owned(), bytes, since_ms: millis.parse().ok()? };
    Some((topic.to_owned(), partition.parse().ok()?, id, kept))
}

/// The segments of a log, in order, and their sizes.
fn segments(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = vec![];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "log") {
            let bytes = fs::metadata(&path)?.len();
            found.push((path, bytes));
        }
    }
    found.sort();
    Ok(found)
}

/// The segments of a log, one behind the other.
struct Segments(Vec<(File, u64)>);

impl Segments {
    fn open(dir: &Path) -> Result<Self> {
        let segments = segments(dir)?;
        ensure!(!segments.is_empty(), "{} has no segment", dir.display());
        let open = |(path, bytes): (PathBuf, u64)| match File::open(&path) {
            Ok(file) => Ok((file, bytes)),
            Err(error) => bail!("{} cannot be read: {error}", path.display()),
        };
        Ok(Self(segments.into_iter().map(open).collect::<Result<_>>()?))
    }

    fn read_at(&self, mut at: u64, max: u32) -> std::io::Result<Bytes> {
        for (file, bytes) in &self.0 {
            if at < *bytes {
                let mut part = vec![0; (bytes - at).min(max.into()) as usize];
                file.read_exact_at(&mut part, at)?;
                return Ok(part.into());
            }
            at -= bytes;
        }
        Ok(Bytes::new())
    }
}

impl TailFile for Segments {
    fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Bytes, String>> {
        let read = self.read_at(at, max).map_err(|error| error.to_string());
        Box::pin(async move { read })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-0000-0000-000000000001";

    fn log(data: &Path, dir: &str, segments: &[(&str, &[u8])]) {
        let dir = data.join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("partition.metadata"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n").unwrap();
        segments.iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
    }

    #[test]
    fn what_is_kept_is_found_wherever_it_lies_and_the_larger_of_two_replicas_stands() {
        let home = tempfile::tempdir().unwrap();
        log(home.path(), "r1/topics/a.b-c-0.1000-kept", &[("0.log", b"123")]);
        log(home.path(), "r1/0/topics/a.b-c-1.2000-kept", &[("0.log", b"1")]);
        log(home.path(), "r1/1/topics/a.b-c-1.2000-kept", &[("0.log", b"12"), ("0.index", b"1234")]);
        log(home.path(), "r1/topics/a.b-c-2.3000-stray", &[("0.log", b"123")]);
        log(home.path(), "r2/topics/live-0", &[("0.log", b"123")]);
        let kept = kept(home.path()).unwrap();
        let [copy] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!((copy.topic.as_str(), copy.topic_id.as_str(), copy.region.as_str()), ("a.b-c", ID, "r1"));
        assert_eq!((copy.bytes, copy.partitions.keys().copied().collect::<Vec<_>>()), (5, vec![0, 1]));
        assert!(chosen(kept, "other", None).unwrap_err().to_string().contains("kept list"));
    }

    #[test]
    fn segments_are_read_as_one() {
        let home = tempfile::tempdir().unwrap();
        log(home.path(), "x", &[("00.log", b"abc"), ("10.log", b"defg"), ("20.log", b"")]);
        let segments = Segments::open(&home.path().join("x")).unwrap();
        let read = |at, max| segments.read_at(at, max).unwrap();
        assert_eq!((&read(0, 100)[..], &read(2, 100)[..], &read(3, 2)[..]), (&b"abc"[..], &b"c"[..], &b"de"[..]));
        assert_eq!((&read(6, 9)[..], read(7, 9).len()), (&b"g"[..], 0));
    }
}
