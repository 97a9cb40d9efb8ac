//! A region is lost under a librdkafka load, comes back, and everything is accounted for.

use crate::cluster::start;
use crate::faults::{PARTITIONS, PER_SECOND, hold, judge, wait_for_acks};
use crate::load::{Journal, Load, create, place, unique};
use crate::regions::{equal_tails, scan_all};
use crate::rest::{get, list};
use api::runs::{PartitionLoss, Run, RunReport, Standing};
use chaos::checker::{Requirements, Verdict};
use chaos::history::{Event, Outcome};
use chaos::platform::Platform;
use model::{Offset, OffsetRange, OwnershipEpoch, RegionName};
use std::time::Duration;

/// The promise: detection, failover and the client's own way back.
const WRITE_GAP_MAX: Duration = Duration::from_secs(10);
/// A new lineage starts at least this far above the common end.
pub(crate) const HOLE: i64 = 1 << 40;

#[test]
fn a_lost_region_costs_what_its_report_says_and_no_client_a_restart() {
    let mut platform = start();
    let (journal, topic, gateway) = (Journal::new(), unique("lost"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, PARTITIONS);
    let load = Load::start(&gateway, &topic, PARTITIONS, PER_SECOND, &journal);
    wait_for_acks(&journal, 6000);
    let before_the_kill = journal.acked();
    journal.tell("nemesis", fault("r1"));
    platform.kill_region("r1").unwrap();
    wait_for_acks(&journal, before_the_kill + 6000);
    platform.start_region("r1").unwrap();
    wait_for_acks(&journal, journal.acked() + 2000);
    load.finish();
    let report = final_report(&platform);
    tell(&journal, &report, &topic);
    equal_tails(&platform, &topic, PARTITIONS);
    let scanned = scan_all(&platform, &topic, PARTITIONS, &journal);
    let requirements = Requirements { acked_min: 14_000, faults_min: 1, scanned, stake: false, readers_min: 2 };
    let judgement = judge(&journal, &requirements);
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}\n{}", platform.logs());
    let gap = Duration::from_nanos(judgement.figures.recovery_ns[0]);
    hold("from the kill to the first acknowledgement of a record sent after it", gap, WRITE_GAP_MAX);
}

fn fault(target: &str) -> Event {
    Event::Fault { kind: "kill".into(), target: target.into(), outcome: Outcome::Installed }
}

/// The report of the failover away from r1, once the old log is back.
pub(crate) fn final_report(platform: &Platform) -> RunReport {
    let api = platform.endpoints().api.clone();
    let mut last = Err("nothing was asked yet".to_owned());
    let settled = platform.wait_for("the report is final", Duration::from_secs(60), || {
        last = report(&api);
        matches!(&last, Ok(report) if report.standing == Standing::Final)
    });
    settled.unwrap_or_else(|error| panic!("{error}\nthe last report: {last:?}"));
    last.expect("a final report")
}

fn report(api: &str) -> Result<RunReport, String> {
    let runs: Vec<Run> = list(api, "/v1/runs", "")?;
    let run = runs.iter().find(|run| run.source == "r1").ok_or("no run leaves r1")?;
    get(api, &format!("/v1/runs/{}/report", run.id))
}

/// Writes the report down partition by partition: also for those that lost nothing.
fn tell(journal: &Journal, report: &RunReport, topic: &str) {
    let epoch = OwnershipEpoch(report.to_epoch.expect("a run that pivoted has a new epoch"));
    let owner = RegionName::new(&report.target).unwrap();
    for loss in report.partitions.iter().filter(|loss| loss.topic.as_deref() == Some(topic)) {
        let partition = place(topic, loss.partition);
        let (common_end, base) = (Offset(loss.common_end), Offset(loss.common_end).plus(HOLE));
        let owner = owner.clone();
        journal.tell("report", Event::Promoted { partition, owner, ownership_epoch: epoch, common_end, base });
        tell_loss(journal, loss, topic, epoch);
    }
}

fn tell_loss(journal: &Journal, loss: &PartitionLoss, topic: &str, ownership_epoch: OwnershipEpoch) {
    let range = |range: api::OffsetRange| OffsetRange::new(Offset(range.start), Offset(range.end));
    let ranges: Vec<OffsetRange> = loss.declared_lost.map(range).into_iter().filter(|r| !r.is_empty()).collect();
    let partition = place(topic, loss.partition);
    journal.tell("report", Event::LossReport { partition, ownership_epoch, ranges, settled: true });
    if let Some(archived) = &loss.archived {
        let partition = place(topic, loss.partition);
        journal.tell("report", Event::Archived { partition, range: range(archived.range) });
    }
}
