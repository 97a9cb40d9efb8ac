use super::{AckOutcome, Outcome, Partition, Placement, Refusal, Role, Waiter};
use crate::follower::Fence;
use model::{CopyTerm, LeaderEpoch, Offset};
use std::time::Duration;

impl Partition {
    /// Leads as the owner. `epoch_start` is where clients are told this leadership begins: the tail, or across a hole
    /// the base of the new lineage. Acks that wait from an earlier leadership are settled.
    pub fn lead(
        &mut self,
        now: Duration,
        leader_epoch: LeaderEpoch,
        placement: Placement<'_>,
        epoch_start: Offset,
    ) -> Outcome {
        self.start(now, Role::Owner { leader_epoch }, placement, epoch_start)
    }

    /// Leads a copy.
    pub fn lead_copy(&mut self, now: Duration, term: CopyTerm, placement: Placement<'_>) -> Outcome {
        self.start(now, Role::Copy { term }, placement, Offset::ZERO)
    }

    /// Follows another broker of the region.
    pub fn follow(&mut self, fence: Fence) -> Outcome {
        self.end(Role::Replica { fence })
    }

    /// Leads and follows no more.
    pub fn fence(&mut self) -> Outcome {
        self.end(Role::Fenced)
    }

    fn start(&mut self, now: Duration, role: Role, placement: Placement<'_>, epoch_start: Offset) -> Outcome {
        let outcome = self.end(role);
        self.epoch_start = epoch_start;
        self.begin_replicas(now, placement);
        outcome
    }

    fn end(&mut self, role: Role) -> Outcome {
        self.role = role;
        self.epoch_start = Offset::ZERO;
        self.copy_watermark = Offset::ZERO;
        self.upstream_watermark = Offset::ZERO;
        if let Some(synced) = &mut self.synced {
            synced.forget();
        }
        self.replicas.clear();
        self.isr.clear();
        self.proposed = None;
        Outcome { acks: self.drain(AckOutcome::NotLeader), ..Outcome::default() }
    }

    /// Everything that waits for an ack is told `outcome`.
    fn drain(&mut self, outcome: AckOutcome) -> Vec<(Waiter, AckOutcome)> {
        let waiters = self.acks.drain().into_iter().chain(self.local_acks.drain());
        waiters.map(|waiter| (waiter, outcome)).collect()
    }

    /// The log takes no more writes: nothing becomes durable here any more.
    pub fn on_storage_failure(&mut self) -> Outcome {
        Outcome { acks: self.drain(AckOutcome::Storage), ..Outcome::default() }
    }

    /// How many in-sync replicas an acks=all write asks for.
    pub fn set_min_insync(&mut self, now: Duration, min_insync: usize) -> Outcome {
        self.min_insync = min_insync;
        self.recompute(now)
    }

    /// This broker holds everything below `offset` durably.
    pub fn on_local(&mut self, now: Duration, offset: Offset) -> Outcome {
        self.local = offset;
        self.recompute(now)
    }

    /// The source of this copy, or the leader this replica follows, has committed everything below `offset`.
    pub fn on_upstream_watermark(&mut self, now: Duration, offset: Offset) -> Outcome {
        self.upstream_watermark.advance(offset);
        self.recompute(now)
    }

    /// The log was cut off at `tail`. What readers of a copy saw stays their high watermark: those offsets are never
    /// given out again. A replica has to be cut below it only after an unclean election, which loses what they saw.
    pub fn on_truncated(&mut self, tail: Offset) {
        self.local = self.local.min(tail);
        self.copy_watermark = self.copy_watermark.min(tail);
        self.cut_replicas(tail);
        if let Role::Replica { .. } = self.role {
            self.high_watermark = self.high_watermark.min(tail);
        }
    }

