//! One offset, one value: offsets are never used again, so this holds over acknowledgements, deliveries and every log of
//! every region, before and after any change of owner.

use super::evidence::{Evidence, Partition};
use super::loss::is_placed;
use super::{Anomaly, Cases, Class};
use model::Offset;
use std::collections::HashMap;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Anomaly> {
    evidence
        .partitions
        .iter()
        .flat_map(|(name, partition)| {
            let mut cases = Cases::of(name);
            let mut known: HashMap<Offset, (u64, &str)> = HashMap::new();
            for (offset, value, by) in sightings(partition) {
                let (first, seen_by) = *known.entry(offset).or_insert((value, by));
                if first != value {
                    cases.add(Class::InconsistentOffsets, || {
                        format!("offset {offset} is {first} for {seen_by} and {value} for {by}")
                    });
                }
            }
            cases.into_anomalies()
        })
        .collect()
}

fn sightings<'p>(partition: &'p Partition<'_>) -> impl Iterator<Item = (Offset, u64, &'p str)> {
    let placed = partition.acked().filter(|(_, _, _, offset, _)| is_placed(*offset));
    let mut acks: Vec<_> = placed.map(|(value, write, _, offset, _)| (offset, value, write.producer)).collect();
    acks.sort_unstable();
    let polls = partition
        .readings
        .iter()
        .flat_map(|(reader, reading)| reading.polled.iter().map(move |(offset, value)| (*offset, *value, *reader)));
    let scans = partition
        .scans
        .iter()
        .flat_map(|scan| scan.records.iter().map(move |(offset, value)| (*offset, *value, scan.region.as_str())));
    acks.into_iter().chain(polls).chain(scans)
}

#[cfg(test)]
mod tests {
    use crate::checker::Class;
    use crate::checker::story::Story;

    #[test]
    fn an_acknowledgement_that_names_no_offset_is_looked_for_by_its_value() {
        let mut story = Story::new();
        story.acked(1, -1001).acked(2, -1001).scan("r1", &[(0, 1), (1, 2)]);
        assert!(!story.classes().contains(&Class::InconsistentOffsets));
        assert!(!story.classes().contains(&Class::UndeclaredLoss));
        let mut story = Story::new();
        story.acked(1, -1001).acked(2, -1001).scan("r1", &[(0, 1)]);
        assert!(story.classes().contains(&Class::UndeclaredLoss));
    }

    #[test]
    fn two_acknowledgements_of_one_offset_are_found() {
        let mut story = Story::new();
        story.acked(1, 0).acked(2, 0).scan("r1", &[(0, 1)]);
        assert!(story.classes().contains(&Class::InconsistentOffsets));
    }

    #[test]
    fn a_log_that_holds_another_value_than_was_acknowledged_is_found() {
        let mut story = Story::new();
        story.acked(1, 0).acked(2, 1).scan("r1", &[(0, 2), (1, 1)]);
        assert!(story.classes().contains(&Class::InconsistentOffsets));
    }

    #[test]
    fn a_reader_that_is_given_another_value_is_found() {
        let mut story = Story::new();
        story.acked(1, 0).acked(2, 1).polled("g", 0, 2).scan("r1", &[(0, 1), (1, 2)]);
        assert_eq!(story.classes(), [Class::InconsistentOffsets]);
    }

    #[test]
    fn an_offset_used_again_after_a_failover_is_found() {
        let mut story = Story::new();
        story.acked(1, 0).acked(2, 1).promoted("r2", 2, 1, 1).loses(1, 2).acked(3, 1).scan("r2", &[(0, 1), (1, 3)]);
        assert!(story.classes().contains(&Class::InconsistentOffsets));
    }
}
