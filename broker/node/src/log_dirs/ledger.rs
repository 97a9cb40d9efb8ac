//! `log-dirs.json`: which partition is in which directory of logs.

use crate::durably;
use crate::replica::Place;
use model::{PartitionId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where partitions are, in memory and on the disk of the metadata.
pub(super) struct Ledger {
    path: PathBuf,
    kept: Kept,
    homes: BTreeMap<Place, Uuid>,
    /// Whether the file says something else.
    is_ahead: bool,
    /// Nobody has written one yet.
    is_new: bool,
}

/// The file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Where directories were last.
    directories: BTreeMap<Uuid, PathBuf>,
    /// The partitions in each.
    partitions: BTreeMap<Uuid, BTreeSet<Place>>,
}

impl Ledger {
    /// Reads what is kept in `data_dir`.
    ///
    /// # Errors
    /// When it cannot be read: a log that is somewhere else must not be made anew in silence.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("log-dirs.json");
        let (kept, is_new) = match fs::read(&path) {
            Ok(json) => (serde_json::from_slice(&json)?, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Kept::default(), true),
            Err(error) => return Err(error),
        };
        let homes = kept.partitions.iter().flat_map(|(id, places)| places.iter().map(|place| (*place, *id)));
        Ok(Self { path, homes: homes.collect(), kept, is_ahead: false, is_new })
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// The directory that was at `path` last.
    pub(super) fn id_at(&self, path: &Path) -> Option<Uuid> {
        self.kept.directories.iter().find(|(_, known)| *known == path).map(|(id, _)| *id)
    }

    /// The directory `id` is at `path`; whatever was there before is somewhere else, or gone.
    pub(super) fn name(&mut self, id: Uuid, path: &Path) {
        if self.kept.directories.get(&id).is_some_and(|known| known == path) {
            return;
        }
        self.kept.directories.retain(|_, known| known != path);
        self.kept.directories.insert(id, path.to_owned());
        self.is_ahead = true;
    }

    /// Which directory a partition is in.
    pub(super) fn home(&self, place: Place) -> Option<Uuid> {
        self.homes.get(&place).copied()
    }

    /// How many partitions are in a directory.
    pub(super) fn count(&self, id: Option<Uuid>) -> usize {
        id.and_then(|id| self.kept.partitions.get(&id)).map_or(0, BTreeSet::len)
    }

    /// All partitions and where they are.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, Uuid)> {
        self.homes.iter().map(|(place, id)| (*place, *id))
    }

    /// The partitions of a topic.
    pub(super) fn of_topic(&self, topic: TopicId) -> Vec<Place> {
        let numbers = (topic, PartitionId(i32::MIN))..=(topic, PartitionId(i32::MAX));
        self.homes.range(numbers).map(|(place, _)| *place).collect()
    }

    /// The partition is in directory `id`.
    pub(super) fn add(&mut self, place: Place, id: Uuid) {
        if self.home(place) == Some(id) {
            return;
        }
        self.remove(place);
        self.homes.insert(place, id);
        self.kept.partitions.entry(id).or_default().insert(place);
        self.is_ahead = true;
    }

    /// The partition is nowhere.
    pub(super) fn remove(&mut self, place: Place) {
        let Some(id) = self.homes.remove(&place) else { return };
        if let Some(places) = self.kept.partitions.get_mut(&id) {
            places.remove(&place);
        }
        self.is_ahead = true;
    }

    /// Makes it durable, if it changed.
    ///
    /// # Errors
    /// What the system says; the next time tries again.
    pub(super) fn store(&mut self) -> io::Result<()> {
        if !self.is_ahead {
            return Ok(());
        }
        durably::replace(&self.path, &serde_json::to_vec(&self.kept)?)?;
        self.is_ahead = false;
        Ok(())
    }
}
