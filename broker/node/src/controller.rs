//! The region's metadata quorum. In a region of one broker it has one voter; the code is the same.
//!
//! ```text
//!   heart (every broker) --heartbeat--> office (the active controller) --fence, unfence--> log --> image of every broker
//! ```

mod calls;
mod drain;
mod join;
mod leases;
mod office;

pub(crate) use calls::{Question, Reply, encode};
pub(crate) use leases::Lease;
pub(crate) use office::Office;

use broker_core::metadata::{Answer, Command, Image, Refusal, Reign};
use bytes::Bytes;
use env::BootInstant;
use model::{BrokerSlot, Incarnation};
use quorum::{
    Applied, Batch, CallError, Config, ConfirmError, Leadership, Member, NodeId, Progress, ProposeError, Quorum,
    StartError, StateError, StateMachine, Tenure, Timing,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Brokers of a region are near each other: a controller that is gone is missed sooner than one across regions.
const TIMING: Timing =
    Timing { heartbeat: Duration::from_millis(100), election: Duration::from_millis(300)..Duration::from_millis(600) };

/// The quorum and what it agrees on.
#[derive(Clone)]
pub(crate) struct Controller {
    quorum: Quorum<Metadata>,
    image: watch::Receiver<Arc<Image>>,
}

/// A change of the metadata that was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The metadata refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The quorum did not take it, or nobody knows.
    #[error(transparent)]
    Quorum(#[from] ProposeError),
    /// It is not known whether this broker has heard of everything.
    #[error(transparent)]
    Behind(#[from] ConfirmError),
}

/// The metadata image as the quorum's state machine. It lives in memory; the quorum's log and snapshots keep it.
pub(crate) struct Metadata {
    image: watch::Sender<Arc<Image>>,
}

impl Controller {
    /// Starts this broker's node of the region's quorum.
    ///
    /// # Errors
    /// When the directory or the port cannot be used.
    pub(crate) async fn start(config: &crate::Config) -> Result<Self, StartError> {
        let dir = config.data_dir.join("metadata");
        let cluster = format!("{}/{}", config.cluster_id, config.region);
        let owner = quorum::owner_of(&dir)?;
        let id = match owner {
            Some(id) => id,
            None if config.is_clustered() => join::join(config, &cluster).await,
            None => first_node(config.slot),
        };
        let mut node = Config::new(id, cluster, &dir);
        node.is_new = owner.is_none();
        node.listen = config.controller;
        node.addresses.clone_from(&config.peers);
        if config.is_clustered() {
            node.timing = TIMING;
        }
        let (sender, image) = watch::channel(Arc::default());
        let quorum = Quorum::start(node, Metadata { image: sender }).await?;
        let voters = voters(config);
        if quorum.membership().voters().is_empty() && voters.contains_key(&quorum.id()) {
            // The same ones by all of them, once.
            if let Err(error) = quorum.initialize(voters).await {
                tracing::error!(%error, "the region's metadata quorum cannot be founded");
            }
        }
        Ok(Self { quorum, image })
    }

    /// The metadata as it was agreed on.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.borrow().clone()
    }

    /// The metadata, now and later.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Image>> {
        self.image.clone()
    }

    /// Has the quorum agree on `command`.
    ///
    /// # Errors
    /// [`ChangeError`]: it was refused, or nobody knows.
    pub(crate) async fn propose(&self, command: &Command) -> Result<Answer, ChangeError> {
        Ok(self.quorum.propose(command).await??)
    }

    /// Waits until this broker's image holds everything that was agreed on before the call, by whichever broker.
    ///
    /// # Errors
    /// When no controller answers.
    pub(crate) async fn catch_up(&self) -> Result<(), ChangeError> {
        Ok(self.quorum.ensure_linearizable().await?)
    }

    /// The disk this broker started from.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.quorum.id().incarnation()
    }

    /// The number of this controller's time in office, once it leads in `term`.
    pub(crate) fn reign(&self, term: u64) -> Reign {
        Reign::of(term, self.quorum.id())
    }

    /// Who leads the quorum, now and later.
    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.quorum.leadership()
    }

    /// The broker whose controller was active before this one's, and since when a majority of the quorum has not heard of it.
    pub(crate) async fn predecessor(&self, tenure: Tenure, within: Duration) -> Option<(BrokerSlot, BootInstant)> {
        let before = self.quorum.predecessor(tenure, within).await?;
        Some((before.id.slot(), before.silent_since))
    }

    /// The broker whose controller is active, as far as this one knows.
    pub(crate) fn active(&self) -> Option<BrokerSlot> {
        self.quorum.leader().map(NodeId::slot)
    }

    /// Answers other brokers by `handler` from now on.
    pub(crate) fn serve(&self, handler: Arc<dyn quorum::Handler>) {
        self.quorum.serve(handler);
    }

    /// Asks the active controller.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub(crate) async fn ask_active(&self, question: &Question, within: Duration) -> Result<Reply, CallError> {
        let answer = self.quorum.call_leader(calls::encode(question), within).await?;
        Ok(calls::decode(&answer))
    }

    /// Asks the broker in `slot`.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub(crate) async fn ask(&self, slot: BrokerSlot, question: Bytes, within: Duration) -> Result<Reply, CallError> {
        let id = self.quorum.membership().in_slot(slot).unwrap_or(first_node(slot));
        Ok(calls::decode(&self.quorum.call(id, question, within).await?))
    }

    /// Whether this node's log holds nothing but the founding, so that no controller was ever active as far as it knows. The
    /// image says less: a node that starts again has none until it hears what is committed.
    pub(crate) fn is_untouched(&self) -> bool {
        let (progress, own) = (self.quorum.progress(), self.quorum.id());
        let replica = progress.voters.get(&own).or(progress.learners.get(&own));
        replica.and_then(|replica| replica.tail).unwrap_or(0) <= 1
    }

    /// How far the quorum's nodes have come, as far as this one knows.
    pub(crate) fn progress(&self) -> Progress {
        self.quorum.progress()
    }

    /// Waits until the quorum works no more, and says why.
    pub(crate) async fn failed(&self) -> String {
        self.quorum.stopped().await
    }

    /// Stops the quorum.
    pub(crate) async fn shutdown(&self) {
        self.quorum.shutdown().await;
    }
}

