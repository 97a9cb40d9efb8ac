//! How far one copy is proven, as its source's checkpoints come in.

use super::limits::{FILE_BYTES_MAX, SOURCE_DAMAGED_MAX};
use super::{
    CheckpointsPage, CheckpointsSince, Comparison, Difference, Interval, Kept, KeyProver, Side, Soundness, Verdict,
    compare,
};
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
/// cut off has checkpoints that its source never had. Then it is a [`Case`], until it is known which of them is damaged.
///
/// ```text
///   suspected -> certain: both are to read the interval again -> a verdict
///                                                                  the source's alone: what is behind it is compared
///                                                                  any other: nothing more is compared while it stands
/// ```
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
    case: Option<Case>,
    /// The differences that are the source's alone, as long as they stand; at most [`SOURCE_DAMAGED_MAX`].
    source_damaged: Vec<Difference>,
    /// Which making of the copy all this is about.
    remade: u32,
    keys: KeyProver,
}

/// A difference that is certain.
#[derive(Clone, Copy, Debug)]
struct Case {
    difference: Difference,
    /// Whether the source was asked to read its side again.
    is_asked: bool,
    /// What it said.
    source: Soundness,
    /// The last verdict.
    verdict: Option<Verdict>,
}

impl Case {
    const fn new(difference: Difference) -> Self {
        Self { difference, is_asked: false, source: Soundness::Unread, verdict: None }
    }

