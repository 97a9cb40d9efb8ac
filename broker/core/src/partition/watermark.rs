use super::{AckOutcome, Outcome, Partition, Refusal, Role, Waiter};
use model::{BrokerSlot, CopyTerm, LeaderEpoch, Offset};
use std::time::Duration;

impl Partition {
    /// Leads as the owner. `epoch_start` is where clients are told this leadership begins: the tail, or across a hole
    /// the base of the new lineage. Acks that wait from an earlier leadership are settled.
    pub fn lead(
        &mut self,
        leader_epoch: LeaderEpoch,
        replicas: usize,
        isr: &[BrokerSlot],
        epoch_start: Offset,
    ) -> Outcome {
        self.start(Role::Owner { leader_epoch }, replicas, isr, epoch_start)
    }

    /// Leads a copy.
    pub fn follow(&mut self, term: CopyTerm, replicas: usize, isr: &[BrokerSlot]) -> Outcome {
        self.source_watermark = Offset::ZERO;
        self.start(Role::Copy { term }, replicas, isr, Offset::ZERO)
    }

    /// Leads no more.
    pub fn fence(&mut self) -> Outcome {
        self.start(Role::Fenced, self.replicas, &[], Offset::ZERO)
    }

    fn start(&mut self, role: Role, replicas: usize, isr: &[BrokerSlot], epoch_start: Offset) -> Outcome {
        self.role = role;
        self.replicas = replicas;
        self.epoch_start = epoch_start;
        self.copy_watermark = Offset::ZERO;
        self.link_durable = None;
        self.isr = isr.iter().copied().collect();
        self.durable = isr.iter().map(|slot| (*slot, Offset::ZERO)).collect();
        let acks = self.acks.drain().into_iter().map(|waiter| (waiter, AckOutcome::NotLeader)).collect();
        Outcome { advanced: false, acks }
    }

    /// The in-sync set changed; `joining` are those the controller is being asked to let in. Both count (Kafka's
    /// maximal ISR), so that a watermark never runs ahead of a set that is about to be.
    pub fn set_isr(&mut self, isr: &[BrokerSlot], joining: &[BrokerSlot]) -> Outcome {
        self.isr = isr.iter().copied().collect();
        let known = std::mem::take(&mut self.durable);
        let of = |slot: &BrokerSlot| (*slot, known.get(slot).copied().unwrap_or_default());
        self.durable = isr.iter().chain(joining).map(of).collect();
        self.recompute()
    }

    /// How many in-sync replicas an acks=all write asks for.
    pub fn set_min_insync(&mut self, min_insync: usize) -> Outcome {
        self.min_insync = min_insync;
        self.recompute()
    }

    /// A replica holds everything below `offset` durably.
    pub fn on_durable(&mut self, slot: BrokerSlot, offset: Offset) -> Outcome {
        if let Some(durable) = self.durable.get_mut(&slot) {
            durable.advance(offset);
        }
        self.recompute()
    }

    /// In SYNC the linked copy counts: it holds everything below `offset` durably. `None` ends SYNC.
    pub fn on_link_durable(&mut self, offset: Option<Offset>) -> Outcome {
        self.link_durable = offset;
        self.recompute()
    }

    /// The source of this copy has committed everything below `offset`.
    pub fn on_source_watermark(&mut self, offset: Offset) -> Outcome {
        self.source_watermark.advance(offset);
        self.recompute()
    }

    /// The copy was cut off at `tail`. What readers saw stays their high watermark: those offsets are never given out
    /// again.
    pub fn on_truncated(&mut self, tail: Offset) {
        for durable in self.durable.values_mut() {
            *durable = (*durable).min(tail);
        }
        self.copy_watermark = self.copy_watermark.min(tail);
    }

    fn recompute(&mut self) -> Outcome {
        let held = self.durable.values().copied().min().unwrap_or_default();
        let committed = match self.role {
            Role::Fenced => return Outcome::default(),
            Role::Owner { .. } if self.check_in_sync().is_err() => self.high_watermark,
            Role::Owner { .. } => self.link_durable.map_or(held, |link| link.min(held)),
            Role::Copy { .. } => {
                self.copy_watermark = held;
                held.min(self.source_watermark)
            }
        };
        let advanced = committed > self.high_watermark;
        self.high_watermark.advance(committed);
        Outcome { advanced, acks: self.release() }
    }

