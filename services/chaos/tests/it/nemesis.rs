//! Any process is killed at any moment under load, with automatic failover off: what was acknowledged stays, once, and the
//! council forgets nothing.
//!
//! FARSHORE_CHAOS_SECONDS is for how long (20), FARSHORE_CHAOS_SEED for which moments and victims (a new one every time,
//! printed), FARSHORE_CHAOS_REGIONS for how many regions (3; with an even number there is a witness to kill).

use crate::cluster::start_with;
use crate::council::{wait_for_books, wait_for_standbys};
use crate::faults::{PARTITIONS, judge, wait_for_acks};
use crate::load::{Journal, Load, create, unique};
use crate::regions::{equal_tails, scan_all};
use crate::setting;
use chaos::checker::{Requirements, Verdict};
use chaos::history::{Event, Outcome};
use chaos::platform::Platform;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

const PER_SECOND: u64 = 1000;
/// What stands for all processes at once.
const EVERYTHING: &str = "everything";

#[test]
fn whatever_is_killed_at_any_moment_no_acknowledged_record_is_gone() {
    let length = Duration::from_secs(setting("FARSHORE_CHAOS_SECONDS", 20));
    let seed = setting("FARSHORE_CHAOS_SEED", SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    let regions = setting("FARSHORE_CHAOS_REGIONS", 3);
    println!("FARSHORE_CHAOS_SEED={seed} FARSHORE_CHAOS_SECONDS={} FARSHORE_CHAOS_REGIONS={regions}", length.as_secs());
    let mut platform = start_with(|options| options.regions = regions);
    let (journal, topic) = (Journal::new(), unique("nemesis"));
    furnish(&platform, &topic);
    let before = wait_for_books(&platform);
    let load = Load::start(&platform.endpoints().gateway, &topic, PARTITIONS, PER_SECOND, &journal);
    wait_for_acks(&journal, 2000);
    let kills = Nemesis::new(&mut platform, &journal, seed).rage(length);
    println!("killed: {kills:?}");
    wait_for_acks(&journal, journal.acked() + 2000);
    load.finish();
    equal_tails(&platform, &topic, PARTITIONS);
    let after = wait_for_books(&platform);
    before.check_kept_in(&after);
    let scanned = scan_all(&platform, &topic, PARTITIONS, &journal);
    let faults_min = length.as_secs() / 5;
    let requirements = Requirements { acked_min: 4000, faults_min, readers_min: 2, scanned, ..Requirements::default() };
    let report = judge(&journal, &requirements);
    assert_eq!(report.verdict, Verdict::Pass, "{report:?}\n{}\n{}", platform.directory().display(), platform.logs());
}

/// Gives the council something to lose: topics, runs, schedules, a changed policy.
fn furnish(platform: &Platform, topic: &str) {
    let gateway = &platform.endpoints().gateway;
    create(gateway, topic, PARTITIONS);
    create(gateway, &unique("bystander"), 2);
    let nightly = ["schedule", "create", "nightly", "--cron", "0 3 * * *", "--job", "drill"];
    let commands: [&[&str]; 5] = [
        &["protection", "set", "automatic", "off"],
        &["protection", "switchover", "--target", "r2"],
        &["protection", "switchover", "--target", "r1"],
        &["backup", "create"],
        &nightly,
    ];
    for command in commands {
        wait_for_standbys(platform, &platform.endpoints().api);
        platform.command(command).unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
    }
}

/// Kills one process after the other.
struct Nemesis<'a> {
    platform: &'a mut Platform,
    journal: &'a Journal,
    dice: Dice,
    /// Dead regions, and when they are started again.
    down: BTreeMap<String, Instant>,
    kills: BTreeMap<String, u32>,
}

impl<'a> Nemesis<'a> {
    fn new(platform: &'a mut Platform, journal: &'a Journal, seed: u64) -> Self {
        Self { platform, journal, dice: Dice(seed), down: BTreeMap::new(), kills: BTreeMap::new() }
    }

    /// Kills for `length`, then has every region up again. Answers what was killed how often.
    fn rage(mut self, length: Duration) -> BTreeMap<String, u32> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let next = Instant::now() + self.dice.between(200, 2500);
            self.raise_until(next.min(end));
            self.strike();
        }
        self.raise_until(Instant::now() + Duration::from_secs(3));
        self.kills
    }

    /// Starts dead regions when it is time for them, until `end`.
    fn raise_until(&mut self, end: Instant) {
        loop {
            let next = self.down.iter().min_by_key(|(_, at)| **at).map(|(region, at)| (region.clone(), *at));
            let until = next.as_ref().map_or(end, |(_, at)| *at).min(end);
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
            match next {
                Some((region, at)) if at <= end => self.raise(&region),
                _ => return,
            }
        }
    }

    fn raise(&mut self, region: &str) {
        let raised = self.platform.start_region(region);
        raised.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.logs()));
        self.down.remove(region);
        self.tell_healed(region);
    }

    fn strike(&mut self) {
        let mut victims = vec![EVERYTHING, "gateway", "gateway", "s3", "s3", "witness", "witness"];
        let regions: Vec<String> = self.platform.endpoints().regions.iter().map(|region| region.name.clone()).collect();
        victims.extend(regions.iter().flat_map(|region| [region.as_str(); 3]));
        let victim = victims[self.dice.below(victims.len() as u64) as usize];
        let outcome = match victim {
            EVERYTHING => self.strike_everything(),
            role => self.strike_one(role),
        };
        if outcome == Outcome::Installed {
            *self.kills.entry(victim.to_owned()).or_default() += 1;
        }
        self.journal.tell("nemesis", Event::Fault { kind: "kill".into(), target: victim.to_owned(), outcome });
    }

    fn strike_one(&mut self, role: &str) -> Outcome {
        match self.platform.kill_process(role) {
            Ok(true) if self.platform.region(role).is_ok() => {
                self.down.insert(role.to_owned(), Instant::now() + self.dice.between(100, 3000));
                Outcome::Installed
            }
            Ok(true) => Outcome::Installed,
            Ok(false) => Outcome::Skipped,
            Err(error) => panic!("{error}\n{}", self.platform.logs()),
        }
    }

    fn strike_everything(&mut self) -> Outcome {
        self.platform.kill();
        let back = self.platform.restart();
        back.unwrap_or_else(|error| panic!("the platform does not come back: {error}\n{}", self.platform.logs()));
        self.down.clear();
        self.tell_healed(EVERYTHING);
        Outcome::Installed
    }

    fn tell_healed(&self, target: &str) {
        self.journal.tell("nemesis", Event::Healed { target: target.to_owned() });
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same throws.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.throw() % end
    }

    fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(least_ms + self.below(most_ms - least_ms))
    }
}
