//! What follows from an answer.

use super::super::answer::{Answer, Body, Command, Diverging, Fault, StopReason, Ticket};
use super::super::batches::{self, Rules};
use super::{Partition, Phase, Settings};
use crate::gap::{self, Gap, GapReason};
use crate::lag::Sighting;
use bytes::Bytes;
use model::{Baseline, LeaderEpoch, Offset, OffsetRange, Timestamp};
use std::time::Duration;

/// What became of an answer.
enum Taken {
    /// All of it is here.
    Whole,
    /// The run ends with it; this is done then.
    Else(Vec<Command>),
}

impl Partition {
    pub(super) fn answered(&mut self, now: Duration, ticket: Ticket, answer: Answer) -> Vec<Command> {
        match &answer.body {
            Body::NotOwner => return self.stop(StopReason::NotOwner),
            Body::TopicReset => return self.stop(StopReason::TopicReset),
            Body::Unavailable | Body::Behind => return self.fetch_later(),
            Body::Diverging(_) | Body::OutOfRange | Body::Records(_) => {}
        }
        if answer.ownership_epoch != self.source.ownership_epoch || answer.leader_epoch < self.source.leader_epoch {
            return self.fetch_later();
        }
        self.source.leader_epoch = answer.leader_epoch;
        let goes_on = self.flight.hear(ticket.number, &answer, self.log.tail());
        match answer.body {
            Body::Diverging(diverging) => self.diverging(diverging),
            _ if !goes_on => self.fetch(),
            _ => match answer.served {
                Some(served) if served.start > self.log.tail() => self.park(served, answer),
                _ => self.follow(now, answer),
            },
        }
    }

    /// Keeps an answer whose turn has not come. One without records says nothing that the others will not.
    fn park(&mut self, served: OffsetRange, answer: Answer) -> Vec<Command> {
        match &answer.body {
            Body::Records(_) if !served.is_empty() => self.flight.park(served.start, answer),
            // What lies before it was handed out, and nobody brings it any more.
            Body::Records(_) if self.flight.under_way() == 0 => return self.fetch(),
            Body::Records(_) => self.flight.adapt(false, self.flow.depth),
            _ => return self.fetch(),
        }
        self.fetch_more()
    }

    fn diverging(&mut self, Diverging { epoch, end }: Diverging) -> Vec<Command> {
        let (to, tail) = (self.log.common_end(epoch, end), self.log.tail());
        if to >= tail {
            return self.fault(Fault::NoDivergence { end, tail });
        }
        self.flight.end();
        self.phase = Phase::Archiving { to };
        vec![Command::Archive { range: OffsetRange::new(to, tail), last_epoch: self.log.last_epoch() }]
    }

    /// Follows an answer that begins where the copy ends, and those behind it that came before it.
    fn follow(&mut self, now: Duration, answer: Answer) -> Vec<Command> {
        let (mut commands, mut next) = (Vec::new(), Some(answer));
        while let Some(answer) = next {
            match self.take(now, &answer, &mut commands) {
                Taken::Whole => next = self.flight.due(self.log.tail()),
                Taken::Else(then) => {
                    commands.extend(then);
                    return commands;
                }
            }
        }
        self.pause = Duration::ZERO;
        commands.extend(self.fetch_more());
        commands
    }

    fn take(&mut self, now: Duration, answer: &Answer, commands: &mut Vec<Command>) -> Taken {
        let gap = self.skip_gap(answer);
        let had_gap = !gap.is_empty();
        commands.extend(gap);
        commands.extend(self.inherit(answer));
        self.note_source(now, answer);
        let records = if let Body::Records(records) = &answer.body { records.clone() } else { Bytes::new() };
        let rules = Rules { leader_epoch: answer.leader_epoch, compacted: self.settings.compacted };
        let mut log = self.log.clone();
        let taken = batches::take(&mut log, &records, rules);
        if taken.commands.iter().any(|command| self.contradicts_council(command)) {
            return Taken::Else(self.stop(StopReason::LineageMismatch));
        }
        self.log = log;
        self.lag.copied(taken.records, taken.bytes);
        self.rate.delivered(now, taken.bytes, self.flow.round_trip);
        self.flight.adapt(taken.bytes > 0, self.flow.depth);
        commands.extend(taken.commands);
        commands.extend(self.raise_marks());
        let is_whole = !had_gap && answer.served.is_none_or(|served| served.end <= self.log.tail());
        match taken.fault {
            Some(fault) => Taken::Else(self.fault(fault)),
            None if answer.body == Body::OutOfRange && !had_gap => Taken::Else(self.fetch_later()),
            None if is_whole => Taken::Whole,
            // What is missing was handed out already: it comes with another run.
            None => {
                self.pause = Duration::ZERO;
                Taken::Else(self.fetch())
            }
        }
    }

    /// Goes on at the source's log start when that is above the tail. Only a copy that has never begun misses nothing.
    fn skip_gap(&mut self, answer: &Answer) -> Vec<Command> {
        let (tail, at) = (self.log.tail(), answer.log_start);
        if at <= tail {
            return Vec::new();
        }
        let begun = self.source.heard || self.log.last_epoch() != LeaderEpoch::NONE || tail > Offset::ZERO;
        let gap = |range| self.gap(range, GapReason::Retention, answer.source_time);
        let gap = begun.then(|| Command::RecordGap(gap(OffsetRange::new(tail, at))));
        self.log.restart(at);
        gap.into_iter().chain([Command::Restart { at }]).collect()
    }

    /// Takes over what the source does not hold any more, and finds out what this copy missed by that.
    fn inherit(&mut self, answer: &Answer) -> Vec<Command> {
        let known = self.log.baseline();
        let next = gap::inherit(known, &answer.baseline, self.log.held());
        if next == known {
            return Vec::new();
        }
        self.log.set_baseline(next);
        let missed = self.newly_missed(known, answer.source_time);
        missed.into_iter().chain([Command::Inherit(next)]).collect()
    }

    /// What has become of the copy since it said `known` of itself.
    pub(super) fn newly_missed(&self, known: Baseline, found_at: Timestamp) -> Option<Command> {
        let missed = self.log.baseline().missed.filter(|_| known.missed.is_none())?;
        Some(Command::RecordGap(self.gap(missed, GapReason::Compaction, found_at)))
    }

    fn gap(&self, range: OffsetRange, reason: GapReason, found_at: Timestamp) -> Gap {
        let Settings { topic, partition, .. } = self.settings;
        Gap { topic, partition, range, reason, ownership_epoch: self.source.ownership_epoch, found_at }
    }

    fn note_source(&mut self, now: Duration, answer: &Answer) {
        self.source.heard = true;
        self.source.high_watermark.advance(answer.high_watermark);
        self.source.log_start.advance(answer.log_start);
        self.lag.durable(self.log.flushed());
        let Answer { source_time, source_tail, oldest_unread, .. } = *answer;
        self.lag.heard(now, Sighting { source_time, source_tail, from: self.log.tail(), oldest_unread });
    }

    /// Whether a hole is crossed elsewhere than where the council says the lineage of its grant departs.
    fn contradicts_council(&self, command: &Command) -> bool {
        let Command::Cross { hole, epoch, .. } = command else { return false };
        let mut openings = self.settings.openings.iter();
        openings.any(|opening| opening.ownership_epoch == epoch.ownership() && opening.hole != *hole)
    }
}
