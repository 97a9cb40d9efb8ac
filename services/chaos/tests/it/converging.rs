//! A group comes into SYNC though more is written than the line to its target carries: writers are slowed down until the
//! copy is near, and while it is not.

use crate::cluster::start_with;
use crate::faults::wait_for_acks;
use crate::load::{Journal, Load, RECORD_BYTES, create, unique};
use crate::rest::get;
use crate::sync::{PATIENCE, ledger, wait};
use api::links::Link;
use api::protection_groups::{ExposureReason, ModePhase};
use chaos::line::{Line, Plan};
use chaos::platform::Platform;

/// What the line carries in a second.
const BYTES_PER_SECOND: u64 = 4 << 20;
/// What writers would write: half as much again.
const PER_SECOND: u64 = BYTES_PER_SECOND / 2 * 3 / RECORD_BYTES as u64;
/// Writers that wait for nobody, and give up what they cannot send soon.
const HASTY: [(&str, &str); 4] = [
    ("enable.idempotence", "false"),
    ("acks", "1"),
    ("queue.buffering.max.messages", "4000"),
    ("message.timeout.ms", "5000"),
];

#[test]
fn sync_is_entered_and_kept_though_more_is_written_than_the_line_carries() {
    let line = Line::open(Plan::default()).unwrap_or_else(|error| panic!("this test needs a line: {error}"));
    line.reshape_both(|shape| {
        shape.bytes_per_second = Some(BYTES_PER_SECOND);
        shape.queue_bytes = 512 << 10;
    });
    let platform = start_with(|options| {
        options.regions = 2;
        options.arguments = vec!["--links-at".to_owned(), line.far().to_string()];
    });
    let (journal, topic, gateway) = (Journal::new(), unique("converging"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, 1);
    let load = Load::write_only(&gateway, &topic, 1, PER_SECOND, &journal, &HASTY);
    until_far_behind(&platform, &topic);
    platform.command(&["protection", "set", "mode", "sync", "--slow-target", "block"]).unwrap();
    let group = wait(&platform, "writers are slowed down", |group| group.durability.slows_writers);
    assert_eq!(group.durability.phase, ModePhase::Converging, "{:?}", group.durability);
    wait(&platform, "the group is in sync", |group| group.durability.phase == ModePhase::Sync);
    wait_for_acks(&journal, journal.acked() + 5 * PER_SECOND as usize);
    let group = wait(&platform, "it tells how it stands", |_| true);
    assert_eq!((group.durability.phase, group.durability.slows_writers), (ModePhase::Sync, false));
    load.finish();
    let reasons: Vec<_> = ledger(&platform).iter().map(|entry| entry.reason).collect();
    assert_eq!(reasons, [ExposureReason::Created], "it never left SYNC");
}

fn until_far_behind(platform: &Platform, topic: &str) {
    let mut last: Option<Result<Link, String>> = None;
    let far = platform.wait_for("the copy is far behind", PATIENCE, || {
        let link = get::<Link>(&platform.endpoints().api, "/v1/links/r1/r2/default");
        let partitions = link.as_ref().map(|link| &link.partitions[..]).unwrap_or_default();
        let is_far = partitions.iter().any(|partition| partition.topic == topic && partition.lag_seconds > 3.0);
        last = Some(link);
        is_far
    });
    far.unwrap_or_else(|error| panic!("{error}: {last:?}"));
}
