//! Topics of the region's metadata, made real on this broker's disk.

use crate::Broker;
use crate::log_dirs::{LogDir, NoHome};
use crate::partitions::{Held, HeldTopic};
use crate::replica::{Partition, Place};
use crate::settings::TopicSettings;
use crate::strays::{Aside, put_aside};
use broker_core::metadata::{self, Image, Topic};
use log::{FileError, OpenError};
use model::{BrokerSlot, PartitionId, ProtectionGroup, TopicId, TopicPartition, TopicState};
use std::collections::BTreeSet;
use std::path::Path;
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
    error: WhyNot,
}

/// What is in the way of a log.
#[derive(Debug, thiserror::Error)]
enum WhyNot {
    #[error(transparent)]
    NoHome(#[from] NoHome),
    #[error(transparent)]
    Log(#[from] OpenError),
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
        let mut opened: Vec<_> = topics.map(|topic| (topic, self.held_before(image, topic))).collect();
        let missing = missing(&opened, self.0.config.slot);
        let results = self.open_all(image, missing.iter().map(|(_, _, missing)| missing).collect());
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
        self.0.storage.dirs.forget(self.elsewhere(image, ids));
        failed
    }

    /// What is written down of the topics `ids` that others hold now.
    fn elsewhere(&self, image: &Image, ids: &BTreeSet<TopicId>) -> Vec<Place> {
        let (slot, dirs) = (self.0.config.slot, &self.0.storage.dirs);
        let is_here = |(topic, number): &Place| {
            image.partition(*topic, *number).is_some_and(|placed| placed.replicas.contains(&slot))
        };
        ids.iter().flat_map(|id| dirs.of_topic(*id)).filter(|place| !is_here(place)).collect()
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
    fn held_before(&self, image: &Image, topic: &Topic) -> HeldTopic {
        let replicas = topic.replica_count();
        let settings = TopicSettings::of(&topic.config, self.0.config.flush).replicated(&topic.config, replicas);
        let settings = Arc::new(if is_active(image, topic) { settings.flushed() } else { settings });
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

    fn open_all(&self, image: &Image, missing: Vec<&Missing>) -> Vec<Result<Arc<Partition>, NotOpened>> {
        let asked: Vec<_> = missing.iter().map(|missing| (missing.place(), &missing.name)).collect();
        let homes = self.0.storage.dirs.settle(&asked);
        let threads = OPENING_AT_ONCE.min(missing.len());
        let results = Mutex::new(Vec::with_capacity(missing.len()));
        let next = Mutex::new(missing.into_iter().zip(homes).enumerate());
        let work = || {
            loop {
                let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((at, (missing, home))) = taken else { return };
                let opened = home.map_err(WhyNot::from).and_then(|home| self.open_partition(image, missing, &home));
                let opened = opened.map_err(|error| missing.not_opened(error));
                results.lock().unwrap_or_else(PoisonError::into_inner).push((at, opened));
            }
        };
        thread::scope(|scope| {
            (0..threads).for_each(|_| _ = scope.spawn(work));
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn open_partition(&self, image: &Image, missing: &Missing, home: &Arc<LogDir>) -> Result<Arc<Partition>, WhyNot> {
        let Missing { name, topic, settings } = missing;
        let open = || Partition::open(home.clone(), name.clone(), *topic, settings.clone(), self.0.storage.clone());
        let opened = match open() {
            // A topic of that name was deleted while this broker was down.
            Err(OpenError::OtherTopic { found, .. }) if image.topic(found).is_none() => {
                let heir = image.topic(*topic).and_then(|heir| heir.group.as_ref());
                self.clear(&home.log_path(name), is_copy(heir, image));
                open()
            }
            opened => opened,
        };
        let failure = opened.as_ref().err().filter(|error| error.is_disk_failure());
        failure.inspect(|error| home.fail(&error.to_string()));
        Ok(opened?)
    }

    /// Lets go of a topic that is gone in `image`, and deletes its logs, or puts them aside where they are copies. It may
    /// block.
    ///
    /// # Errors
    /// The first log that could not be deleted; the others are.
    pub(crate) fn delete_topic(&self, id: TopicId, image: &Image) -> Result<(), FileError> {
        let Some(topic) = self.0.partitions.remove(id) else { return Ok(()) };
        topic.held().for_each(|partition| self.0.fetchers.forget(partition));
        let is_copy = is_copy(topic.group.as_ref(), image);
        let end = |partition: &Arc<Partition>| {
            if is_copy { partition.put_aside(Aside::Copy) } else { partition.delete() }
        };
        let deleted: Vec<_> = topic.held().map(end).collect();
        self.0.storage.dirs.forget(self.0.storage.dirs.of_topic(id));
        deleted.into_iter().collect()
    }

    /// Removes the logs of a deleted topic that is not open, or puts them aside where they are copies. Where another topic of
    /// `image` has its name, those it uses are left to whoever opens them. It may block.
    pub(crate) fn discard_topic(&self, topic: &Topic, image: &Image) {
        let heir = image.topic_named(topic.name.as_str());
        let numbers = topic.partitions().map(|(partition, _)| partition);
        let is_copy = is_copy(topic.group.as_ref(), image);
        let unused = numbers.filter(|partition| heir.is_none_or(|heir| heir.partition(*partition).is_none()));
        let dirs = &self.0.storage.dirs;
        for name in unused.map(|partition| TopicPartition { topic: topic.name.clone(), partition }) {
            let logs = dirs.online().map(|dir| dir.log_path(&name));
            logs.filter(|log| log.exists()).for_each(|log| self.clear(&log, is_copy));
        }
        dirs.forget(dirs.of_topic(topic.id));
    }

    /// Removes the log of a deleted topic, or puts it aside where it is a copy.
    fn clear(&self, log: &Path, is_copy: bool) {
        if is_copy { put_aside(log, Aside::Copy, self.0.clock.now()) } else { remove_dir(log) }
    }
}

/// Whether another region has the topics of `group`: what is here of them are copies.
fn is_copy(group: Option<&ProtectionGroup>, image: &Image) -> bool {
    group.and_then(|group| image.group(group)).is_some_and(|known| !known.owned)
}

/// Whether every region takes writes for the topic.
pub(crate) fn is_active(image: &Image, topic: &Topic) -> bool {
    let group = topic.group.as_ref().and_then(|group| image.group(group));
    group.is_some_and(|group| group.owned && group.grant.active.is_some())
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

impl Missing {
    fn place(&self) -> Place {
        (self.topic, self.name.partition)
    }

    fn not_opened(&self, error: WhyNot) -> NotOpened {
        NotOpened { partition: self.name.clone(), topic: self.topic, error }
    }
}

/// What is placed on this broker and not open: (which topic, which partition, the rest).
fn missing(topics: &[(&Topic, HeldTopic)], slot: BrokerSlot) -> Vec<(usize, usize, Missing)> {
    let mut missing = Vec::new();
    for (at, (topic, held)) in topics.iter().enumerate() {
        let here = topic.partitions().zip(&held.partitions).enumerate();
        let closed = here.filter(|(_, ((_, placed), open))| open.is_none() && is_usable(placed, slot));
        for (number, ((partition, _), _)) in closed {
            let name = TopicPartition { topic: topic.name.clone(), partition };
            missing.push((at, number, Missing { name, topic: topic.id, settings: held.settings.clone() }));
        }
    }
    missing
}

/// Whether the broker in `slot` is to hold a partition, in a directory that was not found to have failed.
pub(crate) fn is_usable(placed: &metadata::Partition, slot: BrokerSlot) -> bool {
    placed.replicas.contains(&slot) && !placed.offline.contains(&slot)
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
