//! What a broker needs from outside its region's data plane. Implemented where the platform is put together.

use env::{Clock, Entropy, PortFuture};
use model::{LinkPartitionStatus, ProtectionGroup, RegionName, TopicId, TopicName, TopicSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a broker is handed when it starts.
#[derive(Clone)]
pub struct Ports {
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// Its random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// Who decides about topics.
    pub council: Arc<dyn Council>,
}

/// A topic that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions it is to have.
    pub partitions: i32,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

/// One change of a topic's configuration; `None` takes the entry away.
pub type ConfigChange = (String, Option<String>);

/// Why the council did not change what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouncilError {
    /// A topic of that name is there, or was deleted and its name is kept for a restore.
    #[error("topic {0} exists already")]
    Exists(TopicName),
    /// There is no such topic.
    #[error("there is no topic {0}")]
    Unknown(String),
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// No protection group covers the topic, or its owner may not be asked now.
    #[error("{0}")]
    Refused(String),
    /// The council has no quorum, or did not answer in time; whether it happened is unknown. Ask again.
    #[error("the council did not answer: {0}")]
    Unavailable(String),
}

/// Topics are entries of the council first and real in their regions then. Every method returns once the owner region
/// has made the change real.
pub trait Council: Send + Sync + 'static {
    /// Makes a topic; with `validate_only` says whether it could.
    fn create_topic(&self, topic: NewTopic, validate_only: bool) -> PortFuture<'_, Result<TopicSpec, CouncilError>>;

    /// Deletes a topic.
    fn delete_topic(&self, topic: TopicId) -> PortFuture<'_, Result<(), CouncilError>>;

    /// Makes a topic have `total` partitions.
    fn add_partitions(
        &self,
        topic: TopicId,
        total: i32,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>>;

    /// Changes entries of a topic's configuration.
    fn alter_config(
        &self,
        topic: TopicId,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>>;
}

/// The links that fill this region's copies.
pub trait Links: Send + Sync + 'static {
    /// Fetches what the reachable copies of `group` in the regions `from` hold and this region lacks; returns when it
    /// is durable here. A region that is not reached is left out.
    fn collect<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        from: &'a [RegionName],
    ) -> PortFuture<'a, Result<(), CollectError>>;

    /// How far the copies are behind their sources that this broker leads.
    fn status(&self) -> Vec<LinkPartitionStatus>;
}

/// Why nothing was collected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("copies could not be collected: {0}")]
pub struct CollectError(pub String);

/// A council that has no topics to give: a broker on its own takes them from whoever started it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCouncil;

impl NoCouncil {
    fn refused<T>() -> PortFuture<'static, Result<T, CouncilError>> {
        Box::pin(async {
            Err(CouncilError::Refused("this broker has no council; topics are given at its start".into()))
        })
    }
}

impl Council for NoCouncil {
    fn create_topic(&self, _: NewTopic, _: bool) -> PortFuture<'_, Result<TopicSpec, CouncilError>> {
        Self::refused()
    }

    fn delete_topic(&self, _: TopicId) -> PortFuture<'_, Result<(), CouncilError>> {
        Self::refused()
    }

    fn add_partitions(&self, _: TopicId, _: i32, _: bool) -> PortFuture<'_, Result<(), CouncilError>> {
        Self::refused()
    }

    fn alter_config(&self, _: TopicId, _: Vec<ConfigChange>, _: bool) -> PortFuture<'_, Result<(), CouncilError>> {
        Self::refused()
    }
}
