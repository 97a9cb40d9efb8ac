use crate::council::{Council, group, region, run_id, step};
use crate::story;
use catalog::command::{
    AppendRunEvent, BlockAutomation, FinishPublication, FinishReinjection, PublicationPlan, PublicationSummary,
    PublishedRun, RecordDiverged, RecordGaps, ReinjectionOutcome, ReinjectionPlan, ReinjectionSummary,
    StartPublication, StartReinjection, StartRun, StorePlan, StoreReport, UnblockAutomation,
};
use catalog::reader::{Page, WorkState};
use catalog::{Answer, Refusal};
use dr_planner::plan::{Kind, PlanId};
use dr_planner::report::Standing;
use dr_planner::run::{Event, Outcome, State};
use model::{DivergedTail, Gap, Offset, OffsetRange, OwnershipEpoch, ProducerId, Timestamp};

fn append(seq: u64, event: Event) -> AppendRunEvent {
    AppendRunEvent { run: run_id("run-1"), seq, event }
}

fn started(attempt: u32) -> Event {
    Event::StepStarted { step: step("revoke"), attempt }
}

#[tokio::test]
async fn two_executors_cannot_interleave() {
    let mut council = Council::formed().await;
    council.start("run-1", Kind::Failover, "r2").await.unwrap();
    assert_eq!(council.decide(append(1, started(1))).await, Ok(Answer::Event { seq: 1, repeated: false }));
    assert_eq!(council.decide(append(1, started(1))).await, Ok(Answer::Event { seq: 1, repeated: true }));
    let refusal = council.refusal(append(1, started(2))).await;
    assert_eq!(refusal, Refusal::OtherEvent { run: run_id("run-1"), seq: 1, events: 2 });
    assert!(matches!(council.refusal(append(5, started(2))).await, Refusal::OtherEvent { seq: 5, events: 2, .. }));
    let unknown = AppendRunEvent { run: run_id("run-9"), ..append(0, started(1)) };
    assert!(matches!(council.refusal(unknown).await, Refusal::NotFound { .. }));
}

#[tokio::test]
async fn a_run_that_is_over_takes_no_more_events() {
    let mut council = Council::formed().await;
    council.start("run-1", Kind::Failover, "r2").await.unwrap();
    council.decide(append(1, Event::Finished { outcome: Outcome::Failed })).await.unwrap();
    let refusal = council.refusal(append(2, started(1))).await;
    assert_eq!(refusal, Refusal::RunOver { run: run_id("run-1"), state: State::Failed });
}

#[tokio::test]
async fn a_run_is_read_back_as_it_happened() {
    let mut council = Council::formed().await;
    council.start("run-1", Kind::Failover, "r2").await.unwrap();
    assert_eq!(council.start("run-1", Kind::Failover, "r2").await, Ok(Answer::Event { seq: 0, repeated: true }));
    council.decide(append(1, started(1))).await.unwrap();
    council.decide(append(2, Event::Paused { reason: "coffee".into() })).await.unwrap();
    let reader = council.catalog.reader();
    let run = reader.run(&run_id("run-1")).await.unwrap().unwrap();
    assert_eq!(run.plan, council.plan("run-1", Kind::Failover, "default", "r2"));
    assert_eq!(run.entries.len(), 3);
    assert!(matches!(&run.entries[0].event, Event::Created { run, .. } if *run == run_id("run-1")));
    assert_eq!(run.entries[1].event, started(1));
    assert_eq!(run.entries[1].at, Timestamp(3_000), "the time of the command that brought it");
    let summary = reader.run_summary(&run_id("run-1")).await.unwrap().unwrap();
    assert_eq!((summary.state, summary.events, summary.ended_at), (State::Paused, 3, None));
    let events = reader.run_events(&run_id("run-1"), 1, Some(1)).await.unwrap();
    assert_eq!((events.len(), events[0].seq, events[0].by.as_str()), (1, 1, "tester"));
    assert_eq!(reader.run(&run_id("other")).await.unwrap(), None);
    assert_eq!(reader.runs_in_progress().await.unwrap(), [summary]);
}

