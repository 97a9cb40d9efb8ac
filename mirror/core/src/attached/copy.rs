use super::{Entry, MapError, OffsetMap, Run};
use model::{Offset, OffsetRange, ProducerId, TopicId};
use record::{Header, sequence_after};
use std::collections::VecDeque;

/// How many gaps are kept one by one; later ones are joined with the last.
const GAPS_MAX: usize = 1000;

/// What is copied to where, and from which offsets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The topic in the source cluster.
    pub source_topic: TopicId,
    /// The topic in the target cluster.
    pub target_topic: TopicId,
    /// The first source offset that is copied.
    pub source: Offset,
    /// The end of the target partition before anything was copied.
    pub target: Offset,
}

/// An idempotent producer of ours (KIP-98), which only this partition's copy uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id, given by the target cluster.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: i16,
}

/// A batch that may have been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The sequence number of its first record.
    pub sequence: i32,
    /// Which source offsets it holds: the first of each run, and how many.
    pub runs: Vec<(Offset, u32)>,
    /// The source offset behind it and whatever is left out behind it.
    pub end: Offset,
}

impl Planned {
    /// How many records it has.
    pub fn count(&self) -> i32 {
        self.runs.iter().map(|(_, count)| *count as i32).sum()
    }
}

/// Where a reader of the source goes on in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The target offset: never past the true one.
    pub offset: Offset,
    /// Whether it is the true one. Otherwise the copy has not come as far as the reader, or no longer knows it exactly.
    pub is_exact: bool,
}

/// Why a copy cannot go on as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The journal does not begin as one.
    #[error("the journal does not say what is copied to where")]
    NoBegin,
    /// An entry that does not follow from those before it.
    #[error("the journal's entry {0} does not follow from those before it")]
    Order(Box<Entry>),
    /// A landing that the map cannot take.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The target holds a batch of our producer that was never planned.
    #[error(
        "the target holds at offset {offset} a batch of this link's producer {producer} with sequence {sequence}, which \
         its journal knows nothing of: the data directory is older than what was sent. Give the link the directory it \
         last used, or delete the target topic and let it begin anew in an empty directory"
    )]
    Stranger {
        /// Where it is.
        offset: Offset,
        /// The producer.
        producer: ProducerId,
        /// Its sequence number.
        sequence: i32,
    },
}

/// The state of the copy of one partition: what its journal says.
///
/// ```text
///   Begin --> Identity --> Plan* --> Landed* --> ...      Landed settles the oldest plan
///                ^  Passed, Gap: only while nothing is planned
///                '-- a new epoch: what was planned and is not in the target will be planned anew
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    begin: Begin,
    identity: Option<Identity>,
    next_sequence: i32,
    planned: VecDeque<Planned>,
    position: Offset,
    map: OffsetMap,
    gaps: Vec<OffsetRange>,
}

impl Copy {
    /// A copy that begins.
    pub const fn new(begin: Begin) -> Self {
        Self {
            begin,
            identity: None,
            next_sequence: 0,
            planned: VecDeque::new(),
            position: begin.source,
            map: OffsetMap::new(begin.source, begin.target),
            gaps: Vec::new(),
        }
    }

    /// The copy that `entries` tell of; `None` when there are none.
    ///
    /// # Errors
    /// When they do not follow from each other.
    pub fn replay(entries: impl IntoIterator<Item = Entry>) -> Result<Option<Self>, CopyError> {
        let mut entries = entries.into_iter();
        let mut copy = match entries.next() {
            None => return Ok(None),
            Some(Entry::Begin(begin)) => Self::new(begin),
            Some(_) => return Err(CopyError::NoBegin),
        };
        entries.try_for_each(|entry| copy.apply(&entry)).map(|()| Some(copy))
    }

