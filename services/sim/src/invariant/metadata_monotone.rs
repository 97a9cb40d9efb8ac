use super::{Fact, Invariant, View};
use broker_core::metadata::{Image, Partition, Role};
use model::{LeaderEpoch, PartitionId};

/// Leader epochs, partition epochs, sessions and the controller's term never go back, and another leader is another
/// epoch (I9).
pub(super) struct MetadataMonotone;

impl Invariant for MetadataMonotone {
    fn name(&self) -> &'static str {
        "metadata-monotone"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Agreed { before, after } = fact else { return Ok(()) };
        if after.reign() < before.reign() {
            return Err(format!("{} after {}", after.reign(), before.reign()));
        }
        sessions(before, after)?;
        (0..view.history.partitions.len()).try_for_each(|partition| {
            let of = |image: &Image| image.partition(view.topic, PartitionId(partition as i32)).cloned();
            match (of(before), of(after)) {
                (Some(old), Some(new)) => compare(&old, &new),
                _ => Ok(()),
            }
        })
    }
}

fn sessions(before: &Image, after: &Image) -> Result<(), String> {
    let went_back =
        after.brokers().find(|(slot, new)| before.broker(*slot).is_some_and(|old| old.session > new.session));
    went_back.map_or(Ok(()), |(slot, new)| Err(format!("broker {} goes back to session {}", slot.0, new.session)))
}

fn compare(old: &Partition, new: &Partition) -> Result<(), String> {
    let same = (&old.isr, old.leader) == (&new.isr, new.leader);
    if new.partition_epoch < old.partition_epoch || !same && new.partition_epoch == old.partition_epoch {
        return Err(format!("partition epoch {} after {}", new.partition_epoch, old.partition_epoch));
    }
    let (Some(was), Some(is)) = (epoch(old), epoch(new)) else { return Ok(()) };
    let is_other =
        old.leader.map(|leader| (leader.broker, leader.session)) != new.leader.map(|l| (l.broker, l.session));
    if is < was || is_other && is == was { Err(format!("leader epoch {is} after {was}")) } else { Ok(()) }
}

fn epoch(partition: &Partition) -> Option<LeaderEpoch> {
    match partition.leader?.role {
        Role::Owner { leader_epoch } => Some(leader_epoch),
        Role::Copy { .. } => None,
    }
}
