//! Regions of several brokers: one of them is lost under load, and nothing but its partitions' leaders changes.

use crate::cluster::start_with;
use crate::faults::{PARTITIONS, PER_SECOND, judge, wait_for_acks};
use crate::load::{Journal, Load, create, unique};
use crate::regions::{equal_tails, scan_all};
use crate::rest::{get, list};
use api::protection_groups::ProtectionGroup;
use api::runs::Run;
use chaos::checker::{Requirements, Verdict};
use chaos::history::{Event, Outcome};
use chaos::platform::Platform;
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

/// Fencing, an election, and the client's own way to the next leader.
const WRITE_GAP_MAX: Duration = Duration::from_secs(6);

#[test]
fn a_lost_broker_costs_no_record_and_no_failover() {
    let mut platform = start_with(|options| (options.regions, options.brokers) = (2, 3));
    let (journal, topic, gateway) = (Journal::new(), unique("broker"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, PARTITIONS);
    let load = Load::start(&gateway, &topic, PARTITIONS, PER_SECOND, &journal);
    wait_for_acks(&journal, 6000);
    let before = journal.acked();
    kill_broker(&platform, &journal);
    wait_for_acks(&journal, before + 10_000);
    assert_eq!(owner(&platform), "r1", "the region goes on without one of its brokers");
    let runs: Vec<Run> = list(&platform.endpoints().api, "/v1/runs", "").unwrap();
    assert!(runs.is_empty(), "{runs:?}");
    platform.start_region("r1").unwrap();
    journal.tell("nemesis", Event::Healed { target: "r1-0".into() });
    wait_for_acks(&journal, journal.acked() + 6000);
    load.finish();
    equal_tails(&platform, &topic, PARTITIONS);
    let scanned = scan_all(&platform, &topic, PARTITIONS, &journal);
    let requirements = Requirements { acked_min: 20_000, faults_min: 1, scanned, stake: false, readers_min: 2 };
    let judgement = judge(&journal, &requirements);
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}\n{}", platform.logs());
    let gap = Duration::from_nanos(judgement.figures.recovery_ns[0]);
    assert!(gap <= WRITE_GAP_MAX, "the first record sent after the kill was acknowledged after {gap:?}");
}

/// Kills the first broker of r1. The region's own process comes first among those that die with it.
fn kill_broker(platform: &Platform, journal: &Journal) {
    let pids = &platform.region("r1").unwrap().pids;
    assert_eq!(pids.len(), 4, "a desk and three brokers");
    let event = Event::Fault { kind: "kill".into(), target: "r1-0".into(), outcome: Outcome::Installed };
    journal.tell("nemesis", event);
    let broker = i32::try_from(pids[1]).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(broker, Signal::KILL).unwrap();
}

fn owner(platform: &Platform) -> String {
    let group: ProtectionGroup = get(&platform.endpoints().api, "/v1/protection-groups/default").unwrap();
    group.owner
}
