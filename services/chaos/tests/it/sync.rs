//! Groups in SYNC: what was acknowledged is in the survivor, whenever the owner dies; a target that is out of reach costs
//! an entry in the ledger, or the writes.
//!
//! FARSHORE_CHAOS_SERIES is how often the owner is lost (1), each time on a platform of its own.

use crate::cluster::start;
use crate::faults::{PARTITIONS, PER_SECOND, wait_for_acks};
use crate::load::{Journal, Load, create, scan, unique};
use crate::rest::{get, list};
use crate::setting;
use api::plans::Plan;
use api::protection_groups::{Exposure, ExposureReason, ModePhase, ProtectionGroup};
use chaos::history::Event;
use chaos::platform::Platform;
use model::limits::PROMOTE_HOLE_OFFSETS;
use model::{Offset, PartitionId};
use std::collections::BTreeSet;
use std::time::Duration;

const GROUP: &str = "/v1/protection-groups/default";
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn an_owner_that_dies_in_sync_takes_no_acknowledged_record_with_it() {
    for _ in 0..setting("FARSHORE_CHAOS_SERIES", 1) {
        let mut platform = start();
        // A machine that stands still for seconds is not to end SYNC before its time.
        let (journal, topic, load) = load_in_sync(&platform, "block", &[]);
        wait_for_acks(&journal, journal.acked() + 3000);
        let target = proven_target(&platform);
        platform.kill_region("r1").unwrap();
        wait_for_acks(&journal, journal.acked() + 3000);
        load.finish();
        wait(&platform, "the target is the owner", |group| group.owner == target);
        nothing_is_missing_in(&platform, &target, &journal, &topic);
        let ledger = ledger(&platform);
        assert!(ledger.iter().any(|entry| entry.reason == ExposureReason::Moved), "{ledger:?}");
    }
}

/// Writers of acks=1 leave a tail that only the old owner has, at offsets that are given out again.
#[test]
fn after_sync_offsets_go_on_where_they_were_and_the_old_owner_follows() {
    let mut platform = start();
    let (journal, topic, load) = load_in_sync(&platform, "block", &[]);
    let (hasty, gateway) = (Journal::new(), platform.endpoints().gateway.clone());
    let of_one = [("enable.idempotence", "false"), ("acks", "1"), ("message.timeout.ms", "5000")];
    let careless = Load::write_from(1 << 40, &gateway, &topic, PARTITIONS, PER_SECOND, &hasty, &of_one);
    wait_for_acks(&hasty, 1000);
    platform.kill_region("r1").unwrap();
    wait_for_acks(&journal, journal.acked() + 1000);
    careless.finish();
    load.finish();
    let target = wait(&platform, "another region is the owner", |group| group.owner != "r1").owner;
    nothing_is_missing_in(&platform, &target, &journal, &topic);
    platform.start_region("r1").unwrap();
    let held = |region| {
        let scanned = Journal::new();
        scan_survivor(&platform, region, &scanned, &topic);
        records(&scanned)
    };
    let (new, mut old) = (held(&target), vec![]);
    let follows = platform.wait_for("the old owner has what the new one has", PATIENCE, || {
        old = held("r1");
        old == new
    });
    let tell = |error| panic!("{error}: {} records in {target}, {} in r1\n{}", new.len(), old.len(), platform.logs());
    follows.unwrap_or_else(tell);
    let last = new.iter().map(|(_, offset, _)| offset.0).max();
    assert!(last.is_some_and(|last| last < PROMOTE_HOLE_OFFSETS), "there is a hole: {last:?}");
}

#[test]
fn a_target_out_of_reach_costs_an_entry_in_the_ledger_where_the_group_degrades() {
    let mut platform = start();
    let (journal, topic, load) = load_in_sync(&platform, "degrade", &[]);
    wait_for_acks(&journal, journal.acked() + 1000);
    let group = wait(&platform, "a copy is waited for", |group| group.durability.target.is_some());
    let target = group.durability.target.expect("it was waited for");
    platform.stop_region(&target).unwrap();
    wait(&platform, "the group leaves it", |group| group.durability.target.as_ref() != Some(&target));
    wait_for_acks(&journal, journal.acked() + 2000);
    platform.continue_region(&target).unwrap();
    wait(&platform, "it is in sync again", |group| group.durability.phase == ModePhase::Sync);
    wait_for_acks(&journal, journal.acked() + 1000);
    load.finish();
    let ledger = ledger(&platform);
    let is_told = |entry: &Exposure| entry.reason == ExposureReason::TargetSlow && entry.to.is_some();
    assert!(ledger.iter().any(|entry| is_told(entry) && entry.duration_ms > 0), "{ledger:?}");
    nothing_is_missing_in(&platform, "r1", &journal, &topic);
}

