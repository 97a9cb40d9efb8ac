use std::collections::BTreeMap;

/// The sequence numbers of one producer that a lineage holds, as runs; after `i32::MAX` comes 0.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// First to last, both included, apart from each other.
    runs: BTreeMap<i32, i32>,
}

impl Sequences {
    /// Adds `first` to `last`, both included. A run across the wrap is two.
    pub(super) fn insert(&mut self, first: i32, last: i32) {
        if first < 0 || last < 0 {
            return;
        }
        if last < first {
            self.add(first, i32::MAX);
            self.add(0, last);
        } else {
            self.add(first, last);
        }
    }

    fn add(&mut self, mut first: i32, mut last: i32) {
        if let Some((start, end)) = self.runs.range(..=first).next_back().map(|(start, end)| (*start, *end))
            && end >= first.saturating_sub(1)
        {
            (first, last) = (start, last.max(end));
        }
        while let Some((start, end)) = self.runs.range(first..=last.saturating_add(1)).next().map(|(s, e)| (*s, *e)) {
            self.runs.remove(&start);
            last = last.max(end);
        }
        self.runs.insert(first, last);
    }

    /// Whether `sequence` is among them.
    pub(super) fn contains(&self, sequence: i32) -> bool {
        self.runs.range(..=sequence).next_back().is_some_and(|(_, last)| *last >= sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_run_goes_on_at_zero_after_the_greatest_number() {
        let mut held = Sequences::default();
        held.insert(i32::MAX - 1, 1);
        assert!([i32::MAX - 1, i32::MAX, 0, 1].into_iter().all(|sequence| held.contains(sequence)));
        assert!(!held.contains(2) && !held.contains(i32::MAX - 2));
    }

    proptest! {
        #[test]
        fn runs_hold_what_a_set_would(inserted in prop::collection::vec((0..60i32, 0..9i32), 0..20)) {
            let (mut held, mut set) = (Sequences::default(), BTreeSet::new());
            for (first, more) in inserted {
                held.insert(first, first + more);
                set.extend(first..=first + more);
            }
            for sequence in 0..80 {
                prop_assert_eq!(held.contains(sequence), set.contains(&sequence));
            }
            let apart = held.runs.iter().zip(held.runs.iter().skip(1)).all(|(one, next)| one.1 + 1 < *next.0);
            prop_assert!(apart, "{:?}", held.runs);
        }
    }
}
