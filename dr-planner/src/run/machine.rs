use super::progress::{Progress, Undo};
use super::{Cancel, Command, Direction, Entry, Event, Happened, IllegalTransition, Outcome, Output, Refusal, State};
use crate::audit::audit_shape;
use crate::plan::{Action, InDrill, Kind, Plan, Step};
use model::{RunId, StepId, Timestamp, limits};
use std::collections::{BTreeMap, BTreeSet};

/// A run in execution. Rebuilt from its plan and its events; the same events give the same machine.
#[derive(Clone, Debug)]
pub struct Machine {
    run: RunId,
    plan: Plan,
    progress: BTreeMap<StepId, Progress>,
    phase: Phase,
    paused: bool,
    cancel: Option<Cancel>,
    outcome: Option<Outcome>,
    /// What this executor has under way. Not part of the state: a new executor begins with nothing under way.
    in_flight: BTreeSet<StepId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Forward,
    Unwinding,
    Abandoned,
}

impl Machine {
    /// The run that `plan` and `entries` tell of, with nothing under way.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the first event does not create a run of this very plan, or a later one cannot have
    /// followed.
    pub fn from_events(plan: Plan, entries: &[Entry]) -> Result<Self, IllegalTransition> {
        let mut entries = entries.iter();
        let first = entries.next().map(|entry| &entry.event);
        let mut machine = Self::created(plan, first)?;
        for entry in entries {
            machine.on_event(entry.at, entry.event.clone())?;
        }
        machine.in_flight.clear();
        Ok(machine)
    }

    /// What a new run of `plan` has to be persisted with.
    pub fn creation(run: RunId, plan: &Plan) -> Event {
        Event::Created { run, plan: plan.id.clone(), plan_digest: plan.digest() }
    }

    fn created(plan: Plan, first: Option<&Event>) -> Result<Self, IllegalTransition> {
        let Some(Event::Created { run, plan: id, plan_digest }) = first else {
            return Err(IllegalTransition::NotCreated { plan: plan.id });
        };
        if *id != plan.id || *plan_digest != plan.digest() {
            return Err(IllegalTransition::OtherPlan { run: run.clone(), created: id.clone(), given: plan.id });
        }
        sound(&plan)?;
        let progress = plan.steps.iter().map(|step| (step.id.clone(), first_progress(&plan, step))).collect();
        Ok(Self {
            run: run.clone(),
            plan,
            progress,
            phase: Phase::Forward,
            paused: false,
            cancel: None,
            outcome: None,
            in_flight: BTreeSet::new(),
        })
    }

    /// Takes note of `event`, which was persisted at `now`.
    ///
    /// # Errors
    /// [`IllegalTransition`] when it cannot happen now; nothing is changed then. An executor checks with
    /// [`Machine::check`] before it persists.
    pub fn on_event(&mut self, now: Timestamp, event: Event) -> Result<(), IllegalTransition> {
        self.check(&event)?;
        match event {
            Event::Created { .. } => {}
            Event::StepStarted { step, attempt } => self.start(step, attempt),
            Event::StepSucceeded { step, output } => self.succeed(step, output),
            Event::StepFailed { step, retryable, happened, .. } => self.fail(now, &step, retryable, happened),
            Event::UndoStarted { step, attempt } => self.start_undo(step, attempt),
            Event::UndoSucceeded { step } => self.end_undo(&step, Undo::Done),
            Event::UndoFailed { step, retryable, .. } => self.fail_undo(now, &step, retryable),
            Event::Paused { .. } => self.paused = true,
            Event::Resumed => self.paused = false,
            Event::CancelRequested { how, .. } => self.request_cancel(how),
            Event::Finished { outcome } => self.outcome = Some(outcome),
        }
        Ok(())
    }

    /// Whether `event` can happen now.
    ///
    /// # Errors
    /// [`IllegalTransition`] says why not.
    pub fn check(&self, event: &Event) -> Result<(), IllegalTransition> {
        let refused = self.refusal(event);
        refused.map_or(Ok(()), |reason| {
            Err(IllegalTransition::Refused { run: self.run.clone(), event: event.name(), reason })
        })
    }

