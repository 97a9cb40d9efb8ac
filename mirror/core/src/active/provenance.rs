mod file;
mod recover;

use super::{Dot, HybridTime, Vector, Version};
use model::{Incarnation, LeaderEpoch, Offset, OffsetRange};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(super) use file::crc;
pub use file::{Defect, SideFile, SideIdentity};
pub use recover::{Recovery, recovery};

/// Offsets of the local log that have one story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first of them.
    pub local: Offset,
    /// How many they are; never 0.
    pub count: u32,
    /// What stands there.
    pub content: Content,
}

/// What stands in the local log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Records of clients, of this region or carried from another one.
    Written(Written),
    /// The standing version of a key once more, since another record had come to stand last.
    Repeat(Dot),
    /// A control record: it belongs to this region's log alone.
    Control,
}

/// Records that one region took from clients without anything received in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The region.
    pub origin: Incarnation,
    /// The offset of the first one there.
    pub start: Offset,
    /// Where the records of that region before them end: what lies between is no client's record.
    pub after: Offset,
    /// The leader epoch they were appended under there.
    pub epoch: LeaderEpoch,
    /// Their stamp.
    pub time: HybridTime,
    /// What the region had received of the others.
    pub seen: Arc<Vector>,
}

impl Run {
    /// Behind the last of its offsets.
    pub const fn end(&self) -> Offset {
        self.local.plus(self.count as i64)
    }

    /// Its offsets in the local log.
    pub const fn range(&self) -> OffsetRange {
        OffsetRange::new(self.local, self.end())
    }

    /// The version at `local`, if a client's record stands there.
    pub fn version_at(&self, local: Offset) -> Option<Version> {
        let Content::Written(written) = &self.content else { return None };
        let at = written.start.plus(local.since(self.local) as i64);
        let dot = Dot { origin: written.origin, offset: at };
        self.range().contains(local).then(|| Version { dot, seen: written.seen.clone(), time: written.time })
    }

    /// What of it lies at or above `local`. Its first record follows nothing any more.
    fn behind(&self, local: Offset) -> Option<Self> {
        let gone = u32::try_from(local.since(self.local)).ok().filter(|gone| *gone < self.count)?;
        let mut kept = Self { local: self.local.plus(i64::from(gone)), count: self.count - gone, ..self.clone() };
        if let Content::Written(written) = &mut kept.content {
            written.start = written.start.plus(i64::from(gone));
            written.after = written.start;
        }
        Some(kept)
    }

    /// Whether `next` goes on where this one ends, with the same story.
    fn goes_on_with(&self, next: &Self) -> bool {
        let (Content::Written(one), Content::Written(other)) = (&self.content, &next.content) else { return false };
        let end = one.start.plus(i64::from(self.count));
        let alike = (one.origin, one.epoch, one.time) == (other.origin, other.epoch, other.time);
        alike
            && other.start == end
            && other.after == end
            && one.seen == other.seen
            && self.count.checked_add(next.count).is_some()
    }
}

/// A run that does not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It begins elsewhere than at the tail, or is empty.
    #[error("a run of {count} records at offset {local} does not follow the tail {tail}")]
    Place {
        /// Where it begins.
        local: Offset,
        /// How many records it says it has.
        count: u32,
        /// The tail.
        tail: Offset,
    },
    /// Its origin's records are here already, or it says so itself.
    #[error("records of region {origin} from {start} on, behind {after}, do not follow those up to {received}")]
    Origin {
        /// The origin.
        origin: Incarnation,
        /// Where the run begins there.
        start: Offset,
        /// What it says it follows.
        after: Offset,
        /// What is here.
        received: Offset,
    },
    /// There are more regions than a partition may know.
    #[error("records of region {0} are one origin too many for one partition")]
    TooMany(Incarnation),
}

/// The runs of one partition's log, in order and without a hole; those that go on alike are one.
#[derive(Clone, Debug)]
pub struct Provenance {
    own: Incarnation,
    start: Offset,
    runs: VecDeque<Run>,
    /// Where the runs of each origin are, by the offset they begin at there.
    by_origin: BTreeMap<Incarnation, BTreeMap<Offset, Offset>>,
    received: Vector,
    /// What all records before `start` left behind.
    received_at_start: Vector,
}

impl Provenance {
    /// Of an empty log of region `own` that begins at `start`, where `received` was received before.
    pub fn new(own: Incarnation, start: Offset, received: Vector) -> Self {
        let received_at_start = received.clone();
        Self { own, start, runs: VecDeque::new(), by_origin: BTreeMap::new(), received, received_at_start }
    }

    /// Whose log it is.
    pub const fn own(&self) -> Incarnation {
        self.own
    }

    /// The first offset it tells of.
    pub const fn start(&self) -> Offset {
        self.start
    }

