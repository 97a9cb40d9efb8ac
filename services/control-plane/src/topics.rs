//! Topics are the council's: created there first, acknowledged once their owner has made them real.

use crate::council::{Call, Council, CouncilError, Reply};
use catalog::command::{AddPartitions, AlterTopicConfig, CreateTopics, DeleteTopic, DeleteTopics, NewTopic};
use catalog::{Answer, Change, Refusal};
use model::{OwnershipEpoch, RegionName, RegionStatus, TopicId, TopicName, TopicSpec};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const REALISED_POLL: Duration = Duration::from_millis(20);
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the owner may take to make a topic real; the topic exists all the same if it takes longer.
const REALISED_TIMEOUT: Duration = Duration::from_secs(10);

/// Changes topics.
#[derive(Clone)]
pub struct Topics {
    council: Council,
    by: String,
}

impl Topics {
    /// Topics as `council` decides, at the wish of `by`.
    pub fn new(council: Council, by: impl Into<String>) -> Self {
        Self { council, by: by.into() }
    }

    /// Creates topics, each by itself, and waits until their owners have made them real.
    ///
    /// # Errors
    /// [`CouncilError`] when nothing is known of any of them.
    pub async fn create(&self, topics: Vec<NewTopic>) -> Result<Vec<Result<TopicSpec, Refusal>>, CouncilError> {
        let outcomes = self.decide_each(CreateTopics { topics }).await?;
        let created: Vec<&TopicSpec> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        self.wait_realised(&created, |status, spec| {
            let real = status.partitions.iter().filter(|partition| partition.topic_id == spec.id);
            real.filter(|partition| partition.writable).count() >= spec.partitions as usize
        })
        .await;
        Ok(outcomes)
    }

    /// The name of a topic that is there.
    pub fn name(&self, id: TopicId) -> Option<TopicName> {
        self.council.view().topics.of_id(id).map(|topic| topic.name.clone())
    }

    /// What a topic would be if it were created now.
    ///
    /// # Errors
    /// The refusal it would meet, as far as this node can tell.
    pub fn would_create(&self, topic: &NewTopic) -> Result<TopicSpec, Refusal> {
        let view = self.council.view();
        if let Some(known) = view.topics.named(topic.name.as_str()) {
            return Err(Refusal::TopicExists { topic: topic.name.clone(), id: known.id });
        }
        let uncovered = || Refusal::Uncovered { topic: topic.name.clone() };
        let group = view.group_of_topic(&topic.name).ok_or_else(uncovered)?.grant.group.clone();
        let NewTopic { id, name, partitions, config, state, epochs_above } = topic.clone();
        Ok(TopicSpec { id, name, partitions, config, group, state, epochs_above })
    }

    /// Deletes topics, each by itself, and waits until their owners have.
    ///
    /// # Errors
    /// [`CouncilError`] when nothing is known of any of them.
    pub async fn delete(&self, topics: Vec<DeleteTopic>) -> Result<Vec<Result<TopicSpec, Refusal>>, CouncilError> {
        let outcomes = self.decide_each(DeleteTopics { topics }).await?;
        let deleted: Vec<&TopicSpec> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        self.wait_realised(&deleted, |status, spec| {
            !status.partitions.iter().any(|partition| partition.topic_id == spec.id)
        })
        .await;
        Ok(outcomes)
    }

    /// Changes entries of a topic's configuration.
    ///
    /// # Errors
    /// [`CouncilError`] says whether anything happened.
    pub async fn configure(
        &self,
        topic: TopicName,
        replace: bool,
        set: BTreeMap<String, String>,
        remove: BTreeSet<String>,
    ) -> Result<TopicSpec, CouncilError> {
        let change = AlterTopicConfig { topic, expected: None, revision: None, replace, set, remove };
        self.decide_one(change).await
    }

    /// Gives a topic more partitions, and waits until its owner has made them real.
    ///
    /// # Errors
    /// [`CouncilError`] says whether anything happened.
    pub async fn grow(&self, topic: TopicName, partitions: i32) -> Result<TopicSpec, CouncilError> {
        let spec = self.decide_one(AddPartitions { topic, expected: None, partitions }).await?;
        self.wait_realised(&[&spec], |status, spec| {
            let real = status.partitions.iter().filter(|partition| partition.topic_id == spec.id);
            real.count() >= spec.partitions as usize
        })
        .await;
        Ok(spec)
    }

    async fn decide_each(&self, change: impl Into<Change>) -> Result<Vec<Result<TopicSpec, Refusal>>, CouncilError> {
        match self.council.propose(&self.by, change).await? {
            Answer::Topics { outcomes } => Ok(outcomes),
            other => Err(CouncilError::Unknown(format!("the council answered {other:?}"))),
        }
    }

    async fn decide_one(&self, change: impl Into<Change>) -> Result<TopicSpec, CouncilError> {
        match self.council.propose(&self.by, change).await? {
            Answer::Topic { topic, .. } => Ok(topic),
            other => Err(CouncilError::Unknown(format!("the council answered {other:?}"))),
        }
    }

    /// Waits until `is_real` holds for each topic in its owner region, as long as it takes but not for ever.
    async fn wait_realised(&self, topics: &[&TopicSpec], is_real: impl Fn(&RegionStatus, &TopicSpec) -> bool) {
        let deadline = Instant::now() + REALISED_TIMEOUT;
        let mut waiting = topics.to_vec();
        while !waiting.is_empty() && Instant::now() < deadline {
            let mut statuses: BTreeMap<RegionName, Option<RegionStatus>> = BTreeMap::new();
            for spec in &waiting {
                let Some((owner, _)) = self.owner(spec) else { continue };
                if let Entry::Vacant(place) = statuses.entry(owner) {
                    let status = self.status(place.key()).await;
                    place.insert(status);
                }
            }
            waiting.retain(|spec| {
                let owner = self.owner(spec).and_then(|(owner, _)| statuses.get(&owner)?.as_ref());
                !owner.is_some_and(|status| is_real(status, spec))
            });
            if !waiting.is_empty() {
                sleep(REALISED_POLL).await;
            }
        }
    }

    fn owner(&self, spec: &TopicSpec) -> Option<(RegionName, OwnershipEpoch)> {
        let view = self.council.view();
        let grant = &view.group(&spec.group)?.grant;
        Some((grant.owner.clone(), grant.ownership_epoch))
    }

    async fn status(&self, region: &RegionName) -> Option<RegionStatus> {
        match self.council.call_region(region, &Call::Status { with_hashes: false }, STATUS_TIMEOUT).await {
            Ok(Reply::Status(status)) => Some(*status),
            _ => None,
        }
    }
}
