//! Being a replica that follows: what the leader sends goes into the log as the core decides.

use super::{Held, News, Partition, Standing};
use crate::Flush;
use broker_core::follower::{Answer, Command, EpochEnd, Event, Fence, Fetch, Follower, Leadership, LogView, Trouble};
use broker_core::metadata::{Leader, Lineage};
use bytes::Bytes;
use log::{Log, TruncateError};
use model::{Baseline, BrokerSlot, LeaderEpoch, Offset};
use std::sync::Arc;

/// A log as the cores look at it.
pub(super) struct View<'a> {
    pub(super) log: &'a Log,
    pub(super) durable: Offset,
}

impl LogView for View<'_> {
    fn start(&self) -> Offset {
        self.log.start()
    }

    fn tail(&self) -> Offset {
        self.log.tail()
    }

    fn durable(&self) -> Offset {
        self.durable
    }

    fn last_epoch(&self) -> LeaderEpoch {
        let tail = self.log.tail();
        let epochs = self.log.epochs();
        epochs.iter().rev().find(|epoch| epoch.start < tail).map_or(LeaderEpoch::NONE, |last| last.epoch)
    }

    fn baseline(&self) -> Baseline {
        self.log.baseline()
    }

    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let end = self.log.end_of_epoch_for_replica(epoch)?;
        Some(EpochEnd { epoch: end.epoch, end: end.end })
    }
}

/// What is to be done after an answer.
#[derive(Debug)]
pub(crate) enum Next {
    /// Ask on.
    Fetch,
    /// Have [`Partition::change`] do this where it may block.
    Change(Vec<Command>),
    /// Ask again after a while.
    Pause(Trouble),
}

impl Partition {
    /// Makes this broker's replica follow `leader`, another broker of the region. The same leadership again changes
    /// nothing but what is known of lineages.
    pub(crate) fn follow(&self, leader: Leader, lineages: &[Lineage]) {
        let leadership = Leadership { broker: leader.broker, fence: leader.role.into() };
        let mut held = self.held();
        let is_known = matches!(held.standing, Standing::Replica { leader: known } if known == leader);
        match &mut held.follower {
            // A change of the log that is being made for an earlier leadership ends first.
            Some(follower) => _ = follower.assign(leadership, lineages.to_vec()),
            None => held.follower = Some(Follower::new(leadership, lineages.to_vec())),
        }
        if is_known {
            return;
        }
        held.source = None;
        if let Some(log) = &mut held.log {
            log.forget_unwritten_epochs();
        }
        let outcome = held.core.follow(leadership.fence);
        self.stand(&mut held, Standing::Replica { leader });
        self.settle(&mut held, outcome);
        self.advance(&mut held);
        self.publish(&mut held);
    }

    /// The broker this replica follows.
    pub(crate) fn followed(&self) -> Option<BrokerSlot> {
        match self.standing() {
            Standing::Replica { leader } => Some(leader.broker),
            Standing::Idle | Standing::Owner { .. } | Standing::Copy { .. } => None,
        }
    }

    /// What to ask `leader`; `None` when it is not followed, or the log is being changed.
    pub(crate) fn wanted_of(&self, leader: BrokerSlot) -> Option<Fetch> {
        let held = self.held();
        let follower = held.follower.as_ref().filter(|known| known.leadership().broker == leader)?;
        follower.fetch(&self.view(&held)?)
    }

