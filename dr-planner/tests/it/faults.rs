//! Runs in which things go wrong: every step, every boundary, and at random.

use crate::platform::*;
use crate::world::*;
use dr_planner::plan::{Kind, Plan, step_ids};
use dr_planner::run::*;
use model::{GrantState, Timestamp};
use proptest::prelude::*;

fn clean(kind: Kind) -> (Executor<'static>, Outcome) {
    let mut executor = Executor::new(plan(kind), |_| None);
    let outcome = executor.run();
    (executor, outcome)
}

fn assert_moved(world: &World, plan: &Plan) {
    assert_eq!(world.grant, (plan.target.clone(), plan.new_epoch(), GrantState::Held));
    assert_eq!(world.route, (plan.target.clone(), plan.new_epoch()));
    assert_eq!(world.open, Some((plan.target.clone(), plan.new_epoch())));
    assert_once(world);
}

#[test]
fn a_clean_run_ends_at_the_target() {
    for kind in REAL {
        let (executor, outcome) = clean(kind);
        assert_eq!(outcome, Outcome::Succeeded);
        assert_moved(&executor.world, &executor.plan);
        assert_eq!(executor.machine.state(), State::Succeeded);
    }
}

#[test]
fn an_unplanned_run_leaves_a_hole_and_a_planned_one_none() {
    let (failover, _) = clean(Kind::Failover);
    assert_eq!(failover.world.openings.len(), 2);
    assert_eq!(failover.world.openings[0].base, model::Offset(100 + (1 << 40)));
    let (switchover, _) = clean(Kind::Switchover);
    assert!(switchover.world.openings.is_empty());
}

#[test]
fn producers_may_jump_forward_only_where_the_pivot_could_not_prove_that_nothing_is_missing() {
    for (kind, proven, expected) in [
        (Kind::Failover, false, true),
        (Kind::Failover, true, false),
        (Kind::Switchover, false, false),
        (Kind::Failback, true, false),
    ] {
        for fault in [None, Some(Fault::DiesAfter), Some(Fault::Unheard)] {
            let mut failing = [step_ids::pivot(), step_ids::open()].to_vec();
            let fails = |command: &Command| {
                let at = failing.iter().position(|step| *step == command.token)?;
                failing.remove(at);
                fault
            };
            let mut executor = Executor::new(plan(kind), fails);
            executor.world.proven = proven;
            assert_eq!(executor.run(), Outcome::Succeeded);
            assert_eq!(executor.world.jumps, Some(expected), "{kind}, proven: {proven}, {fault:?}");
            assert_moved(&executor.world, &executor.plan);
        }
    }
}

#[test]
fn a_drill_changes_nothing() {
    let (executor, outcome) = clean(Kind::Drill);
    assert_eq!(outcome, Outcome::Succeeded);
    assert!(executor.world.is_as_it_was(&executor.plan));
    assert!(executor.world.effects.is_empty());
}

#[test]
fn a_step_that_fails_for_good_before_the_pivot_is_unwound() {
    for kind in REAL {
        let (before, _) = halves(&plan(kind));
        for failing in before.iter().filter(|step| **step != step_ids::collect()).chain([&step_ids::pivot()]) {
            for fault in [Fault::Fatal, Fault::Refused] {
                let fails = |command: &Command| (command.token == *failing).then_some(fault);
                let mut executor = Executor::new(plan(kind), fails);
                assert_eq!(executor.run(), Outcome::RolledBack, "{kind} at {failing}");
                assert!(executor.world.is_as_it_was(&executor.plan), "{kind} at {failing}: {:?}", executor.world);
                assert_once(&executor.world);
            }
        }
    }
}

#[test]
fn a_lost_answer_before_the_pivot_is_unwound_whether_it_happened_or_not() {
    for kind in REAL {
        let (before, _) = halves(&plan(kind));
        for failing in before.iter().filter(|step| **step != step_ids::collect()) {
            for fault in [Fault::Lost, Fault::Unheard] {
                let fails = |command: &Command| (command.token == *failing).then_some(fault);
                let mut executor = Executor::new(plan(kind), fails);
                assert_eq!(executor.run(), Outcome::RolledBack, "{kind} at {failing}");
                assert!(executor.world.is_as_it_was(&executor.plan), "{kind} at {failing}: {:?}", executor.world);
            }
        }
    }
}

