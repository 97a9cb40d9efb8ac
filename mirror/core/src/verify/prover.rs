//! How far one copy is proven, as its source's checkpoints come in.

use super::limits::FILE_BYTES_MAX;
use super::{CheckpointsPage, CheckpointsSince, Comparison, Difference, Interval, Kept, KeyProver, Side, compare};
use model::{Offset, OffsetRange, PartitionId, TopicId};
use std::sync::Arc;
use std::time::Duration;

/// After which time a source is asked again though nothing is new here: what it has may not be what it had.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// The same of what is compacted: the digest of its keys is the only proof of the newest.
const ASK_KEYS: Duration = Duration::from_secs(10);
/// The same while the source has no such digest.
const ASK_SOON: Duration = Duration::from_secs(2);
/// More checkpoints than any side file holds.
const ENTRIES_MAX: usize = FILE_BYTES_MAX.0 as usize / 32;

/// What the target of a link knows of one partition's source.
///
/// A difference counts when it was seen twice in a row between the same generations of both: a copy that is just being
/// cut off has checkpoints that its source never had.
#[derive(Clone, Debug, Default)]
pub struct Prover {
    heard: Kept,
    more: bool,
    /// When the source answered last.
    heard_at: Option<Duration>,
    /// What of the copy was compared last: generation, start and how much of it was hashed.
    compared: Option<(u64, Offset, Interval)>,
    comparison: Option<Comparison>,
    suspected: Option<([u64; 2], Difference)>,
    reported: Option<OffsetRange>,
    /// Which making of the copy all this is about.
    remade: u32,
    keys: KeyProver,
}

impl Prover {
    /// What to ask the source at `now`, when the copy has `copy`; nothing when an answer would prove no more.
    pub fn ask(
        &mut self,
        now: Duration,
        copy: &Kept,
        (topic, partition): (TopicId, PartitionId),
    ) -> Option<CheckpointsSince> {
        self.notice_making(copy);
        let (from, digest) = (self.heard.checkpoints.written(), self.keys.known());
        let ask = CheckpointsSince { topic, partition, generation: self.heard.generation, from, digest };
        let again = match digest {
            _ if !copy.compacted => ASK_AGAIN,
            0 => ASK_SOON,
            _ => ASK_KEYS,
        };
        let is_due = self.heard_at.is_none_or(|at| now.saturating_sub(at) >= again);
        let is_new = self.compared != Some(marks(copy)) || from < copy.checkpoints.written();
        let has_any = copy.checkpoints.written() > Interval(0);
        let is_asked = (has_any || copy.compacted) && is_due;
        (is_asked || has_any && (is_new || self.more || self.suspected.is_some())).then_some(ask)
    }

    /// What was proven of a copy, or found wrong with it, is gone with it.
    fn notice_making(&mut self, copy: &Kept) {
        if self.remade != copy.remade {
            *self = Self { remade: copy.remade, ..Self::default() };
        }
    }

    /// Takes what the source said at `now`, and compares it with `copy` once all of it is here. `gaps` are offsets never
    /// to be in the copy; `is_settled` says that the copy is not just being cut. Gives a difference that is certain and was
    /// not given before.
    pub fn take(
        &mut self,
        now: Duration,
        page: CheckpointsPage,
        copy: &Kept,
        gaps: &[OffsetRange],
        is_settled: bool,
    ) -> Option<Difference> {
        self.heard_at = Some(now);
        page.digest.into_iter().for_each(|made| self.keys.hear(made));
        self.hear(page);
        if self.more {
            return None;
        }
        if !is_settled {
            self.suspected = None;
            return None;
        }
        if copy.checkpoints.written() == Interval(0) {
            return None;
        }
        self.compared = Some(marks(copy));
        let comparison = self.compare(copy, gaps);
        let difference = comparison.difference;
        if self.is_certain(difference, copy.generation) {
            self.comparison = Some(comparison);
        }
        let news = difference.filter(|found| self.suspected.is_none() && self.reported != Some(found.range));
        self.reported = news.map(|found| found.range).or(self.reported);
        news
    }

