//! Who is in sync: what the leader asks the controller for.

use super::{Outcome, Partition, Role};
use crate::metadata::{self, BrokerEpoch};
use model::{BrokerSlot, Offset};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is known of another broker of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its session, as the metadata has it.
    pub session: BrokerEpoch,
    /// Whether it is neither fenced nor about to stop (KIP-841).
    pub in_service: bool,
    /// When a fetcher of that session last asked this broker for anything.
    pub heard_at: Option<Duration>,
}

/// An in-sync set to ask the controller for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    /// The state of the partition it was decided on.
    pub partition_epoch: u32,
    /// The set, this broker in it.
    pub isr: Vec<BrokerSlot>,
    /// Those of it that were not in sync before, each with the session that was looked at (KIP-903).
    pub joined: Vec<(BrokerSlot, BrokerEpoch)>,
}

impl Partition {
    /// Whether a replica holds what it must to be in sync: all that is committed, and all of what was there before this
    /// leadership.
    pub(super) fn may_join(&self, slot: BrokerSlot) -> bool {
        let needed = match self.role {
            Role::Owner { .. } => self.high_watermark.max(self.epoch_start),
            Role::Copy { .. } => self.copy_watermark.max(self.high_watermark.min(self.local)),
            Role::Fenced | Role::Replica { .. } => Offset(i64::MAX),
        };
        self.replicas.get(&slot).is_some_and(|replica| replica.is_verified && replica.durable >= needed)
    }

    /// Looks who is in sync at `now`, and says what to ask the controller for, if anything: who has caught up joins,
    /// who lagged for too long leaves. While one change is being asked for there is no other.
    pub fn propose_isr(&mut self, now: Duration, peer: impl Fn(BrokerSlot) -> Option<Peer>) -> Option<IsrChange> {
        if !matches!(self.role, Role::Owner { .. } | Role::Copy { .. }) {
            return None;
        }
        let mut isr = BTreeSet::from([self.me]);
        for slot in self.replicas.keys().copied().collect::<Vec<_>>() {
            if self.judge(now, slot, peer(slot)) {
                isr.insert(slot);
            }
        }
        if self.proposed.is_none() && isr != self.isr {
            // The sessions are those that were looked at, however often this is asked for (KIP-903).
            let joining = isr.iter().filter(|slot| !self.isr.contains(slot));
            let joined = joining.filter_map(|slot| Some((*slot, self.replicas.get(slot)?.session))).collect();
            let (partition_epoch, isr) = (self.partition_epoch, isr.into_iter().collect());
            self.proposed = Some(IsrChange { partition_epoch, isr, joined });
            return self.proposal();
        }
        None
    }

    /// Whether the replica belongs into the in-sync set. All of it is decided on one state of the replica (KIP-903).
    fn judge(&mut self, now: Duration, slot: BrokerSlot, peer: Option<Peer>) -> bool {
        let may_join = self.may_join(slot);
        let (local, lag_max, is_in) = (self.local, self.lag_max, self.isr.contains(&slot));
        let Some(replica) = self.replicas.get_mut(&slot) else { return false };
        let current = peer.filter(|peer| peer.session == replica.session);
        replica.is_eligible = current.is_some_and(|peer| peer.in_service);
        if !is_in {
            return replica.is_eligible && may_join;
        }
        replica.is_caught_up(now, local, lag_max, current.and_then(|peer| peer.heard_at))
    }

    /// What the controller is being asked for.
    pub fn proposal(&self) -> Option<IsrChange> {
        self.proposed.clone()
    }

