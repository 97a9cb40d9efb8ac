//! DescribeLogDirs: the directories of this broker's logs and what is in them.

use super::{Call, Started};
use crate::Broker;
use crate::log_dirs::LogDir;
use crate::partitions::{Held, HeldTopic};
use crate::replica::Partition;
use bytes::Bytes;
use model::{ByteCount, PartitionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::describe_log_dirs::{Directory, PartitionResponse, Request, Response, Topic, TopicResponse};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let (wanted, held) = (request.topics.map(Wanted::of), broker.0.partitions.held());
    let describe = |dir: &Arc<LogDir>| describe(dir, &held, wanted.as_ref());
    let results = broker.0.storage.dirs.all().iter().map(describe).collect();
    Ok(call.reply(&Response { results, ..Default::default() }))
}

/// The partitions that were asked for, by topic.
struct Wanted(BTreeMap<String, BTreeSet<PartitionId>>);

impl Wanted {
    fn of(topics: Vec<Topic>) -> Self {
        let mut wanted: BTreeMap<String, BTreeSet<PartitionId>> = BTreeMap::new();
        for topic in topics {
            wanted.entry(topic.topic).or_default().extend(topic.partitions.into_iter().map(PartitionId));
        }
        Self(wanted)
    }

    fn has(&self, topic: &HeldTopic, partition: &Partition) -> bool {
        self.0.get(topic.name.as_str()).is_some_and(|numbers| numbers.contains(&partition.number()))
    }
}

fn describe(dir: &Arc<LogDir>, held: &Held, wanted: Option<&Wanted>) -> Directory {
    let (disk, log_dir) = (dir.disk().status(), dir.path().display().to_string());
    if dir.failed().is_some() {
        return Directory { error_code: ErrorCode::KAFKA_STORAGE_ERROR, log_dir, ..Default::default() };
    }
    let topics = held.topics().filter_map(|topic| {
        let here = topic.held().filter(|partition| Arc::ptr_eq(&partition.dir, dir));
        let asked = here.filter(|partition| wanted.is_none_or(|wanted| wanted.has(topic, partition)));
        let partitions: Vec<_> = asked.map(|partition| log(partition)).collect();
        let name = topic.name.to_string();
        (!partitions.is_empty()).then(|| TopicResponse { name, partitions, ..Default::default() })
    });
    Directory {
        log_dir,
        topics: topics.collect(),
        total_bytes: count(disk.total),
        usable_bytes: count(disk.free),
        ..Default::default()
    }
}

fn log(partition: &Partition) -> PartitionResponse {
    let marks = partition.marks();
    PartitionResponse {
        partition_index: partition.number().0,
        partition_size: count(partition.size()),
        offset_lag: (marks.high_watermark.0 - marks.tail.0).max(0),
        ..Default::default()
    }
}

fn count(bytes: ByteCount) -> i64 {
    i64::try_from(bytes.0).unwrap_or(i64::MAX)
}
