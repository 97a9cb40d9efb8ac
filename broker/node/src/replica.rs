//! One partition on this broker: its log, what the broker is to it, and how far others may see.
//!
//! ```text
//!   produce --append--> log --request--> flusher --flush--> marks move --bell--> acks, long polls, links
//!   link ----append_copy--^
//! ```
//!
//! How far others may see, whose acks are due and who is in sync is decided by [`broker_core::partition`]; what a replica
//! does with what its leader sends, by [`broker_core::follower`].
//!
//! The log is held for short synchronous sections only. Readers take a [`log::Reader`] and a copy of the marks, and
//! never wait for a writer.

mod acks;
mod active;
mod append;
mod bell;
mod cleaning;
mod copying;
mod digest;
mod ending;
mod flusher;
mod flushing;
mod followed;
mod following;
mod gate;
mod lead;
mod news;
mod proof;
mod reading;
mod runs;
mod standing;
mod synced;

pub(crate) use acks::{Acks, Lost};
pub(crate) use active::{Disputed, Part, Selected, SettleError};
pub(crate) use append::{Refusal, Refused, Taken};
pub(crate) use bell::Ear;
pub(crate) use cleaning::{CompactError, DeleteError};
pub(crate) use copying::CopyError;
pub(crate) use flusher::Flusher;
pub(crate) use followed::{Follower as Replica, NotServed, Served};
pub(crate) use following::Next;
pub(crate) use gate::{Gate, Pass, Passes, Shut};
pub(crate) use lead::{Crossing, Leadership, Replicas};
pub(crate) use news::{News, Place};
pub(crate) use reading::{Isolation, Readable};
pub(crate) use runs::{Run, RunId, Runs};
pub use standing::SourceMarks;
pub(crate) use standing::{Marks, Standing};
pub use synced::SyncTerms;

use crate::Flush;
use crate::log_dirs::{LogDir, LogDirs};
use crate::settings::TopicSettings;
use acks::Waiting;
use active::{Active, Story};
use bell::Bell;
use broker_core::follower::Follower;
use broker_core::metadata::{Leader, Role};
use broker_core::pace::Pace;
use broker_core::partition::{Outcome, Partition as Core};
use broker_core::retention::Links;
use digest::Digests;
pub(crate) use digest::{DigestJob, DigestStep};
use env::Clock;
use flusher::Phase;
use log::{ActiveProducer, EpochStart, Log, OpenError, Reader, Recovery};
use mirror_core::verify::FileIdentity;
use model::{ByteCount, LeaderEpoch, ModeState, Offset, PartitionId, Timestamp, TopicId, TopicPartition};
use proof::Proof;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// What all partitions of a broker share.
pub(crate) struct Storage {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flusher: Flusher,
    /// Where logs are.
    pub(crate) dirs: LogDirs,
    /// Rings when a log or a directory of logs failed.
    pub(crate) failures: Arc<Notify>,
    /// Stands in the batch that begins a lineage.
    pub(crate) node_id: i32,
    /// A replica that was not caught up for so long is out of sync.
    pub(crate) replica_lag_max: Duration,
    /// Partitions led here whose in-sync set may have to change.
    pub(crate) isr_news: News,
    /// Rings when there are conflicts to tell of.
    pub(crate) conflict_news: Notify,
    /// Counts how often a log that is not owned came to another leader epoch.
    pub(crate) epoch_changes: AtomicU64,
}

/// One partition.
pub(crate) struct Partition {
    /// Its topic's name and its number.
    pub(crate) name: TopicPartition,
    /// Its topic's id.
    pub(crate) topic_id: TopicId,
    /// Reads beside whoever writes.
    pub(crate) reader: Reader,
    /// The directory its log is in.
    pub(crate) dir: Arc<LogDir>,
    storage: Arc<Storage>,
    held: Mutex<Held>,
    public: RwLock<Public>,
    bell: Bell,
    flushing: Phase,
    /// What links have said to this leader.
    links: Mutex<Links>,
    /// How far links were handed the log.
    runs: Mutex<Runs>,
    /// What another region's copy is compared with.
    proof: Proof,
    digests: Digests,
    /// Where its records come from, on disk; whoever flushes the log holds it, before anything else is held.
    story: Mutex<Option<Story>>,
    /// Whether it was ever led here for a group that every region takes writes for.
    is_active: AtomicBool,
}

