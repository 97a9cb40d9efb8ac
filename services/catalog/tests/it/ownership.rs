use crate::council::{Council, group, partition, region, run_id, step, topic_id};
use catalog::command::{AppendRunEvent, JoinRegion, Pivot, Redirect, Regrant, Revoke};
use catalog::{Answer, Refusal};
use dr_planner::plan::Kind;
use dr_planner::run::{Event, Outcome};
use model::{GrantState, Incarnation, Offset, Opening, OwnershipEpoch};

fn revoke(run: &str, epoch: u32) -> Revoke {
    Revoke { run: run_id(run), step: step("revoke"), group: group("default"), ownership_epoch: OwnershipEpoch(epoch) }
}

fn regrant(run: &str, epoch: u32, owner: &str) -> Regrant {
    Regrant {
        run: run_id(run),
        step: step("revoke.undo"),
        group: group("default"),
        ownership_epoch: OwnershipEpoch(epoch),
        owner: region(owner),
    }
}

fn pivot(run: &str, from: u32, owner: &str) -> Pivot {
    Pivot {
        run: run_id(run),
        step: step("pivot"),
        group: group("default"),
        from: OwnershipEpoch(from),
        owner: region(owner),
        ownership_epoch: OwnershipEpoch(from + 1),
        openings: vec![],
    }
}

fn redirect(run: &str, epoch: u32, owner: &str) -> Redirect {
    Redirect {
        run: run_id(run),
        step: step("redirect"),
        group: group("default"),
        owner: region(owner),
        ownership_epoch: OwnershipEpoch(epoch),
    }
}

fn finished(run: &str, seq: u64, outcome: Outcome) -> AppendRunEvent {
    AppendRunEvent { run: run_id(run), seq, event: Event::Finished { outcome } }
}

fn opening(topic: model::TopicId, number: i32, common_end: i64, base: i64) -> Opening {
    Opening { topic, partition: partition(number), common_end: Offset(common_end), base: Offset(base) }
}

/// A council with a topic and a failover in progress.
async fn failing_over() -> (Council, model::TopicId) {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    council.start("run-1", Kind::Failover, "r2").await.unwrap();
    let topic = council.topic("orders").id;
    (council, topic)
}

#[tokio::test]
async fn a_failover_moves_ownership_and_routes() {
    let (mut council, topic) = failing_over().await;
    let default = group("default");
    let old_route = council.catalog.view().group(&default).unwrap().route.epoch;
    let leased = |council: &Council, name: &str, incarnation, epoch| {
        let view = council.catalog.view();
        view.confirms_lease(&region(name), Incarnation(incarnation), &group("default"), OwnershipEpoch(epoch))
    };
    assert!(leased(&council, "r1", 1, 1) && council.catalog.view().confirms_route(&default, old_route));

    council.decide(revoke("run-1", 1)).await.unwrap();
    assert!(!leased(&council, "r1", 1, 1) && !council.catalog.view().confirms_route(&default, old_route));

    let openings = vec![opening(topic, 0, 10, 1 << 40), opening(topic, 1, 5, 1 << 40)];
    let Ok(Answer::Grant { grant }) =
        council.decide(Pivot { openings: openings.clone(), ..pivot("run-1", 1, "r2") }).await
    else {
        panic!("refused");
    };
    assert_eq!((grant.owner, grant.ownership_epoch, grant.openings), (region("r2"), OwnershipEpoch(2), openings));
    assert!(leased(&council, "r2", 2, 2) && !leased(&council, "r1", 1, 1) && !leased(&council, "r1", 1, 2));
    assert!(!council.catalog.view().confirms_route(&default, old_route), "the old route leads to the old owner");

    let Ok(Answer::Route { route_epoch }) = council.decide(redirect("run-1", 2, "r2")).await else { panic!("refused") };
    assert!(route_epoch > old_route && council.catalog.view().confirms_route(&default, route_epoch));
    let table = council.catalog.view().route_table().unwrap();
    assert_eq!((&table.groups[0].owner, table.groups[0].route_epoch), (&region("r2"), route_epoch));
}

