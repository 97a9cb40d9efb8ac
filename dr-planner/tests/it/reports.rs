//! What runs are reported to have cost, and how drills are judged.

use crate::platform::*;
use crate::world::*;
use dr_planner::drill::{self, Acked, Inputs, Verdict};
use dr_planner::inventory::Inventory;
use dr_planner::plan::Kind;
use dr_planner::report::*;
use dr_planner::run::*;
use model::*;
use std::collections::BTreeMap;

fn ran(kind: Kind) -> Executor<'static> {
    let mut executor = Executor::new(plan(kind), |_| None);
    executor.run();
    executor
}

fn reported(executor: &Executor<'_>, returned: &[ReturnedTail]) -> Report {
    report(&Evidence {
        run: executor.machine.run(),
        plan: &executor.plan,
        entries: &executor.entries,
        policy: &policy(),
        returned,
        recovered_at: None,
    })
}

/// The old log of `partition` is back, with `records` above the common end at 90.
fn back(name: &str, partition: i32, epoch: u32, records: u64) -> ReturnedTail {
    let diverged = DivergedTail {
        topic: topic(),
        partition: PartitionId(partition),
        ownership_epoch: OwnershipEpoch(epoch),
        range: OffsetRange::new(Offset(90), Offset(90 + records as i64)),
        records,
        bytes: 100 * records,
        first_time: Timestamp(NOW.0 - 2000),
        last_time: Timestamp(NOW.0 + 500),
        file: format!("diverged/orders-{partition}-{epoch}.log"),
    };
    let tail = ReturnedTail::archived(region(name), diverged);
    if records == 0 { ReturnedTail { diverged: None, ..tail } } else { tail }
}

#[test]
fn a_report_is_provisional_until_every_old_log_is_back() {
    let run = ran(Kind::Failover);
    let waiting = |returned: &[ReturnedTail]| match reported(&run, returned).standing {
        Standing::Provisional { waiting_for, .. } => waiting_for,
        Standing::Final => 0,
    };
    assert_eq!(waiting(&[]), 2);
    assert_eq!(waiting(&[back("r1", 0, 1, 12)]), 1);
    assert_eq!(waiting(&[back("r1", 0, 1, 12), back("r1", 1, 1, 0)]), 0);
}

#[test]
fn only_the_old_owners_log_of_that_grant_settles_a_partition() {
    let run = ran(Kind::Failover);
    for stranger in [back("r3", 0, 1, 12), back("r1", 0, 7, 12)] {
        let report = reported(&run, &[stranger]);
        assert!(matches!(report.standing, Standing::Provisional { waiting_for: 2, .. }));
        assert_eq!(report.rpo.records, 20, "what was heard of stands");
    }
}

#[test]
fn the_final_report_declares_what_the_old_log_says() {
    let run = ran(Kind::Failover);
    let report = reported(&run, &[back("r1", 0, 1, 12), back("r1", 1, 1, 0)]);
    assert_eq!((report.rpo.records, report.rpo.bytes), (12, 1200));
    assert_eq!(report.rpo.seconds, 2.5, "from the oldest lost record to the newest, which came after the last sign");
    assert_eq!(report.partitions.len(), 1, "the other partition lost nothing");
    let loss = &report.partitions[0];
    assert_eq!(loss.declared(), Some(OffsetRange::new(Offset(90), Offset(102))));
    assert_eq!(loss.archived.as_ref().map(|archived| archived.file.as_str()), Some("diverged/orders-0-1.log"));
    assert_eq!(loss.unproven, None);
    assert_eq!(report.rpo_met, Some(true));
}

#[test]
fn holes_count_for_nothing() {
    let mut plan = plan(Kind::Failover);
    plan.holes = vec![Opening { topic: topic(), partition: PartitionId(0), common_end: Offset(92), base: Offset(97) }];
    let mut run = Executor::new(plan, |_| None);
    run.run();
    let report = reported(&run, &[]);
    assert_eq!(report.partitions[0].loss.records, 5, "of [90, 100) nobody ever wrote [92, 97)");
    assert_eq!(report.partitions[1].loss.records, 10);
}

#[test]
fn what_the_source_may_not_have_committed_is_listed() {
    let report = reported(&ran(Kind::Failover), &[]);
    assert_eq!(report.partitions[0].unproven, Some(OffsetRange::new(Offset(85), Offset(90))));
    assert_eq!(report.rpo_met, None, "nobody knows yet");
}

#[test]
fn a_planned_switch_loses_nothing_and_starts_its_clock_when_writes_stop() {
    let run = ran(Kind::Switchover);
    let report = reported(&run, &[]);
    assert_eq!(report.rpo, Loss::default());
    assert_eq!((report.standing, report.rpo_met), (Standing::Final, Some(true)));
    assert_eq!(report.times.incident, Some(Timestamp(NOW.0 + 1)));
    assert!(report.times.pivot < report.times.canary);
    assert!(write_gap(&run.plan, &run.entries).is_some());
}

#[test]
fn a_run_that_was_rolled_back_cost_nothing() {
    let fails = |command: &Command| (command.step.as_str() == "seal").then_some(Fault::Fatal);
    let mut run = Executor::new(plan(Kind::Failover), fails);
    run.run();
    let report = reported(&run, &[]);
    assert_eq!((report.outcome, report.to_epoch), (Some(Outcome::RolledBack), None));
    assert_eq!((report.standing, report.rpo), (Standing::Final, Loss::default()));
    assert_eq!((report.rto_ms, report.times.pivot), (None, None));
}