#[tokio::test]
async fn runs_are_listed_page_by_page_the_newest_first() {
    let mut council = Council::formed().await;
    for number in 1..=5 {
        let run = format!("run-{number}");
        council.start(&run, Kind::Failover, "r2").await.unwrap();
        let end = Event::Finished { outcome: Outcome::RolledBack };
        council.decide(AppendRunEvent { run: run_id(&run), seq: 1, event: end }).await.unwrap();
    }
    let reader = council.catalog.reader();
    let mut seen = vec![];
    let mut page = Page::of(2);
    loop {
        let runs = reader.runs(Some(&group("default")), page).await.unwrap();
        assert!(runs.items.len() <= 2);
        seen.extend(runs.items.iter().map(|run| run.id.to_string()));
        page.after = runs.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["run-5", "run-4", "run-3", "run-2", "run-1"]);
    assert_eq!(reader.runs(Some(&group("other")), Page::default()).await.unwrap().items, []);
    let plans = reader.plans(None, Page::of(3)).await.unwrap();
    assert_eq!((plans.items.len(), plans.items[0].id.0.as_str()), (3, "plan-run-5"));
    let more = reader.plans(None, Page { after: plans.next, limit: None }).await.unwrap();
    assert_eq!((more.items.len(), more.next), (2, None));
    let audit = reader.audit(Page::of(1)).await.unwrap();
    assert_eq!((audit.items[0].change.as_str(), audit.items[0].subject.as_str()), ("append_run_event", "run-5"));
}

#[tokio::test]
async fn a_plan_never_changes() {
    let mut council = Council::formed().await;
    let plan = story::plan("plan-1", 1);
    council.decide(StorePlan { plan: plan.clone() }).await.unwrap();
    council.decide(StorePlan { plan: plan.clone() }).await.unwrap();
    let mut other = plan.clone();
    other.reason = "another".into();
    assert!(matches!(council.refusal(StorePlan { plan: other.clone() }).await, Refusal::Exists { .. }));
    let start = StartRun { run: run_id("run-1"), plan: other, plan_digest: "d".into() };
    assert!(matches!(council.refusal(start).await, Refusal::Exists { .. }));
    let reader = council.catalog.reader();
    assert_eq!(reader.plan(&PlanId("plan-1".into())).await.unwrap(), Some(plan.clone()));
    assert_eq!(reader.newest_plan(&group("default")).await.unwrap(), Some(plan));
    assert_eq!(reader.runs(None, Page::default()).await.unwrap().items, [], "the refused start left no run");
}

#[tokio::test]
async fn automatic_runs_are_counted() {
    let mut council = Council::formed().await;
    let plan = story::plan("plan-1", 1);
    council.decide(StartRun { run: run_id("run-1"), plan, plan_digest: "d".into() }).await.unwrap();
    let reader = council.catalog.reader();
    assert_eq!(reader.automatic_runs(&group("default"), Timestamp(0)).await.unwrap().len(), 1);
    assert_eq!(reader.automatic_runs(&group("default"), Timestamp(i64::MAX)).await.unwrap().len(), 0);
    council.decide(append(1, Event::Finished { outcome: Outcome::RolledBack })).await.unwrap();
    council.start("run-2", Kind::Failover, "r2").await.unwrap();
    assert_eq!(reader.automatic_runs(&group("default"), Timestamp(0)).await.unwrap().len(), 1, "one was asked for");
}

#[tokio::test]
async fn a_final_report_stays() {
    let mut council = Council::formed().await;
    let provisional = story::report(Standing::Provisional { waiting_for: 1, region: region("r1") });
    let unknown = StoreReport { report: provisional.clone() };
    assert!(matches!(council.refusal(unknown).await, Refusal::NotFound { .. }));
    council.start("run-1", Kind::Failover, "r2").await.unwrap();
    council.decide(StoreReport { report: provisional.clone() }).await.unwrap();
    let reader = council.catalog.reader();
    assert_eq!(reader.provisional_reports().await.unwrap()[0].report, provisional);
    let last = story::report(Standing::Final);
    council.decide(StoreReport { report: last.clone() }).await.unwrap();
    council.decide(StoreReport { report: last.clone() }).await.unwrap();
    assert!(matches!(council.refusal(StoreReport { report: provisional }).await, Refusal::ReportFinal { .. }));
    let stored = reader.report(&run_id("run-1")).await.unwrap().unwrap();
    assert_eq!((stored.report, stored.revision), (last, 2));
    assert_eq!(reader.provisional_reports().await.unwrap(), []);
}

