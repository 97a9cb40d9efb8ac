//! Loads under faults, judged by the checker. The row without any fault always runs.

use crate::cluster::{CLUSTER, start};
use crate::load::{Journal, Load, create, scan, unique};
use crate::setting;
use chaos::checker::{Report, Requirements, Verdict, check};
use chaos::history::{Event, Outcome};
use model::RegionName;
use std::time::{Duration, Instant};

pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const PER_SECOND: u64 = 2000;

pub(crate) fn wait_for_acks(journal: &Journal, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while journal.acked() < count {
        assert!(Instant::now() < deadline, "only {} of {count} acknowledgements within 60 s", journal.acked());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Prints how long writers stood still, and holds it against its limit when FARSHORE_CHAOS_GAPS=1 or a series asks for
/// that: on a machine that is busy with other things it says little.
pub(crate) fn hold(what: &str, gap: Duration, limit: Duration) {
    println!("{what}: {gap:?} (limit {limit:?})");
    let is_held = setting("FARSHORE_CHAOS_GAPS", 0) == 1 || setting("FARSHORE_CHAOS_SERIES", 1) > 1;
    assert!(!is_held || gap <= limit, "{what}: {gap:?} is longer than {limit:?}");
}

pub(crate) fn judge(journal: &Journal, requirements: &Requirements) -> Report {
    let report = check(&journal.entries(), requirements);
    for anomaly in &report.anomalies {
        println!("{anomaly}");
    }
    println!("{:?} {:?} {:?}", report.verdict, report.uncovered, report.figures);
    report
}

#[test]
fn a_load_without_faults_loses_and_repeats_nothing() {
    for (route, bootstrap) in &CLUSTER.routes {
        let (journal, topic) = (Journal::new(), unique("calm"));
        create(bootstrap, &topic, PARTITIONS);
        let load = Load::start(bootstrap, &topic, PARTITIONS, PER_SECOND, &journal);
        wait_for_acks(&journal, 4000);
        load.finish();
        scan(bootstrap, "r1", &topic, PARTITIONS, &journal);
        let report = judge(&journal, &Requirements { acked_min: 4000, readers_min: 2, ..Requirements::default() });
        assert_eq!(report.verdict, Verdict::Pass, "{route}: {report:?}\n{}", CLUSTER.logs());
        assert_eq!(report.figures.unclear, 0, "{route}");
    }
}

#[test]
fn a_platform_that_is_killed_whole_loses_no_acknowledged_record() {
    const KILLS: usize = 3;
    let mut platform = start();
    let (journal, topic, gateway) = (Journal::new(), unique("killed"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, PARTITIONS);
    let load = Load::start(&gateway, &topic, PARTITIONS, PER_SECOND, &journal);
    for _ in 0..KILLS {
        wait_for_acks(&journal, journal.acked() + 2000);
        platform.kill();
        let (kind, target) = ("kill".to_owned(), "everything".to_owned());
        journal.tell("nemesis", Event::Fault { kind, target: target.clone(), outcome: Outcome::Installed });
        platform.restart().unwrap_or_else(|error| panic!("the platform does not come back: {error}"));
        journal.tell("nemesis", Event::Healed { target });
    }
    wait_for_acks(&journal, journal.acked() + 2000);
    load.finish();
    let direct = platform.region("r1").expect("a first region").bootstrap.clone();
    scan(&direct, "r1", &topic, PARTITIONS, &journal);
    let scanned = vec![RegionName::new("r1").unwrap()];
    let requirements =
        Requirements { acked_min: 8000, faults_min: KILLS as u64, readers_min: 2, scanned, ..Requirements::default() };
    let report = judge(&journal, &requirements);
    assert_eq!(report.verdict, Verdict::Pass, "{report:?}\n{}", platform.logs());
}
