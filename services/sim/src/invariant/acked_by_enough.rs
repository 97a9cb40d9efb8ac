use super::{Fact, Invariant, View};

/// What is acknowledged to acks=all is on the disks of min.insync.replicas brokers, and as many are in sync (I7).
pub(super) struct AckedByEnough;

impl Invariant for AckedByEnough {
    fn name(&self) -> &'static str {
        "acked-by-enough"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Acked { partition, all: true, at, entry, in_sync, .. } = fact else { return Ok(()) };
        if *in_sync < view.min_insync {
            return Err(format!("offset {at} is acknowledged while {in_sync} replicas are in sync"));
        }
        let holds = |broker: &&crate::disk::SimDisk| view.kept(&broker.logs[*partition], *at) == Some(*entry);
        let holders = view.disks.iter().filter(holds).count();
        // A disk that was replaced may have held it, and so may a page cache that was lost.
        if holders + view.replaced + usize::from(view.doubtful) < view.min_insync {
            return Err(format!("offset {at} is acknowledged and on {holders} disks"));
        }
        Ok(())
    }
}