    pub(super) fn recompute(&mut self, now: Duration) -> Outcome {
        let held = self.held_by_all(now);
        let committed = match self.role {
            Role::Fenced => return Outcome::default(),
            // KIP-966: what too few replicas hold is not committed.
            Role::Owner { .. } if self.isr.len() < self.effective_min_insync() => self.high_watermark,
            Role::Owner { .. } => match &mut self.synced {
                None => held,
                Some(synced) => {
                    synced.observe(now, held, self.high_watermark);
                    synced.committed(held, self.high_watermark)
                }
            },
            Role::Copy { .. } => {
                self.copy_watermark = held;
                held.min(self.upstream_watermark)
            }
            Role::Replica { .. } => self.local.min(self.upstream_watermark),
        };
        let advanced = committed > self.high_watermark;
        self.high_watermark.advance(committed);
        Outcome { advanced, acks: self.release(), may_join: false }
    }

    fn release(&mut self) -> Vec<(Waiter, AckOutcome)> {
        if self.leader_epoch().is_err() {
            return vec![];
        }
        let enough = self.check_in_sync().is_ok();
        let outcome = if enough { AckOutcome::Committed } else { AckOutcome::NotEnoughReplicas };
        let committed = self.acks.release(self.high_watermark).into_iter().map(|waiter| (waiter, outcome));
        let local = self.local_acks.release(self.local).into_iter().map(|waiter| (waiter, AckOutcome::Committed));
        committed.chain(local).collect()
    }

    /// The watermark cannot wait for more replicas than there are.
    fn effective_min_insync(&self) -> usize {
        self.min_insync.min(self.replicas.len() + 1)
    }

    pub(super) fn check_in_sync(&self) -> Result<(), Refusal> {
        let (in_sync, required) = (self.isr.len(), self.min_insync);
        if in_sync >= required { Ok(()) } else { Err(Refusal::NotEnoughReplicas { in_sync, required }) }
    }

    /// Waits until everything below `required` is committed. The outcome settles this ack too if it already is.
    pub fn await_ack(&mut self, waiter: Waiter, required: Offset, deadline: Duration) -> Outcome {
        self.acks.add(waiter, required, deadline);
        Outcome { acks: self.release(), ..Outcome::default() }
    }

    /// Waits until everything below `required` is durable on this broker (acks=1).
    pub fn await_local_ack(&mut self, waiter: Waiter, required: Offset, deadline: Duration) -> Outcome {
        self.local_acks.add(waiter, required, deadline);
        Outcome { acks: self.release(), ..Outcome::default() }
    }

    /// A request that waited is gone.
    pub fn abandon_ack(&mut self, waiter: Waiter) {
        self.acks.remove(waiter);
        self.local_acks.remove(waiter);
    }

    /// Acks whose time is up.
    pub fn on_time(&mut self, now: Duration) -> Outcome {
        let due = self.acks.expire(now).into_iter().chain(self.local_acks.expire(now));
        Outcome { acks: due.map(|waiter| (waiter, AckOutcome::TimedOut)).collect(), ..Outcome::default() }
    }

    /// When [`on_time`](Self::on_time) wants to be called.
    pub fn next_deadline(&self) -> Option<Duration> {
        [self.acks.next_deadline(), self.local_acks.next_deadline()].into_iter().flatten().min()
    }

    /// Below it everything is committed and shown to readers.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// On a copy: what its whole in-sync set holds. It is what a seal reports and, in SYNC, what the source counts.
    pub fn copy_watermark(&self) -> Offset {
        self.copy_watermark
    }

