//! The executor's node is killed at every boundary of a run.

use crate::platform::{Platform, default_group, region};
use control_plane::execute::failpoint::{FINISH, Failpoints, Point};
use dr_planner::run::{Event, Machine, State};
use futures::StreamExt;
use model::OwnershipEpoch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// How many platforms run at a time.
const AT_A_TIME: usize = 3;
/// How often a scenario is played anew because another node began to lead the council by itself.
const PLAYS: usize = 6;

/// A place where an executor stops, once, until its node is killed.
#[derive(Clone)]
struct Trap {
    step: &'static str,
    point: Point,
    /// Whether the killed node is started again, so that it may be the one that finishes.
    goes_on: bool,
    caught: Arc<Mutex<Option<String>>>,
    sprung: Arc<Notify>,
}

impl Trap {
    fn at(step: &'static str, point: Point) -> Self {
        Self { step, point, goes_on: false, caught: Arc::default(), sprung: Arc::default() }
    }

    /// The same one, not yet sprung.
    fn anew(&self) -> Self {
        Self { goes_on: self.goes_on, ..Self::at(self.step, self.point) }
    }

    fn on(&self, node: &str) -> Failpoints {
        let (trap, node) = (self.clone(), node.to_owned());
        Failpoints::hooked(move |step, point| {
            let here = (step, point) == (trap.step, trap.point);
            let first = here && trap.caught.lock().unwrap().is_none();
            if first {
                *trap.caught.lock().unwrap() = Some(node.clone());
                trap.sprung.notify_one();
            }
            Box::pin(async move {
                if first {
                    std::future::pending::<()>().await;
                }
            })
        })
    }

    /// Who stopped here; `None` when nobody came.
    async fn caught(&self) -> Option<String> {
        tokio::time::timeout(std::time::Duration::from_secs(60), self.sprung.notified()).await.ok()?;
        self.caught.lock().unwrap().clone()
    }
}