    pub(super) fn view<'a>(&self, held: &'a Held) -> Option<View<'a>> {
        Some(View { log: held.log.as_ref()?, durable: self.durable(held)? })
    }

    /// Takes what the leader said. Batches go into the page cache at once; what has to be cut waits for
    /// [`change`](Self::change).
    pub(crate) fn take_answer(self: &Arc<Self>, answer: Answer) -> Next {
        let mut held = self.held();
        let commands = self.decide(&mut held, Event::Answered(Box::new(answer)));
        let is_cut = |command: &Command| command.changes_log() && !matches!(command, Command::Append { .. });
        if commands.iter().any(is_cut) {
            return Next::Change(commands);
        }
        let next = self.carry_out(&mut held, commands);
        self.advance(&mut held);
        self.publish(&mut held);
        drop(held);
        self.flush_if_asked();
        next
    }

    fn decide(&self, held: &mut Held, event: Event) -> Vec<Command> {
        let durable = self.durable(held).unwrap_or_default();
        let Held { log: Some(log), follower: Some(follower), .. } = held else { return vec![] };
        follower.on_event(event, &View { log, durable })
    }

    /// Changes the log as the core has said, unless another leadership began meanwhile. It may block.
    pub(crate) fn change(self: &Arc<Self>, fence: Fence, commands: Vec<Command>) -> Next {
        let mut held = self.held();
        let is_followed = held.follower.as_ref().is_some_and(|follower| follower.leadership().fence == fence);
        let next = match is_followed {
            true => self.carry_out(&mut held, commands),
            false => {
                self.decide(&mut held, Event::Failed);
                Next::Fetch
            }
        };
        self.advance(&mut held);
        self.publish(&mut held);
        drop(held);
        self.flush_if_asked();
        next
    }

    fn carry_out(&self, held: &mut Held, commands: Vec<Command>) -> Next {
        let changes = commands.iter().any(Command::changes_log);
        let mut next = Next::Fetch;
        for command in commands {
            match self.carry_out_one(held, command) {
                Ok(()) => {}
                Err(trouble) => {
                    next = Next::Pause(trouble);
                    break;
                }
            }
        }
        if changes {
            self.decide(held, if matches!(next, Next::Fetch) { Event::Done } else { Event::Failed });
        }
        next
    }

    fn carry_out_one(&self, held: &mut Held, command: Command) -> Result<(), Trouble> {
        match command {
            Command::Append { batches } => self.append_replicated(held, &batches),
            Command::Inherit(baseline) => self.inherit_replicated(held, baseline),
            Command::Truncate { to } => {
                self.report_cut(held, to);
                self.cut(held, |log| self.cut_proven(to, || log.truncate_to(to)))
            }
            Command::Restart { at } => {
                tracing::info!(partition = %self.name, %at, "replica begins anew: the leader has nothing where it ended");
                let restart = |log: &mut Log| log.restart_at(at).map(|()| Offset::ZERO);
                self.cut(held, |log| self.cut_proven(Offset::ZERO, || restart(log)).map(|_| at))
            }
            Command::RaiseStart { to } => self.raise(held, to),
            Command::Commit { upto } => {
                let outcome = held.core.on_upstream_watermark(self.boot(), upto);
                self.settle(held, outcome);
                Ok(())
            }
            Command::Pause(trouble) => Err(trouble),
        }
    }

    fn append_replicated(&self, held: &mut Held, batches: &Bytes) -> Result<(), Trouble> {
        if self.failed().is_some() {
            return Err(Trouble::Unwritable);
        }
        if !self.dir.disk().has_room() {
            return Err(Trouble::NoRoom);
        }
        let now = self.storage.clock.now();
        let log = held.log.as_mut().ok_or(Trouble::Unwritable)?;
        let copied = log.append_copy(batches, now);
        self.note_copy(held, &copied);
        copied.map(drop).map_err(|error| {
            tracing::warn!(partition = %self.name, %error, "batches of the leader are not taken");
            Trouble::Unwritable
        })
    }

    fn inherit_replicated(&self, held: &mut Held, baseline: Baseline) -> Result<(), Trouble> {
        let log = held.log.as_mut().ok_or(Trouble::Unwritable)?;
        log.set_baseline(baseline).map_err(|error| {
            tracing::warn!(partition = %self.name, %error, "what the leader has forgotten cannot be written down");
            if error.is_disk_full() { Trouble::NoRoom } else { Trouble::Unwritable }
        })
    }

    fn cut(&self, held: &mut Held, cut: impl FnOnce(&mut Log) -> Result<Offset, TruncateError>) -> Result<(), Trouble> {
        let log = held.log.as_mut().ok_or(Trouble::Unwritable)?;
        let cut = cut(log);
        self.after_cut(held, cut).map(drop).map_err(|error| {
            tracing::error!(partition = %self.name, %error, "replica cannot be cut");
            Trouble::Unwritable
        })
    }

    fn report_cut(&self, held: &Held, to: Offset) {
        let (tail, committed) = (self.reader.tail(), held.core.high_watermark());
        if to < committed {
            tracing::error!(partition = %self.name, %to, %tail, %committed, "replica is cut below what was committed: its leader lacks it");
        } else {
            tracing::info!(partition = %self.name, %to, %tail, "replica is cut where it left its leader's log");
        }
    }

    fn raise(&self, held: &mut Held, to: Offset) -> Result<(), Trouble> {
        let log = held.log.as_mut().ok_or(Trouble::Unwritable)?;
        let raised = log.set_log_start(to.min(log.tail()));
        raised.map(drop).map_err(|error| {
            tracing::error!(partition = %self.name, %error, "replica cannot follow its leader's log start");
            Trouble::Unwritable
        })
    }

    fn flush_if_asked(self: &Arc<Self>) {
        let marks = self.marks();
        if self.settings().flush == Flush::BeforeAck && marks.flushed < marks.tail {
            self.storage.flusher.request(self);
        }
    }

    /// Has every change of this partition marked in `news`.
    pub(crate) fn subscribe(&self, news: &Arc<News>) {
        self.bell.subscribe(news);
    }

    /// Marks nothing in `news` any more.
    pub(crate) fn unsubscribe(&self, news: &Arc<News>) {
        self.bell.unsubscribe(news);
    }
}
