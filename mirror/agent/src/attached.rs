//! Copies between clusters that are reached through the Kafka protocol alone: Apache Kafka, Redpanda, MSK, or a region of
//! Farshore as any client sees it.
//!
//! ```text
//!   source cluster                                             target cluster
//!   leader of a  ----> partition task (attached::Copy) ----->  leader of a        one idempotent producer each
//!                        | journal, flushed before each send
//!                        v translate
//!   coordinators ----> groups task ----------------------->    coordinators
//! ```
//!
//! What such a link cannot do is said, not pretended ([`CAPABILITIES`]): the copy has offsets of its own, and no
//! acknowledgement of the source waits for it.

mod groups;
mod journal;
mod partition;
mod reader;
mod topics;
mod watching;

use groups::GroupSync;
pub use groups::Round;
use mirror_core::attached::Copy;
use mirror_core::attached::carry::Tally;
use model::Offset;
use partition::PartitionCopy;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
pub use watching::Obstacle;
use watching::Watch;
use wire::client::{ClientError, Cluster, Options, Security};

/// How many partitions one link copies: each has connections of its own.
pub const PARTITIONS_MAX: usize = 1000;
/// How many fetches of all partitions are under way, or in memory, ahead of those whose turn it is.
const FETCHES_AHEAD_MAX: usize = 16;
/// How often groups are looked at.
const GROUPS_EVERY: Duration = Duration::from_secs(1);
/// How often new topics and partitions are looked for.
const TOPICS_EVERY: Duration = Duration::from_secs(5);
/// How soon all of it is looked at again while the end is awaited.
const END_PAUSE: Duration = Duration::from_millis(100);

/// What a link between such clusters can do, and what it cannot.
pub const CAPABILITIES: [(&str, bool, &str); 5] = [
    ("records once, in order", true, "also after lost answers and restarts, by an idempotent producer of the link"),
    ("group offsets", true, "translated exactly, never past the true one; idle groups included"),
    ("offset identity", false, "the target assigns its own offsets; the link's map translates"),
    ("sync mode", false, "no acknowledgement of the source waits for the target"),
    ("fencing", false, "the source is not told to stop; use ACLs or the gateway"),
];

/// A cluster, and how it is reached.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where its brokers listen.
    pub bootstrap: String,
    /// How connections to it are protected, and as whom the link comes.
    pub security: Security,
}

impl Side {
    /// A client with connections of its own.
    fn cluster(&self) -> Cluster {
        let client_id = "farshore-link".to_owned();
        Cluster::new(&self.bootstrap, Options { client_id, security: self.security.clone(), ..Options::default() })
    }
}

/// Where a link reads and writes, and what it keeps.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The source cluster.
    pub source: Side,
    /// The target cluster.
    pub target: Side,
    /// Names of topics, or prefixes that end with `*`. Internal topics (`__...`) never match.
    pub topics: Vec<String>,
    /// Where journals and the groups' ledger lie; nobody else uses it.
    pub directory: PathBuf,
    /// Whether to end when the end of every partition is reached and groups are translated.
    pub exit_at_end: bool,
}

/// What a link has to tell.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A cluster does not answer, or refuses; it is asked again.
    Obstacles(&'a [Obstacle]),
    /// All groups were looked at once.
    Round(&'a [PartitionStatus], &'a Round),
}

/// Why a link, or one partition of it, does not go on.
#[derive(Debug, thiserror::Error)]
pub enum AttachedError {
    /// A cluster does not answer, or refuses.
    #[error("{side} cluster: {source}")]
    Cluster {
        /// `source` or `target`.
        side: &'static str,
        /// What it says.
        source: ClientError,
    },
    /// The disk.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It would not be safe, or is not possible.
    #[error("{0}")]
    Refused(String),
}

impl AttachedError {
    fn of_source(source: ClientError) -> Self {
        Self::Cluster { side: "source", source }
    }

    fn of_target(source: ClientError) -> Self {
        Self::Cluster { side: "target", source }
    }

    /// Whether it may go away by itself.
    fn may_pass(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => source.may_pass(),
            Self::Disk { .. } | Self::Refused(_) => false,
        }
    }
}

/// One partition as the link shows it.
#[derive(Debug, Default)]
struct View {
    copy: Option<Copy>,
    is_at_end: bool,
    source_tail: Offset,
    tally: Tally,
    failure: Option<String>,
}

type Shared = Arc<Mutex<View>>;
type Views = BTreeMap<(String, i32), Shared>;

fn look(view: &Shared) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far one partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The source offset below which everything is in the target or left out for good.
    pub position: Offset,
    /// The end of the source's committed records, as last seen.
    pub source_tail: Offset,
    /// The target offset behind the last copied record.
    pub target_tail: Offset,
    /// How many runs the map has.
    pub runs: usize,
    /// How many offsets the source had dropped before they were copied.
    pub gap_offsets: u64,
    /// What became of the batches since the start of the process.
    pub tally: Tally,
    /// Why it does not go on.
    pub failure: Option<String>,
}

