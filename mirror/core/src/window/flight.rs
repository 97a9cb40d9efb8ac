//! What is under way between a source and a copy.
//!
//! ```text
//!   fetch 7  fetch 8  fetch 9          one run: all of them begin at the same offset, and the source hands out
//!      |        |        |             [10, 14)  [14, 19)  [19, 23) to whichever comes first
//!   [14, 19) [10, 14)  (on its way)    what comes early is parked until the copy ends where it begins
//! ```
//!
//! So the copy need not know where batches begin that it has not seen, and a fetch that waits at the source brings new
//! records after half a round trip. When an answer is missing, or the source has another leader than before, the rest of the
//! run is worth nothing: the next one begins at the tail.

use super::answer::{Answer, Stream};
use super::copy_log::CopyLog;
use model::{LeaderEpoch, Offset};
use std::collections::{BTreeMap, BTreeSet};

/// How many answers may be parked before they count as fetches under way.
const PARKED_FREE: usize = 8;

/// The fetches of one run, and what came of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    stream: Stream,
    /// Where the run began, and the epoch of the batch below it.
    pub(super) from: Offset,
    pub(super) last_epoch: LeaderEpoch,
    /// Whose log it is read from; `None` before the first answer.
    led_by: Option<LeaderEpoch>,
    /// The numbers of fetches without an answer.
    asked: BTreeSet<u64>,
    /// Answers whose turn has not come, by where they begin.
    parked: BTreeMap<Offset, Answer>,
    /// The last fetch that can bring what they wait for: it was under way when the first of them came.
    awaited_until: u64,
    /// Whether the source hands out one run to several fetches.
    is_shared: bool,
    /// How many fetches may be under way: more while records come, fewer while none do.
    width: usize,
}

impl Flight {
    pub(super) fn new(window: u64) -> Self {
        Self { stream: Stream { window, run: 0 }, ..Self::default() }
    }

    /// Begins another run at the tail of `log`; nothing of the last one counts any more.
    pub(super) fn begin(&mut self, log: &CopyLog) {
        let stream = Stream { run: self.stream.run.wrapping_add(1), ..self.stream };
        *self = Self { stream, from: log.tail(), last_epoch: log.last_epoch(), width: 1, ..Self::default() };
    }

    /// Nothing of the run counts any more.
    pub(super) fn end(&mut self) {
        self.asked.clear();
        self.parked.clear();
    }

    pub(super) const fn stream(&self) -> Stream {
        self.stream
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.is_shared
    }

    pub(super) fn ask(&mut self, number: u64) {
        self.asked.insert(number);
    }

    pub(super) fn awaits(&self, number: u64) -> bool {
        self.asked.contains(&number)
    }

    pub(super) fn under_way(&self) -> usize {
        self.asked.len()
    }

    /// How many more fetches may go out. While one answer is late, because TCP has lost a packet of it, the others go on.
    pub(super) fn room(&self) -> usize {
        self.width.saturating_sub(self.asked.len() + self.parked.len().saturating_sub(PARKED_FREE))
    }

    /// Whether something is missing that no fetch will bring: what was asked for later is handed out later.
    pub(super) fn has_lost(&self) -> bool {
        !self.parked.is_empty() && self.asked.range(..=self.awaited_until).next().is_none()
    }

    /// Takes note of an answer, and says whether it and the rest of the run may still be followed: not if another leader
    /// speaks than before, who never saw how the log ends that is at `tail` now.
    pub(super) fn hear(&mut self, number: u64, answer: &Answer, tail: Offset) -> bool {
        self.asked.remove(&number);
        self.is_shared = answer.served.is_some();
        let is_led_anew = self.led_by.is_some_and(|known| known != answer.leader_epoch);
        self.led_by = Some(answer.leader_epoch);
        !is_led_anew || (self.from == tail && self.parked.is_empty())
    }

    pub(super) fn park(&mut self, at: Offset, answer: Answer) {
        if self.parked.is_empty() {
            self.await_all();
        }
        self.parked.insert(at, answer);
    }

    fn await_all(&mut self) {
        self.awaited_until = self.asked.last().copied().unwrap_or_default();
    }

    /// The answer whose turn it is when the copy ends at `tail`.
    pub(super) fn due(&mut self, tail: Offset) -> Option<Answer> {
        let first = self.parked.first_entry().filter(|first| *first.key() <= tail);
        let due = first.map(std::collections::btree_map::OccupiedEntry::remove)?;
        self.await_all();
        Some(due)
    }

    /// More fetches, up to `depth`, when an answer brought records; fewer when it did not.
    pub(super) fn adapt(&mut self, brought: bool, depth: usize) {
        let width = if brought { self.width * 2 } else { self.width / 2 };
        self.width = width.clamp(1, depth.max(1));
    }
}
