//! What was promised to clients.

use crate::disk::Entry;
use model::LeaderEpoch;
use std::collections::BTreeMap;

/// One partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promised {
    /// Committed records, from offset 0 on: some leader's high watermark was above them.
    pub(crate) committed: Vec<Entry>,
    /// The leader epoch under which each was committed first.
    pub(crate) committed_under: Vec<LeaderEpoch>,
    /// Records acknowledged to producers that asked for all replicas.
    pub(crate) acked: BTreeMap<usize, Entry>,
    /// The leader epoch each was acknowledged under first.
    pub(crate) acked_under: BTreeMap<usize, LeaderEpoch>,
}

/// All partitions.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) partitions: Vec<Promised>,
}