    fn release(&mut self) -> Vec<(Waiter, AckOutcome)> {
        let enough = self.check_in_sync().is_ok();
        let outcome = if enough { AckOutcome::Committed } else { AckOutcome::NotEnoughReplicas };
        let released = if self.leader_epoch().is_ok() { self.acks.release(self.high_watermark) } else { vec![] };
        released.into_iter().map(|waiter| (waiter, outcome)).collect()
    }

    /// Nobody can be asked for more replicas than the partition has.
    pub(super) fn check_in_sync(&self) -> Result<(), Refusal> {
        let (in_sync, required) = (self.isr.len(), self.min_insync.min(self.replicas));
        if in_sync >= required { Ok(()) } else { Err(Refusal::NotEnoughReplicas { in_sync, required }) }
    }

    /// Waits until everything below `required` is committed. The outcome settles this ack too if it already is.
    pub fn await_ack(&mut self, waiter: Waiter, required: Offset, deadline: Duration) -> Outcome {
        self.acks.add(waiter, required, deadline);
        Outcome { advanced: false, acks: self.release() }
    }

    /// A request that waited is gone.
    pub fn abandon_ack(&mut self, waiter: Waiter) {
        self.acks.remove(waiter);
    }

    /// Acks whose time is up.
    pub fn on_time(&mut self, now: Duration) -> Outcome {
        let acks = self.acks.expire(now).into_iter().map(|waiter| (waiter, AckOutcome::TimedOut)).collect();
        Outcome { advanced: false, acks }
    }

    /// When [`on_time`](Self::on_time) wants to be called.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.acks.next_deadline()
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
    use proptest::prelude::*;

    const A: BrokerSlot = BrokerSlot(0);
    const B: BrokerSlot = BrokerSlot(1);

    fn owner(isr: &[BrokerSlot], min_insync: usize) -> Partition {
        let mut partition = Partition::fenced(Offset::ZERO);
        partition.lead(LeaderEpoch(1), 3, isr, Offset::ZERO);
        partition.set_min_insync(min_insync);
        partition
    }

    fn wait(partition: &mut Partition, waiter: u64, required: i64) -> Outcome {
        partition.await_ack(Waiter(waiter), Offset(required), Duration::from_secs(30))
    }

    #[test]
    fn acks_are_released_in_order_once_everyone_holds_the_records() {
        let mut partition = owner(&[A, B], 2);
        assert!(wait(&mut partition, 1, 5).acks.is_empty());
        assert!(wait(&mut partition, 2, 9).acks.is_empty());
        assert_eq!(partition.on_durable(A, Offset(9)), Outcome::default());
        let outcome = partition.on_durable(B, Offset(5));
        assert_eq!(outcome, Outcome { advanced: true, acks: vec![(Waiter(1), AckOutcome::Committed)] });
        assert_eq!(partition.on_durable(B, Offset(9)).acks, vec![(Waiter(2), AckOutcome::Committed)]);
        assert_eq!(wait(&mut partition, 3, 9).acks, vec![(Waiter(3), AckOutcome::Committed)]);
    }

    #[test]
    fn a_broker_alone_commits_what_it_holds() {
        let mut partition = Partition::fenced(Offset::ZERO);
        partition.lead(LeaderEpoch(1), 1, &[A], Offset::ZERO);
        partition.set_min_insync(2);
        assert!(partition.on_durable(A, Offset(4)).advanced, "no more replicas can be asked for than there are");
    }

    #[test]
    fn under_min_insync_nothing_is_committed_and_acks_of_all_are_refused() {
        let mut partition = owner(&[A], 2);
        assert!(!partition.on_durable(A, Offset(4)).advanced);
        assert!(matches!(partition.check_in_sync(), Err(Refusal::NotEnoughReplicas { in_sync: 1, required: 2 })));
    }

