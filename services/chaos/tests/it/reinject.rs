//! What an old owner acknowledged and nobody else got is archived, listed exactly, and written again on request: then every
//! acknowledged record is in the owner's log once.

use crate::cluster::start_with;
use crate::faults::{PARTITIONS, PER_SECOND, wait_for_acks};
use crate::load::{Journal, Load, create, scan, unique};
use crate::publication;
use crate::region_loss::final_report;
use crate::regions::equal_tails;
use crate::rest::{get, list};
use crate::sync::wait;
use api::backups::WorkState;
use api::diverged::Diverged;
use api::runs::RunReport;
use chaos::history::Event;
use chaos::platform::Platform;
use model::{Offset, OffsetRange, PartitionId};
use std::collections::{BTreeMap, BTreeSet};

/// How long links hold records back: about so much is left behind.
pub(crate) const LINK_DELAY_MS: &str = "1500";

#[test]
fn what_a_lost_region_left_behind_is_written_again_once() {
    let mut platform = start_far_apart();
    let (journal, topic, gateway) = (Journal::new(), unique("again"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, PARTITIONS);
    let load = Load::start(&gateway, &topic, PARTITIONS, PER_SECOND, &journal);
    wait_for_acks(&journal, 4000);
    let before_the_kill = journal.acked();
    platform.kill_region("r1").unwrap();
    wait_for_acks(&journal, before_the_kill + 3000);
    platform.start_region("r1").unwrap();
    wait_for_acks(&journal, journal.acked() + 500);
    load.finish();
    everything_is_there_once_it_is_written_again(&platform, &journal, &topic);
}

#[test]
fn an_old_owner_that_is_isolated_but_alive_acknowledges_nothing_and_what_it_took_is_written_again() {
    let mut platform = start_far_apart();
    let (journal, topic, gateway) = (Journal::new(), unique("split"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, PARTITIONS);
    let direct = platform.region("r1").expect("a first region").bootstrap.clone();
    let writer =
        Load::write_only(&direct, &topic, PARTITIONS, PER_SECOND, &journal, &[("message.timeout.ms", "15000")]);
    wait_for_acks(&journal, 4000);
    platform.stop_region("r1").unwrap();
    wait(&platform, "another region is the owner", |group| group.owner != "r1");
    // Whatever r1 sent before it stood still has arrived long ago.
    let acked = journal.acked();
    platform.continue_region("r1").unwrap();
    let report = final_report(&platform);
    writer.finish();
    assert_eq!(journal.acked(), acked, "r1 acknowledged after its lease: {report:?}\n{}", platform.logs());
    everything_is_there_once_it_is_written_again(&platform, &journal, &topic);
}

fn start_far_apart() -> Platform {
    start_with(|options| options.arguments = vec!["--link-delay-ms".to_owned(), LINK_DELAY_MS.to_owned()])
}

pub(crate) fn everything_is_there_once_it_is_written_again(platform: &Platform, journal: &Journal, topic: &str) {
    let report = final_report(platform);
    let owner = report.target.clone();
    let tails = listed(platform, topic);
    exactly_what_the_report_says(&report, &tails, topic);
    let (acked, before) = (acked(journal), found(platform, &owner, topic));
    let missing: BTreeSet<u64> = acked.keys().filter(|value| !before.contains_key(value)).copied().collect();
    assert!(!missing.is_empty(), "nothing was left behind; the links held nothing back");
    for value in &missing {
        let (partition, offset) = acked[value];
        let covers = |tail: &&Diverged| tail.tail.partition == partition.0 && range(tail).contains(offset);
        assert!(tails.iter().any(|tail| covers(&tail)), "no tail has {value} of {partition} at {offset}: {tails:?}");
    }
    tails.iter().for_each(|tail| is_in_the_object_store(platform, tail));
    publication::each_tail_is_in_its_topic(platform, &tails);
    // A region that copied from the lost one may have the same records.
    let elsewhere: Vec<_> =
        all_listed(platform).into_iter().filter(|tail| is_of(tail, topic) && tail.region != "r1").collect();
    let written: u64 = elsewhere.iter().chain(&tails).map(|tail| written_again(platform, tail)).sum();
    assert!(written >= missing.len() as u64, "{written} of at least {} are written again", missing.len());
    let after = found(platform, &owner, topic);
    let wrong: Vec<_> = acked.keys().filter(|value| after.get(value) != Some(&1)).take(20).collect();
    assert!(wrong.is_empty(), "not there exactly once: {wrong:?}; {tails:?}\n{}", platform.logs());
    let twice: Vec<_> = after.iter().filter(|(_, times)| **times > 1).take(20).collect();
    assert!(twice.is_empty(), "there more than once: {twice:?}\n{}", platform.logs());
    equal_tails(platform, topic, PARTITIONS);
}

/// What r1 archived of a topic.
pub(crate) fn listed(platform: &Platform, topic: &str) -> Vec<Diverged> {
    all_listed(platform).into_iter().filter(|tail| tail.region == "r1" && is_of(tail, topic)).collect()
}

fn is_of(tail: &Diverged, topic: &str) -> bool {
    tail.tail.topic.as_deref() == Some(topic)
}

pub(crate) fn all_listed(platform: &Platform) -> Vec<Diverged> {
    let mut last: Result<Vec<Diverged>, String> = Err("nothing was asked yet".to_owned());
    let told = platform.wait_for("diverged tails are told", crate::sync::PATIENCE, || {
        last = list(&platform.endpoints().api, "/v1/diverged", "");
        last.is_ok()
    });
    told.unwrap_or_else(|error| panic!("{error}\n{last:?}"));
    last.expect("it was waited for")
}

pub(crate) fn range(tail: &Diverged) -> OffsetRange {
    OffsetRange::new(Offset(tail.tail.range.start), Offset(tail.tail.range.end))
}

/// A report that is final names every archived tail.
fn exactly_what_the_report_says(report: &RunReport, tails: &[Diverged], topic: &str) {
    let lost = report.partitions.iter().filter(|loss| loss.topic.as_deref() == Some(topic));
    let told: BTreeMap<i32, (i64, i64)> = lost
        .filter_map(|loss| loss.archived.as_ref().map(|archived| (loss.partition, archived.range)))
        .map(|(partition, range)| (partition, (range.start, range.end)))
        .collect();
    let listed: BTreeMap<i32, (i64, i64)> =
        tails.iter().map(|tail| (tail.tail.partition, (tail.tail.range.start, tail.tail.range.end))).collect();
    assert_eq!(listed, told, "{report:?}\n{tails:?}");
}

/// Its file is kept under its name in the object store, too.
fn is_in_the_object_store(platform: &Platform, tail: &Diverged) {
    let path = format!("/v1/diverged/{}", tail.id);
    let mut last: Result<Diverged, String> = Err("nothing was asked yet".to_owned());
    let kept = platform.wait_for("a tail is in the object store", crate::sync::PATIENCE, || {
        last = get(&platform.endpoints().api, &path);
        last.as_ref().is_ok_and(|tail| !tail.objects.is_empty())
    });
    kept.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
    let told = last.expect("it was waited for");
    let file = tail.tail.file.rsplit('/').next().expect("a file has a name");
    let place = format!("diverged/files/r1/{file}/");
    assert!(told.objects.iter().all(|object| object.starts_with(&place)), "{:?}", told.objects);
}

/// Has a tail written again, twice; answers how many records that were.
fn written_again(platform: &Platform, tail: &Diverged) -> u64 {
    let dry = || command(platform, &["diverged", "reinject", &tail.id, "--dry-run", "--json"]);
    let (before, all) = (dry(), tail.tail.records);
    let expected = before.findings.expect("a dry run finds something").records;
    let done = command(platform, &["diverged", "reinject", &tail.id, "--json"]).reinjection.expect("it was begun");
    let records = done.records.unwrap_or_else(|| panic!("it is complete: {done:?}"));
    assert_eq!((done.state, records.lacking + records.held), (WorkState::Completed, all), "all have a producer id");
    assert!(before.reinjection.is_some() || records == expected, "{done:?}, while a dry run said {expected:?}");
    let again = command(platform, &["diverged", "reinject", &tail.id, "--json"]).reinjection;
    assert_eq!(again, Some(done), "a second request does nothing");
    assert_eq!(dry().findings.map(|findings| findings.records.held), Some(all), "the owner has all of them now");
    records.lacking
}

pub(crate) fn command(platform: &Platform, arguments: &[&str]) -> Diverged {
    // A comparison that takes too long on a busy machine may be asked for again, and so may all else.
    let mut last = Err("nothing was asked yet".to_owned());
    let done = platform.wait_for("a command is carried out", crate::sync::PATIENCE, || {
        last = platform.command(arguments).map_err(|error| error.to_string());
        last.is_ok()
    });
    done.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
    let text = last.expect("it was waited for");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {text}"))
}

/// Where each record was acknowledged.
fn acked(journal: &Journal) -> BTreeMap<u64, (PartitionId, Offset)> {
    let entries = journal.entries();
    let sent: BTreeMap<u64, PartitionId> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Sent { value, partition, .. } => Some((*value, partition.partition)),
            _ => None,
        })
        .collect();
    let acked = entries.iter().filter_map(|entry| match entry.event {
        Event::Acked { value, offset, .. } => Some((value, (sent[&value], offset))),
        _ => None,
    });
    acked.collect()
}

/// How often each record is in the log of a region.
fn found(platform: &Platform, region: &str, topic: &str) -> BTreeMap<u64, u32> {
    let (journal, bootstrap) = (Journal::new(), platform.region(region).unwrap().bootstrap.clone());
    scan(&bootstrap, region, topic, PARTITIONS, &journal);
    let mut times = BTreeMap::new();
    for entry in journal.entries() {
        if let Event::Scanned { records, .. } = entry.event {
            records.into_iter().for_each(|(_, value)| *times.entry(value).or_default() += 1);
        }
    }
    times
}
