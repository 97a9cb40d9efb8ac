//! Orders of a run: carried out once per (run, step), under the grant they name, and journaled with their answer.

mod ends;

use crate::Broker;
use crate::control::ControlError;
use broker_core::metadata::{Answer, Command, Group};
use ends::{caught_up, ends, flushed_ends, opened_ends, sealed};
use model::{Action, CommitMarks, Done, Opening, Order, OrderError, PartitionEnd, ProtectionGroup, RegionName, StepId};
use std::time::Duration;
use tokio::time::timeout;

/// How long writes that were taken may need for their answers.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a copy may need to catch up within one attempt of the order.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(20);

impl Broker {
    /// Carries out an order. One that was carried out before gets the same answer and has no further effect.
    ///
    /// # Errors
    /// [`OrderError`] says whether giving it again may help.
    pub async fn order(&self, order: Order) -> Result<Done, OrderError> {
        if let Some(journaled) = self.0.image.borrow().journal().order(&order.run, &order.step) {
            return Ok(journaled.done.clone());
        }
        self.check_grant(&order)?;
        let done = self.carry_out(&order).await?;
        self.journal(&order, done).await
    }

    fn region(&self) -> RegionName {
        self.0.config.region.clone()
    }

    fn check_grant(&self, order: &Order) -> Result<(), OrderError> {
        let group = self.ordered_group(order)?;
        let (region, obeyed, ordered) = (self.region(), group.obeyed(), order.ownership_epoch);
        match obeyed.cmp(&ordered) {
            std::cmp::Ordering::Greater => {
                Err(OrderError::Outdated { region, group: order.group.clone(), obeyed, ordered })
            }
            std::cmp::Ordering::Less => {
                let reason = format!("it obeys ownership epoch {obeyed} of {}, not {ordered} yet", order.group);
                Err(OrderError::NotReady { region, reason })
            }
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    fn ordered_group(&self, order: &Order) -> Result<Group, OrderError> {
        let image = self.image();
        let unknown = || self.not_ready(format!("it knows no protection group {}", order.group));
        image.group(&order.group).cloned().ok_or_else(unknown)
    }

    fn not_ready(&self, reason: String) -> OrderError {
        OrderError::NotReady { region: self.region(), reason }
    }

    fn failed(&self, reason: impl ToString) -> OrderError {
        OrderError::Failed { region: self.region(), reason: reason.to_string() }
    }

    async fn carry_out(&self, order: &Order) -> Result<Done, OrderError> {
        match &order.action {
            Action::StopWrites => self.stop_writes(order).await,
            Action::ResumeWrites => self.change(order, |order| stop(order, false)).await,
            Action::CatchUp { ends, commits } => self.catch_up(order, ends, commits).await,
            Action::Collect { from } => self.collect(&order.group, from).await,
            Action::Seal => self.seal(order).await,
            Action::Unseal => self.change(order, |order| seal(order, false)).await,
            Action::Open { openings, unplanned } => self.open(order, openings, *unplanned).await,
        }
    }

    async fn change(&self, order: &Order, command: impl Fn(&Order) -> Command) -> Result<Done, OrderError> {
        self.control().change(vec![command(order)]).await.map_err(|error| self.failed(error))?;
        Ok(Done::Ok)
    }

    async fn stop_writes(&self, order: &Order) -> Result<Done, OrderError> {
        if !self.ordered_group(order)?.owned {
            return Err(self.not_ready(format!("it does not own {}", order.group)));
        }
        self.change(order, |order| stop(order, true)).await?;
        if let Some(gate) = self.0.gates.of(&order.group) {
            let drained = timeout(DRAIN_TIMEOUT, gate.drained()).await;
            drained.map_err(|_| self.failed("writes that were taken are not answered yet"))?;
        }
        let read = timeout(DRAIN_TIMEOUT, self.groups_loaded()).await;
        read.map_err(|_| self.failed("the commits of its consumer groups are still being read"))?;
        let ends = flushed_ends(self, &order.group).await.map_err(|error| self.failed(error))?;
        Ok(Done::Stopped { ends, commits: self.commit_marks() })
    }

    async fn catch_up(
        &self,
        order: &Order,
        wanted: &[PartitionEnd],
        commits: &CommitMarks,
    ) -> Result<Done, OrderError> {
        let all = async {
            caught_up(self, wanted).await;
            self.commits_reached(&order.group, order.ownership_epoch, commits).await;
        };
        let reached = timeout(CATCH_UP_TIMEOUT, all).await;
        reached.map_err(|_| self.failed("its copies have not caught up yet"))?;
        let commits = self.reached_commits(&order.group, order.ownership_epoch);
        Ok(Done::CaughtUp { ends: ends(self, &order.group), commits })
    }

    async fn collect(&self, group: &ProtectionGroup, from: &[RegionName]) -> Result<Done, OrderError> {
        let links = self.0.links.get().ok_or_else(|| self.not_ready("its links are not started".to_owned()))?;
        links.collect(group, from).await.map_err(|error| self.failed(error))?;
        let ends = flushed_ends(self, group).await.map_err(|error| self.failed(error))?;
        Ok(Done::CaughtUp { ends, commits: CommitMarks::default() })
    }

    async fn seal(&self, order: &Order) -> Result<Done, OrderError> {
        self.change(order, |order| seal(order, true)).await?;
        flushed_ends(self, &order.group).await.map_err(|error| self.failed(error))?;
        Ok(Done::Sealed { partitions: sealed(self, &order.group) })
    }

    async fn open(&self, order: &Order, openings: &[Opening], unplanned: bool) -> Result<Done, OrderError> {
        let group = self.ordered_group(order)?;
        if !group.owned {
            return Err(self.not_ready(format!("it does not own {}", order.group)));
        }
        self.check_openings(openings)?;
        if !group.opened {
            self.start_and_open(order, unplanned).await.map_err(|error| self.failed(error))?;
        }
        Ok(Done::Opened { ends: opened_ends(self, &order.group).await.map_err(|error| self.failed(error))? })
    }

    /// The openings came with the grant; an order that names others is not about this grant.
    fn check_openings(&self, openings: &[Opening]) -> Result<(), OrderError> {
        let image = self.image();
        for opening in openings {
            let Some(partition) = image.partition(opening.topic, opening.partition) else {
                return Err(self.not_ready(format!("it has no topic {} yet", opening.topic)));
            };
            let is_known = partition.lineages.iter().any(|known| known.base == opening.base);
            if !is_known {
                return Err(self.not_ready(format!("it does not know of the base {} yet", opening.base)));
            }
        }
        Ok(())
    }

    async fn start_and_open(&self, order: &Order, unplanned: bool) -> Result<(), ControlError> {
        let (image, slot) = (self.image(), self.0.config.slot);
        let Some(session) = image.broker(slot).map(|broker| broker.session) else {
            return Err(ControlError("the broker is not registered yet".to_owned()));
        };
        let starts = image.opening_starts(slot, &order.group);
        let (group, ownership_epoch) = (order.group.clone(), order.ownership_epoch);
        let start = Command::StartLeaders { broker: slot, session, starts };
        let jumps = unplanned.then(|| group.clone());
        // Everything is durable before clients are let in.
        let answers = self.control().open(vec![start], jumps).await?;
        check_started(answers)?;
        self.control().change(vec![Command::Open { group, ownership_epoch, unplanned }]).await?;
        Ok(())
    }

    async fn journal(&self, order: &Order, done: Done) -> Result<Done, OrderError> {
        let (own, undone) = (order.step.clone(), undone(&order.step));
        let steps = [Some((own, done.clone())), undone.map(|step| (step, Done::Ok))];
        // The original of an undone order, should it still come, has no effect.
        let commands = steps.into_iter().flatten().map(|(step, done)| Command::Journal {
            run: order.run.clone(),
            step,
            group: order.group.clone(),
            ownership_epoch: order.ownership_epoch,
            done,
            at: self.0.clock.now(),
        });
        let answers = self.control().change(commands.collect()).await.map_err(|error| self.failed(error))?;
        match answers.into_iter().next() {
            Some(Answer::Journaled(first)) => Ok(first),
            _ => Ok(done),
        }
    }
}

/// Every leadership has to be started before the group is opened.
fn check_started(answers: Vec<Answer>) -> Result<(), ControlError> {
    let starts = answers.into_iter().flat_map(|answer| match answer {
        Answer::Started(started) => started,
        _ => Vec::new(),
    });
    let refused = starts.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |refusal| Err(ControlError(refusal.to_string())))
}

/// The step whose effect `step` takes back.
fn undone(step: &StepId) -> Option<StepId> {
    step.as_str().strip_suffix(".undo").and_then(|name| StepId::new(name).ok())
}

fn stop(order: &Order, stopped: bool) -> Command {
    Command::Stop { group: order.group.clone(), ownership_epoch: order.ownership_epoch, stopped }
}

fn seal(order: &Order, sealed: bool) -> Command {
    Command::Seal { group: order.group.clone(), ownership_epoch: order.ownership_epoch, sealed }
}