    fn hear(&mut self, page: CheckpointsPage) {
        if page.generation != self.heard.generation {
            self.heard = Kept { generation: page.generation, ..Kept::default() };
        }
        let known = Arc::make_mut(&mut self.heard.checkpoints);
        page.entries.into_iter().for_each(|entry| known.add(entry));
        known.raise_start(page.start);
        self.more = page.more && known.entries().len() < ENTRIES_MAX;
        (self.heard.start, self.heard.compacted) = (page.start, page.compacted);
    }

    fn compare(&self, copy: &Kept, gaps: &[OffsetRange]) -> Comparison {
        let source = Side { start: self.heard.start, checkpoints: &self.heard.checkpoints };
        let target = Side { start: copy.start, checkpoints: &copy.checkpoints };
        compare(source, target, gaps, self.heard.compacted || copy.compacted)
    }

    /// Whether there is no difference, or it was seen before; otherwise it is suspected from now on.
    fn is_certain(&mut self, difference: Option<Difference>, generation: u64) -> bool {
        let suspicion = difference.map(|difference| ([self.heard.generation, generation], difference));
        let is_certain = suspicion.is_none() || self.suspected == suspicion;
        self.suspected = if is_certain { None } else { suspicion };
        is_certain
    }

    /// How far the copy is proven; nothing before the first comparison.
    pub const fn comparison(&self) -> Option<&Comparison> {
        self.comparison.as_ref()
    }

    /// A difference that was given could not be kept: it is to be given again.
    pub fn find_again(&mut self) {
        self.reported = None;
        self.keys.find_again();
    }

    /// How far the copy is proven by its keys.
    pub const fn keys(&self) -> &KeyProver {
        &self.keys
    }

    /// The same, to compare with what `copy` has made.
    pub fn keys_of(&mut self, copy: &Kept) -> &mut KeyProver {
        self.notice_making(copy);
        &mut self.keys
    }
}

fn marks(copy: &Kept) -> (u64, Offset, Interval) {
    (copy.generation, copy.start, copy.checkpoints.written())
}

#[cfg(test)]
mod tests {
    use super::super::{Checkpoint, Checkpoints, DigestOf, MadeDigest, page};
    use super::*;

    const KEY: (TopicId, PartitionId) = (TopicId::ZERO, PartitionId(0));
    const STEP: i64 = 1 << 16;

    fn kept(generation: u64, hashes: &[u64]) -> Kept {
        let mut checkpoints = Checkpoints::default();
        for (interval, hash) in (0..).map(Interval).zip(hashes) {
            checkpoints.add(Checkpoint { interval, from: interval.range().start, batches: 1, hash: *hash });
        }
        Kept { generation, checkpoints: Arc::new(checkpoints), ..Kept::default() }
    }

    /// Asks and takes until nothing more is asked, a second at a time; gives what was found.
    fn round(prover: &mut Prover, now: &mut Duration, source: &Kept, copy: &Kept, settled: bool) -> Vec<Difference> {
        let mut found = vec![];
        for _ in 0..10 {
            let Some(ask) = prover.ask(*now, copy, KEY) else { break };
            *now += Duration::from_secs(1);
            found.extend(prover.take(*now, page(source, &ask, 2), copy, &[], settled));
        }
        found
    }

    fn end(prover: &Prover) -> i64 {
        prover.comparison().unwrap().identical.end.0
    }

