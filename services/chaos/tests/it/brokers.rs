//! One region of three brokers under faults: RF 3, min.insync.replicas 2, acks=all, written by idempotent producers of
//! rdkafka and confluent-kafka, read by a group and by a reader alone, judged by the checker.
//!
//! Every fault is played once, and its gap (the longest time a partition went without an acknowledgement to a producer) is
//! printed. FARSHORE_CHAOS_SERIES=9 plays each of them nine times, the long way, and holds the gaps against their limits.

mod confluent;
mod many;
mod orders;
mod scene;

use chaos::brokers::Cut;
use orders::{elect, reassign, try_write};
use scene::{PARTITIONS, play, play_on_disks, rest, series};
use std::time::Duration;

/// How long a producer may stand still when a broker is killed.
const KILL_GAP: Duration = Duration::from_secs(3);
/// And when one is silent or cut off, but not dead.
const SILENCE_GAP: Duration = Duration::from_secs(10);
/// Values of single records, above those of the loads.
const SINGLE_VALUE: u64 = 1 << 50;

/// How long a broker is silent or cut off.
fn silence() -> Duration {
    Duration::from_secs(if series() > 1 { 15 } else { 5 })
}

#[test]
fn the_leader_is_killed() {
    play("kill-leader", Some(KILL_GAP), |act| {
        let leader = act.leader(0);
        act.fault("kill", leader, |brokers| brokers.kill(leader));
        act.wait_for_acks(500);
        act.heal(leader, |brokers| brokers.start_all().unwrap());
    });
}

#[test]
fn the_active_controller_is_killed() {
    play("kill-controller", Some(KILL_GAP), |act| {
        let active = act.brokers.active_controller().expect("a controller is active");
        act.fault("kill", active, |brokers| brokers.kill(active));
        act.wait_for_acks(500);
        act.heal(active, |brokers| brokers.start_all().unwrap());
    });
}

#[test]
fn the_leader_is_paused_and_acknowledges_nothing_when_it_wakes() {
    play("pause-leader", Some(SILENCE_GAP), |act| {
        let leader = act.leader(0);
        act.fault("pause", leader, |brokers| brokers.pause(leader).unwrap());
        // Its socket takes the request; it is read when nobody follows any more.
        let late =
            try_write(&act.brokers.address(leader), &act.topic, 0, SINGLE_VALUE + act.round as u64, &act.journal);
        rest(silence());
        act.wait_for_another_leader(0, leader);
        act.heal(leader, |brokers| brokers.resume(leader).unwrap());
        assert!(!late.join().unwrap(), "broker {leader} acknowledged under its old epoch");
    });
}

fn cut_off(cut: Cut, name: &str) {
    play(name, Some(SILENCE_GAP), |act| {
        let leader = act.leader(0);
        act.fault(name, leader, |brokers| brokers.isolate(leader, cut));
        rest(silence());
        act.wait_for_acks(100);
        act.heal(leader, |brokers| brokers.heal());
    });
}

#[test]
fn the_leader_neither_hears_the_others_nor_is_heard() {
    cut_off(Cut::Both, "isolate-leader");
}

#[test]
fn the_leader_hears_nobody() {
    cut_off(Cut::In, "deafen-leader");
}

#[test]
fn nobody_hears_the_leader() {
    cut_off(Cut::Out, "silence-leader");
}

#[test]
fn all_brokers_are_killed_at_once() {
    play("kill-all", None, |act| {
        act.fault("kill", "all", chaos::brokers::Brokers::kill_all);
        act.heal("all", |brokers| brokers.start_all().unwrap());
    });
}

/// All disks lose what was not flushed, at one moment.
#[test]
fn the_power_of_all_disks_is_cut() {
    play_on_disks("power-cut", |act| {
        act.fault("power-cut", "all", |brokers| brokers.cut_power().unwrap());
        act.heal("all", |brokers| brokers.start_all().unwrap());
    });
}

#[test]
fn the_brokers_are_restarted_one_after_the_other() {
    play("rolling-restart", None, |act| {
        for slot in 0..act.brokers.count() {
            act.fault("stop", slot, |brokers| brokers.stop(slot).unwrap());
            act.heal(slot, |brokers| brokers.start_all().unwrap());
            act.wait_until_whole();
        }
    });
}

#[test]
fn replicas_go_from_three_to_one_and_back() {
    play("reassign", None, |act| {
        let count = act.brokers.count();
        let one: Vec<_> = (0..PARTITIONS as usize).map(|partition| vec![(partition + act.round) % count]).collect();
        let topic = act.topic.clone();
        act.fault("reassign", "replicas", |brokers| reassign(&brokers.bootstrap(), &topic, &one));
        act.wait_for_replicas(&one);
        let all = one.iter().map(|first| (0..count).map(|n| (first[0] + n) % count).collect()).collect::<Vec<Vec<_>>>();
        reassign(&act.brokers.bootstrap(), &act.topic, &all);
        act.wait_for_replicas(&all);
        act.heal("replicas", |_| {});
    });
}

#[test]
fn leaders_move_again_and_again() {
    play("leader-storm", None, |act| {
        let count = act.brokers.count();
        act.fault("elect", "all leaders", |_| {});
        for turn in 0..4 {
            let order = |partition: usize| (0..count).map(|n| (partition + turn + n) % count).collect::<Vec<_>>();
            let wanted: Vec<_> = (0..PARTITIONS as usize).map(order).collect();
            reassign(&act.brokers.bootstrap(), &act.topic, &wanted);
            elect(&act.brokers.bootstrap(), &act.topic, PARTITIONS);
            act.wait_for_leaders(&wanted.iter().map(|replicas| replicas[0]).collect::<Vec<_>>());
            act.wait_for_acks(50);
        }
        act.heal("all leaders", |_| {});
    });
}