/// What only one may touch at a time.
struct Held {
    /// `None` once it was closed or deleted.
    log: Option<Log>,
    standing: Standing,
    /// Decides how far others may see, and who is in sync.
    core: Core,
    /// Decides what to do with what the leader sends, while there is one elsewhere.
    follower: Option<Follower>,
    /// Who waits for acks.
    waiting: Waiting,
    /// What a copy heard of its source.
    source: Option<SourceMarks>,
    /// What the metadata says of the durability of its group's writes.
    mode: ModeState,
    /// How fast its writers may go, under a rule.
    pace: Option<Pace>,
    /// Where its records come from, where every region takes writes for it.
    active: Option<Active>,
}

/// What everybody may look at; written by whoever holds [`Held`].
struct Public {
    marks: Marks,
    standing: Standing,
    settings: Arc<TopicSettings>,
    /// The log's latest leader epoch.
    latest_epoch: LeaderEpoch,
    /// Why nothing is written any more.
    failed: Option<Arc<str>>,
}

/// The log was closed or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the partition is closed")]
pub(crate) struct Closed;

impl Partition {
    /// Opens the partition's log in `home`, recovers it if it must be, and makes all of it durable. It may block.
    ///
    /// # Errors
    /// [`OpenError`]: the log cannot be used.
    pub(crate) fn open(
        home: Arc<LogDir>,
        name: TopicPartition,
        topic_id: TopicId,
        settings: Arc<TopicSettings>,
        storage: Arc<Storage>,
    ) -> Result<Arc<Self>, OpenError> {
        let (mut log, recovery) = Log::open(home.log_path(&name), topic_id, settings.log.clone())?;
        report(&name, &recovery);
        // After the death of the process alone the end is in the page cache and nowhere else.
        let flushed = log.flush();
        let failed = flushed.err().map(|error| Arc::from(error.to_string()));
        let reader = log.reader();
        reader.disk_failure().inspect(|reason| home.fail(reason));
        let committed = home.committed((topic_id, name.partition)).min(log.tail()).max(log.start());
        let (standing, latest_epoch) = (Standing::Idle, log.latest_epoch());
        let identity = FileIdentity { topic: topic_id, partition: name.partition };
        let proof = Proof::open(log.dir(), identity, log.tail(), storage.clock.now());
        let held = Held {
            core: Core::fenced(committed).with_lag_max(storage.replica_lag_max),
            log: Some(log),
            standing: standing.clone(),
            follower: None,
            waiting: Waiting::default(),
            source: None,
            mode: ModeState::default(),
            pace: None,
            active: None,
        };
        let public = Public { marks: Marks::default(), standing, settings, latest_epoch, failed };
        let partition = Self {
            name,
            topic_id,
            reader,
            dir: home,
            storage,
            held: Mutex::new(held),
            public: RwLock::new(public),
            bell: Bell::default(),
            flushing: Phase::default(),
            links: Mutex::default(),
            runs: Mutex::default(),
            proof,
            digests: Digests::default(),
            story: Mutex::default(),
            is_active: AtomicBool::new(false),
        };
        partition.publish(&mut partition.held());
        Ok(Arc::new(partition))
    }

    /// Its number.
    pub(crate) fn number(&self) -> PartitionId {
        self.name.partition
    }

    /// Where its log stands: one consistent state.
    pub(crate) fn marks(&self) -> Marks {
        self.public().marks
    }

    /// What this broker is to it.
    pub(crate) fn standing(&self) -> Standing {
        self.public().standing.clone()
    }

    /// What its topic is configured to be.
    pub(crate) fn settings(&self) -> Arc<TopicSettings> {
        self.public().settings.clone()
    }