    /// The controller refused the change that was decided on `partition_epoch`. When nobody knows what became of it, it is
    /// asked for again instead, and where the partition has changed since, it may be this very change that was made by an
    /// earlier try: until the metadata says more, either set may be the one.
    pub fn on_isr_refused(&mut self, now: Duration, partition_epoch: u32, refusal: &metadata::Refusal) -> Outcome {
        let has_changed = matches!(refusal, metadata::Refusal::PartitionChanged { .. });
        if partition_epoch != self.partition_epoch || has_changed {
            return Outcome::default();
        }
        self.proposed = None;
        self.recompute(now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AckOutcome, Placement, ReplicaRefusal, Waiter};
    use super::*;
    use crate::follower::Fence;
    use model::{CopyTerm, LeaderEpoch};

    const A: BrokerSlot = BrokerSlot(0);
    const B: BrokerSlot = BrokerSlot(1);
    const C: BrokerSlot = BrokerSlot(2);
    const ALL: [BrokerSlot; 3] = [A, B, C];
    const S: BrokerEpoch = BrokerEpoch(5);
    const FENCE: Fence = Fence::Epoch(LeaderEpoch(1));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn placement(isr: &[BrokerSlot], partition_epoch: u32) -> Placement<'_> {
        Placement { me: A, replicas: &ALL, isr, partition_epoch }
    }

    /// Leads at 0 s from offset 10 on, which all hold.
    fn leader(isr: &[BrokerSlot]) -> Partition {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.lead(at(0), LeaderEpoch(1), placement(isr, 1), Offset(10));
        let _ = partition.on_local(at(0), Offset(10));
        for slot in [B, C] {
            let _ = partition.on_fetch(at(0), slot, S, Offset(10));
        }
        partition
    }

    fn well(_: BrokerSlot) -> Option<Peer> {
        Some(Peer { session: S, in_service: true, heard_at: None })
    }

    fn heard(seconds: u64) -> impl Fn(BrokerSlot) -> Option<Peer> {
        move |slot| well(slot).map(|peer| Peer { heard_at: Some(at(seconds)), ..peer })
    }

    #[test]
    fn who_lags_for_too_long_leaves_and_holds_the_watermark_until_the_controller_says_so() {
        let mut partition = leader(&ALL);
        let _ = partition.on_local(at(1), Offset(20));
        let _ = partition.on_fetch(at(1), B, S, Offset(20));
        assert_eq!(partition.propose_isr(at(10), well), None);
        let _ = partition.on_fetch(at(11), B, S, Offset(20));
        let change = partition.propose_isr(at(11), well).unwrap();
        assert_eq!((change.partition_epoch, &*change.isr), (1, &[A, B][..]));
        assert_eq!(partition.high_watermark(), Offset(10));
        assert_eq!(partition.propose_isr(at(12), well), None, "one change at a time");
        assert_eq!(partition.proposal(), Some(change));
        assert!(partition.place(at(12), placement(&[A, B], 2)).advanced);
        assert_eq!(partition.high_watermark(), Offset(20));
    }

    #[test]
    fn an_idle_partitions_replicas_stay_in_sync_while_their_brokers_are_heard() {
        let mut partition = leader(&ALL);
        assert_eq!(partition.propose_isr(at(100), heard(95)), None);
        assert_eq!(partition.propose_isr(at(100), heard(80)).unwrap().isr, [A]);
    }

    #[test]
    fn a_replica_that_keeps_up_with_what_was_there_before_is_in_sync() {
        let mut partition = leader(&ALL);
        for second in 1..30 {
            let _ = partition.on_local(at(second), Offset(10 + second as i64));
            for slot in [B, C] {
                // Always one record behind.
                let _ = partition.on_fetch(at(second), slot, S, Offset(9 + second as i64));
            }
        }
        assert_eq!(partition.propose_isr(at(30), well), None);
    }

    #[test]
    fn a_replica_that_reports_more_often_than_it_flushes_is_in_sync() {
        let mut partition = leader(&ALL);
        let at = |millis: i64| Duration::from_millis(millis as u64);
        for milli in 1..20_000 {
            // A record each millisecond; the replicas say each millisecond what they held three milliseconds ago.
            let _ = partition.on_local(at(milli), Offset(10 + milli));
            for slot in [B, C] {
                let _ = partition.on_progress(at(milli), slot, S, Offset(7 + milli));
            }
        }
        assert_eq!(partition.propose_isr(at(20_000), well), None);
        let _ = partition.on_local(at(20_000), Offset(30_000));
        assert_eq!(partition.propose_isr(at(31_000), well).unwrap().isr, [A], "who says nothing more is not");
    }

