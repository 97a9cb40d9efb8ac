//! Digests of a compacted log by its keys, for comparing it with another region's copy.
//!
//! What is digested when is decided by [`mirror_core::verify`]: an owner digests what is decided now and then, as long as
//! somebody asks, and a copy the same offsets. Here it is done a little at a time, beside whoever writes and whoever cleans:
//! cleaning takes nothing away that counts, unless it forgets a deletion or comes further than the digest does; then, and
//! when the log was cut, it is begun anew.

use super::{Partition, Standing};
use log::ReadError;
use mirror_core::verify::{DigestOf, DigestSide, KeyDigest, MadeDigest};
use model::{Baseline, ByteCount, Offset, OffsetRange};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A source that nobody has asked for its digest for so long makes none.
const ASKED_LATELY: Duration = Duration::from_secs(300);

/// What is known of one log's digests.
#[derive(Default)]
pub(super) struct Digests(Mutex<State>);

#[derive(Default)]
struct State {
    /// When another region asked last, by the time since boot.
    asked_at: Option<Duration>,
    /// What a copy is to be digested for.
    wanted: Option<DigestOf>,
    done: Option<Done>,
}

/// The last digest that was made, or could not be.
struct Done {
    as_copy: bool,
    of: DigestOf,
    made: Option<MadeDigest>,
    at: Duration,
    truncations: u64,
}

/// A digest under way.
pub(crate) struct DigestJob {
    of: DigestOf,
    as_copy: bool,
    next: Offset,
    keys: KeyDigest,
    truncations: u64,
    baseline: Baseline,
}

/// How a step of it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DigestStep {
    /// There is more to read.
    More,
    /// It is made, or never will be.
    Done,
}

impl Digests {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn owner_is_due(&self, now: Duration, every: Duration) -> bool {
        let is_asked = self.asked_at.is_some_and(|at| now.saturating_sub(at) < ASKED_LATELY);
        let last = self.done.as_ref().filter(|done| !done.as_copy);
        is_asked && last.is_none_or(|done| now.saturating_sub(done.at) >= every)
    }

    fn copy_is_due(&self, truncations: u64) -> Option<DigestOf> {
        let is_done = |of: &DigestOf| {
            self.done.as_ref().is_some_and(|done| done.as_copy && done.of == *of && done.truncations == truncations)
        };
        self.wanted.filter(|of| !is_done(of))
    }
}

impl Partition {
    /// Another region asks for the digest of its keys.
    pub(crate) fn note_digest_asked(&self) {
        self.digests.state().asked_at = Some(self.boot());
    }

    /// Has a copy digested.
    pub(crate) fn want_digest(&self, of: DigestOf) {
        self.digests.state().wanted = Some(of);
    }

    /// The last digest of what is held here now.
    pub(super) fn made_digest(&self) -> Option<MadeDigest> {
        let (as_copy, truncations) = (self.is_led_copy(), self.reader.truncations());
        let state = self.digests.state();
        let done = state.done.as_ref().filter(|done| done.as_copy == as_copy && done.truncations == truncations)?;
        done.made
    }

    fn is_led_copy(&self) -> bool {
        matches!(self.standing(), Standing::Copy { .. })
    }

    /// What is to be digested now, an owner's log `every` so often.
    pub(crate) fn due_digest(&self, every: Duration) -> Option<DigestJob> {
        if self.failed().is_some() || self.is_active() || !self.is_or_was_compacted() {
            return None;
        }
        let truncations = self.reader.truncations();
        let (of, as_copy) = match self.standing() {
            Standing::Owner { .. } => (self.own_digest(every)?, false),
            Standing::Copy { .. } => (self.digests.state().copy_is_due(truncations)?, true),
            Standing::Replica { .. } | Standing::Idle => return None,
        };
        let baseline = self.reader.baseline();
        let job = DigestJob { of, as_copy, next: of.range.start, keys: KeyDigest::default(), truncations, baseline };
        self.holds_for(&job).then_some(job)
    }

    fn own_digest(&self, every: Duration) -> Option<DigestOf> {
        let (marks, now) = (self.marks(), self.boot());
        let range = OffsetRange::new(marks.start, marks.last_stable);
        let is_due = !range.is_empty() && self.digests.state().owner_is_due(now, every);
        // No two digests of an owner have the same number, and none has 0.
        let number = u64::try_from(self.storage.clock.now().0).unwrap_or_default().max(1);
        is_due.then_some(DigestOf { range, decided: marks.high_watermark, number, again: false })
    }

    /// Whether what the job has read, and has to read, is all there is of the range.
    fn holds_for(&self, job: &DigestJob) -> bool {
        let (marks, now) = (self.marks(), self.reader.baseline());
        let committed = if job.as_copy { marks.copy_watermark } else { marks.high_watermark };
        let side = DigestSide { start: marks.start, cleaned_to: now.thinned, committed };
        let forgotten = |baseline: &Baseline| (baseline.forgotten, baseline.forgotten_at, baseline.remade);
        job.of.can_be_made(&side)
            && forgotten(&now) == forgotten(&job.baseline)
            && self.reader.truncations() == job.truncations
    }

    /// Reads about `max` bytes more for a digest; gives how it ended, and how many bytes it read. It may block.
    ///
    /// # Errors
    /// [`ReadError`] when the log was cut or the system does not read it: the digest is begun anew.
    pub(crate) fn digest_on(&self, job: &mut DigestJob, max: ByteCount) -> Result<(DigestStep, ByteCount), ReadError> {
        let range = OffsetRange::new(job.next, job.of.range.end);
        let read = self.reader.read_keys(range, max, |key, value| job.keys.take(key, value));
        let (next, bytes) = match read {
            Err(error @ (ReadError::Damaged { .. } | ReadError::Records { .. })) => {
                tracing::error!(partition = %self.name, %error, "what the disk gives is not what was written to it");
                self.end_digest(job, job.as_copy.then_some(MadeDigest { of: job.of, digest: None }));
                return Ok((DigestStep::Done, max));
            }
            read => read?,
        };
        job.next = next;
        Ok((if next < job.of.range.end { DigestStep::More } else { self.end_pass(job) }, bytes))
    }

    fn end_pass(&self, job: &mut DigestJob) -> DigestStep {
        let made = match job.keys.end_pass() {
            Ok(None) => {
                job.next = job.of.range.start;
                return DigestStep::More;
            }
            Ok(digest) => Some(MadeDigest { of: job.of, digest }),
            Err(error) => {
                tracing::warn!(partition = %self.name, %error, "it is not compared by its keys");
                None
            }
        };
        self.end_digest(job, made);
        DigestStep::Done
    }

    /// Keeps what was made, if it is of what is still there.
    fn end_digest(&self, job: &DigestJob, made: Option<MadeDigest>) {
        if self.is_led_copy() != job.as_copy || !self.holds_for(job) {
            return;
        }
        let DigestJob { of, as_copy, truncations, .. } = *job;
        self.digests.state().done = Some(Done { as_copy, of, made, at: self.boot(), truncations });
    }
}
