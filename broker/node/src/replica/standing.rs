//! What this broker is to a partition, and what others may know of it.

use super::Gate;
use broker_core::metadata::Leader;
use model::{CopyTerm, LeaderEpoch, Offset, Timestamp};
use std::sync::Arc;

/// What this broker is to a partition.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// Nothing yet: no leadership was started since the broker did.
    Idle,
    /// It takes writes, as far as the gate lets them in.
    Owner {
        /// Stamped on every batch.
        leader_epoch: LeaderEpoch,
        /// Where this leadership began.
        began_at: Offset,
        /// Lease and stop of the group.
        gate: Arc<Gate>,
    },
    /// It follows another region's partition, or is filled by a restore.
    Copy {
        /// Which start of the copy.
        term: CopyTerm,
        /// Whether nothing more is taken from any link.
        sealed: bool,
    },
    /// It follows the partition's leader, another broker of this region.
    Replica {
        /// Who leads, and as what.
        leader: Leader,
    },
}

impl Standing {
    /// Whether this broker leads the partition, as its owner or as a copy.
    pub(crate) fn leads(&self) -> bool {
        matches!(self, Self::Owner { .. } | Self::Copy { .. })
    }

    /// Whether it is the owner under just that epoch.
    pub(crate) fn owns_under(&self, epoch: LeaderEpoch) -> bool {
        matches!(self, Self::Owner { leader_epoch, .. } if *leader_epoch == epoch)
    }

    /// What the owner under just that epoch writes through; `None` when it is not that owner.
    pub(crate) fn gate_under(&self, epoch: LeaderEpoch) -> Option<Arc<Gate>> {
        match self {
            Self::Owner { leader_epoch, gate, .. } if *leader_epoch == epoch => Some(gate.clone()),
            Self::Owner { .. } | Self::Copy { .. } | Self::Replica { .. } | Self::Idle => None,
        }
    }
}

/// Where a partition's log stands.
///
/// ```text
///   start        last_stable    high_watermark     flushed     tail
///     |---- committed and decided ----|--- seen by nobody yet ---|
/// ```
///
/// `start <= last_stable <= high_watermark`, and `high_watermark <= flushed` unless the topic leaves flushing to the
/// operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The first offset kept.
    pub(crate) start: Offset,
    /// The next offset.
    pub(crate) tail: Offset,
    /// Everything below is on disk.
    pub(crate) flushed: Offset,
    /// Everything below is held by this broker, as its topic understands that: it is shown to followers.
    pub(crate) durable: Offset,
    /// On the leader of a copy: everything below is held by the whole in-sync set.
    pub(crate) copy_watermark: Offset,
    /// Everything below is committed and shown to readers.
    pub(crate) high_watermark: Offset,
    /// Below it every transaction is decided.
    pub(crate) last_stable: Offset,
}

impl Marks {
    /// Whether somebody could have waited for the difference. A tail alone is no news: nobody may see it.
    pub(crate) fn is_news_after(&self, before: &Self) -> bool {
        Self { tail: before.tail, ..*self } != *before
    }
}

/// What a copy knows of its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceMarks {
    /// Its high watermark.
    pub high_watermark: Offset,
    /// Its next offset.
    pub tail: Offset,
    /// Bytes it holds above the copy's tail, as far as is known.
    pub missing_bytes: u64,
    /// When the first record that the copy lacks was appended, on the source's clock.
    pub oldest_missing: Option<Timestamp>,
    /// When it answered, on this region's clock.
    pub heard_at: Timestamp,
}