    #[test]
    fn a_copy_is_proven_as_far_as_both_are_hashed_and_then_nothing_is_asked() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        assert!(prover.ask(now, &kept(1, &[]), KEY).is_none(), "nothing is hashed here");
        assert!(round(&mut prover, &mut now, &kept(7, &[1, 2, 3, 4, 5]), &kept(1, &[1, 2, 3]), true).is_empty());
        assert_eq!(end(&prover), 3 * STEP);
        assert!(prover.ask(now, &kept(1, &[1, 2, 3]), KEY).is_none());
        assert!(prover.ask(now, &kept(1, &[1, 2, 3, 4]), KEY).is_some(), "more is hashed here");
        assert!(prover.ask(now + ASK_AGAIN, &kept(1, &[1, 2, 3]), KEY).is_some(), "the source may have changed");
    }

    #[test]
    fn a_difference_is_told_once_it_was_seen_twice_and_only_once() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let (source, copy) = (kept(7, &[1, 2, 3]), kept(1, &[1, 9, 3]));
        let found = round(&mut prover, &mut now, &source, &copy, true);
        assert_eq!(found.iter().map(|found| found.range.start.0).collect::<Vec<_>>(), [STEP]);
        assert_eq!(end(&prover), STEP);
        now += ASK_AGAIN;
        assert!(round(&mut prover, &mut now, &source, &copy, true).is_empty());
    }

    #[test]
    fn what_is_about_to_be_cut_is_no_difference() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let source = kept(7, &[1, 2]);
        assert!(round(&mut prover, &mut now, &source, &kept(1, &[1, 9]), false).is_empty());
        assert!(round(&mut prover, &mut now, &source, &kept(2, &[1, 2]), true).is_empty());
        assert_eq!(end(&prover), 2 * STEP);
    }

    #[test]
    fn of_a_copy_made_anew_nothing_is_known() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let source = kept(7, &[1, 2]);
        round(&mut prover, &mut now, &source, &kept(1, &[1, 9]), true);
        assert!(prover.comparison().unwrap().difference.is_some());
        let anew = |hashes| Kept { remade: 1, ..kept(2, hashes) };
        assert!(prover.ask(now, &anew(&[]), KEY).is_none());
        assert_eq!(prover.comparison(), None);
        round(&mut prover, &mut now, &source, &anew(&[1, 2]), true);
        assert_eq!((end(&prover), prover.comparison().unwrap().difference), (2 * STEP, None));
    }

    #[test]
    fn a_compacted_copy_asks_for_a_digest_however_short_it_is() {
        let (mut prover, now) = (Prover::default(), Duration::from_secs(1));
        let copy = Kept { compacted: true, ..kept(1, &[]) };
        let ask = prover.ask(now, &copy, KEY).unwrap();
        let of = DigestOf { range: OffsetRange::default(), decided: Offset(0), number: 5, again: false };
        assert_eq!(prover.take(now, page(&copy, &ask, 2), &copy, &[], true), None);
        assert!(prover.ask(now, &copy, KEY).is_none() && prover.ask(now + ASK_SOON, &copy, KEY).is_some());
        let source = Kept { digest: Some(MadeDigest { of, digest: None }), ..copy.clone() };
        prover.take(now, page(&source, &ask, 2), &copy, &[], true);
        assert_eq!((prover.keys().wanted(), prover.comparison()), (Some(of), None));
        assert!(prover.ask(now + ASK_SOON, &copy, KEY).is_none());
        let known = prover.ask(now + ASK_KEYS, &copy, KEY).unwrap();
        assert_eq!(page(&source, &known, 2).digest, None, "it is known");
    }

    #[test]
    fn a_source_that_changed_its_mind_is_heard_from_the_beginning() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let copy = kept(1, &[1, 2, 3]);
        round(&mut prover, &mut now, &kept(7, &[1, 2, 3]), &copy, true);
        now += ASK_AGAIN;
        let found = round(&mut prover, &mut now, &kept(8, &[5, 2, 3]), &copy, true);
        assert_eq!((found.len(), end(&prover)), (1, 0));
        now += ASK_AGAIN;
        round(&mut prover, &mut now, &kept(9, &[1, 2, 3]), &copy, true);
        assert_eq!((end(&prover), prover.comparison().unwrap().difference), (3 * STEP, None));
    }
}
