//! The leader sees to everything that is started and not finished.

use super::{JobState, WorkCall, Works};
use crate::council::CouncilError;
use crate::ports::{BackupReceipt, BackupRequest, RestoreReceipt};
use crate::tenure::{system_name, while_leading};
use catalog::command::{
    BackupOutcome, BackupSummary, DrillKind, FinishBackup, FinishRestore, RestoreOutcome, RestoreSummary,
};
use catalog::reader::{Backup, Drill, Page, Restore, WorkState};
use catalog::{CatalogError, Change};
use model::{ByteCount, RegionName, TopicSpec, TopicState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the catalog is looked at for work that was started.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// How often a region is asked how its work goes.
const ASK_INTERVAL: Duration = Duration::from_millis(300);
/// How long a region may be silent until its work counts as failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a restore may be without a region that works on it.
const HANDOVER_MAX: Duration = Duration::from_secs(60);
/// How long to wait before the end of some work is proposed again.
const FINISH_PAUSE: Duration = Duration::from_millis(200);
/// How many diverged tails are published at a time.
const PUBLISHED_AT_A_TIME: usize = 4;

impl Works {
    /// Sees to all work whenever this node leads, for ever.
    pub async fn serve(self) {
        while_leading(&self.council, || self.keep()).await;
    }

    async fn keep(&self) {
        let mut tasks = Tasks::default();
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if let Err(error) = self.take_up(&mut tasks).await {
                        tracing::warn!(%error, "work that was started cannot be looked for");
                    }
                }
                Some(ended) = tasks.set.join_next_with_id() => tasks.forget(match ended {
                    Ok((id, ())) => id,
                    Err(died) => died.id(),
                }),
            }
        }
    }

    async fn take_up(&self, tasks: &mut Tasks) -> Result<(), CatalogError> {
        let reader = self.council.reader();
        let index = reader.applied_index();
        if tasks.looked_at == Some(index) {
            return Ok(());
        }
        for backup in reader.backups(None, Page::default()).await?.items {
            if backup.state == WorkState::Running {
                let works = self.clone();
                tasks.start(backup.id.clone(), async move { works.see_to_backup(backup).await });
            }
        }
        for restore in reader.restores(Page::default()).await?.items {
            if restore.state == WorkState::Running {
                let works = self.clone();
                tasks.start(restore.id.clone(), async move { works.see_to_restore(restore).await });
            }
        }
        for drill in reader.drills(Page::default()).await?.items.into_iter().filter(is_evaluating) {
            let works = self.clone();
            tasks.start(drill.id.clone(), async move { works.see_to_drill(drill).await });
        }
        for reinjection in reader.reinjections().await? {
            if reinjection.state == WorkState::Running {
                let works = self.clone();
                let name = format!("reinjection of {}", reinjection.tail);
                tasks.start(name, async move { works.see_to_reinjection(reinjection).await });
            }
        }
        for known in self.tails().await?.into_iter().filter(|known| known.due().is_some()) {
            let (works, turns, tail) = (self.clone(), tasks.publishing.clone(), known.recorded.id());
            tasks.start(format!("publication of {tail}"), async move { works.see_to_publication(tail, turns).await });
        }
        tasks.looked_at = Some(index);
        Ok(())
    }

    async fn see_to_backup(&self, backup: Backup) {
        let host = self.host(&backup.id).await;
        let outcome = match self.follow(&backup.id, host, Some(&backup)).await {
            JobState::BackedUp(receipt) => BackupOutcome::Completed(self.backup_summary(&backup, receipt)),
            JobState::Failed(reason) => BackupOutcome::Failed { reason },
            other => BackupOutcome::Failed { reason: format!("its region answered {other:?}") },
        };
        tracing::info!(backup = backup.id, ?outcome, "a backup has ended");
        self.finish(FinishBackup { backup: backup.id, outcome }).await;
    }

    async fn see_to_restore(&self, restore: Restore) {
        let deadline = Instant::now() + HANDOVER_MAX;
        let host = loop {
            match self.host(&restore.id).await {
                None if Instant::now() < deadline => sleep(ASK_INTERVAL).await,
                found => break found,
            }
        };
        let ended = match host {
            None => JobState::Failed("no region works on it: the one that did was restarted, or was never told".into()),
            host => self.follow(&restore.id, host, None).await,
        };
        let outcome = match ended {
            JobState::Restored(receipt) => RestoreOutcome::Completed(restore_summary(&receipt)),
            JobState::Failed(reason) => RestoreOutcome::Failed { reason },
            other => RestoreOutcome::Failed { reason: format!("its region answered {other:?}") },
        };
        tracing::info!(restore = restore.id, ?outcome, "a restore has ended");
        self.finish(FinishRestore { restore: restore.id, outcome }).await;
    }

    /// The region that works on it, or did.
    async fn host(&self, work: &str) -> Option<RegionName> {
        let view = self.council.view();
        for region in view.regions.iter().map(|region| &region.address.region) {
            match self.ask(region, WorkCall::State(work.to_owned())).await {
                Ok(JobState::Unknown) | Err(_) => {}
                Ok(_) => return Some(region.clone()),
            }
        }
        None
    }

    /// Waits until the work has ended in its region. Work without a region is a backup that the owner is told to begin.
    async fn follow(&self, work: &str, mut host: Option<RegionName>, backup: Option<&Backup>) -> JobState {
        let mut heard = Instant::now();
        loop {
            let asked = match (&host, backup) {
                (Some(region), _) => Some((region.clone(), WorkCall::State(work.to_owned()))),
                (None, backup) => backup.and_then(|backup| self.beginning(backup)),
            };
            let Some((region, call)) = asked else { return JobState::Failed("its group is gone".into()) };
            match self.ask(&region, call).await {
                Ok(JobState::Running(_)) => (host, heard) = (Some(region), Instant::now()),
                Ok(JobState::Unknown) => {
                    return JobState::Failed(format!("{region} was restarted while at work on it"));
                }
                Ok(ended) => return ended,
                Err(error) if heard.elapsed() > SILENCE_MAX => return JobState::Failed(format!("{region}: {error}")),
                Err(error) => tracing::debug!(work, %region, %error, "the region does not say how its work goes"),
            }
            sleep(ASK_INTERVAL).await;
        }
    }

    /// How the owner of the backup's group is told to begin it.
    fn beginning(&self, backup: &Backup) -> Option<(RegionName, WorkCall)> {
        let view = self.council.view();
        let owner = view.group(&backup.group)?.grant.owner.clone();
        let live = |topic: &&std::sync::Arc<TopicSpec>| {
            topic.group == backup.group && topic.state == TopicState::Live && !topic.name.is_internal()
        };
        let topics = view.topics.iter().filter(live).map(|topic| (**topic).clone()).collect();
        Some((
            owner,
            WorkCall::Backup(BackupRequest { backup: backup.id.clone(), group: backup.group.clone(), topics }),
        ))
    }

    fn backup_summary(&self, backup: &Backup, receipt: BackupReceipt) -> BackupSummary {
        let topics = self.beginning(backup).map_or(0, |(_, call)| match call {
            WorkCall::Backup(request) => request.topics.len() as u64,
            _ => 0,
        });
        BackupSummary {
            manifest: receipt.manifest,
            manifest_hash: receipt.manifest_sha256,
            // Everything acknowledged before it began is in it.
            cut_at: backup.started_at,
            topics,
            partitions: receipt.partitions,
            records: receipt.records,
            bytes: ByteCount(receipt.bytes),
        }
    }

    /// Has the council write down the end of some work, as often as it takes.
    pub(super) async fn finish(&self, change: impl Into<Change>) {
        let change = change.into();
        loop {
            match self.council.propose(&system_name(&self.council), change.clone()).await {
                Ok(_) => return,
                Err(CouncilError::Refused(refusal)) => {
                    tracing::warn!(%refusal, change = change.kind(), "the council refuses the end of some work");
                    return;
                }
                Err(error) => tracing::debug!(%error, "the end of some work is not stored yet"),
            }
            sleep(FINISH_PAUSE).await;
        }
    }
}