    #[test]
    fn an_in_sync_set_that_shrinks_before_the_ack_is_told() {
        let mut partition = owner(&[A, B], 2);
        partition.on_durable(A, Offset(4));
        partition.on_durable(B, Offset(4));
        partition.set_isr(&[A], &[]);
        let outcome = wait(&mut partition, 1, 4);
        assert_eq!(outcome.acks, vec![(Waiter(1), AckOutcome::NotEnoughReplicas)]);
    }

    #[test]
    fn a_replica_about_to_join_counts_already() {
        let mut partition = owner(&[A], 1);
        partition.set_isr(&[A], &[B]);
        assert!(!partition.on_durable(A, Offset(4)).advanced);
        assert!(partition.on_durable(B, Offset(3)).advanced);
        assert_eq!(partition.high_watermark(), Offset(3));
    }

    #[test]
    fn in_sync_mode_the_linked_copy_holds_the_watermark_back() {
        let mut partition = owner(&[A], 1);
        partition.on_link_durable(Some(Offset(2)));
        partition.on_durable(A, Offset(9));
        assert_eq!(partition.high_watermark(), Offset(2));
        assert!(partition.on_link_durable(None).advanced);
        assert_eq!(partition.high_watermark(), Offset(9));
    }

    #[test]
    fn a_copy_shows_what_is_both_held_here_and_committed_there() {
        let mut partition = Partition::fenced(Offset::ZERO);
        partition.follow(CopyTerm(1), 1, &[A]);
        partition.on_durable(A, Offset(9));
        assert_eq!((partition.high_watermark(), partition.copy_watermark()), (Offset(0), Offset(9)));
        partition.on_source_watermark(Offset(6));
        assert_eq!(partition.high_watermark(), Offset(6));
        partition.on_truncated(Offset(4));
        assert_eq!((partition.high_watermark(), partition.copy_watermark()), (Offset(6), Offset(4)));
    }

    #[test]
    fn the_end_is_not_told_before_the_new_leadership_has_committed() {
        let mut partition = Partition::fenced(Offset(5));
        partition.lead(LeaderEpoch(1), 1, &[A], Offset(9));
        assert_eq!(partition.latest(), Err(Refusal::OffsetNotAvailable));
        partition.on_durable(A, Offset(10));
        assert_eq!(partition.latest(), Ok(Offset(10)));
    }

    #[test]
    fn acks_end_with_their_leadership_or_their_time() {
        let mut partition = owner(&[A, B], 1);
        wait(&mut partition, 1, 5);
        assert_eq!(partition.next_deadline(), Some(Duration::from_secs(30)));
        assert_eq!(partition.on_time(Duration::from_secs(30)).acks, vec![(Waiter(1), AckOutcome::TimedOut)]);
        wait(&mut partition, 2, 5);
        wait(&mut partition, 3, 5);
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
        Link(Option<i64>),
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
            prop::option::of(0_i64..100).prop_map(Act::Link),
            any::<bool>().prop_map(Act::Isr),
        ]
    }

    proptest! {
        #[test]
        fn the_high_watermark_never_goes_back(acts in prop::collection::vec(any_act(), 0..60)) {
            let mut partition = Partition::fenced(Offset::ZERO);
            let mut seen = Offset::ZERO;
            for act in acts {
                match act {
                    Act::Lead(epoch) => drop(partition.lead(LeaderEpoch(epoch), 2, &[A, B], Offset::ZERO)),
                    Act::Follow(term) => drop(partition.follow(CopyTerm(term), 2, &[A, B])),
                    Act::Fence => drop(partition.fence()),
                    Act::Durable(first, at) => drop(partition.on_durable(if first { A } else { B }, Offset(at))),
                    Act::Source(at) => drop(partition.on_source_watermark(Offset(at))),
                    Act::Truncate(at) => partition.on_truncated(Offset(at)),
                    Act::Link(at) => drop(partition.on_link_durable(at.map(Offset))),
                    Act::Isr(both) => drop(partition.set_isr(if both { &[A, B] } else { &[A] }, &[])),
                }
                prop_assert!(partition.high_watermark() >= seen);
                seen = partition.high_watermark();
            }
        }
    }
}
