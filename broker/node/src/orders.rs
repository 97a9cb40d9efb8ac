//! Orders of a run: carried out once per (run, step), under the grant they name, and journaled with their answer.
//!
//! What an order changes the whole region agrees on first; then the brokers that lead the group's partitions say that it is
//! so, each for its own.

pub(crate) mod ends;

use crate::Broker;
use crate::control::{ControlError, OFFSETS_TOPIC};
use crate::region::{Ask, CATCH_UP_TIMEOUT, DRAIN_TIMEOUT, SETTLE_TIMEOUT, Told, Unsaid};
use broker_core::metadata::{Answer, Command, Group};
use broker_core::region::{self, Incomplete, Said};
use model::{
    Action, BrokerSlot, CommitMarks, Done, Opening, Order, OrderError, PartitionEnd, ProtectionGroup, RegionName,
    StepId,
};
use std::time::Duration;

/// How long the links may need to fetch what other standbys hold.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(20);

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
            Action::Open { openings, jumps } => self.open(order, openings, *jumps).await,
        }
    }

    /// What the region has agreed on holds on all of its brokers once they hear of it; whoever has to know asks them.
    async fn change(&self, order: &Order, command: impl Fn(&Order) -> Command) -> Result<Done, OrderError> {
        self.control().change(vec![command(order)]).await.map_err(|error| self.failed(error))?;
        Ok(Done::Ok)
    }

    async fn stop_writes(&self, order: &Order) -> Result<Done, OrderError> {
        if !self.ordered_group(order)?.owned {
            return Err(self.not_ready(format!("it does not own {}", order.group)));
        }
        self.change(order, |order| stop(order, true)).await?;
        let ask = Ask::Drained(order.group.clone());
        let commits = |commits: &Said<CommitMarks>| {
            let image = self.image();
            region::commits_of_leaders(&image, image.topic_named(OFFSETS_TOPIC), commits)
        };
        let is_enough = |_: &[PartitionEnd], said: &Said<CommitMarks>| commits(said).map(drop);
        let (ends, said) = self.ask_ends(&order.group, ask, DRAIN_TIMEOUT, is_enough).await?;
        let commits = commits(&said).map_err(|incomplete| self.unsaid(&Unsaid::Incomplete(incomplete)))?;
        Ok(Done::Stopped { ends, commits })
    }

    async fn catch_up(
        &self,
        order: &Order,
        wanted: &[PartitionEnd],
        commits: &CommitMarks,
    ) -> Result<Done, OrderError> {
        let (group, epoch) = (order.group.clone(), order.ownership_epoch);
        let ask = Ask::CaughtUp { group, epoch, ends: wanted.to_vec(), commits: commits.clone() };
        let is_enough = |ends: &[PartitionEnd], said: &Said<CommitMarks>| {
            region::holds(ends, wanted).and_then(|()| region::has_commits(&region::merged(said), commits))
        };
        let (ends, said) = self.ask_ends(&order.group, ask, CATCH_UP_TIMEOUT, is_enough).await?;
        Ok(Done::CaughtUp { ends, commits: region::merged(&said) })
    }

    async fn collect(&self, group: &ProtectionGroup, from: &[RegionName]) -> Result<Done, OrderError> {
        let ask = Ask::Collected { group: group.clone(), from: from.to_vec() };
        let (ends, _) = self.ask_ends(group, ask, COLLECT_TIMEOUT, |_, _| Ok(())).await?;
        Ok(Done::CaughtUp { ends, commits: CommitMarks::default() })
    }

    async fn seal(&self, order: &Order) -> Result<Done, OrderError> {
        self.change(order, |order| seal(order, true)).await?;
        let read = |told: &Told| if let Told::Sealed(partitions) = told { Some(partitions.clone()) } else { None };
        let (group, ask) = (&order.group, Ask::Sealed(order.group.clone()));
        let sealed = self.ask_leaders(group, &ask, SETTLE_TIMEOUT, read, |_, _| Ok(())).await;
        let (partitions, _) = sealed.map_err(|unsaid| self.unsaid(&unsaid))?;
        Ok(Done::Sealed { partitions })
    }

    async fn open(&self, order: &Order, openings: &[Opening], jumps: bool) -> Result<Done, OrderError> {
        let group = self.ordered_group(order)?;
        if !group.owned {
            return Err(self.not_ready(format!("it does not own {}", order.group)));
        }
        self.check_openings(openings)?;
        if !group.opened {
            self.start_leaders(order, jumps).await.map_err(|error| self.failed(error))?;
            // Everything is durable on all brokers before clients are let in on any.
            self.all_begun(&order.group).await?;
            self.change(order, |order| opened(order, jumps)).await?;
        }
        Ok(Done::Opened { ends: self.all_begun(&order.group).await? })
    }

    async fn all_begun(&self, group: &ProtectionGroup) -> Result<Vec<PartitionEnd>, OrderError> {
        let begun = self.ask_ends(group, Ask::Begun(group.clone()), SETTLE_TIMEOUT, |_, _| Ok(())).await;
        begun.map(|(ends, _)| ends)
    }

    /// Where the partitions of `group` end, as their leaders answer `ask`, and how far the commits go that each broker knows
    /// of, once both `is_enough`.
    async fn ask_ends(
        &self,
        group: &ProtectionGroup,
        ask: Ask,
        within: Duration,
        is_enough: impl Fn(&[PartitionEnd], &Said<CommitMarks>) -> Result<(), Incomplete>,
    ) -> Result<(Vec<PartitionEnd>, Said<CommitMarks>), OrderError> {
        let read = |told: &Told| if let Told::Ends { ends, .. } = told { Some(ends.clone()) } else { None };
        let is_enough = |ends: &[PartitionEnd], told: &Said<Told>| is_enough(ends, &commits_said(told));
        let ends = self.ask_leaders(group, &ask, within, read, is_enough).await;
        let (ends, told) = ends.map_err(|unsaid| self.unsaid(&unsaid))?;
        Ok((ends, commits_said(&told)))
    }

    fn unsaid(&self, unsaid: &Unsaid) -> OrderError {
        match unsaid {
            Unsaid::Incomplete(_) => self.not_ready(unsaid.to_string()),
            Unsaid::Failed { .. } => self.failed(unsaid),
        }
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

    /// Has every broker lead under the new grant what it is to lead.
    async fn start_leaders(&self, order: &Order, jumps: bool) -> Result<(), ControlError> {
        let image = self.image();
        let due = image.brokers().map(|(slot, known)| (slot, known.session, image.opening_starts(slot, &order.group)));
        let due = due.filter(|(_, _, starts)| !starts.is_empty());
        let starts = due.map(|(broker, session, starts)| Command::StartLeaders { broker, session, starts });
        let (group, ownership_epoch) = (order.group.clone(), order.ownership_epoch);
        let jumps = jumps.then_some(Command::AllowJumps { group, ownership_epoch });
        check_started(self.control().change(jumps.into_iter().chain(starts).collect()).await?)
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

/// How far the commits go that each broker knows of.
fn commits_said(told: &Said<Told>) -> Said<CommitMarks> {
    let commits = |(slot, told): (&BrokerSlot, &Told)| match told {
        Told::Ends { commits, .. } => Some((*slot, commits.clone())),
        _ => None,
    };
    told.iter().filter_map(commits).collect()
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

fn opened(order: &Order, jumps: bool) -> Command {
    Command::Open { group: order.group.clone(), ownership_epoch: order.ownership_epoch, jumps }
}

fn stop(order: &Order, stopped: bool) -> Command {
    Command::Stop { group: order.group.clone(), ownership_epoch: order.ownership_epoch, stopped }
}

fn seal(order: &Order, sealed: bool) -> Command {
    Command::Seal { group: order.group.clone(), ownership_epoch: order.ownership_epoch, sealed }
}
