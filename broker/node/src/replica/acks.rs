//! Waiting until what was appended may be acknowledged.

use super::{Gate, Held, Partition};
use broker_core::partition::{AckOutcome, Waiter};
use model::{LeaderEpoch, Offset, limits};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A batch that must not be acknowledged, though it may be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// Another leadership has begun since, or none.
    #[error("the leadership that took the batch is over")]
    Leadership,
    /// It could not be made durable.
    #[error("the log failed: {0}")]
    Storage(Arc<str>),
    /// It is committed by fewer replicas than were asked for.
    #[error("the in-sync set shrank below min.insync.replicas after the append")]
    NotEnoughReplicas,
    /// It was not committed in time.
    #[error("the batch was not committed in time; it may still be")]
    Late,
}

/// How many replicas have to have a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// This broker.
    One,
    /// All that are in sync.
    All,
}

/// Those who wait for acks of one partition.
#[derive(Default)]
pub(super) struct Waiting {
    next: u64,
    by_waiter: HashMap<Waiter, oneshot::Sender<AckOutcome>>,
}

impl Waiting {
    fn add(&mut self) -> (Waiter, oneshot::Receiver<AckOutcome>) {
        self.next += 1;
        let (sender, receiver) = oneshot::channel();
        self.by_waiter.insert(Waiter(self.next), sender);
        (Waiter(self.next), receiver)
    }

    pub(super) fn settle(&mut self, settled: Vec<(Waiter, AckOutcome)>) {
        for (waiter, outcome) in settled {
            if let Some(sender) = self.by_waiter.remove(&waiter) {
                // Whoever asked may be gone.
                let _ = sender.send(outcome);
            }
        }
    }
}

/// Takes a waiter out again whose request is gone.
struct Place<'a> {
    partition: &'a Partition,
    waiter: Waiter,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut held = self.partition.held();
        if held.waiting.by_waiter.remove(&self.waiter).is_some() {
            held.core.abandon_ack(self.waiter);
        }
    }
}

impl Partition {
    /// Waits until everything below `offset`, taken under `epoch`, is committed.
    ///
    /// # Errors
    /// [`Lost`]: it may be there, and must not be acknowledged.
    pub(crate) async fn committed(&self, epoch: LeaderEpoch, offset: Offset) -> Result<(), Lost> {
        self.acknowledged(epoch, offset, Acks::All).await
    }

    /// Waits until everything below `offset`, taken under `epoch`, is held by as many replicas as `acks` says.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub(crate) async fn acknowledged(&self, epoch: LeaderEpoch, offset: Offset, acks: Acks) -> Result<(), Lost> {
        let (gate, waiter, settled) = self.wait(epoch, offset, acks)?;
        let place = Place { partition: self, waiter };
        let outcome = self.settled(&gate, settled).await;
        drop(place);
        match outcome {
            Some(AckOutcome::Committed) => Ok(()),
            Some(AckOutcome::NotEnoughReplicas) => Err(Lost::NotEnoughReplicas),
            Some(AckOutcome::TimedOut) => Err(Lost::Late),
            Some(AckOutcome::Storage) => Err(self.storage_lost()),
            Some(AckOutcome::NotLeader) | None => Err(Lost::Leadership),
        }
    }

    /// What comes of a wait; `None` once nobody may be answered any more. A broker that lost touch with its region may
    /// not hear that others lead by now: its producers are not to wait for that.
    async fn settled(&self, gate: &Gate, mut settled: oneshot::Receiver<AckOutcome>) -> Option<AckOutcome> {
        loop {
            let left = gate.stands_for(self.storage.clock.boot())?;
            if let Ok(outcome) = timeout(left, &mut settled).await {
                return outcome.ok();
            }
        }
    }

    fn wait(
        &self,
        epoch: LeaderEpoch,
        offset: Offset,
        acks: Acks,
    ) -> Result<(Arc<Gate>, Waiter, oneshot::Receiver<AckOutcome>), Lost> {
        let mut held = self.held();
        let Some(gate) = held.standing.gate_under(epoch) else { return Err(Lost::Leadership) };
        let is_there = match acks {
            Acks::One => offset <= self.durable(&held).unwrap_or_default(),
            Acks::All => offset <= held.core.high_watermark(),
        };
        if !is_there && self.failed().is_some() {
            return Err(self.storage_lost());
        }
        let (waiter, settled) = self.add_waiter(&mut held, offset, acks);
        Ok((gate, waiter, settled))
    }

    fn add_waiter(&self, held: &mut Held, offset: Offset, acks: Acks) -> (Waiter, oneshot::Receiver<AckOutcome>) {
        let (waiter, settled) = held.waiting.add();
        // Requests have limits of their own, all of them shorter.
        let deadline = self.boot() + limits::REQUEST_WAIT_MAX;
        let outcome = match acks {
            Acks::One => held.core.await_local_ack(waiter, offset, deadline),
            Acks::All => held.core.await_ack(waiter, offset, deadline),
        };
        self.settle(held, outcome);
        (waiter, settled)
    }

    fn storage_lost(&self) -> Lost {
        Lost::Storage(self.failed().unwrap_or_else(|| "it takes no more writes".into()))
    }
}
