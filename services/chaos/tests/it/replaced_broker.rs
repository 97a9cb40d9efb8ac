//! A region of three brokers: one is lost, a backup and a restore are made without it, and then it begins anew with an
//! empty disk.

use crate::backup::{BACKED_UP, LATER, PARTITIONS, RECORDS, Story};
use crate::cluster::start_with;
use crate::rest::list;
use api::backups::{Backup, WorkState};
use api::brokers::{Broker, BrokerState};
use rustix::process::{Pid, Signal, kill_process};

const BROKERS: usize = 3;

#[test]
fn a_backup_and_a_restore_do_without_a_lost_broker_and_its_place_is_taken_by_an_empty_disk() {
    let platform = start_with(|options| (options.regions, options.brokers) = (2, BROKERS as u16));
    let story = Story::begin(platform, "replicated", BROKERS as i32);
    story.member.read_and_commit(0, BACKED_UP);
    let before = story.copies();

    // Nobody has missed it yet when the backup begins: it meets leaders that are gone.
    let lost = kill_a_leader(&story);
    let backup = back_up(&story);
    story.member.read_and_commit(BACKED_UP, LATER);
    story.delete();
    story.member.idle_until("it has heard that the topic is gone", |member| member.partitions() == 0);
    let restored = story.restore(&backup).unwrap_or_else(|refusal| panic!("{refusal}\n{}", story.platform.logs()));
    let summary = restored.summary.as_ref().expect("a completed restore has a summary");
    assert_eq!((summary.partitions, summary.records), (PARTITIONS as u64, (PARTITIONS as i64 * RECORDS) as u64));
    assert_eq!(summary.group_offsets, PARTITIONS as u64);
    story.member.read_and_commit(BACKED_UP, RECORDS);
    story.wait_for_equal_copies(&before);
    story.check_committed(RECORDS);

    refuse_to_drain(&story, lost);
    let slot = lost.to_string();
    let printed = story.command(&["broker", "replace", "r1", &slot, "--wait", "--json"]);
    let replaced: Vec<Broker> = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"));
    let replaced = &replaced[0];
    assert!(replaced.alive && replaced.incarnation == 2, "{replaced:?}");
    assert!(replaced.replicas > 0 && replaced.in_sync == replaced.replicas, "{replaced:?}");
    let aside = story.platform.directory().join(format!("r1/broker-{lost}.incarnation-1"));
    assert!(aside.is_dir(), "what it had is kept in {}", aside.display());
    story.wait_for_equal_copies(&before);
}

fn brokers(story: &Story) -> Vec<Broker> {
    let brokers: Vec<Broker> = list(story.api(), "/v1/regions/r1/brokers", "").unwrap();
    assert_eq!(brokers.len(), BROKERS, "{brokers:?}");
    brokers
}

/// Kills a broker of r1 that leads something; gives its slot.
fn kill_a_leader(story: &Story) -> u16 {
    let mut leads = None;
    story.wait("every broker has its part", || {
        let brokers = brokers(story);
        leads = brokers.iter().find(|broker| broker.leaders > 0).map(|broker| broker.slot);
        brokers.iter().all(|broker| broker.alive && broker.in_sync == broker.replicas) && leads.is_some()
    });
    let slot = leads.expect("somebody leads");
    let pids = &story.platform.region("r1").unwrap().pids;
    assert_eq!(pids.len(), BROKERS + 1, "a desk and three brokers");
    let pid = i32::try_from(pids[usize::from(slot) + 1]).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::KILL).unwrap();
    slot
}

/// Has a backup made at once; gives its name.
fn back_up(story: &Story) -> String {
    story.command(&["backup", "create"]);
    let backups: Vec<Backup> = list(story.api(), "/v1/backups", "").unwrap();
    let made = backups.into_iter().find(|backup| backup.state == WorkState::Completed);
    made.expect("the command waits until it is complete").id
}

/// Two brokers cannot hold three replicas.
fn refuse_to_drain(story: &Story, slot: u16) {
    let refused = story.platform.command(&["broker", "drain", "r1", &slot.to_string()]).unwrap_err().to_string();
    assert!(refused.contains("has 3 replicas") && refused.contains("are alive"), "{refused}");
    assert!(brokers(story).iter().all(|broker| broker.state == BrokerState::InUse));
}
