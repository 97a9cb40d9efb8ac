//! What must never be, one file each. All of it is looked at with every fact.

mod ack_epochs_monotone;
mod acked_by_enough;
mod acked_never_lost;
mod committed_prefix;
mod consistent_read;
mod end_monotone;
mod epochs_unique;
mod in_sync_holds_committed;
mod isr_unfenced;
mod leader_complete;
mod metadata_monotone;
mod no_committed_cut;
mod one_content_per_offset;
mod producer_order;
mod watermark_monotone;

use crate::disk::{Entry, SimDisk, SimLog};
use crate::history::History;
use broker_core::metadata::{self, Image};
use model::{LeaderEpoch, PartitionId, TopicId};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    /// A leader appended a batch.
    Appended { partition: usize, at: usize, entry: Entry },
    /// A broker told a producer that its batch is as safe as it asked for.
    Acked { partition: usize, epoch: LeaderEpoch, all: bool, at: usize, entry: Entry, in_sync: usize },
    /// A broker shows more to readers; as the leader, under `leads`.
    Advanced { partition: usize, broker: usize, leads: Option<LeaderEpoch>, from: usize, to: usize },
    /// More is committed.
    Committed { partition: usize, from: usize },
    /// A broker began to lead.
    Led { partition: usize, broker: usize, epoch: LeaderEpoch },
    /// A replica was cut.
    Cut { partition: usize, broker: usize, to: usize, removed: &'a [Entry] },
    /// A broker's logs were recovered.
    Recovered,
    /// A consumer was given this record.
    Read { partition: usize, at: usize, entry: Entry },
    /// A client was told where the partition ends.
    End { partition: usize, epoch: LeaderEpoch, end: usize },
    /// The controllers agreed on something.
    Agreed { before: &'a Image, after: &'a Image },
}

/// Everything there is to be looked at.
pub(crate) struct View<'a> {
    pub(crate) disks: &'a [SimDisk],
    pub(crate) history: &'a History,
    pub(crate) image: &'a Image,
    pub(crate) topic: TopicId,
    pub(crate) min_insync: usize,
    /// How many disks were replaced by empty ones.
    pub(crate) replaced: usize,
    /// Whether acknowledgements wait for the page cache only.
    pub(crate) late: bool,
    /// Whether somebody lost its page cache, then.
    pub(crate) doubtful: bool,
}

impl View<'_> {
    /// What a log keeps at that offset, as far as an acknowledgement promises it.
    pub(crate) fn kept(&self, log: &SimLog, at: usize) -> Option<Entry> {
        if self.late { log.entry(at) } else { log.durable_entry(at) }
    }

    pub(crate) fn placed(&self, partition: usize) -> Option<&metadata::Partition> {
        self.image.partition(self.topic, PartitionId(partition as i32))
    }
}

/// Something that always holds.
pub(crate) trait Invariant {
    fn name(&self) -> &'static str;

    /// Takes note of `fact`.
    ///
    /// # Errors
    /// How it does not hold any more.
    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String>;
}

/// All of them.
pub(crate) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(acked_never_lost::AckedNeverLost),
        Box::new(one_content_per_offset::OneContentPerOffset::default()),
        Box::new(watermark_monotone::WatermarkMonotone::default()),
        Box::new(committed_prefix::CommittedPrefix),
        Box::new(leader_complete::LeaderComplete),
        Box::new(in_sync_holds_committed::InSyncHoldsCommitted),
        Box::new(epochs_unique::EpochsUnique::default()),
        Box::new(metadata_monotone::MetadataMonotone),
        Box::new(isr_unfenced::IsrUnfenced),
        Box::new(no_committed_cut::NoCommittedCut),
        Box::new(ack_epochs_monotone::AckEpochsMonotone::default()),
        Box::new(acked_by_enough::AckedByEnough),
        Box::new(consistent_read::ConsistentRead),
        Box::new(end_monotone::EndMonotone::default()),
        Box::new(producer_order::ProducerOrder::default()),
    ]
}