    /// Why nothing is written any more, if so.
    pub(crate) fn failed(&self) -> Option<Arc<str>> {
        self.public().failed.clone()
    }

    /// Which one it is.
    pub(crate) fn place(&self) -> Place {
        (self.topic_id, self.name.partition)
    }

    /// What a copy heard of its source under this standing.
    pub(crate) fn source(&self) -> Option<SourceMarks> {
        self.held().source
    }

    /// The epoch that readers know it by: the leader's, or the last one copied.
    pub(crate) fn epoch(&self) -> LeaderEpoch {
        match &self.public().standing {
            Standing::Owner { leader_epoch, .. } => *leader_epoch,
            Standing::Replica { leader: Leader { role: Role::Owner { leader_epoch }, .. } } => *leader_epoch,
            Standing::Idle | Standing::Copy { .. } | Standing::Replica { .. } => {
                self.reader.epochs().last().map_or(LeaderEpoch::NONE, |last| last.epoch)
            }
        }
    }

    /// The epoch of the last batch. One that was begun since without a batch is in nobody else's log.
    pub(crate) fn last_epoch(&self) -> LeaderEpoch {
        self.epochs().last().map_or(LeaderEpoch::NONE, |last| last.epoch)
    }

    /// The epochs of its batches, ascending.
    pub(crate) fn epochs(&self) -> Vec<EpochStart> {
        let tail = self.reader.tail();
        let mut epochs = self.reader.epochs();
        epochs.retain(|epoch| epoch.start < tail);
        epochs
    }

    /// What it would still have after the loss that its topic's configuration reckons with.
    pub(crate) fn safe_tail(&self) -> Offset {
        let public = self.public();
        if public.settings.flush == Flush::Os { public.marks.tail } else { public.marks.flushed }
    }

    /// Bytes of batches on disk.
    pub(crate) fn size(&self) -> ByteCount {
        ByteCount(self.held().log.as_ref().map_or(0, Log::size_bytes))
    }

    /// Follows a changed topic configuration.
    pub(crate) fn configure(&self, settings: Arc<TopicSettings>) {
        let mut held = self.held();
        if let Some(log) = &mut held.log {
            log.configure(settings.log.clone());
        }
        let insync_min = settings.insync_min;
        self.public_mut(|public| public.settings = settings);
        let outcome = held.core.set_min_insync(self.boot(), insync_min as usize);
        self.settle(&mut held, outcome);
        // A topic that is no longer flushed before the ack shows at once what is there; the other way round it waits.
        self.advance(&mut held);
        self.publish(&mut held);
    }

    /// The producers its log remembers, by id; none once it is closed.
    pub(crate) fn active_producers(&self) -> Vec<ActiveProducer> {
        self.held().log.as_ref().map(Log::active_producers).unwrap_or_default()
    }

    /// Forgets producers that wrote nothing since `since`.
    pub(crate) fn expire_producers(&self, since: Timestamp) {
        if let Some(log) = &mut self.held().log {
            log.expire_producers(since);
        }
    }

    /// Tells the core how far this log is, and carries out what comes of it.
    fn advance(&self, held: &mut Held) {
        let Some(durable) = self.durable(held) else { return };
        let outcome = held.core.on_local(self.boot(), durable);
        self.settle(held, outcome);
    }

    /// What this broker may count as held: what is on disk, or all of it where the topic leaves that to the operating
    /// system. What a copy reports to another region is on disk, on every replica of it.
    fn durable(&self, held: &Held) -> Option<Offset> {
        let log = held.log.as_ref()?;
        let is_owned = match &held.standing {
            Standing::Owner { .. } => true,
            Standing::Replica { leader } => matches!(leader.role, Role::Owner { .. }),
            Standing::Idle | Standing::Copy { .. } => false,
        };
        Some(if is_owned && self.public().settings.flush == Flush::Os { log.tail() } else { log.flushed() })
    }

