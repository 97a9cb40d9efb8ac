//! Appending as the owner.

use super::active::{self, BadRecords};
use super::{Acks, Gate, Held, Partition, Pass, Shut, Standing};
use crate::Flush;
use broker_core::partition::{self, Authority};
use env::BootInstant;
use log::{AppendError, Appended, Log};
use mirror_core::active::KeyedRecord;
use model::{LeaderEpoch, Timestamp};
use record::{CheckedBatch, Header};
use std::sync::Arc;
use std::time::Duration;

/// A batch that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Where it is.
    pub(crate) appended: Appended,
    /// Under which leadership it was taken.
    pub(crate) epoch: LeaderEpoch,
    /// What lets it be acknowledged. Held until the answer is out.
    pub(crate) pass: Pass,
    /// How long its writer is to be silent.
    pub(crate) silence: Duration,
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
    /// Too few replicas are in sync for acks=all.
    #[error("{in_sync} replicas are in sync; min.insync.replicas asks for {required}")]
    NotEnoughReplicas {
        /// How many are.
        in_sync: usize,
        /// How many must be.
        required: usize,
    },
    /// The disk has too little space left.
    #[error("the disk is nearly full; free some space, the broker needs no restart")]
    NoRoom,
    /// The log, or the directory it is in, failed.
    #[error("the log takes no more writes: {0}")]
    Failed(Arc<str>),
    /// Its records cannot be decoded, and their keys have to be known.
    #[error(transparent)]
    Records(#[from] BadRecords),
    /// The log took it not.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// One before it of the same producer was turned away, while this broker did not lead.
    #[error("a batch before it was turned away")]
    Overtakes,
}

impl Refused {
    /// Whether this broker does not lead the partition, or may not: a later batch may find that it does.
    pub(crate) fn is_of_leadership(&self) -> bool {
        matches!(self, Self::NotOwner | Self::NotLed | Self::Shut(_) | Self::Log(AppendError::StaleEpoch { .. }))
    }
}

/// A refusal, and whether the producer's connection has to be closed because of it, so that it sends again in order:
/// while it may skip forward, a batch behind a refused one would be taken in its place; one that comes too early under a
/// new leader would be written twice if its client took it for lost ([`Log::send_back`]); and what was sent behind one
/// that was turned away does not go before it ([`Partition::hold_back`]).
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) reason: Refused,
    /// Whether to close.
    pub(crate) closes: bool,
}

