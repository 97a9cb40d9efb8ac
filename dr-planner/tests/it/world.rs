//! What commands act on: a council that applies an entry once and refuses what comes too late, regions that keep a
//! journal of orders, and an executor over them that persists each event before it acts.

use crate::platform::*;
use dr_planner::plan::{Action, Kind, Plan};
use dr_planner::run::*;
use model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct World {
    pub(crate) grant: (RegionName, OwnershipEpoch, GrantState),
    pub(crate) openings: Vec<Opening>,
    pub(crate) route: (RegionName, OwnershipEpoch),
    pub(crate) stopped: bool,
    pub(crate) sealed: bool,
    pub(crate) collected: bool,
    pub(crate) open: Option<(RegionName, OwnershipEpoch)>,
    /// Whether a pivot finds the copy that takes over proven.
    pub(crate) proven: bool,
    /// Whether the new owner was told that producers may jump forward.
    pub(crate) jumps: Option<bool>,
    fenced: bool,
    answers: BTreeMap<StepId, Output>,
    /// Effects in the order in which they happened; a repeated command has none.
    pub(crate) effects: Vec<StepId>,
}

impl World {
    pub(crate) fn of(plan: &Plan) -> Self {
        let owner = (plan.source.clone(), plan.ownership_epoch);
        Self {
            grant: (owner.0.clone(), owner.1, GrantState::Held),
            openings: vec![],
            route: owner.clone(),
            stopped: false,
            sealed: false,
            collected: false,
            open: Some(owner),
            proven: false,
            jumps: None,
            fenced: false,
            answers: BTreeMap::new(),
            effects: vec![],
        }
    }

    /// Everything but the bookkeeping.
    pub(crate) fn is_as_it_was(&self, plan: &Plan) -> bool {
        let fresh = Self::of(plan);
        (&self.grant, &self.route, self.stopped, self.sealed, &self.open)
            == (&fresh.grant, &fresh.route, fresh.stopped, fresh.sealed, &fresh.open)
    }

    /// Carries out `command` once, whoever sends it and however often.
    pub(crate) fn apply(&mut self, command: &Command, plan: &Plan, now: Timestamp) -> Output {
        if let Some(answer) = self.answers.get(&command.token) {
            return answer.clone();
        }
        let output = self.effect(&command.effect, plan, now);
        // Waiting and canaries have no journal: they are done again.
        if matches!(command.effect, Effect::Order { .. } | Effect::Council { .. }) {
            self.answers.insert(command.token.clone(), output.clone());
            self.effects.push(command.token.clone());
        }
        output
    }

    fn effect(&mut self, effect: &Effect, plan: &Plan, now: Timestamp) -> Output {
        match effect {
            Effect::Council { action } => self.council(action),
            Effect::Order { order, .. } => self.order(order, plan),
            Effect::WaitOutLease { wait, .. } => {
                self.fenced = self.grant.2 == GrantState::Revoked;
                Output::LeaseOver { counted_from: now, until: now.plus(*wait) }
            }
            Effect::Canary { region, .. } => {
                assert_eq!(self.route.0, *region, "the canary goes where the gateways go");
                Output::Canary { produced_at: now, consumed_at: now.plus(Duration::from_millis(2)) }
            }
            Effect::Simulate { .. } => Output::Simulated,
        }
    }

    fn council(&mut self, action: &CouncilAction) -> Output {
        match action.clone() {
            CouncilAction::Revoke { ownership_epoch, .. } => {
                assert_eq!(self.grant.1, ownership_epoch);
                self.grant.2 = GrantState::Revoked;
                Output::Done
            }
            CouncilAction::Regrant { ownership_epoch, owner, .. } => {
                assert_eq!((&self.grant.0, self.grant.1), (&owner, ownership_epoch), "a regrant is no new grant");
                self.grant.2 = GrantState::Held;
                self.fenced = false;
                Output::Done
            }
            CouncilAction::Pivot { from, owner, ownership_epoch, mut openings, .. } => {
                assert_eq!(self.grant.1, from);
                assert!(self.fenced || self.stopped, "the old owner could still acknowledge writes");
                self.grant = (owner, ownership_epoch, GrantState::Held);
                if self.proven {
                    openings.iter_mut().for_each(|opening| *opening = opening.without_hole());
                }
                self.openings.clone_from(&openings);
                Output::Pivoted { ownership_epoch, openings }
            }
            CouncilAction::Redirect { owner, ownership_epoch, .. } => {
                assert_eq!(self.open, Some((owner.clone(), ownership_epoch)), "gateways go where it is open");
                self.route = (owner, ownership_epoch);
                Output::Redirected { route_epoch: 2 }
            }
        }
    }