#[test]
fn collecting_may_fail_without_the_run() {
    let fails = |command: &Command| (command.token == step_ids::collect()).then_some(Fault::Lost);
    let mut executor = Executor::new(plan(Kind::Failover), fails);
    assert_eq!(executor.run(), Outcome::Succeeded);
    assert_moved(&executor.world, &executor.plan);
    assert!(!executor.world.collected);
}

#[test]
fn behind_the_pivot_every_failure_is_tried_again() {
    for kind in REAL {
        let (_, behind) = halves(&plan(kind));
        for failing in behind.iter().filter(|step| **step != step_ids::pivot()) {
            for fault in [Fault::Fatal, Fault::Refused, Fault::Lost, Fault::Unheard] {
                let mut left = 50;
                let fails = |command: &Command| {
                    left -= i32::from(command.token == *failing);
                    (command.token == *failing && left > 0).then_some(fault)
                };
                let mut executor = Executor::new(plan(kind), fails);
                assert_eq!(executor.run(), Outcome::Succeeded, "{kind} at {failing}");
                assert_moved(&executor.world, &executor.plan);
            }
        }
    }
}

#[test]
fn a_pivot_that_may_have_happened_is_never_undone() {
    for kind in REAL {
        for fault in [Fault::Lost, Fault::Unheard] {
            let mut left = 50;
            let fails = |command: &Command| {
                left -= i32::from(command.token == step_ids::pivot());
                (command.token == step_ids::pivot() && left > 0).then_some(fault)
            };
            let mut executor = Executor::new(plan(kind), fails);
            assert_eq!(executor.run(), Outcome::Succeeded);
            assert_moved(&executor.world, &executor.plan);
        }
    }
}

#[test]
fn an_undo_that_fails_leaves_the_run_stuck_and_the_rest_undone() {
    let fails = |command: &Command| match command.token.as_str() {
        "pivot" => Some(Fault::Fatal),
        "seal.undo" => Some(Fault::Lost),
        _ => None,
    };
    let mut executor = Executor::new(plan(Kind::Failover), fails);
    assert_eq!(executor.run(), Outcome::Stuck);
    assert!(executor.world.sealed);
    assert_eq!(executor.world.grant.2, GrantState::Held, "the grant stands again all the same");
}

#[test]
fn a_command_that_is_carried_out_twice_has_one_effect() {
    for kind in REAL {
        let (once, _) = clean(kind);
        let mut twice = Executor::new(plan(kind), |_| Some(Fault::Twice));
        assert_eq!(twice.run(), Outcome::Succeeded);
        assert_eq!(twice.world, once.world);
    }
}

#[test]
fn an_executor_that_dies_at_any_boundary_is_replaced() {
    for kind in REAL {
        let (whole, _) = clean(kind);
        for fault in [Fault::DiesBefore, Fault::DiesAfter] {
            for step in whole.plan.steps.iter().map(|step| &step.id) {
                let mut deaths = 3;
                let dies = |command: &Command| {
                    let dies = command.token == *step && deaths > 0;
                    deaths -= i32::from(dies);
                    dies.then_some(fault)
                };
                let mut executor = Executor::new(plan(kind), dies);
                assert_eq!(executor.run(), Outcome::Succeeded, "{kind}, {fault:?} at {step}");
                assert_eq!(executor.deaths, 3);
                assert_eq!(executor.world, whole.world, "{kind}, {fault:?} at {step}");
            }
        }
    }
}

#[test]
fn a_machine_rebuilt_from_any_prefix_goes_on_to_the_same_end() {
    for kind in REAL {
        let (whole, outcome) = clean(kind);
        for events in 1..whole.entries.len() {
            let mut executor = Executor::new(plan(kind), |_| None);
            while executor.entries.len() < events {
                executor.turn();
            }
            executor.entries.truncate(events);
            executor.die();
            assert_eq!(executor.run(), outcome, "{kind} after {events} events");
            assert_eq!(executor.world, whole.world, "{kind} after {events} events");
        }
    }
}

#[test]
fn a_resumed_executor_starts_the_lease_wait_again() {
    let mut dead = false;
    let dies = |command: &Command| {
        let dies = command.token == step_ids::wait_out_lease() && !dead;
        dead |= dies;
        dies.then_some(Fault::DiesAfter)
    };
    let mut executor = Executor::new(plan(Kind::Failover), dies);
    executor.run();
    let waits = executor
        .entries
        .iter()
        .filter(|entry| matches!(&entry.event, Event::StepStarted { step, .. } if *step == step_ids::wait_out_lease()));
    assert_eq!(waits.count(), 2);
}

