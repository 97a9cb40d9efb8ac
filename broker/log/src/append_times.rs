use model::{Offset, Timestamp};
use std::collections::VecDeque;
use std::time::Duration;

/// Appends closer together than this share an entry.
const RESOLUTION: Duration = Duration::from_millis(50);
/// When there are more entries, every second one goes: the older, the coarser.
const ENTRIES_MAX: usize = 4096;

/// When what was appended, for the lag of those who follow. In memory only.
#[derive(Debug, Default)]
pub(crate) struct AppendTimes {
    /// (First offset, time of the first append), ascending in both.
    entries: VecDeque<(Offset, Timestamp)>,
}

impl AppendTimes {
    pub(crate) fn note(&mut self, first: Offset, now: Timestamp) {
        if self.entries.back().is_some_and(|(_, last)| now < last.plus(RESOLUTION)) {
            return;
        }
        if self.entries.len() == ENTRIES_MAX {
            let mut index = 0;
            self.entries.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.entries.push_back((first, now));
    }

    /// The time of the entry that `offset` falls under: never later than its append.
    pub(crate) fn at(&self, offset: Offset) -> Option<Timestamp> {
        let behind = self.entries.partition_point(|(first, _)| *first <= offset);
        behind.checked_sub(1).map(|at| self.entries[at].1)
    }

    pub(crate) fn truncate(&mut self, tail: Offset) {
        self.entries.retain(|(first, _)| *first < tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_never_too_late_and_memory_is_bounded() {
        let mut times = AppendTimes::default();
        assert_eq!(times.at(Offset(0)), None);
        for n in 0..1_000_000i64 {
            times.note(Offset(n), Timestamp(n * 10));
        }
        assert!(times.entries.len() <= ENTRIES_MAX);
        for n in (0..1_000_000).step_by(997) {
            let time = times.at(Offset(n)).unwrap();
            assert!(time <= Timestamp(n * 10), "{n}");
        }
        let recent = times.at(Offset(999_999)).unwrap();
        assert!(Timestamp(9_999_990).since(recent) <= RESOLUTION);
        times.truncate(Offset(500_000));
        assert!(times.at(Offset(999_999)).unwrap() < Timestamp(5_000_000));
    }
}