    fn order(&mut self, order: &Order, plan: &Plan) -> Output {
        assert!(order.ownership_epoch >= self.grant.1, "an order of an older grant is refused");
        match &order.action {
            model::Action::StopWrites => {
                self.stopped = true;
                Output::Stopped { ends: ends(100), commits: CommitMarks::default() }
            }
            model::Action::ResumeWrites => {
                self.stopped = false;
                Output::Done
            }
            model::Action::CatchUp { ends, .. } => Output::CaughtUp { ends: ends.clone() },
            model::Action::Collect { .. } => {
                self.collected = true;
                Output::CaughtUp { ends: ends(90) }
            }
            model::Action::Seal => {
                self.sealed = true;
                Output::Sealed {
                    partitions: plan.partitions.iter().map(|(t, p)| sealed(*t, *p, plan.incident_at)).collect(),
                }
            }
            model::Action::Unseal => {
                self.sealed = false;
                Output::Done
            }
            model::Action::Open { openings, jumps } => {
                self.jumps = Some(*jumps);
                assert_eq!(*openings, self.openings);
                assert_eq!(order.ownership_epoch, self.grant.1);
                self.open = Some((self.grant.0.clone(), self.grant.1));
                Output::Opened { ends: opened(openings) }
            }
        }
    }
}

fn ends(tail: i64) -> Vec<PartitionEnd> {
    let end = |partition| PartitionEnd {
        topic: topic(),
        partition: PartitionId(partition),
        tail: Offset(tail),
        last_epoch: LeaderEpoch(4096),
    };
    vec![end(0), end(1)]
}

fn sealed(topic: TopicId, partition: PartitionId, incident: Timestamp) -> SealedPartition {
    SealedPartition {
        topic,
        partition,
        durable_end: Offset(90),
        last_epoch: LeaderEpoch(4096),
        source_tail: Some(Offset(100)),
        source_watermark: Some(Offset(85)),
        missing_bytes: 10_000,
        oldest_missing: Some(Timestamp(incident.0 - 800)),
        heard_at: Some(incident),
    }
}

fn opened(openings: &[Opening]) -> Vec<PartitionEnd> {
    let end = |opening: &Opening| PartitionEnd {
        topic: opening.topic,
        partition: opening.partition,
        tail: opening.base.plus(1),
        last_epoch: LeaderEpoch(8192),
    };
    openings.iter().map(end).collect()
}

/// What goes wrong with one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused; nothing happened.
    Refused,
    /// Refused for good.
    Fatal,
    /// No answer, and nothing happened.
    Lost,
    /// No answer, though it happened.
    Unheard,
    /// Done twice.
    Twice,
    /// The executor dies before it acts.
    DiesBefore,
    /// The executor dies when it has acted, before it writes that down.
    DiesAfter,
}

type Faults<'a> = Box<dyn FnMut(&Command) -> Option<Fault> + 'a>;

/// Drives a run to its end over `world`.
pub(crate) struct Executor<'a> {
    pub(crate) world: World,
    pub(crate) plan: Plan,
    pub(crate) entries: Vec<Entry>,
    pub(crate) machine: Machine,
    pub(crate) now: Timestamp,
    /// Asked once per attempt.
    fault: Faults<'a>,
    pub(crate) deaths: u32,
}

impl<'a> Executor<'a> {
    pub(crate) fn new(plan: Plan, fault: impl FnMut(&Command) -> Option<Fault> + 'a) -> Self {
        Self::starting_at(NOW, plan, fault)
    }

