//! One copied partition: a task that follows whom it is told to, for as long as the topic exists.
//!
//! ```text
//!   paused --target--> opening --copy is there--> session --another target--> opening
//!                         ^                          |
//!                         +--- a pause --- copy gone, sealed, failed
//! ```
//!
//! Each session has a window of its own: what was heard of one source says nothing about another. A command that was
//! begun is finished before the next session, so that two never write to one copy.

mod asked;
mod proving;
mod session;
mod view;

use crate::ports::{CopyKey, Sink, SinkError};
use crate::way::Way;
use env::Clock;
use mirror_core::window::{LineageStart, LogState, Partition as Window, Settings};
use model::{ByteCount, CopyTerm, LinkPartitionStatus, Offset, OwnershipEpoch, ProtectionGroup, RegionName, TopicName};
use proving::Proving;
use session::{End, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use view::Board;

pub(crate) use proving::{Finding, Unproven};
pub(crate) use view::Collected;

/// How much of one partition may be on its way to the disk.
const UNFLUSHED_MAX: ByteCount = ByteCount::mib(32);
/// How long to wait before looking again for a copy that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The same for a seal that may be undone, and for a log that may be mended.
const SEALED_LOOK: Duration = Duration::from_millis(250);
const FAILED_LOOK: Duration = Duration::from_secs(1);

/// Whom a partition follows.
#[derive(Clone)]
pub(crate) struct Target {
    /// The group.
    pub(crate) group: ProtectionGroup,
    /// The region.
    pub(crate) source: RegionName,
    /// Whether it holds the grant, or is another copy of the same lineage.
    pub(crate) is_owner: bool,
    /// Under which grant.
    pub(crate) epoch: OwnershipEpoch,
    /// Where the grant's lineage departs from the one before, if it does.
    pub(crate) opening: Option<LineageStart>,
    /// Whether the source compacts the topic.
    pub(crate) is_compacted: bool,
    /// Whether the topic was made again under its name, and nothing of it is copied before a person says so.
    pub(crate) is_stopped: bool,
    /// The way there.
    pub(crate) way: Arc<Way>,
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        let facts = |target: &Self| {
            let is = (target.is_owner, target.is_compacted, target.is_stopped);
            (is, target.epoch, target.opening)
        };
        let is_same = facts(self) == facts(other) && self.group == other.group && self.source == other.source;
        is_same && Arc::ptr_eq(&self.way, &other.way)
    }
}

/// What a partition is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Which.
    pub(crate) key: CopyKey,
    /// The topic's name.
    pub(crate) topic: TopicName,
    /// The region it is copied to.
    pub(crate) region: RegionName,
}

/// A copied partition. Dropping it ends its task once that has finished what it does.
pub(crate) struct Follower {
    identity: Identity,
    clock: Arc<dyn Clock>,
    board: Board,
    proving: Proving,
    target: watch::Sender<Option<Target>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.target.send_replace(None);
    }
}

impl Follower {
    /// A partition that follows nobody yet.
    pub(crate) fn start(identity: Identity, sink: Arc<dyn Sink>, clock: Arc<dyn Clock>) -> Self {
        let board = Board::default();
        let (target, targets) = watch::channel(None);
        let copy = Copy { identity: identity.clone(), sink, clock: clock.clone(), board: board.clone() };
        tokio::spawn(Task { copy, targets, term: CopyTerm(0) }.run());
        Self { identity, clock, board, proving: Proving::default(), target }
    }

    /// Follows another region, or the same one under another grant, or nobody.
    pub(crate) fn retarget(&self, target: Option<Target>) {
        self.target.send_if_modified(|known| {
            let is_other = *known != target;
            if is_other {
                *known = target;
            }
            is_other
        });
    }

    /// Whether its task goes on: it ends early only when it finds its own rules broken.
    pub(crate) fn is_alive(&self) -> bool {
        !self.target.is_closed()
    }

    /// How far what `source` holds has been collected; `None` when it follows nobody.
    pub(crate) fn collected(&self, source: &RegionName) -> Option<Collected> {
        let follows = self.target.borrow().is_some();
        follows.then(|| self.board.view().collected(source))
    }

