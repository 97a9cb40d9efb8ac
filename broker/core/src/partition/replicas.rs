//! What the leader knows of the other replicas.

use super::{Outcome, Partition, Placement, Role};
use crate::follower::{EpochEnd, Fence, Fetch, LogView, divergence};
use crate::metadata::BrokerEpoch;
use model::{BrokerSlot, Offset};
use std::time::Duration;

/// One replica as its leader knows it, under this leadership and one session of the replica's broker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replica {
    /// The session it fetches in.
    pub(super) session: BrokerEpoch,
    /// Everything below is durable there.
    pub(super) durable: Offset,
    /// Whether its log is known to be a beginning of the leader's.
    pub(super) is_verified: bool,
    /// When it last held all that the leader held.
    pub(super) caught_up_at: Option<Duration>,
    /// The last moment it was compared with while it was behind, and what the leader held then.
    goal: Option<(Duration, Offset)>,
    /// Whether the controller would take it into the in-sync set, as far as was known when it was last asked about.
    pub(super) is_eligible: bool,
}

impl Replica {
    /// It holds everything below `durable`, and the leader everything below `local`.
    ///
    /// Kafka compares with what the leader held at the word before (`updateFetchState`). Here a replica reports more often
    /// than it flushes, so that under a steady load it would never hold what the leader held one word ago: it is compared
    /// with one moment until it holds what the leader held then, however many words that takes.
    fn observe(&mut self, now: Duration, durable: Offset, local: Offset) {
        self.durable = durable;
        if durable >= local {
            self.caught_up_at = self.caught_up_at.max(Some(now));
            self.goal = None;
            return;
        }
        if let Some((then, _)) = self.goal.filter(|(_, held)| durable >= *held) {
            self.caught_up_at = self.caught_up_at.max(Some(then));
            self.goal = None;
        }
        self.goal.get_or_insert((now, local));
    }

    /// Whether it held all the leader held not longer than `lag_max` ago. A replica of an idle partition says nothing
    /// of it, so that its broker was heard at `heard_at` is enough.
    pub(super) fn is_caught_up(
        &self,
        now: Duration,
        local: Offset,
        lag_max: Duration,
        heard_at: Option<Duration>,
    ) -> bool {
        let idle = if self.is_verified && self.durable >= local { heard_at } else { None };
        self.caught_up_at.max(idle).is_some_and(|at| now.saturating_sub(at) <= lag_max)
    }
}

/// One replica, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// Its broker.
    pub slot: BrokerSlot,
    /// Everything below is durable there.
    pub durable: Offset,
    /// Whether it is in the in-sync set.
    pub in_sync: bool,
    /// When it last held all that the leader held.
    pub caught_up_at: Option<Duration>,
}

/// What was found about a replica's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is a beginning of the leader's: what the replica holds is counted.
    Agrees,
    /// It has left the leader's.
    Diverged(EpochEnd),
    /// It ends outside of the leader's.
    OutOfRange,
}

/// Why a follower's word does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaRefusal {
    /// NOT_LEADER_OR_FOLLOWER.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// FENCED_LEADER_EPOCH.
    #[error("{given} is over; this is {current}")]
    Fenced {
        /// Whom it follows.
        given: Fence,
        /// What this broker leads under.
        current: Fence,
    },
    /// UNKNOWN_LEADER_EPOCH.
    #[error("{given} is not known here yet; this is {current}")]
    NotYet {
        /// Whom it follows.
        given: Fence,
        /// What this broker leads under.
        current: Fence,
    },
    /// REPLICA_NOT_AVAILABLE: the metadata known here places no replica there.
    #[error("broker {} holds no replica of the partition", .0.0)]
    Stranger(BrokerSlot),
    /// STALE_BROKER_EPOCH: its broker has started again since.
    #[error("session {given} of the broker is over; it is in session {current}")]
    OldSession {
        /// The session it speaks for.
        given: BrokerEpoch,
        /// The session heard of.
        current: BrokerEpoch,
    },
}

impl Partition {
    /// Whether the broker in `slot`, in `session`, follows this leadership. The leadership is looked at first, then
    /// whether the replica is known (KAFKA-14078).
    ///
    /// # Errors
    /// Why its word does not count.
    pub fn admit_replica(&self, slot: BrokerSlot, session: BrokerEpoch, given: Fence) -> Result<(), ReplicaRefusal> {
        let current = match self.role {
            Role::Owner { leader_epoch } => Fence::Epoch(leader_epoch),
            Role::Copy { term } => Fence::Term(term),
            Role::Fenced | Role::Replica { .. } => return Err(ReplicaRefusal::NotLeader),
        };
        if given < current {
            return Err(ReplicaRefusal::Fenced { given, current });
        }
        if given > current {
            return Err(ReplicaRefusal::NotYet { given, current });
        }
        let known = self.replicas.get(&slot).ok_or(ReplicaRefusal::Stranger(slot))?.session;
        if session < known { Err(ReplicaRefusal::OldSession { given: session, current: known }) } else { Ok(()) }
    }