#[test]
fn a_cancelled_run_unwinds_before_the_pivot_and_goes_on_behind_it() {
    for kind in REAL {
        let (whole, _) = clean(kind);
        for events in 1..whole.entries.len() - 1 {
            let mut executor = Executor::new(plan(kind), |_| None);
            while executor.entries.len() < events {
                executor.turn();
            }
            let cancel = Event::CancelRequested { reason: "ann".to_owned(), how: Cancel::Unwind };
            let pivoted = executor.machine.is_past_pivot();
            if executor.machine.check(&cancel).is_ok() {
                executor.persist(cancel);
            } else {
                assert!(pivoted);
            }
            let outcome = executor.run();
            let expected = if pivoted { Outcome::Succeeded } else { Outcome::RolledBack };
            assert_eq!(outcome, expected, "{kind} after {events} events");
            assert!(pivoted || executor.world.is_as_it_was(&executor.plan));
        }
    }
}

#[test]
fn a_cancel_while_the_pivot_is_in_doubt_waits_for_the_council() {
    let unheard =
        |command: &Command| (command.token == step_ids::pivot() && command.attempt == 1).then_some(Fault::Unheard);
    let mut executor = Executor::new(plan(Kind::Failover), unheard);
    while executor.world.effects.last() != Some(&step_ids::pivot()) {
        executor.turn();
    }
    executor.persist(Event::CancelRequested { reason: "ann".to_owned(), how: Cancel::Unwind });
    assert_eq!(executor.run(), Outcome::Succeeded, "it had happened, so the run went forward");
    assert_moved(&executor.world, &executor.plan);
}

#[test]
fn an_abandoned_run_ends_where_it_is() {
    let mut executor = Executor::new(plan(Kind::Switchover), |_| None);
    executor.turn();
    executor.persist(Event::CancelRequested { reason: "r1 was lost".to_owned(), how: Cancel::Abandon });
    assert!(executor.machine.next_commands(Timestamp(NOW.0 * 2)).is_empty());
    assert_eq!(executor.run(), Outcome::Failed);
    assert!(executor.world.stopped, "nothing is undone");
}

#[test]
fn a_paused_run_starts_nothing() {
    let mut executor = Executor::new(plan(Kind::Failover), |_| None);
    executor.turn();
    executor.persist(Event::Paused { reason: "ann looks".to_owned() });
    assert_eq!(executor.machine.state(), State::Paused);
    assert!(executor.machine.next_commands(Timestamp(NOW.0 * 2)).is_empty());
    executor.persist(Event::Resumed);
    assert_eq!(executor.run(), Outcome::Succeeded);
}

#[test]
fn what_cannot_have_happened_is_refused() {
    let plan = plan(Kind::Failover);
    let (executor, _) = clean(Kind::Failover);
    let ended = Event::Resumed;
    assert!(matches!(
        executor.machine.check(&ended),
        Err(IllegalTransition::Refused { reason: Refusal::Ended { .. }, .. })
    ));
    let mut machine = Machine::from_events(plan.clone(), &executor.entries[..1]).unwrap();
    let refused = |machine: &Machine, event| match machine.check(&event) {
        Err(IllegalTransition::Refused { reason, .. }) => reason,
        other => panic!("{event:?} gives {other:?}"),
    };
    let start = |step, attempt| Event::StepStarted { step, attempt };
    assert!(matches!(refused(&machine, start(step_ids::seal(), 1)), Refusal::NotReady { .. }));
    assert!(matches!(refused(&machine, start(step_ids::revoke(), 2)), Refusal::Attempt { given: 2, expected: 1 }));
    assert!(matches!(refused(&machine, Event::Finished { outcome: Outcome::Succeeded }), Refusal::NotConcluded));
    let output = Output::Redirected { route_epoch: 1 };
    let success = Event::StepSucceeded { step: step_ids::revoke(), output };
    assert!(matches!(refused(&machine, success.clone()), Refusal::NotStarted { .. }));
    machine.on_event(NOW, start(step_ids::revoke(), 1)).unwrap();
    assert!(matches!(refused(&machine, success), Refusal::Output { .. }));
    assert!(matches!(
        Machine::from_events(Plan { reason: "changed".to_owned(), ..plan }, &executor.entries),
        Err(IllegalTransition::OtherPlan { .. })
    ));
}

