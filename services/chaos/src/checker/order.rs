//! Records of one idempotent producer stand in the order in which they were sent, in every log, also across a change of
//! owner: what was lost leaves a hole, but nothing is overtaken.

use super::evidence::{Evidence, Partition, Scan};
use super::{Anomaly, Cases, Class};
use std::collections::HashMap;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (name, partition) in &evidence.partitions {
        let mut cases = Cases::of(name);
        for scan in &partition.scans {
            in_order(partition, scan, &mut cases);
        }
        anomalies.extend(cases.into_anomalies());
    }
    anomalies
}

fn in_order(partition: &Partition<'_>, scan: &Scan<'_>, cases: &mut Cases<'_>) {
    let mut newest: HashMap<&str, (u64, u64)> = HashMap::new();
    for (offset, value) in scan.records {
        let Some(write) = partition.writes.get(value).filter(|write| write.idempotent) else { continue };
        match newest.get(write.producer) {
            Some((sent_at, later)) if write.sent_at < *sent_at => cases.add(Class::OutOfOrder, || {
                format!("{value} at {offset} stands behind {later} in {}, though sent before it", scan.region)
            }),
            _ => {
                newest.insert(write.producer, (write.sent_at, *value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::checker::story::Story;
    use crate::checker::{Class, Verdict};

    #[test]
    fn a_record_that_overtakes_another_is_found() {
        let mut story = Story::new();
        story.sent(1).sent(2).ack(2, 0, None).ack(1, 1, None).scan("r1", &[(0, 2), (1, 1)]);
        assert_eq!(story.classes(), [Class::OutOfOrder]);
    }

    #[test]
    fn a_hole_is_not_disorder() {
        let mut story = Story::new();
        story.acked(1, 0).unclear(2).acked(3, 1).scan("r1", &[(0, 1), (1, 3)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }

    #[test]
    fn producers_without_idempotence_may_overtake_themselves() {
        let mut story = Story::without_idempotence();
        story.sent(1).sent(2).ack(2, 0, None).ack(1, 1, None).scan("r1", &[(0, 2), (1, 1)]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }
}
