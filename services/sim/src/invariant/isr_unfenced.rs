use super::{Fact, Invariant, View};
use broker_core::metadata::{Image, Partition};

/// No fenced broker is in sync, except the last that was; a leader is alive and in sync (I8).
pub(super) struct IsrUnfenced;

impl Invariant for IsrUnfenced {
    fn name(&self) -> &'static str {
        "fenced-never-in-isr"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Agreed { after, .. } = fact else { return Ok(()) };
        (0..view.history.partitions.len())
            .try_for_each(|number| view.placed(number).map_or(Ok(()), |partition| check(after, number, partition)))
    }
}

fn check(image: &Image, number: usize, partition: &Partition) -> Result<(), String> {
    let fenced = partition.isr.iter().find(|slot| !image.is_unfenced(**slot));
    if let Some(slot) = fenced.filter(|_| partition.isr.len() > 1) {
        return Err(format!("broker {} is fenced and in sync with partition {number}: {:?}", slot.0, partition.isr));
    }
    if partition.isr.iter().any(|slot| partition.elr.contains(slot)) {
        return Err(format!("{:?} in sync and {:?} eligible overlap", partition.isr, partition.elr));
    }
    match partition.leader {
        Some(leader) if !image.is_live(&leader) => Err(format!("{leader:?} of partition {number} is not alive")),
        Some(leader) if !partition.isr.contains(&leader.broker) => Err(format!("{leader:?} is not in sync")),
        _ => Ok(()),
    }
}
