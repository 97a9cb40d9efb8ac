//! Conservation: every acknowledged record is present in the surviving log, or declared lost (and then archived as soon
//! as the old log is back), or retired below the log's start. Exactly one of these; a report that names too much is as
//! wrong as one that names too little.

use super::evidence::{Evidence, Partition, Scan};
use super::{Anomaly, Cases, Class, Figures};
use model::{Offset, OffsetRange};
use std::collections::HashSet;

pub(super) fn check(evidence: &Evidence<'_>, figures: &mut Figures) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (name, partition) in &evidence.partitions {
        let mut cases = Cases::of(name);
        if let Some(scan) = partition.surviving() {
            account(partition, scan, &mut cases, figures);
            overdeclared(partition, scan, &mut cases);
        }
        unarchived(partition, &mut cases);
        anomalies.extend(cases.into_anomalies());
    }
    anomalies
}

fn account(partition: &Partition<'_>, scan: &Scan<'_>, cases: &mut Cases<'_>, figures: &mut Figures) {
    let present: HashSet<(Offset, u64)> = scan.records.iter().copied().collect();
    let mut missing: Vec<(Offset, u64)> = partition.acked().map(|(value, _, _, offset, _)| (offset, value)).collect();
    let values: HashSet<u64> = scan.records.iter().map(|(_, value)| *value).collect();
    missing.retain(|(offset, value)| match is_placed(*offset) {
        true => !present.contains(&(*offset, *value)),
        false => !values.contains(value),
    });
    missing.sort_unstable();
    for (offset, value) in missing {
        if is_placed(offset) && offset < scan.start {
            figures.retired += 1;
        } else if partition.declares(offset) {
            figures.declared_lost += 1;
        } else {
            cases.add(Class::UndeclaredLoss, || format!("{value}, acknowledged at offset {offset}"));
        }
    }
}

/// Whether the client knows where the record is: not if it was told of a duplicate too old to be placed.
pub(super) fn is_placed(offset: Offset) -> bool {
    offset >= Offset::ZERO
}

fn overdeclared(partition: &Partition<'_>, scan: &Scan<'_>, cases: &mut Cases<'_>) {
    let ranges: Vec<&OffsetRange> = partition.declared.values().flat_map(|declared| &declared.ranges).collect();
    let declared = |offset: Offset| ranges.iter().any(|range| range.contains(offset));
    for (offset, value) in scan.records.iter().filter(|(offset, _)| declared(*offset)) {
        cases.add(Class::PhantomLoss, || format!("offset {offset} is declared lost, yet {value} is there"));
    }
}

fn unarchived(partition: &Partition<'_>, cases: &mut Cases<'_>) {
    let settled = partition.declared.values().filter(|declared| declared.settled);
    for range in settled.flat_map(|declared| &declared.ranges) {
        for rest in without(*range, &partition.archived) {
            cases.add(Class::Unarchived, || format!("{rest} is declared lost for good and was not archived"));
        }
    }
}

