//! Appending as the owner, and waiting until what was appended may be acknowledged.

use super::{Ear, Gate, Held, Partition, Pass, Shut, Standing};
use crate::Flush;
use env::BootInstant;
use log::{AppendError, Appended, Log};
use model::{LeaderEpoch, Offset, Timestamp};
use record::CheckedBatch;
use std::sync::Arc;

/// A batch that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Where it is.
    pub(crate) appended: Appended,
    /// Under which leadership it was taken.
    pub(crate) epoch: LeaderEpoch,
    /// What lets it be acknowledged. Held until the answer is out.
    pub(crate) pass: Pass,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// This broker is a copy of another region's partition.
    #[error("the partition is owned by another region")]
    NotOwner,
    /// No leadership was started yet, or the log is closed.
    #[error("the partition has no leader here")]
    NotLed,
    /// The gate is shut.
    #[error("writes are not taken now ({0:?})")]
    Shut(Shut),
    /// The disk has too little space left.
    #[error("the disk is nearly full; free some space, the broker needs no restart")]
    NoRoom,
    /// The log took it not.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// A batch that must not be acknowledged, though it may be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// Another leadership has begun since, or none.
    #[error("the leadership that took the batch is over")]
    Leadership,
    /// It could not be made durable.
    #[error("the log failed: {0}")]
    Storage(Arc<str>),
}

/// A refusal, and whether the producer's connection has to be closed because of it: while it may skip forward, a batch
/// behind a refused one would be taken in its place.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) reason: Refused,
    /// Whether to close.
    pub(crate) closes: bool,
}

impl Partition {
    /// Appends a batch as the owner, at `now` and `boot`. It may be acknowledged once it is [`committed`](Self::committed)
    /// and its pass still lets it.
    ///
    /// # Errors
    /// Nothing of the batch is in the log.
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: &CheckedBatch,
        now: Timestamp,
        boot: BootInstant,
    ) -> Result<Taken, Refusal> {
        let mut held = self.held();
        let taken = self.try_append(&mut held, batch, now, boot);
        if let Ok(taken) = &taken {
            self.note_append(&mut held, taken);
        }
        let jumps = |log: &Log| log.has_open_jump(batch.header().producer_id);
        taken.map_err(|reason| Refusal { closes: held.log.as_ref().is_some_and(jumps), reason })
    }

    fn try_append(
        &self,
        held: &mut Held,
        batch: &CheckedBatch,
        now: Timestamp,
        boot: BootInstant,
    ) -> Result<Taken, Refused> {
        let (epoch, pass) = enter(&held.standing, boot)?;
        if !self.storage.disk.has_room() {
            return Err(Refused::NoRoom);
        }
        let log = held.log.as_mut().ok_or(Refused::NotLed)?;
        let appended = log.append(batch, epoch, now);
        match &appended {
            Ok(_) => self.storage.disk.note_write(false),
            Err(AppendError::DiskFull(_)) => self.storage.disk.note_write(true),
            Err(error @ AppendError::Sealed(_)) => self.fail(error),
            Err(_) => {}
        }
        Ok(Taken { appended: appended?, epoch, pass })
    }

    fn note_append(self: &Arc<Self>, held: &mut Held, taken: &Taken) {
        if let Some(jump) = taken.appended.jump {
            tracing::warn!(partition = %self.name, ?jump, "producer skipped forward: records it wrote before were lost");
        }
        let settings_flush = self.public().settings.flush;
        if settings_flush == Flush::Os {
            self.advance(held);
        }
        self.publish(held);
        if settings_flush == Flush::BeforeAck && self.marks().flushed < taken.appended.next_offset {
            self.storage.flusher.request(self);
        }
    }

    /// Appends a batch of the broker's own to a topic it leads, whether or not clients may write.
    ///
    /// # Errors
    /// Nothing of the batch is in the log.
    pub(crate) fn append_own(self: &Arc<Self>, batch: &CheckedBatch) -> Result<Taken, Refused> {
        let (now, boot) = (self.storage.clock.now(), self.storage.clock.boot());
        self.append(batch, now, boot).map_err(|refusal| refusal.reason)
    }

    /// Waits until everything below `offset`, taken under `epoch`, is committed.
    ///
    /// # Errors
    /// [`Lost`]: it may be there, and must not be acknowledged.
    pub(crate) async fn committed(self: &Arc<Self>, epoch: LeaderEpoch, offset: Offset) -> Result<(), Lost> {
        if let Some(known) = self.is_committed(epoch, offset) {
            return known;
        }
        let mut ear = Ear::new();
        loop {
            ear.listen(self);
            if let Some(known) = self.is_committed(epoch, offset) {
                return known;
            }
            ear.heard().await;
        }
    }

    fn is_committed(&self, epoch: LeaderEpoch, offset: Offset) -> Option<Result<(), Lost>> {
        let public = self.public();
        if !public.standing.owns_under(epoch) {
            return Some(Err(Lost::Leadership));
        }
        if public.marks.high_watermark >= offset {
            return Some(Ok(()));
        }
        public.failed.as_ref().map(|reason| Err(Lost::Storage(reason.clone())))
    }
}

fn enter(standing: &Standing, boot: BootInstant) -> Result<(LeaderEpoch, Pass), Refused> {
    match standing {
        Standing::Owner { leader_epoch, gate, .. } => {
            let pass = Gate::enter(gate, boot).map_err(Refused::Shut)?;
            Ok((*leader_epoch, pass))
        }
        Standing::Copy { .. } => Err(Refused::NotOwner),
        Standing::Idle | Standing::Replica { .. } => Err(Refused::NotLed),
    }
}