#[test]
fn an_unsound_plan_is_not_run() {
    let mut plan = plan(Kind::Failover);
    plan.steps.retain(|step| step.id != step_ids::wait_out_lease());
    plan.steps[1].after = vec![step_ids::revoke()];
    let created = Entry { at: NOW, event: Machine::creation(model::RunId::new("x").unwrap(), &plan) };
    let refused = Machine::from_events(plan, &[created]).unwrap_err();
    assert!(refused.to_string().contains("could open before the lease is revoked and has run out"), "{refused}");
}

#[test]
fn a_target_that_did_not_catch_up_is_not_believed() {
    let mut executor = Executor::new(plan(Kind::Switchover), |_| None);
    executor.turn();
    let command = executor.machine.next_commands(Timestamp(NOW.0 * 2)).remove(0);
    let event = executor.machine.verify(&command, Output::CaughtUp { ends: vec![] });
    assert!(matches!(event, Event::StepFailed { retryable: true, .. }), "{event:?}");
}

fn any_fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::Refused)),
        1 => Just(Some(Fault::Lost)),
        1 => Just(Some(Fault::Unheard)),
        1 => Just(Some(Fault::Twice)),
        1 => Just(Some(Fault::DiesBefore)),
        1 => Just(Some(Fault::DiesAfter)),
        1 => Just(Some(Fault::Fatal)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever goes wrong for a while: a run that pivoted ends at the target, any other where it began, and no effect
    /// happens twice. The world itself asserts that nobody opens unfenced.
    #[test]
    fn a_run_ends_at_the_target_or_where_it_began(
        kind in prop_oneof![Just(Kind::Failover), Just(Kind::Switchover), Just(Kind::Failback)],
        faults in proptest::collection::vec(any_fault(), 0..60),
        cancel_at in proptest::option::of(0usize..30),
    ) {
        let mut faults = faults.into_iter();
        // A fatal refusal by the council comes only from an entry it has decided on, so never of a pivot already made.
        let mut pivoted = false;
        let mut executor = Executor::new(plan(kind), move |command| {
            let fault = faults.next().flatten();
            let pivot = command.token == step_ids::pivot();
            let fault = if pivoted && pivot && fault == Some(Fault::Fatal) { None } else { fault };
            pivoted |= pivot && !matches!(fault, Some(Fault::Refused | Fault::Fatal | Fault::Lost | Fault::DiesBefore));
            // Undoing fails for a while only.
            if command.direction == Direction::Undo && fault == Some(Fault::Fatal) { None } else { fault }
        });
        for turn in 0..2_000 {
            if cancel_at == Some(turn) {
                let cancel = Event::CancelRequested { reason: "ann".to_owned(), how: Cancel::Unwind };
                if executor.machine.check(&cancel).is_ok() {
                    executor.persist(cancel);
                }
            }
            if executor.turn().is_some() {
                break;
            }
        }
        assert_once(&executor.world);
        match executor.machine.state() {
            State::Succeeded => assert_moved(&executor.world, &executor.plan),
            State::RolledBack => prop_assert!(executor.world.is_as_it_was(&executor.plan), "{:?}", executor.world),
            State::Stuck => prop_assert_eq!(executor.world.grant.1, executor.plan.ownership_epoch),
            other => prop_assert!(false, "ended as {:?}", other),
        }
    }
}

#[test]
fn an_executor_whose_clock_is_behind_does_not_wait_for_it_to_catch_up() {
    let mut executor = Executor::new(plan(Kind::Failover), |command| (command.attempt == 1).then_some(Fault::Refused));
    executor.turn();
    assert!(executor.machine.next_commands(executor.now).is_empty(), "it pauses after a failure");
    let hours_behind = Timestamp(0);
    assert_eq!(executor.machine.next_commands(hours_behind).len(), 1);
}

#[test]
fn a_run_that_unwinds_starts_no_step() {
    let mut executor = Executor::new(plan(Kind::Failover), |_| None);
    executor.turn();
    let next = executor.machine.next_commands(executor.now).remove(0);
    executor.persist(Event::CancelRequested { reason: "ann".to_owned(), how: Cancel::Unwind });
    let refused = executor.machine.check(&next.started());
    assert!(matches!(refused, Err(IllegalTransition::Refused { reason: Refusal::NotForward, .. })), "{refused:?}");
    assert!(!executor.machine.admits(&next.step));
}