    /// The broker in `slot`, in `session`, asks for `fetch` of the leader's `log`. The leadership is looked at first, then
    /// whether its log is a beginning of this one, and only then is what it holds counted.
    ///
    /// # Errors
    /// Why its word does not count.
    pub fn look_at_replica(
        &mut self,
        now: Duration,
        (slot, session): (BrokerSlot, BrokerEpoch),
        fetch: &Fetch,
        log: &impl LogView,
    ) -> Result<(Looked, Outcome), ReplicaRefusal> {
        self.admit_replica(slot, session, fetch.fence)?;
        if let Some(end) = divergence(log, fetch.from, fetch.last_epoch) {
            return Ok((Looked::Diverged(end), Outcome::default()));
        }
        if fetch.from < log.start() || fetch.from > log.tail() {
            return Ok((Looked::OutOfRange, Outcome::default()));
        }
        Ok((Looked::Agrees, self.on_fetch(now, slot, session, fetch.durable.min(fetch.from))))
    }

    /// An admitted replica, whose log is a beginning of this one, holds everything below `durable`. What an earlier
    /// session of its broker held is forgotten.
    pub fn on_fetch(&mut self, now: Duration, slot: BrokerSlot, session: BrokerEpoch, durable: Offset) -> Outcome {
        let Some(replica) = self.replicas.get_mut(&slot) else { return Outcome::default() };
        if session > replica.session {
            *replica = Replica { session, ..Replica::default() };
        }
        replica.is_verified = true;
        replica.observe(now, durable.min(self.local), self.local);
        self.after_word_of(now, slot)
    }

    /// An admitted replica holds everything below `durable` by now. It does not count before its log was looked at.
    pub fn on_progress(&mut self, now: Duration, slot: BrokerSlot, session: BrokerEpoch, durable: Offset) -> Outcome {
        let Some(replica) = self.replicas.get_mut(&slot) else { return Outcome::default() };
        if session != replica.session || !replica.is_verified {
            return Outcome::default();
        }
        replica.observe(now, durable.min(self.local).max(replica.durable), self.local);
        self.after_word_of(now, slot)
    }

    fn after_word_of(&mut self, now: Duration, slot: BrokerSlot) -> Outcome {
        let outcome = self.recompute(now);
        let may_join = !self.isr.contains(&slot) && self.proposed.is_none() && self.may_join(slot);
        Outcome { may_join, ..outcome }
    }

    /// Begins a leadership: what replicas hold is not known. Those in sync have their time to say so.
    pub(super) fn begin_replicas(&mut self, now: Duration, placement: Placement<'_>) {
        self.me = placement.me;
        self.set_placement(placement);
        for slot in &self.isr {
            if let Some(replica) = self.replicas.get_mut(slot) {
                replica.caught_up_at = Some(now);
            }
        }
    }

    /// The metadata changed replicas or in-sync set under the same leadership. An older state changes nothing
    /// (KAFKA-13790), and what is known of the replicas that stay is kept.
    pub fn place(&mut self, now: Duration, placement: Placement<'_>) -> Outcome {
        let is_led = matches!(self.role, Role::Owner { .. } | Role::Copy { .. });
        if !is_led || placement.partition_epoch <= self.partition_epoch {
            return Outcome::default();
        }
        self.proposed = None;
        for (slot, replica) in &mut self.replicas {
            match (self.isr.contains(slot), placement.isr.contains(slot)) {
                // Its broker may be gone: it is not waited for before it was looked at again.
                (true, false) => replica.is_eligible = false,
                // It holds what is committed, and gets its time to hold the rest.
                (false, true) => replica.caught_up_at = replica.caught_up_at.max(Some(now)),
                _ => {}
            }
        }
        self.set_placement(placement);
        let outcome = self.recompute(now);
        let may_join = self.replicas.keys().any(|slot| !self.isr.contains(slot) && self.may_join(*slot));
        Outcome { may_join, ..outcome }
    }

    fn set_placement(&mut self, placement: Placement<'_>) {
        self.partition_epoch = placement.partition_epoch;
        self.isr = placement.isr.iter().copied().collect();
        let others = placement.replicas.iter().filter(|slot| **slot != placement.me);
        self.replicas = others.map(|slot| (*slot, self.replicas.get(slot).copied().unwrap_or_default())).collect();
    }

    /// The log was cut at `tail`: whether the replicas' logs still are beginnings of it is to be looked at again.
    pub(super) fn cut_replicas(&mut self, tail: Offset) {
        for replica in self.replicas.values_mut() {
            replica.durable = replica.durable.min(tail);
            replica.is_verified = false;
            replica.goal = None;
        }
    }

    /// What everybody holds who is in sync, is about to be, or is caught up and could be.
    pub(super) fn held_by_all(&self, now: Duration) -> Offset {
        let counted = self.replicas.iter().filter(|(slot, replica)| self.counts(now, **slot, replica));
        counted.map(|(_, replica)| replica.durable).fold(self.local, Offset::min)
    }

    fn counts(&self, now: Duration, slot: BrokerSlot, replica: &Replica) -> bool {
        let is_waited_for = || replica.is_eligible && replica.is_caught_up(now, self.local, self.lag_max, None);
        self.isr.contains(&slot)
            || self.proposed.as_ref().is_some_and(|change| change.isr.contains(&slot))
            || is_waited_for()
    }

    /// The other replicas.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaView> + '_ {
        self.replicas.iter().map(|(slot, replica)| ReplicaView {
            slot: *slot,
            durable: replica.durable,
            in_sync: self.isr.contains(slot),
            caught_up_at: replica.caught_up_at,
        })
    }

    /// How many replicas are in sync.
    pub fn in_sync(&self) -> usize {
        self.isr.len()
    }
}
