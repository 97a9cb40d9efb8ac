//! What is planned, refused and found by the audit.

use crate::platform::*;
use dr_planner::assess::{Choice, Choosable, Refusal, assess};
use dr_planner::audit::{Rule, audit};
use dr_planner::inventory::Inventory;
use dr_planner::plan::*;
use model::{Incarnation, ModeEpoch, ModePhase, ModeState, OwnershipEpoch, StepId, SyncRule, Timestamp};
use std::time::Duration;

const KINDS: [Kind; 4] = [Kind::Failover, Kind::Switchover, Kind::Failback, Kind::Drill];

fn findings(plan: &Plan) -> Vec<Rule> {
    audit(plan, &inventory(), &policy()).into_iter().map(|finding| finding.rule).collect()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

#[test]
fn a_failover_fences_before_it_opens() {
    let plan = plan(Kind::Failover);
    assert_eq!(names(&plan), ["revoke", "wait-out-lease", "collect", "seal", "pivot", "open", "redirect", "verify"]);
    assert_eq!((plan.source.as_str(), plan.target.as_str()), ("r1", "r2"));
    assert!(findings(&plan).is_empty());
}

#[test]
fn a_switchover_stops_before_it_catches_up() {
    let plan = plan(Kind::Switchover);
    assert_eq!(names(&plan), ["stop-writes", "catch-up", "pivot", "open", "redirect", "verify"]);
    assert!(findings(&plan).is_empty());
}

#[test]
fn the_same_inputs_give_the_same_plan() {
    for kind in KINDS {
        assert_eq!(plan(kind).digest(), plan(kind).digest());
    }
    let mut other = inventory();
    other.links[0].lag_records = 1;
    let other = build(&other, &policy(), request(Kind::Failover), NOW).unwrap();
    assert_ne!(other.inputs_digest, plan(Kind::Failover).inputs_digest);
}

#[test]
fn a_failback_goes_home_only() {
    assert_eq!(plan(Kind::Failback).target, region("r1"));
    let refused = build(&inventory(), &policy(), request(Kind::Failback), NOW).unwrap_err();
    assert!(matches!(refused.refusals[..], [Refusal::AlreadyOwner { .. }]), "{refused}");
}

#[test]
fn the_copy_that_sync_has_proven_takes_over_and_loses_nothing() {
    let mut inventory = inventory();
    let rule = SyncRule {
        mode_epoch: ModeEpoch(1),
        target: region("r3"),
        incarnation: Incarnation(1),
        patience: model::Patience::Waits,
    };
    inventory.links.iter_mut().for_each(|link| (link.lag_records, link.lag_seconds) = (9, 90.0));
    inventory.grants[0].mode = ModeState { phase: ModePhase::Sync, rule: Some(rule), ..ModeState::default() };
    let met = |inventory: &Inventory, region: &str| {
        let choices = assess(inventory, &policy()).unwrap().choices;
        let is_it = |choice: &&Choice| matches!(&choice.option, Choosable::Move { kind: Kind::Failover, target } if target.as_str() == region);
        choices.iter().find(is_it).unwrap().rpo_met
    };
    assert_eq!((met(&inventory, "r2"), met(&inventory, "r3")), (Some(false), Some(true)));
    assert_eq!(build(&inventory, &policy(), request(Kind::Failover), NOW).unwrap().target, region("r3"));
    inventory.regions[2].incarnation = Incarnation(2);
    assert_eq!(met(&inventory, "r3"), Some(false), "that copy is gone");
    inventory.regions[2].incarnation = Incarnation(1);
    inventory.grants[0].mode.phase = ModePhase::Converging;
    assert_eq!(met(&inventory, "r3"), Some(false), "nothing is proven yet");
}

#[test]
fn a_silent_standby_is_passed_over() {
    let mut inventory = inventory();
    inventory.regions[1].observed_at = Timestamp(NOW.0 - 10_000);
    let plan = build(&inventory, &policy(), request(Kind::Failover), NOW).unwrap();
    assert_eq!(plan.target, region("r3"));
    assert!(plan.step(&step_ids::collect()).is_none(), "a region that does not answer has nothing to collect from");
}

#[test]
fn what_cannot_take_over_is_refused_with_every_reason() {
    let mut inventory = inventory();
    inventory.council.leader = None;
    inventory.busy = vec![policy().name];
    inventory.regions[1].disk_full = true;
    inventory.links[1].unusable = vec![(
        model::TopicPartition { topic: model::TopicName::new("orders").unwrap(), partition: model::PartitionId(1) },
        "must_rebuild".to_owned(),
    )];
    let refused = build(&inventory, &policy(), request(Kind::Failover), NOW).unwrap_err();
    let has = |wanted: fn(&Refusal) -> bool| refused.refusals.iter().any(wanted);
    assert!(has(|refusal| matches!(refusal, Refusal::NoQuorum { members: 2 })));
    assert!(has(|refusal| matches!(refusal, Refusal::Busy { .. })));
    assert!(has(|refusal| matches!(refusal, Refusal::TargetFull { .. })));
    assert!(has(|refusal| matches!(refusal, Refusal::CopyUnusable { .. })));
    assert!(refused.to_string().contains("a disk of r2 is full; free some space first"), "{refused}");
}

#[test]
fn who_accepts_copies_that_are_no_standby_may_fail_over_to_them_but_not_switch_over() {
    let mut inventory = inventory();
    let orders =
        model::TopicPartition { topic: model::TopicName::new("orders").unwrap(), partition: model::PartitionId(1) };
    inventory.links.iter_mut().for_each(|link| link.unusable = vec![(orders.clone(), "must_rebuild".to_owned())]);
    let asked = |kind, accept_unusable| Request { accept_unusable, ..request(kind) };
    build(&inventory, &policy(), asked(Kind::Failover, false), NOW).unwrap_err();
    let plan = build(&inventory, &policy(), asked(Kind::Failover, true), NOW).unwrap();
    assert_eq!(plan.target, region("r2"));
    build(&inventory, &policy(), asked(Kind::Switchover, true), NOW).unwrap_err();
}

#[test]
fn a_copy_that_never_began_does_not_take_over_but_one_new_topic_hinders_nobody() {
    let mut inventory = inventory();
    inventory.links[0].never_heard = 1;
    let plan = build(&inventory, &policy(), request(Kind::Failover), NOW).unwrap();
    assert_eq!(plan.target, region("r2"));
    (inventory.links[0].never_heard, inventory.links[0].holding) = (2, 0);
    let plan = build(&inventory, &policy(), request(Kind::Failover), NOW).unwrap();
    assert_eq!(plan.target, region("r3"));
}

#[test]
fn a_switchover_needs_an_owner_that_serves() {
    let mut inventory = inventory();
    inventory.regions[0].observed_at = Timestamp(NOW.0 - 10_000);
    let refused = build(&inventory, &policy(), request(Kind::Switchover), NOW).unwrap_err();
    assert!(refused.refusals.iter().all(|refusal| matches!(refusal, Refusal::SourceUnserved { .. })), "{refused}");
}

#[test]
fn the_assessment_shows_what_each_choice_costs() {
    let mut inventory = inventory();
    inventory.links[0].lag_records = 40;
    inventory.links[0].lag_seconds = 7.5;
    let assessment = assess(&inventory, &policy()).unwrap();
    assert_eq!(assessment.choices[0].option, Choosable::Wait);
    let failover = &assessment.choices[1];
    assert_eq!(failover.loss.unwrap().records, 40);
    assert_eq!((failover.rpo_met, failover.rto_met), (Some(false), Some(true)));
    let switchover = &assessment.choices[2];
    assert_eq!(switchover.loss.unwrap().records, 0);
    assert_eq!(switchover.time_ms, Some(9000));
    assert!(assessment.choices.iter().all(|choice| choice.refusals.is_empty()));
}

#[test]
fn the_copy_with_the_greatest_epoch_leads_then_the_one_that_is_longest() {
    let inventory = inventory();
    let mut ends: Vec<_> = inventory.regions.iter().map(|facts| facts.copies.clone()).collect();
    let names = regions();
    let leader = |ends: &[Vec<_>]| {
        let copies: Vec<_> = names.iter().zip(ends).map(|(name, ends)| (name, &ends[..])).collect();
        leading(&copies, (topic(), model::PartitionId(0))).unwrap().to_string()
    };
    assert_eq!(leader(&ends), "r1");
    ends[1][0].tail = model::Offset(101);
    assert_eq!(leader(&ends), "r2");
    ends[2][0].last_epoch = model::LeaderEpoch(8192);
    ends[2][0].tail = model::Offset(1);
    assert_eq!(leader(&ends), "r3");
}

#[test]
fn the_standby_that_holds_most_is_collected_from_first() {
    let (mut inventory, mut policy) = (inventory(), policy());
    let mut fourth = inventory.regions[2].clone();
    fourth.region = region("r4");
    fourth.copies.iter_mut().for_each(|copy| copy.tail = model::Offset(101));
    inventory.regions.push(fourth);
    policy.standbys.push(region("r4"));
    inventory.grants[0].standbys.push(region("r4"));
    let plan = build(&inventory, &policy, request(Kind::Failover), NOW).unwrap();
    let Action::Collect { from, .. } = &plan.step(&step_ids::collect()).unwrap().action else { panic!() };
    assert_eq!(from.iter().map(model::RegionName::as_str).collect::<Vec<_>>(), ["r4", "r3"]);
}

/// Takes `id` out of the plan and ties what came after it to what came before.
fn without(plan: &Plan, id: &str) -> Plan {
    let mut plan = plan.clone();
    let at = plan.steps.iter().position(|step| step.id.as_str() == id).unwrap();
    let gone = plan.steps.remove(at);
    for step in &mut plan.steps {
        if step.after.contains(&gone.id) {
            step.after.retain(|before| *before != gone.id);
            step.after.extend(gone.after.clone());
        }
    }
    plan
}

fn changed(plan: &Plan, id: &str, change: impl Fn(&mut Step)) -> Plan {
    let mut plan = plan.clone();
    change(plan.steps.iter_mut().find(|step| step.id.as_str() == id).unwrap());
    plan
}

#[test]
fn a_plan_without_one_of_its_guards_is_found_out() {
    let failover = plan(Kind::Failover);
    for guard in ["revoke", "wait-out-lease", "seal", "pivot", "open", "redirect", "verify"] {
        assert!(!findings(&without(&failover, guard)).is_empty(), "a failover without {guard} passes");
    }
    assert!(findings(&without(&failover, "collect")).is_empty(), "collecting is no guard");
    let switchover = plan(Kind::Switchover);
    for guard in names(&switchover) {
        assert!(!findings(&without(&switchover, guard)).is_empty(), "a switchover without {guard} passes");
    }
}

#[test]
fn each_rule_finds_what_breaks_it() {
    let good = plan(Kind::Failover);
    let id = |name: &str| StepId::new(name).unwrap();
    let broken: Vec<(Rule, Plan)> = vec![
        (Rule::Acyclic, changed(&good, "revoke", |step| step.after = vec![id("verify")])),
        (Rule::Acyclic, changed(&good, "revoke", |step| step.id = id("seal"))),
        (Rule::OnePivot, changed(&good, "open", |step| step.pivot = true)),
        (Rule::OnePivot, changed(&good, "collect", |step| step.after = vec![])),
        (
            Rule::FencedBeforeOpen,
            changed(&good, "wait-out-lease", |step| {
                step.action = Action::WaitOutLease { wait: Duration::from_secs(3) }
            }),
        ),
        (Rule::FencedBeforeOpen, changed(&good, "wait-out-lease", |step| step.after = vec![])),
        (Rule::CopySettled, changed(&good, "seal", |step| step.after = vec![id("revoke")])),
        (Rule::UndoableBeforePivot, changed(&good, "revoke", |step| step.undo = None)),
        (Rule::UndoableBeforePivot, changed(&good, "seal", |step| step.undo = Some(Action::Regrant))),
        (Rule::ForwardAfterPivot, changed(&good, "pivot", |step| step.undo = Some(Action::Regrant))),
        (Rule::ForwardAfterPivot, changed(&good, "redirect", |step| step.undo = Some(Action::Regrant))),
        (Rule::ServedInOrder, changed(&good, "redirect", |step| step.after = vec![id("pivot")])),
        (Rule::RightRegions, changed(&good, "seal", |step| step.action = Action::Seal { region: region("r3") })),
        (
            Rule::RightRegions,
            changed(&good, "collect", |step| {
                step.action = Action::Collect { region: region("r2"), from: vec![region("r1")] }
            }),
        ),
        (
            Rule::RightRegions,
            changed(&good, "open", |step| step.action = Action::Open { region: region("r2"), unplanned: false }),
        ),
        (
            Rule::EpochMatches,
            changed(&good, "pivot", |step| {
                step.action = Action::Pivot { owner: region("r2"), ownership_epoch: OwnershipEpoch(3) }
            }),
        ),
        (Rule::EpochMatches, Plan { ownership_epoch: OwnershipEpoch(2), ..good.clone() }),
        (Rule::TargetIsStandby, Plan { target: region("mars"), ..good.clone() }),
        (Rule::CriticalSteps, changed(&good, "seal", |step| step.critical = false)),
        (Rule::DrillIsHarmless, changed(&good, "pivot", |step| step.in_drill = InDrill::Run)),
    ];
    for (rule, plan) in broken {
        assert!(findings(&plan).contains(&rule), "{rule:?} is not found, but {:?}", findings(&plan));
    }
}

#[test]
fn a_group_waits_for_what_it_depends_on() {
    let mut inventory = inventory();
    let mut policy = policy();
    policy.depends_on = vec![model::ProtectionGroup::new("schemas").unwrap()];
    let refused = build(&inventory, &policy, request(Kind::Failover), NOW).unwrap_err();
    assert!(matches!(refused.refusals[0], Refusal::DependencyUnserved { .. }), "{refused}");
    let mut schemas = inventory.grants[0].clone();
    (schemas.group, schemas.owner) = (policy.depends_on[0].clone(), region("r2"));
    inventory.grants.push(schemas);
    let mut holding = inventory.regions[0].holdings[0].clone();
    holding.group = policy.depends_on[0].clone();
    inventory.regions[1].holdings.push(holding);
    let plan = build(&inventory, &policy, request(Kind::Failover), NOW).unwrap();
    assert!(audit(&plan, &inventory, &policy).is_empty());
    inventory.grants.pop();
    let rules: Vec<_> = audit(&plan, &inventory, &policy).into_iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [Rule::DependenciesFirst]);
}

#[test]
fn a_plan_survives_its_json() {
    for kind in KINDS {
        let plan = plan(kind);
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }
}