    #[test]
    fn who_was_taken_out_of_the_set_is_not_waited_for() {
        let mut partition = leader(&ALL);
        assert_eq!(partition.propose_isr(at(0), well), None);
        let _ = partition.on_local(at(1), Offset(20));
        let _ = partition.on_fetch(at(1), B, S, Offset(20));
        // Its broker is gone: the controller has fenced it.
        assert!(partition.place(at(2), placement(&[A, B], 2)).advanced);
        assert_eq!(partition.high_watermark(), Offset(20));
    }

    #[test]
    fn who_has_caught_up_joins_and_counts_from_the_moment_it_is_asked_for() {
        let mut partition = leader(&[A, B]);
        let _ = partition.on_local(at(1), Offset(20));
        assert!(!partition.on_fetch(at(1), B, S, Offset(20)).may_join);
        assert!(partition.on_fetch(at(1), C, S, Offset(20)).may_join);
        let change = partition.propose_isr(at(1), well).unwrap();
        assert_eq!((&*change.isr, &*change.joined), (&ALL[..], &[(C, S)][..]));
        let _ = partition.on_local(at(2), Offset(30));
        let _ = partition.on_fetch(at(2), B, S, Offset(30));
        assert_eq!(partition.high_watermark(), Offset(20), "it may be in sync already");
        let _ = partition.on_isr_refused(at(20), 7, &metadata::Refusal::Fenced(C));
        assert_eq!(partition.high_watermark(), Offset(20), "that was another change");
        assert!(partition.on_isr_refused(at(20), 1, &metadata::Refusal::Fenced(C)).advanced);
    }

    #[test]
    fn a_change_that_an_earlier_try_may_have_made_counts_until_the_metadata_says_more() {
        let mut partition = leader(&[A, B]);
        let change = partition.propose_isr(at(0), well).unwrap();
        let _ = partition.on_local(at(20), Offset(30));
        let _ = partition.on_fetch(at(20), B, S, Offset(30));
        // The first try was agreed on, but its answer was lost; the second one finds the partition changed by it.
        let refused = metadata::Refusal::PartitionChanged { given: 1, current: 2 };
        assert!(!partition.on_isr_refused(at(20), 1, &refused).advanced);
        assert_eq!((partition.high_watermark(), partition.proposal()), (Offset(10), Some(change)));
        assert!(!partition.place(at(20), placement(&ALL, 2)).advanced, "it is in sync, and holds no more");
        assert!(partition.on_fetch(at(21), C, S, Offset(30)).advanced);
    }

    #[test]
    fn a_change_that_is_asked_for_again_names_the_sessions_it_was_decided_on() {
        let mut partition = leader(&[A, B]);
        let change = partition.propose_isr(at(0), well).unwrap();
        assert_eq!(change.joined, [(C, S)]);
        // Its disk was replaced: what it held in that session is gone.
        let _ = partition.on_fetch(at(1), C, BrokerEpoch(6), Offset(0));
        assert_eq!(partition.proposal(), Some(change));
    }

    #[test]
    fn what_is_committed_is_not_enough_to_join_below_the_leaderships_beginning() {
        let mut partition = Partition::fenced(Offset(5));
        let _ = partition.lead(at(0), LeaderEpoch(1), placement(&[A, B], 1), Offset(10));
        let _ = partition.on_local(at(0), Offset(10));
        assert!(!partition.on_fetch(at(0), C, S, Offset(7)).may_join);
        assert_eq!(partition.propose_isr(at(0), well), None);
        assert!(partition.on_fetch(at(0), C, S, Offset(10)).may_join);
    }

    #[test]
    fn a_fenced_broker_or_one_that_started_again_does_not_join() {
        let mut partition = leader(&[A, B]);
        let fenced = |slot| well(slot).map(|peer| Peer { in_service: slot == B, ..peer });
        assert_eq!(partition.propose_isr(at(0), fenced), None);
        let newer = |slot| well(slot).map(|peer| Peer { session: BrokerEpoch(6), ..peer });
        assert_eq!(partition.propose_isr(at(0), newer), None);
    }

