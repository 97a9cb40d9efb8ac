//! Which batches of an answer may be appended, and how.

use super::answer::{Command, Fault};
use super::copy_log::CopyLog;
use bytes::Bytes;
use model::{LeaderEpoch, Offset, OffsetRange, limits};
use record::{BatchError, BatchView, Batches, ControlRecord};
use std::ops::ControlFlow;

/// What a batch has to be held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The epoch the answer's leader appends under: a batch above it belongs to another one.
    pub leader_epoch: LeaderEpoch,
    /// Whether compaction may have taken batches away.
    pub compacted: bool,
}

/// What became of an answer's records.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub commands: Vec<Command>,
    /// Data records that were taken.
    pub records: u64,
    pub bytes: u64,
    /// Why the rest was not.
    pub fault: Option<Fault>,
}

/// How a batch joins the copy.
enum Join {
    /// It is there already.
    Known,
    /// It follows; an epoch that begins with it starts at the offset.
    Follows(Offset),
    /// The source's log start lies within it: the copy, still empty, begins where it begins.
    Holds,
    /// It begins a new epoch behind a hole.
    Crosses,
    /// It and all behind it wait for a newer answer.
    Later,
}

/// Takes what may be appended to `log`, in order, up to the first batch that may not.
pub(super) fn take(log: &mut CopyLog, answer: &Bytes, rules: Rules) -> Taken {
    let mut taking = Taking { log, answer, rules, run: Run::default(), taken: Taken::default() };
    let mut batches = Batches::new(answer);
    let mut at = 0;
    while let Some(batch) = batches.next() {
        if taking.batch(batch, at).is_break() {
            break;
        }
        at = batches.position();
    }
    taking.end_run();
    taking.taken
}

struct Taking<'a> {
    log: &'a mut CopyLog,
    answer: &'a Bytes,
    rules: Rules,
    run: Run,
    taken: Taken,
}

impl Taking<'_> {
    fn batch(&mut self, batch: Result<BatchView<'_>, BatchError>, at: usize) -> ControlFlow<()> {
        let sound = batch.and_then(|batch| batch.verify().map(|()| batch));
        let tail = self.log.tail();
        let joined = sound
            .map_err(|error| Fault::Batch { tail, error })
            .and_then(|batch| join(self.log, &batch, self.rules).map(|join| (batch, join)));
        match joined {
            Ok((_, Join::Known)) => {}
            Ok((batch, Join::Follows(start))) => self.follow(&batch, at, start),
            Ok((batch, Join::Crosses)) => self.cross(&batch, at),
            Ok((batch, Join::Holds)) => {
                self.log.restart(batch.base_offset);
                self.taken.commands.push(Command::Restart { at: batch.base_offset });
                self.follow(&batch, at, batch.base_offset);
            }
            Ok((_, Join::Later)) => return ControlFlow::Break(()),
            Err(fault) => {
                self.taken.fault = Some(fault);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn follow(&mut self, batch: &BatchView<'_>, at: usize, start: Offset) {
        self.run.extend(self.log.tail(), at, batch.size_bytes);
        self.add(batch, start);
    }

    fn cross(&mut self, batch: &BatchView<'_>, at: usize) {
        self.end_run();
        let hole = OffsetRange::new(self.log.tail(), batch.base_offset);
        let record = self.answer.slice(at..at + batch.size_bytes);
        self.taken.commands.push(Command::Cross { record, hole, epoch: batch.leader_epoch });
        self.add(batch, hole.start);
    }

    fn add(&mut self, batch: &BatchView<'_>, start: Offset) {
        let bytes = batch.size_bytes as u64;
        let range = OffsetRange::new(batch.base_offset, batch.next_offset());
        self.log.append(batch.leader_epoch, start, range, bytes);
        self.taken.bytes += bytes;
        if !batch.attributes.is_control() {
            self.taken.records += batch.count as u64;
        }
    }

    fn end_run(&mut self) {
        if let Some((start, at)) = self.run.from.take() {
            let range = OffsetRange::new(start, self.log.tail());
            self.taken.commands.push(Command::Append { records: self.answer.slice(at..self.run.to), range });
        }
    }
}

fn join(log: &CopyLog, batch: &BatchView<'_>, rules: Rules) -> Result<Join, Fault> {
    let (tail, last) = (log.tail(), log.last_epoch());
    if batch.next_offset() <= tail {
        return Ok(Join::Known);
    }
    if batch.leader_epoch > rules.leader_epoch {
        return Ok(Join::Later);
    }
    if batch.leader_epoch < last {
        return Err(Fault::EpochWentBack { batch: batch.leader_epoch, last });
    }
    if batch.base_offset < tail {
        let batch = OffsetRange::new(batch.base_offset, batch.next_offset());
        return if log.is_empty() { Ok(Join::Holds) } else { Err(Fault::Overlap { batch, tail }) };
    }
    if batch.base_offset == tail {
        return Ok(Join::Follows(tail));
    }
    join_behind_hole(batch, tail, last, rules)
}

fn join_behind_hole(batch: &BatchView<'_>, tail: Offset, last: LeaderEpoch, rules: Rules) -> Result<Join, Fault> {
    let base = batch.base_offset;
    if batch.leader_epoch > last && ControlRecord::of(batch) == Some(ControlRecord::LeaderChange) {
        return Ok(Join::Crosses);
    }
    let cleaned = rules.compacted && base.since(tail) < limits::PROMOTE_HOLE_OFFSETS as u64;
    if cleaned { Ok(Join::Follows(base)) } else { Err(Fault::Hole { tail, base }) }
}

/// Batches that are appended together.
#[derive(Debug, Default)]
struct Run {
    from: Option<(Offset, usize)>,
    to: usize,
}

impl Run {
    fn extend(&mut self, tail: Offset, at: usize, bytes: usize) {
        self.from.get_or_insert((tail, at));
        self.to = at + bytes;
    }
}
