//! Regions of several brokers: one of them is lost under load, or only silent, and nothing but its partitions' leaders changes.

use crate::cluster::start_with;
use crate::faults::{PARTITIONS, PER_SECOND, hold, judge, wait_for_acks};
use crate::librdkafka::create_replicated;
use crate::load::{Journal, Load, unique};
use crate::regions::{equal_tails, scan_all};
use crate::rest::{get, list};
use api::protection_groups::ProtectionGroup;
use api::runs::Run;
use chaos::checker::{Requirements, Verdict};
use chaos::history::{Entry, Event, Outcome};
use chaos::platform::Platform;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::time::Duration;

const BROKERS: i32 = 3;
/// Fencing, an election, and the client's own way to the next leader.
const WRITE_GAP_MAX: Duration = Duration::from_secs(6);

#[test]
fn a_lost_broker_costs_no_record_and_no_failover() {
    play(Signal::KILL, |platform| platform.start_region("r1").unwrap());
}

/// Its sockets stay open and say nothing: whoever waits for it has to be told to look elsewhere.
#[test]
fn a_stopped_broker_costs_no_record_and_no_failover_and_acknowledges_nothing_when_it_wakes() {
    play(Signal::STOP, |platform| strike(platform, Signal::CONT));
}

fn play(signal: Signal, heal: impl FnOnce(&mut Platform)) {
    let mut platform = start_with(|options| (options.regions, options.brokers) = (2, BROKERS as u16));
    let (journal, topic, gateway) = (Journal::new(), unique("broker"), platform.endpoints().gateway.clone());
    create_replicated(&gateway, &topic, PARTITIONS, BROKERS).expect("a topic is made");
    let load = Load::start(&gateway, &topic, PARTITIONS, PER_SECOND, &journal);
    wait_for_acks(&journal, 6000);
    let before = journal.acked();
    let kind = if signal == Signal::KILL { "kill" } else { "stop" };
    let event = Event::Fault { kind: kind.into(), target: "r1-0".into(), outcome: Outcome::Installed };
    journal.tell("nemesis", event);
    strike(&platform, signal);
    wait_for_acks(&journal, before + 10_000);
    assert_eq!(owner(&platform), "r1", "the region goes on without one of its brokers");
    let runs: Vec<Run> = list(&platform.endpoints().api, "/v1/runs", "").unwrap();
    assert!(runs.is_empty(), "{runs:?}");
    heal(&mut platform);
    journal.tell("nemesis", Event::Healed { target: "r1-0".into() });
    wait_for_acks(&journal, journal.acked() + 6000);
    load.finish();
    equal_tails(&platform, &topic, PARTITIONS);
    let scanned = scan_all(&platform, &topic, PARTITIONS, &journal);
    let requirements = Requirements { acked_min: 20_000, faults_min: 1, scanned, stake: false, readers_min: 2 };
    let judgement = judge(&journal, &requirements);
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}\n{}", platform.logs());
    let silence = longest_silence(&journal.entries());
    hold(&format!("{kind}: the longest silence of a partition"), silence, WRITE_GAP_MAX);
}

/// Signals the first broker of r1. The region's own process comes first among those that die with it.
fn strike(platform: &Platform, signal: Signal) {
    let pids = &platform.region("r1").unwrap().pids;
    assert_eq!(pids.len(), 4, "a desk and three brokers");
    let broker = i32::try_from(pids[1]).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(broker, signal).unwrap();
}

/// The longest time without an acknowledgement in any partition.
fn longest_silence(entries: &[Entry]) -> Duration {
    let (mut homes, mut last) = (HashMap::new(), HashMap::new());
    let mut longest = 0;
    for Entry { at, event, .. } in entries {
        match event {
            Event::Sent { value, partition, .. } => _ = homes.insert(*value, partition.partition),
            Event::Acked { value, .. } => {
                let before = homes.get(value).and_then(|home| last.insert(*home, *at));
                longest = longest.max(before.map_or(0, |before| at - before));
            }
            _ => {}
        }
    }
    Duration::from_nanos(longest)
}

fn owner(platform: &Platform) -> String {
    let group: ProtectionGroup = get(&platform.endpoints().api, "/v1/protection-groups/default").unwrap();
    group.owner
}
