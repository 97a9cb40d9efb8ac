//! The directories that logs are in, each perhaps on a disk of its own (`log.dirs`): a failed disk takes its partitions
//! and no others (KIP-112).
//!
//! ```text
//!   data_dir/log-dirs.json     which partition is in which directory, on the disk of the metadata
//!   DIR/meta.properties        the directory's id: another disk at the same path is another directory (KIP-858)
//!   DIR/high-watermarks        how far each log of it was committed
//!   DIR/topic-0/               a log
//! ```
//!
//! Where a partition is, is written down before its log is made: a broker that starts without one of its disks knows what
//! was on it, and makes no empty log in its place. A broker with the one directory it makes for itself writes down nothing.

mod dir;
mod ledger;
mod marker;
mod watermarks;

pub(crate) use dir::LogDir;

use crate::Config;
use crate::replica::Place;
use crate::topics::sweep_deleted;
use broker_core::metadata::BrokerEpoch;
use env::Entropy;
use ledger::Ledger;
use model::{DiskStatus, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use uuid::Uuid;

/// Why a partition has no place for its log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHome {
    /// Its directory cannot be used.
    #[error("its log is in {}, which failed: {reason}; restart the broker when the disk is mended", path.display())]
    Failed {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: Arc<str>,
    },
    /// No directory can be used.
    #[error("no log directory can be used")]
    Nowhere,
    /// It cannot be written down where it is.
    #[error("it cannot be written down in which log directory it is")]
    Ledger(#[source] io::Error),
}

/// All directories of a broker.
pub(crate) struct LogDirs {
    dirs: Vec<Arc<LogDir>>,
    /// Where partitions are, in a broker that was given its directories.
    ledger: Option<Mutex<Ledger>>,
    /// The session that an earlier process stopped in with all of this on disk.
    stopped_in: Option<BrokerEpoch>,
}

/// The replicas whose logs cannot be used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// Their directory does not answer.
    pub(crate) failed: Vec<Place>,
    /// Their directory is none of this broker's any more.
    pub(crate) lost: Vec<Place>,
}

impl LogDirs {
    /// Opens the directories of `config`; a failure of one rings `failures`. One that cannot be used is offline.
    ///
    /// # Errors
    /// When none can be used, two are the same, partitions are in none of them, or it cannot be read where they are.
    pub(crate) fn open(config: &Config, entropy: &dyn Entropy, failures: &Arc<Notify>) -> io::Result<Self> {
        let ledger = Ledger::open(&config.data_dir)?;
        if config.log_dirs.is_empty() && ledger.is_new() {
            let dir = LogDir::unnamed(&config.topics_dir(), &config.data_dir, config.disk_reserve, failures)?;
            sweep_deleted(dir.path());
            let stopped_in = marker::take(dir.path())?;
            return Ok(Self { dirs: vec![Arc::new(dir)], ledger: None, stopped_in });
        }
        let paths = config.log_paths();
        check_paths(config, &paths)?;
        let open = |path: &PathBuf| Arc::new(LogDir::open(path, entropy, config.disk_reserve, failures));
        let dirs: Vec<_> = paths.iter().map(open).collect();
        check_usable(&dirs)?;
        check_ids(&dirs)?;
        let stopped_in = take_markers(&dirs);
        let this = Self { dirs, ledger: Some(Mutex::new(ledger)), stopped_in };
        this.online().for_each(|dir| sweep_deleted(dir.path()));
        this.take_stock()?;
        Ok(this)
    }