/// A link.
pub struct Link {
    settings: Settings,
    source: Arc<Cluster>,
    target: Arc<Cluster>,
    views: Views,
    tasks: JoinSet<()>,
    room: Arc<Semaphore>,
    groups: GroupSync,
}

impl Link {
    /// A link; nothing is asked yet.
    ///
    /// # Errors
    /// When its directory cannot be used.
    pub fn open(settings: Settings) -> Result<Self, AttachedError> {
        let source = Arc::new(settings.source.cluster());
        let target = Arc::new(settings.target.cluster());
        let groups = GroupSync::open(&settings.directory, source.clone(), target.clone())?;
        let room = Arc::new(Semaphore::new(FETCHES_AHEAD_MAX));
        Ok(Self { settings, source, target, views: Views::new(), tasks: JoinSet::new(), room, groups })
    }

    /// Copies for ever, or until all ends are reached if that was asked for. `tell` hears of every round, and soon of
    /// everything that has to be tried again.
    ///
    /// # Errors
    /// What stops all of it: clusters that cannot be reached at the start; or, at the end, that a partition has failed.
    pub async fn run(mut self, mut tell: impl FnMut(News<'_>)) -> Result<(), AttachedError> {
        let watch = Watch::over(&self.source, &self.target);
        watch.while_(self.start(), &mut tell).await?;
        let mut found_at = Instant::now();
        loop {
            let was_at_end = self.is_at_end();
            let round = match watch.while_(self.groups.round(&self.views), &mut tell).await {
                Ok(round) => round,
                Err(error) if error.may_pass() => Round { failure: Some(error.to_string()), ..Round::default() },
                Err(error) => return Err(error),
            };
            tell(News::Round(&self.status(), &round));
            if was_at_end && self.settings.exit_at_end && round.failure.is_none() {
                return self.failures();
            }
            sleep(if self.settings.exit_at_end { END_PAUSE } else { GROUPS_EVERY }).await;
            if found_at.elapsed() >= TOPICS_EVERY {
                watch.while_(self.look_again(), &mut tell).await?;
                found_at = Instant::now();
            }
        }
    }

    async fn start(&mut self) -> Result<(), AttachedError> {
        topics::refuse_the_same_cluster(&self.source, &self.target).await?;
        self.find_topics().await
    }

    async fn look_again(&mut self) -> Result<(), AttachedError> {
        match self.find_topics().await {
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "topics cannot be looked at");
                Ok(())
            }
            result => result,
        }
    }

    /// Makes what is missing in the target, and begins to copy what is new.
    async fn find_topics(&mut self) -> Result<(), AttachedError> {
        let found = topics::prepare(&self.source, &self.target, &self.settings.topics).await?;
        for topic in found {
            for partition in 0..topic.partitions {
                let key = (topic.name.clone(), partition);
                match self.views.get(&key) {
                    Some(view) => topic.refuse_another(view),
                    None => self.begin(&topic, partition)?,
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, topic: &topics::Pair, partition: i32) -> Result<(), AttachedError> {
        if self.views.len() >= PARTITIONS_MAX {
            let told = format!(
                "more than {PARTITIONS_MAX} partitions; give them to several links, each with its own --data-dir"
            );
            return Err(AttachedError::Refused(told));
        }
        let view = Shared::default();
        self.views.insert((topic.name.clone(), partition), view.clone());
        let copy = PartitionCopy::new(topic, partition, &self.settings, &self.room, view);
        self.tasks.spawn(copy.run());
        Ok(())
    }

    fn is_at_end(&self) -> bool {
        let ended = |view: &Shared| {
            let view = look(view);
            view.is_at_end || view.failure.is_some()
        };
        self.views.values().all(ended)
    }

    fn failures(&self) -> Result<(), AttachedError> {
        let failed: Vec<_> = self.status().into_iter().filter_map(|status| status.failure).collect();
        if failed.is_empty() { Ok(()) } else { Err(AttachedError::Refused(failed.join("; "))) }
    }

    fn status(&self) -> Vec<PartitionStatus> {
        self.views.iter().map(|((topic, partition), view)| status(topic, *partition, &look(view))).collect()
    }
}

fn status(topic: &str, partition: i32, view: &View) -> PartitionStatus {
    let copy = view.copy.as_ref();
    PartitionStatus {
        topic: topic.to_owned(),
        partition,
        position: copy.map_or(Offset::ZERO, Copy::position),
        source_tail: view.source_tail,
        target_tail: copy.map_or(Offset::ZERO, |copy| copy.map().target_end()),
        runs: copy.map_or(0, |copy| copy.map().runs().len()),
        gap_offsets: copy.map_or(0, |copy| copy.gaps().iter().map(model::OffsetRange::len).sum()),
        tally: view.tally,
        failure: view.failure.clone(),
    }
}
