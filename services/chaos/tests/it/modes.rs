//! The mode changes all the time, the copy that is waited for is out of reach now and then, and in the end the owner dies
//! after a while in which it was alone, in SYNC or not: every acknowledged record that the survivor lacks was acknowledged
//! while the ledger said that it was at risk.
//!
//! FARSHORE_CHAOS_TOGGLES is how often the mode changes (4), FARSHORE_CHAOS_TOGGLE_MS for how long it stays at most (1500),
//! FARSHORE_CHAOS_SEED which moments (a new one every time, printed), FARSHORE_CHAOS_SERIES how many platforms (1).

use crate::cluster::start;
use crate::faults::{PER_SECOND, wait_for_acks};
use crate::load::Journal;
use crate::setting;
use crate::sync::{PATIENCE, found, ledger, load_in_sync, scan_survivor, wait};
use api::protection_groups::{Exposure, ModePhase};
use chaos::history::Event;
use chaos::platform::Platform;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

#[test]
fn what_was_acknowledged_while_nothing_was_at_risk_is_in_the_survivor() {
    let mut chance =
        Chance(setting("FARSHORE_CHAOS_SEED", SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64));
    println!("FARSHORE_CHAOS_SEED={}", chance.0);
    for _ in 0..setting("FARSHORE_CHAOS_SERIES", 1) {
        let mut platform = start();
        let (journal, topic, load) = load_in_sync(&platform, "degrade", &[]);
        let began = Clock::read(&journal);
        wait_for_acks(&journal, journal.acked() + 1000);
        let toggles = setting("FARSHORE_CHAOS_TOGGLES", 4) + chance.below(2);
        for toggle in 0..toggles {
            set_mode(&mut platform, &journal, toggle, &mut chance);
        }
        let changed = ledger(&platform);
        lose_the_owner(&mut platform, &journal);
        wait_for_acks(&journal, journal.acked() + 1000);
        load.finish();
        let owner = wait(&platform, "somebody else is the owner", |group| group.owner != "r1").owner;
        scan_survivor(&platform, &owner, &journal, &topic);
        every_loss_was_at_risk(&platform, &journal, &began);
        let closed = changed.iter().filter(|entry| entry.to.is_some()).count() as u64;
        assert!(closed > toggles / 2, "one entry for each time until SYNC was seen: {changed:?}");
    }
}

/// Changes the mode for a while, in which the copy may be out of reach.
fn set_mode(platform: &mut Platform, journal: &Journal, toggle: u64, chance: &mut Chance) {
    let (mode, phase) = if toggle.is_multiple_of(2) { ("async", ModePhase::Async) } else { ("sync", ModePhase::Sync) };
    platform.command(&["protection", "set", "mode", mode]).unwrap();
    wait(platform, mode, |group| group.durability.phase == phase);
    if chance.below(2) == 0 {
        cut(platform, journal, chance);
        if mode == "sync" {
            wait(platform, "it is in sync again", |group| group.durability.phase == ModePhase::Sync);
        }
    }
    let acked_in = chance.below(setting("FARSHORE_CHAOS_TOGGLE_MS", 1500)) * PER_SECOND / 1000;
    wait_for_acks(journal, journal.acked() + usize::try_from(acked_in).unwrap());
}

/// The first standby stands still for some writes: in SYNC until they go on without it.
fn cut(platform: &mut Platform, journal: &Journal, chance: &mut Chance) {
    platform.stop_region("r2").unwrap();
    wait_for_acks(journal, journal.acked() + 200 + usize::try_from(chance.below(500)).unwrap());
    platform.continue_region("r2").unwrap();
}

/// For a while nobody copies what the owner writes, nor can the council note anything; then it is gone.
fn lose_the_owner(platform: &mut Platform, journal: &Journal) {
    for standby in ["r2", "r3"] {
        platform.stop_region(standby).unwrap();
    }
    let sent = || journal.entries().iter().filter(|entry| matches!(entry.event, Event::Sent { .. })).count();
    let enough = sent() + 500;
    platform.wait_for("records are handed in", PATIENCE, || sent() >= enough).unwrap();
    platform.kill_region("r1").unwrap();
    for standby in ["r2", "r3"] {
        platform.continue_region(standby).unwrap();
    }
}

/// Looks up each record that is missing.
fn every_loss_was_at_risk(platform: &Platform, journal: &Journal, began: &Clock) {
    let (ledger, found) = (ledger(platform), found(journal));
    let times = times(journal);
    let missing: Vec<_> = times.keys().filter(|value| !found.contains(value)).copied().collect();
    println!("{} acknowledged, {} of them lost, {} entries in the ledger", times.len(), missing.len(), ledger.len());
    let promised: Vec<_> = missing
        .iter()
        .filter(|value| !ledger.iter().any(|entry| began.was_open_within(entry, times[value])))
        .map(|value| (*value, times[value]))
        .collect();
    assert!(promised.is_empty(), "lost though nothing was at risk: {promised:?}\n{ledger:?}\n{}", platform.logs());
}

/// Between which moments each acknowledged record was acknowledged: it was handed in, and the answer was there.
fn times(journal: &Journal) -> BTreeMap<u64, (u64, u64)> {
    let (mut sent, mut acked) = (BTreeMap::new(), BTreeMap::new());
    for entry in journal.entries() {
        match entry.event {
            Event::Sent { value, .. } => drop(sent.insert(value, entry.at)),
            Event::Acked { value, .. } => drop(acked.insert(value, (sent[&value], entry.at))),
            _ => {}
        }
    }
    acked
}

/// The journal's clock and the one of the ledger at the same moment.
struct Clock {
    journal: u64,
    wall: DateTime<Utc>,
}

impl Clock {
    fn read(journal: &Journal) -> Self {
        Self { journal: journal.now(), wall: SystemTime::now().into() }
    }

    /// Whether the entry was open at any moment of `[from, to]` by the journal's clock. The ledger counts milliseconds.
    fn was_open_within(&self, entry: &Exposure, (from, to): (u64, u64)) -> bool {
        let grain = Duration::from_millis(1);
        let opened = parsed(&entry.from) - grain;
        let closed = entry.to.as_deref().map(|closed| parsed(closed) + grain);
        opened <= self.wall(to) && closed.is_none_or(|closed| self.wall(from) <= closed)
    }

    fn wall(&self, at: u64) -> DateTime<Utc> {
        let since = i64::try_from(at).unwrap() - i64::try_from(self.journal).unwrap();
        self.wall + chrono::TimeDelta::nanoseconds(since)
    }
}

fn parsed(time: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(time).unwrap_or_else(|error| panic!("{time}: {error}")).into()
}

/// Numbers that are the same for the same seed (Knuth's linear congruential generator).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}
