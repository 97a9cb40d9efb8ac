use super::{Fact, Invariant, View};
use broker_core::metadata::Partition;
use model::BrokerSlot;

/// Every member of the controller's in-sync set, and every replica that is eligible, has all that is committed on its disk
/// (I2).
pub(super) struct InSyncHoldsCommitted;

impl Invariant for InSyncHoldsCommitted {
    fn name(&self) -> &'static str {
        "in-sync-holds-committed"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        match fact {
            Fact::Committed { partition, .. } | Fact::Cut { partition, .. } => check(*partition, view),
            Fact::Agreed { .. } | Fact::Recovered => {
                (0..view.history.partitions.len()).try_for_each(|partition| check(partition, view))
            }
            _ => Ok(()),
        }
    }
}

fn check(partition: usize, view: &View<'_>) -> Result<(), String> {
    let committed = &view.history.partitions[partition].committed;
    let (Some(last), Some(placed)) = (committed.last(), view.placed(partition)) else { return Ok(()) };
    members(placed).try_for_each(|broker| {
        let known = view.image.broker(BrokerSlot(broker as u16)).map_or(0, |known| u64::from(known.incarnation.0));
        if known < view.disks[broker].incarnation {
            // Its disk was replaced, and the controller has not heard of it yet.
            return Ok(());
        }
        let heard = view.image.broker(BrokerSlot(broker as u16)).map_or(0, |known| known.boot.process);
        if view.late && heard != view.disks[broker].life {
            // It was started again, or lost its power, and the controller has not heard of it yet.
            return Ok(());
        }
        // A log with the same batch at an offset is the same below.
        let has = view.kept(&view.disks[broker].logs[partition], committed.len() - 1);
        if has == Some(*last) {
            return Ok(());
        }
        let at = committed.len() - 1;
        Err(format!("broker {broker} is in sync with partition {partition} and has {has:?} on disk at offset {at}; committed is {last:?}"))
    })
}

fn members(placed: &Partition) -> impl Iterator<Item = usize> + '_ {
    placed.isr.iter().chain(&placed.elr).map(|slot| usize::from(slot.0))
}
