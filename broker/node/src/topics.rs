//! Topics of the region's metadata, made real on this broker's disk.

use crate::Broker;
use crate::partitions::{Held, HeldTopic};
use crate::replica::Partition;
use crate::settings::TopicSettings;
use broker_core::metadata::{self, Image, Topic};
use log::{FileError, OpenError};
use model::{BrokerSlot, PartitionId, TopicId, TopicPartition, TopicState};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How many logs are opened at once: recovery reads from the disk as much as it computes.
const OPENING_AT_ONCE: usize = 4;
/// The end of the name of a directory that is being deleted.
const DELETED: &str = "deleted";

/// A partition that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{partition} cannot be opened")]
pub(crate) struct NotOpened {
    /// Which.
    partition: TopicPartition,
    topic: TopicId,
    #[source]
    error: OpenError,
}

impl NotOpened {
    /// Its topic's id and its number.
    pub(crate) fn partition_id(&self) -> (TopicId, PartitionId) {
        (self.topic, self.partition.partition)
    }
}

impl Broker {
    /// Holds the topics `ids` of `image`: opens the logs that are not open yet, and follows changed settings, groups and
    /// states of the others. What cannot be opened is left out, and given back. It may block.
    pub(crate) fn hold_topics(&self, image: &Image, ids: &BTreeSet<TopicId>) -> Vec<NotOpened> {
        if ids.is_empty() {
            return Vec::new();
        }
        let topics = ids.iter().filter_map(|id| image.topic(*id));
        let mut opened: Vec<_> = topics.map(|topic| (topic, self.held_before(topic))).collect();
        let missing = missing(&opened, self.0.config.slot);
        let results = self.open_all(image, &missing);
        let mut failed = Vec::new();
        for ((at, number, _), result) in missing.into_iter().zip(results) {
            match result {
                Ok(partition) => opened[at].1.partitions[number] = Some(partition),
                Err(error) => failed.push(error),
            }
        }
        let topics = opened.into_iter().map(|(_, held)| held).collect::<Vec<_>>();
        let before = self.0.partitions.held();
        let moved: Vec<_> = topics.iter().flat_map(|held| moved_away(&before, held)).collect();
        self.0.partitions.put(topics);
        moved.iter().for_each(|partition| self.drop_partition(partition));
        failed
    }

    /// Deletes the log of a partition that others hold now.
    fn drop_partition(&self, partition: &Arc<Partition>) {
        self.0.fetchers.forget(partition);
        match partition.delete() {
            Ok(()) => tracing::info!(partition = %partition.name, "the partition has moved to other brokers"),
            Err(error) => {
                tracing::error!(partition = %partition.name, %error, "a partition that moved away stays on disk");
            }
        }
    }

    /// The topic as it should be held, with the partitions that are open already.
    fn held_before(&self, topic: &Topic) -> HeldTopic {
        let replicas = replica_count(topic);
        let settings = TopicSettings::of(&topic.config, self.0.config.flush).replicated(&topic.config, replicas);
        let settings = Arc::new(settings);
        let before = self.0.partitions.held();
        let before = before.with_id(topic.id);
        let slot = self.0.config.slot;
        let partitions = topic.partitions().map(|(number, placed)| {
            let open = before.and_then(|held| held.partition(number)).cloned();
            open.filter(|_| placed.replicas.contains(&slot))
        });
        let partitions: Vec<_> = partitions.collect();
        for partition in partitions.iter().flatten().filter(|partition| partition.settings() != settings) {
            partition.configure(settings.clone());
        }
        HeldTopic {
            name: topic.name.clone(),
            id: topic.id,
            group: topic.group.clone(),
            replicas,
            is_live: topic.state == TopicState::Live,
            settings,
            partitions,
        }
    }

