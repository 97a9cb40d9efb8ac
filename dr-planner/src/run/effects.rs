//! What each step comes down to, given what the steps before it gave, and whether an answer is what was asked for.

use super::{Command, CouncilAction, Direction, Effect, Event, Happened, Machine, Output, openings};
use crate::plan::{Action, InDrill, Kind, Step};
use model::{CommitMarks, Opening, Order, OwnershipEpoch, PartitionEnd, RegionName, StepId};

impl Machine {
    pub(super) fn command(&self, step: &Step, direction: Direction) -> Command {
        let (token, attempt) = match direction {
            Direction::Forward => (step.id.clone(), self.attempts(step) + 1),
            Direction::Undo => (undo_token(&step.id), self.undo_attempts(step) + 1),
        };
        Command {
            run: self.run().clone(),
            step: step.id.clone(),
            direction,
            effect: self.effect(step, direction, &token),
            token,
            attempt,
            timeout: step.timeout,
        }
    }

    fn effect(&self, step: &Step, direction: Direction, token: &StepId) -> Effect {
        let undo = step.undo.as_ref().filter(|_| direction == Direction::Undo);
        if self.plan().kind == Kind::Drill && step.in_drill != InDrill::Run {
            return Effect::Simulate { action: step.action.clone() };
        }
        self.act(undo.unwrap_or(&step.action), token)
    }

    fn act(&self, action: &Action, token: &StepId) -> Effect {
        let plan = self.plan();
        let (group, epoch) = (plan.group.clone(), plan.ownership_epoch);
        let council = |action| Effect::Council { action };
        let order = |region: &RegionName, action| self.order(region, token, epoch, action);
        match action {
            Action::Revoke => council(CouncilAction::Revoke { group, ownership_epoch: epoch }),
            Action::Regrant => {
                council(CouncilAction::Regrant { group, ownership_epoch: epoch, owner: plan.source.clone() })
            }
            Action::WaitOutLease { wait } => Effect::WaitOutLease { group, wait: *wait },
            Action::Collect { region, from } => order(region, model::Action::Collect { from: from.clone() }),
            Action::Seal { region } => order(region, model::Action::Seal),
            Action::Unseal { region } => order(region, model::Action::Unseal),
            Action::StopWrites { region } => order(region, model::Action::StopWrites),
            Action::ResumeWrites { region } => order(region, model::Action::ResumeWrites),
            Action::CatchUp { region } => order(region, self.catch_up()),
            Action::Pivot { owner, ownership_epoch } => council(CouncilAction::Pivot {
                group,
                from: epoch,
                owner: owner.clone(),
                ownership_epoch: *ownership_epoch,
                openings: self.openings(),
            }),
            Action::Open { region, unplanned } => {
                self.order(region, token, plan.new_epoch(), open(self.pivoted(), *unplanned))
            }
            Action::Redirect { owner } => {
                council(CouncilAction::Redirect { group, owner: owner.clone(), ownership_epoch: plan.new_epoch() })
            }
            Action::Verify { region } => Effect::Canary { group, region: region.clone() },
        }
    }

    fn order(&self, region: &RegionName, token: &StepId, epoch: OwnershipEpoch, action: model::Action) -> Effect {
        let order = Order {
            run: self.run().clone(),
            step: token.clone(),
            group: self.plan().group.clone(),
            ownership_epoch: epoch,
            action,
        };
        Effect::Order { region: region.clone(), order }
    }

    fn catch_up(&self) -> model::Action {
        let (ends, commits) = self.stopped();
        model::Action::CatchUp { ends: ends.to_vec(), commits: commits.clone() }
    }

    fn stopped(&self) -> (&[PartitionEnd], &CommitMarks) {
        let stopped = self.outputs().find_map(|output| match output {
            Output::Stopped { ends, commits } => Some((&ends[..], commits)),
            _ => None,
        });
        stopped.expect("the audited plan stops writes before it catches up")
    }

    /// How the partitions of the new lineage start: across a hole where records may have been left behind, at their
    /// tails where none can have been.
    fn openings(&self) -> Vec<Opening> {
        if !self.plan().kind.is_unplanned() {
            return vec![];
        }
        let sealed = self.outputs().find_map(|output| match output {
            Output::Sealed { partitions } => Some(partitions),
            _ => None,
        });
        openings(sealed.expect("the audited plan seals before it pivots"), &self.plan().partitions)
    }

