use super::{Dot, HybridTime, Vector};
use std::sync::Arc;

/// One write of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which record it is.
    pub dot: Dot,
    /// What its origin had received of the others when it was written.
    pub seen: Arc<Vector>,
    /// Its stamp.
    pub time: HybridTime,
}

/// How one version stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are the same record.
    Same,
    /// The other one had been received where this one was written.
    After,
    /// This one had been received where the other one was written.
    Before,
    /// Neither knew of the other: they conflict.
    Concurrent,
}

impl Version {
    /// Whether `other` had been received where this one was written.
    pub fn has_seen(&self, other: Dot) -> bool {
        if other.origin == self.dot.origin { other.offset < self.dot.offset } else { self.seen.covers(other) }
    }

    /// How it stands to `other`.
    pub fn relation(&self, other: &Self) -> Relation {
        if self.dot == other.dot {
            return Relation::Same;
        }
        match (self.has_seen(other.dot), other.has_seen(self.dot)) {
            (true, _) => Relation::After,
            (false, true) => Relation::Before,
            (false, false) => Relation::Concurrent,
        }
    }
}
