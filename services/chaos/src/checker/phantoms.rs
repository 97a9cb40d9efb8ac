//! Nothing comes from nowhere: every record that is read or stored was sent, and was not refused.

use super::evidence::{End, Evidence, Partition};
use super::{Anomaly, Cases, Class};
use std::collections::BTreeSet;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Anomaly> {
    evidence
        .partitions
        .iter()
        .flat_map(|(name, partition)| {
            let mut cases = Cases::of(name);
            for value in seen(partition) {
                match partition.writes.get(&value).map(|write| &write.end) {
                    None => cases.add(Class::Phantom, || format!("nobody sent {value}")),
                    Some(End::Refused) => cases.add(Class::RefusedYetWritten, || format!("{value} was refused")),
                    Some(End::Acked { .. } | End::Unclear) => {}
                }
            }
            cases.into_anomalies()
        })
        .collect()
}

fn seen(partition: &Partition<'_>) -> BTreeSet<u64> {
    let polls = partition.readings.values().flat_map(|reading| reading.polled.iter());
    let scans = partition.scans.iter().flat_map(|scan| scan.records);
    polls.chain(scans).map(|(_, value)| *value).collect()
}

#[cfg(test)]
mod tests {
    use crate::checker::story::Story;
    use crate::checker::{Class, Verdict};

    #[test]
    fn a_record_nobody_sent_is_found_in_a_log() {
        let mut story = Story::new();
        story.acked(1, 0).scan("r1", &[(0, 1), (1, 99)]);
        assert_eq!(story.classes(), [Class::Phantom]);
    }

    #[test]
    fn a_record_nobody_sent_is_found_at_a_reader() {
        let mut story = Story::new();
        story.acked(1, 0).polled("g", 1, 99).scan("r1", &[(0, 1)]);
        assert_eq!(story.classes(), [Class::Phantom]);
    }

    #[test]
    fn a_refused_record_that_was_written_is_found() {
        let mut story = Story::new();
        story.refused(1).scan("r1", &[(0, 1)]);
        assert_eq!(story.classes(), [Class::RefusedYetWritten]);
    }

    #[test]
    fn an_unclear_write_may_be_there_or_not() {
        let mut story = Story::new();
        story.unclear(1).unclear(2).scan("r1", &[(0, 1)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }
}