    fn refusal(&self, event: &Event) -> Option<Refusal> {
        if let Some(outcome) = self.outcome {
            return Some(Refusal::Ended { outcome });
        }
        match event {
            Event::Created { .. } => Some(Refusal::CreatedTwice),
            Event::StepStarted { step, attempt } => self.refuse_start(step, *attempt),
            Event::StepSucceeded { step, output } => self.refuse_success(step, output),
            Event::StepFailed { step, .. } => self.refuse_failure(step),
            Event::UndoStarted { step, attempt } => self.refuse_undo(step, *attempt),
            Event::UndoSucceeded { step } | Event::UndoFailed { step, .. } => self.refuse_undo_result(step),
            Event::Paused { .. } => self.paused.then_some(Refusal::Paused),
            Event::Resumed => (!self.paused).then_some(Refusal::NotPaused),
            Event::CancelRequested { how, .. } => self.refuse_cancel(*how),
            Event::Finished { outcome } => (self.conclusion() != Some(*outcome)).then_some(Refusal::NotConcluded),
        }
    }

    fn refuse_start(&self, step: &StepId, attempt: u32) -> Option<Refusal> {
        let Some((step, progress)) = self.at(step) else { return Some(Refusal::UnknownStep { step: step.clone() }) };
        let expected = progress.attempts() + 1;
        if self.phase != Phase::Forward {
            Some(Refusal::NotForward)
        } else if self.paused {
            Some(Refusal::Paused)
        } else if !self.is_ready(step) {
            Some(Refusal::NotReady { step: step.id.clone() })
        } else {
            (attempt != expected).then_some(Refusal::Attempt { given: attempt, expected })
        }
    }

    fn refuse_success(&self, step: &StepId, output: &Output) -> Option<Refusal> {
        let Some((step, progress)) = self.at(step) else { return Some(Refusal::UnknownStep { step: step.clone() }) };
        if !progress.is_started() {
            return Some(Refusal::NotStarted { step: step.id.clone() });
        }
        (!self.fits(step, output)).then(|| Refusal::Output { step: step.id.clone() })
    }

    fn refuse_failure(&self, step: &StepId) -> Option<Refusal> {
        let Some((step, progress)) = self.at(step) else { return Some(Refusal::UnknownStep { step: step.clone() }) };
        (!progress.is_started()).then(|| Refusal::NotStarted { step: step.id.clone() })
    }

    fn refuse_undo(&self, step: &StepId, attempt: u32) -> Option<Refusal> {
        let Some((step, progress)) = self.at(step) else { return Some(Refusal::UnknownStep { step: step.clone() }) };
        let expected = progress.undo.attempts() + 1;
        if self.phase != Phase::Unwinding {
            Some(Refusal::NotUnwinding)
        } else if self.paused {
            Some(Refusal::Paused)
        } else if !self.is_ready_to_undo(step) {
            Some(Refusal::NotReady { step: step.id.clone() })
        } else {
            (attempt != expected).then_some(Refusal::Attempt { given: attempt, expected })
        }
    }

    fn refuse_undo_result(&self, step: &StepId) -> Option<Refusal> {
        let Some((_, progress)) = self.at(step) else { return Some(Refusal::UnknownStep { step: step.clone() }) };
        (!matches!(progress.undo, Undo::Started { .. })).then(|| Refusal::NotStarted { step: step.clone() })
    }

    fn refuse_cancel(&self, how: Cancel) -> Option<Refusal> {
        match how {
            Cancel::Abandon => (self.phase == Phase::Abandoned).then_some(Refusal::CancelledAlready),
            Cancel::Unwind if self.is_past_pivot() => Some(Refusal::PastPivot),
            Cancel::Unwind => {
                (self.cancel.is_some() || self.phase != Phase::Forward).then_some(Refusal::CancelledAlready)
            }
        }
    }

    fn start(&mut self, step: StepId, attempt: u32) {
        if let Some(progress) = self.progress.get_mut(&step) {
            progress.start(attempt);
        }
        self.in_flight.insert(step);
    }

    fn succeed(&mut self, step: StepId, output: Output) {
        self.in_flight.remove(&step);
        if let Some(progress) = self.progress.get_mut(&step) {
            progress.succeed(output);
        }
    }

    fn fail(&mut self, now: Timestamp, id: &StepId, retryable: bool, happened: Happened) {
        self.in_flight.remove(id);
        let past_pivot = self.is_past_pivot();
        let Some((step, progress)) = self.plan.step(id).zip(self.progress.get_mut(id)) else { return };
        progress.fail(now, happened);
        let given_up = progress.is_given_up(step, retryable, past_pivot);
        let critical = step.critical;
        if given_up {
            progress.give_up();
        }
        let cancelled = self.cancel.is_some() && !self.may_have_pivoted();
        if self.phase == Phase::Forward && (given_up && critical || cancelled) {
            self.phase = Phase::Unwinding;
        }
    }