fn first_node(slot: BrokerSlot) -> NodeId {
    NodeId::of(slot, Incarnation(1))
}

/// The founding members with a vote: the first slots, or this broker alone.
fn voters(config: &crate::Config) -> BTreeMap<NodeId, Member> {
    let member = |slot: BrokerSlot, address: &str| (first_node(slot), Member::new(slot.0.to_string(), address));
    if !config.is_clustered() {
        return BTreeMap::from([member(config.slot, "")]);
    }
    config.peers.iter().take(join::votes(config)).map(|(slot, address)| member(*slot, address)).collect()
}

impl StateMachine for Metadata {
    type Command = Command;
    type Answer = Result<Answer, Refusal>;

    async fn applied(&mut self) -> Result<Applied, StateError> {
        Ok(Applied::default())
    }

    async fn apply(&mut self, batch: Batch<Command>) -> Result<Vec<Self::Answer>, StateError> {
        if batch.entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut image = Image::clone(&self.image.borrow());
        let answers = batch.entries.into_iter().map(|entry| image.apply(entry.command)).collect();
        self.image.send_replace(Arc::new(image));
        Ok(answers)
    }

    async fn snapshot(&mut self, path: &Path) -> Result<(), StateError> {
        let json = serde_json::to_vec(&**self.image.borrow());
        let json = json.map_err(|error| StateError::new("writing the metadata image", error))?;
        std::fs::write(path, json).map_err(|error| StateError::new("writing the metadata image", error))
    }

    async fn install(&mut self, path: &Path, _: Applied) -> Result<(), StateError> {
        let json = std::fs::read(path).map_err(|error| StateError::new("reading the metadata image", error))?;
        let image = serde_json::from_slice(&json);
        let image: Image = image.map_err(|error| StateError::new("reading the metadata image", error))?;
        self.image.send_replace(Arc::new(image));
        Ok(())
    }
}