#[test]
fn the_objective_is_met_again_when_a_standby_follows_closely() {
    let recovered = |inventory: &Inventory| is_recovered(inventory, &policy(), &region("r1"));
    assert!(recovered(&inventory()));
    let mut behind = inventory();
    behind.links.iter_mut().for_each(|link| link.lag_seconds = 6.0);
    assert!(!recovered(&behind));
    let mut silent = inventory();
    silent.links.iter_mut().for_each(|link| link.silent_ms = 60_000);
    assert!(!recovered(&silent));
    let mut closed = inventory();
    closed.regions[0].holdings[0].open = false;
    assert!(!recovered(&closed));
}

fn acked(offset: i64, present: bool) -> Acked {
    Acked { topic: topic(), partition: PartitionId(0), offset: Offset(offset), present }
}

/// A drill in which offsets 90 and 91 of partition 0 were lost, declared and archived.
fn drilled() -> Inputs {
    let report = reported(&ran(Kind::Failover), &[back("r1", 0, 1, 2), back("r1", 1, 1, 0)]);
    Inputs {
        drill: "region-loss".to_owned(),
        acked: vec![acked(88, true), acked(89, true), acked(90, false), acked(91, false), acked(1 << 41, true)],
        write_gap_ms: Some(7000),
        write_gap_ms_max: 10_000,
        skipped: Some(0),
        redelivered: 3,
        written_twice: 0,
        fatal_errors: 0,
        hashes: regions().into_iter().map(|region| (region, Some("abc".to_owned()))).collect::<BTreeMap<_, _>>(),
        conservation: Some(Conservation::Holds { at_stake: 2 }),
        report: Some(report),
    }
}

fn verdict(inputs: Inputs) -> (Verdict, Vec<String>) {
    let card = drill::score(inputs, NOW);
    let worst = card.checks.into_iter().filter(|check| check.verdict == card.verdict);
    (card.verdict, worst.map(|check| check.name).collect())
}

#[test]
fn a_drill_that_lost_exactly_what_it_declares_passes() {
    let card = drill::score(drilled(), NOW);
    assert!(card.passed(), "{:?}", card.checks);
    assert_eq!((card.missing, card.redelivered), (2, 3));
}

#[test]
fn each_claim_of_a_drill_can_fail() {
    let broken: Vec<(&str, Inputs)> = vec![
        ("every missing value is declared", Inputs { acked: vec![acked(89, false), acked(90, false)], ..drilled() }),
        ("every missing value is declared", Inputs { acked: vec![acked(92, false)], ..drilled() }),
        ("every declared value is missing", Inputs { acked: vec![acked(90, true)], ..drilled() }),
        ("the write gap is short enough", Inputs { write_gap_ms: Some(10_001), ..drilled() }),
        ("the write gap is short enough", Inputs { write_gap_ms: None, ..drilled() }),
        ("consumers skipped nothing", Inputs { skipped: Some(1), ..drilled() }),
        ("nothing was written twice", Inputs { written_twice: 1, ..drilled() }),
        ("clients went on", Inputs { fatal_errors: 1, ..drilled() }),
        (
            "the run succeeded",
            Inputs { report: drilled().report.map(|r| Report { outcome: Some(Outcome::Stuck), ..r }), ..drilled() },
        ),
        (
            "all regions hold the same",
            Inputs {
                hashes: [("r1", "a"), ("r2", "b")].map(|(r, h)| (region(r), Some(h.to_owned()))).into(),
                ..drilled()
            },
        ),
        (
            "every offset is accounted for",
            Inputs { conservation: Some(Conservation::Violated { violations: vec![] }), ..drilled() },
        ),
    ];
    for (name, inputs) in broken {
        let (verdict, worst) = verdict(inputs);
        assert_eq!(verdict, Verdict::Fail, "{name}");
        assert!(worst.iter().any(|found| found == name), "{name} is not among {worst:?}");
    }
}

#[test]
fn a_drill_in_which_nothing_was_at_stake_is_unknown() {
    let report = reported(&ran(Kind::Failover), &[back("r1", 0, 1, 0), back("r1", 1, 1, 0)]);
    let inputs = Inputs {
        acked: vec![acked(88, true)],
        report: Some(report),
        conservation: Some(Conservation::Unknown { reason: "nothing was at stake".to_owned() }),
        ..drilled()
    };
    let (verdict, worst) = verdict(inputs);
    assert_eq!(verdict, Verdict::Unknown);
    assert_eq!(worst, ["something was at stake", "every offset is accounted for"]);
}

#[test]
fn a_drill_whose_old_log_is_not_back_is_unknown() {
    let report = reported(&ran(Kind::Failover), &[back("r1", 0, 1, 2)]);
    assert_eq!(verdict(Inputs { report: Some(report), ..drilled() }).0, Verdict::Unknown);
    assert_eq!(verdict(Inputs { skipped: None, ..drilled() }).0, Verdict::Unknown);
    assert_eq!(verdict(Inputs::default()).0, Verdict::Fail, "there was no run at all");
}

#[test]
fn a_switchover_drill_passes_with_nothing_lost() {
    let report = reported(&ran(Kind::Switchover), &[]);
    let inputs = Inputs {
        drill: "switchover".to_owned(),
        acked: vec![acked(88, true)],
        report: Some(report.clone()),
        conservation: None,
        ..drilled()
    };
    assert_eq!(verdict(inputs.clone()).0, Verdict::Pass);
    assert_eq!(
        verdict(Inputs { acked: vec![acked(88, false)], ..inputs }).0,
        Verdict::Fail,
        "a planned switch loses nothing"
    );
}

#[test]
fn reports_and_scorecards_survive_their_json() {
    let card = drill::score(drilled(), NOW);
    let json = serde_json::to_string(&card).unwrap();
    assert_eq!(serde_json::from_str::<drill::Scorecard>(&json).unwrap(), card);
    for entry in ran(Kind::Failover).entries.into_iter().chain(ran(Kind::Switchover).entries) {
        let json = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
    }
}