    fn start_undo(&mut self, step: StepId, attempt: u32) {
        self.end_undo(&step, Undo::Started { attempt });
        self.in_flight.insert(step);
    }

    fn end_undo(&mut self, step: &StepId, undo: Undo) {
        self.in_flight.remove(step);
        if let Some(progress) = self.progress.get_mut(step) {
            progress.undo = undo;
        }
    }

    fn fail_undo(&mut self, now: Timestamp, id: &StepId, retryable: bool) {
        self.in_flight.remove(id);
        if let Some((step, progress)) = self.plan.step(id).zip(self.progress.get_mut(id)) {
            progress.undo.fail(now, retryable, step.retry);
        }
    }

    fn request_cancel(&mut self, how: Cancel) {
        self.paused = false;
        self.cancel = Some(how);
        match how {
            Cancel::Abandon => self.phase = Phase::Abandoned,
            // A pivot whose result nobody knows is waited for: it may be the council's decision already.
            Cancel::Unwind if self.may_have_pivoted() => {}
            Cancel::Unwind => self.phase = Phase::Unwinding,
        }
    }

    /// What is to be done now. Each command is persisted as started, and taken note of, before it is carried out; it is
    /// not named again while this executor has it under way.
    pub fn next_commands(&self, now: Timestamp) -> Vec<Command> {
        if self.paused || self.outcome.is_some() || self.conclusion().is_some() {
            return vec![];
        }
        let idle = self.plan.steps.iter().filter(|step| !self.in_flight.contains(&step.id));
        let due = idle.filter(|step| self.due_at(step).is_some_and(|(at, pause)| now < at || now.since(at) >= pause));
        due.map(|step| self.command(step, self.direction())).collect()
    }

