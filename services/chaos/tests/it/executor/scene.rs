//! A platform whose executor dies at a boundary of a move from r1 to r2, and what there is to see afterwards.

use super::Boundary;
use crate::cluster::start_with;
use crate::council::{apis, wait_for_standbys};
use crate::load::{create, fill, unique};
use crate::regions::equal_tails;
use crate::rest::{get, list};
use api::health::Health;
use api::protection_groups::ProtectionGroup;
use api::regions::Region;
use api::runs::{Run, RunEvent, RunReport, RunState, Standing};
use chaos::platform::Platform;
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
/// How long a run without a quorum is watched.
const STANDSTILL: Duration = Duration::from_secs(2);
/// How often a platform is built anew because leadership moved, between the last look and the run, to the regions moved.
const ATTEMPTS_MAX: usize = 5;
const LOCAL: &str = "consistency=local";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Switchover,
    Failover,
}

pub(super) struct Scene {
    platform: Platform,
    apis: BTreeMap<String, String>,
    topic: String,
    boundary: Boundary,
    moved: Move,
    /// The region whose process died of the failpoint.
    executor: String,
}

impl Scene {
    /// Builds platforms until one has its run carried out by a region that is neither `r1` nor `r2`, which dies.
    pub(super) fn until_the_executor_dies(regions: u16, moved: Move, boundary: Boundary) -> Self {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(scene) = Self::play(regions, moved, boundary) {
                return scene;
            }
        }
        panic!("r1 or r2 carried out the run in {ATTEMPTS_MAX} platforms");
    }

    fn play(regions: u16, moved: Move, boundary: Boundary) -> Option<Self> {
        let platform = start_with(|options| {
            let died = options.directory.join("died");
            let failpoint = format!("{}:{}:{}", boundary.0, boundary.1, died.display());
            options.regions = regions;
            options.environment.push(("FARSHORE_FAILPOINT".to_owned(), failpoint));
        });
        let (apis, topic) = (apis(&platform), unique("moved"));
        let mut scene = Self { platform, apis, topic, boundary, moved, executor: String::new() };
        scene.prepare();
        let leader = scene.lead_elsewhere();
        scene.begin();
        scene.await_death();
        scene.executor = scene.dead()?;
        (scene.executor == leader).then_some(scene)
    }

    fn prepare(&self) {
        self.command("protection set automatic off");
        let gateway = &self.platform.endpoints().gateway;
        create(gateway, &self.topic, 1);
        fill(gateway, &self.topic, 0, 0..100);
        equal_tails(&self.platform, &self.topic, 1);
    }

    fn command(&self, words: &str) {
        let ran = self.platform.command(&words.split(' ').collect::<Vec<_>>());
        ran.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.logs()));
    }

    fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        let what = format!("{what} ({}:{})", self.boundary.0, self.boundary.1);
        let waited = self.platform.wait_for(&what, PATIENCE, condition);
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.logs()));
    }

    /// Silences leaders until one leads that the run neither leaves nor goes to; answers which.
    fn lead_elsewhere(&mut self) -> String {
        loop {
            let leader = self.leader_but("");
            if leader != "r1" && leader != "r2" {
                wait_for_standbys(&self.platform, &self.apis[&leader]);
                return leader;
            }
            self.platform.stop_region(&leader).unwrap();
            self.leader_but(&leader);
            self.platform.continue_region(&leader).unwrap();
        }
    }

    /// The leader that a quorum obeys, other than `silent`, which does not answer.
    fn leader_but(&self, silent: &str) -> String {
        let mut leader = None;
        self.wait("a region leads the council", || {
            let others = self.apis.iter().filter(|(region, _)| *region != silent);
            let mut healths = others.filter_map(|(_, api)| get::<Health>(api, "/v1/health?consistency=local").ok());
            leader = healths.find_map(|health| health.council.leader).filter(|leader| leader != silent);
            leader.is_some()
        });
        leader.expect("somebody leads")
    }

    fn begin(&mut self) {
        match self.moved {
            // Whoever answers may be gone before it has.
            Move::Switchover => {
                let _begun = self.platform.command(&["protection", "switchover", "--target", "r2", "--no-wait"]);
            }
            Move::Failover => {
                self.command("protection set automatic on");
                self.platform.kill_region("r1").unwrap();
            }
        }
    }

    fn await_death(&self) {
        let died = self.platform.directory().join("died");
        self.wait("the executor has come to its end", || died.exists());
        self.wait("its process is gone", || self.dead().is_some());
    }

    /// The region that is down and was not killed.
    fn dead(&self) -> Option<String> {
        let killed = |region: &str| self.moved == Move::Failover && region == "r1";
        let mut regions = self.apis.keys().filter(|region| !killed(region));
        regions.find(|region| self.platform.process(region).is_none()).cloned()
    }

    /// The API of a region that is up.
    fn api(&self) -> &str {
        let mut up = self.apis.iter().filter(|(region, _)| self.platform.process(region).is_some());
        up.next().expect("some region is up").1
    }

    fn run(&self) -> Result<Run, String> {
        let runs = list::<Run>(self.api(), "/v1/runs", "&consistency=local")?;
        assert!(runs.len() < 2, "there is one run: {runs:?}");
        runs.into_iter().next().ok_or_else(|| "there is no run".to_owned())
    }

    fn events(&self) -> Vec<RunEvent> {
        let run = self.run().unwrap().id;
        list(self.api(), &format!("/v1/runs/{run}/events"), "&consistency=local").unwrap()
    }

    /// With one region of three nothing is decided.
    pub(super) fn check_standstill(&self) {
        let health = || get::<Health>(self.api(), &format!("/v1/health?{LOCAL}")).unwrap();
        self.wait("the quorum is gone", || !health().council.quorum);
        let (before, index) = (self.events(), health().council.applied_index);
        let moved = || health().council.applied_index != index || self.events() != before;
        let went_on = self.platform.wait_for("the run goes on", STANDSTILL, moved);
        assert!(went_on.is_err(), "{:?}: one of three regions decided something", self.boundary);
    }

    pub(super) fn raise_the_executor(&mut self) {
        let executor = self.executor.clone();
        self.platform.start_region(&executor).unwrap();
    }

    pub(super) fn wait_until_the_run_has_succeeded(&self) {
        let mut last = Err(String::new());
        let over = || {
            last = self.run();
            last.as_ref().is_ok_and(|run| run.state.is_over())
        };
        let waited = self.platform.wait_for("the run is over", PATIENCE, over);
        waited.unwrap_or_else(|error| panic!("{:?} {error}\n{last:?}\n{}", self.boundary, self.platform.logs()));
        let run = last.unwrap();
        assert_eq!(run.state, RunState::Succeeded, "{:?}: {run:?}\n{}", self.boundary, self.platform.logs());
        let path = "/v1/protection-groups/default";
        let group: ProtectionGroup = get(self.api(), path).unwrap();
        let moved = (group.owner.as_str(), group.ownership_epoch, group.route_owner.as_str(), group.route_epoch);
        assert_eq!(moved, ("r2", 2, "r2", 2), "{:?}: it moved once", self.boundary);
    }

    /// Only when the end of the run was written down already was it the dead one.
    pub(super) fn check_who_finished(&self) {
        let by = self.events().last().unwrap().by.clone();
        let died_behind_the_end = self.boundary == ("finish", "after-outcome");
        let by_the_dead = by.ends_with(&format!(":{}", self.executor));
        assert_eq!(by_the_dead, died_behind_the_end, "{:?}: finished by {by}", self.boundary);
    }

    /// Every order stands once in the journal of the region it went to, in no other's, and was carried out before its
    /// outcome was written down; the one whose executor died was carried out before it was given again.
    pub(super) fn check_effects(&self, orders: &[(&str, &str)]) {
        let (run, events) = (self.run().unwrap().id, self.events());
        let found = self.journals(&run);
        let wanted: Vec<(String, String)> =
            orders.iter().map(|(step, region)| ((*region).to_owned(), (*step).to_owned())).collect();
        let mut places: Vec<_> = found.iter().map(|(region, step, _)| (region.clone(), step.clone())).collect();
        places.sort_by_key(|place| wanted.iter().position(|wanted| wanted == place));
        assert_eq!(places, wanted, "{:?}: {found:?}", self.boundary);
        for (_, step, at) in &found {
            let times = |name: &str| times_of(&events, name, step);
            let (started, succeeded) = (times("step_started"), times("step_succeeded"));
            assert_eq!(succeeded.len(), 1, "{:?}: {step} succeeded at {succeeded:?}", self.boundary);
            assert!(*at <= succeeded[0], "{:?}: {step} was done at {at}, after {succeeded:?}", self.boundary);
            let last_start = started.last().expect("it was started");
            if self.boundary == (step, "after-effect") {
                assert!(at <= last_start, "{:?}: done at {at}, given again at {last_start}", self.boundary);
            }
        }
        let finished = events.iter().filter(|event| event.event == "finished").count();
        assert_eq!(finished, 1, "{:?}: {events:?}", self.boundary);
    }

    /// Region, step and time of every order of the run that a region which is up has carried out.
    fn journals(&self, run: &str) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for region in self.apis.keys().filter(|region| self.platform.process(region).is_some()) {
            let shown: Region = get(self.api(), &format!("/v1/regions/{region}")).unwrap();
            let ours = shown.orders.into_iter().filter(|order| order.run == run);
            found.extend(ours.map(|order| (region.clone(), order.step, order.at)));
        }
        found
    }

    /// Starts what is down; the platform takes writes, the report becomes final, all regions hold the same.
    pub(super) fn heal(&mut self) {
        fill(&self.platform.endpoints().gateway, &self.topic, 0, 100..200);
        for region in self.apis.keys().cloned().collect::<Vec<_>>() {
            if self.platform.process(&region).is_none() {
                self.platform.start_region(&region).unwrap();
            }
        }
        equal_tails(&self.platform, &self.topic, 1);
        let path = format!("/v1/runs/{}/report", self.run().unwrap().id);
        let report = || get::<RunReport>(self.api(), &path);
        self.wait("the report is final", || report().is_ok_and(|report| report.standing == Standing::Final));
        let lost = report().unwrap().lost;
        assert_eq!(lost.records, 0, "{:?}: everything was copied before the move", self.boundary);
    }
}

fn times_of(events: &[RunEvent], name: &str, step: &str) -> Vec<String> {
    let ours = events.iter().filter(|event| event.event == name && event.step.as_deref() == Some(step));
    ours.map(|event| event.at.clone()).collect()
}
