use super::backup::BackupManifest;
use super::hash::ObjectHash;
use super::keys::BackupId;
use super::partition::{PartitionManifest, SegmentRef};
use model::{LeaderEpoch, OffsetRange, PartitionId, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

/// Which topics of a backup, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The topics to restore; `None` for all.
    pub topics: Option<Vec<TopicName>>,
    /// Other names for some of them.
    pub rename: BTreeMap<TopicName, TopicName>,
}

impl Selection {
    fn takes(&self, topic: &TopicName) -> bool {
        self.topics.as_ref().is_none_or(|topics| topics.contains(topic))
    }

    fn check(&self, backup: &BackupManifest) -> Result<(), PlanError> {
        let mut asked = self.topics.iter().flatten().chain(self.rename.keys());
        let missing = asked.find(|topic| !backup.partitions.iter().any(|partition| partition.topic == **topic));
        missing.map_or(Ok(()), |topic| Err(PlanError::UnknownTopic { backup: backup.id.clone(), topic: topic.clone() }))
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A topic that was asked for is not in the backup.
    #[error("backup {backup} has no topic {topic}")]
    UnknownTopic {
        /// The backup.
        backup: BackupId,
        /// The topic.
        topic: TopicName,
    },
    /// A partition's manifest was not given.
    #[error("backup {backup} needs object {manifest}, which was not read")]
    MissingManifest {
        /// The backup.
        backup: BackupId,
        /// The manifest's name.
        manifest: String,
    },
}

/// One partition to restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// The name it gets.
    pub target: TopicName,
    /// The name it had.
    pub topic: TopicName,
    /// The topic it was.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Its manifest's name.
    pub manifest: String,
    /// Its offsets, kept.
    pub range: OffsetRange,
    /// Its objects in order.
    pub objects: Vec<SegmentRef>,
    /// Their bytes.
    pub bytes: u64,
    /// Data records.
    pub records: u64,
    /// The hash over its batches, which the restored log must have.
    pub content_hash: ObjectHash,
}

/// What a restore will do. Nothing is left to choose but which worker takes what when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// The backup.
    pub backup: BackupId,
    /// The partitions, those with the most bytes first.
    pub items: Vec<WorkItem>,
    /// Per new topic: above which epoch its own begin.
    pub epochs_above: BTreeMap<TopicName, LeaderEpoch>,
}

/// What a restore is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// Objects to read.
    pub objects: u64,
    /// Bytes to read.
    pub bytes: u64,
    /// Records to restore.
    pub records: u64,
    /// How long, with the given workers and rate.
    pub duration: Duration,
}

impl RestorePlan {
    /// The plan for what `selection` takes of `backup`, whose partitions have these manifests, by their names.
    ///
    /// # Errors
    /// [`PlanError`] when the selection or a new name is for a topic the backup has not, or a manifest is missing.
    pub fn new(
        backup: &BackupManifest,
        manifests: &BTreeMap<String, PartitionManifest>,
        selection: &Selection,
    ) -> Result<Self, PlanError> {
        selection.check(backup)?;
        let mut plan = Self { backup: backup.id.clone(), items: Vec::new(), epochs_above: BTreeMap::new() };
        for listed in backup.partitions.iter().filter(|partition| selection.takes(&partition.topic)) {
            let name = &listed.manifest.key;
            let missing = || PlanError::MissingManifest { backup: backup.id.clone(), manifest: name.clone() };
            plan.add(name, manifests.get(name).ok_or_else(missing)?, selection);
        }
        plan.items.sort_by_key(|item| (Reverse(item.bytes), item.target.clone(), item.partition));
        Ok(plan)
    }

    fn add(&mut self, name: &str, manifest: &PartitionManifest, selection: &Selection) {
        let target = selection.rename.get(&manifest.topic).unwrap_or(&manifest.topic).clone();
        let above = self.epochs_above.entry(target.clone()).or_insert(LeaderEpoch::NONE);
        *above = manifest.last_epoch().max(*above);
        self.items.push(WorkItem {
            target,
            topic: manifest.topic.clone(),
            topic_id: manifest.topic_id,
            partition: manifest.partition,
            manifest: name.to_owned(),
            range: manifest.range,
            objects: manifest.segments.clone(),
            bytes: manifest.stored_bytes(),
            records: manifest.records,
            content_hash: manifest.content_hash,
        });
    }

    /// What it takes when each of `workers` restores `bytes_per_second` and an object costs `per_object` on top.
    pub fn predict(&self, workers: usize, bytes_per_second: u64, per_object: Duration) -> Prediction {
        let cost = |item: &WorkItem| {
            let reading = Duration::from_secs_f64(item.bytes as f64 / bytes_per_second.max(1) as f64);
            reading + per_object * item.objects.len() as u32
        };
        // The longest item goes to the worker that is free first (Graham 1969): the same rule as `WorkQueue`.
        let mut free: BinaryHeap<_> = (0..workers.max(1)).map(|_| Reverse(Duration::ZERO)).collect();
        for item in &self.items {
            let Reverse(at) = free.pop().expect("there is at least one worker");
            free.push(Reverse(at + cost(item)));
        }
        Prediction {
            objects: self.items.iter().map(|item| item.objects.len() as u64).sum(),
            bytes: self.items.iter().map(|item| item.bytes).sum(),
            records: self.items.iter().map(|item| item.records).sum(),
            duration: free.into_iter().map(|Reverse(end)| end).max().unwrap_or_default(),
        }
    }
}

/// The partitions that wait for a worker. Whoever is free takes the one with the most bytes, so that no worker is idle
/// while another has two to do.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    waiting: VecDeque<WorkItem>,
    running: usize,
    total_bytes: u64,
    done_bytes: u64,
}

impl WorkQueue {
    /// The queue of `plan`.
    pub fn new(plan: &RestorePlan) -> Self {
        let total_bytes = plan.items.iter().map(|item| item.bytes).sum();
        Self { waiting: plan.items.iter().cloned().collect(), running: 0, total_bytes, done_bytes: 0 }
    }

    /// The next item; `None` when none waits.
    pub fn take(&mut self) -> Option<WorkItem> {
        let item = self.waiting.pop_front()?;
        self.running += 1;
        Some(item)
    }

    /// Takes note that `bytes` more were restored.
    pub fn progress(&mut self, bytes: u64) {
        self.done_bytes = (self.done_bytes + bytes).min(self.total_bytes);
    }

    /// An item that was taken is done.
    pub fn finish(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }

    /// Bytes restored, and bytes in all.
    pub const fn bytes(&self) -> (u64, u64) {
        (self.done_bytes, self.total_bytes)
    }
}
