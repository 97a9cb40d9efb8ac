//! One of every change, in an order in which all of them take effect.

use crate::council::{
    addresses, command, form, group, new_topic, partition, region, run_id, step, topic_id, topic_name,
};
use catalog::command::*;
use catalog::reader::RecordedTail;
use catalog::{Change, Command};
use dr_planner::drill::{Check, Scorecard, Verdict};
use dr_planner::plan::{Kind, Plan, PlanId, Trigger};
use dr_planner::policy;
use dr_planner::report::{Loss, Report, Standing, Times};
use dr_planner::run::{Event, Outcome, Output};
use dr_planner::schedule::{Job, Missed, Overlap, Schedule};
use mirror_core::mode;
use model::{
    AtRisk, BrokerSlot, ByteCount, ConflictPolicy, Coverage, DivergedTail, ExposureReason, Gap, Incarnation,
    LeaderEpoch, ModeEpoch, Offset, OffsetRange, Opening, OwnershipEpoch, Pattern, ProducerId, SlowTarget, Timestamp,
    TopicState,
};

/// The story: formation, topics, groups, a failover with its report, backup, restore, drill, and tidying up.
pub(crate) fn story() -> Vec<Command> {
    let changes = [
        platform(),
        topics_and_groups(),
        failover(),
        work(),
        tidying(),
        modes(),
        salvage(),
        active(),
        publication(),
        resets(),
    ]
    .concat();
    (1..).zip(changes).map(|(tick, change)| command(tick, change)).collect()
}

fn platform() -> Vec<Change> {
    let node = |(port, name): (u16, &str)| NodePort { region: region(name), slot: BrokerSlot(0), port };
    vec![
        form(2).into(),
        JoinRegion { region: region("r3"), index: 2, disk_id: "disk-r3".into(), addresses: addresses(2) }.into(),
        JoinWitness { name: "witness".into(), disk_id: "disk-w2".into(), council: "127.0.0.1:18095".into() }.into(),
        RegisterGateway {
            gateway: "g1".into(),
            host: "127.0.0.1".into(),
            port: 9092,
            nodes: (9093..).zip(["r1", "r2", "r3"]).map(node).collect(),
        }
        .into(),
        PutSetting { name: "auto.create.topics".into(), value: true.into(), expected: Some(0) }.into(),
    ]
}

pub(crate) fn eu() -> policy::Group {
    let pattern = Pattern::Prefix("eu.".into());
    let coverage = Coverage { topics: vec![pattern.clone()], consumer_groups: vec![pattern] };
    policy::Group { name: group("eu"), coverage, ..policy::default_group(&["r1", "r2", "r3"].map(region)).unwrap() }
}

fn us() -> policy::Group {
    let coverage = Coverage { topics: vec![Pattern::Prefix("us.".into())], consumer_groups: vec![] };
    policy::Group { name: group("us"), coverage, ..eu() }
}

fn topics_and_groups() -> Vec<Change> {
    let delete = DeleteTopic { name: topic_name("bills"), expected: None };
    vec![
        CreateTopics { topics: vec![new_topic("orders", 1), new_topic("bills", 1), new_topic("eu.orders", 1)] }.into(),
        AlterTopicConfig {
            topic: topic_name("orders"),
            expected: None,
            revision: Some(1),
            replace: false,
            set: [("retention.ms".to_owned(), "1000".to_owned())].into(),
            remove: ["cleanup.policy".to_owned()].into(),
        }
        .into(),
        AddPartitions { topic: topic_name("orders"), expected: None, partitions: 3 }.into(),
        DeleteTopics { topics: vec![delete] }.into(),
        CreateGroup { policy: eu(), canary: topic_id(2) }.into(),
        UpdateGroup { policy: policy::Group { priority: 7, ..eu() }, expected: None }.into(),
        BlockAutomation { group: group("eu"), until: Some(Timestamp(99_000)), reason: "maintenance".into() }.into(),
        UnblockAutomation { group: group("eu") }.into(),
        BlockAutomation { group: group("eu"), until: None, reason: "maintenance".into() }.into(),
        CreateGroup { policy: us(), canary: topic_id(3) }.into(),
        DeleteGroup { group: group("us"), expected: None }.into(),
    ]
}

pub(crate) fn plan(name: &str, epoch: u32) -> Plan {
    Plan {
        id: PlanId(name.into()),
        parent: None,
        generation: 1,
        kind: Kind::Failover,
        group: group("default"),
        source: region("r1"),
        target: region("r2"),
        ownership_epoch: OwnershipEpoch(epoch),
        partitions: vec![(new_topic("orders", 1).id, partition(0))],
        holes: vec![],
        steps: vec![],
        created_at: Timestamp(15_000),
        incident_at: Timestamp(14_000),
        trigger: Trigger::RegionLost { region: region("r1") },
        reason: "silence".into(),
        inputs_digest: "digest".into(),
    }
}

