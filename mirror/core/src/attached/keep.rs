//! Which of several accounts of one partition's copy stands.
//!
//! There are up to three: the journal of the link, and the map in either cluster. Each is written behind the same copy, so
//! one may be shorter than another, but where two of them reach they must say the same.

use super::{Copy, Run};
use model::{Offset, TopicId};
use std::fmt;

/// Whose account it is; of two that reach equally far the first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// The link's own directory.
    Journal,
    /// The map in the target cluster.
    Target,
    /// The map in the source cluster.
    Source,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "the link's journal",
            Self::Target => "the map in the target cluster",
            Self::Source => "the map in the source cluster",
        })
    }
}

/// What is known of the partition itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The topic in the source cluster.
    pub source_topic: TopicId,
    /// The topic in the target cluster.
    pub target_topic: TopicId,
    /// Where the target partition ends.
    pub target_tail: Offset,
}

/// Two accounts that both fit, and of which one must be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{first} and {second} say different things about source offset {at}")]
pub struct Contradiction {
    /// One.
    pub first: Home,
    /// The other.
    pub second: Home,
    /// Where they part.
    pub at: Offset,
}

/// The longest of the accounts that are consistent: of these topics, not past the end of the target, and in agreement with
/// each other. `None` when there is none.
///
/// # Errors
/// [`Contradiction`] between two of them; nobody can tell which is right.
pub fn longest(accounts: Vec<(Home, Copy)>, facts: Facts) -> Result<Option<(Home, Copy)>, Contradiction> {
    let mut fitting: Vec<_> = accounts.into_iter().filter(|(_, copy)| fits(copy, facts)).collect();
    fitting.sort_by_key(|(home, copy)| (std::cmp::Reverse(copy.position()), *home));
    for (index, (first, copy)) in fitting.iter().enumerate() {
        for (second, other) in &fitting[index + 1..] {
            if let Some(at) = difference(copy, other) {
                return Err(Contradiction { first: *first, second: *second, at });
            }
        }
    }
    Ok(fitting.into_iter().next())
}

/// Whether two copies are of the same topics and say the same where both reach.
pub fn agree(one: &Copy, other: &Copy) -> bool {
    let (ours, theirs) = (one.begin(), other.begin());
    let is_same = ours.source_topic == theirs.source_topic && ours.target_topic == theirs.target_topic;
    is_same && difference(one, other).is_none()
}

fn fits(copy: &Copy, facts: Facts) -> bool {
    let begin = copy.begin();
    let is_of_these = begin.source_topic == facts.source_topic && begin.target_topic == facts.target_topic;
    is_of_these && copy.map().target_end() <= facts.target_tail
}

/// The first source offset about which two copies say different things, of those that both know.
fn difference(one: &Copy, other: &Copy) -> Option<Offset> {
    let known_from = |copy: &Copy| copy.map().start().0.max(copy.map().thinned_below());
    let (start, end) = (known_from(one).max(known_from(other)), one.position().min(other.position()));
    let (mut ours, mut theirs) = (within(one, start, end), within(other, start, end));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return None,
            (Some(run), None) | (None, Some(run)) => return Some(run.source),
            (Some(ours), Some(theirs)) if ours != theirs => return Some(parting(ours, theirs)),
            (Some(_), Some(_)) => {}
        }
    }
}

fn parting(one: Run, other: Run) -> Offset {
    let is_same_start = (one.source, one.target) == (other.source, other.target);
    if is_same_start { one.source_end().min(other.source_end()) } else { one.source.min(other.source) }
}

/// What is known between two source offsets. Runs that follow each other on both sides are one, so there is one way to say it.
fn within(copy: &Copy, start: Offset, end: Offset) -> impl Iterator<Item = Run> {
    copy.map().runs().iter().filter_map(move |run| {
        let (from, to) = (run.source.max(start), run.source_end().min(end));
        let count = to.since(from);
        (count > 0).then(|| Run { source: from, target: run.target.plus(from.since(run.source) as i64), count })
    })
}

