use super::conflict::{ConflictState, Reason};
use super::{HybridTime, Version};
use model::Incarnation;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// Which of two writes that knew nothing of each other stands. A topic has one policy, the same in all regions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "policy")]
pub enum Policy {
    /// The one with the later stamp.
    #[default]
    LastWriterWins,
    /// The one from the region that comes first here; of regions that are not named, the later one, behind all named.
    RegionPriority {
        /// Most important first, by incarnation.
        order: Vec<Incarnation>,
    },
    /// Both count, until a write that has seen both. The last of the key is the one with the later stamp; the other one
    /// is in the conflict topic.
    KeepBoth,
    /// The earlier one stands until a human has settled it; the other one is in the conflict topic.
    Quarantine,
}

/// The larger one stands. No two records rank the same.
pub(super) type Rank = (Reverse<usize>, Stamp, Incarnation, model::Offset);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stamp {
    Earlier(Reverse<HybridTime>),
    Later(HybridTime),
}

impl Policy {
    pub(super) fn rank(&self, version: &Version) -> Rank {
        let Version { dot, time, .. } = version;
        let (place, stamp) = match self {
            Self::LastWriterWins | Self::KeepBoth => (0, Stamp::Later(*time)),
            Self::RegionPriority { order } => (place(order, dot.origin), Stamp::Later(*time)),
            Self::Quarantine => (0, Stamp::Earlier(Reverse(*time))),
        };
        (Reverse(place), stamp, dot.origin, dot.offset)
    }

    /// Why `winner` stands and `loser` does not.
    pub(super) fn reason(&self, winner: &Version, loser: &Version) -> Reason {
        match self {
            Self::RegionPriority { order } if place(order, winner.dot.origin) < place(order, loser.dot.origin) => {
                Reason::RegionPriority
            }
            Self::Quarantine => Reason::AwaitsSettlement,
            Self::KeepBoth => Reason::BothKept,
            _ if winner.time == loser.time => Reason::SameTime,
            Self::LastWriterWins | Self::RegionPriority { .. } => Reason::LaterWrite,
        }
    }

    pub(super) const fn state(&self) -> ConflictState {
        match self {
            Self::LastWriterWins | Self::RegionPriority { .. } => ConflictState::Overwritten,
            Self::KeepBoth => ConflictState::Kept,
            Self::Quarantine => ConflictState::Quarantined,
        }
    }
}

fn place(order: &[Incarnation], origin: Incarnation) -> usize {
    order.iter().position(|named| *named == origin).unwrap_or(order.len())
}