pub(crate) fn report(standing: Standing) -> Report {
    Report {
        run: run_id("run-1"),
        plan: PlanId("plan-1".into()),
        kind: Kind::Failover,
        group: group("default"),
        source: region("r1"),
        target: region("r2"),
        from_epoch: OwnershipEpoch(1),
        to_epoch: Some(OwnershipEpoch(2)),
        outcome: Some(Outcome::Succeeded),
        times: Times { incident: Some(Timestamp(14_000)), ..Times::default() },
        rto_ms: Some(4_200),
        rto_met: Some(true),
        rpo: Loss { records: 5, bytes: 512, seconds: 0.1 },
        rpo_met: Some(true),
        partitions: vec![],
        standing,
    }
}

fn diverged_tail() -> DivergedTail {
    DivergedTail {
        topic: new_topic("orders", 1).id,
        partition: partition(0),
        ownership_epoch: OwnershipEpoch(1),
        range: OffsetRange::new(Offset(10), Offset(15)),
        records: 5,
        bytes: 512,
        first_time: Timestamp(13_900),
        last_time: Timestamp(14_000),
        file: "diverged/orders-0-1.log".into(),
    }
}

fn active() -> Vec<Change> {
    let coverage = Coverage { topics: vec![Pattern::Prefix("both.".into())], consumer_groups: vec![] };
    let order = ConflictPolicy::RegionPriority { order: vec![region("r2"), region("r1")] };
    let policy =
        policy::Group { name: group("both"), coverage, active_active: Some(order), automatic_failover: false, ..eu() };
    vec![CreateGroup { policy, canary: topic_id(4) }.into()]
}

fn salvage() -> Vec<Change> {
    let tail = RecordedTail { region: region("r1"), tail: diverged_tail(), recorded_at: Timestamp(0) }.id();
    let plan = ReinjectionPlan {
        keys_not_newer: true,
        leave_unknown: false,
        producer_id: ProducerId(7),
        producer_epoch: 0,
        until: Offset(20),
    };
    let summary = ReinjectionSummary { lacking: 3, unknown: 1, held: 1, ..ReinjectionSummary::default() };
    vec![
        StartReinjection { region: region("r1"), tail: tail.clone(), plan, behind: vec![] }.into(),
        FinishReinjection { tail, outcome: ReinjectionOutcome::Completed(summary) }.into(),
    ]
}

fn publication() -> Vec<Change> {
    let tail = RecordedTail { region: region("r1"), tail: diverged_tail(), recorded_at: Timestamp(0) }.id();
    let plan = PublicationPlan {
        topic: topic_id(9),
        name: topic_name("orders.diverged.1"),
        producer_id: ProducerId(8),
        producer_epoch: 0,
        since: Offset(0),
    };
    let run = PublishedRun { from: Offset(10), to: Offset(0), count: 4 };
    let summary = PublicationSummary { records: 4, held: 0, aborted: 1, open: 0, runs: vec![run], runs_complete: true };
    vec![
        StartPublication { region: region("r1"), tail: tail.clone(), plan }.into(),
        FinishPublication { tail, summary }.into(),
    ]
}

fn failover() -> Vec<Change> {
    let (run, default) = (run_id("run-1"), group("default"));
    let event = |seq, event| AppendRunEvent { run: run_id("run-1"), seq, event }.into();
    let topic = new_topic("orders", 1).id;
    let opening = Opening { topic, partition: partition(0), common_end: Offset(10), base: Offset(10 + (1 << 40)) };
    let tail = diverged_tail();
    let gap = Gap {
        topic,
        partition: partition(1),
        range: OffsetRange::new(Offset(0), Offset(3)),
        reason: "retention".into(),
    };
    let epoch = OwnershipEpoch;
    vec![
        StorePlan { plan: plan("plan-0", 1) }.into(),
        StartRun { run: run.clone(), plan: plan("plan-1", 1), plan_digest: "digest".into() }.into(),
        event(1, Event::StepStarted { step: step("revoke"), attempt: 1 }),
        Revoke { run: run.clone(), step: step("revoke"), group: default.clone(), ownership_epoch: epoch(1) }.into(),
        Regrant {
            run: run.clone(),
            step: step("revoke.undo"),
            group: default.clone(),
            ownership_epoch: epoch(1),
            owner: region("r1"),
        }
        .into(),
        Revoke { run: run.clone(), step: step("again"), group: default.clone(), ownership_epoch: epoch(1) }.into(),
        event(2, Event::StepSucceeded { step: step("revoke"), output: Output::Done }),
        Pivot {
            run: run.clone(),
            step: step("pivot"),
            group: default.clone(),
            from: epoch(1),
            owner: region("r2"),
            ownership_epoch: epoch(2),
            openings: vec![opening],
        }
        .into(),
        Redirect {
            run: run.clone(),
            step: step("redirect"),
            group: default,
            owner: region("r2"),
            ownership_epoch: epoch(2),
        }
        .into(),
        event(3, Event::Finished { outcome: Outcome::Succeeded }),
        StoreReport { report: report(Standing::Provisional { waiting_for: 1, region: region("r1") }) }.into(),
        RecordDiverged { region: region("r1"), tails: vec![tail] }.into(),
        RecordGaps { region: region("r3"), gaps: vec![gap] }.into(),
        StoreReport { report: report(Standing::Final) }.into(),
    ]
}