#[test]
fn a_target_out_of_reach_stops_writes_where_the_group_blocks() {
    let mut platform = start();
    let (journal, topic, load) = load_in_sync(&platform, "block", &[("message.timeout.ms", "5000")]);
    wait_for_acks(&journal, journal.acked() + 1000);
    let target = proven_target(&platform);
    platform.stop_region(&target).unwrap();
    let gives_up = || journal.entries().iter().any(|entry| matches!(entry.event, Event::Unclear { .. }));
    platform.wait_for("a write is given up", PATIENCE, gives_up).unwrap();
    wait(&platform, "it is still in sync", |group| group.durability.phase == ModePhase::Sync);
    let ledger = ledger(&platform);
    assert!(
        ledger.iter().all(|entry| entry.reason == ExposureReason::Created),
        "nothing was at risk since: {ledger:?}"
    );
    platform.continue_region(&target).unwrap();
    wait_for_acks(&journal, journal.acked() + 1000);
    load.finish();
    platform.kill_region("r1").unwrap();
    wait(&platform, "the target is the owner", |group| group.owner == target);
    nothing_is_missing_in(&platform, &target, &journal, &topic);
}

/// A load on a platform whose group has come into SYNC with r2.
pub(crate) fn load_in_sync(
    platform: &Platform,
    slow_target: &str,
    changes: &[(&str, &str)],
) -> (Journal, String, Load) {
    let (journal, topic, gateway) = (Journal::new(), unique("sync"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, PARTITIONS);
    platform.command(&["protection", "set", "mode", "sync", "--slow-target", slow_target]).unwrap();
    wait(platform, "the group is in sync", |group| group.durability.phase == ModePhase::Sync);
    let load = Load::start_with(&gateway, &topic, PARTITIONS, PER_SECOND, &journal, changes);
    (journal, topic, load)
}

pub(crate) fn wait(platform: &Platform, what: &str, holds: impl Fn(&ProtectionGroup) -> bool) -> ProtectionGroup {
    let mut last: Option<Result<ProtectionGroup, String>> = None;
    let waited = platform.wait_for(what, PATIENCE, || {
        last = Some(get(&platform.endpoints().api, GROUP));
        matches!(&last, Some(Ok(group)) if holds(group))
    });
    waited.unwrap_or_else(|error| panic!("{error}\nlast: {last:?}\n{}", platform.logs()));
    last.expect("it was waited for").expect("it was waited for")
}

/// The region that would take over now, and that nothing would be lost with.
fn proven_target(platform: &Platform) -> String {
    let mut found = Err("nothing was planned yet".to_owned());
    let planned = platform.wait_for("a failover is planned", PATIENCE, || {
        found = dry_run(platform);
        found.is_ok()
    });
    planned.unwrap_or_else(|error| panic!("{error}\n{found:?}"));
    let plan = found.expect("it was waited for");
    let cost = plan.expected.expect("a move that was weighed");
    assert_eq!((cost.lost_records, cost.lost_bytes), (0, 0), "{}", plan.target);
    plan.target
}

fn dry_run(platform: &Platform) -> Result<Plan, String> {
    let text =
        platform.command(&["protection", "failover", "--dry-run", "--json"]).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

pub(crate) fn ledger(platform: &Platform) -> Vec<Exposure> {
    let mut last = Err("nothing was asked yet".to_owned());
    let told = platform.wait_for("the ledger is told", PATIENCE, || {
        last = list(&platform.endpoints().api, &format!("{GROUP}/exposures"), "");
        last.is_ok()
    });
    told.unwrap_or_else(|error| panic!("{error}\n{last:?}"));
    last.expect("it was waited for")
}

fn nothing_is_missing_in(platform: &Platform, region: &str, journal: &Journal, topic: &str) {
    scan_survivor(platform, region, journal, topic);
    let (acked, found) = (acked(journal), found(journal));
    let missing: Vec<_> = acked.difference(&found).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}\n{}", missing.len(), acked.len(), platform.logs());
}

pub(crate) fn scan_survivor(platform: &Platform, region: &str, journal: &Journal, topic: &str) {
    let bootstrap = platform.region(region).unwrap().bootstrap.clone();
    scan(&bootstrap, region, topic, PARTITIONS, journal);
}

fn acked(journal: &Journal) -> BTreeSet<u64> {
    let entries = journal.entries();
    let values = entries.iter().filter_map(|entry| match entry.event {
        Event::Acked { value, .. } => Some(value),
        _ => None,
    });
    values.collect()
}

/// What was scanned: partition, offset, value.
fn records(journal: &Journal) -> Vec<(PartitionId, Offset, u64)> {
    let entries = journal.entries();
    let scanned = entries.into_iter().filter_map(|entry| match entry.event {
        Event::Scanned { partition, records, .. } => Some((partition.partition, records)),
        _ => None,
    });
    scanned.flat_map(|(partition, all)| all.into_iter().map(move |(at, value)| (partition, at, value))).collect()
}

pub(crate) fn found(journal: &Journal) -> BTreeSet<u64> {
    let entries = journal.entries();
    let records = entries.iter().filter_map(|entry| match &entry.event {
        Event::Scanned { records, .. } => Some(records.clone()),
        _ => None,
    });
    records.flatten().map(|(_, value)| value).collect()
}
