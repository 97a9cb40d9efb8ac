//! What has to be known before a restore begins, and its beginning.

use super::{CALL_TIMEOUT, JobState, WorkCall, WorkError, WorkReply, Works};
use crate::council::{Call, CouncilError, Reply};
use crate::ports::{ArchivedTopic, InspectError, RestoreRequest};
use catalog::command::{FinishRestore, NewTopic, RestoreOutcome, RestoredTopic, StartRestore};
use catalog::reader::{Backup, Page, WorkState};
use model::{ProtectionGroup, RegionName, RegionStatus, TopicId, TopicName, TopicState};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long reading a backup's manifests may take.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the owner may take to make the new topics real.
const REALISED_TIMEOUT: Duration = Duration::from_secs(30);
const REALISED_POLL: Duration = Duration::from_millis(50);
/// How many partitions are written at a time unless somebody says otherwise.
const PARALLEL_DEFAULT: u32 = 4;
/// How many at most.
pub(crate) const PARALLEL_MAX: u32 = 64;

/// A restore somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreWish {
    /// Of this backup; `None` is the newest completed one of `group`.
    pub backup: Option<String>,
    /// The group whose newest backup is meant; `default` where nothing is named.
    pub group: Option<ProtectionGroup>,
    /// Which topics; empty is every topic of the backup that has no data now.
    pub topics: Vec<TopicWish>,
    /// Whether the consumer groups' offsets are restored too.
    pub with_offsets: bool,
    /// How many partitions are written at a time.
    pub parallel: Option<u32>,
}

/// A topic to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicWish {
    /// Its name in the backup.
    pub source: TopicName,
    /// Its name from now on; `None` is the same.
    pub target: Option<TopicName>,
}

/// What stands under a name now.
enum Standing {
    Free,
    /// A topic without data, which gives way.
    Empty(TopicId),
    HasData(WorkError),
}

impl Works {
    /// Begins a restore and says what it is called.
    ///
    /// # Errors
    /// [`WorkError::HasData`] names a topic of a target name that has data; the others say what is missing.
    pub async fn restore(&self, wish: RestoreWish, by: &str) -> Result<String, WorkError> {
        let linearizable = self.council.ensure_linearizable().await;
        linearizable.map_err(|error| CouncilError::NotDone(error.to_string()))?;
        let backup = self.completed_backup(&wish).await?;
        let owner = self.owner(&backup.group)?;
        let archived = self.inspect(&owner, &backup.id).await?;
        let topics = self.choose(&wish, &backup, &archived).await?;
        let restore = self.new_name("restore");
        let start = StartRestore { restore: restore.clone(), backup: backup.id.clone(), topics: topics.clone() };
        self.council.propose(by, start).await?;
        let request = RestoreRequest {
            restore: restore.clone(),
            backup: backup.id,
            topics: topics.into_iter().map(|topic| (topic.source, topic.topic.id)).collect(),
            with_offsets: wish.with_offsets,
            parallel: wish.parallel.unwrap_or(PARALLEL_DEFAULT).clamp(1, PARALLEL_MAX),
        };
        let (works, group) = (self.clone(), backup.group);
        tokio::spawn(async move { works.begin_restore(request, group).await });
        Ok(restore)
    }

    async fn completed_backup(&self, wish: &RestoreWish) -> Result<Backup, WorkError> {
        let complete = |backup: &Backup| backup.state == WorkState::Completed;
        let reader = self.council.reader();
        if let Some(name) = &wish.backup {
            let found = reader.backup(name).await?.filter(complete);
            return found.ok_or_else(|| WorkError::UnknownBackup(name.clone()));
        }
        let group = wish.group.clone().unwrap_or_else(|| ProtectionGroup::new("default").expect("it is a name"));
        let newest = reader.backups(Some(&group), Page::default()).await?.items.into_iter().find(complete);
        newest.ok_or_else(|| WorkError::UnknownBackup(format!("of protection group {group}")))
    }

    async fn inspect(&self, owner: &RegionName, backup: &str) -> Result<Vec<ArchivedTopic>, WorkError> {
        let failed = |what: String| WorkError::Region { region: owner.clone(), what };
        let call = Call::Work(WorkCall::Inspect(backup.to_owned()));
        match self.council.call_region(owner, &call, INSPECT_TIMEOUT).await {
            Ok(Reply::Work(WorkReply::Inspected(inspected))) => inspected.map_err(|error| match error {
                InspectError::NotNow(what) => failed(what),
                InspectError::Damaged(what) => WorkError::Damaged { backup: backup.to_owned(), what },
            }),
            Ok(other) => Err(failed(format!("it answered {other:?}"))),
            Err(error) => Err(failed(error.what)),
        }
    }

    /// The topics to be made, each under an id of its own.
    async fn choose(
        &self,
        wish: &RestoreWish,
        backup: &Backup,
        archived: &[ArchivedTopic],
    ) -> Result<Vec<RestoredTopic>, WorkError> {
        let mut chosen = vec![];
        for (topic, target) in wanted(wish, backup, archived)? {
            self.check_owner(&target, &backup.group)?;
            let replaces = match self.standing(&target).await? {
                Standing::Free => None,
                Standing::Empty(id) => Some(id),
                Standing::HasData(_) if wish.topics.is_empty() => continue,
                Standing::HasData(refusal) => return Err(refusal),
            };
            let topic =
                RestoredTopic { source: topic.topic.name.clone(), topic: self.new_topic(topic, target), replaces };
            chosen.push(topic);
        }
        if chosen.is_empty() { Err(WorkError::NothingToRestore(backup.id.clone())) } else { Ok(chosen) }
    }