    /// The next offset of the log.
    pub fn tail(&self) -> Offset {
        self.runs.back().map_or(self.start, Run::end)
    }

    /// What is in the log, and was before its start, of each origin, this region included.
    pub const fn received(&self) -> &Vector {
        &self.received
    }

    /// What had been received before the first run.
    pub const fn received_at_start(&self) -> &Vector {
        &self.received_at_start
    }

    /// The runs in order.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> + '_ {
        self.runs.iter()
    }

    /// The runs from the one that holds `local` on.
    pub fn runs_from(&self, local: Offset) -> impl Iterator<Item = &Run> + '_ {
        self.runs.range(self.index_of(local)..)
    }

    fn index_of(&self, local: Offset) -> usize {
        self.runs.partition_point(|run| run.end() <= local)
    }

    /// What stands at `local`.
    pub fn run_at(&self, local: Offset) -> Option<&Run> {
        self.runs.get(self.index_of(local)).filter(|run| run.range().contains(local))
    }

    /// Which record stands at `local`, or is repeated there.
    pub fn dot_at(&self, local: Offset) -> Option<Dot> {
        let run = self.run_at(local)?;
        match &run.content {
            Content::Repeat(dot) => Some(*dot),
            Content::Written(_) | Content::Control => run.version_at(local).map(|version| version.dot),
        }
    }

    /// Where the record stands in the local log; `None` when it is not in it, or not any more.
    pub fn local_of(&self, dot: Dot) -> Option<Offset> {
        let (start, local) = self.by_origin.get(&dot.origin)?.range(..=dot.offset).next_back()?;
        let at = local.plus(dot.offset.since(*start) as i64);
        (self.dot_at(at) == Some(dot)).then_some(at)
    }

    /// Where the first record of `origin` at or above `from` stands in the local log.
    pub fn first_from(&self, origin: Incarnation, from: Offset) -> Option<Offset> {
        let places = self.by_origin.get(&origin)?;
        let holds = self.local_of(Dot { origin, offset: from });
        holds.or_else(|| places.range(from..).next().map(|(_, local)| *local))
    }

    /// The last leader epoch of `origin` that is in the log.
    pub fn last_epoch(&self, origin: Incarnation) -> Option<LeaderEpoch> {
        let (_, local) = self.by_origin.get(&origin)?.last_key_value()?;
        match &self.run_at(*local)?.content {
            Content::Written(written) => Some(written.epoch),
            Content::Repeat(_) | Content::Control => None,
        }
    }

    /// Takes the next run.
    ///
    /// # Errors
    /// [`Misfit`] when it does not follow; nothing changes.
    pub fn append(&mut self, run: Run) -> Result<(), Misfit> {
        let tail = self.tail();
        if run.local != tail || run.count == 0 {
            return Err(Misfit::Place { local: run.local, count: run.count, tail });
        }
        if let Content::Written(written) = &run.content {
            self.check(written)?;
            self.received.advance(written.origin, written.start.plus(i64::from(run.count)));
        }
        self.place(run);
        Ok(())
    }

    fn check(&self, Written { origin, start, after, .. }: &Written) -> Result<(), Misfit> {
        let received = self.received.tail(*origin);
        if *after > *start || *start < received || *start < Offset::ZERO {
            return Err(Misfit::Origin { origin: *origin, start: *start, after: *after, received });
        }
        let known = received > Offset::ZERO || self.received.origins() < super::limits::ORIGINS_MAX;
        if known { Ok(()) } else { Err(Misfit::TooMany(*origin)) }
    }

    fn place(&mut self, run: Run) {
        match self.runs.back_mut().filter(|last| last.goes_on_with(&run)) {
            Some(last) => last.count += run.count,
            None => {
                self.note_place(&run);
                self.runs.push_back(run);
            }
        }
    }

    /// Cuts the log off at `to`.
    pub fn truncate(&mut self, to: Offset) {
        let kept: Vec<_> = self.runs.iter().filter(|run| run.local < to).cloned().collect();
        *self = Self::new(self.own, self.start.min(to), std::mem::take(&mut self.received_at_start));
        for mut run in kept {
            run.count = run.count.min(u32::try_from(to.since(run.local)).unwrap_or(u32::MAX));
            self.append(run).expect("it followed before");
        }
    }

    /// Forgets what lies below the log start.
    pub fn raise_start(&mut self, start: Offset) {
        while let Some(run) = self.runs.pop_front_if(|run| run.local < start) {
            self.forget_place(&run);
            let kept = run.behind(start);
            self.start = kept.as_ref().map_or(run.end(), |kept| kept.local);
            if let Content::Written(Written { origin, start, .. }) = run.content {
                let gone = run.count - kept.as_ref().map_or(0, |kept| kept.count);
                self.received_at_start.advance(origin, start.plus(i64::from(gone)));
            }
            if let Some(kept) = kept {
                self.note_place(&kept);
                self.runs.push_front(kept);
            }
        }
    }

    fn note_place(&mut self, run: &Run) {
        if let Content::Written(Written { origin, start, .. }) = &run.content {
            self.by_origin.entry(*origin).or_default().insert(*start, run.local);
        }
    }

    fn forget_place(&mut self, run: &Run) {
        if let Content::Written(Written { origin, start, .. }) = &run.content {
            self.by_origin.entry(*origin).or_default().remove(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const OWN: Incarnation = Incarnation(1);

    pub(super) fn written(local: i64, count: u32, origin: u16, start: i64, after: i64, time: u64) -> Run {
        let written = Written {
            origin: Incarnation(origin),
            start: Offset(start),
            after: Offset(after),
            epoch: LeaderEpoch(4096),
            time: HybridTime(time),
            seen: Arc::default(),
        };
        Run { local: Offset(local), count, content: Content::Written(written) }
    }

    pub(super) fn provenance(runs: Vec<Run>) -> Provenance {
        let mut provenance = Provenance::new(OWN, Offset::ZERO, Vector::default());
        runs.into_iter().for_each(|run| provenance.append(run).unwrap());
        provenance
    }

    fn dot(origin: u16, offset: i64) -> Dot {
        Dot { origin: Incarnation(origin), offset: Offset(offset) }
    }

    pub(super) fn story() -> Provenance {
        provenance(vec![
            written(0, 3, 1, 0, 0, 5),
            written(3, 2, 2, 10, 0, 6),
            Run { local: Offset(5), count: 1, content: Content::Repeat(dot(1, 2)) },
            written(6, 4, 2, 12, 12, 7),
            Run { local: Offset(10), count: 1, content: Content::Control },
            written(11, 1, 1, 11, 3, 8),
        ])
    }

    #[test]
    fn every_record_is_found_both_ways() {
        let story = story();
        assert_eq!(story.tail(), Offset(12));
        for local in (0..12).filter(|local| ![5, 10].contains(local)) {
            let dot = story.dot_at(Offset(local)).unwrap();
            assert_eq!(story.local_of(dot), Some(Offset(local)));
        }
        assert_eq!(story.dot_at(Offset(5)), Some(dot(1, 2)));
        assert_eq!((story.dot_at(Offset(10)), story.dot_at(Offset(12))), (None, None));
        assert_eq!((story.local_of(dot(2, 9)), story.local_of(dot(1, 5))), (None, None));
        assert_eq!(story.first_from(Incarnation(2), Offset(0)), Some(Offset(3)));
        assert_eq!(story.first_from(Incarnation(2), Offset(13)), Some(Offset(7)));
        assert_eq!(story.first_from(Incarnation(1), Offset(4)), Some(Offset(11)));
        assert_eq!(story.first_from(Incarnation(2), Offset(16)), None);
        assert_eq!(story.received().tail(Incarnation(2)), Offset(16));
    }

    #[test]
    fn runs_with_the_same_story_are_one() {
        let story = provenance(vec![written(0, 3, 2, 4, 0, 5), written(3, 2, 2, 7, 7, 5), written(5, 1, 2, 9, 9, 6)]);
        assert_eq!(story.runs().map(|run| run.count).collect::<Vec<_>>(), [5, 1]);
    }

    #[test]
    fn a_run_that_does_not_follow_is_refused() {
        let mut story = story();
        assert!(matches!(story.append(written(13, 1, 1, 12, 12, 9)), Err(Misfit::Place { .. })));
        assert!(matches!(story.append(written(12, 0, 1, 12, 12, 9)), Err(Misfit::Place { .. })));
        assert!(matches!(story.append(written(12, 1, 2, 15, 15, 9)), Err(Misfit::Origin { .. })));
        assert!(matches!(story.append(written(12, 1, 2, 20, 21, 9)), Err(Misfit::Origin { .. })));
        story.append(written(12, 1, 2, 20, 16, 9)).unwrap();
    }

    #[test]
    fn a_cut_log_and_a_raised_start_forget_and_keep_the_rest() {
        let mut story = story();
        story.truncate(Offset(8));
        assert_eq!((story.tail(), story.received().tail(Incarnation(2))), (Offset(8), Offset(14)));
        assert_eq!(story.received().tail(Incarnation(1)), Offset(3));
        story.raise_start(Offset(7));
        assert_eq!(
            (story.start(), story.local_of(dot(2, 12)), story.local_of(dot(2, 13))),
            (Offset(7), None, Some(Offset(7)))
        );
        assert_eq!(story.local_of(dot(1, 0)), None);
        story.truncate(Offset(7));
        assert_eq!(story.received(), story.received_at_start());
        assert_eq!(story.received().tail(Incarnation(2)), Offset(13));
    }
}
