//! `auto` follows the line to the target, which becomes long and short again, lets one request in a hundred fail and none
//! again: the mode changes once for each.
//!
//! FARSHORE_CHAOS_AUTO_SECONDS is for how long the line stays as it is each time, with the usual patience of `auto`: 60 is
//! the whole story. Without it, `auto` has less patience, and the line changes soon after the mode has.

use crate::cluster::start_with;
use crate::faults::wait_for_acks;
use crate::load::{Journal, Load, create, unique};
use crate::setting;
use crate::sync::{ledger, wait};
use api::protection_groups::{ExposureReason, Mode, ModePhase, ProtectionGroup};
use chaos::line::{Direction, Line, Plan};
use chaos::platform::Platform;
use std::time::{Duration, Instant};

const PER_SECOND: u64 = 500;
/// How long a mode is watched once it is there.
const WATCHED: Duration = Duration::from_secs(2);
/// Where requests are few, it takes a while until enough of them have failed.
const PATIENCE: Duration = Duration::from_secs(240);
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_millis(150);

#[test]
fn auto_changes_the_mode_once_for_each_change_of_the_line() {
    let line = Line::open(Plan::default()).unwrap_or_else(|error| panic!("this test needs a line: {error}"));
    round_trip(&line, SHORT);
    let platform = start_with(|options| {
        options.regions = 2;
        options.arguments = vec!["--links-at".to_owned(), line.far().to_string()];
    });
    let (journal, topic, gateway) = (Journal::new(), unique("auto"), platform.endpoints().gateway.clone());
    create(&gateway, &topic, 1);
    let load = Load::write_only(&gateway, &topic, 1, PER_SECOND, &journal, &[]);
    set_auto(&platform);
    let mut story = Story { platform, epoch: 0, lasts: Duration::from_secs(setting("FARSHORE_CHAOS_AUTO_SECONDS", 0)) };
    story.comes_to("a round trip of 20 ms", ModePhase::Sync);
    round_trip(&line, LONG);
    let group = story.comes_to("150 ms", ModePhase::Async);
    says_why(&group, |round_trip_ms, _| round_trip_ms >= 150.0);
    round_trip(&line, SHORT);
    story.comes_to("20 ms again", ModePhase::Sync);
    line.reshape(Direction::There, |shape| shape.broken = 0.01);
    let group = story.comes_to("one request in a hundred fails", ModePhase::Async);
    says_why(&group, |_, failures| failures > 0);
    assert!(line.count(Direction::There).broken > 0);
    line.reshape(Direction::There, |shape| shape.broken = 0.0);
    story.comes_to("none again", ModePhase::Sync);
    wait_for_acks(&journal, journal.acked() + 100);
    load.finish();
    let ledger = ledger(&story.platform);
    let reasons: Vec<_> = ledger.iter().map(|entry| entry.reason).collect();
    assert_eq!(reasons, [ExposureReason::Line, ExposureReason::Line, ExposureReason::Created], "{ledger:?}");
    assert!(ledger.iter().all(|entry| entry.to.is_some()), "{ledger:?}");
}

fn round_trip(line: &Line, round_trip: Duration) {
    line.reshape_both(|shape| shape.delay = round_trip / 2);
}

/// A group that waits for its target leaves SYNC for the line alone, however slow this machine is.
fn set_auto(platform: &Platform) {
    let mut asked = vec!["protection", "set", "mode", "auto", "--slow-target", "block"];
    if setting("FARSHORE_CHAOS_AUTO_SECONDS", 0) == 0 {
        asked.extend(["--good-for-ms", "2000", "--dwell-ms", "1000"]);
    }
    platform.command(&asked).unwrap();
    let group = wait(platform, "it is in auto", |group| group.policy.mode == Mode::Auto);
    assert_eq!(
        (group.policy.auto.round_trip_max_ms, group.policy.auto.errors_max_ppm),
        (100, 1000),
        "the usual limits"
    );
}

/// Why the group is not in SYNC, as the API has it.
fn says_why(group: &ProtectionGroup, is_told: impl Fn(f64, u64) -> bool) {
    let durability = &group.durability;
    assert_eq!(durability.exposed_by, Some(ExposureReason::Line), "{durability:?}");
    let auto = durability.auto.as_ref().unwrap_or_else(|| panic!("{durability:?}"));
    assert_eq!(auto.asks_for, Mode::Async, "{auto:?}");
    assert!(is_told(auto.round_trip_ms.unwrap_or(0.0), auto.failures), "{auto:?}");
    assert!(auto.reason.starts_with("the line is "), "{auto:?}");
}

struct Story {
    platform: Platform,
    /// The number of the last change of mode.
    epoch: u64,
    lasts: Duration,
}

impl Story {
    /// Waits until the group is in `phase`, for one change of mode only, and that stays so.
    fn comes_to(&mut self, what: &str, phase: ModePhase) -> ProtectionGroup {
        let began = Instant::now();
        // Into SYNC leads CONVERGING.
        self.epoch += if phase == ModePhase::Sync { 2 } else { 1 };
        let mut last = None;
        let came = self.platform.wait_for(what, PATIENCE + self.lasts, || {
            last = Some(wait(&self.platform, what, |_| true));
            last.as_ref().is_some_and(|group| group.durability.phase == phase)
        });
        came.unwrap_or_else(|error| panic!("{error}: {last:?}\n{}", self.platform.logs()));
        let there = began.elapsed();
        println!("{what}: {phase:?} after {there:?}");
        let until = Instant::now() + WATCHED.max(self.lasts.saturating_sub(there));
        let mut group = self.look(what, phase);
        let watched = self.platform.wait_for(what, PATIENCE + self.lasts, || {
            group = self.look(what, phase);
            // The line is judged by the leader, which may be another one now.
            Instant::now() >= until && group.durability.auto.is_some()
        });
        watched.unwrap_or_else(|error| panic!("{error}: {group:?}"));
        group
    }

    fn look(&self, what: &str, phase: ModePhase) -> ProtectionGroup {
        let group = wait(&self.platform, what, |_| true);
        let found = (group.durability.phase, group.durability.mode_epoch);
        assert_eq!(found, (phase, self.epoch), "{what}: {group:?}\n{}", self.platform.logs());
        group
    }
}
