//! The process that copies dies at each of its places, under load, and starts again: nothing is twice in the copy, nothing
//! is missing that no stored gap names, and every commit arrives as it is.
//!
//! FARSHORE_CHAOS_PLACES=1 plays that of a proof, too, for which there have to be many records.

use crate::cluster::start_with;
use crate::faults::{self, PARTITIONS, judge, wait_for_acks};
use crate::load::{Journal, Load, create, delete_records, fill, tail, unique};
use crate::region_loss::final_report;
use crate::regions::{equal_hashes, equal_tails, scan_all};
use crate::reinject::{everything_is_there_once_it_is_written_again, listed};
use crate::rest::{get, list};
use crate::setting;
use crate::sync::{PATIENCE, wait};
use api::consumer_groups::ConsumerGroup;
use api::links::Link;
use chaos::checker::{Requirements, Verdict};
use chaos::history::{Event, Outcome};
use chaos::platform::Platform;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const PER_SECOND: u64 = 500;
/// The places of a record and of a commit.
const PLACES: [&str; 6] =
    ["answer-received", "append-begun", "append-done", "flushed", "commits-received", "commits-written"];
/// So many records are hashed at a time.
const HASHED: u64 = 1 << 16;

#[test]
fn a_mirror_that_dies_at_any_place_copies_everything_once_and_names_every_gap() {
    let mut deaths = Deaths::on(|options| options.regions = 2);
    deaths.platform.command(&["protection", "set", "automatic", "off"]).unwrap();
    wait(&deaths.platform, "nothing is done by itself", |group| !group.policy.automatic_failover);
    let (journal, topic, gateway) = (Journal::new(), unique("dying"), deaths.gateway());
    create(&gateway, &topic, PARTITIONS);
    let load = Load::start(&gateway, &topic, PARTITIONS, PER_SECOND, &journal);
    wait_for_acks(&journal, 500);
    for place in PLACES {
        deaths.at(place, &journal, |_| {});
        deaths.rise();
        wait_for_acks(&journal, journal.acked() + 200);
    }
    deaths.decisions_that_become_real_late(&journal);
    let (dropped, gap) = deaths.a_gap_is_stored_once(&journal);
    if setting("FARSHORE_CHAOS_PLACES", 0) == 1 {
        deaths.a_proof_that_is_not_taken_is_taken_later(&journal);
    }
    wait_for_acks(&journal, journal.acked() + 500);
    load.finish();

    let platform = &deaths.platform;
    equal_tails(platform, &topic, PARTITIONS);
    equal_hashes(platform, &topic);
    equal_hashes(platform, &dropped);
    let scanned = scan_all(platform, &topic, PARTITIONS, &journal);
    let faults_min = deaths.count;
    let requirements = Requirements { acked_min: 1000, faults_min, scanned, readers_min: 2, stake: false };
    let judgement = judge(&journal, &requirements);
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}\n{}", platform.logs());
    assert_eq!(gaps(platform), [(dropped, gap)].into(), "exactly what was dropped, once");
    deaths.commits_are_the_same_in_the_other_region(&topic);
}

/// A platform whose first region died with records that nobody else has, and a load that goes on.
fn a_tail_is_left_behind(name: &str) -> (Deaths, Journal, String, Load) {
    let mut deaths = Deaths::on(|options| {
        options.arguments = vec!["--link-delay-ms".to_owned(), crate::reinject::LINK_DELAY_MS.to_owned()];
    });
    let (journal, topic, gateway) = (Journal::new(), unique(name), deaths.gateway());
    create(&gateway, &topic, PARTITIONS);
    let load = Load::start(&gateway, &topic, PARTITIONS, faults::PER_SECOND, &journal);
    wait_for_acks(&journal, 4000);
    let before_the_kill = journal.acked();
    deaths.platform.kill_region("r1").unwrap();
    wait_for_acks(&journal, before_the_kill + 3000);
    (deaths, journal, topic, load)
}

#[test]
fn an_old_owner_that_dies_on_its_way_back_archives_its_tail_once_and_follows() {
    let (mut deaths, journal, topic, load) = a_tail_is_left_behind("back");
    deaths.rise_and_die_at("r1", &["tail-found", "tail-archived", "tail-truncated", "fact-stored"], &journal);
    deaths.start("r1");
    wait_for_acks(&journal, journal.acked() + 500);
    load.finish();
    everything_is_there_once_it_is_written_again(&deaths.platform, &journal, &topic);
    equal_hashes(&deaths.platform, &topic);
}

