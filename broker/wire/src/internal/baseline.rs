//! What a log does not hold any more although nothing in it says so: it goes with what is read of the log.

use crate::codec::structure;
use model::{Offset, OffsetRange, Timestamp};

structure! {
    /// See [`model::Baseline`].
    Baseline {
        /// Below it tombstones were forgotten.
        forgotten: i64,
        /// When the latest of them went.
        forgotten_at: i64,
        /// Below it superseded records were dropped.
        thinned: i64,
        /// How many times the log was made anew.
        remade: i32,
        /// What a copy has missed of its source, half open; -1 for nothing.
        missed_start: i64 = -1,
        missed_end: i64 = -1,
        /// Where a copy was found not to hold what its source holds, half open; -1 for nowhere.
        different_start: i64 [0..; tag 0] = -1,
        /// See `different_start`.
        different_end: i64 [0..; tag 1] = -1,
    }
}

impl From<model::Baseline> for Baseline {
    fn from(known: model::Baseline) -> Self {
        let none = OffsetRange::new(Offset(-1), Offset(-1));
        let (missed, different) = (known.missed.unwrap_or(none), known.different.unwrap_or(none));
        Self {
            forgotten: known.forgotten.0,
            forgotten_at: known.forgotten_at.0,
            thinned: known.thinned.0,
            remade: i32::try_from(known.remade).unwrap_or(i32::MAX),
            missed_start: missed.start.0,
            missed_end: missed.end.0,
            different_start: different.start.0,
            different_end: different.end.0,
            ..Self::default()
        }
    }
}

impl From<&Baseline> for model::Baseline {
    fn from(said: &Baseline) -> Self {
        let range =
            |start, end| Some(OffsetRange::new(Offset(start), Offset(end))).filter(|range| range.start >= Offset::ZERO);
        Self {
            forgotten: Offset(said.forgotten),
            forgotten_at: Timestamp(said.forgotten_at),
            thinned: Offset(said.thinned),
            remade: u32::try_from(said.remade).unwrap_or(0),
            missed: range(said.missed_start, said.missed_end),
            different: range(said.different_start, said.different_end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_arrives_as_it_was_said_and_nothing_is_the_default() {
        let missed = OffsetRange::new(Offset(3), Offset(9));
        let known = model::Baseline {
            forgotten: Offset(9),
            forgotten_at: Timestamp(7),
            thinned: Offset(20),
            remade: 2,
            missed: Some(missed),
            different: Some(OffsetRange::new(Offset(0), Offset(5))),
        };
        assert_eq!(model::Baseline::from(&Baseline::from(known)), known);
        assert_eq!(Baseline::from(model::Baseline::default()), Baseline::default(), "it is not written");
    }
}