pub(crate) fn schedule(name: &str) -> Schedule {
    Schedule {
        name: name.into(),
        cron: "0 0 3 * * *".into(),
        job: Job::Backup { group: group("default") },
        overlap: Overlap::Forbid,
        missed: Missed::RunOnce,
        enabled: true,
    }
}

pub(crate) fn backup_summary() -> BackupSummary {
    BackupSummary {
        manifest: "bkp/backup-1/manifest".into(),
        manifest_hash: "abc".into(),
        cut_at: Timestamp(30_000),
        topics: 1,
        partitions: 3,
        records: 100,
        bytes: ByteCount(4096),
    }
}

pub(crate) fn scorecard(drill: &str) -> Scorecard {
    let check = Check { name: "conservation".into(), verdict: Verdict::Pass, detail: "all accounted for".into() };
    Scorecard {
        drill: drill.into(),
        at: Timestamp(40_000),
        verdict: Verdict::Pass,
        checks: vec![check],
        missing: 0,
        redelivered: 2,
        report: None,
    }
}

fn work() -> Vec<Change> {
    let (schedule_name, due) = ("nightly".to_owned(), Timestamp(30_000));
    let restored = NewTopic {
        state: TopicState::Restoring,
        epochs_above: Some(LeaderEpoch::of(OwnershipEpoch(2), 1).unwrap()),
        ..new_topic("bills", 2)
    };
    let topics = vec![RestoredTopic { source: topic_name("bills"), topic: restored, replaces: None }];
    vec![
        PutSchedule { schedule: schedule("nightly"), expected: Some(0) }.into(),
        ClaimFiring { schedule: schedule_name.clone(), due, claimant: "r2".into(), expires: Timestamp(90_000) }.into(),
        StartBackup {
            backup: "backup-1".into(),
            group: group("default"),
            repository: "farshore/default".into(),
            schedule: Some(schedule_name.clone()),
        }
        .into(),
        FinishBackup { backup: "backup-1".into(), outcome: BackupOutcome::Completed(backup_summary()) }.into(),
        FinishFiring {
            schedule: schedule_name.clone(),
            due,
            outcome: FiringOutcome::Succeeded { started: "backup-1".into() },
        }
        .into(),
        RecordMissed { schedule: schedule_name, due: Timestamp(31_000), reason: "nobody was there".into() }.into(),
        StartRestore { restore: "restore-1".into(), backup: "backup-1".into(), topics }.into(),
        FinishRestore {
            restore: "restore-1".into(),
            outcome: RestoreOutcome::Completed(RestoreSummary {
                partitions: 2,
                at_once: 2,
                records: 100,
                bytes: ByteCount(4096),
                offsets: 1,
            }),
        }
        .into(),
        StartDrill { drill: "drill-1".into(), kind: DrillKind::RegionLoss, group: group("default"), schedule: None }
            .into(),
        FinishDrill { scorecard: scorecard("drill-1"), run: Some(run_id("run-1")) }.into(),
    ]
}

fn resets() -> Vec<Change> {
    vec![FollowTopic { topic: topic_name("__farshore_canary.default"), expected: None }.into()]
}

fn tidying() -> Vec<Change> {
    vec![
        DeleteSchedule { name: "nightly".into() }.into(),
        ForgetBackup { backup: "backup-1".into() }.into(),
        PurgeTopics { deleted_before: Timestamp(20_000) }.into(),
        JoinRegion { region: region("r1"), index: 0, disk_id: "disk-new".into(), addresses: addresses(0) }.into(),
        PutSetting { name: "auto.create.topics".into(), value: false.into(), expected: Some(1) }.into(),
    ]
}

fn modes() -> Vec<Change> {
    let mut policy = policy::default_group(&["r1", "r2", "r3"].map(region)).unwrap();
    (policy.mode, policy.slow_target) = (policy::Mode::Sync, SlowTarget::Block);
    let change = |mode_epoch, change| {
        let (ownership_epoch, mode_epoch) = (OwnershipEpoch(3), ModeEpoch(mode_epoch));
        ChangeMode { group: group("default"), ownership_epoch, mode_epoch, change }.into()
    };
    let worst = AtRisk { records: 3, bytes: 400, millis: 50 };
    vec![
        UpdateGroup { policy, expected: None }.into(),
        NoteExposure { group: group("default"), mode_epoch: ModeEpoch(0), worst }.into(),
        change(0, mode::Change::Approach { target: region("r3"), incarnation: Incarnation(4) }),
        change(1, mode::Change::Converge { target: region("r3"), incarnation: Incarnation(4) }),
        change(2, mode::Change::Enter),
        change(3, mode::Change::Leave { reason: ExposureReason::TargetSlow }),
    ]
}
