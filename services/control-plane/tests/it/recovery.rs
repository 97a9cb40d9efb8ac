use crate::platform::{Platform, default_group, eventually, region};
use catalog::command::{BlockAutomation, CreateGroup};
use control_plane::execute::{RecoveryError, Wish};
use dr_planner::assess::Choosable;
use dr_planner::plan::{Kind, Trigger};
use dr_planner::report::Standing;
use dr_planner::run::{Cancel, Event, State};
use model::{GrantState, Offset, OrderError, OwnershipEpoch, PartitionId};
use std::collections::BTreeMap;
use std::time::Duration;

fn steps(platform: &Platform) -> Vec<(String, String)> {
    let named = |(region, order): (model::RegionName, model::Order)| (region.to_string(), order.step.to_string());
    platform.world.effects().into_iter().map(named).collect()
}

fn pair(region: &str, step: &str) -> (String, String) {
    (region.to_owned(), step.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_region_is_failed_over_and_its_loss_declared() {
    let mut platform = Platform::start(3).await;
    let orders = platform.topic("orders", 2).await;
    let behind = (orders.id, PartitionId(1));
    for name in ["r2", "r3"] {
        let book = platform.world.region(name);
        let mut pages = book.pages();
        let end = model::PartitionEnd { tail: Offset(90), ..pages.end(behind) };
        pages.ends.insert(behind, end);
        pages.source_tails.insert(behind, Offset(95));
    }
    platform.settled().await;

    platform.kill("r1").await;
    let run = platform.only_run().await;
    assert_eq!(platform.ended(&run).await, State::Succeeded);
    let group = platform.group();
    assert_eq!((group.grant.owner.as_str(), group.grant.ownership_epoch), ("r2", OwnershipEpoch(2)));
    assert_eq!((group.route.owner.as_str(), group.route.grant), ("r2", OwnershipEpoch(2)));
    assert_eq!(steps(&platform), [pair("r2", "collect"), pair("r2", "seal"), pair("r2", "open")]);

    let report = platform.report(&run, |report| report.times.recovered.is_some()).await;
    assert!(matches!(&report.standing, Standing::Provisional { region, .. } if region.as_str() == "r1"), "{report:?}");
    assert_eq!(report.rpo.records, 5, "as far as was heard of it");
    assert!(report.rto_ms.is_some_and(|rto| rto < 20_000), "{report:?}");

    platform.start_node("r1", Default::default()).await;
    let report = platform.report(&run, |report| report.standing == Standing::Final).await;
    assert_eq!(report.rpo.records, 10, "as the old log says");
    let lost: Vec<_> = report.partitions.iter().filter(|loss| loss.loss.records > 0).collect();
    assert_eq!((lost.len(), lost[0].common_end, lost[0].old_tail), (1, Offset(90), Some(Offset(100))));
    assert!(lost[0].archived.is_some());
    assert!(report.times.recovered.is_some());
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switch_loses_nothing() {
    let platform = Platform::start(3).await;
    platform.topic("orders", 2).await;
    platform.settled().await;
    let recovery = platform.any().automation.recovery();
    let run = recovery.start_switchover(&default_group(), Some(region("r3")), "ann", "maintenance").await.unwrap();
    assert_eq!(platform.ended(&run).await, State::Succeeded);
    assert_eq!(platform.group().route.owner.as_str(), "r3");
    assert_eq!(steps(&platform), [pair("r1", "stop-writes"), pair("r3", "catch-up"), pair("r3", "open")]);
    let report = platform.report(&run, |report| report.standing == Standing::Final).await;
    assert_eq!((report.rpo.records, report.rpo_met), (0, Some(true)));
    assert!(report.times.canary.is_some() && report.times.recovered.is_some(), "{report:?}");

    platform.settled().await;
    let run = platform.any().automation.recovery().start_failback(&default_group(), "ann", "home").await.unwrap();
    assert_eq!(platform.ended(&run).await, State::Succeeded);
    assert_eq!(platform.group().grant.owner.as_str(), "r1");
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_cannot_catch_up_is_undone() {
    let platform = Platform::start(3).await;
    platform.settled().await;
    let broken = OrderError::Failed { region: region("r2"), reason: "the link is slow".into() };
    platform.world.region("r2").pages().failing.insert("catch-up".into(), broken);
    let recovery = platform.any().automation.recovery();
    let run = recovery.start_switchover(&default_group(), Some(region("r2")), "ann", "maintenance").await.unwrap();
    assert_eq!(platform.ended(&run).await, State::RolledBack);
    assert_eq!(steps(&platform), [pair("r1", "stop-writes"), pair("r1", "stop-writes.undo")]);
    let group = platform.group();
    assert_eq!((group.grant.owner.as_str(), group.grant.state), ("r1", GrantState::Held));
    assert_eq!(group.grant.ownership_epoch, OwnershipEpoch(1));
    let failures = platform.run(&run).await.entries;
    let failures = failures.iter().filter(|entry| matches!(entry.event, Event::StepFailed { .. })).count();
    assert_eq!(failures, 11, "one more than is forgiven");
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_pause_resume_and_cancel_runs() {
    let platform = Platform::start(3).await;
    platform.settled().await;
    *platform.bird.dies.lock().unwrap() = true;
    let broken = OrderError::NotReady { region: region("r2"), reason: "not yet".into() };
    platform.world.region("r2").pages().slow.insert("catch-up".into());
    platform.world.region("r2").pages().failing.insert("catch-up".into(), broken);
    let recovery = platform.any().automation.recovery();
    let run = recovery.start_switchover(&default_group(), Some(region("r2")), "ann", "maintenance").await.unwrap();
    let told = async |named: &str| {
        let entries = platform.run(&run).await.entries;
        entries.iter().filter(|entry| entry.event.name() == named).count()
    };
    eventually("it catches up", || async { (told("step_started").await == 2).then_some(()) }).await;
    recovery.pause(&run, "wait", "ann").await.unwrap();
    // Whoever writes down that this attempt failed has read of the pause before; now it is due again, and has to wait.
    platform.world.region("r2").pages().slow.clear();
    eventually("the attempt is over", || async { (told("step_failed").await == 1).then_some(()) }).await;
    let over = std::time::Instant::now();
    eventually("another is due", || async { (over.elapsed() > Duration::from_secs(1)).then_some(()) }).await;
    assert!(matches!(recovery.pause(&run, "wait", "ann").await, Err(RecoveryError::Illegal(_))));
    recovery.resume(&run, "ann").await.unwrap();
    recovery.cancel(&run, Cancel::Unwind, "changed my mind", "ann").await.unwrap();
    assert_eq!(platform.ended(&run).await, State::RolledBack);
    assert!(matches!(recovery.resume(&run, "ann").await, Err(RecoveryError::Illegal(_))));
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_refused_with_every_reason() {
    let platform = Platform::start(3).await;
    platform.settled().await;
    let recovery = platform.any().automation.recovery();
    let refused = recovery.start_switchover(&default_group(), Some(region("r1")), "ann", "why not").await;
    assert!(refused.unwrap_err().to_string().contains("r1 owns default already"));

    platform.world.region("r2").pages().disk_full = true;
    let full = || async {
        let assessment = recovery.assess(&default_group()).await.ok()?;
        let r2 = |choice: &&dr_planner::assess::Choice| matches!(&choice.option, Choosable::Move { kind: Kind::Failover, target } if target.as_str() == "r2");
        let refusals = &assessment.choices.iter().find(r2)?.refusals;
        refusals.first().map(ToString::to_string)
    };
    assert_eq!(eventually("r2 is full", full).await, "a disk of r2 is full; free some space first");

    let draft = recovery.draft(control_plane::execute::Wish {
        group: default_group(),
        kind: Kind::Failover,
        target: None,
        trigger: dr_planner::plan::Trigger::Manual { by: "ann".into() },
        reason: "rehearsal".into(),
        accept_unusable: false,
    });
    let draft = draft.await.unwrap();
    assert_eq!(draft.plan.target.as_str(), "r3", "the next one takes over");
    assert_eq!(draft.choice().and_then(|choice| choice.rpo_met), Some(true));
    let runs = platform.any().council.reader().runs(None, Default::default()).await.unwrap();
    assert_eq!(runs.items, [], "a draft starts nothing");
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_has_its_effect_once() {
    let platform = Platform::start(3).await;
    platform.settled().await;
    let recovery = platform.any().automation.recovery();
    let run = recovery.start_switchover(&default_group(), None, "ann", "maintenance").await.unwrap();
    assert_eq!(platform.ended(&run).await, State::Succeeded);
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for (_, order) in platform.world.effects() {
        *counts.entry((order.run, order.step)).or_default() += 1;
    }
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_judged_by_how_the_copies_are_now() {
    let platform = Platform::start(3).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    let recovery = platform.any().automation.recovery();
    // Faster than the leader looks by itself.
    for round in 0..10 {
        for must_rebuild in [true, false] {
            platform.world.region("r2").pages().must_rebuild = must_rebuild;
            let drafted = recovery.draft(failover_to("r2")).await.map(|draft| draft.plan.target);
            let is_refused = matches!(&drafted, Err(error) if error.to_string().contains("must_rebuild"));
            assert_eq!((is_refused, drafted.is_ok()), (must_rebuild, !must_rebuild), "round {round}: {drafted:?}");
        }
    }
    platform.shutdown().await;
}

fn failover_to(target: &str) -> Wish {
    Wish {
        group: default_group(),
        kind: Kind::Failover,
        target: Some(region(target)),
        trigger: Trigger::Manual { by: "ann".into() },
        reason: "to see".into(),
        accept_unusable: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_whose_target_is_lost_too_gives_way_to_another() {
    let mut platform = Platform::start(5).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    let broken = OrderError::NotReady { region: region("r2"), reason: "not yet".into() };
    platform.world.region("r2").pages().failing.insert("seal".into(), broken);
    platform.kill("r1").await;
    let first = platform.only_run().await;
    eventually("the lease is over", || async { (!steps(&platform).is_empty()).then_some(()) }).await;
    platform.kill("r2").await;
    // It is given up, or has come to its end of retries before that.
    assert!(matches!(platform.ended(&first).await, State::Failed | State::RolledBack));
    let moved = || async { (platform.group().route.owner.as_str() == "r3").then_some(()) };
    eventually("the next standby takes over", moved).await;
    assert_eq!(platform.group().grant.ownership_epoch, OwnershipEpoch(2));
    let runs = platform.any().council.reader().runs(None, Default::default()).await.unwrap().items;
    assert_eq!(runs.len(), 2);
    let plan = platform.run(&runs[0].id).await.plan;
    assert_eq!((plan.generation, plan.parent), (2, Some(platform.run(&first).await.plan.id)));
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_group_is_left_to_people_who_are_told_why() {
    let mut platform = Platform::start(3).await;
    platform.topic("orders", 1).await;
    let block = BlockAutomation { group: default_group(), until: None, reason: "migration".into() };
    platform.any().council.propose("ann", block).await.unwrap();
    platform.settled().await;
    platform.kill("r1").await;
    let why = || async {
        let picture = platform.any().automation.recovery().picture().await.ok()?;
        picture.idle.get(&default_group()).filter(|why| why.contains("is lost")).cloned()
    };
    assert_eq!(eventually("it is said why", why).await, "r1 is lost; automatic failover is off, start one by hand");
    let recovery = platform.any().automation.recovery();
    let run = recovery.start_failover(&default_group(), None, "ann", "r1 burns").await.unwrap();
    assert_eq!(platform.ended(&run).await, State::Succeeded);
    let incident = platform.run(&run).await.plan.incident_at;
    let report = platform.report(&run, |report| report.times.canary.is_some()).await;
    assert_eq!(report.times.incident, Some(incident));
    assert!(incident < report.times.decision.unwrap(), "the silence began before");
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_disk_says_nothing_about_the_old_log() {
    let mut platform = Platform::start(3).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    platform.kill("r1").await;
    let run = platform.only_run().await;
    assert_eq!(platform.ended(&run).await, State::Succeeded);
    platform.report(&run, |_| true).await;

    platform.replace_disk("r1");
    platform.start_node("r1", Default::default()).await;
    platform.settled().await;
    // The report of this drill is written by who would have finished the other one by now.
    let drill = platform.any().automation.works().drill(&default_group(), None, None, "ann").await.unwrap();
    let drilled = || async {
        let drill = platform.newest().council.reader().drill(&drill).await.unwrap()?;
        drill.run
    };
    platform.report(&eventually("the drill ends", drilled).await, |_| true).await;
    let report = platform.report(&run, |_| true).await;
    assert!(matches!(report.standing, Standing::Provisional { .. }), "{report:?}");
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_groups_are_failed_over_at_the_same_time() {
    let mut platform = Platform::start(3).await;
    let regions = ["r1", "r2", "r3"].map(region);
    let names = ["eu", "us"].map(|name| model::ProtectionGroup::new(name).unwrap());
    for name in &names {
        let pattern = model::Pattern::Prefix(format!("{name}."));
        let coverage = model::Coverage { topics: vec![pattern.clone()], consumer_groups: vec![pattern] };
        let default = dr_planner::policy::default_group(&regions).unwrap();
        let policy = dr_planner::policy::Group { name: name.clone(), coverage, ..default };
        let canary = model::TopicId(uuid::Uuid::new_v4());
        platform.any().council.propose("ann", CreateGroup { policy, canary }).await.unwrap();
    }
    platform.topic("eu.orders", 1).await;
    platform.settled().await;
    platform.kill("r1").await;
    let moved = || async {
        let view = platform.view();
        let there = view.groups.iter().filter(|group| group.route.owner.as_str() == "r2" && group.run.is_none());
        (there.count() == 3).then_some(())
    };
    eventually("all groups are at r2", moved).await;
    let all_ended = || async {
        let runs = platform.newest().council.reader().runs(None, Default::default()).await.unwrap().items;
        runs.iter().all(|run| run.ended_at.is_some()).then_some(runs)
    };
    let runs = eventually("all runs have ended", all_ended).await;
    assert_eq!(runs.len(), 3);
    let started = runs.iter().map(|run| run.started_at).max().unwrap();
    assert!(runs.iter().all(|run| run.ended_at.unwrap() > started), "one did not wait for the other: {runs:?}");
    platform.shutdown().await;
}