    pub(crate) fn starting_at(now: Timestamp, plan: Plan, fault: impl FnMut(&Command) -> Option<Fault> + 'a) -> Self {
        let entries = vec![Entry { at: now, event: Machine::creation(RunId::new("run-1").unwrap(), &plan) }];
        let machine = Machine::from_events(plan.clone(), &entries).unwrap();
        let world = World::of(&plan);
        Self { world, plan, entries, machine, now, fault: Box::new(fault), deaths: 0 }
    }

    pub(crate) fn persist(&mut self, event: Event) {
        self.now = Timestamp(self.now.0 + 1);
        self.machine.check(&event).unwrap();
        self.entries.push(Entry { at: self.now, event: event.clone() });
        self.machine.on_event(self.now, event).unwrap();
    }

    /// Another executor takes over with what was persisted.
    pub(crate) fn die(&mut self) {
        self.deaths += 1;
        self.machine = Machine::from_events(self.plan.clone(), &self.entries).unwrap();
    }

    pub(crate) fn run(&mut self) -> Outcome {
        for _ in 0..2_000 {
            if let Some(outcome) = self.turn() {
                return outcome;
            }
        }
        panic!("the run does not end: {:?}", self.machine.state());
    }

    /// Does what is due; says how the run ended when it has.
    pub(crate) fn turn(&mut self) -> Option<Outcome> {
        if let Some(outcome) = self.machine.conclusion() {
            self.persist(Event::Finished { outcome });
            return Some(outcome);
        }
        let commands = self.machine.next_commands(self.now);
        if commands.is_empty() {
            let deadline = self.machine.next_deadline().expect("something is due some day");
            assert!(deadline > self.now, "a deadline that has passed gives no command");
            self.now = deadline;
        }
        for command in commands {
            self.carry_out(&command);
        }
        None
    }

    fn carry_out(&mut self, command: &Command) {
        let fault = (self.fault)(command);
        self.persist(command.started());
        assert!(self.machine.next_commands(self.now).iter().all(|next| next.step != command.step), "given out twice");
        let failed = |retryable, happened| command.failed("injected", retryable, happened);
        let event = match fault {
            Some(Fault::Refused) => failed(true, Happened::No),
            Some(Fault::Fatal) => failed(false, Happened::No),
            Some(Fault::Lost) => failed(true, Happened::Unknown),
            Some(Fault::Unheard) => {
                self.world.apply(command, &self.plan, self.now);
                failed(true, Happened::Unknown)
            }
            Some(Fault::DiesBefore) => return self.die(),
            Some(Fault::DiesAfter) => {
                self.world.apply(command, &self.plan, self.now);
                return self.die();
            }
            Some(Fault::Twice) => {
                let first = self.world.apply(command, &self.plan, self.now);
                let again = self.world.apply(command, &self.plan, self.now);
                assert_eq!(first, again);
                self.machine.verify(command, again)
            }
            None => self.machine.verify(command, self.world.apply(command, &self.plan, self.now)),
        };
        if let Event::StepSucceeded { output: Output::LeaseOver { until, .. }, .. } = &event {
            self.now = *until;
        }
        self.persist(event);
    }
}

/// Each effect happened once.
pub(crate) fn assert_once(world: &World) {
    let distinct: BTreeSet<_> = world.effects.iter().collect();
    assert_eq!(distinct.len(), world.effects.len(), "{:?}", world.effects);
}

/// The steps of a plan before its pivot, and from it on.
pub(crate) fn halves(plan: &Plan) -> (Vec<StepId>, Vec<StepId>) {
    let at = plan.steps.iter().position(|step| matches!(step.action, Action::Pivot { .. })).unwrap();
    let ids = |steps: &[dr_planner::plan::Step]| steps.iter().map(|step| step.id.clone()).collect();
    (ids(&plan.steps[..at]), ids(&plan.steps[at..]))
}

pub(crate) const REAL: [Kind; 3] = [Kind::Failover, Kind::Switchover, Kind::Failback];
