//! Being followed: what replicas of the region are given, and what they are counted for.

use super::following::View;
use super::{Held, Marks, Partition, Standing};
use broker_core::follower::{Fence, Fetch};
use broker_core::metadata::{BrokerEpoch, Refusal};
use broker_core::partition::{IsrChange, Looked, Peer, ReplicaRefusal, ReplicaView};
use log::{ReadError, Slice};
use model::{Baseline, BrokerSlot, ByteCount, Offset};

/// One who follows, in one session of its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Follower {
    /// Its broker.
    pub(crate) slot: BrokerSlot,
    /// That broker's session.
    pub(crate) session: BrokerEpoch,
}

/// What there is for a follower.
#[derive(Debug)]
pub(crate) struct Served {
    /// Where the log stood.
    pub(crate) marks: Marks,
    /// What the log did not hold any more when they were read.
    pub(crate) baseline: Baseline,
    /// Whole batches.
    pub(crate) slice: Option<Slice>,
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotServed {
    /// Its word does not count.
    #[error(transparent)]
    Refused(#[from] ReplicaRefusal),
    /// The log was cut since the follower's was looked at.
    #[error("the log was cut meanwhile")]
    Cut,
    /// The log cannot be read there.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Partition {
    /// Looks at a follower's log and takes note of what it holds; says also how often this log was cut when it did.
    ///
    /// # Errors
    /// Why its word does not count.
    pub(crate) fn look_at_follower(&self, follower: Follower, fetch: &Fetch) -> Result<(Looked, u64), ReplicaRefusal> {
        let mut held = self.held();
        let (now, durable) = (self.boot(), self.durable(&held).ok_or(ReplicaRefusal::NotLeader)?);
        let Held { log: Some(log), core, .. } = &mut *held else { return Err(ReplicaRefusal::NotLeader) };
        let (slot, view) = ((follower.slot, follower.session), View { log, durable });
        let (looked, outcome) = core.look_at_replica(now, slot, fetch, &view)?;
        self.settle(&mut held, outcome);
        self.publish(&mut held);
        Ok((looked, self.reader.truncations()))
    }

    /// Takes note of what a follower has on disk by now.
    pub(crate) fn note_progress(&self, follower: Follower, fence: Fence, durable: Offset) {
        let mut held = self.held();
        if held.core.admit_replica(follower.slot, follower.session, fence).is_err() {
            return;
        }
        let outcome = held.core.on_progress(self.boot(), follower.slot, follower.session, durable);
        self.settle(&mut held, outcome);
        self.publish(&mut held);
    }

    /// Reads for those who follow `fence`: nothing above what this broker itself holds. Their logs were looked at after
    /// `cuts` of this one.
    ///
    /// # Errors
    /// [`NotServed`], also when another leadership has begun.
    pub(crate) fn serve(
        &self,
        fence: Fence,
        cuts: u64,
        from: Offset,
        (max, at_least_one): (ByteCount, bool),
    ) -> Result<Served, NotServed> {
        let (marks, current) = {
            let public = self.public();
            (public.marks, fence_of(&public.standing))
        };
        match current {
            Some(current) if current == fence => {}
            Some(current) if fence < current => return Err(ReplicaRefusal::Fenced { given: fence, current }.into()),
            Some(current) => return Err(ReplicaRefusal::NotYet { given: fence, current }.into()),
            None => return Err(ReplicaRefusal::NotLeader.into()),
        }
        let slice = self.reader.read(from, marks.durable, max, at_least_one);
        if self.reader.truncations() != cuts {
            return Err(NotServed::Cut);
        }
        Ok(Served { marks, baseline: self.reader.baseline(), slice: slice? })
    }

    /// Whether this broker leads it.
    pub(crate) fn is_led_here(&self) -> bool {
        fence_of(&self.public().standing).is_some()
    }

    /// What to ask the controller for, if the in-sync set has to change; again while nobody knows what became of it.
    pub(crate) fn propose_isr(&self, peer: impl Fn(BrokerSlot) -> Option<Peer>) -> Option<IsrChange> {
        let mut held = self.held();
        let proposed = held.core.propose_isr(self.boot(), peer);
        self.advance(&mut held);
        self.publish(&mut held);
        proposed.or_else(|| held.core.proposal())
    }

    /// The controller refused that.
    pub(crate) fn isr_refused(&self, partition_epoch: u32, refusal: &Refusal) {
        let mut held = self.held();
        let outcome = held.core.on_isr_refused(self.boot(), partition_epoch, refusal);
        self.settle(&mut held, outcome);
        self.publish(&mut held);
    }

    /// The replicas on other brokers, as their leader knows them.
    pub(crate) fn replicas(&self) -> Vec<ReplicaView> {
        self.held().core.replicas().collect()
    }
}

fn fence_of(standing: &Standing) -> Option<Fence> {
    match standing {
        Standing::Owner { leader_epoch, .. } => Some(Fence::Epoch(*leader_epoch)),
        Standing::Copy { term, .. } => Some(Fence::Term(*term)),
        Standing::Idle | Standing::Replica { .. } => None,
    }
}
