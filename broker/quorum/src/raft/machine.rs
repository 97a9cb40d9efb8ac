//! A state machine of ours as openraft's: one task owns it, snapshots are files beside it.

mod images;
mod owner;

pub(crate) use images::Images;
pub(crate) use owner::{Order, start};

use super::{Answers, LogId, RaftEntry, StorageError, StoredMembership, Types};
use crate::{Applied, NodeId, Position};
use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageIOError,
};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::fs::File;
use tokio::sync::{mpsc, oneshot};

/// How many entries a state machine is given at once.
const BATCH_ENTRIES_MAX: usize = 256;

/// The way to the task that owns the state machine.
#[derive(Clone)]
pub(crate) struct Machine {
    orders: mpsc::Sender<Order>,
    images: Arc<Images>,
}

fn failed(verb: ErrorVerb, why: impl ToString) -> StorageError {
    StorageIOError::new(ErrorSubject::StateMachine, verb, AnyError::error(why.to_string())).into()
}

/// Does `work` on files off the threads that carry heartbeats.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StorageError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|error| failed(ErrorVerb::Write, error))
}

impl Machine {
    pub(crate) fn new(orders: mpsc::Sender<Order>, images: Arc<Images>) -> Self {
        Self { orders, images }
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order) -> Result<T, StorageError> {
        let (reply, heard) = oneshot::channel();
        let closed = || failed(ErrorVerb::Write, "the state machine has stopped");
        self.orders.send(order(reply)).await.map_err(|_| closed())?;
        heard.await.map_err(|_| closed())?.map_err(|why| failed(ErrorVerb::Write, why))
    }

    /// Replaces the state by the one in `image`.
    pub(crate) async fn install(&self, image: PathBuf, applied: Applied) -> Result<(), StorageError> {
        self.ask(|reply| Order::Install(image, applied, reply)).await
    }

    /// How far the state machine has come.
    pub(crate) async fn applied(&self) -> Result<Applied, StorageError> {
        self.ask(Order::Applied).await
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let applied = self.applied().await?;
        Ok((applied.position.map(LogId::from), applied.stored_membership()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries: Vec<RaftEntry> = entries.into_iter().collect();
        let mut answers = Vec::with_capacity(entries.len());
        while !entries.is_empty() {
            let rest = entries.split_off(batch_len(&entries));
            let batch = std::mem::replace(&mut entries, rest);
            answers.extend(self.ask(|reply| Order::Apply(batch, reply)).await?);
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<File>, StorageError> {
        self.images
            .receive()
            .map(|file| Box::new(File::from_std(file)))
            .map_err(|error| failed(ErrorVerb::Write, error))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, crate::Member>,
        snapshot: Box<File>,
    ) -> Result<(), StorageError> {
        let (images, held, received) = (Arc::clone(&self.images), meta.clone(), snapshot.into_std().await);
        let path = blocking(move || images.adopt(&held, received)).await?;
        self.install(path, Applied::of_snapshot(meta)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let current = self.images.current().map_err(|error| failed(ErrorVerb::Read, error))?;
        Ok(current.map(|(meta, file)| Snapshot { meta, snapshot: Box::new(File::from_std(file)) }))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let draft = self.images.draft();
        let applied = self.ask(|reply| Order::Snapshot(draft.clone(), reply)).await?;
        let images = Arc::clone(&self.images);
        let (meta, file) = blocking(move || images.publish(&draft, &applied)).await?;
        Ok(Snapshot { meta, snapshot: Box::new(File::from_std(file)) })
    }
}

/// How many of `entries` make the next batch: whole entries, and not too many commands.
fn batch_len(entries: &[RaftEntry]) -> usize {
    let mut commands = 0;
    let enough = entries.iter().position(|entry| {
        commands += match &entry.payload {
            EntryPayload::Normal(super::Commands(list)) => list.len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 1,
        };
        commands > BATCH_ENTRIES_MAX
    });
    enough.map_or(entries.len(), |len| len.max(1))
}

/// Where the last of `entries` leaves what had been `applied`.
fn applied_after(mut applied: Applied, entries: &[RaftEntry]) -> Applied {
    for entry in entries {
        let membership = match &entry.payload {
            EntryPayload::Membership(membership) => Some(membership),
            EntryPayload::Blank | EntryPayload::Normal(_) => None,
        };
        applied.advance(Position::from(entry.log_id), membership);
    }
    applied
}
