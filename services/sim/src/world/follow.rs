//! A replica asks its leader, and does what the core says.

use super::{World, broker as broker_in, trace};
use crate::disk::Looked;
use crate::event::{Message, Timer};
use crate::guard::Guard;
use crate::invariant::Fact;
use crate::marker::Marker;
use crate::net::Lane;
use crate::process::{Session, Stands};
use broker_core::follower::{Answer, Command, Event, Fence};
use model::Offset;

impl World {
    /// Asks the leader, unless it was asked and has not answered.
    pub(super) fn fetch(&mut self, broker: usize, partition: usize) {
        let (request, durable) = (self.number(), self.durable(broker, partition));
        let Some(process) = self.processes[broker].as_mut() else { return };
        let replica = &mut process.replicas[partition];
        let (Some(Session { epoch: session, .. }), Stands::Follows(leader, _)) = (process.session, replica.stands)
        else {
            return;
        };
        let looked = Looked { log: &self.disks[broker].logs[partition], durable };
        let fetch = replica.follower.as_ref().and_then(|follower| follower.fetch(&looked));
        let Some(fetch) = fetch.filter(|_| replica.asked.is_none()) else { return };
        replica.asked = Some(request);
        let message = Message::Fetch { partition, session, fetch, request };
        self.send((Lane::Replication, broker, broker_in(leader)), message);
        self.remind(broker, (90_000, 140_000), Timer::FetchOverdue { partition, request });
    }

    /// The connection is given up.
    pub(super) fn on_fetch_overdue(&mut self, broker: usize, partition: usize, request: u64) {
        let Some(replica) = self.replica(broker, partition).filter(|replica| replica.asked == Some(request)) else {
            return;
        };
        replica.asked = None;
        if let Stands::Follows(leader, _) = replica.stands
            && self.random.chance(50)
        {
            self.net.reset((Lane::Replication, broker, broker_in(leader)));
        }
        self.fetch(broker, partition);
    }

    pub(super) fn on_answer(&mut self, broker: usize, partition: usize, mut answer: Answer, request: u64) {
        let (now, durable) = (self.local(broker), self.durable(broker, partition));
        let (keeps_stale, hastes) = (self.without(Guard::DropStaleAnswer), self.without(Guard::DivergenceFirst));
        let Some(process) = self.processes[broker].as_mut() else { return };
        let replica = &mut process.replicas[partition];
        if replica.asked == Some(request) {
            replica.asked = None;
        }
        let Some(follower) = replica.follower.as_mut() else { return };
        let looked = Looked { log: &self.disks[broker].logs[partition], durable };
        let is_stale = answer.fence != follower.leadership().fence || answer.from.0 as usize != looked.log.len();
        if keeps_stale {
            answer.fence = follower.leadership().fence;
            answer.from = Offset(looked.log.len() as i64);
        }
        let early = (hastes && answer.diverging.is_some())
            .then(|| replica.core.on_upstream_watermark(now, answer.high_watermark));
        let commands = follower.on_event(Event::Answered(Box::new(answer)), &looked);
        if is_stale && commands.is_empty() {
            self.hit(Marker::StaleAnswerDropped);
        }
        self.settle(broker, partition, early.unwrap_or_default());
        self.obey(broker, partition, commands);
    }

    /// Does what the core says: at once, or where the log is cut, when there is time for it.
    fn obey(&mut self, broker: usize, partition: usize, commands: Vec<Command>) {
        let is_cut = |command: &Command| command.changes_log() && !matches!(command, Command::Append { .. });
        let Some(fence) = self.followed(broker, partition) else { return };
        if commands.iter().any(is_cut) {
            return self.remind(broker, (50, 4000), Timer::Change { partition, fence, commands });
        }
        self.carry_out(broker, partition, commands);
    }

    fn followed(&mut self, broker: usize, partition: usize) -> Option<Fence> {
        self.replica(broker, partition)?.follower.as_ref().map(|follower| follower.leadership().fence)
    }

    /// Changes the log, unless another leadership began meanwhile.
    pub(super) fn change(&mut self, broker: usize, partition: usize, fence: Fence, commands: Vec<Command>) {
        if self.followed(broker, partition) == Some(fence) {
            return self.carry_out(broker, partition, commands);
        }
        self.report(broker, partition, Event::Failed);
        self.fetch(broker, partition);
    }

    fn report(&mut self, broker: usize, partition: usize, event: Event) {
        let durable = self.durable(broker, partition);
        let Some(process) = self.processes[broker].as_mut() else { return };
        let looked = Looked { log: &self.disks[broker].logs[partition], durable };
        if let Some(follower) = process.replicas[partition].follower.as_mut() {
            follower.on_event(event, &looked);
        }
    }

    fn carry_out(&mut self, broker: usize, partition: usize, commands: Vec<Command>) {
        let changes = commands.iter().any(Command::changes_log);
        let is_done = commands.into_iter().all(|command| self.carry_out_one(broker, partition, command));
        if changes {
            self.report(broker, partition, if is_done { Event::Done } else { Event::Failed });
        }
        self.advance(broker, partition);
        self.sync(broker, partition);
        if is_done {
            self.fetch(broker, partition);
        } else {
            self.remind(broker, (3000, 20_000), Timer::FetchNow { partition });
        }
    }

    fn carry_out_one(&mut self, broker: usize, partition: usize, command: Command) -> bool {
        let now = self.local(broker);
        let is_writable = !self.disks[broker].logs[partition].failed;
        match command {
            Command::Append { batches } if is_writable => {
                self.disks[broker].logs[partition].append_copy(&batches);
                true
            }
            Command::Truncate { to } if is_writable => self.truncate(broker, partition, to.0 as usize),
            Command::Restart { at } if is_writable => self.truncate(broker, partition, at.0 as usize),
            Command::RaiseStart { .. } | Command::Inherit(_) => true,
            Command::Commit { upto } => {
                let outcome = self.replica(broker, partition).map(|r| r.core.on_upstream_watermark(now, upto));
                self.settle(broker, partition, outcome.unwrap_or_default());
                true
            }
            Command::Pause(trouble) => {
                trace!(self, "broker {broker} pauses in {partition}: {trouble}");
                false
            }
            Command::Append { .. } | Command::Truncate { .. } | Command::Restart { .. } => false,
        }
    }

    pub(super) fn truncate(&mut self, broker: usize, partition: usize, to: usize) -> bool {
        let removed = self.disks[broker].logs[partition].truncate(to);
        trace!(self, "broker {broker} cuts {partition} at {to}: {} batches", removed.len());
        self.hit(Marker::Truncated);
        if let Some(replica) = self.replica(broker, partition) {
            replica.core.on_truncated(Offset(to as i64));
            replica.shown = replica.shown.min(to);
        }
        self.fact(&Fact::Cut { partition, broker, to, removed: &removed });
        true
    }

    /// Tells the leader what is on disk by now.
    pub(super) fn tell_progress(&mut self, broker: usize, partition: usize) {
        let durable = Offset(self.durable(broker, partition) as i64);
        let Some(process) = self.processes[broker].as_ref() else { return };
        let (Some(session), Stands::Follows(leader, fence)) = (process.session, process.replicas[partition].stands)
        else {
            return;
        };
        let message = Message::Progress { partition, session: session.epoch, fence, durable };
        self.send((Lane::Replication, broker, broker_in(leader)), message);
    }
}