    #[test]
    fn a_new_session_begins_anew_and_an_old_one_is_not_heard() {
        let mut partition = leader(&ALL);
        let _ = partition.on_local(at(1), Offset(20));
        let _ = partition.on_fetch(at(1), B, S, Offset(20));
        let _ = partition.on_fetch(at(2), C, BrokerEpoch(6), Offset(3));
        assert_eq!(partition.replicas().last().unwrap().durable, Offset(3));
        assert!(!partition.on_progress(at(2), C, S, Offset(20)).advanced, "the session before the start is over");
        let refused = ReplicaRefusal::OldSession { given: S, current: BrokerEpoch(6) };
        assert_eq!(partition.admit_replica(C, S, FENCE), Err(refused));
    }

    #[test]
    fn the_leadership_is_compared_before_the_replica_is_looked_for() {
        let partition = leader(&ALL);
        let admit = |slot, fence| partition.admit_replica(slot, S, fence);
        let stranger = BrokerSlot(9);
        assert!(matches!(admit(stranger, Fence::Epoch(LeaderEpoch(0))), Err(ReplicaRefusal::Fenced { .. })));
        assert!(matches!(admit(stranger, Fence::Epoch(LeaderEpoch(2))), Err(ReplicaRefusal::NotYet { .. })));
        assert!(matches!(admit(B, Fence::Term(CopyTerm(9))), Err(ReplicaRefusal::Fenced { .. })));
        assert_eq!(admit(stranger, FENCE), Err(ReplicaRefusal::Stranger(stranger)));
        assert_eq!(admit(B, FENCE), Ok(()));
    }

    #[test]
    fn an_older_state_of_the_partition_changes_nothing() {
        let mut partition = leader(&ALL);
        let _ = partition.place(at(0), placement(&[A, B], 3));
        let _ = partition.place(at(0), placement(&ALL, 2));
        assert_eq!(partition.in_sync(), 2);
        assert_eq!(partition.replicas().next().unwrap().durable, Offset(10), "replica state outlives the change");
    }

    #[test]
    fn progress_counts_only_after_the_replicas_log_was_looked_at() {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.lead_copy(at(0), CopyTerm(1), placement(&[A, B], 1));
        let _ = partition.on_local(at(0), Offset(20));
        let _ = partition.on_progress(at(0), B, BrokerEpoch::default(), Offset(20));
        assert_eq!(partition.copy_watermark(), Offset(0));
        let _ = partition.on_fetch(at(0), B, S, Offset(20));
        assert_eq!(partition.copy_watermark(), Offset(20));
        partition.on_truncated(Offset(15));
        let _ = partition.on_local(at(1), Offset(30));
        let _ = partition.on_progress(at(1), B, S, Offset(25));
        assert_eq!(partition.copy_watermark(), Offset(15), "what it flushed may be of the tail that was cut off");
        let _ = partition.on_fetch(at(1), B, S, Offset(25));
        assert_eq!(partition.copy_watermark(), Offset(25));
    }

    #[test]
    fn a_new_leadership_forgets_what_replicas_held() {
        let mut partition = leader(&ALL);
        let _ = partition.lead(at(1), LeaderEpoch(2), placement(&ALL, 2), Offset(10));
        assert!(partition.replicas().all(|replica| replica.durable == Offset::ZERO));
    }

    #[test]
    fn an_ack_of_one_waits_for_this_broker_only() {
        let mut partition = leader(&ALL);
        assert!(partition.await_local_ack(Waiter(1), Offset(20), at(30)).acks.is_empty());
        assert!(partition.await_ack(Waiter(2), Offset(20), at(30)).acks.is_empty());
        assert_eq!(partition.on_local(at(1), Offset(20)).acks, [(Waiter(1), AckOutcome::Committed)]);
        assert_eq!(partition.on_storage_failure().acks, [(Waiter(2), AckOutcome::Storage)]);
    }
}
