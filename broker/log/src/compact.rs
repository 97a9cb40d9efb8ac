//! Compaction: of each key the last record stays (`cleanup.policy=compact`).
//!
//! ```text
//!   owner                        thread                               owner
//!   compaction_job() --------->  plan -> map -> clean -> <base>.log.cleaned
//!        appends go on           (nothing of the log is touched)
//!                                Cleaned -------------------------->  swap_in(): marker, rename, publish
//! ```
//!
//! - Offsets and order stay; batches keep their base and last offset. What is kept whole is kept byte for byte.
//! - Only whole segments behind the active one are cleaned, and only below the limit: what is committed and decided,
//!   flushed, and what links have. Segments are merged where they are small, never across a hole.
//! - A cleaned segment ends where the segments it replaces ended: their last batch stays, emptied if need be, so that
//!   neither recovery nor a truncation ever takes a compacted end for an earlier one.
//! - A tombstone stays until the horizon its batch was given by the first compaction that saw it (KIP-534).
//! - Of each producer the log remembers the last batch stays, emptied if need be; markers stay as long as a batch of
//!   their transaction was there; records of aborted transactions go.
//! - The swap happens as a whole or not at all, whenever the process or the machine dies ([`swap`]). Before it, what nothing
//!   in the log tells of any more is written down beside it ([`Log::baseline`]).

mod judge;
mod offset_map;
mod output;
mod plan;
pub(crate) mod swap;

use crate::retain::modified;
use crate::segment::Segment;
use crate::view::{Shared, View};
use crate::walk::Found;
use crate::{Config, Log, ReadError, TruncateError};
use judge::{Fate, Judge};
pub(crate) use judge::{LastBatch, aborted};
use model::{Baseline, ByteCount, Offset, ProducerId, Timestamp, limits};
use offset_map::OffsetMap;
use output::Output;
use plan::{Group, SegmentFacts};
use record::BatchView;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When a log is compacted, and what of it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Compaction {
    /// It is due when more than this part of it is new (`min.cleanable.dirty.ratio`).
    pub dirty_ratio_min: f64,
    /// Records younger than this are left alone (`min.compaction.lag.ms`).
    pub lag_min: Duration,
    /// It is due when a record that was never looked at is older than this (`max.compaction.lag.ms`).
    pub lag_max: Duration,
    /// How long tombstones stay behind the first compaction that sees them (`delete.retention.ms`).
    pub delete_retention: Duration,
    /// How much memory the keys may take; more keys take more than one compaction.
    pub memory: ByteCount,
}

/// What one compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Everything below was looked at.
    pub upto: Offset,
    /// Bytes of the segments that were replaced.
    pub bytes_before: u64,
    /// Bytes of those that took their place.
    pub bytes_after: u64,
}

/// One compaction, to be run where it may block.
pub struct CompactionJob {
    shared: Arc<Shared>,
    view: View,
    dir: PathBuf,
    config: Config,
    policy: Compaction,
    producers: HashMap<ProducerId, LastBatch>,
    truncations: u64,
    cleaned: Offset,
    limit: Offset,
    now: Timestamp,
}

/// Cleaned segments that wait for their place. Dropped without a swap, they are left to the next one.
pub struct Cleaned {
    pub(crate) truncations: u64,
    /// Everything below is clean once all of them are in their place.
    pub(crate) upto: Offset,
    /// Behind the last tombstone or marker that nothing tells of any more then.
    pub(crate) forgotten: Option<Offset>,
    pub(crate) now: Timestamp,
    pub(crate) groups: Vec<CleanedGroup>,
}

/// One segment that takes the place of others.
pub(crate) struct CleanedGroup {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
}

impl Log {
    /// A compaction of everything below `limit`, to be run beside the owner: below it every record is committed and
    /// its transaction decided.
    pub fn compaction_job(&self, policy: &Compaction, now: Timestamp, limit: Offset) -> CompactionJob {
        let view = self.view();
        // Positions in a cleaned segment are others: no mark may point into one, in memory or on disk.
        let marked = self.unflushed.point.map_or(Offset::ZERO, |point| point.mark.segment);
        CompactionJob {
            shared: self.shared.clone(),
            limit: limit.min(view.flushed.segment).min(marked),
            dir: self.dir.clone(),
            config: self.config.clone(),
            policy: policy.clone(),
            producers: self.producers.last_batches(),
            truncations: self.shared.truncations(),
            cleaned: self.cleaned,
            now,
            view,
        }
    }
}