    fn pivoted(&self) -> Vec<Opening> {
        let pivoted = self.outputs().find_map(|output| match output {
            Output::Pivoted { openings, .. } => Some(openings),
            _ => None,
        });
        pivoted.expect("the audited plan pivots before it opens").clone()
    }

    fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.plan().steps.iter().filter_map(|step| self.output(&step.id))
    }

    /// What to persist when `command` was answered with `output`: success if that is what was asked for.
    pub fn verify(&self, command: &Command, output: Output) -> Event {
        let wrong = if command.direction == Direction::Undo { None } else { self.objection(command, &output) };
        match wrong {
            None => command.succeeded(output),
            Some(wrong) => command.failed(wrong, true, Happened::Unknown),
        }
    }

    fn objection(&self, command: &Command, output: &Output) -> Option<String> {
        let step = self.plan().step(&command.step)?;
        if !self.fits(step, output) {
            return Some(format!("step {} was answered with {output:?}, which is no answer to it", step.id));
        }
        match (&command.effect, output) {
            (Effect::Order { order, .. }, Output::CaughtUp { ends }) => lacking(&order.action, ends),
            (Effect::Order { order, .. }, Output::Opened { ends }) => unopened(&order.action, ends),
            (Effect::Council { action }, Output::Pivoted { ownership_epoch, openings }) => {
                misplaced(action, *ownership_epoch, openings)
            }
            _ => None,
        }
    }
}

/// Producers may jump forward over what may have been lost, and not where the pivot found that nothing can have been.
fn open(openings: Vec<Opening>, unplanned: bool) -> model::Action {
    let is_lossy = openings.is_empty() || openings.iter().any(Opening::leaves_hole);
    model::Action::Open { openings, jumps: unplanned && is_lossy }
}

fn undo_token(step: &StepId) -> StepId {
    StepId::new(format!("{step}.undo")).expect("a step's name leaves room, see Machine::from_events")
}

fn find<'a>(ends: &'a [PartitionEnd], end: &PartitionEnd) -> Option<&'a PartitionEnd> {
    ends.iter().find(|found| found.topic == end.topic && found.partition == end.partition)
}

fn lacking(asked: &model::Action, have: &[PartitionEnd]) -> Option<String> {
    let model::Action::CatchUp { ends, .. } = asked else { return None };
    let equal = |end: &&PartitionEnd| {
        let same = |found: &PartitionEnd| found.tail == end.tail && found.last_epoch == end.last_epoch;
        end.tail.0 == 0 || find(have, end).is_some_and(same)
    };
    let end = ends.iter().find(|end| !equal(end))?;
    Some(match find(have, end) {
        None => format!("there is no copy of {} {}", end.topic, end.partition),
        Some(found) => format!(
            "the copy of {} {} ends at {} in epoch {}, not at {} in epoch {}",
            end.topic, end.partition, found.tail, found.last_epoch, end.tail, end.last_epoch
        ),
    })
}

fn unopened(asked: &model::Action, have: &[PartitionEnd]) -> Option<String> {
    let model::Action::Open { openings, .. } = asked else { return None };
    let open = |opening: &&Opening| {
        let ours = |end: &&PartitionEnd| end.topic == opening.topic && end.partition == opening.partition;
        // Behind a hole there is a first batch at least.
        let least = opening.base.plus(i64::from(opening.leaves_hole()));
        have.iter().find(ours).is_some_and(|end| end.tail >= least)
    };
    let opening = openings.iter().find(|opening| !open(opening))?;
    Some(format!("{} {} is not open from its base {} on", opening.topic, opening.partition, opening.base))
}

fn misplaced(asked: &CouncilAction, epoch: OwnershipEpoch, had: &[Opening]) -> Option<String> {
    let CouncilAction::Pivot { ownership_epoch, openings, .. } = asked else { return None };
    // The council leaves out topics that were deleted since they were sealed, and the hole where nothing can be missing; it
    // adds and moves nothing.
    let mut asked = openings.iter();
    let as_asked = *ownership_epoch == epoch
        && had.iter().all(|opening| asked.any(|asked| [*asked, asked.without_hole()].contains(opening)));
    (!as_asked)
        .then(|| format!("the council pivoted to epoch {epoch}, not to {ownership_epoch} as asked, or otherwise"))
}