#[test]
fn whoever_dies_while_it_publishes_a_tail_or_writes_it_again_is_followed_by_one_who_goes_on() {
    let (mut deaths, journal, topic, load) = a_tail_is_left_behind("half");
    load.finish();
    deaths.next("any", "tail-half-published");
    deaths.start("r1");
    deaths.somebody_dies_and_rises(&journal);
    final_report(&deaths.platform);
    deaths.next("any", "tail-half-sent");
    for tail in listed(&deaths.platform, &topic) {
        // Whoever is asked may be the one that dies.
        let _may_be_asked_again = deaths.platform.command(&["diverged", "reinject", &tail.id, "--no-wait"]);
    }
    deaths.somebody_dies_and_rises(&journal);
    everything_is_there_once_it_is_written_again(&deaths.platform, &journal, &topic);
}

/// A platform whose processes die where they are told to.
struct Deaths {
    platform: Platform,
    file: PathBuf,
    count: u64,
}

impl Deaths {
    fn on(change: impl FnOnce(&mut chaos::platform::Options)) -> Self {
        let mut file = PathBuf::new();
        let platform = start_with(|options| {
            file = options.directory.join("die");
            options.environment.push(("FARSHORE_MIRROR_FAILPOINT".to_owned(), file.display().to_string()));
            change(options);
        });
        Self { platform, file, count: 0 }
    }

    fn gateway(&self) -> String {
        self.platform.endpoints().gateway.clone()
    }

    fn source(&self) -> String {
        self.platform.region("r1").unwrap().bootstrap.clone()
    }

    fn target(&self) -> String {
        self.platform.region("r2").unwrap().bootstrap.clone()
    }

    /// From now on `region` dies at `place`.
    fn next(&self, region: &str, place: &str) {
        self.tell(&format!("{region} {place}"));
    }

    fn tell(&self, lines: &str) {
        let draft = self.file.with_extension("draft");
        fs::write(&draft, lines).unwrap();
        fs::rename(draft, &self.file).unwrap();
    }

    /// Waits until a region has died where any was told to, and starts it.
    fn somebody_dies_and_rises(&mut self, journal: &Journal) {
        let died = self.file.with_added_extension("died");
        let mut dead = None;
        self.wait_for("a region dies", || {
            let regions = &self.platform.endpoints().regions;
            dead = regions.iter().find(|region| self.platform.process(&region.name).is_none());
            died.exists() && dead.is_some()
        });
        let dead = dead.expect("it was waited for").name.clone();
        self.await_death(&dead, journal);
        self.start(&dead);
    }

    /// Waits until `region` has died where it was told to.
    fn await_death(&mut self, region: &str, journal: &Journal) {
        let died = self.file.with_added_extension("died");
        let place = fs::read_to_string(&self.file).or_else(|_| fs::read_to_string(&died)).unwrap_or_default();
        let is_dead = || died.exists() && self.platform.process(region).is_none();
        self.wait_for(&format!("it dies: {place}"), is_dead);
        fs::remove_file(died).unwrap();
        self.count += 1;
        let (kind, target) = (place, region.to_owned());
        journal.tell("nemesis", Event::Fault { kind, target, outcome: Outcome::Installed });
    }

    /// Has r2, which is up, die at `place`, to which `cause` leads it if the load does not.
    fn at(&mut self, place: &str, journal: &Journal, cause: impl FnOnce(&Self)) {
        self.next("r2", place);
        cause(self);
        self.await_death("r2", journal);
    }

    fn rise(&mut self) {
        self.start("r2");
    }

    /// Starts a dead region as soon as the supervisor knows that it is dead.
    fn start(&self, region: &str) {
        let died = self.file.with_added_extension("died");
        // One that was told where to die may be gone before it was seen.
        let starts = || self.platform.command(&["region", "start", region]).is_ok() || died.exists();
        self.wait_for(&format!("{region} starts"), starts);
    }

    /// Starts a dead region as often as there are `places` for it to die at. A fact that is kept may become known before
    /// or after what follows from it is done: which place is reached first is not said.
    fn rise_and_die_at(&mut self, region: &str, places: &[&str], journal: &Journal) {
        let lines: Vec<String> = places.iter().map(|place| format!("{region} {place}")).collect();
        self.tell(&lines.join("\n"));
        for _ in places {
            self.start(region);
            self.await_death(region, journal);
        }
    }