    /// Takes note of what the journal says next.
    ///
    /// # Errors
    /// When it does not follow; nothing is changed.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), CopyError> {
        let order = || CopyError::Order(Box::new(entry.clone()));
        match entry {
            Entry::Begin(_) => return Err(order()),
            Entry::Identity { identity, sequence } => {
                (self.identity, self.next_sequence) = (Some(*identity), *sequence);
                self.planned.clear();
            }
            Entry::Plan(planned) => {
                self.may_follow(planned).then_some(()).ok_or_else(order)?;
                self.next_sequence = sequence_after(planned.sequence, planned.count());
                self.planned.push_back(planned.clone());
            }
            Entry::Landed { base } => {
                let planned = self.planned.front().ok_or_else(order)?;
                self.position = land(&mut self.map, planned, *base)?;
                self.planned.pop_front();
            }
            Entry::Passed { end } => {
                (self.planned.is_empty() && *end >= self.position).then_some(()).ok_or_else(order)?;
                self.position = *end;
            }
            Entry::Gap(range) => {
                (self.planned.is_empty() && range.end >= self.position).then_some(()).ok_or_else(order)?;
                self.note_gap(*range);
                self.position = range.end;
            }
            Entry::Runs(runs) => runs.iter().try_for_each(|run| self.map.append(*run))?,
            Entry::Thinned { below } => self.map.set_thinned(*below),
        }
        Ok(())
    }

    fn may_follow(&self, planned: &Planned) -> bool {
        let mut end = self.planned_end();
        let ascending = planned.runs.iter().all(|(first, count)| {
            let follows = *first >= end && *count > 0;
            end = first.plus(i64::from(*count));
            follows
        });
        let numbered = self.identity.is_some() && planned.sequence == self.next_sequence;
        numbered && ascending && !planned.runs.is_empty() && planned.end >= end
    }

    fn note_gap(&mut self, range: OffsetRange) {
        let is_full = self.gaps.len() >= GAPS_MAX;
        match self.gaps.last_mut() {
            Some(last) if is_full => last.end = range.end,
            _ => self.gaps.push(range),
        }
    }

    /// The plan for a batch of `runs` that settles the source up to `end`, next behind all that is planned.
    pub fn plan(&self, runs: Vec<(Offset, u32)>, end: Offset) -> Entry {
        Entry::Plan(Planned { sequence: self.next_sequence, runs, end })
    }

    /// What the batch at `header` in the target tells: that the oldest plan has landed, or nothing when it is not of our
    /// producer.
    ///
    /// # Errors
    /// [`CopyError::Stranger`] when it is of our producer and was not planned.
    pub fn recognise(&self, header: &Header) -> Result<Option<Entry>, CopyError> {
        let Some(identity) = self.identity else { return Ok(None) };
        if header.producer_id != identity.producer || header.base_offset < self.map.target_end() {
            return Ok(None);
        }
        // Compaction may have taken records; the offsets of the batch stay.
        let is = |planned: &Planned| {
            header.producer_epoch == identity.epoch
                && planned.sequence == header.base_sequence
                && planned.count() == header.last_offset_delta + 1
        };
        match self.planned.front().is_some_and(is) {
            true => Ok(Some(Entry::Landed { base: header.base_offset })),
            false => Err(CopyError::Stranger {
                offset: header.base_offset,
                producer: identity.producer,
                sequence: header.base_sequence,
            }),
        }
    }

    /// Where a consumer that goes on at `source` in the source goes on in the target.
    pub fn translate(&self, source: Offset) -> Translated {
        let is_exact = source <= self.position && self.map.is_exact(source);
        Translated { offset: self.map.translate(source), is_exact }
    }

    /// Few entries that tell the same.
    pub fn snapshot(&self) -> Vec<Entry> {
        let (source, target) = self.map.start();
        let mut entries = vec![Entry::Begin(Begin { source, target, ..self.begin })];
        if self.map.thinned_below() > Offset(i64::MIN) {
            entries.push(Entry::Thinned { below: self.map.thinned_below() });
        }
        entries.extend(self.map.runs().chunks(super::journal::RUNS_MAX).map(|runs| Entry::Runs(runs.to_vec())));
        entries.extend(self.gaps.iter().map(|gap| Entry::Gap(*gap)));
        entries.push(Entry::Passed { end: self.position });
        if let Some(identity) = self.identity {
            let sequence = self.planned.front().map_or(self.next_sequence, |planned| planned.sequence);
            entries.push(Entry::Identity { identity, sequence });
        }
        entries.extend(self.planned.iter().cloned().map(Entry::Plan));
        entries
    }

    /// What is copied to where.
    pub const fn begin(&self) -> &Begin {
        &self.begin
    }

    /// Under which numbers.
    pub const fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The sequence number of the next record.
    pub const fn next_sequence(&self) -> i32 {
        self.next_sequence
    }

    /// What may have been sent, oldest first.
    pub const fn planned(&self) -> &VecDeque<Planned> {
        &self.planned
    }

    /// The source offset below which everything is in the target or left out for good.
    pub const fn position(&self) -> Offset {
        self.position
    }

    /// The source offset below which everything is planned, too.
    pub fn planned_end(&self) -> Offset {
        self.planned.back().map_or(self.position, |planned| planned.end)
    }

    /// Where the records went.
    pub const fn map(&self) -> &OffsetMap {
        &self.map
    }

    /// Offsets that the source dropped before they were copied.
    pub fn gaps(&self) -> &[OffsetRange] {
        &self.gaps
    }

    /// Forgets where records went that the source no longer has.
    pub fn forget_below(&mut self, source: Offset) {
        self.map.forget_below(source);
    }
}

/// Enters the records of `planned`, the first of which is at `base`; answers the position behind them.
fn land(map: &mut OffsetMap, planned: &Planned, base: Offset) -> Result<Offset, MapError> {
    let mut target = base;
    for (source, count) in &planned.runs {
        map.append(Run { source: *source, target, count: u64::from(*count) })?;
        target = target.plus(i64::from(*count));
    }
    Ok(planned.end)
}

#[cfg(test)]
mod tests;
