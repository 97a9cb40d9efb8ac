//! At the end all regions hold the same log: same range, same records, and the same hash where one was taken.

use super::evidence::{Evidence, Scan};
use super::{Anomaly, Cases, Class};

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (name, partition) in &evidence.partitions {
        let mut cases = Cases::of(name);
        if let Some((first, others)) = partition.scans.split_first() {
            for other in others {
                if let Some(difference) = difference(first, other) {
                    cases.add(Class::DivergedCopies, || difference);
                }
            }
        }
        anomalies.extend(cases.into_anomalies());
    }
    anomalies
}

fn difference(one: &Scan<'_>, other: &Scan<'_>) -> Option<String> {
    let between = format!("{} and {}", one.region, other.region);
    if (one.start, one.tail) != (other.start, other.tail) {
        let (a, b, c, d) = (one.start, one.tail, other.start, other.tail);
        return Some(format!("{between} hold [{a}, {b}) and [{c}, {d})"));
    }
    if let Some((left, right)) = one.records.iter().zip(other.records).find(|(left, right)| left != right) {
        return Some(format!("{between} differ: {} at {} and {} at {}", left.1, left.0, right.1, right.0));
    }
    if one.records.len() != other.records.len() {
        return Some(format!("{between} hold {} and {} records", one.records.len(), other.records.len()));
    }
    match (one.hash, other.hash) {
        (Some(left), Some(right)) if left != right => Some(format!("{between} have the hashes {left} and {right}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::checker::story::Story;
    use crate::checker::{Class, Verdict};

    #[test]
    fn equal_copies_pass() {
        let mut story = Story::new();
        story.acked(1, 0).scan("r1", &[(0, 1)]).scan("r2", &[(0, 1)]).scan("r3", &[(0, 1)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }

    #[test]
    fn a_copy_that_lacks_a_record_is_found() {
        let mut story = Story::new();
        story.acked(1, 0).acked(2, 1).scan("r1", &[(0, 1), (1, 2)]).scan("r2", &[(0, 1)]);
        assert_eq!(story.classes(), [Class::DivergedCopies]);
    }

    #[test]
    fn equal_records_in_different_batches_are_told_apart_by_the_hash() {
        let mut story = Story::new();
        story.acked(1, 0).scan("r1", &[(0, 1)]).scan_from("r2", 0, &[(0, 1)], Some("other"));
        assert_eq!(story.classes(), [Class::DivergedCopies]);
    }

    #[test]
    fn copies_without_a_hash_are_compared_by_their_records() {
        let mut story = Story::new();
        story.acked(1, 0).scan("r1", &[(0, 1)]).scan_from("r2", 0, &[(0, 1)], None);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }
}