    /// Whether what the source says may matter.
    fn is_open(&self) -> bool {
        self.verdict.is_none() || self.source == Soundness::Unread
    }
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
        let judge = self.case.filter(Case::is_open).map(|case| case.difference.interval());
        let ask = CheckpointsSince { topic, partition, generation: self.heard.generation, from, digest, judge };
        let again = match digest {
            _ if !copy.compacted => ASK_AGAIN,
            0 => ASK_SOON,
            _ => ASK_KEYS,
        };
        let is_due = self.heard_at.is_none_or(|at| now.saturating_sub(at) >= again);
        let is_new = self.compared != Some(marks(copy)) || from < copy.checkpoints.written();
        let has_any = copy.checkpoints.written() > Interval(0);
        let is_looked_into = self.suspected.is_some() || judge.is_some();
        let is_asked = (has_any || copy.compacted) && is_due || has_any && (is_new || self.more || is_looked_into);
        self.case.iter_mut().for_each(|case| case.is_asked = judge.is_some());
        is_asked.then_some(ask)
    }

    /// What was proven of a copy, or found wrong with it, is gone with it.
    fn notice_making(&mut self, copy: &Kept) {
        if self.remade != copy.remade {
            *self = Self { remade: copy.remade, ..Self::default() };
        }
    }

    /// Takes what the source said at `now`, and compares it with `copy` once all of it is here. `gaps` are offsets never
    /// to be in the copy; `is_settled` says that the copy is not just being cut.
    pub fn take(&mut self, now: Duration, page: CheckpointsPage, copy: &Kept, gaps: &[OffsetRange], is_settled: bool) {
        self.heard_at = Some(now);
        page.digest.into_iter().for_each(|made| self.keys.hear(made));
        self.hear(page);
        if self.more {
            return;
        }
        if !is_settled {
            self.suspected = None;
            return;
        }
        if copy.checkpoints.written() == Interval(0) {
            return;
        }
        self.compared = Some(marks(copy));
        let comparison = self.compare(copy, gaps);
        if self.is_certain(comparison.difference, copy.generation) {
            self.conclude(comparison, copy);
        }
    }

    /// Goes by a comparison with `copy` that is certain.
    fn conclude(&mut self, comparison: Comparison, copy: &Kept) {
        let found = comparison.difference;
        let is_known = |case: &Case| found.is_some_and(|found| found.is_that(&case.difference));
        self.case = self.case.filter(is_known).or(found.map(Case::new));
        let source = &self.heard.checkpoints;
        self.source_damaged.retain(|known| known.stands(source, &copy.checkpoints));
        self.comparison = Some(comparison);
    }

    /// Which interval of the copy is to be read again to judge a difference.
    pub fn to_judge(&self) -> Option<Interval> {
        self.case.filter(Case::is_open).map(|case| case.difference.interval())
    }

    /// Says which side is damaged where a difference is certain, as soon as both have said enough, and again when they have
    /// said more. `copy` is what is known of the copy now, which is not just being cut.
    pub fn judge(&mut self, copy: &Kept) -> Option<(Difference, Verdict)> {
        self.notice_making(copy);
        let case = self.case.filter(|case| case.difference.stands(&self.heard.checkpoints, &copy.checkpoints))?;
        let verdict = Verdict::of(copy.judged.of(case.difference.interval()), case.source)?;
        let is_passed = verdict == Verdict::Source && self.source_damaged.len() < SOURCE_DAMAGED_MAX;
        if is_passed {
            self.source_damaged.push(case.difference);
            self.compared = None;
        }
        self.case = (!is_passed).then_some(Case { verdict: Some(verdict), ..case });
        (case.verdict != Some(verdict)).then_some((case.difference, verdict))
    }

    fn hear(&mut self, page: CheckpointsPage) {
        // A source that does not judge counts as sound.
        let judged = page.judged.unwrap_or(Soundness::Sound);
        self.case.iter_mut().filter(|case| case.is_asked).for_each(|case| case.source = judged);
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
        compare(source, target, gaps, self.heard.compacted || copy.compacted, &self.source_damaged)
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

    /// Where the copy is not what its source is, for which it is to blame.
    pub fn difference(&self) -> Option<OffsetRange> {
        let case = self.case.filter(|case| case.verdict.is_some_and(Verdict::blames_copy));
        case.map(|case| case.difference.range)
    }

    /// Where the source is damaged, in order.
    pub fn source_damaged(&self) -> Vec<OffsetRange> {
        let case = self.case.filter(|case| case.verdict.is_some_and(Verdict::blames_source));
        let all = self.source_damaged.iter().chain(case.as_ref().map(|case| &case.difference));
        let mut ranges: Vec<_> = all.map(|difference| difference.range).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges
    }

    /// What was found in `range` could not be kept: it is to be found again.
    pub fn find_again(&mut self, range: OffsetRange) {
        self.case.iter_mut().filter(|case| case.difference.range == range).for_each(|case| case.verdict = None);
        self.source_damaged.retain(|known| known.range != range);
        self.compared = None;
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

    /// Has a side read what is wanted of it; it finds `soundness`.
    fn read(side: &mut Kept, wanted: Option<Interval>, soundness: Soundness) {
        wanted.iter().for_each(|interval| side.judged.want(*interval));
        wanted.iter().for_each(|interval| side.judged.settle(*interval, soundness));
    }

    /// A source and its copy, and what each finds of its own where they differ.
    struct Sides {
        source: Kept,
        copy: Kept,
        found: [Soundness; 2],
        is_settled: bool,
    }

    impl Sides {
        fn of(source: Kept, copy: Kept) -> Self {
            Self { source, copy, found: [Soundness::Sound; 2], is_settled: true }
        }

        /// Asks, takes and judges until nothing more is asked, a second at a time; gives what was said.
        fn round(&mut self, prover: &mut Prover, now: &mut Duration) -> Vec<(i64, Verdict)> {
            let mut said = vec![];
            for _ in 0..20 {
                read(&mut self.copy, prover.to_judge(), self.found[1]);
                let verdict = if self.is_settled { prover.judge(&self.copy) } else { None };
                said.extend(verdict.map(|(difference, verdict)| (difference.range.start.0, verdict)));
                let Some(ask) = prover.ask(*now, &self.copy, KEY) else { break };
                read(&mut self.source, ask.judge, self.found[0]);
                *now += Duration::from_secs(1);
                prover.take(*now, page(&self.source, &ask, 2), &self.copy, &[], self.is_settled);
            }
            said
        }
    }

    fn round(
        prover: &mut Prover,
        now: &mut Duration,
        source: &Kept,
        copy: &Kept,
        settled: bool,
    ) -> Vec<(i64, Verdict)> {
        Sides { is_settled: settled, ..Sides::of(source.clone(), copy.clone()) }.round(prover, now)
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
        assert_eq!(round(&mut prover, &mut now, &source, &copy, true), [(STEP, Verdict::Neither)]);
        assert_eq!((end(&prover), prover.difference()), (STEP, Some(Interval(1).range())));
        now += ASK_AGAIN;
        assert!(round(&mut prover, &mut now, &source, &copy, true).is_empty());
    }

    const BAD: Soundness = Soundness::Damaged(Offset(STEP + 3));

    #[test]
    fn a_sound_copy_of_a_damaged_source_is_not_to_blame_and_what_is_behind_is_compared_on() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let mut sides = Sides::of(kept(7, &[1, 8, 3, 4]), kept(1, &[1, 2, 3, 4]));
        sides.found = [BAD, Soundness::Sound];
        assert_eq!(sides.round(&mut prover, &mut now), [(STEP, Verdict::Source)]);
        let bad = Interval(1).range();
        assert_eq!((end(&prover), prover.difference(), prover.source_damaged()), (STEP, None, vec![bad]));
        now += ASK_AGAIN;
        assert_eq!(sides.round(&mut prover, &mut now), [], "it is said once");

        (sides.copy, sides.found) = (kept(2, &[1, 2, 3, 9]), [Soundness::Sound, BAD]);
        assert_eq!(sides.round(&mut prover, &mut now), [(3 * STEP, Verdict::Copy)]);
        let both = (prover.difference(), prover.source_damaged());
        assert_eq!((end(&prover), both), (STEP, (Some(Interval(3).range()), vec![bad])));

        (sides.source, sides.copy) = (kept(8, &[1, 2, 3, 4]), kept(3, &[1, 2, 3, 4]));
        assert_eq!(sides.round(&mut prover, &mut now), []);
        assert_eq!((end(&prover), prover.difference(), prover.source_damaged()), (4 * STEP, None, vec![]));
    }

    #[test]
    fn a_damaged_copy_is_to_blame_before_its_source_has_said_anything_and_so_may_be_both() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let mut sides = Sides::of(kept(7, &[1, 8, 3]), kept(1, &[1, 2, 3]));
        sides.found = [Soundness::Unread, BAD];
        assert_eq!(sides.round(&mut prover, &mut now), [(STEP, Verdict::Copy)]);
        assert_eq!(prover.source_damaged(), []);
        sides.found[0] = BAD;
        assert_eq!(sides.round(&mut prover, &mut now), [(STEP, Verdict::Both)]);
        let bad = Interval(1).range();
        assert_eq!((end(&prover), prover.difference(), prover.source_damaged()), (STEP, Some(bad), vec![bad]));
        now += ASK_AGAIN;
        assert_eq!(sides.round(&mut prover, &mut now), []);
        assert_eq!(prover.source_damaged(), [bad], "it stays so");
    }

    #[test]
    fn a_sound_copy_is_not_to_blame_while_its_source_has_said_nothing() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let mut sides = Sides::of(kept(7, &[1, 8, 3]), kept(1, &[1, 2, 3]));
        sides.found = [Soundness::Unread, Soundness::Sound];
        assert_eq!(sides.round(&mut prover, &mut now), []);
        assert_eq!((end(&prover), prover.difference()), (STEP, None), "nor is it identical");
        assert!(prover.ask(now, &sides.copy, KEY).is_some_and(|ask| ask.judge == Some(Interval(1))), "it is asked on");
        let silent = prover.ask(now, &sides.copy, KEY).map(|ask| CheckpointsSince { judge: None, ..ask }).unwrap();
        prover.take(now, page(&sides.source, &silent, 2), &sides.copy, &[], true);
        let said = prover.judge(&sides.copy).map(|(_, verdict)| verdict);
        assert_eq!(said, Some(Verdict::Neither), "a source that does not judge counts as sound");
    }

    #[test]
    fn what_is_read_otherwise_again_is_no_verdict() {
        let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
        let mut sides = Sides::of(kept(7, &[1, 2, 3]), kept(1, &[1, 9, 3]));
        sides.found = [Soundness::Unread; 2];
        assert_eq!(sides.round(&mut prover, &mut now), []);
        sides.copy = kept(2, &[1, 2, 3]);
        sides.found = [Soundness::Sound; 2];
        assert_eq!(sides.round(&mut prover, &mut now), [], "the copy gave something else only once");
        assert_eq!((end(&prover), prover.to_judge()), (3 * STEP, None));
    }

    #[test]
    fn what_could_not_be_kept_is_said_again() {
        for found in [[BAD, Soundness::Sound], [Soundness::Sound, BAD]] {
            let (mut prover, mut now) = (Prover::default(), Duration::ZERO);
            let mut sides = Sides { found, ..Sides::of(kept(7, &[1, 2, 3]), kept(1, &[1, 9, 3])) };
            let said = sides.round(&mut prover, &mut now);
            assert_eq!(said.len(), 1);
            prover.find_again(Interval(1).range());
            assert_eq!(sides.round(&mut prover, &mut now), said);
        }
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
        prover.take(now, page(&copy, &ask, 2), &copy, &[], true);
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
