mod follow;

use super::answer::{Command, Event, Fault, Fetch, StopReason, Ticket};
use super::copy_log::{CopyLog, LogState};
use super::flight::Flight;
use crate::EpochList;
use crate::flow::{Arrived, Flow, Rate};
use crate::lag::{Lag, LagReport};
use model::{
    Baseline, ByteCount, CopyTerm, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, PartitionId, Timestamp, TopicId,
};
use std::time::Duration;

/// The pause after the first failed fetch; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What a window has to know of its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The leadership start of the copy: another for every window, so that no answer to an older one counts.
    pub copy_term: CopyTerm,
    /// Whether the source compacts it: then offsets may be missing between batches.
    pub compacted: bool,
    /// Another number for every window there ever was of this copy, in this process or an earlier one.
    pub window: u64,
    /// Whether several fetches may share a run: only a leader's log is never cut while it leads.
    pub shares_runs: bool,
    /// How much may be on its way to the disk before fetching waits.
    pub unflushed_max: ByteCount,
    /// Where the lineage of a grant departs from the one before, as far as the council said.
    pub openings: Vec<LineageStart>,
}

/// Where the lineage of one grant begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineageStart {
    /// The grant.
    pub ownership_epoch: OwnershipEpoch,
    /// From the common end to the offset of its first batch.
    pub hole: OffsetRange,
}

/// What a window is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a link.
    Disconnected,
    /// A fetch is under way.
    Fetching,
    /// Too much is on its way to the disk.
    Full,
    /// A diverged tail is being copied to an archive.
    Archiving {
        /// Where the logs part.
        to: Offset,
    },
    /// It is being cut off.
    Truncating {
        /// Where the logs part.
        to: Offset,
    },
    /// Nothing more is fetched.
    Stopped(StopReason),
}

/// What was heard of the source under the grant that is followed.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    ownership_epoch: OwnershipEpoch,
    leader_epoch: LeaderEpoch,
    high_watermark: Offset,
    log_start: Offset,
    heard: bool,
}

/// The window of one partition.
#[derive(Clone, Debug)]
pub struct Partition {
    settings: Settings,
    log: CopyLog,
    high_watermark: Offset,
    source: Source,
    /// Whether a fetch would find somebody to ask.
    connected: bool,
    phase: Phase,
    ticket: Ticket,
    flight: Flight,
    flow: Flow,
    rate: Rate,
    is_measured: bool,
    pause: Duration,
    lag: Lag,
}

impl Partition {
    /// The window of a copy that holds `log`; it waits for [`Event::LinkUp`].
    pub fn new(settings: Settings, log: LogState) -> Self {
        let high_watermark = log.high_watermark;
        let log = CopyLog::new(log);
        let lag = Lag::new(log.flushed());
        let ticket = Ticket { term: settings.copy_term, number: 0 };
        let flight = Flight::new(settings.window);
        Self {
            settings,
            log,
            high_watermark,
            source: Source { leader_epoch: LeaderEpoch::NONE, ..Source::default() },
            connected: false,
            phase: Phase::Disconnected,
            ticket,
            flight,
            flow: Flow::over(Duration::ZERO, Arrived::default()),
            rate: Rate::default(),
            is_measured: false,
            pause: Duration::ZERO,
            lag,
        }
    }

    /// What it is doing.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The copy's tail once every command is done.
    pub const fn tail(&self) -> Offset {
        self.log.tail()
    }

    /// The copy's log start.
    pub const fn log_start(&self) -> Offset {
        self.log.start()
    }

    /// The copy watermark: everything below is on disk. It goes back when the copy is truncated.
    pub const fn copy_watermark(&self) -> Offset {
        self.log.flushed()
    }

    /// What readers may see: it never goes back.
    pub const fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// What the copy does not hold although nothing in it says so, once every command is done.
    pub const fn baseline(&self) -> Baseline {
        self.log.baseline()
    }

    /// The leader epochs of the copy.
    pub const fn epochs(&self) -> &EpochList {
        self.log.epochs()
    }

    /// The source's high watermark when it was last heard of; `None` when it never was under this grant.
    pub fn source_watermark(&self) -> Option<Offset> {
        self.source.heard.then_some(self.source.high_watermark)
    }

