//! The region's metadata quorum. In a region of one broker it has one voter; the code is the same.

use broker_core::metadata::{Answer, Command, Image, Refusal};
use model::{BrokerSlot, Incarnation};
use quorum::{Applied, Batch, Config, Member, NodeId, ProposeError, Quorum, StartError, StateError, StateMachine};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

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
}

/// The metadata image as the quorum's state machine. It lives in memory; the quorum's log and snapshots keep it.
pub(crate) struct Metadata {
    image: watch::Sender<Arc<Image>>,
}

impl Controller {
    /// Starts the quorum of the broker in `slot`, alone with its log in `dir`.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(crate) async fn start(cluster: &str, slot: BrokerSlot, dir: PathBuf) -> Result<Self, StartError> {
        // A region of one broker has one disk: an empty one is the first of its incarnation.
        let id = NodeId::of(slot, Incarnation(1));
        let mut config = Config::new(id, cluster, &dir);
        config.is_new = quorum::owner_of(&dir)?.is_none();
        let (sender, image) = watch::channel(Arc::default());
        let quorum = Quorum::start(config, Metadata { image: sender }).await?;
        // A sole voter names itself, once.
        if quorum.membership().voters().is_empty() {
            let members = BTreeMap::from([(id, Member::new(slot.0.to_string(), ""))]);
            if let Err(error) = quorum.initialize(members).await {
                tracing::error!(%error, "the region's metadata quorum cannot be founded");
            }
        }
        Ok(Self { quorum, image })
    }

    /// The metadata as it was agreed on.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.borrow().clone()
    }

    /// Has the quorum agree on `command`.
    ///
    /// # Errors
    /// [`ChangeError`]: it was refused, or nobody knows.
    pub(crate) async fn propose(&self, command: &Command) -> Result<Answer, ChangeError> {
        Ok(self.quorum.propose(command).await??)
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
