//! The links are cut while the source goes on: writes, purges, deletes a topic and makes it again. When they are whole
//! again everything that is left is copied once, and what is not there is told, to the offset.
//!
//! FARSHORE_CHAOS_CUT_SECONDS is for how long, at least [2].

use crate::cluster::start_with;
use crate::failpoints::{gaps, link};
use crate::faults::{PARTITIONS, judge, wait_for_acks};
use crate::librdkafka::delete_topic;
use crate::load::{Journal, Load, create, delete_records, fill, scan, tail, unique};
use crate::regions::{equal_hashes, equal_tails, scan_all};
use crate::rest::get;
use crate::setting;
use crate::sync::{PATIENCE, wait};
use api::topics::Topic;
use chaos::checker::{Requirements, Verdict};
use chaos::history::{Event, Outcome};
use chaos::line::{Line, Plan};
use chaos::platform::Platform;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PER_SECOND: u64 = 500;

#[test]
fn after_a_cut_everything_that_is_left_is_copied_once_and_what_was_dropped_or_remade_is_told() {
    let line = Line::open(Plan::default()).unwrap_or_else(|error| panic!("this test needs a line: {error}"));
    let scene = Scene::begin(&line);
    let (journal, topic) = (Journal::new(), unique("kept"));
    let (dropped, remade) = (unique("dropped"), unique("remade"));
    create(&scene.source, &topic, PARTITIONS);
    for other in [&dropped, &remade] {
        create(&scene.source, other, 1);
        fill(&scene.source, other, 0, 0..100);
        scene.wait_for(&format!("{other} is copied"), || tail(&scene.target, other, 0) == Some(100));
    }
    let before = scene.topic(&remade).id;
    let load = Load::start(&scene.source, &topic, PARTITIONS, PER_SECOND, &journal);
    wait_for_acks(&journal, 500);

    scene.cut(true, &journal);
    let (cut_at, acked) = (Instant::now(), journal.acked());
    fill(&scene.source, &dropped, 0, 100..150);
    delete_records(&scene.source, &dropped, 0, 120);
    delete_topic(&scene.source, &remade);
    create(&scene.source, &remade, 1);
    fill(&scene.source, &remade, 0, 1000..1020);
    scene.wait_for("the link is known to be down", || scene.is_behind(&topic));
    wait_for_acks(&journal, acked + 500);
    let lasts = Duration::from_secs(setting("FARSHORE_CHAOS_CUT_SECONDS", 2));
    scene.wait_for("the cut has lasted", || cut_at.elapsed() >= lasts);
    scene.wait_for("nothing came through the cut", || tail(&scene.target, &dropped, 0) == Some(100));
    scene.cut(false, &journal);

    wait_for_acks(&journal, journal.acked() + 500);
    load.finish();
    let platform = &scene.platform;
    equal_tails(platform, &topic, PARTITIONS);
    [&topic, &dropped, &remade].into_iter().for_each(|topic| equal_hashes(platform, topic));
    let scanned = scan_all(platform, &topic, PARTITIONS, &journal);
    let requirements = Requirements { acked_min: 1500, faults_min: 1, scanned, readers_min: 2, stake: false };
    let judgement = judge(&journal, &requirements);
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}\n{}", platform.logs());
    assert_eq!(gaps(platform), [(dropped, (100, 120))].into(), "exactly what was dropped, once");
    scene.wait_for("the new topic begins at its own beginning", || tail(&scene.target, &remade, 0) == Some(20));
    scene.tells_of_the_reset(&remade, &before);
    scene.restores_what_was_deleted(&remade, &before);
}

struct Scene<'l> {
    platform: Platform,
    line: &'l Line,
    source: String,
    target: String,
}

impl<'l> Scene<'l> {
    fn begin(line: &'l Line) -> Self {
        let platform = start_with(|options| {
            options.regions = 2;
            options.arguments = vec!["--links-at".to_owned(), line.far().to_string()];
        });
        platform.command(&["protection", "set", "automatic", "off"]).unwrap();
        wait(&platform, "nothing is done by itself", |group| !group.policy.automatic_failover);
        let [source, target] = ["r1", "r2"].map(|region| platform.region(region).unwrap().bootstrap.clone());
        Self { platform, line, source, target }
    }

