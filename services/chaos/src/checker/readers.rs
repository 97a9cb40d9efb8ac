//! No reader skips: every record of the surviving log at or behind the place where a reader began was given to it, once
//! or more. Getting a record again is counted, not condemned.

use super::evidence::{Evidence, Reading, Scan};
use super::{Anomaly, Cases, Class, Figures};
use model::Offset;
use std::collections::HashSet;

pub(super) fn check(evidence: &Evidence<'_>, figures: &mut Figures) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (name, partition) in &evidence.partitions {
        let mut cases = Cases::of(name);
        for (reader, reading) in &partition.readings {
            let given: HashSet<Offset> = reading.polled.iter().map(|(offset, _)| *offset).collect();
            figures.redelivered += (reading.polled.len() - given.len()) as u64;
            if let Some(scan) = partition.surviving() {
                complete(reader, reading, &given, scan, &mut cases);
            }
        }
        anomalies.extend(cases.into_anomalies());
    }
    anomalies
}

fn complete(reader: &str, reading: &Reading, given: &HashSet<Offset>, scan: &Scan<'_>, cases: &mut Cases<'_>) {
    let Some(from) = reading.from else { return };
    let last = given.iter().max().copied();
    let owed = scan.records.iter().filter(|(offset, _)| *offset >= from && !given.contains(offset));
    for (offset, value) in owed {
        let class = if last.is_some_and(|last| *offset < last) { Class::ConsumerSkip } else { Class::Unseen };
        cases.add(class, || format!("{reader} was never given {value} at offset {offset}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::checker::story::Story;
    use crate::checker::{Class, Verdict};

    const BASE: i64 = 1 << 40;

    #[test]
    fn a_skipped_record_is_found() {
        let mut story = Story::new();
        story.began("g", 0).acked(1, 0).acked(2, 1).acked(3, 2).polled("g", 0, 1).polled("g", 2, 3);
        story.scan("r1", &[(0, 1), (1, 2), (2, 3)]);
        assert_eq!(story.classes(), [Class::ConsumerSkip]);
    }

    #[test]
    fn the_first_record_of_a_new_lineage_must_not_be_skipped() {
        let mut story = Story::new();
        story.began("g", 0).acked(1, 0).acked(2, 1).polled("g", 0, 1).polled("g", 1, 2);
        story.promoted("r2", 2, 1, BASE).loses(1, 2).acked(3, BASE + 1).acked(4, BASE + 2).polled("g", BASE + 2, 4);
        story.scan("r2", &[(0, 1), (BASE + 1, 3), (BASE + 2, 4)]);
        assert_eq!(story.classes(), [Class::ConsumerSkip]);
    }

    #[test]
    fn a_reader_that_stops_before_the_end_is_found() {
        let mut story = Story::new();
        story.began("g", 0).acked(1, 0).acked(2, 1).polled("g", 0, 1).scan("r1", &[(0, 1), (1, 2)]);
        assert_eq!(story.classes(), [Class::Unseen]);
    }

    #[test]
    fn a_reader_that_never_got_anything_is_found() {
        let mut story = Story::new();
        story.began("g", 0).acked(1, 0).scan("r1", &[(0, 1)]);
        assert_eq!(story.classes(), [Class::Unseen]);
    }

    #[test]
    fn what_stands_before_its_beginning_is_not_owed() {
        let mut story = Story::new();
        story.acked(1, 0).began("latest", 1).acked(2, 1).polled("latest", 1, 2).scan("r1", &[(0, 1), (1, 2)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }

    #[test]
    fn a_second_delivery_is_counted() {
        let mut story = Story::new();
        story.began("g", 0).acked(1, 0).polled("g", 0, 1).polled("g", 0, 1).scan("r1", &[(0, 1)]);
        let report = story.check();
        assert_eq!((report.verdict, report.figures.redelivered), (Verdict::Pass, 1));
    }

    #[test]
    fn having_read_what_is_lost_now_is_fine() {
        let mut story = Story::new();
        story.began("g", 0).acked(1, 0).acked(2, 1).polled("g", 0, 1).polled("g", 1, 2);
        story.promoted("r2", 2, 1, BASE).loses(1, 2).acked(3, BASE + 1).polled("g", BASE + 1, 3);
        story.scan("r2", &[(0, 1), (BASE + 1, 3)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }
}