#[tokio::test]
async fn a_step_has_one_effect_however_often_it_comes() {
    let (mut council, _) = failing_over().await;
    let first = council.decide(revoke("run-1", 1)).await;
    let index = council.catalog.view().council_index;
    assert_eq!(council.decide(revoke("run-1", 1)).await, first);
    council.decide(regrant("run-1", 1, "r1")).await.unwrap();
    assert_eq!(council.decide(revoke("run-1", 1)).await, first, "a late repeat is answered as the first was");
    let grant = council.catalog.view().group(&group("default")).unwrap().grant.clone();
    assert_eq!(grant.state, GrantState::Held, "and has no effect");
    assert!(council.catalog.view().council_index > index);
    let spent = Pivot { step: step("revoke"), ..pivot("run-1", 1, "r2") };
    assert!(matches!(council.refusal(spent).await, Refusal::StepSpent { .. }));
}

#[tokio::test]
async fn of_two_pivots_one_wins() {
    let (mut council, _) = failing_over().await;
    council.decide(revoke("run-1", 1)).await.unwrap();
    council.decide(pivot("run-1", 1, "r2")).await.unwrap();
    let second = Pivot { step: step("pivot-again"), ..pivot("run-1", 1, "r2") };
    let refusal = council.refusal(second).await;
    assert!(matches!(refusal, Refusal::OtherEpoch { current: OwnershipEpoch(2), .. }), "{refusal}");
    let Ok(Answer::Grant { grant }) = council.decide(pivot("run-1", 1, "r2")).await else { panic!("refused") };
    assert_eq!(grant.ownership_epoch, OwnershipEpoch(2));
}

#[tokio::test]
async fn an_unplanned_pivot_needs_the_old_grant_revoked() {
    let (mut council, topic) = failing_over().await;
    assert!(matches!(council.refusal(pivot("run-1", 1, "r2")).await, Refusal::NotRevoked { .. }));
    council.decide(finished("run-1", 1, Outcome::RolledBack)).await.unwrap();
    council.start("run-2", Kind::Switchover, "r2").await.unwrap();
    let hole = Pivot { openings: vec![opening(topic, 0, 1, 2)], ..pivot("run-2", 1, "r2") };
    assert!(matches!(council.refusal(hole).await, Refusal::NotRevoked { .. }), "records may be left behind");
    council.decide(pivot("run-2", 1, "r2")).await.unwrap();
}

#[tokio::test]
async fn only_the_run_in_progress_touches_ownership() {
    let (mut council, _) = failing_over().await;
    assert!(matches!(council.refusal(revoke("run-9", 1)).await, Refusal::NotFound { .. }));
    assert!(matches!(council.refusal(revoke("run-1", 3)).await, Refusal::OtherEpoch { .. }));
    let elsewhere = Revoke { group: group("other"), ..revoke("run-1", 1) };
    assert!(matches!(council.refusal(elsewhere).await, Refusal::OtherRun { .. }));
    council.decide(revoke("run-1", 1)).await.unwrap();
    council.decide(finished("run-1", 1, Outcome::Stuck)).await.unwrap();
    assert!(matches!(council.refusal(pivot("run-1", 1, "r2")).await, Refusal::RunOver { .. }));
    council.start("drill-1", Kind::Drill, "r2").await.unwrap();
    assert!(matches!(council.refusal(revoke("drill-1", 1)).await, Refusal::NotEligible { .. }));
}

#[tokio::test]
async fn an_executor_that_was_away_does_not_pivot_a_run_that_unwinds() {
    let (mut council, _) = failing_over().await;
    council.decide(revoke("run-1", 1)).await.unwrap();
    let undo = Event::UndoStarted { step: step("revoke"), attempt: 1 };
    council.decide(AppendRunEvent { run: run_id("run-1"), seq: 1, event: undo }).await.unwrap();
    assert!(matches!(council.refusal(pivot("run-1", 1, "r2")).await, Refusal::RunOver { .. }));
    let pause = Event::Paused { reason: "human".into() };
    council.decide(AppendRunEvent { run: run_id("run-1"), seq: 2, event: pause }).await.unwrap();
    council.decide(AppendRunEvent { run: run_id("run-1"), seq: 3, event: Event::Resumed }).await.unwrap();
    assert!(matches!(council.refusal(pivot("run-1", 1, "r2")).await, Refusal::RunOver { .. }));
}