    fn cut(&self, cut: bool, journal: &Journal) {
        self.line.reshape_both(|shape| shape.cut = cut);
        let (kind, target) = ("cut".to_owned(), "links".to_owned());
        let event =
            if cut { Event::Fault { kind, target, outcome: Outcome::Installed } } else { Event::Healed { target } };
        journal.tell("nemesis", event);
    }

    fn wait_for(&self, what: &str, condition: impl FnMut() -> bool) {
        // A cut that lasts is waited for, too.
        let patience = PATIENCE + Duration::from_secs(setting("FARSHORE_CHAOS_CUT_SECONDS", 2));
        let waited = self.platform.wait_for(what, patience, condition);
        waited.unwrap_or_else(|error| panic!("{error}\n{:?}\n{}", link(&self.platform), self.platform.logs()));
    }

    fn topic(&self, name: &str) -> Topic {
        let mut last = Err("nothing was asked yet".to_owned());
        self.wait_for("a topic is told", || {
            last = get::<Topic>(&self.platform.endpoints().api, &format!("/v1/topics/{name}"));
            last.is_ok()
        });
        last.expect("it was waited for")
    }

    /// Whether the link says of every partition of `topic` that it is seconds behind.
    fn is_behind(&self, topic: &str) -> bool {
        link(&self.platform).is_ok_and(|link| {
            let ours: Vec<_> = link.partitions.iter().filter(|partition| partition.topic == topic).collect();
            !ours.is_empty() && ours.iter().all(|partition| partition.lag_seconds > 1.0)
        })
    }

    /// The reset is shown with both ids, and the target has what it had of the old topic.
    fn tells_of_the_reset(&self, topic: &str, before: &str) {
        let now = self.topic(topic).id;
        assert_ne!(now, before);
        let mut resets = vec![];
        self.wait_for("the reset is told", || {
            resets = link(&self.platform).map(|link| link.resets).unwrap_or_default();
            !resets.is_empty()
        });
        let told: Vec<_> =
            resets.iter().map(|reset| (&*reset.topic, &*reset.from_topic_id, &*reset.to_topic_id)).collect();
        assert_eq!(told, [(topic, before, &*now)], "{resets:?}");
        assert!(
            resets[0].deleted_at <= resets[0].remade_at && resets[0].remade_at < resets[0].kept_until,
            "{resets:?}"
        );
        let kept = kept(&self.platform.directory().join("r2"), topic);
        let [kept] = &kept[..] else { panic!("one copy is kept: {kept:?}") };
        let bytes: u64 = fs::read_dir(kept).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes >= 100 * crate::load::RECORD_BYTES as u64, "{bytes} bytes in {}", kept.display());
    }

    /// What the target has of the old topic comes back under another name.
    fn restores_what_was_deleted(&self, topic: &str, id: &str) {
        let listed = self.platform.command(&["kept", "list", "--json"]).unwrap();
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let told: Vec<_> = listed.as_array().unwrap().iter().map(|kept| [&kept["topic"], &kept["topic_id"]]).collect();
        assert_eq!(told, [[topic, id]], "{listed}");
        let (name, journal) = (format!("{topic}.old"), Journal::new());
        self.platform.command(&["kept", "restore", id, "--as", &name]).unwrap();
        scan(&self.platform.endpoints().gateway, "r1", &name, 1, &journal);
        let found = journal.entries().into_iter().find_map(|entry| match entry.event {
            Event::Scanned { records, .. } => Some(records),
            _ => None,
        });
        let values: Vec<u64> = found.unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
    }
}

/// The directories below `dir` that were put aside when `topic` was deleted.
fn kept(dir: &PathBuf, topic: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap_or_default();
        let is_kept = name.starts_with(&format!("{topic}-0.")) && name.ends_with("-kept");
        if is_kept { found.push(entry.path()) } else { found.extend(kept(&entry.path(), topic)) }
    }
    found
}