/// A tail of `orders` that the council heard of from a region; its id.
async fn recorded_tail_of(council: &mut Council, name: &str, end: i64) -> String {
    let tail = DivergedTail {
        topic: council.topic("orders").id,
        partition: crate::council::partition(0),
        ownership_epoch: OwnershipEpoch(1),
        range: OffsetRange::new(Offset(5), Offset(end)),
        records: 4,
        bytes: 100,
        first_time: Timestamp(1),
        last_time: Timestamp(2),
        file: "diverged/orders-0-1.log".into(),
    };
    council.decide(RecordDiverged { region: region(name), tails: vec![tail] }).await.unwrap();
    let all = council.catalog.reader().diverged(Some(&region(name))).await.unwrap();
    all[0].id()
}

async fn recorded_tail(council: &mut Council) -> String {
    recorded_tail_of(council, "r1", 9).await
}

fn publication_plan(producer: i64) -> PublicationPlan {
    PublicationPlan {
        topic: crate::council::topic_id(9),
        name: crate::council::topic_name("orders.diverged.1"),
        producer_id: ProducerId(producer),
        producer_epoch: 0,
        since: Offset(0),
    }
}

#[tokio::test]
async fn tails_of_the_same_records_are_published_one_after_the_other() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let tails = [recorded_tail_of(&mut council, "r1", 9).await, recorded_tail_of(&mut council, "r2", 8).await];
    let start = |at: usize| {
        let region = region(["r1", "r2"][at]);
        StartPublication { region, tail: tails[at].clone(), plan: publication_plan(at as i64) }
    };
    council.decide(start(0)).await.unwrap();
    let refusal = council.refusal(start(1)).await;
    assert!(matches!(&refusal, Refusal::InProgress { name, .. } if *name == tails[0]), "{refusal}");
    council.decide(start(0)).await.unwrap();
    let summary = PublicationSummary { records: 4, ..Default::default() };
    council.decide(FinishPublication { tail: tails[0].clone(), summary }).await.unwrap();
    council.decide(start(1)).await.unwrap();
}

#[tokio::test]
async fn tails_of_the_same_records_are_written_again_one_after_the_other() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let tails = [recorded_tail_of(&mut council, "r1", 9).await, recorded_tail_of(&mut council, "r2", 8).await];
    let start = |at: usize, behind: &[&String]| {
        let (region, tail) = (region(["r1", "r2"][at]), tails[at].clone());
        StartReinjection { region, tail, plan: reinjection_plan(7), behind: behind.iter().copied().cloned().collect() }
    };
    let finish = |outcome| FinishReinjection { tail: tails[0].clone(), outcome };
    council.decide(start(0, &[])).await.unwrap();
    let refusal = council.refusal(start(1, &[])).await;
    assert!(matches!(&refusal, Refusal::InProgress { name, .. } if *name == tails[0]), "{refusal}");
    council.decide(finish(ReinjectionOutcome::Failed { reason: "the owner is away".into() })).await.unwrap();
    let refusal = council.refusal(start(1, &[])).await.to_string();
    assert!(refusal.contains("ask for it again"), "it may go on, and would bring what the other one did: {refusal}");
    council.decide(start(0, &[])).await.unwrap();
    council.decide(finish(ReinjectionOutcome::Completed(ReinjectionSummary::default()))).await.unwrap();
    let refusal = council.refusal(start(1, &[])).await;
    assert!(matches!(refusal, Refusal::Changed { .. }), "it was agreed on before the other one ended: {refusal}");
    council.decide(start(1, &[&tails[0]])).await.unwrap();
}

fn reinjection_plan(producer: i64) -> ReinjectionPlan {
    ReinjectionPlan {
        keys_not_newer: false,
        leave_unknown: false,
        producer_id: ProducerId(producer),
        producer_epoch: 0,
        until: Offset(20),
    }
}

#[tokio::test]
async fn a_diverged_tail_is_published_once() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let id = recorded_tail(&mut council).await;
    let plan = publication_plan;
    let start = |tail: &str, plan| StartPublication { region: region("r1"), tail: tail.into(), plan };
    assert!(matches!(council.refusal(start("r1.x", plan(1))).await, Refusal::NotFound { .. }));
    let run = PublishedRun { from: Offset(5), to: Offset(0), count: 4 };
    let finish = |records| FinishPublication {
        tail: id.clone(),
        summary: PublicationSummary { records, runs: vec![run], runs_complete: true, ..Default::default() },
    };
    assert!(matches!(council.refusal(finish(4)).await, Refusal::NotFound { .. }), "it has not begun");
    council.decide(start(&id, plan(1))).await.unwrap();
    council.decide(start(&id, plan(2))).await.unwrap();
    let running = council.catalog.reader().publication(&id).await.unwrap().unwrap();
    assert_eq!((running.plan, running.summary), (plan(1), None), "who goes on sends what was agreed on");
    council.decide(finish(4)).await.unwrap();
    council.decide(finish(3)).await.unwrap();
    let done = council.catalog.reader().publications().await.unwrap();
    assert_eq!((done.len(), done[0].summary.as_ref().map(|summary| summary.records)), (1, Some(4)));
    let many = PublicationSummary { runs: vec![run; 1001], ..Default::default() };
    let refusal = council.refusal(FinishPublication { tail: id, summary: many }).await;
    assert!(matches!(refusal, Refusal::TooMany { .. }), "{refusal}");
}