    /// A restore is written by one region: the owner of its backup's group has to own every topic it makes.
    fn check_owner(&self, target: &TopicName, group: &ProtectionGroup) -> Result<(), WorkError> {
        let (view, owner) = (self.council.view(), self.owner(group)?);
        match view.group_of_topic(target) {
            Some(covering) if covering.grant.owner != owner => {
                let (name, holder) = (&covering.grant.group, &covering.grant.owner);
                let what = format!("topic {target} would belong to {name}, which {holder} owns; choose another name");
                Err(WorkError::Region { region: owner, what })
            }
            _ => Ok(()),
        }
    }

    fn new_topic(&self, archived: &ArchivedTopic, name: TopicName) -> NewTopic {
        NewTopic {
            id: TopicId(Uuid::from_u128(self.ports.entropy.next_u128())),
            name,
            partitions: archived.topic.partitions,
            config: archived.topic.config.clone(),
            state: TopicState::Restoring,
            epochs_above: Some(archived.last_epoch),
        }
    }

    async fn standing(&self, name: &TopicName) -> Result<Standing, WorkError> {
        let view = self.council.view();
        let Some(topic) = view.topics.named(name.as_str()) else { return Ok(Standing::Free) };
        let owner = self.owner(&topic.group)?;
        let status = self.status(&owner).await?;
        let ours = status.partitions.iter().filter(|partition| partition.topic_id == topic.id);
        let full = ours.into_iter().find(|partition| partition.tail > partition.start);
        Ok(full.map_or(Standing::Empty(topic.id), |partition| {
            let records = (partition.tail.0 - partition.start.0) as u64;
            Standing::HasData(WorkError::HasData { topic: name.clone(), partition: partition.partition, records })
        }))
    }

    async fn status(&self, region: &RegionName) -> Result<RegionStatus, WorkError> {
        let failed = |what: String| WorkError::Region { region: region.clone(), what };
        match self.council.call_region(region, &Call::Status { with_hashes: false }, CALL_TIMEOUT).await {
            Ok(Reply::Status(status)) => Ok(*status),
            Ok(other) => Err(failed(format!("it answered {other:?}"))),
            Err(error) => Err(failed(error.what)),
        }
    }

    /// Hands the restore to the owner once the new topics are real there. What fails here ends the restore.
    async fn begin_restore(&self, request: RestoreRequest, group: ProtectionGroup) {
        let restore = request.restore.clone();
        if let Err(error) = self.hand_over(request, &group).await {
            let finish = FinishRestore { restore, outcome: RestoreOutcome::Failed { reason: error.to_string() } };
            if let Err(error) = self.council.propose(&crate::tenure::system_name(&self.council), finish).await {
                tracing::warn!(%error, "a restore that failed is left to the leader");
            }
        }
    }

    async fn hand_over(&self, request: RestoreRequest, group: &ProtectionGroup) -> Result<(), WorkError> {
        let owner = self.owner(group)?;
        self.wait_realised(&owner, &request).await?;
        match self.ask(&owner, WorkCall::Restore(request)).await {
            Ok(JobState::Failed(what)) => Err(WorkError::Region { region: owner, what }),
            Ok(_) => Ok(()),
            Err(error) => Err(WorkError::Region { region: owner, what: error.what }),
        }
    }

    async fn wait_realised(&self, owner: &RegionName, request: &RestoreRequest) -> Result<(), WorkError> {
        let deadline = Instant::now() + REALISED_TIMEOUT;
        loop {
            let status = self.status(owner).await;
            if let Ok(status) = &status
                && self.are_real(status, request)
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                status?;
                let what = format!("the topics of {} were not made within {REALISED_TIMEOUT:?}", request.restore);
                return Err(WorkError::Region { region: owner.clone(), what });
            }
            sleep(REALISED_POLL).await;
        }
    }

    fn are_real(&self, status: &RegionStatus, request: &RestoreRequest) -> bool {
        let view = self.council.view();
        request.topics.iter().all(|(_, id)| {
            let real = status.partitions.iter().filter(|partition| partition.topic_id == *id).count();
            view.topics.of_id(*id).is_some_and(|topic| real >= topic.partitions as usize)
        })
    }
}

/// The topics of the backup that are wanted, and their names from now on.
fn wanted<'a>(
    wish: &RestoreWish,
    backup: &Backup,
    archived: &'a [ArchivedTopic],
) -> Result<Vec<(&'a ArchivedTopic, TopicName)>, WorkError> {
    if wish.topics.is_empty() {
        let all = archived.iter().filter(|archived| !archived.topic.name.is_internal());
        return Ok(all.map(|archived| (archived, archived.topic.name.clone())).collect());
    }
    let mut targets = BTreeSet::new();
    let find = |wish: &TopicWish| {
        let found = archived.iter().find(|archived| archived.topic.name == wish.source);
        let held = || archived.iter().map(|archived| archived.topic.name.as_str()).collect::<Vec<_>>().join(", ");
        let missing = || WorkError::NotInBackup { backup: backup.id.clone(), topic: wish.source.clone(), held: held() };
        let target = wish.target.clone().unwrap_or_else(|| wish.source.clone());
        Ok((found.ok_or_else(missing)?, target))
    };
    let chosen: Vec<_> = wish.topics.iter().map(find).collect::<Result<_, WorkError>>()?;
    Ok(chosen.into_iter().filter(|(_, target)| targets.insert(target.clone())).collect())
}