/// What of `range` lies in none of `covers`.
fn without(range: OffsetRange, covers: &[OffsetRange]) -> Vec<OffsetRange> {
    let mut sorted = covers.to_vec();
    sorted.sort_by_key(|cover| cover.start);
    let mut rest = Vec::new();
    let mut start = range.start;
    for cover in sorted.iter().filter(|cover| cover.end > range.start && cover.start < range.end) {
        if start < cover.start {
            rest.push(OffsetRange::new(start, cover.start));
        }
        start.advance(cover.end);
    }
    if start < range.end {
        rest.push(OffsetRange::new(start, range.end));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::story::Story;
    use crate::checker::{Requirements, Verdict, check};

    const BASE: i64 = 1 << 40;

    /// Ten records acknowledged by r1, of which r2 has the first seven; then three more by r2.
    fn failover() -> Story {
        let mut story = Story::new();
        for value in 0..10 {
            story.acked(value, value as i64);
        }
        story.fault("kill", "r1").promoted("r2", 2, 7, BASE);
        for value in 10..13 {
            story.acked(value, BASE + value as i64 - 9);
        }
        story
    }

    fn survivors() -> Vec<(i64, u64)> {
        (0..7).map(|v| (v as i64, v)).chain((10..13).map(|v| (BASE + v as i64 - 9, v))).collect()
    }

    #[test]
    fn a_loss_that_is_declared_exactly_passes() {
        let mut story = failover();
        story.loses(7, 10).scan("r2", &survivors());
        let asked = Requirements { stake: true, faults_min: 1, acked_min: 13, ..Requirements::default() };
        let report = check(&story.entries(), &asked);
        assert_eq!((report.verdict, report.figures.declared_lost), (Verdict::Pass, 3), "{report:?}");
    }

    #[test]
    fn a_loss_that_no_report_names_is_found() {
        let mut story = failover();
        story.scan("r2", &survivors());
        let report = story.check();
        assert_eq!((report.anomalies[0].class, report.anomalies[0].count), (Class::UndeclaredLoss, 3));
    }

    #[test]
    fn a_report_that_names_too_little_is_found() {
        let mut story = failover();
        story.loses(8, 10).scan("r2", &survivors());
        assert_eq!(story.classes(), [Class::UndeclaredLoss]);
    }

    #[test]
    fn a_report_that_names_too_much_is_found() {
        let mut story = failover();
        story.loses(6, 10).scan("r2", &survivors());
        assert_eq!(story.classes(), [Class::PhantomLoss]);
    }

    #[test]
    fn a_provisional_report_covers_everything_behind_the_common_end() {
        let mut story = failover();
        story.reports(7, 8, false).scan("r2", &survivors());
        assert_eq!(story.check().verdict, Verdict::Pass);
    }

    #[test]
    fn a_provisional_report_does_not_excuse_a_loss_below_it() {
        let mut story = failover();
        story.reports(7, 10, false).scan("r2", &survivors()[1..]);
        assert_eq!(story.classes(), [Class::UndeclaredLoss]);
    }

    #[test]
    fn a_final_report_takes_the_place_of_the_provisional_one() {
        let mut story = failover();
        story.reports(5, 20, false).loses(7, 10).scan("r2", &survivors());
        assert_eq!(story.check().verdict, Verdict::Pass);
    }

    #[test]
    fn every_failover_has_a_report_of_its_own() {
        let mut story = failover();
        story.loses(7, 10).promoted("r3", 3, BASE + 3, 2 * BASE).reports_on(3, BASE + 3, BASE + 4, false);
        story.scan("r3", &survivors()[..9]);
        assert_eq!(story.check().verdict, Verdict::Pass);
    }

    #[test]
    fn a_provisional_report_excuses_nothing_of_the_new_lineage() {
        let mut story = failover();
        story.reports(7, 10, false).scan("r2", &survivors()[..9]);
        assert_eq!(story.classes(), [Class::UndeclaredLoss]);
    }

    #[test]
    fn a_final_loss_that_was_not_archived_is_found() {
        let mut story = failover();
        story.archived(7, 8).reports(7, 10, true).scan("r2", &survivors());
        let report = story.check();
        assert_eq!(report.anomalies[0].class, Class::Unarchived);
        assert!(report.anomalies[0].examples[0].starts_with("[8, 10)"), "{:?}", report.anomalies);
    }

    #[test]
    fn a_record_lost_in_a_healthy_cluster_is_found() {
        let mut story = Story::new();
        story.acked(1, 0).acked(2, 1).scan("r1", &[(0, 1)]);
        assert_eq!(story.classes(), [Class::UndeclaredLoss]);
    }

    #[test]
    fn a_record_that_moved_to_another_offset_is_lost_where_it_was() {
        let mut story = Story::new();
        story.acked(1, 0).scan("r1", &[(1, 1)]);
        assert_eq!(story.classes(), [Class::UndeclaredLoss]);
    }

    #[test]
    fn what_lies_below_the_log_start_is_retired_not_lost() {
        let mut story = Story::new();
        story.acked(1, 0).acked(2, 1).scan_from("r1", 1, &[(1, 2)], None);
        let report = story.check();
        assert_eq!((report.verdict, report.figures.retired), (Verdict::Pass, 1));
    }

    #[test]
    fn a_drill_with_nothing_at_stake_is_unknown() {
        let mut story = Story::new();
        story.acked(1, 0).fault("kill", "r1").promoted("r2", 2, 1, BASE).scan("r2", &[(0, 1)]);
        let asked = Requirements { stake: true, ..Requirements::default() };
        assert_eq!(check(&story.entries(), &asked).verdict, Verdict::Unknown);
    }
}
