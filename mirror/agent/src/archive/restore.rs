//! A restore: the logs of a backup, byte for byte, into new topics.

mod partition;

use super::contents::Contents;
use super::failure::ArchiveFailure;
use super::patience::patiently;
use super::pool::{self, Tracker};
use super::ports::RestoreTarget;
use super::{Archive, ProgressListener};
use env::PortFuture;
use mirror_core::archive::{
    BackupId, ObjectFact, ObjectHash, PartitionManifest, RestoreFacts, RestorePlan, Selection, WorkItem, WorkQueue,
    preflight,
};
use mirror_core::cursor::GroupCommit;
use model::{Commit, OffsetRange, PartitionId, TopicId, TopicName};
use partition::PartitionRestore;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One topic to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredTopic {
    /// Its name in the backup.
    pub archived: TopicName,
    /// The name it gets.
    pub name: TopicName,
    /// The topic it becomes: a new one, in state `Restoring`.
    pub id: TopicId,
}

/// What a restore shall write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The backup.
    pub backup: BackupId,
    /// The topics to restore.
    pub topics: Vec<RestoredTopic>,
    /// Whether the consumer groups' commits for these topics are restored, too.
    pub with_offsets: bool,
    /// How many partitions are written at a time.
    pub parallel: usize,
}

/// A restore that is complete: every log was read back and has the hash the backup declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReceipt {
    /// What was written, in the order of topics and partitions.
    pub partitions: Vec<RestoredLog>,
    /// How many partitions were being written at one moment, at most.
    pub at_once: u64,
    /// How many commits of consumer groups were restored.
    pub commits: u64,
}

/// One restored partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredLog {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Its offsets.
    pub range: OffsetRange,
    /// Data records.
    pub records: u64,
    /// Bytes of batches.
    pub bytes: u64,
    /// The hash the backup declares, which is the hash of what was read back.
    pub content_hash: ObjectHash,
    /// Offsets that are in no backup: the source dropped them before they were read.
    pub missing: Vec<OffsetRange>,
}

impl Archive {
    /// Writes topics of a backup to `target`. A restore that was broken off goes on where its logs end.
    ///
    /// # Errors
    /// [`ArchiveFailure`] names the object or partition; the topics are not fit for use then.
    pub fn restore<'a>(
        &'a self,
        target: Arc<dyn RestoreTarget>,
        request: RestoreRequest,
        listener: ProgressListener<'a>,
    ) -> PortFuture<'a, Result<RestoreReceipt, ArchiveFailure>> {
        Box::pin(async move {
            let contents = self.contents(&request.backup).await?;
            let plan = RestorePlan::new(&contents.manifest, &contents.partitions, &selection(&request.topics))?;
            self.check_objects(&plan).await?;
            let (mut partitions, at_once) =
                self.write_partitions(&target, &request, &contents.partitions, &plan, listener).await?;
            partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
            let commits =
                if request.with_offsets { self.restore_commits(&*target, &request, &contents).await? } else { 0 };
            Ok(RestoreReceipt { partitions, at_once, commits })
        })
    }

    /// Looks at the store before anything is written: nothing may be missing or cut off.
    async fn check_objects(&self, plan: &RestorePlan) -> Result<(), ArchiveFailure> {
        let objects = plan.items.iter().flat_map(|item| &item.objects);
        let folders: BTreeSet<&str> = objects.filter_map(|found| Some(found.object.key.rsplit_once('/')?.0)).collect();
        let mut facts = RestoreFacts::default();
        for folder in folders {
            let listed = self.objects.list(&format!("{folder}/")).await?;
            let fact = |size| ObjectFact { bytes: size, hash: None };
            facts.objects.extend(listed.into_iter().map(|object| (object.key, fact(object.size))));
        }
        let problems = preflight(plan, &facts);
        if problems.is_empty() { Ok(()) } else { Err(ArchiveFailure::Preflight(problems)) }
    }

    async fn write_partitions(
        &self,
        target: &Arc<dyn RestoreTarget>,
        request: &RestoreRequest,
        manifests: &BTreeMap<String, PartitionManifest>,
        plan: &RestorePlan,
        listener: ProgressListener<'_>,
    ) -> Result<(Vec<RestoredLog>, u64), ArchiveFailure> {
        let mut queue = WorkQueue::new(plan);
        let tracker = Tracker::new(plan.items.len(), queue.bytes().1);
        let ids: BTreeMap<_, _> = request.topics.iter().map(|topic| (&topic.archived, topic.id)).collect();
        let work = |item: WorkItem| {
            let (target, objects, tracker) = (target.clone(), self.objects.clone(), tracker.clone());
            let (key, manifest) = ((ids[&item.topic], item.partition), manifests[&item.manifest].clone());
            PartitionRestore { target, objects, tracker, key, topic: item.target, name: item.manifest }.run(manifest)
        };
        let partitions = pool::run(request.parallel, &tracker, listener, || queue.take(), work).await?;
        Ok((partitions, tracker.at_once()))
    }

    async fn restore_commits(
        &self,
        target: &dyn RestoreTarget,
        request: &RestoreRequest,
        contents: &Contents,
    ) -> Result<u64, ArchiveFailure> {
        let archived = self.commits(&contents.manifest).await?.into_iter();
        let restored = archived.filter_map(|commit| renamed(commit, &request.topics, contents));
        let commits: Vec<_> = restored.map(Commit::from).collect();
        let count = commits.len() as u64;
        patiently(|| target.apply_commits(&contents.manifest.group, commits.clone())).await?;
        Ok(count)
    }
}

fn selection(topics: &[RestoredTopic]) -> Selection {
    let renamed = topics.iter().filter(|topic| topic.name != topic.archived);
    Selection {
        topics: Some(topics.iter().map(|topic| topic.archived.clone()).collect()),
        rename: renamed.map(|topic| (topic.archived.clone(), topic.name.clone())).collect(),
    }
}

/// The commit for the topic that its own becomes; `None` when that is not restored.
fn renamed(commit: GroupCommit, topics: &[RestoredTopic], contents: &Contents) -> Option<GroupCommit> {
    let topic = topics.iter().find(|topic| topic.archived == commit.topic)?;
    // A commit for an older topic of that name is no commit for this one; some are known by their names alone.
    let is_of_topic = [TopicId::ZERO, contents.topic_id(&commit.topic)?].contains(&commit.topic_id);
    is_of_topic.then(|| GroupCommit { topic: topic.name.clone(), topic_id: topic.id, ..commit })
}
