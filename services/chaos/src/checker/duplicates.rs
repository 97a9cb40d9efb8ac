//! A record of an idempotent producer stands at most once in a log. Others may repeat themselves; that is counted.

use super::evidence::Evidence;
use super::{Anomaly, Cases, Class, Figures};
use std::collections::HashMap;

pub(super) fn check(evidence: &Evidence<'_>, figures: &mut Figures) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (name, partition) in &evidence.partitions {
        let mut cases = Cases::of(name);
        for scan in &partition.scans {
            let mut places = HashMap::new();
            for (offset, value) in scan.records {
                let Some(first) = places.insert(*value, *offset) else { continue };
                if partition.writes.get(value).is_some_and(|write| write.idempotent) {
                    cases.add(Class::Duplicate, || format!("{value} at {first} and {offset} in {}", scan.region));
                } else {
                    figures.repeated += 1;
                }
            }
        }
        anomalies.extend(cases.into_anomalies());
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use crate::checker::story::Story;
    use crate::checker::{Class, Verdict};

    #[test]
    fn an_idempotent_record_written_twice_is_found() {
        let mut story = Story::new();
        story.acked(1, 0).scan("r1", &[(0, 1), (1, 1)]);
        assert_eq!(story.classes(), [Class::Duplicate]);
    }

    #[test]
    fn a_retry_that_went_into_both_lineages_is_found() {
        let mut story = Story::new();
        story.acked(1, 0).unclear(2).promoted("r2", 2, 2, 1 << 40).ack(2, 1 << 40, None);
        story.scan("r2", &[(0, 1), (1, 2), (1 << 40, 2)]);
        assert_eq!(story.classes(), [Class::Duplicate]);
    }

    #[test]
    fn a_repeated_record_of_another_producer_is_counted() {
        let mut story = Story::without_idempotence();
        story.acked(1, 1).scan("r1", &[(0, 1), (1, 1)]);
        let report = story.check();
        assert_eq!((report.verdict, report.figures.repeated), (Verdict::Pass, 1));
    }
}