impl CompactionJob {
    /// Cleans what is due into files of their own; `None` when nothing is due.
    ///
    /// # Errors
    /// [`ReadError`]: the log is as it was.
    pub fn run(self) -> Result<Option<Cleaned>, ReadError> {
        let facts = self.facts()?;
        let start = self.cleaned.max(self.view.start);
        let Some(dirty) = plan::dirty(&facts, start, self.limit, &self.policy, self.now) else { return Ok(None) };
        let segments = &self.view.segments[..dirty.segments];
        let map = self.map(segments, start)?;
        let used = segments.iter().take_while(|segment| segment.base < map.end).count();
        let groups = plan::groups(&facts[..used], &self.config);
        let cleaned = self.clean(&groups, &map);
        if cleaned.is_err() {
            // What was written so far is of no use.
            let _ = swap::remove_cleaned(&self.dir);
        }
        cleaned.map(Some)
    }

    fn facts(&self) -> Result<Vec<SegmentFacts>, ReadError> {
        let before_active = &self.view.segments[..self.view.segments.len() - 1];
        before_active.iter().map(|segment| self.fact(segment)).collect()
    }

    fn fact(&self, segment: &Segment) -> Result<SegmentFacts, ReadError> {
        let hole = self.view.epochs.hole_before(segment.base);
        Ok(SegmentFacts {
            base: segment.base,
            next: segment.next(),
            size: segment.size(),
            index_entries: segment.offsets.count(),
            first_time: segment.first_time()?,
            latest_time: segment.latest().map(|latest| latest.timestamp),
            opens_hole: hole.is_some_and(|hole| hole.base == segment.base),
        })
    }

    /// Where each key was last, from `from` on, as far as memory goes.
    fn map(&self, segments: &[Arc<Segment>], from: Offset) -> Result<OffsetMap, ReadError> {
        let mut map = OffsetMap::within(self.policy.memory, from);
        let aborted = judge::aborted(&self.view.segments);
        for segment in segments.iter().filter(|segment| segment.next() > from) {
            for found in segment.walk(segment.offsets.lookup(from)?, segment.size()) {
                let found = found?;
                if found.header.next_offset() <= from {
                    continue;
                }
                let keyless = found.header.attributes.is_control() || aborted.covers(&found.header);
                if !keyless && !self.note_keys(segment, &found, &mut map)? {
                    return Ok(map);
                }
                map.end = found.header.next_offset();
            }
        }
        Ok(map)
    }