    /// Writes down what was in a directory before anybody did, and which directories there are.
    fn take_stock(&self) -> io::Result<()> {
        let Some(mut ledger) = self.ledger() else { return Ok(()) };
        // What was known under the path of a directory that does not answer is still there.
        self.dirs.iter().filter(|dir| dir.failed().is_some()).for_each(|dir| dir.recall(ledger.id_at(dir.path())));
        for dir in self.online() {
            let Some(id) = dir.id() else { continue };
            ledger.name(id, dir.path());
            // A copy of what is somewhere else by now stays a stray.
            for (place, _) in dir.logs() {
                if ledger.home(place).is_none() {
                    ledger.add(place, id);
                }
            }
        }
        ledger.store()
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// Those that can be used.
    pub(crate) fn online(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.dirs.iter().filter(|dir| dir.failed().is_none())
    }

    /// The directory of each of `partitions`: where it is, or, of a new one, the one with the fewest. All of it is written
    /// down before this returns. It may block.
    pub(crate) fn settle(&self, partitions: &[(Place, &TopicPartition)]) -> Vec<Result<Arc<LogDir>, NoHome>> {
        let Some(mut ledger) = self.ledger() else {
            return partitions.iter().map(|_| Ok(self.dirs[0].clone())).collect();
        };
        let homes: Vec<_> = partitions.iter().map(|(place, name)| self.home(&mut ledger, *place, name)).collect();
        match ledger.store() {
            Ok(()) => homes,
            Err(error) => {
                let again = |_| Err(NoHome::Ledger(io::Error::new(error.kind(), error.to_string())));
                homes.into_iter().map(|home| home.and_then(again)).collect()
            }
        }
    }

    fn home(&self, ledger: &mut Ledger, place: Place, name: &TopicPartition) -> Result<Arc<LogDir>, NoHome> {
        if let Some(known) = ledger.home(place).and_then(|id| self.with_id(id)) {
            return match known.failed() {
                None => Ok(known.clone()),
                Some(reason) => Err(NoHome::Failed { path: known.path().to_owned(), reason }),
            };
        }
        let name = name.to_string();
        // Whatever has its name makes way in the directory where it is, or there would be two.
        let named = self.online().find(|dir| dir.path().join(&name).is_dir());
        let fewest = || self.online().min_by_key(|dir| (dir.disk().is_short(), ledger.count(dir.id())));
        let home = named.or_else(fewest).ok_or(NoHome::Nowhere)?.clone();
        if let Some(id) = home.id() {
            ledger.add(place, id);
        }
        Ok(home)
    }

    fn with_id(&self, id: Uuid) -> Option<&Arc<LogDir>> {
        self.dirs.iter().find(|dir| dir.id() == Some(id))
    }

    /// These partitions are on this broker no more. It may block.
    pub(crate) fn forget(&self, places: impl IntoIterator<Item = Place>) {
        let Some(mut ledger) = self.ledger() else { return };
        places.into_iter().for_each(|place| ledger.remove(place));
        if let Err(error) = ledger.store() {
            tracing::warn!(%error, "partitions that are gone are still written down; they are looked for at the next start");
        }
    }

    /// The partitions of a topic that are written down, wherever they are.
    pub(crate) fn of_topic(&self, topic: TopicId) -> Vec<Place> {
        let Some(ledger) = self.ledger() else { return Vec::new() };
        ledger.of_topic(topic)
    }

    /// The replicas in directories that cannot be used.
    pub(crate) fn unusable(&self) -> Unusable {
        let mut unusable = Unusable::default();
        let Some(ledger) = self.ledger() else { return unusable };
        for (place, id) in ledger.places() {
            match self.with_id(id).map(|dir| dir.failed()) {
                Some(None) => {}
                Some(Some(_)) => unusable.failed.push(place),
                None => unusable.lost.push(place),
            }
        }
        unusable
    }

    /// The session that an earlier process stopped in, with all its logs on disk; `None` where it left no word of it.
    pub(crate) fn stopped_in(&self) -> Option<BrokerEpoch> {
        self.stopped_in
    }

    /// Leaves word that the broker stopped in `session` with all its logs on disk. It blocks.
    pub(crate) fn leave_word(&self, session: BrokerEpoch) {
        for dir in self.online() {
            if let Err(error) = marker::leave(dir.path(), session) {
                tracing::warn!(dir = %dir.path().display(), %error, "it is not written down that the broker stopped in order");
            }
        }
    }

    /// Looks at every disk. Call it every second or so.
    pub(crate) fn look(&self) {
        self.online().for_each(|dir| dir.disk().look());
    }

    /// The disks as a region's status shows them.
    pub(crate) fn status(&self) -> Vec<DiskStatus> {
        self.dirs.iter().map(|dir| dir.disk().status()).collect()
    }

    fn ledger(&self) -> Option<MutexGuard<'_, Ledger>> {
        self.ledger.as_ref().map(|ledger| ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes the markers out of the directories that can be used: the session that all of them name which hold anything.
fn take_markers(dirs: &[Arc<LogDir>]) -> Option<BrokerEpoch> {
    let mut named = BTreeSet::new();
    for dir in dirs.iter().filter(|dir| dir.failed().is_none()) {
        let is_in_use = dir.holds_anything();
        match marker::take(dir.path()) {
            Ok(word) if is_in_use => _ = named.insert(word),
            Ok(_) => {}
            Err(error) => {
                dir.fail(&format!("the word of an orderly stop cannot be taken out: {error}"));
                named.insert(None);
            }
        }
    }
    named.pop_first().flatten().filter(|_| named.is_empty())
}

fn refuse(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// The real path, as far as it exists.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn check_paths(config: &Config, paths: &[PathBuf]) -> io::Result<()> {
    let mut known = BTreeSet::new();
    if let Some(twice) = paths.iter().find(|path| !known.insert(real(path))) {
        return Err(refuse(format!("log directory {} is named twice", twice.display())));
    }
    let own = config.topics_dir();
    if !known.contains(&real(&own)) && !dir::logs(&own).is_empty() {
        let own = own.display();
        return Err(refuse(format!(
            "{own} holds partitions and is none of the log directories; name it as one of them"
        )));
    }
    Ok(())
}

fn check_usable(dirs: &[Arc<LogDir>]) -> io::Result<()> {
    let failed: Vec<_> = dirs.iter().filter_map(|dir| Some((dir.path(), dir.failed()?))).collect();
    match failed.first() {
        Some((path, reason)) if failed.len() == dirs.len() => {
            Err(io::Error::other(format!("no log directory can be used; {}: {reason}", path.display())))
        }
        _ => Ok(()),
    }
}

fn check_ids(dirs: &[Arc<LogDir>]) -> io::Result<()> {
    let mut known: BTreeMap<Uuid, &Path> = BTreeMap::new();
    for dir in dirs {
        let Some(other) = dir.id().and_then(|id| known.insert(id, dir.path())) else { continue };
        let (path, other) = (dir.path().display(), other.display());
        return Err(refuse(format!("{path} is a copy of {other}: both have the same id in meta.properties")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listeners;
    use env::sim::SeededEntropy;
    use model::{PartitionId, RegionName, TopicName};
    use std::fs;

    fn config(dir: &Path, names: &[&str]) -> Config {
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners { clients: any, gateways: any, internal: any };
        let mut config = Config::new(RegionName::new("r1").unwrap(), 0, dir.join("data"), listeners);
        fs::create_dir_all(&config.data_dir).unwrap();
        config.log_dirs = names.iter().map(|name| dir.join(name)).collect();
        config.disk_reserve = model::ByteCount(0);
        config
    }

    fn open(dir: &Path, names: &[&str]) -> io::Result<LogDirs> {
        static SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let seed = SEED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        LogDirs::open(&config(dir, names), &SeededEntropy::new(seed), &Arc::default())
    }

    fn place(partition: i32) -> Place {
        (TopicId(Uuid::from_u128(7)), PartitionId(partition))
    }

    fn name(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionId(partition) }
    }

    /// The names of the directories that partitions are in.
    fn settle(dirs: &LogDirs, partitions: std::ops::Range<i32>) -> Vec<Option<String>> {
        let names: Vec<_> = partitions.map(|number| (place(number), name(number))).collect();
        let asked: Vec<_> = names.iter().map(|(place, name)| (*place, name)).collect();
        let named = |dir: Arc<LogDir>| dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        dirs.settle(&asked).into_iter().map(|home| home.ok().map(named)).collect()
    }

    fn some(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    }

    #[test]
    fn new_partitions_go_where_the_fewest_are_and_stay_there() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = open(dir.path(), &["a", "b"]).unwrap();
        assert_eq!(settle(&dirs, 0..5), some(&["a", "b", "a", "b", "a"]));
        drop(dirs);
        let dirs = open(dir.path(), &["c", "b", "a"]).unwrap();
        assert_eq!(settle(&dirs, 0..8), some(&["a", "b", "a", "b", "a", "c", "c", "c"]));
        dirs.forget([place(0), place(2), place(4)]);
        assert_eq!(settle(&dirs, 9..11), some(&["a", "a"]));
    }

    #[test]
    fn what_was_on_a_disk_that_is_missing_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = open(dir.path(), &["a", "b"]).unwrap();
        settle(&dirs, 0..4);
        drop(dirs);
        // A file where the directory should be: it cannot be used.
        fs::remove_dir_all(dir.path().join("b")).unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        let dirs = open(dir.path(), &["a", "b"]).unwrap();
        assert_eq!(dirs.unusable(), Unusable { failed: vec![place(1), place(3)], lost: vec![] });
        assert_eq!(settle(&dirs, 0..5), [Some("a"), None, Some("a"), None, Some("a")].map(|n| n.map(str::to_owned)));
        drop(dirs);
        // An empty disk in its place is another one.
        fs::remove_file(dir.path().join("b")).unwrap();
        let dirs = open(dir.path(), &["a", "b"]).unwrap();
        assert_eq!(dirs.unusable(), Unusable { failed: vec![], lost: vec![place(1), place(3)] });
        assert_eq!(settle(&dirs, 1..2), some(&["b"]), "whoever asks for it knows that others have it");
        assert_eq!(dirs.unusable().lost, [place(3)]);
    }

    #[test]
    fn a_failure_at_run_time_leaves_the_other_directories_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = open(dir.path(), &["a", "b"]).unwrap();
        settle(&dirs, 0..2);
        dirs.all()[0].fail("input/output error");
        assert_eq!(dirs.unusable().failed, [place(0)]);
        assert_eq!(settle(&dirs, 0..4), [None, Some("b"), Some("b"), Some("b")].map(|n| n.map(str::to_owned)));
    }

    #[test]
    fn an_orderly_stop_is_known_where_all_directories_in_use_name_the_same_session() {
        let dir = tempfile::tempdir().unwrap();
        let stopped_in = |names: &[&str]| open(dir.path(), names).unwrap().stopped_in().map(|session| session.0);
        let names = &["a", "b"];
        names.iter().for_each(|name| fs::create_dir_all(dir.path().join(name).join("t-0")).unwrap());
        assert_eq!(stopped_in(names), None);
        open(dir.path(), names).unwrap().leave_word(BrokerEpoch(4));
        assert_eq!(stopped_in(&["a", "b", "empty"]), Some(4));
        assert_eq!(stopped_in(names), None, "it was started since");
        open(dir.path(), names).unwrap().leave_word(BrokerEpoch(5));
        marker::leave(&dir.path().join("b"), BrokerEpoch(4)).unwrap();
        assert_eq!(stopped_in(names), None, "one is as it was before");
        open(dir.path(), &["a"]).unwrap().leave_word(BrokerEpoch(6));
        assert_eq!(stopped_in(names), None, "one was not there");
    }

    #[test]
    fn directories_that_cannot_be_meant_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |names: &[&str]| open(dir.path(), names).err().unwrap().to_string();
        fs::create_dir_all(dir.path().join("a")).unwrap();
        assert!(refusal(&["a", "a"]).contains("named twice"));
        drop(open(dir.path(), &["a"]).unwrap());
        fs::create_dir_all(dir.path().join("copy")).unwrap();
        fs::copy(dir.path().join("a/meta.properties"), dir.path().join("copy/meta.properties")).unwrap();
        assert!(refusal(&["a", "copy"]).contains("is a copy of"));
        fs::create_dir_all(dir.path().join("data/topics/t-0")).unwrap();
        let metadata = dir.path().join("data/topics/t-0/partition.metadata");
        fs::write(metadata, "version: 0\ntopic_id: ABCDEFGHIJKLMNOPQRSTUQ").unwrap();
        assert!(refusal(&["a", "b"]).contains("holds partitions"));
        fs::write(dir.path().join("file"), "").unwrap();
        fs::remove_dir_all(dir.path().join("data/topics")).unwrap();
        assert!(refusal(&["file"]).contains("no log directory can be used"));
    }

    #[test]
    fn a_broker_without_directories_of_its_own_choice_writes_down_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = open(dir.path(), &[]).unwrap();
        assert_eq!(settle(&dirs, 0..2), some(&["topics", "topics"]));
        assert_eq!(fs::read_dir(dir.path().join("data/topics")).unwrap().count(), 0);
        assert_eq!((dirs.unusable(), dirs.of_topic(place(0).0)), (Unusable::default(), vec![]));
    }
}