#[tokio::test]
async fn a_diverged_tail_is_written_again_once() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let id = recorded_tail(&mut council).await;
    let plan = reinjection_plan;
    let start = |tail: &str, plan| StartReinjection { region: region("r1"), tail: tail.into(), plan, behind: vec![] };
    assert!(matches!(council.refusal(start("r1.x", plan(1))).await, Refusal::NotFound { .. }));
    council.decide(start(&id, plan(1))).await.unwrap();
    let finish = |outcome| FinishReinjection { tail: id.clone(), outcome };
    council.decide(finish(ReinjectionOutcome::Failed { reason: "the owner is away".into() })).await.unwrap();
    council.decide(start(&id, plan(2))).await.unwrap();
    let running = council.catalog.reader().reinjection(&id).await.unwrap().unwrap();
    assert_eq!((running.state, running.failure), (WorkState::Running, None));
    assert_eq!(running.plan, plan(1), "who goes on sends what was agreed on");
    let summary = ReinjectionSummary { lacking: 4, ..ReinjectionSummary::default() };
    council.decide(finish(ReinjectionOutcome::Completed(summary))).await.unwrap();
    council.decide(finish(ReinjectionOutcome::Completed(summary))).await.unwrap();
    assert!(matches!(council.refusal(start(&id, plan(1))).await, Refusal::Ended { .. }));
    let done = council.catalog.reader().reinjections().await.unwrap();
    assert_eq!((done.len(), done[0].summary, done[0].state), (1, Some(summary), WorkState::Completed));
}

#[tokio::test]
async fn facts_are_kept_once() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let topic = council.topic("orders").id;
    let range = OffsetRange::new(Offset(5), Offset(9));
    let tail = DivergedTail {
        topic,
        partition: crate::council::partition(0),
        ownership_epoch: OwnershipEpoch(1),
        range,
        records: 4,
        bytes: 100,
        first_time: Timestamp(1),
        last_time: Timestamp(2),
        file: "diverged/orders-0-1.log".into(),
    };
    let record = RecordDiverged { region: region("r1"), tails: vec![tail.clone()] };
    council.decide(record.clone()).await.unwrap();
    council.decide(record).await.unwrap();
    let gap = |end| Gap {
        topic,
        partition: crate::council::partition(1),
        range: OffsetRange::new(Offset(0), Offset(end)),
        reason: "retention".into(),
    };
    council.decide(RecordGaps { region: region("r2"), gaps: vec![gap(3)] }).await.unwrap();
    council.decide(RecordGaps { region: region("r2"), gaps: vec![gap(8), gap(2)] }).await.unwrap();
    let reader = council.catalog.reader();
    let tails = reader.diverged(Some(&region("r1"))).await.unwrap();
    assert_eq!((tails.len(), &tails[0].tail), (1, &tail));
    assert_eq!(reader.diverged(Some(&region("r2"))).await.unwrap(), []);
    let gaps = reader.gaps(None).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].gap.range.end), (1, Offset(8)));
    let stranger = RecordGaps { region: region("r9"), gaps: vec![] };
    assert!(matches!(council.refusal(stranger).await, Refusal::NotFound { .. }));
}

#[tokio::test]
async fn a_block_is_seen_until_it_is_taken_away() {
    let mut council = Council::formed().await;
    let block = BlockAutomation { group: group("default"), until: Some(Timestamp(9)), reason: "why".into() };
    council.decide(block).await.unwrap();
    let seen = council.catalog.view().group(&group("default")).unwrap().block.clone().unwrap();
    assert_eq!((seen.until, seen.reason.as_str(), seen.by.as_str()), (Some(Timestamp(9)), "why", "tester"));
    council.decide(UnblockAutomation { group: group("default") }).await.unwrap();
    assert_eq!(council.catalog.view().group(&group("default")).unwrap().block, None);
    assert!(matches!(council.refusal(UnblockAutomation { group: group("x") }).await, Refusal::NotFound { .. }));
}