    fn wait_for(&self, what: &str, condition: impl FnMut() -> bool) {
        let waited = self.platform.wait_for(what, PATIENCE, condition);
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.logs()));
    }

    fn wait_until_copied(&self, topic: &str, to: i64) {
        self.wait_for(&format!("{topic} is copied"), || tail(&self.target(), topic, 0) == Some(to));
    }

    /// Topics that are made while the target dies are there when it is back.
    fn decisions_that_become_real_late(&mut self, journal: &Journal) {
        for place in ["decision-received", "decision-real"] {
            let topic = unique("made");
            self.at(place, journal, |deaths| create(&deaths.gateway(), &topic, 1));
            fill(&self.gateway(), &topic, 0, 0..10);
            self.rise();
            self.wait_until_copied(&topic, 10);
        }
    }

    /// Drops records that are not copied and has the target die at everything that it does because of that; answers the
    /// topic and the range. Then drops some that are copied.
    fn a_gap_is_stored_once(&mut self, journal: &Journal) -> (String, (i64, i64)) {
        let topic = unique("dropped");
        create(&self.gateway(), &topic, 1);
        fill(&self.gateway(), &topic, 0, 0..100);
        self.wait_until_copied(&topic, 100);
        self.at("append-done", journal, |_| {});
        fill(&self.gateway(), &topic, 0, 100..150);
        delete_records(&self.source(), &topic, 0, 120);
        self.rise_and_die_at("r2", &["gap-found", "gap-recorded", "log-restarted", "fact-stored"], journal);
        self.rise();
        self.wait_until_copied(&topic, 150);
        self.at("log-start-raised", journal, |deaths| delete_records(&deaths.source(), &topic, 0, 130));
        self.rise();
        (topic, (100, 120))
    }

    /// A copy that is hashed is proven though the target died when it was about to be.
    fn a_proof_that_is_not_taken_is_taken_later(&mut self, journal: &Journal) {
        let topic = unique("proven");
        create(&self.gateway(), &topic, 1);
        self.at("proof-received", journal, |deaths| fill(&deaths.gateway(), &topic, 0, 0..HASHED + 1000));
        self.rise();
        let is_proven = |link: Link| {
            let mut proofs = link.partitions.iter().filter(|partition| partition.topic == topic);
            proofs.any(|partition| {
                partition.proof.as_ref().is_some_and(|proof| proof.identical_to_offset >= HASHED as i64)
            })
        };
        let waited = self.platform.wait_for("it is proven", PATIENCE, || link(&self.platform).is_ok_and(is_proven));
        waited.unwrap_or_else(|error| panic!("{error}: {:?}\n{}", link(&self.platform), self.platform.logs()));
    }

    /// After a planned switch the new coordinator has what the old one had.
    fn commits_are_the_same_in_the_other_region(&self, topic: &str) {
        let before = self.commits(topic);
        assert!(!before.is_empty(), "the group has committed");
        self.platform.command(&["protection", "switchover", "--target", "r2"]).unwrap();
        wait(&self.platform, "r2 is the owner", |group| group.owner == "r2");
        assert_eq!(self.commits(topic), before, "{}", self.platform.logs());
    }

    /// What the groups of `topic` have committed, as their coordinator has it.
    fn commits(&self, topic: &str) -> BTreeMap<(String, i32), i64> {
        let mut last: Result<Vec<ConsumerGroup>, String> = Err("nothing was asked yet".to_owned());
        let told = self.platform.wait_for("groups are told", PATIENCE, || {
            last = list(&self.platform.endpoints().api, "/v1/consumer-groups", "");
            last.is_ok()
        });
        told.unwrap_or_else(|error| panic!("{error}\n{last:?}"));
        let groups = last.expect("it was waited for").into_iter();
        let commits =
            groups.flat_map(|group| group.offsets.into_iter().map(move |commit| (group.name.clone(), commit)));
        let ours = commits.filter(|(_, commit)| commit.topic == topic);
        ours.map(|(group, commit)| ((group, commit.partition), commit.offset)).collect()
    }
}

pub(crate) fn link(platform: &Platform) -> Result<Link, String> {
    get(&platform.endpoints().api, "/v1/links/r1/r2/default")
}

/// The gaps of the copies in r2, by topic; none is stored twice.
pub(crate) fn gaps(platform: &Platform) -> BTreeMap<String, (i64, i64)> {
    let mut last = Err("nothing was asked yet".to_owned());
    let told = platform.wait_for("gaps are told", PATIENCE, || {
        last = link(platform);
        last.as_ref().is_ok_and(|link| !link.gaps.is_empty())
    });
    told.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
    let gaps = last.expect("it was waited for").gaps;
    let of: BTreeMap<_, _> = gaps.iter().map(|gap| (gap.topic.clone(), (gap.from_offset, gap.to_offset))).collect();
    assert_eq!(of.len(), gaps.len(), "one gap a topic: {gaps:?}");
    assert!(gaps.iter().all(|gap| gap.reason.contains("retention")), "{gaps:?}");
    of
}