    fn open_all(&self, image: &Image, missing: &[(usize, usize, Missing)]) -> Vec<Result<Arc<Partition>, NotOpened>> {
        let results = Mutex::new(Vec::with_capacity(missing.len()));
        let next = Mutex::new(missing.iter().enumerate());
        let work = || {
            loop {
                let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((at, (_, _, missing))) = taken else { return };
                let opened = self.open_partition(image, missing);
                results.lock().unwrap_or_else(PoisonError::into_inner).push((at, opened));
            }
        };
        thread::scope(|scope| {
            (0..OPENING_AT_ONCE.min(missing.len())).for_each(|_| _ = scope.spawn(work));
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn open_partition(&self, image: &Image, missing: &Missing) -> Result<Arc<Partition>, NotOpened> {
        let Missing { name, topic, settings } = missing;
        let dir = self.partition_dir(name);
        let open = || Partition::open(&dir, name.clone(), *topic, settings.clone(), self.0.storage.clone());
        let opened = match open() {
            // A topic of that name was deleted while this broker was down.
            Err(OpenError::OtherTopic { found, .. }) if image.topic(found).is_none() => {
                remove_dir(&dir);
                open()
            }
            opened => opened,
        };
        opened.map_err(|error| NotOpened { partition: name.clone(), topic: *topic, error })
    }

    /// Lets go of a topic and deletes its logs. It may block.
    ///
    /// # Errors
    /// The first log that could not be deleted; the others are.
    pub(crate) fn delete_topic(&self, id: TopicId) -> Result<(), FileError> {
        let Some(topic) = self.0.partitions.remove(id) else { return Ok(()) };
        topic.held().for_each(|partition| self.0.fetchers.forget(partition));
        let deleted: Vec<_> = topic.held().map(|partition| partition.delete()).collect();
        deleted.into_iter().collect()
    }

    /// Removes the logs of a deleted topic that is not open. Where another topic of `image` has its name, those it uses
    /// are left to whoever opens them. It may block.
    pub(crate) fn discard_topic(&self, topic: &Topic, image: &Image) {
        let heir = image.topic_named(topic.name.as_str());
        let numbers = topic.partitions().map(|(partition, _)| partition);
        let unused = numbers.filter(|partition| heir.is_none_or(|heir| heir.partition(*partition).is_none()));
        let dirs = unused.map(|partition| self.partition_dir(&TopicPartition { topic: topic.name.clone(), partition }));
        dirs.filter(|dir| dir.exists()).for_each(|dir| remove_dir(&dir));
    }

    fn partition_dir(&self, name: &TopicPartition) -> PathBuf {
        self.0.config.topics_dir().join(name.to_string())
    }
}

/// How many replicas the partitions of a topic have.
pub(crate) fn replica_count(topic: &Topic) -> usize {
    topic.partition(PartitionId(0)).map_or(1, metadata::Partition::replica_count)
}

/// The partitions that were open and are not held any more.
fn moved_away(before: &Held, now: &HeldTopic) -> Vec<Arc<Partition>> {
    let Some(known) = before.with_id(now.id) else { return Vec::new() };
    let closed = known.held().filter(|partition| now.partition(partition.number()).is_none());
    closed.cloned().collect()
}

/// A log to be opened.
struct Missing {
    name: TopicPartition,
    topic: TopicId,
    settings: Arc<TopicSettings>,
}

/// What is placed on this broker and not open: (which topic, which partition, the rest).
fn missing(topics: &[(&Topic, HeldTopic)], slot: BrokerSlot) -> Vec<(usize, usize, Missing)> {
    let mut missing = Vec::new();
    for (at, (topic, held)) in topics.iter().enumerate() {
        let here = topic.partitions().zip(&held.partitions).enumerate();
        let closed = here.filter(|(_, ((_, placed), open))| open.is_none() && placed.replicas.contains(&slot));
        for (number, ((partition, _), _)) in closed {
            let name = TopicPartition { topic: topic.name.clone(), partition };
            missing.push((at, number, Missing { name, topic: topic.id, settings: held.settings.clone() }));
        }
    }
    missing
}

/// Finishes the deletions that a crash interrupted. Nothing else is touched: whose the other directories are is for the
/// metadata to say.
pub(crate) fn sweep_deleted(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == DELETED))
        .for_each(|path| remove_dir(&path));
}

fn remove_dir(path: &Path) {
    tracing::info!(path = %path.display(), "removing what is left of a deleted topic");
    // Renamed first, so that a crash leaves no half of a log under its name.
    let doomed = match path.extension() {
        Some(extension) if extension == DELETED => path.to_owned(),
        _ => path.with_added_extension(DELETED),
    };
    let renamed = if doomed == path { Ok(()) } else { std::fs::rename(path, &doomed) };
    if let Err(error) = renamed.and_then(|()| std::fs::remove_dir_all(&doomed)) {
        tracing::warn!(path = %path.display(), %error, "what is left of a deleted topic cannot be removed");
    }
}