    /// How far the copy is behind.
    pub fn lag(&self, now: Duration) -> LagReport {
        let ahead = self.settings.openings.iter().map(|opening| opening.hole);
        let known: Vec<_> =
            self.log.epochs().holes().filter(|hole| !ahead.clone().any(|other| other == *hole)).collect();
        self.lag.report(now, ahead.chain(known))
    }

    /// Whether records come now.
    pub fn is_busy(&self) -> bool {
        self.lag.is_busy()
    }

    /// How it fetches; `None` before the line was measured.
    pub fn flow(&self) -> Option<Flow> {
        self.is_measured.then_some(self.flow)
    }

    /// How many fetches are under way.
    pub fn under_way(&self) -> usize {
        self.flight.under_way()
    }

    /// The line was measured.
    pub fn note_round_trip(&mut self, round_trip: Duration) {
        self.is_measured = true;
        self.flow = Flow::over(round_trip, self.rate.estimate());
    }

    /// Takes note of what the council says of lineages.
    pub fn note_openings(&mut self, openings: Vec<LineageStart>) {
        self.settings.openings = openings;
    }

    /// Takes note of `event` at `now`, a time on a clock that never goes back, and says what to do next, in this order.
    ///
    /// An event that does not belong to the current phase is a late or repeated report; it changes nothing.
    pub fn on_event(&mut self, now: Duration, event: Event) -> Vec<Command> {
        match event {
            Event::LinkUp { ownership_epoch } => self.link_up(ownership_epoch),
            Event::LinkDown => self.link_down(),
            Event::Answered { ticket, answer } if self.awaits(ticket) => self.answered(now, ticket, answer),
            Event::Unanswered { ticket } if self.awaits(ticket) => self.fetch_later(),
            Event::Answered { .. } | Event::Unanswered { .. } => Vec::new(),
            Event::Flushed { to } => self.flushed(to),
            Event::Archived { range } => self.archived(range),
            Event::Truncated { tail } => self.truncated(tail),
            Event::LogFailed => self.stop(StopReason::LogFailed),
            Event::Seal => self.stop(StopReason::Sealed),
            Event::Unseal => self.unseal(),
        }
    }

    fn awaits(&self, ticket: Ticket) -> bool {
        let is_newest_window = ticket.term == self.ticket.term;
        matches!(self.phase, Phase::Fetching | Phase::Full) && is_newest_window && self.flight.awaits(ticket.number)
    }

    fn link_up(&mut self, ownership_epoch: OwnershipEpoch) -> Vec<Command> {
        if ownership_epoch < self.source.ownership_epoch {
            return Vec::new();
        }
        let is_new = ownership_epoch > self.source.ownership_epoch;
        if is_new {
            self.source = Source { ownership_epoch, leader_epoch: LeaderEpoch::NONE, ..Source::default() };
            self.lag.restart(self.log.flushed());
        }
        self.connected = true;
        self.pause = Duration::ZERO;
        match self.phase {
            // A cut that was begun is finished first; one that was only decided, a new owner has to decide again.
            Phase::Truncating { .. } => Vec::new(),
            Phase::Archiving { .. } if !is_new => Vec::new(),
            Phase::Stopped(reason) if reason != StopReason::NotOwner => Vec::new(),
            _ => self.fetch(),
        }
    }

    fn link_down(&mut self) -> Vec<Command> {
        self.connected = false;
        self.lag.disconnected();
        self.flight.end();
        if matches!(self.phase, Phase::Fetching | Phase::Full) {
            self.phase = Phase::Disconnected;
        }
        Vec::new()
    }

    fn stop(&mut self, reason: StopReason) -> Vec<Command> {
        if self.phase == Phase::Stopped(reason) || self.phase == Phase::Stopped(StopReason::LogFailed) {
            return Vec::new();
        }
        self.phase = Phase::Stopped(reason);
        self.flight.end();
        self.lag.disconnected();
        vec![Command::Stop { reason }]
    }

    fn unseal(&mut self) -> Vec<Command> {
        if self.phase != Phase::Stopped(StopReason::Sealed) {
            return Vec::new();
        }
        self.phase = Phase::Disconnected;
        if self.connected { self.fetch() } else { Vec::new() }
    }

