//! This broker's sessions in its region, and the topics the region has of its own.

use super::worker::Worker;
use super::{CONFLICTS_TOPIC, ControlError, OFFSETS_PARTITIONS, OFFSETS_TOPIC};
use crate::controller::{ChangeError, Controller};
use crate::heart::Session;
use crate::producer_ids::{ProducerIdBlocks, Unavailable};
use crate::{Broker, Flush, Listeners};
use broker_core::metadata::{
    Addresses, Answer, Boot, BrokerEpoch, Command, Placement, RULES, Refusal, Start, TopicDraft,
};
use env::PortFuture;
use model::{BrokerSlot, ProducerId, TopicId, TopicName, TopicState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many replicas the partitions of the offsets topic have where there are as many brokers.
const OFFSETS_REPLICAS: usize = 3;
/// Their segments are small: what is in the last one is never compacted, and all of it is read at every start.
const OFFSETS_SEGMENT_BYTES: &str = "16777216";

impl Worker {
    /// Begins a session after the one that is `over`.
    pub(super) async fn begin_session(&mut self, over: BrokerEpoch) -> Result<(), ControlError> {
        match self.broker.0.heart.session() {
            Some(current) if current.epoch > over => Ok(()),
            _ => self.register().await,
        }
    }

    /// A broker that is its region registers when the council has said what the region is to be.
    pub(super) fn may_register(&self) -> bool {
        let image = self.controller.image();
        let is_ours = image.region().is_some_and(|region| region.name == self.broker.0.config.region);
        is_ours && self.broker.0.config.is_clustered()
    }

    /// Begins a session of this broker: what it led in an earlier one is over. It is let in once the metadata is real here.
    pub(super) async fn register(&mut self) -> Result<(), ControlError> {
        let Listeners { clients, gateways, internal } = self.listeners;
        let command = Command::RegisterBroker {
            slot: self.slot(),
            incarnation: self.controller.incarnation(),
            addresses: Addresses {
                clients: clients.to_string(),
                gateways: gateways.to_string(),
                internal: self.broker.0.config.internal_at.clone().unwrap_or_else(|| internal.to_string()),
            },
            location: self.broker.0.config.location.clone(),
            desk: self.broker.0.config.is_desk(),
            boot: self.broker.boot(),
        };
        let Answer::Registered { session: epoch } = self.controller.propose(&command).await? else { return Ok(()) };
        self.catch_up().await?;
        let blocks = Blocks { controller: self.controller.clone(), slot: self.slot() };
        self.broker.0.producer_ids.take_from(Arc::new(blocks));
        self.broker.0.heart.set(Session { epoch, ready: false });
        // Before it could be let in: it must not lead what it cannot read.
        if let Some(failures) = self.broker.failures(&self.controller.image(), epoch) {
            self.controller.propose(&failures).await?;
            self.catch_up().await?;
        }
        if !self.broker.0.config.is_clustered() {
            let reign = self.controller.reign(self.controller.leadership().borrow().term);
            self.controller.propose(&Command::Unfence { reign, broker: self.slot(), session: epoch }).await?;
            return Ok(());
        }
        self.make_real().await?;
        self.broker.0.heart.set(Session { epoch, ready: true });
        Ok(())
    }

    /// Makes the topics the region has of its own, once all brokers that are to hold them are alive; with `conflicts` the
    /// one for what is found in conflict.
    pub(super) async fn create_own_topics(&self, conflicts: bool) -> Result<(), ControlError> {
        self.create_own_topic(OFFSETS_TOPIC, OFFSETS_PARTITIONS).await?;
        if conflicts { self.create_own_topic(CONFLICTS_TOPIC, 1).await } else { Ok(()) }
    }

    async fn create_own_topic(&self, name: &str, partitions: i32) -> Result<(), ControlError> {
        let (image, wanted) = (self.controller.image(), self.broker.0.config.broker_count().min(OFFSETS_REPLICAS));
        if image.topic_named(name).is_some() {
            return Ok(());
        }
        let id = TopicId(uuid::Uuid::from_u128(self.broker.0.entropy.next_u128()));
        let placed = Placement::of(&image, id, OFFSETS_REPLICAS, |known| !known.is_fenced());
        if placed.replicas() < wanted {
            return Ok(());
        }
        let topic = TopicDraft {
            id,
            name: TopicName::new(name).expect("the name is a name"),
            group: None,
            config: own_config(),
            state: TopicState::Live,
            epochs_above: None,
            placement: placed.partitions(0, partitions),
        };
        match self.controller.propose(&Command::CreateTopic { council_index: None, topic }).await {
            // Another member was first.
            Ok(_) | Err(ChangeError::Refused(Refusal::NameTaken { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        if self.broker.0.config.is_clustered() {
            self.start_own_topics().await?;
        }
        Ok(())
    }

    /// No assignment asks for the leaders of the region's own topics.
    async fn start_own_topics(&self) -> Result<(), ControlError> {
        self.catch_up().await?;
        let image = self.controller.image();
        for (broker, known) in image.brokers() {
            let is_own = |start: &Start| image.topic(start.topic).is_some_and(|topic| topic.group.is_none());
            let starts: Vec<_> = image.starts_due(broker).into_iter().filter(is_own).collect();
            if !starts.is_empty() {
                self.controller.propose(&Command::StartLeaders { broker, session: known.session, starts }).await?;
            }
        }
        Ok(())
    }
}

impl Broker {
    /// What this broker says of its process: whether it stopped in order before, and what it promises by an
    /// acknowledgement.
    fn boot(&self) -> Boot {
        let (stopped_in, flush) = (self.0.storage.dirs.stopped_in(), self.0.config.flush);
        Boot { process: self.0.process, stopped_in, flushes_late: flush == Flush::Os, rules: RULES }
    }
}

/// Blocks of producer ids from the region's metadata.
struct Blocks {
    controller: Controller,
    slot: BrokerSlot,
}

impl ProducerIdBlocks for Blocks {
    fn reserve(&self) -> PortFuture<'_, Result<(ProducerId, i64), Unavailable>> {
        Box::pin(async move {
            let session = self.controller.image().broker(self.slot).map(|known| known.session);
            let session = session.ok_or_else(|| Unavailable("the broker is starting".to_owned()))?;
            let command = Command::ReserveProducerIds { broker: self.slot, session };
            match self.controller.propose(&command).await {
                Ok(Answer::ProducerIds { first, count }) => Ok((first, count)),
                Ok(other) => Err(Unavailable(format!("the metadata answered {other:?}"))),
                Err(error) => Err(Unavailable(error.to_string())),
            }
        })
    }
}

/// The last record of each key counts.
fn own_config() -> BTreeMap<String, String> {
    let entries = [("cleanup.policy", "compact"), ("segment.bytes", OFFSETS_SEGMENT_BYTES)];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