    /// The end of the partition, as ListOffsets answers "latest".
    ///
    /// # Errors
    /// [`Refusal::OffsetNotAvailable`] while an owner's leadership has committed nothing of its own yet: an answer
    /// could be before what an earlier leader said (KIP-207).
    pub fn latest(&self) -> Result<Offset, Refusal> {
        let owner = self.leader_epoch().is_ok();
        if owner && self.high_watermark < self.epoch_start {
            return Err(Refusal::OffsetNotAvailable);
        }
        Ok(self.high_watermark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::BrokerEpoch;
    use model::BrokerSlot;
    use proptest::prelude::*;

    const A: BrokerSlot = BrokerSlot(0);
    const B: BrokerSlot = BrokerSlot(1);
    const NOW: Duration = Duration::from_secs(1);

    fn placed<'a>(replicas: &'a [BrokerSlot], isr: &'a [BrokerSlot], partition_epoch: u32) -> Placement<'a> {
        Placement { me: A, replicas, isr, partition_epoch }
    }

    fn owner(isr: &[BrokerSlot], min_insync: usize) -> Partition {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.lead(NOW, LeaderEpoch(1), placed(&[A, B], isr, 1), Offset::ZERO);
        let _ = partition.set_min_insync(NOW, min_insync);
        partition
    }

    fn hold(partition: &mut Partition, slot: BrokerSlot, offset: i64) -> Outcome {
        match slot {
            A => partition.on_local(NOW, Offset(offset)),
            other => partition.on_fetch(NOW, other, BrokerEpoch(1), Offset(offset)),
        }
    }

    fn wait(partition: &mut Partition, waiter: u64, required: i64) -> Outcome {
        partition.await_ack(Waiter(waiter), Offset(required), Duration::from_secs(30))
    }

    #[test]
    fn acks_are_released_in_order_once_everyone_holds_the_records() {
        let mut partition = owner(&[A, B], 2);
        assert!(wait(&mut partition, 1, 5).acks.is_empty());
        assert!(wait(&mut partition, 2, 9).acks.is_empty());
        assert_eq!(hold(&mut partition, A, 9), Outcome::default());
        let outcome = hold(&mut partition, B, 5);
        let acks = vec![(Waiter(1), AckOutcome::Committed)];
        assert_eq!(outcome, Outcome { advanced: true, acks, may_join: false });
        assert_eq!(hold(&mut partition, B, 9).acks, vec![(Waiter(2), AckOutcome::Committed)]);
        assert_eq!(wait(&mut partition, 3, 9).acks, vec![(Waiter(3), AckOutcome::Committed)]);
    }

    #[test]
    fn a_broker_alone_commits_what_it_holds() {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.lead(NOW, LeaderEpoch(1), placed(&[A], &[A], 1), Offset::ZERO);
        let _ = partition.set_min_insync(NOW, 2);
        assert!(hold(&mut partition, A, 4).advanced, "no more replicas can be waited for than there are");
        assert!(matches!(partition.check_in_sync(), Err(Refusal::NotEnoughReplicas { in_sync: 1, required: 2 })));
    }

    #[test]
    fn under_min_insync_nothing_is_committed_and_acks_of_all_are_refused() {
        let mut partition = owner(&[A], 2);
        assert!(!hold(&mut partition, A, 4).advanced);
        assert!(matches!(partition.check_in_sync(), Err(Refusal::NotEnoughReplicas { in_sync: 1, required: 2 })));
    }

    #[test]
    fn an_in_sync_set_that_shrinks_before_the_ack_is_told() {
        let mut partition = owner(&[A, B], 2);
        let _ = hold(&mut partition, A, 4);
        let _ = hold(&mut partition, B, 4);
        let _ = partition.place(NOW, placed(&[A, B], &[A], 2));
        let outcome = wait(&mut partition, 1, 4);
        assert_eq!(outcome.acks, vec![(Waiter(1), AckOutcome::NotEnoughReplicas)]);
    }

    #[test]
    fn a_copy_shows_what_is_both_held_here_and_committed_there() {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.lead_copy(NOW, CopyTerm(1), placed(&[A], &[A], 1));
        let _ = hold(&mut partition, A, 9);
        assert_eq!((partition.high_watermark(), partition.copy_watermark()), (Offset(0), Offset(9)));
        let _ = partition.on_upstream_watermark(NOW, Offset(6));
        assert_eq!(partition.high_watermark(), Offset(6));
        partition.on_truncated(Offset(4));
        assert_eq!((partition.high_watermark(), partition.copy_watermark()), (Offset(6), Offset(4)));
    }

    #[test]
    fn a_replica_shows_what_it_holds_and_its_leader_has_committed() {
        let mut partition = Partition::fenced(Offset::ZERO);
        let _ = partition.follow(Fence::Epoch(LeaderEpoch(3)));
        let _ = hold(&mut partition, A, 9);
        assert_eq!(partition.high_watermark(), Offset(0));
        let _ = partition.on_upstream_watermark(NOW, Offset(12));
        assert_eq!(partition.high_watermark(), Offset(9));
        let _ = partition.follow(Fence::Epoch(LeaderEpoch(4)));
        let _ = hold(&mut partition, A, 20);
        assert_eq!(partition.high_watermark(), Offset(9), "the next leader has said nothing yet");
        partition.on_truncated(Offset(4));
        assert_eq!(partition.high_watermark(), Offset(4));
    }

    #[test]
    fn the_end_is_not_told_before_the_new_leadership_has_committed() {
        let mut partition = Partition::fenced(Offset(5));
        let _ = partition.lead(NOW, LeaderEpoch(1), placed(&[A], &[A], 1), Offset(9));
        assert_eq!(partition.latest(), Err(Refusal::OffsetNotAvailable));
        let _ = hold(&mut partition, A, 10);
        assert_eq!(partition.latest(), Ok(Offset(10)));
    }

    #[test]
    fn acks_end_with_their_leadership_or_their_time() {
        let mut partition = owner(&[A, B], 1);
        let _ = wait(&mut partition, 1, 5);
        assert_eq!(partition.next_deadline(), Some(Duration::from_secs(30)));
        assert_eq!(partition.on_time(Duration::from_secs(30)).acks, vec![(Waiter(1), AckOutcome::TimedOut)]);
        let _ = wait(&mut partition, 2, 5);
        let _ = wait(&mut partition, 3, 5);
        partition.abandon_ack(Waiter(3));
        assert_eq!(partition.fence().acks, vec![(Waiter(2), AckOutcome::NotLeader)]);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Lead(i32),
        Follow(u64),
        Fence,
        Durable(bool, i64),
        Source(i64),
        Truncate(i64),
        Sync(bool),
        Isr(bool),
    }

    fn any_act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0_i32..9).prop_map(Act::Lead),
            (0_u64..9).prop_map(Act::Follow),
            Just(Act::Fence),
            (any::<bool>(), 0_i64..100).prop_map(|(first, offset)| Act::Durable(first, offset)),
            (0_i64..100).prop_map(Act::Source),
            (0_i64..100).prop_map(Act::Truncate),
            any::<bool>().prop_map(Act::Sync),
            any::<bool>().prop_map(Act::Isr),
        ]
    }

    proptest! {
        #[test]
        fn the_high_watermark_never_goes_back(acts in prop::collection::vec(any_act(), 0..60)) {
            let mut partition = Partition::fenced(Offset::ZERO);
            let (mut seen, mut epoch) = (Offset::ZERO, 0);
            let target = model::RegionName::new("r2").unwrap();
            let rule = model::SyncRule { mode_epoch: model::ModeEpoch(1), target, incarnation: model::Incarnation(1), patience: model::Patience::Waits };
            for act in acts {
                epoch += 1;
                let both = placed(&[A, B], &[A, B], epoch);
                let _ = match act {
                    Act::Lead(leader) => partition.lead(NOW, LeaderEpoch(leader), both, Offset::ZERO),
                    Act::Follow(term) => partition.lead_copy(NOW, CopyTerm(term), both),
                    Act::Fence => partition.fence(),
                    Act::Durable(first, at) => hold(&mut partition, if first { A } else { B }, at),
                    Act::Source(at) => partition.on_upstream_watermark(NOW, Offset(at)),
                    Act::Truncate(at) => {
                        partition.on_truncated(Offset(at));
                        Outcome::default()
                    }
                    Act::Sync(on) => partition.set_sync(NOW, on.then_some(&rule)),
                    Act::Isr(all) => partition.place(NOW, if all { both } else { placed(&[A, B], &[A], epoch) }),
                };
                prop_assert!(partition.high_watermark() >= seen);
                seen = partition.high_watermark();
            }
        }
    }
}