    /// How far it is; `None` when it follows nobody.
    pub(crate) fn status(&self) -> Option<LinkPartitionStatus> {
        let target = self.target.borrow().clone()?;
        let proof = self.proving.shown(&target.source);
        let status = self.board.view().status(&self.identity, target, self.clock.boot().since_boot());
        Some(LinkPartitionStatus { proof, ..status })
    }

    /// What is needed to compare it with its source; `None` while it follows no owner.
    pub(crate) fn unproven(&self) -> Option<Unproven> {
        let target = self.target.borrow().clone().filter(|target| target.is_owner && !target.is_stopped)?;
        let (key, board, proving) = (self.identity.key, self.board.clone(), self.proving.clone());
        Some(Unproven { key, target, board, proving, clock: self.clock.clone() })
    }
}

/// What sessions work with.
struct Copy {
    identity: Identity,
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    board: Board,
}

struct Task {
    copy: Copy,
    targets: watch::Receiver<Option<Target>>,
    /// No two windows of a copy have the same.
    term: CopyTerm,
}

impl Task {
    async fn run(mut self) {
        while let Some(target) = self.next_target().await {
            let Err(error) = self.follow(target).await else { continue };
            self.copy.board.close(&error);
            let rest = self.rest_after(&error);
            tokio::select! {
                () = sleep(rest) => {}
                _ = self.targets.changed() => {}
            }
        }
    }

    /// Whom to follow, once there is somebody; `None` at the end.
    async fn next_target(&mut self) -> Option<Target> {
        loop {
            if let Some(target) = self.targets.borrow_and_update().clone() {
                return Some(target);
            }
            self.targets.changed().await.ok()?;
        }
    }

    /// Follows `target` until there is another.
    async fn follow(&mut self, target: Target) -> Result<(), SinkError> {
        if target.is_stopped {
            self.copy.board.stop();
            let _ = self.targets.changed().await;
            return Ok(());
        }
        let (flushed, log) = self.open().await?;
        let window = Window::new(self.settings(&target), log);
        self.copy.board.open(target.source.clone(), window);
        match Session::new(&self.copy, target, flushed).run(&mut self.targets).await? {
            End::Retargeted => Ok(()),
            End::CopyGone => Err(SinkError::NotReady("it is gone, or was made anew".to_owned())),
        }
    }

    /// What the copy holds, and how it moves from there.
    async fn open(&self) -> Result<((watch::Receiver<Offset>, CopyTerm), LogState), SinkError> {
        let Copy { identity: Identity { key, .. }, sink, .. } = &self.copy;
        let term = sink.copy_term(*key)?;
        let flushed = sink.watch_flushed(*key)?;
        if sink.copy_term(*key)? != term {
            return Err(SinkError::NotReady("it is led anew".to_owned()));
        }
        Ok(((flushed, term), sink.log_state(*key).await?))
    }

    fn settings(&mut self, target: &Target) -> Settings {
        self.term = self.term.next();
        let (topic, partition) = self.copy.identity.key;
        Settings {
            topic,
            partition,
            compacted: target.is_compacted,
            window: self.window(),
            shares_runs: target.is_owner,
            unflushed_max: UNFLUSHED_MAX,
            openings: target.opening.into_iter().collect(),
            copy_term: self.term,
        }
    }

    /// A number that no window of this copy had before, whoever led it: the time, and a count within it. It need not grow.
    fn window(&self) -> u64 {
        let now = u64::try_from(self.copy.clock.now().0).unwrap_or_default();
        (now << 16) | (self.term.0 & 0xffff)
    }

    fn rest_after(&self, error: &SinkError) -> Duration {
        let Identity { key: (_, partition), topic, .. } = &self.copy.identity;
        match error {
            SinkError::NotReady(reason) => {
                tracing::debug!(%topic, %partition, reason, "the copy is opened again");
                LOOK_AGAIN
            }
            SinkError::Sealed => SEALED_LOOK,
            SinkError::Failed(reason) => {
                tracing::error!(%topic, %partition, reason, "the copy cannot be written");
                FAILED_LOOK
            }
        }
    }
}
