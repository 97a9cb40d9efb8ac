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
//! What such a link cannot do is said, not pretended ([`capabilities`]): the copy has offsets of its own, and no
//! acknowledgement of the source waits for it.

mod groups;
mod journal;
mod keeper;
mod partition;
mod reader;
mod routes;
mod table;
mod topics;
mod watching;

use groups::GroupSync;
pub use groups::Round;
use keeper::{Accounts, Keeper};
pub use keeper::{Keeping, Kept};
use mirror_core::attached::Copy;
use mirror_core::attached::carry::Tally;
use mirror_core::attached::routes::Ring;
use model::Offset;
use partition::PartitionCopy;
use routes::Routes;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
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

/// What a link between such clusters can do, and what it cannot: name, whether, and what that means.
pub const fn capabilities(source_read_only: bool) -> [(&'static str, bool, &'static str); 6] {
    let map = match source_read_only {
        false => "kept in both clusters, in runs; lost on one side, it is restored from the other",
        true => "kept in the target alone: the source is left read-only",
    };
    [
        ("records once, in order", true, "also after lost answers and restarts, by an idempotent producer of the link"),
        ("group offsets", true, "translated exactly, never past the true one; idle groups included"),
        ("offset map on both sides", !source_read_only, map),
        ("offset identity", false, "the target assigns its own offsets; the link's map translates"),
        ("sync mode", false, "no acknowledgement of the source waits for the target"),
        ("fencing", false, "the source is not told to stop; use ACLs or the gateway"),
    ]
}

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
    /// Whether nothing is written to the source, not even the link's own map.
    pub source_read_only: bool,
    /// How long the commit of a group stays in the target when the source has it no more.
    pub group_grace: Duration,
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
    Round(&'a Report),
}

/// How a link stands.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How far each partition is.
    pub partitions: Vec<PartitionStatus>,
    /// What came of the last look at all groups.
    pub round: Round,
    /// Where the map of offsets is kept.
    pub keeping: Keeping,
    /// Topics that would go round for ever.
    pub left_out: Vec<Ring>,
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
    /// What the clusters tell of partitions that are not copied yet.
    accounts: Accounts,
    keeping: Arc<watch::Sender<Keeping>>,
    /// Known when both clusters were reached.
    routes: Option<Routes>,
}

impl Link {
    /// A link; nothing is asked yet.
    ///
    /// # Errors
    /// When its directory cannot be used.
    pub fn open(settings: Settings) -> Result<Self, AttachedError> {
        let source = Arc::new(settings.source.cluster());
        let target = Arc::new(settings.target.cluster());
        let groups = GroupSync::open(&settings, source.clone(), target.clone())?;
        let room = Arc::new(Semaphore::new(FETCHES_AHEAD_MAX));
        Ok(Self {
            settings,
            source,
            target,
            views: Views::new(),
            tasks: JoinSet::new(),
            room,
            groups,
            accounts: Accounts::new(),
            keeping: Arc::default(),
            routes: None,
        })
    }

    /// Copies for ever, or until all ends are reached if that was asked for. `tell` hears of every round, and soon of
    /// everything that has to be tried again.
    ///
    /// # Errors
    /// What stops all of it: clusters that cannot be reached at the start; or, at the end, that a partition has failed.
    pub async fn run(mut self, mut tell: impl FnMut(News<'_>)) -> Result<(), AttachedError> {
        let watch = Watch::over(&self.source, &self.target);
        let keeper = watch.while_(self.start(), &mut tell).await?;
        let (views, followed) = watch::channel(self.views.clone());
        let keeper = tokio::spawn(keeper.run(followed, self.keeping.clone()));
        let mut found_at = Instant::now();
        loop {
            let was_at_end = self.is_at_end();
            let round = match watch.while_(self.groups.round(&self.views), &mut tell).await {
                Ok(round) => round,
                Err(error) if error.may_pass() => Round { failure: Some(error.to_string()), ..Round::default() },
                Err(error) => return Err(error),
            };
            if was_at_end && self.settings.exit_at_end && round.failure.is_none() {
                drop(views);
                let _ended = keeper.await;
                tell(News::Round(&self.report(round)));
                return self.failures();
            }
            tell(News::Round(&self.report(round)));
            sleep(if self.settings.exit_at_end { END_PAUSE } else { GROUPS_EVERY }).await;
            if found_at.elapsed() >= TOPICS_EVERY {
                watch.while_(self.look_again(), &mut tell).await?;
                views.send_replace(self.views.clone());
                found_at = Instant::now();
            }
        }
    }

    fn report(&self, round: Round) -> Report {
        let left_out = self.routes.iter().flat_map(Routes::left_out).cloned().collect();
        Report { partitions: self.status(), round, keeping: self.keeping.borrow().clone(), left_out }
    }

    async fn start(&mut self) -> Result<Keeper, AttachedError> {
        let [source, target] = topics::two_clusters(&self.source, &self.target).await?;
        let (of_source, of_target) = ((&self.settings.source, &*source), (&self.settings.target, &*target));
        let mut keeper = Keeper::new(of_source, of_target, self.settings.source_read_only);
        self.routes = Some(Routes::new(of_source, of_target, self.settings.source_read_only));
        self.accounts = keeper.accounts().await?;
        self.find_topics().await?;
        let commits = keeper::commits_topic(&source, &target);
        let is_ours = |topic: &str| self.routes.as_ref().is_some_and(|routes| routes.has(topic));
        self.groups.keep_in(&self.settings.target, &commits, is_ours).await?;
        Ok(keeper)
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
        let Some(routes) = &mut self.routes else { return Ok(()) };
        let found = topics::prepare(&self.source, &self.target, &self.settings.topics, routes).await?;
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
        let known = self.accounts.remove(&(topic.name.clone(), partition)).unwrap_or_default();
        let copy = PartitionCopy::new(topic, partition, &self.settings, &self.room, known, view);
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
