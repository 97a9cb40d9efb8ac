//! Lag in seconds is what it is called: the age of the first record that the target lacks, within 10 % or 500 ms, as this test
//! knows it from what it has written and what it reads in the target. Loaded, with the line held, idle, with the line held while
//! idle, with the source dead.

use crate::cluster::start_with;
use crate::load::{Journal, Load, Writer, create, tail, unique};
use crate::rest::get;
use crate::sync::wait;
use api::links::Link;
use chaos::history::Event;
use chaos::line::{Line, Plan};
use chaos::platform::Platform;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PER_SECOND: u64 = 200;
/// No load writes so many.
const FIRST_ALONE: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(120);
/// What the figure may be off, besides a tenth of it.
const GRAIN: f64 = 0.5;
/// How long the target lacks something at the end of each.
const BEHIND: f64 = 4.0;

#[test]
fn lag_in_seconds_is_true_loaded_held_idle_and_with_the_source_dead() {
    let line = Line::open(Plan::default()).unwrap_or_else(|error| panic!("this test needs a line: {error}"));
    line.reshape_both(|shape| shape.delay = Duration::from_millis(10));
    let mut scene = Scene::begin(&line);
    scene.platform.command(&["protection", "set", "automatic", "off"]).unwrap();
    wait(&scene.platform, "nothing is done by itself", |group| !group.policy.automatic_failover);

    let load = scene.load();
    scene.follow("loaded", |seen| seen.written > 1000 && seen.looks > 20);
    line.reshape_both(|shape| shape.cut = true);
    scene.follow("held", |seen| seen.truth.0 > BEHIND);
    line.reshape_both(|shape| shape.cut = false);
    scene.follow("loaded again", |seen| seen.truth.1 < GRAIN && seen.looks > 20);
    load.finish();
    scene.follow("idle", |seen| seen.truth == (0.0, 0.0) && seen.looks > 20);
    let writer = Writer::open(&scene.gateway, &scene.topic, FIRST_ALONE, &scene.journal);
    for (value, name) in (FIRST_ALONE + 1..).zip(["first", "second", "third"]) {
        scene.follow("idle again", |seen| seen.truth == (0.0, 0.0) && seen.looks > 20);
        line.reshape_both(|shape| shape.cut = true);
        writer.write(value);
        scene.follow(&format!("the {name} record behind a line held while idle"), |seen| seen.truth.0 > BEHIND);
        line.reshape_both(|shape| shape.cut = false);
    }
    scene.follow("idle at last", |seen| seen.truth == (0.0, 0.0) && seen.looks > 20);
    let load = scene.load();
    scene.follow("loaded before the end", |seen| seen.truth.1 < GRAIN && seen.looks > 20);
    let before = scene.now();
    scene.platform.kill_region("r1").unwrap();
    scene.died = Some((before, scene.now()));
    scene.follow("the source is dead", |seen| seen.truth.0 > BEHIND);
    scene.platform.start_region("r1").unwrap();
    load.finish();
}

struct Scene {
    platform: Platform,
    journal: Journal,
    topic: String,
    gateway: String,
    /// Between which moments the source died.
    died: Option<(f64, f64)>,
    /// Between which moments each offset was appended, as far as the journal was read.
    appended: RefCell<BTreeMap<i64, (f64, f64)>>,
}

/// What was seen at one look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    looks: usize,
    written: usize,
    /// Between which figures the truth lies.
    truth: (f64, f64),
    told: f64,
}

impl Seen {
    /// How far what was told is from the truth at least, without what it may be.
    fn error(&self) -> f64 {
        let (least, most) = self.truth;
        let beyond = (self.told - most).max(least - self.told).max(0.0);
        beyond - GRAIN.max(most / 10.0)
    }
}

impl Scene {
    fn begin(line: &Line) -> Self {
        let platform = start_with(|options| {
            options.regions = 2;
            options.arguments = vec!["--links-at".to_owned(), line.far().to_string()];
        });
        let (topic, gateway) = (unique("lag"), platform.endpoints().gateway.clone());
        create(&gateway, &topic, 1);
        Self { platform, journal: Journal::new(), topic, gateway, died: None, appended: RefCell::default() }
    }

    fn load(&self) -> Load {
        Load::write_only(&self.gateway, &self.topic, 1, PER_SECOND, &self.journal, &[])
    }

    /// Seconds by the journal's clock.
    fn now(&self) -> f64 {
        seconds(self.journal.now())
    }

    /// Looks again and again until `is_over`; what is told is never further from the truth than it may be.
    fn follow(&self, what: &str, is_over: impl Fn(&Seen) -> bool) {
        let (deadline, mut looks, mut worst, mut caught_changing) = (Instant::now() + PATIENCE, 0, f64::MIN, false);
        loop {
            assert!(Instant::now() < deadline, "{what}: not over\n{}", self.platform.logs());
            let Some(seen) = self.look(looks) else { continue };
            looks += 1;
            // What is held is shown to readers a moment before it is counted: a figure that falls at once may be met then.
            if seen.error() > 0.0 && !std::mem::replace(&mut caught_changing, true) {
                continue;
            }
            worst = worst.max(seen.error());
            assert!(seen.error() <= 0.0, "{what}: {seen:?}");
            if is_over(&seen) {
                println!("{what}: {seen:?}, {looks} looks, {worst:.3} s at the worst beyond what it may be off");
                return;
            }
        }
    }

    /// The figure, and what the truth was before and after it; `None` while somebody does not answer.
    fn look(&self, looks: usize) -> Option<Seen> {
        let target = &self.platform.region("r2").ok()?.bootstrap;
        let (held_before, before) = (tail(target, &self.topic, 0)?, self.now());
        let link: Link = get(&self.platform.endpoints().api, "/v1/links/r1/r2/default").ok()?;
        let partition = link.partitions.iter().find(|partition| partition.topic == self.topic)?;
        let (after, held_after) = (self.now(), tail(target, &self.topic, 0)?);
        let written = self.read_journal();
        let truth = (self.age(held_after, before).0, self.age(held_before, after).1);
        Some(Seen { looks, written, truth, told: partition.lag_seconds })
    }

    /// How old the first record from `held` on is at `now`, at least and at most.
    fn age(&self, held: i64, now: f64) -> (f64, f64) {
        let appended = self.appended.borrow();
        let dead = self.died.map(|(before, after)| (now - after, now - before));
        match (appended.range(held..).next(), dead) {
            (Some((_, (sent, acked))), dead) => {
                let least = dead.map_or(0.0, |(least, _)| least);
                ((now - acked).max(least).max(0.0), now - sent)
            }
            (None, Some(dead)) => dead,
            (None, None) => (0.0, 0.0),
        }
    }

    /// Notes what was acknowledged; how many records are.
    fn read_journal(&self) -> usize {
        let (mut sent, mut appended) = (BTreeMap::new(), BTreeMap::new());
        for entry in self.journal.entries() {
            match entry.event {
                Event::Sent { value, .. } => drop(sent.insert(value, entry.at)),
                Event::Acked { value, offset, .. } => {
                    appended.insert(offset.0, (seconds(sent[&value]), seconds(entry.at)));
                }
                _ => {}
            }
        }
        let written = appended.len();
        *self.appended.borrow_mut() = appended;
        written
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
