//! The partitions on this broker, by name and by topic id.

use crate::replica::Partition;
use crate::settings::TopicSettings;
use model::{PartitionId, ProtectionGroup, TopicId, TopicName};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// One topic with the partitions of it that this broker holds.
#[derive(Clone)]
pub(crate) struct HeldTopic {
    /// Its name.
    pub(crate) name: TopicName,
    /// Its id.
    pub(crate) id: TopicId,
    /// The protection group it belongs to; `None` for the region's own internal topics.
    pub(crate) group: Option<ProtectionGroup>,
    /// How many replicas its partitions have.
    pub(crate) replicas: usize,
    /// Whether clients may see it: a topic that is being restored is not there for them.
    pub(crate) is_live: bool,
    /// What its configuration means.
    pub(crate) settings: Arc<TopicSettings>,
    /// Its partitions by number; `None` for one that is not on this broker.
    pub(crate) partitions: Vec<Option<Arc<Partition>>>,
}

impl HeldTopic {
    /// One partition.
    pub(crate) fn partition(&self, partition: PartitionId) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(partition.0).ok()?)?.as_ref()
    }

    /// All that are here.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.partitions.iter().flatten()
    }
}

/// One state of the registry. Readers keep it for as long as they like.
#[derive(Clone, Default)]
pub(crate) struct Held {
    by_name: HashMap<TopicName, Arc<HeldTopic>>,
    by_id: HashMap<TopicId, Arc<HeldTopic>>,
}

impl Held {
    /// The topic with this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<HeldTopic>> {
        self.by_name.get(name)
    }

    /// The topic with this id.
    pub(crate) fn with_id(&self, id: TopicId) -> Option<&Arc<HeldTopic>> {
        self.by_id.get(&id)
    }

    /// One partition.
    pub(crate) fn partition(&self, topic: TopicId, partition: PartitionId) -> Option<&Arc<Partition>> {
        self.with_id(topic)?.partition(partition)
    }

    /// All topics.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<HeldTopic>> {
        self.by_id.values()
    }

    /// All partitions.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.topics().flat_map(|topic| topic.held())
    }
}

/// The registry. Reading it takes no lock for longer than the copy of a pointer.
#[derive(Default)]
pub(crate) struct Partitions {
    held: RwLock<Arc<Held>>,
    changing: Mutex<()>,
    /// Counts changes of topics and of what this broker is to them.
    changes: watch::Sender<u64>,
}

impl Partitions {
    /// What there is now.
    pub(crate) fn held(&self) -> Arc<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds topics, or puts them in the place of those with their ids.
    pub(crate) fn put(&self, topics: impl IntoIterator<Item = HeldTopic>) {
        self.change(|held| {
            for topic in topics.into_iter().map(Arc::new) {
                held.by_name.insert(topic.name.clone(), topic.clone());
                held.by_id.insert(topic.id, topic);
            }
        });
    }

    /// Takes a topic out. Whoever still holds its partitions goes on with them.
    pub(crate) fn remove(&self, id: TopicId) -> Option<Arc<HeldTopic>> {
        let mut removed = None;
        self.change(|held| {
            removed = held.by_id.remove(&id);
            if let Some(topic) =
                removed.as_ref().filter(|topic| held.by_name.get(&topic.name).is_some_and(|t| t.id == id))
            {
                held.by_name.remove(&topic.name);
            }
        });
        removed
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Held::clone(&self.held());
        change(&mut next);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.note_change();
    }

    /// Says that this broker became something else to some partition.
    pub(crate) fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Counts changes of topics and of what this broker is to them.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
