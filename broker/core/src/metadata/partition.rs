use super::{BrokerEpoch, Leader, Lineage, Reassignment, Refusal, Role, Under};
use model::{BrokerSlot, CopyTerm, LeaderEpoch, OwnershipEpoch, PartitionId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One partition in its region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerSlot>,
    /// Those that are in sync. A fenced broker is none of them, unless it is the last that was. Nobody is when the last
    /// one's disk was replaced.
    pub isr: Vec<BrokerSlot>,
    /// Replicas whose broker cannot use their logs in its session, though it may be alive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offline: Vec<BrokerSlot>,
    /// Replicas out of sync that have all that is committed, for too few were in sync since they left (KIP-966). One of
    /// them leads where nobody in sync is alive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elr: Vec<BrokerSlot>,
    /// Who was in sync last, where nobody is and nobody is eligible: it may have lost less than others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_known_leader: Option<BrokerSlot>,
    /// The leader, once one was started.
    pub leader: Option<Leader>,
    /// Counts the changes of leader and in-sync set.
    pub partition_epoch: u32,
    /// The last leader epoch allotted in this region.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The last copy term allotted.
    pub copy_term: CopyTerm,
    /// The move it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reassignment: Option<Reassignment>,
    /// The lineages that began while the region held the partition, oldest first.
    pub lineages: Vec<Lineage>,
}

/// What a broker is to be to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Its leader.
    Lead(Role),
    /// A replica that follows this leader.
    Follow(Leader),
    /// Nothing, for now.
    Resign,
}

impl Partition {
    /// What the broker in `slot` is to be to it in its `session`. What it was elected for in an earlier one is over: since
    /// then it may have lost what it held.
    pub fn due(&self, slot: BrokerSlot, session: BrokerEpoch) -> Due {
        match self.leader {
            Some(leader) if leader.broker != slot => Due::Follow(leader),
            Some(leader) if leader.session == session => Due::Lead(leader.role),
            Some(_) | None => Due::Resign,
        }
    }

    /// A partition held by `replicas`, of which `isr` are in sync, without a leader.
    pub(super) fn on(replicas: Vec<BrokerSlot>, isr: Vec<BrokerSlot>) -> Self {
        Self { isr, replicas, ..Self::default() }
    }

    /// The lineage that `ownership_epoch` began, if it left records behind.
    pub fn lineage(&self, ownership_epoch: OwnershipEpoch) -> Option<&Lineage> {
        self.lineages.iter().find(|lineage| lineage.ownership_epoch == ownership_epoch)
    }

    pub(super) fn record_lineage(&mut self, lineage: Lineage) {
        if self.lineage(lineage.ownership_epoch).is_none() {
            self.lineages.push(lineage);
        }
    }

    /// Whether this leadership is running.
    pub(super) fn is_led(&self, broker: BrokerSlot, session: BrokerEpoch, under: Under) -> bool {
        let same = |leader: Leader| (leader.broker, leader.session, leader.under) == (broker, session, under);
        self.leader.is_some_and(same)
    }

    /// Makes `broker` the leader, with a leader epoch or copy term of its own.
    pub(super) fn start(
        &mut self,
        broker: BrokerSlot,
        session: BrokerEpoch,
        under: Under,
        above: Option<LeaderEpoch>,
    ) -> Result<Role, Refusal> {
        let role = self.allot(under, above)?;
        self.leader = Some(Leader { broker, session, under, role });
        self.last_known_leader = None;
        if let Under::Copy(_) = under {
            self.elr.clear();
        }
        self.partition_epoch += 1;
        Ok(role)
    }