    /// When [`Machine::next_commands`] may name something it does not name now, though nothing happens. Never while the
    /// run is paused.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.paused {
            return None;
        }
        let idle = self.plan.steps.iter().filter(|step| !self.in_flight.contains(&step.id));
        idle.filter_map(|step| self.due_at(step)).map(|(at, pause)| at.plus(pause)).min()
    }

    /// For a step that can be started or undone now: since when it waits, and how long it has to.
    fn due_at(&self, step: &Step) -> Option<(Timestamp, std::time::Duration)> {
        let progress = self.progress.get(&step.id)?;
        match self.phase {
            Phase::Forward => self.is_ready(step).then(|| progress.pause(step.retry)),
            Phase::Unwinding => self.is_ready_to_undo(step).then(|| progress.undo.pause(step.retry)),
            Phase::Abandoned => None,
        }
    }

    fn direction(&self) -> Direction {
        if self.phase == Phase::Forward { Direction::Forward } else { Direction::Undo }
    }

    /// How the run has to end, once nothing is left to do: to be persisted as [`Event::Finished`].
    pub fn conclusion(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Abandoned => Some(Outcome::Failed),
            Phase::Forward => self.progress.values().all(Progress::is_over).then_some(Outcome::Succeeded),
            Phase::Unwinding => self.unwound(),
        }
    }

    fn unwound(&self) -> Option<Outcome> {
        let open = |step: &&Step| self.needs_undo(step) && !self.progress[&step.id].undo.is_over();
        if self.plan.steps.iter().any(|step| open(&step)) {
            return None;
        }
        let failed = self.progress.values().any(|progress| matches!(progress.undo, Undo::GivenUp { .. }));
        Some(if failed { Outcome::Stuck } else { Outcome::RolledBack })
    }

    /// Where the run stands.
    pub fn state(&self) -> State {
        match (self.outcome, self.paused, self.phase) {
            (Some(outcome), _, _) => outcome.into(),
            (None, true, _) => State::Paused,
            (None, false, Phase::Forward) => State::Running,
            (None, false, Phase::Unwinding | Phase::Abandoned) => State::Unwinding,
        }
    }

    /// The run's name.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Its plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What a step gave, if it is done.
    pub fn output(&self, step: &StepId) -> Option<&Output> {
        self.progress.get(step)?.output()
    }

    /// Whether a forward effect of `step` may still be applied: it is started, and the run goes forward. The council and
    /// regions refuse what comes later.
    pub fn admits(&self, step: &StepId) -> bool {
        let started = self.progress.get(step).is_some_and(Progress::is_started);
        self.outcome.is_none() && self.phase == Phase::Forward && started
    }

    /// Whether the target is the owner: from here on the run goes forward only.
    pub fn is_past_pivot(&self) -> bool {
        self.pivot().is_some_and(|progress| progress.output().is_some())
    }

    /// Whether the target is the owner, or may be without anybody having written it down.
    pub fn may_have_pivoted(&self) -> bool {
        self.pivot().is_some_and(Progress::may_have_happened)
    }

    fn pivot(&self) -> Option<&Progress> {
        let step = self.plan.steps.iter().find(|step| step.pivot)?;
        self.progress.get(&step.id)
    }

    fn at(&self, step: &StepId) -> Option<(&Step, &Progress)> {
        self.plan.step(step).zip(self.progress.get(step))
    }

    fn is_ready(&self, step: &Step) -> bool {
        let over = |id: &StepId| self.progress.get(id).is_some_and(Progress::is_over);
        !over(&step.id) && step.after.iter().all(over)
    }

    /// Whether the step's effect may have happened and has to be taken back.
    fn needs_undo(&self, step: &Step) -> bool {
        let simulated = self.plan.kind == Kind::Drill && step.in_drill != InDrill::Run;
        step.undo.is_some() && !simulated && self.progress[&step.id].may_have_happened()
    }

    /// Later steps are undone first. One whose undo was given up does not hold the others up.
    fn is_ready_to_undo(&self, step: &Step) -> bool {
        let undone = |later: &Step| !self.needs_undo(later) || self.progress[&later.id].undo.is_over();
        let open = self.needs_undo(step) && !self.progress[&step.id].undo.is_over();
        open && self.plan.steps.iter().filter(|later| self.comes_after(later, &step.id)).all(undone)
    }

    fn comes_after(&self, later: &Step, id: &StepId) -> bool {
        let behind = |between: &StepId| self.plan.step(between).is_some_and(|between| self.comes_after(between, id));
        later.after.iter().any(|between| between == id || behind(between))
    }

    pub(super) fn attempts(&self, step: &Step) -> u32 {
        self.progress[&step.id].attempts()
    }

    pub(super) fn undo_attempts(&self, step: &Step) -> u32 {
        self.progress[&step.id].undo.attempts()
    }

    pub(super) fn fits(&self, step: &Step, output: &Output) -> bool {
        if self.plan.kind == Kind::Drill && step.in_drill != InDrill::Run {
            return *output == Output::Simulated;
        }
        matches!(
            (&step.action, output),
            (Action::Revoke | Action::Regrant | Action::Unseal { .. } | Action::ResumeWrites { .. }, Output::Done)
                | (Action::WaitOutLease { .. }, Output::LeaseOver { .. })
                | (Action::Collect { .. } | Action::CatchUp { .. }, Output::CaughtUp { .. })
                | (Action::Seal { .. }, Output::Sealed { .. })
                | (Action::StopWrites { .. }, Output::Stopped { .. })
                | (Action::Pivot { .. }, Output::Pivoted { .. })
                | (Action::Open { .. }, Output::Opened { .. })
                | (Action::Redirect { .. }, Output::Redirected { .. })
                | (Action::Verify { .. }, Output::Canary { .. })
        )
    }
}

/// What the machine relies on: the plan passes the audit of its shape, and its step names leave room for `.undo`.
fn sound(plan: &Plan) -> Result<(), IllegalTransition> {
    let long = plan.steps.iter().find(|step| step.id.as_str().len() + ".undo".len() > limits::NAME_CHARS_MAX);
    let long = long.map(|step| format!("the step name {} is too long", step.id));
    let broken = audit_shape(plan).into_iter().map(|finding| finding.to_string());
    let findings = broken.chain(long).collect::<Vec<_>>().join("; ");
    if findings.is_empty() { Ok(()) } else { Err(IllegalTransition::Unsound { plan: plan.id.clone(), findings }) }
}

fn first_progress(plan: &Plan, step: &Step) -> Progress {
    if plan.kind == Kind::Drill && step.in_drill == InDrill::Skip { Progress::skipped() } else { Progress::default() }
}