/// Drills of other kinds are their starter's to finish.
fn is_evaluating(drill: &Drill) -> bool {
    drill.kind == DrillKind::Evaluate && drill.ended_at.is_none()
}

fn restore_summary(receipt: &RestoreReceipt) -> RestoreSummary {
    RestoreSummary {
        partitions: receipt.partitions.len() as u64,
        at_once: receipt.at_once,
        records: receipt.partitions.iter().map(|partition| partition.records).sum(),
        bytes: ByteCount(receipt.partitions.iter().map(|partition| partition.bytes).sum()),
        offsets: receipt.commits,
    }
}

/// One task per piece of work; dropping it ends all of them.
struct Tasks {
    set: JoinSet<()>,
    running: BTreeMap<String, Id>,
    /// How much of the council's log was looked through for work, unless some has ended since.
    looked_at: Option<u64>,
    /// Who publishes holds one of these.
    publishing: Arc<Semaphore>,
}

impl Default for Tasks {
    fn default() -> Self {
        let publishing = Arc::new(Semaphore::new(PUBLISHED_AT_A_TIME));
        Self { set: JoinSet::new(), running: BTreeMap::new(), looked_at: None, publishing }
    }
}

impl Tasks {
    fn start(&mut self, work: String, task: impl Future<Output = ()> + Send + 'static) {
        if !self.running.contains_key(&work) {
            let id = self.set.spawn(task).id();
            self.running.insert(work, id);
        }
    }

    fn forget(&mut self, task: Id) {
        self.running.retain(|_, id| *id != task);
        self.looked_at = None;
    }
}