#[cfg(test)]
mod tests {
    use super::Home::{Journal, Source, Target};
    use super::*;
    use crate::attached::{Begin, Entry};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn topic(number: u128) -> TopicId {
        TopicId(Uuid::from_u128(number))
    }

    fn facts(target_tail: i64) -> Facts {
        Facts { source_topic: topic(1), target_topic: topic(2), target_tail: Offset(target_tail) }
    }

    /// A copy that has come as far as `position`.
    fn copy(runs: &[(i64, i64, u64)], position: i64) -> Copy {
        let begin = Begin { source_topic: topic(1), target_topic: topic(2), source: Offset(0), target: Offset(0) };
        let run = |(source, target, count): &(i64, i64, u64)| Run {
            source: Offset(*source),
            target: Offset(*target),
            count: *count,
        };
        let entries =
            [Entry::Begin(begin), Entry::Runs(runs.iter().map(run).collect()), Entry::Passed { end: Offset(position) }];
        Copy::replay(entries).unwrap().unwrap()
    }

    fn chosen(accounts: Vec<(Home, Copy)>, tail: i64) -> Result<Option<Home>, Contradiction> {
        longest(accounts, facts(tail)).map(|found| found.map(|(home, _)| home))
    }

    #[test]
    fn the_longest_stands_and_the_journal_where_they_are_equal() {
        let (short, long) = (copy(&[(0, 0, 5)], 5), copy(&[(0, 0, 5), (7, 5, 2)], 9));
        assert_eq!(chosen(vec![], 9), Ok(None));
        assert_eq!(chosen(vec![(Source, long.clone()), (Target, short.clone())], 9), Ok(Some(Source)));
        assert_eq!(chosen(vec![(Journal, short.clone()), (Target, long.clone())], 9), Ok(Some(Target)));
        let equal = vec![(Source, long.clone()), (Target, long.clone()), (Journal, long)];
        assert_eq!(chosen(equal, 9), Ok(Some(Journal)));
    }

    #[test]
    fn what_does_not_fit_the_partition_does_not_count() {
        let (short, long) = (copy(&[(0, 0, 5)], 5), copy(&[(0, 0, 9)], 9));
        // The target holds less than the longer one says was copied.
        assert_eq!(chosen(vec![(Source, long.clone()), (Target, short.clone())], 6), Ok(Some(Target)));
        assert_eq!(chosen(vec![(Source, long.clone())], 6), Ok(None));
        let elsewhere = Facts { target_topic: topic(9), ..facts(99) };
        assert_eq!(longest(vec![(Source, long), (Target, short)], elsewhere), Ok(None), "the topic was made again");
    }

    #[test]
    fn two_that_differ_where_both_reach_are_refused() {
        let (one, other) = (copy(&[(0, 0, 5), (7, 5, 3)], 10), copy(&[(0, 0, 5), (8, 5, 1)], 9));
        let told = chosen(vec![(Source, one.clone()), (Target, other)], 99).unwrap_err();
        assert_eq!(told, Contradiction { first: Source, second: Target, at: Offset(7) });
        let other = copy(&[(0, 0, 5), (7, 6, 1)], 9);
        assert_eq!(chosen(vec![(Target, other), (Source, one)], 99).unwrap_err().at, Offset(7));
    }

    proptest! {
        #[test]
        fn a_copy_agrees_with_every_earlier_state_of_itself(
            steps in prop::collection::vec((0i64..3, 1i64..4, 0i64..2), 1..40),
            at in any::<prop::sample::Index>(),
            forgotten in 0i64..40,
        ) {
            let (mut runs, mut source, mut target) = (Vec::new(), 0, 0);
            for (hole, count, foreign) in &steps {
                source += hole;
                target += foreign;
                runs.push((source, target, *count as u64));
                (source, target) = (source + count, target + count);
            }
            let at = at.index(runs.len());
            let early = copy(&runs[..=at], runs[at].0 + runs[at].2 as i64);
            let mut late = copy(&runs, source);
            late.forget_below(Offset(forgotten));
            prop_assert_eq!(chosen(vec![(Source, early), (Target, late)], target), Ok(Some(Target)));
        }
    }
}