#[tokio::test]
async fn the_target_is_the_plans_and_keeps_copies() {
    let (mut council, topic) = failing_over().await;
    council.decide(revoke("run-1", 1)).await.unwrap();
    assert!(matches!(council.refusal(pivot("run-1", 1, "r3")).await, Refusal::NotEligible { .. }));
    let back = Pivot { ownership_epoch: OwnershipEpoch(1), ..pivot("run-1", 1, "r2") };
    assert!(matches!(council.refusal(back).await, Refusal::BadEpoch { .. }));
    let beyond = Pivot { ownership_epoch: OwnershipEpoch(1 << 19), ..pivot("run-1", 1, "r2") };
    assert!(matches!(council.refusal(beyond).await, Refusal::BadEpoch { .. }));
    let bad = |openings| Pivot { openings, ..pivot("run-1", 1, "r2") };
    let twice = bad(vec![opening(topic, 0, 1, 2), opening(topic, 0, 1, 2)]);
    let beyond = bad(vec![opening(topic, 2, 1, 2)]);
    let backwards = bad(vec![opening(topic, 0, 5, 2)]);
    for pivot in [twice, beyond, backwards] {
        assert!(matches!(council.refusal(pivot).await, Refusal::BadOpening { .. }));
    }
}

#[tokio::test]
async fn a_topic_deleted_meanwhile_does_not_hold_up_a_failover() {
    let (mut council, topic) = failing_over().await;
    council.decide(revoke("run-1", 1)).await.unwrap();
    let openings = vec![opening(topic_id(12345), 0, 1, 2), opening(topic, 0, 1, 2)];
    let Ok(Answer::Grant { grant }) = council.decide(Pivot { openings, ..pivot("run-1", 1, "r2") }).await else {
        panic!("refused");
    };
    assert_eq!(grant.openings, [opening(topic, 0, 1, 2)]);
}

#[tokio::test]
async fn a_grant_does_not_go_back_to_an_empty_disk() {
    let (mut council, _) = failing_over().await;
    council.decide(revoke("run-1", 1)).await.unwrap();
    let wiped =
        JoinRegion { region: region("r1"), index: 0, disk_id: "new".into(), addresses: crate::council::addresses(0) };
    council.decide(wiped).await.unwrap();
    assert!(matches!(council.refusal(regrant("run-1", 1, "r1")).await, Refusal::NotEligible { .. }));
    assert!(matches!(council.refusal(regrant("run-1", 1, "r2")).await, Refusal::NotEligible { .. }));
    assert!(matches!(council.refusal(redirect("run-1", 1, "r1")).await, Refusal::Revoked { .. }));
}

#[tokio::test]
async fn a_second_run_is_told_the_name_of_the_first() {
    let (mut council, _) = failing_over().await;
    let refusal = council.start("run-2", Kind::Failover, "r2").await.unwrap_err();
    assert_eq!(refusal, Refusal::RunInProgress { group: group("default"), run: run_id("run-1") });
    assert_eq!(council.catalog.view().group(&group("default")).unwrap().run, Some(run_id("run-1")));
    council.decide(finished("run-1", 1, Outcome::RolledBack)).await.unwrap();
    assert_eq!(council.catalog.view().group(&group("default")).unwrap().run, None);
    let mut stale = council.plan("late", Kind::Failover, "default", "r2");
    stale.ownership_epoch = OwnershipEpoch(9);
    let start = catalog::command::StartRun { run: run_id("run-3"), plan: stale, plan_digest: "d".into() };
    assert!(matches!(council.refusal(start).await, Refusal::OtherEpoch { .. }));
}
