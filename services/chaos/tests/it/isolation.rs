//! The owner is cut off from the other regions, the gateway and the object store, and stays alive; its own clients reach it
//! and write to it all the time.

use crate::cluster::start_with;
use crate::faults::{PARTITIONS, PER_SECOND, wait_for_acks};
use crate::load::{Journal, Load, create, tail, unique};
use crate::region_loss::{HOLE, final_report};
use crate::reinject::{LINK_DELAY_MS, everything_is_there_once_it_is_written_again};
use crate::sync::{PATIENCE, wait};
use chaos::history::{Event, Outcome};
use chaos::line::{Direction, Island, Line, Plan};
use chaos::platform::Platform;

/// Values of the writer outside begin here.
const OUTSIDE: u64 = 1 << 40;
/// A region listens on so many ports in a row, the first of them its clients'.
const PORTS: u16 = 5;

#[test]
fn an_owner_that_is_cut_off_acknowledges_nothing_once_another_one_does_and_what_it_took_is_written_again() {
    let line = Line::open(Plan::default()).unwrap_or_else(|error| panic!("this test needs a line: {error}"));
    let platform = start_with(|options| {
        let arguments = ["--nodes-at", &line.far().to_string(), "--link-delay-ms", LINK_DELAY_MS];
        options.arguments = arguments.map(str::to_owned).to_vec();
    });
    let (journal, topic, gateway) = (Journal::new(), unique("island"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, PARTITIONS);
    let direct = platform.region("r1").unwrap().bootstrap.clone();
    let short = [("message.timeout.ms", "15000")];
    let inside = Load::write_only(&direct, &topic, PARTITIONS, PER_SECOND / 4, &journal, &short);
    let outside = Load::write_from(OUTSIDE, &gateway, &topic, PARTITIONS, PER_SECOND / 4, &journal, &[]);
    wait_for_acks(&journal, 3000);

    tell(&journal, Event::Fault { kind: "cut".into(), target: "r1".into(), outcome: Outcome::Installed });
    let cut_at = journal.now();
    line.part(island(&platform));
    wait(&platform, "another region is the owner", |group| group.owner != "r1");
    let served = || acks(&journal).into_iter().any(|(_, value, offset)| value >= OUTSIDE && offset >= HOLE);
    platform.wait_for("the new owner acknowledges", PATIENCE, served).unwrap_or_else(|error| panic!("{error}"));
    assert!(line.count(Direction::There).cut > 0 && line.count(Direction::Back).cut > 0, "something met the cut");
    assert!(tail(&direct, &topic, 0).is_some_and(|tail| tail < HOLE), "r1 is alive, and knows nothing of all that");
    wait_for_acks(&journal, journal.acked() + 1000);
    line.join();
    tell(&journal, Event::Healed { target: "r1".into() });

    let report = final_report(&platform);
    inside.finish();
    outside.finish();
    let told = acks(&journal);
    let of_old = told.iter().filter(|(_, _, offset)| *offset < HOLE).map(|(at, ..)| *at);
    let of_new = told.iter().filter(|(_, _, offset)| *offset >= HOLE).map(|(at, ..)| *at);
    let (last_of_old, first_of_new) = (of_old.max().unwrap(), of_new.min().unwrap());
    println!("cut at {cut_at} ns, last of the old owner at {last_of_old}, first of the new one at {first_of_new}");
    assert!(last_of_old < first_of_new, "two owners acknowledged at a time: {report:?}\n{}", platform.logs());
    let taken_apart = told.iter().any(|(at, value, _)| *value < OUTSIDE && (cut_at..first_of_new).contains(at));
    assert!(taken_apart, "r1 took something from its clients while it was cut off and its lease stood");
    everything_is_there_once_it_is_written_again(&platform, &journal, &topic);
}

fn island(platform: &Platform) -> Island {
    let region = platform.region("r1").unwrap();
    let first: u16 = region.bootstrap.rsplit_once(':').unwrap().1.parse().unwrap();
    Island { pids: region.pids.clone(), ports: (first..first + PORTS).collect() }
}

fn tell(journal: &Journal, event: Event) {
    journal.tell("nemesis", event);
}

/// When each record was acknowledged, its value, and its offset.
fn acks(journal: &Journal) -> Vec<(u64, u64, i64)> {
    let entries = journal.entries();
    let acks = entries.iter().filter_map(|entry| match entry.event {
        Event::Acked { value, offset, .. } => Some((entry.at, value, offset.0)),
        _ => None,
    });
    acks.collect()
}