impl Partition {
    /// Appends a batch as the owner, at `now` and `boot`. It may be acknowledged once it is
    /// [`acknowledged`](Self::acknowledged) by as many replicas as `acks` says and its pass still lets it.
    ///
    /// # Errors
    /// Nothing of the batch is in the log.
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: &CheckedBatch,
        acks: Acks,
        now: Timestamp,
        boot: BootInstant,
    ) -> Result<Taken, Refusal> {
        let keys = match self.is_active().then(|| active::keyed(batch)).transpose() {
            Ok(keys) => keys.unwrap_or_default(),
            Err(bad) => return Err(Refusal { closes: false, reason: bad.into() }),
        };
        let mut held = self.held();
        let taken = self.try_append(&mut held, batch, acks, now, boot, &keys);
        if let Err(Refused::Log(error @ AppendError::Sealed(_))) = &taken {
            self.fail(&mut held, error);
        }
        if let Ok(taken) = &taken {
            self.note_append(&mut held, taken);
        }
        taken.map_err(|reason| Refusal { closes: closes(&mut held, batch.header(), &reason), reason })
    }

    pub(super) fn try_append(
        &self,
        held: &mut Held,
        batch: &CheckedBatch,
        acks: Acks,
        now: Timestamp,
        boot: BootInstant,
        keys: &[KeyedRecord],
    ) -> Result<Taken, Refused> {
        let (epoch, pass) = enter(&held.standing, boot)?;
        // The gate has looked at the region's authority.
        held.core.admit_produce(boot.since_boot(), Authority::Local, acks == Acks::All)?;
        if let Some(reason) = self.failed() {
            return Err(Refused::Failed(reason));
        }
        if !self.dir.disk().has_room() {
            return Err(Refused::NoRoom);
        }
        let log = held.log.as_mut().ok_or(Refused::NotLed)?;
        let appended = log.append(batch, epoch, now);
        match &appended {
            Ok(_) => self.dir.disk().note_write(false),
            Err(AppendError::DiskFull(_)) => self.dir.disk().note_write(true),
            Err(_) => {}
        }
        let appended = appended?;
        if let Some(active) = held.active.as_mut().filter(|_| !appended.duplicate) {
            active.wrote(self.reading(), epoch, &appended, keys);
        }
        let silence = self.silence(held, &appended);
        Ok(Taken { appended, epoch, pass, silence })
    }

    pub(super) fn note_append(self: &Arc<Self>, held: &mut Held, taken: &Taken) {
        if let Some(jump) = taken.appended.jump.filter(|_| held.active.is_none()) {
            tracing::warn!(partition = %self.name, ?jump, "producer skipped forward: records it wrote before were lost");
        }
        let settings_flush = self.public().settings.flush;
        if settings_flush == Flush::Os {
            self.advance(held);
        }
        self.publish(held);
        let due = match settings_flush {
            Flush::BeforeAck => self.marks().flushed < taken.appended.next_offset,
            Flush::Os => self.has_enough_to_flush(),
        };
        if due {
            self.storage.flusher.request(self);
        }
    }

    /// Takes not, at `boot`, a batch that would overtake one of its producer that was turned away. Where it would be turned
    /// away, too, its client has only to look elsewhere.
    pub(crate) fn hold_back(&self, batch: &Header, boot: BootInstant) -> Refusal {
        let mut held = self.held();
        match enter(&held.standing, boot) {
            Ok(_) => Refusal { reason: Refused::Overtakes, closes: true },
            Err(reason) => Refusal { closes: closes(&mut held, batch, &reason), reason },
        }
    }

    /// Appends a batch of the broker's own to a topic it leads, whether or not clients may write.
    ///
    /// # Errors
    /// Nothing of the batch is in the log.
    pub(crate) fn append_own(self: &Arc<Self>, batch: &CheckedBatch) -> Result<Taken, Refused> {
        let (now, boot) = (self.storage.clock.now(), self.storage.clock.boot());
        self.append(batch, Acks::All, now, boot).map_err(|refusal| refusal.reason)
    }
}

fn closes(held: &mut Held, batch: &Header, reason: &Refused) -> bool {
    let epoch = match (&held.standing, reason) {
        (Standing::Owner { leader_epoch, .. }, Refused::Log(AppendError::OutOfOrderSequence { .. })) => {
            Some(*leader_epoch)
        }
        _ => None,
    };
    let sends_back = |log: &mut Log| epoch.is_some_and(|epoch| log.send_back(batch, epoch));
    held.log.as_mut().is_some_and(|log| log.has_open_jump(batch.producer_id) || sends_back(log))
}

pub(super) fn enter(standing: &Standing, boot: BootInstant) -> Result<(LeaderEpoch, Pass), Refused> {
    match standing {
        Standing::Owner { leader_epoch, gate, .. } => {
            let pass = Gate::enter(gate, boot).map_err(Refused::Shut)?;
            Ok((*leader_epoch, pass))
        }
        Standing::Copy { .. } => Err(Refused::NotOwner),
        Standing::Idle | Standing::Replica { .. } => Err(Refused::NotLed),
    }
}

impl From<partition::Refusal> for Refused {
    fn from(refusal: partition::Refusal) -> Self {
        match refusal {
            partition::Refusal::NotEnoughReplicas { in_sync, required } => {
                Self::NotEnoughReplicas { in_sync, required }
            }
            partition::Refusal::NotLeader
            | partition::Refusal::NoAuthority
            | partition::Refusal::FencedEpoch { .. }
            | partition::Refusal::UnknownEpoch { .. }
            | partition::Refusal::OffsetNotAvailable => Self::NotLed,
        }
    }
}