    /// Wakes whose acks are settled, and has the in-sync set looked at if it may change.
    fn settle(&self, held: &mut Held, outcome: Outcome) {
        held.waiting.settle(outcome.acks);
        if outcome.may_join {
            self.storage.isr_news.mark(self.place());
        }
    }

    fn boot(&self) -> Duration {
        self.storage.clock.boot().since_boot()
    }

    /// Shows the state of the log to others, and wakes those who waited for it.
    fn publish(&self, held: &mut Held) {
        let durable = self.durable(held).unwrap_or_default();
        let Some(log) = &mut held.log else {
            self.public_mut(|public| public.standing = held.standing.clone());
            return self.bell.ring(self.place());
        };
        let (start, tail) = (log.start(), log.tail());
        // Offsets that were cut off a copy are never given out again: what readers saw of them ends with the log.
        let high_watermark = held.core.high_watermark().min(durable).max(start);
        let marks = Marks {
            start,
            tail,
            flushed: log.flushed(),
            durable,
            copy_watermark: held.core.copy_watermark(),
            high_watermark,
            last_stable: log.last_stable(high_watermark).max(start),
        };
        log.forget_stable(high_watermark);
        let latest_epoch = log.latest_epoch();
        self.note_epoch(&held.standing, latest_epoch);
        let mut before = Marks::default();
        self.public_mut(|public| before = std::mem::replace(&mut public.marks, marks));
        if marks.is_news_after(&before) {
            self.bell.ring(self.place());
        }
    }

    /// A log that is not owned has its epochs from elsewhere, and nothing else tells of them.
    fn note_epoch(&self, standing: &Standing, latest: LeaderEpoch) {
        if self.public().latest_epoch == latest {
            return;
        }
        self.public_mut(|public| public.latest_epoch = latest);
        if !matches!(standing, Standing::Owner { .. }) {
            self.storage.epoch_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes what this broker is to the partition.
    fn stand(&self, held: &mut Held, standing: Standing) {
        if !matches!(standing, Standing::Owner { .. }) {
            self.links().clear();
        }
        held.standing = standing.clone();
        self.public_mut(|public| public.standing = standing);
        self.bell.ring(self.place());
    }

    /// Nothing is written any more: nobody who waits for it gets an acknowledgement.
    fn fail(&self, held: &mut Held, error: &dyn std::error::Error) {
        let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        self.stop_writes(held, format!("{error}{source}").into());
        self.note_disk();
    }

    /// Has the directory looked at if the disk did not do what it should, when somebody read or wrote the log.
    pub(crate) fn note_disk(&self) {
        self.reader.disk_failure().inspect(|reason| self.dir.fail(reason));
    }

    /// Takes no more writes, for the directory of the log failed.
    pub(crate) fn go_offline(&self, reason: Arc<str>) {
        let mut held = self.held();
        if self.public().failed.is_none() {
            self.stop_writes(&mut held, reason);
        }
    }

    fn stop_writes(&self, held: &mut Held, reason: Arc<str>) {
        if self.public().failed.is_none() {
            tracing::error!(partition = %self.name, %reason, "log takes no more writes; restart the broker to recover it");
        }
        self.public_mut(|public| public.failed.get_or_insert(reason).len());
        self.storage.failures.notify_one();
        let outcome = held.core.on_storage_failure();
        self.settle(held, outcome);
        self.bell.ring(self.place());
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn public(&self) -> RwLockReadGuard<'_, Public> {
        self.public.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn public_mut<T>(&self, change: impl FnOnce(&mut Public) -> T) -> T {
        change(&mut self.public.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Partition {{ {} {:?} }}", self.name, self.marks())
    }
}

fn report(name: &TopicPartition, recovery: &Recovery) {
    match &recovery.cut {
        Some(cut) => tracing::warn!(partition = %name, tail = %cut.tail, bytes = cut.bytes, reason = cut.reason,
            sound_behind = cut.sound_behind, "recovery cut off the end of the log, which was never acknowledged"),
        None if !recovery.clean => {
            tracing::info!(partition = %name, scanned_bytes = recovery.scanned_bytes, "log was recovered");
        }
        None => {}
    }
}
