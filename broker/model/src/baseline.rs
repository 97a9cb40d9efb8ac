use crate::{Offset, OffsetRange, Timestamp};
use serde::{Deserialize, Serialize};

/// What is no longer in a compacted log although nothing in the log says so. It is kept beside the log, and goes with what
/// is copied of it.
///
/// ```text
///   start        forgotten            thinned        tail
///     |              |                   |             |
///     | deletions may be untold | versions may be gone | all there
/// ```
///
/// A copy that reads on from below `forgotten` never hears of some deletions, and keeps those keys for ever. One that ends
/// below `thinned` lacks versions of keys of which the newer version lies above its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Below it tombstones, or the markers of aborted transactions, were forgotten.
    pub forgotten: Offset,
    /// When the latest of them went, on the clock of whoever forgot it: two logs that say the same of both have forgotten
    /// the same.
    pub forgotten_at: Timestamp,
    /// Below it superseded records were dropped.
    pub thinned: Offset,
    /// How many times it was made anew. Replicas of one log say the same.
    pub remade: u32,
    /// What this copy has missed of its source: it has to be made anew, and is no standby.
    pub missed: Option<OffsetRange>,
    /// Where this copy was found not to hold what its source holds: it has to be made anew, and is no standby.
    pub different: Option<OffsetRange>,
}

impl Baseline {
    /// Whether a copy that ends at `tail` holds the latest version of every key that its source had there.
    pub fn is_whole(&self, tail: Offset) -> bool {
        self.missed.is_none() && self.different.is_none() && self.thinned <= tail
    }

    /// What is to be known once the log was cut to `tail`. Of what is left versions may be gone whose newer ones were cut
    /// off, and nobody is going to bring them back.
    #[must_use]
    pub fn cut(self, tail: Offset) -> Self {
        if self.thinned <= tail {
            return self;
        }
        let missed = OffsetRange::new(tail, self.thinned);
        Self { thinned: tail, ..self.missing(missed) }
    }

    /// The same with `range` missed, too.
    #[must_use]
    pub fn missing(self, range: OffsetRange) -> Self {
        Self { missed: Some(around(self.missed, range)), ..self }
    }

    /// The same with `range` found to be different, too.
    #[must_use]
    pub fn differing(self, range: OffsetRange) -> Self {
        Self { different: Some(around(self.different, range)), ..self }
    }

    /// What is to be known once nothing is left of what the log held.
    #[must_use]
    pub fn cleared(self) -> Self {
        Self { remade: self.remade, ..Self::default() }
    }
}

fn around(known: Option<OffsetRange>, range: OffsetRange) -> OffsetRange {
    let known = known.unwrap_or(range);
    OffsetRange::new(known.start.min(range.start), known.end.max(range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Baseline {
        let (forgotten, thinned) = (Offset(30), Offset(50));
        Baseline { forgotten, forgotten_at: Timestamp(7), thinned, remade: 2, ..Baseline::default() }
    }

    #[test]
    fn a_cut_below_what_was_thinned_leaves_keys_without_their_versions() {
        assert_eq!(known().cut(Offset(50)), known());
        let missed = Some(OffsetRange::new(Offset(40), Offset(50)));
        assert_eq!(known().cut(Offset(40)), Baseline { thinned: Offset(40), missed, ..known() });
        let further = known().cut(Offset(40)).cut(Offset(10));
        assert_eq!(further.missed, Some(OffsetRange::new(Offset(10), Offset(50))));
        assert_eq!(further.cleared(), Baseline { remade: 2, ..Baseline::default() });
    }

    #[test]
    fn a_copy_is_whole_that_has_passed_what_was_thinned_and_missed_nothing() {
        assert!(known().is_whole(Offset(50)) && !known().is_whole(Offset(49)));
        assert!(!known().missing(OffsetRange::new(Offset(5), Offset(9))).is_whole(Offset(50)));
        let different = known().differing(OffsetRange::new(Offset(5), Offset(9)));
        assert!(!different.is_whole(Offset(50)) && !different.cut(Offset(0)).is_whole(Offset(50)));
        assert!(different.cleared().is_whole(Offset(50)), "it is gone");
    }
}