/// What lies before the start of a step is what lies behind the outcome of the one before.
fn boundaries(steps: &[&'static str]) -> Vec<(&'static str, Point)> {
    let within = [Point::AfterStarted, Point::AfterEffect, Point::AfterOutcome];
    let mut all = vec![(steps[0], Point::BeforeStarted)];
    all.extend(steps.iter().flat_map(|step| within.map(|point| (*step, point))));
    all.push((FINISH, Point::AfterOutcome));
    all
}

/// A scenario came to nothing: on a busy machine another node than the one put there began to lead.
struct Moved;

async fn play(trap: Trap, scenario: impl AsyncFn(Trap) -> Result<(), Moved> + Copy) {
    for _ in 0..PLAYS {
        if scenario(trap.anew()).await.is_ok() {
            return;
        }
        println!("{} {:?}: the council changed its leader by itself; played anew", trap.step, trap.point);
    }
    panic!("{} {:?}: the council changed its leader by itself in {PLAYS} plays", trap.step, trap.point);
}

async fn each(steps: &[&'static str], scenario: impl AsyncFn(Trap) -> Result<(), Moved> + Copy) {
    let traps = boundaries(steps).into_iter().map(|(step, point)| Trap::at(step, point));
    let runs = traps.map(|trap| play(trap, scenario));
    futures::stream::iter(runs).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
}

/// What is written down, and done, when an executor stops in the trap: the start before the effect, the effect before
/// the outcome.
async fn check_order(platform: &Platform, trap: &Trap) {
    let run = platform.only_run().await;
    let last = platform.run(&run).await.entries.pop().unwrap().event;
    let deliveries = platform.world.deliveries(trap.step);
    let (written, done) = match &last {
        Event::StepStarted { step, .. } if step.as_str() == trap.step => ("started", deliveries),
        Event::StepSucceeded { step, .. } if step.as_str() == trap.step => ("succeeded", deliveries),
        Event::Finished { .. } if trap.step == FINISH => ("finished", 0),
        _ => ("nothing", deliveries),
    };
    let is_order = matches!(trap.step, "stop-writes" | "catch-up" | "collect" | "seal" | "open");
    let expected = match trap.point {
        Point::BeforeStarted => ("nothing", 0),
        Point::AfterStarted => ("started", 0),
        Point::AfterEffect => ("started", usize::from(is_order)),
        Point::AfterOutcome if trap.step == FINISH => ("finished", 0),
        Point::AfterOutcome => ("succeeded", usize::from(is_order)),
    };
    assert_eq!((written, done), expected, "{} {:?}", trap.step, trap.point);
}

/// Whatever happened to executors: one run, one effect per step, one move, events that can have followed each other.
async fn check(platform: &Platform, trap: &Trap, owner: &str) {
    let place = format!("{} {:?}", trap.step, trap.point);
    let run = platform.only_run().await;
    assert_eq!(platform.ended(&run).await, State::Succeeded, "{place}");
    let group = platform.group();
    assert_eq!((group.grant.owner.as_str(), group.grant.ownership_epoch), (owner, OwnershipEpoch(2)), "{place}");
    assert_eq!((group.route.owner.as_str(), group.route.epoch), (owner, 2), "{place}: one redirect");
    let mut effects: BTreeMap<_, usize> = BTreeMap::new();
    for (_, order) in platform.world.effects() {
        *effects.entry(order.step).or_default() += 1;
    }
    assert!(effects.values().all(|count| *count == 1), "{place}: {effects:?}");
    let stored = platform.run(&run).await;
    Machine::from_events(stored.plan, &stored.entries).unwrap();
    let killed = format!("system:{}", trap.caught.lock().unwrap().clone().unwrap());
    let events = platform.newest().council.reader().run_events(&run, 0, None).await.unwrap();
    let finished_by = &events.last().unwrap().by;
    assert!(trap.goes_on || (*finished_by == killed) == (trap.step == FINISH), "{place}: finished by {finished_by}");
    platform.report(&run, |report| report.times.canary.is_some()).await;
}

/// A platform whose council is led by a node that is neither owner nor next owner, and that node with its term.
async fn staged(regions: usize, trap: &Trap) -> (Platform, (String, u64)) {
    let arm = |name: &str| trap.on(name);
    let mut platform = Platform::start_with(regions, arm).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    let leader = platform.lead_elsewhere(&["r1", "r2"], arm).await;
    let term = platform.term(&leader);
    platform.settled().await;
    (platform, (leader, term))
}

/// Who was caught in the trap, if that is who led from the beginning; the platform, if it goes on.
async fn caught(platform: Platform, trap: &Trap, led: (String, u64)) -> Result<(Platform, String), Moved> {
    let executor = trap.caught().await;
    let leader = platform.leader().await;
    if (leader.clone(), platform.term(&leader)) != led {
        platform.shutdown().await;
        return Err(Moved);
    }
    let executor = executor.unwrap_or_else(|| panic!("nobody came to {} {:?}", trap.step, trap.point));
    assert_eq!(executor, leader);
    check_order(&platform, trap).await;
    Ok((platform, executor))
}

async fn switchover(trap: Trap) -> Result<(), Moved> {
    let (platform, led) = staged(3, &trap).await;
    let recovery = platform.any().automation.recovery();
    recovery.start_switchover(&default_group(), Some(region("r2")), "ann", "maintenance").await.unwrap();
    let (mut platform, executor) = caught(platform, &trap, led).await?;
    platform.kill(&executor).await;
    check(&platform, &trap, "r2").await;
    platform.shutdown().await;
    Ok(())
}

async fn failover(trap: Trap) -> Result<(), Moved> {
    let (mut platform, led) = staged(5, &trap).await;
    platform.kill("r1").await;
    let (mut platform, executor) = caught(platform, &trap, led).await?;
    platform.kill(&executor).await;
    check(&platform, &trap, "r2").await;
    platform.shutdown().await;
    Ok(())
}

async fn failover_that_waits(trap: Trap) -> Result<(), Moved> {
    let (mut platform, led) = staged(3, &trap).await;
    platform.kill("r1").await;
    let (mut platform, executor) = caught(platform, &trap, led).await?;
    platform.kill(&executor).await;
    let events = platform.any().council.reader().applied_index();
    assert!(platform.any().council.confirm_leadership().await.is_err(), "one of three decides nothing");
    assert_eq!(platform.any().council.reader().applied_index(), events);
    platform.start_node(&executor, Failpoints::none()).await;
    check(&platform, &trap, "r2").await;
    platform.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_switchover_is_finished_by_another_node() {
    each(&["stop-writes", "catch-up", "pivot", "open", "redirect", "verify"], switchover).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_with_five_regions_is_finished_by_another_node() {
    each(&["revoke", "wait-out-lease", "collect", "seal", "pivot", "open", "redirect", "verify"], failover).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failover_with_three_regions_goes_on_when_the_executor_is_back() {
    let traps = [("revoke", Point::AfterEffect), ("seal", Point::AfterStarted), ("pivot", Point::AfterEffect)];
    for (step, point) in traps {
        play(Trap { goes_on: true, ..Trap::at(step, point) }, failover_that_waits).await;
    }
}
