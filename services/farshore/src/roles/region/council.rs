//! The council as the broker sees it: whoever decides about topics.

use broker::{ConfigChange, Council, CouncilError, NewTopic};
use catalog::command::{DeleteTopic, NewTopic as Wanted};
use catalog::{Refusal, RefusalKind};
use control_plane::council::CouncilError as Undecided;
use control_plane::topics;
use env::PortFuture;
use model::{TopicId, TopicName, TopicSpec, TopicState};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::SetOnce;
use tokio::time::timeout;

/// How long a change waits for the council node of a process that is just starting.
const START_MAX: Duration = Duration::from_secs(2);

/// Topics of the council; a broker that is started before its council node has none to give yet.
#[derive(Default)]
pub(super) struct Topics(SetOnce<topics::Topics>);

impl Topics {
    /// The council node is there from now on.
    pub(super) fn serve(&self, topics: topics::Topics) {
        // A process has one council node.
        let _ = self.0.set(topics);
    }

    async fn topics(&self) -> Result<&topics::Topics, CouncilError> {
        let there = timeout(START_MAX, self.0.wait()).await;
        there.map_err(|_| CouncilError::Unavailable("the region is starting".to_owned()))
    }

    async fn name(&self, id: TopicId) -> Result<TopicName, CouncilError> {
        let name = self.topics().await?.name(id);
        name.ok_or_else(|| CouncilError::Unknown(id.to_string()))
    }
}

impl Council for Topics {
    fn create_topic(&self, topic: NewTopic, validate_only: bool) -> PortFuture<'_, Result<TopicSpec, CouncilError>> {
        Box::pin(async move {
            let topics = self.topics().await?;
            let wanted = Wanted {
                id: TopicId(uuid::Uuid::new_v4()),
                name: topic.name.clone(),
                partitions: topic.partitions,
                config: topic.config,
                state: TopicState::Live,
                epochs_above: None,
            };
            if validate_only {
                return topics.would_create(&wanted).map_err(|refusal| refused(refusal, &topic.name));
            }
            let outcomes = topics.create(vec![wanted]).await.map_err(|error| undecided(error, &topic.name))?;
            let outcome = outcomes.into_iter().next();
            let outcome = outcome.ok_or_else(|| CouncilError::Unavailable("it answered nothing".to_owned()))?;
            outcome.map_err(|refusal| refused(refusal, &topic.name))
        })
    }

    fn delete_topic(&self, topic: TopicId) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(async move {
            let name = self.name(topic).await?;
            let delete = DeleteTopic { name: name.clone(), expected: Some(topic) };
            let outcomes = self.topics().await?.delete(vec![delete]).await.map_err(|error| undecided(error, &name))?;
            match outcomes.into_iter().next() {
                Some(Err(refusal)) => Err(refused(refusal, &name)),
                _ => Ok(()),
            }
        })
    }

    fn add_partitions(
        &self,
        topic: TopicId,
        total: i32,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(async move {
            let name = self.name(topic).await?;
            if validate_only {
                return Ok(());
            }
            let grown = self.topics().await?.grow(name.clone(), total).await;
            grown.map(drop).map_err(|error| undecided(error, &name))
        })
    }

    fn alter_config(
        &self,
        topic: TopicId,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(async move {
            let name = self.name(topic).await?;
            if validate_only {
                return Ok(());
            }
            let (mut set, mut remove) = (BTreeMap::new(), BTreeSet::new());
            for (entry, value) in changes {
                match value {
                    Some(value) => drop(set.insert(entry, value)),
                    None => drop(remove.insert(entry)),
                }
            }
            let configured = self.topics().await?.configure(name.clone(), false, set, remove).await;
            configured.map(drop).map_err(|error| undecided(error, &name))
        })
    }
}

fn undecided(error: Undecided, topic: &TopicName) -> CouncilError {
    match error {
        Undecided::Refused(refusal) => refused(refusal, topic),
        Undecided::NotDone(reason) | Undecided::Unknown(reason) => CouncilError::Unavailable(reason),
    }
}

fn refused(refusal: Refusal, topic: &TopicName) -> CouncilError {
    match (&refusal, refusal.kind()) {
        (Refusal::TopicExists { .. }, _) => CouncilError::Exists(topic.clone()),
        (_, RefusalKind::NotFound) => CouncilError::Unknown(topic.to_string()),
        (_, RefusalKind::Invalid | RefusalKind::Limit) => CouncilError::Invalid(refusal.to_string()),
        (_, RefusalKind::Busy) => CouncilError::Unavailable(refusal.to_string()),
        (_, RefusalKind::Conflict | RefusalKind::Stale) => CouncilError::Refused(refusal.to_string()),
    }
}
