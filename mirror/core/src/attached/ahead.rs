//! Reading a partition of a foreign cluster over a long line: what to ask for before it is known where batches begin.
//!
//! ```text
//!   dealt with | [10, 900) | [900, 1800) | [1800, 2700) |  ...  | tail     each fetch on a connection of its own
//!              '-- came ---'-- asked ----'--- asked ----'
//!   came up to 870: [870, 900) is asked for, too          came up to 960: what is there twice is passed over
//! ```
//!
//! Such a cluster answers a fetch with as many bytes as were asked for from the batch on that holds the offset asked for.
//! Where the next answer has to begin is guessed from how many bytes an offset took until now; each asks for one batch more
//! than that, so that it reaches the next one. A guess that falls short costs one more small fetch, one that reaches too
//! far costs bytes; neither costs a record. Near the tail there is one fetch at a time, which waits there for more.

use model::Offset;
use record::Batches;
use std::collections::BTreeMap;

/// How many bytes one fetch is to bring.
pub const RANGE_BYTES: u64 = 8 << 20;
/// What one fetch asks for at most, a large batch more than that included.
const FETCH_BYTES_MAX: u64 = 2 * RANGE_BYTES;
/// How much of what is known of the size of records gives way to what the next answer tells: a quarter.
const FORGOTTEN: f64 = 0.25;

/// One fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// From where.
    pub from: Offset,
    /// How many bytes at most.
    pub bytes_max: u32,
}

/// What an answer tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The offset behind the last whole batch; the offset asked for when there is none.
    pub end: Offset,
    /// The base offset of the first batch.
    pub base: Offset,
    /// How many bytes its whole batches take.
    pub bytes: u64,
    /// How many the largest takes.
    pub batch_bytes_max: u64,
    /// Where the log ends, as far as it may be read.
    pub tail: Offset,
}

impl Sizes {
    /// Those of `batches`, the answer to a fetch from `from` on of a log that may be read up to `tail`.
    pub fn of(batches: &[u8], from: Offset, tail: Offset) -> Self {
        let nothing = Self { end: from, base: from, tail, ..Self::default() };
        Batches::new(batches).map_while(Result::ok).fold(nothing, |sizes, batch| {
            let bytes = batch.size_bytes as u64;
            Self {
                end: batch.next_offset(),
                base: if sizes.bytes == 0 { batch.base_offset } else { sizes.base },
                bytes: sizes.bytes + bytes,
                batch_bytes_max: sizes.batch_bytes_max.max(bytes),
                tail,
            }
        })
    }
}

/// What was asked for and what came, of one partition.
#[derive(Debug)]
pub struct Ahead<A> {
    next: Offset,
    tail: Offset,
    ranges: BTreeMap<Offset, Range<A>>,
    /// How many bytes an offset takes; `None` before anything came.
    offset_bytes: Option<f64>,
    batch_bytes_max: u64,
    /// How many ranges there may be: more while records come, one while none do.
    width: usize,
    width_max: usize,
}

#[derive(Debug)]
struct Range<A> {
    /// Where it is taken to end; known once the answer is there.
    end: Offset,
    answer: Option<A>,
}

impl<A> Ahead<A> {
    /// Nothing was asked for yet; up to `width_max` fetches may be under way or wait for their turn.
    pub fn new(next: Offset, width_max: usize) -> Self {
        Self {
            next,
            tail: Offset::ZERO,
            ranges: BTreeMap::new(),
            offset_bytes: None,
            batch_bytes_max: 0,
            width: 1,
            width_max: width_max.max(1),
        }
    }

    /// Where the next answer in turn begins, or goes on.
    pub const fn next(&self) -> Offset {
        self.next
    }

    /// Nothing counts that was asked for: it goes on at `next`, with one fetch.
    pub fn restart(&mut self, next: Offset) {
        self.next = next;
        self.ranges.clear();
        self.width = 1;
    }

    /// How many fetches are under way or were answered before their turn.
    pub fn held(&self) -> usize {
        self.ranges.len()
    }

    /// What to ask for now, if anything.
    pub fn ask(&mut self) -> Option<Ask> {
        if self.ranges.len() >= self.width {
            return None;
        }
        let (from, end) = self.missing()?;
        self.ranges.insert(from, Range { end, answer: None });
        Some(Ask { from, bytes_max: self.bytes_of(from, end) })
    }

    /// The first offsets that nobody brings. At the tail one fetch waits for what will be there.
    fn missing(&self) -> Option<(Offset, Offset)> {
        let mut at = self.next;
        for (from, range) in &self.ranges {
            if *from > at {
                return Some((at, *from));
            }
            at.advance(range.end);
        }
        (self.ranges.is_empty() || at < self.tail).then(|| (at, self.guess(at)))
    }

    /// Where a range ends that begins at `from`, as far as can be told.
    fn guess(&self, from: Offset) -> Offset {
        let offsets = self.offset_bytes.map_or(1.0, |bytes| RANGE_BYTES as f64 / bytes.max(1e-3));
        let end = from.plus((offsets as i64).max(1));
        if self.tail > from { end.min(self.tail) } else { end }
    }

    fn bytes_of(&self, from: Offset, end: Offset) -> u32 {
        let Some(bytes) = self.offset_bytes else { return RANGE_BYTES as u32 };
        let bytes = if end > self.tail { RANGE_BYTES } else { (bytes * end.since(from) as f64) as u64 };
        (bytes + self.batch_bytes_max).clamp(self.batch_bytes_max.max(1 << 16), FETCH_BYTES_MAX) as u32
    }

    /// Takes note of the answer to what was asked for from `from` on. One without a whole batch of use is asked for again.
    pub fn answered(&mut self, from: Offset, sizes: Sizes, answer: A) {
        self.tail.advance(sizes.tail);
        self.learn(&sizes);
        let Some(range) = self.ranges.get_mut(&from) else { return };
        // The first in turn is handed out in any case: it tells how far the log goes.
        if sizes.end > from || from == self.next {
            (range.end, range.answer) = (sizes.end.max(from), Some(answer));
        } else {
            self.ranges.remove(&from);
            self.width = 1;
        }
    }

    fn learn(&mut self, sizes: &Sizes) {
        let offsets = sizes.end.since(sizes.base);
        if sizes.bytes == 0 || offsets == 0 {
            return;
        }
        let measured = sizes.bytes as f64 / offsets as f64;
        let known = self.offset_bytes.unwrap_or(measured);
        self.offset_bytes = Some(known + (measured - known) * FORGOTTEN);
        self.batch_bytes_max = self.batch_bytes_max.max(sizes.batch_bytes_max).min(RANGE_BYTES);
    }

    /// The answer whose turn it is; what it holds below [`Self::next`] came with another one.
    pub fn due(&mut self) -> Option<A> {
        loop {
            let first = self.ranges.first_entry().filter(|first| *first.key() <= self.next)?;
            first.get().answer.as_ref()?;
            let from = *first.key();
            let range = first.remove();
            let brings = range.end > self.next;
            if brings || from == self.next {
                self.adapt(brings);
                self.next.advance(range.end);
                return range.answer;
            }
        }
    }

    fn adapt(&mut self, brings: bool) {
        self.width = if brings { (self.width * 2).min(self.width_max) } else { 1 };
    }
}

#[cfg(test)]
mod tests;