    /// Asks on from the tail, at once: a new run.
    fn fetch(&mut self) -> Vec<Command> {
        self.flight.begin(&self.log);
        self.fetch_more()
    }

    /// Asks on within the run, as far as there is room; from the tail where fetches share none.
    fn fetch_more(&mut self) -> Vec<Command> {
        if self.log.unflushed_bytes() >= self.settings.unflushed_max.0 {
            self.phase = Phase::Full;
            return Vec::new();
        }
        let begins_anew = self.flight.has_lost() || (!self.flight.is_shared() && self.flight.under_way() == 0);
        if begins_anew {
            self.flight.begin(&self.log);
        }
        self.phase = Phase::Fetching;
        (0..self.flight.room()).map(|_| Command::Fetch(self.ask())).collect()
    }

    fn ask(&mut self) -> Fetch {
        self.ticket.number += 1;
        self.flight.ask(self.ticket.number);
        Fetch {
            stream: self.settings.shares_runs.then(|| self.flight.stream()),
            from: self.flight.from,
            last_epoch: self.flight.last_epoch,
            bytes_max: self.flow.fetch_bytes,
            spacing: self.flow.spacing,
            pause: self.pause,
            ..self.word_of_tail()
        }
    }

    fn word_of_tail(&self) -> Fetch {
        Fetch {
            ticket: self.ticket,
            stream: None,
            from: self.log.tail(),
            last_epoch: self.log.last_epoch(),
            durable: self.log.flushed(),
            leader_epoch: self.source.leader_epoch,
            bytes_max: 0,
            spacing: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }

    /// How far the copy is, for a source that waits for it: a fetch of nothing. `None` unless the source is being followed.
    pub fn word(&self) -> Option<Fetch> {
        matches!(self.phase, Phase::Fetching | Phase::Full).then(|| self.word_of_tail())
    }

    /// Asks again after a pause that grows from one failure to the next.
    fn fetch_later(&mut self) -> Vec<Command> {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.fetch()
    }

    fn fault(&mut self, fault: Fault) -> Vec<Command> {
        let mut commands = vec![Command::Report(fault)];
        commands.extend(self.fetch_later());
        commands
    }

    fn archived(&mut self, range: OffsetRange) -> Vec<Command> {
        let Phase::Archiving { to } = self.phase else { return Vec::new() };
        if range != OffsetRange::new(to, self.log.tail()) {
            return Vec::new();
        }
        self.phase = Phase::Truncating { to };
        vec![Command::Truncate { to }]
    }

    fn truncated(&mut self, tail: Offset) -> Vec<Command> {
        let known = self.log.baseline();
        self.log.truncate(tail);
        self.lag.durable(self.log.flushed());
        let mut commands: Vec<_> = self.newly_missed(known, Timestamp::NONE).into_iter().collect();
        match self.phase {
            // What was asked for before began elsewhere.
            Phase::Truncating { .. } | Phase::Fetching | Phase::Full if self.connected => commands.extend(self.fetch()),
            Phase::Truncating { .. } => self.phase = Phase::Disconnected,
            _ => {}
        }
        commands
    }

    fn flushed(&mut self, to: Offset) -> Vec<Command> {
        self.log.flush(to);
        self.lag.durable(self.log.flushed());
        let mut commands = self.raise_marks();
        if self.phase == Phase::Full {
            commands.extend(self.fetch_more());
        }
        commands
    }

    /// The high watermark first: the log start is never above it.
    fn raise_marks(&mut self) -> Vec<Command> {
        let high_watermark = self.raise_high_watermark();
        high_watermark.into_iter().chain(self.raise_log_start()).collect()
    }

    fn raise_log_start(&mut self) -> Option<Command> {
        let to = self.source.log_start;
        let settled = self.log.start() < to && to <= self.log.flushed();
        settled.then(|| {
            self.log.raise_start(to);
            Command::RaiseLogStart { to }
        })
    }

    fn raise_high_watermark(&mut self) -> Option<Command> {
        let to = self.log.flushed().min(self.source.high_watermark);
        (to > self.high_watermark).then(|| {
            self.high_watermark = to;
            Command::RaiseHighWatermark { to }
        })
    }
}
