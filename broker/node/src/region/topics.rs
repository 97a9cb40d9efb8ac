//! The council as a broker sees it that does not speak to it itself: through the desk.

use super::{Ask, Told, TopicAsk};
use crate::broker::Inner;
use crate::launch::StartError;
use crate::{Broker, Config, ConfigChange, Council, CouncilError, NewTopic, Ports};
use env::{Clock, Entropy, PortFuture};
use model::{TopicId, TopicSpec, limits};
use std::sync::{Arc, OnceLock, Weak};

impl Broker {
    /// Starts a broker of a region whose desk, `config.desk`, speaks to the council for all of its brokers.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start_member(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        let council = Arc::new(DeskCouncil::default());
        let broker = Self::start(config, Ports { clock, entropy, council: council.clone() }).await?;
        let _ = council.0.set(Arc::downgrade(&broker.0));
        Ok(broker)
    }

    /// Has the council do what a client of another broker asked for.
    pub(super) async fn ask_council(&self, ask: TopicAsk) -> Result<Option<TopicSpec>, CouncilError> {
        let council = &self.0.council;
        match ask {
            TopicAsk::Create { topic, validate_only } => council.create_topic(topic, validate_only).await.map(Some),
            TopicAsk::Delete(topic) => council.delete_topic(topic).await.map(|()| None),
            TopicAsk::Grow { topic, total, validate_only } => {
                council.add_partitions(topic, total, validate_only).await.map(|()| None)
            }
            TopicAsk::Configure { topic, changes, validate_only } => {
                council.alter_config(topic, changes, validate_only).await.map(|()| None)
            }
        }
    }
}

/// Passes everything on to the desk.
#[derive(Default)]
struct DeskCouncil(OnceLock<Weak<Inner>>);

fn unavailable(reason: &str) -> CouncilError {
    CouncilError::Unavailable(reason.to_owned())
}

impl DeskCouncil {
    async fn pass_on(&self, ask: TopicAsk) -> Result<Option<TopicSpec>, CouncilError> {
        let broker = self.0.get().and_then(Weak::upgrade).map(Broker);
        let broker = broker.ok_or_else(|| unavailable("the broker is starting or stopping"))?;
        let desk = broker.config().desk.ok_or_else(|| unavailable("the region has no desk"))?;
        match broker.ask_broker(desk, Ask::Topic(ask), limits::REQUEST_WAIT_MAX).await {
            Some(Told::Topic(answer)) => answer,
            Some(Told::Failed(reason)) => Err(CouncilError::Unavailable(reason)),
            _ => Err(unavailable("the region's desk does not answer")),
        }
    }

    async fn change(&self, ask: TopicAsk) -> Result<(), CouncilError> {
        self.pass_on(ask).await.map(drop)
    }
}

impl Council for DeskCouncil {
    fn create_topic(&self, topic: NewTopic, validate_only: bool) -> PortFuture<'_, Result<TopicSpec, CouncilError>> {
        Box::pin(async move {
            let made = self.pass_on(TopicAsk::Create { topic, validate_only }).await?;
            made.ok_or_else(|| unavailable("the region's desk named no topic"))
        })
    }

    fn delete_topic(&self, topic: TopicId) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(self.change(TopicAsk::Delete(topic)))
    }

    fn add_partitions(
        &self,
        topic: TopicId,
        total: i32,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(self.change(TopicAsk::Grow { topic, total, validate_only }))
    }

    fn alter_config(
        &self,
        topic: TopicId,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(self.change(TopicAsk::Configure { topic, changes, validate_only }))
    }
}