    /// Whether there was room for all keys of the batch.
    fn note_keys(&self, segment: &Segment, found: &Found, map: &mut OffsetMap) -> Result<bool, ReadError> {
        if !map.has_room_for(found.header.count as usize) {
            return Ok(false);
        }
        self.with_records(segment, found, |batch| {
            for record in batch.records(limits::DECOMPRESSED_BYTES_MAX)? {
                let record = record?;
                record.key.iter().for_each(|key| map.note(key, record.offset));
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn with_records<T>(
        &self,
        segment: &Segment,
        found: &Found,
        take: impl FnOnce(&BatchView<'_>) -> Result<T, record::RecordError>,
    ) -> Result<T, ReadError> {
        let base_offset = found.header.base_offset;
        segment.with_batch(found.position, &found.header, |batch| {
            let damaged = |error| ReadError::Damaged { path: segment.path.clone(), position: found.position, error };
            // A batch that rotted on the disk is not carried over under a new checksum.
            batch.verify().map_err(damaged)?;
            take(batch).map_err(|error| ReadError::Records { base_offset, error })
        })
    }

    fn clean(&self, groups: &[Group], map: &OffsetMap) -> Result<Cleaned, ReadError> {
        // Also those whose markers lie behind what is cleaned.
        let aborted = judge::aborted(&self.view.segments);
        let mut judge = Judge::new(map, aborted, &self.producers, self.now, self.policy.delete_retention);
        let cleaned = groups.iter().map(|group| self.clean_group(&self.view.segments[group.clone()], &mut judge));
        let groups = cleaned.collect::<Result<_, _>>()?;
        Ok(Cleaned {
            truncations: self.truncations,
            upto: map.end,
            forgotten: judge.forgotten(),
            now: self.now,
            groups,
        })
    }

    fn clean_group(&self, segments: &[Arc<Segment>], judge: &mut Judge<'_>) -> Result<CleanedGroup, ReadError> {
        let last = segments.last().expect("a group has a segment");
        let mut output = Output::create(&self.dir, segments[0].base, &self.config)?;
        for segment in segments {
            for found in segment.walk(0, segment.size()) {
                let found = found?;
                let ends = found.header.next_offset() == last.next();
                self.clean_batch(segment, &found, ends, judge, &mut output)?;
            }
        }
        let bytes = output.finish(segments)?;
        Ok(CleanedGroup { segments: segments.to_vec(), end: last.next(), bytes })
    }

    fn clean_batch(
        &self,
        segment: &Segment,
        found: &Found,
        ends: bool,
        judge: &mut Judge<'_>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        if self.shared.truncations() != self.truncations {
            return Err(ReadError::Truncated);
        }
        self.with_records(segment, found, |batch| judge.judge(batch, ends).map(|fate| (fate, batch.bytes().to_vec())))
            .and_then(|(fate, whole)| match fate {
                Fate::Kept => Ok(output.append(&whole)?),
                Fate::Changed(bytes) => Ok(output.append(&bytes)?),
                Fate::Gone => Ok(()),
            })
    }
}

impl Cleaned {
    /// What is to be known of the log before any of it is in its place.
    fn baseline(&self, known: Baseline) -> Baseline {
        let thinned = known.thinned.max(self.upto);
        let Some(forgotten) = self.forgotten else { return Baseline { thinned, ..known } };
        // No two of them have the same time, whatever the clock does.
        let forgotten_at = self.now.max(known.forgotten_at.plus(Duration::from_millis(1)));
        Baseline { forgotten: known.forgotten.max(forgotten), forgotten_at, thinned, ..known }
    }
}

impl Log {
    /// Puts cleaned segments in the place of those they were made from, durably. What changed meanwhile is left as it
    /// is. It may block for some flushes.
    ///
    /// # Errors
    /// [`TruncateError`]: the log is sealed, for its files are half changed; the next start finishes the change.
    pub fn swap_in(&mut self, cleaned: Cleaned) -> Result<Compacted, TruncateError> {
        self.shared.check_open()?;
        let mut done = Compacted { upto: self.cleaned, ..Compacted::default() };
        let mut all = cleaned.truncations == self.shared.truncations();
        self.set_baseline(cleaned.baseline(self.baseline())).map_err(|error| self.cut_failed(error.into()))?;
        for group in &cleaned.groups {
            all &= self.is_current(group);
            if !all {
                break;
            }
            self.swap_group(group).map_err(|error| self.cut_failed(error))?;
            done.bytes_before += group.segments.iter().map(|segment| segment.size()).sum::<u64>();
            done.bytes_after += group.bytes;
        }
        swap::remove_cleaned(&self.dir)?;
        if all {
            self.cleaned = cleaned.upto;
            swap::write_checkpoint(&self.dir, self.cleaned)?;
            done.upto = cleaned.upto;
        }
        Ok(done)
    }

    /// Whether the segments are still in the log, one after the other.
    fn is_current(&self, group: &CleanedGroup) -> bool {
        let view = self.shared.read();
        let at = view.segments.partition_point(|segment| segment.base < group.segments[0].base);
        let there = view.segments[at..].iter().take(group.segments.len());
        there.len() == group.segments.len() && there.zip(&group.segments).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    fn swap_group(&mut self, group: &CleanedGroup) -> Result<(), TruncateError> {
        let base = group.segments[0].base;
        // Readers go on in the old files, which must all be open then.
        group.segments.iter().try_for_each(|segment| segment.pin())?;
        swap::begin(&self.dir, base, group.end)?;
        swap::finish(&self.dir, base, group.end)?;
        let segment = Segment::open(&self.dir, base, &self.config)?.ok_or_else(|| swap::unusable(&self.dir, base))?;
        let mut view = self.shared.write();
        let segments = Arc::make_mut(&mut view.segments);
        let at = segments.partition_point(|segment| segment.base < base);
        segments.splice(at..at + group.segments.len(), [Arc::new(segment)]);
        Ok(())
    }

    /// Everything below was looked at by a compaction.
    pub fn compacted_upto(&self) -> Offset {
        self.cleaned
    }

    /// Below it everything was written here `age` ago or earlier, whatever time its records have, or before the newest
    /// `bytes` of batches. It lies between two segments; it is the log start where neither is so.
    pub fn expired(&self, age: Duration, bytes: ByteCount, now: Timestamp) -> Offset {
        let (view, mut newer) = (self.view(), 0);
        let expired = view.segments.iter().rev().find_map(|segment| {
            if now.since(modified(segment)) >= age {
                return Some(segment.next());
            }
            newer += segment.size();
            (newer >= bytes.0).then_some(segment.base)
        });
        expired.map_or(view.start, |offset| offset.max(view.start))
    }
}