    fn allot(&mut self, under: Under, above: Option<LeaderEpoch>) -> Result<Role, Refusal> {
        match under {
            Under::Copy(_) => {
                self.copy_term = self.copy_term.next();
                Ok(Role::Copy { term: self.copy_term })
            }
            Under::Owner(ownership) => self.allot_epoch(ownership, self.leader_epoch.max(above)),
            Under::Local => {
                let leader_epoch = LeaderEpoch(self.leader_epoch.map_or(0, |last| last.0 + 1));
                self.leader_epoch = Some(leader_epoch);
                Ok(Role::Owner { leader_epoch })
            }
        }
    }

    /// The lowest epoch of `ownership` above `last`.
    fn allot_epoch(&mut self, ownership: OwnershipEpoch, last: Option<LeaderEpoch>) -> Result<Role, Refusal> {
        let exhausted = Refusal::EpochsExhausted(ownership);
        let first = LeaderEpoch::of(ownership, 0).map_err(|_| exhausted.clone())?;
        let next = last.map_or(Ok(first), LeaderEpoch::next).map_err(|_| exhausted.clone())?;
        let leader_epoch = first.max(next);
        if leader_epoch.ownership() != ownership {
            return Err(exhausted);
        }
        self.leader_epoch = Some(leader_epoch);
        Ok(Role::Owner { leader_epoch })
    }
}

/// The partitions of a topic, in order. A changed copy shares with the original all but what was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Arc<Partition>>", into = "Vec<Arc<Partition>>")]
pub(super) struct Partitions(imbl::OrdMap<PartitionId, Arc<Partition>>);

impl Partitions {
    pub(super) fn count(&self) -> i32 {
        self.0.len() as i32
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.0.iter().map(|(number, partition)| (*number, &**partition))
    }

    pub(super) fn get(&self, partition: PartitionId) -> Option<&Partition> {
        self.0.get(&partition).map(|partition| &**partition)
    }

    pub(super) fn get_mut(&mut self, partition: PartitionId) -> Option<&mut Partition> {
        self.0.get_mut(&partition).map(Arc::make_mut)
    }

    pub(super) fn push(&mut self, partition: Partition) {
        self.0.insert(PartitionId(self.count()), Arc::new(partition));
    }

    /// Those that are others, or not there, in `before`. What both share is not looked at.
    pub(super) fn changed_since(&self, before: &Self) -> Vec<PartitionId> {
        let changed = before.0.diff(&self.0).filter_map(|difference| match difference {
            imbl::ordmap::DiffItem::Add(number, _) => Some(*number),
            imbl::ordmap::DiffItem::Update { new: (number, _), .. } => Some(*number),
            imbl::ordmap::DiffItem::Remove(..) => None,
        });
        changed.collect()
    }
}

impl From<Vec<Arc<Partition>>> for Partitions {
    fn from(partitions: Vec<Arc<Partition>>) -> Self {
        Self((0..).map(PartitionId).zip(partitions).collect())
    }
}

impl From<Partitions> for Vec<Arc<Partition>> {
    fn from(partitions: Partitions) -> Self {
        partitions.0.into_iter().map(|(_, partition)| partition).collect()
    }
}

impl FromIterator<Partition> for Partitions {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> Self {
        Self((0..).map(PartitionId).zip(partitions.into_iter().map(Arc::new)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leadership_of_an_earlier_session_is_not_taken_up_again() {
        let (slot, role) = (BrokerSlot(1), Role::Owner { leader_epoch: LeaderEpoch(4) });
        let leader = Leader { broker: slot, session: BrokerEpoch(7), under: Under::Local, role };
        let partition = Partition { leader: Some(leader), ..Partition::on(vec![slot], vec![slot]) };
        assert_eq!(partition.due(slot, BrokerEpoch(7)), Due::Lead(role));
        assert_eq!(partition.due(slot, BrokerEpoch(8)), Due::Resign);
        assert_eq!(partition.due(BrokerSlot(2), BrokerEpoch(7)), Due::Follow(leader));
        assert_eq!(Partition::on(vec![slot], vec![slot]).due(slot, BrokerEpoch(7)), Due::Resign);
    }
}
