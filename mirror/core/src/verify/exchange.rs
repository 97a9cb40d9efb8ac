//! What a source says of its checkpoints, page by page.

use super::limits::{ASKED_MAX, PAGE_MAX};
use super::{Checkpoint, Checkpoints, Interval, Judgements, MadeDigest, Soundness};
use model::{Offset, PartitionId, TopicId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The checkpoints of one log and what has to be known with them.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Changes whenever checkpoints that were there are others or none: after a cut, a start of the process, damage.
    pub generation: u64,
    /// The log start.
    pub start: Offset,
    /// Whether a cleaner takes or has taken batches away.
    pub compacted: bool,
    /// How often the log was made anew. What was proven of it before does not count.
    pub remade: u32,
    /// The checkpoints.
    pub checkpoints: Arc<Checkpoints>,
    /// The last digest of its keys, where it is compacted: the owner's own, or a copy's of what it was to be made of.
    pub digest: Option<MadeDigest>,
    /// What reading intervals of it once more told, where somebody wanted to know.
    pub judged: Judgements,
}

/// Asks the leader of source partitions for their checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskCheckpoints {
    /// At most [`ASKED_MAX`]; more are not answered.
    pub partitions: Vec<CheckpointsSince>,
}

/// One partition, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointsSince {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The generation of those that are known; 0 for none.
    pub generation: u64,
    /// The first interval that is not.
    pub from: Interval,
    /// The number of the digest of its keys that is known; 0 for none.
    #[serde(default)]
    pub digest: u64,
    /// An interval in which both differ: the source is to read its own once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Interval>,
}

/// A page of one partition's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointsPage {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// As [`Kept::generation`]. One other than asked for begins anew.
    pub generation: u64,
    /// The source's log start.
    pub start: Offset,
    /// As [`Kept::compacted`].
    pub compacted: bool,
    /// In order.
    pub entries: Vec<Checkpoint>,
    /// Whether there are more behind them.
    pub more: bool,
    /// The digest of its keys, where it is another than the one that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<MadeDigest>,
    /// What reading the interval that it was to judge told; `None` when it was asked about none, or is of a version that does
    /// not judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Soundness>,
}

/// What `kept` has for `ask`, at most `limit` checkpoints.
pub fn page(kept: &Kept, ask: &CheckpointsSince, limit: usize) -> CheckpointsPage {
    let from = if ask.generation == kept.generation { ask.from } else { Interval(0) };
    let known = kept.checkpoints.entries();
    let rest = &known[known.partition_point(|entry| entry.interval < from)..];
    let entries = rest[..rest.len().min(limit)].to_vec();
    CheckpointsPage {
        topic: ask.topic,
        partition: ask.partition,
        generation: kept.generation,
        start: kept.start,
        compacted: kept.compacted,
        more: entries.len() < rest.len(),
        entries,
        digest: kept.digest.filter(|made| made.of.number != ask.digest),
        judged: ask.judge.map(|interval| kept.judged.of(interval)),
    }
}

impl AskCheckpoints {
    /// Answers with what `kept` has of each partition; what it has not, or what goes beyond the limits, is left out.
    pub fn answer(&self, mut kept: impl FnMut(&CheckpointsSince) -> Option<Kept>) -> Vec<CheckpointsPage> {
        let (mut pages, mut room) = (Vec::new(), PAGE_MAX);
        for ask in self.partitions.iter().take(ASKED_MAX) {
            let Some(kept) = kept(ask) else { continue };
            let page = page(&kept, ask, room);
            room -= page.entries.len();
            pages.push(page);
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn kept(generation: u64, intervals: std::ops::Range<u64>) -> Kept {
        let mut checkpoints = Checkpoints::default();
        for interval in intervals.map(Interval) {
            checkpoints.add(Checkpoint { interval, from: interval.range().start, batches: 1, hash: interval.0 });
        }
        Kept { generation, checkpoints: Arc::new(checkpoints), ..Kept::default() }
    }

    fn ask(partition: i32, generation: u64, from: u64) -> CheckpointsSince {
        let (topic, partition) = (TopicId::ZERO, PartitionId(partition));
        CheckpointsSince { topic, partition, generation, from: Interval(from), digest: 0, judge: None }
    }

    #[test]
    fn pages_follow_each_other_and_another_generation_begins_anew() {
        let kept = kept(7, 0..10);
        let first = page(&kept, &ask(0, 0, 5), 4);
        assert_eq!((first.entries[0].interval, first.entries.len(), first.more), (Interval(0), 4, true));
        let last = page(&kept, &ask(0, 7, 6), 4);
        assert_eq!((last.entries[0].interval, last.entries.len(), last.more), (Interval(6), 4, false));
        assert_eq!(page(&kept, &ask(0, 7, 10), 4).entries, []);
    }

    #[test]
    fn an_answer_is_bounded_whatever_is_asked() {
        let partitions = (0..1000).map(|partition| ask(partition, 0, 0)).collect();
        let pages = AskCheckpoints { partitions }.answer(|_| Some(kept(1, 0..100)));
        assert_eq!(pages.len(), ASKED_MAX);
        assert_eq!(pages.iter().map(|page| page.entries.len()).sum::<usize>(), PAGE_MAX);
        assert!(pages.last().unwrap().more, "it is asked for again");
    }

    #[test]
    fn versions_that_do_not_judge_are_understood() {
        let of = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let plain = serde_json::to_value(ask(0, 7, 5)).unwrap();
        assert!(!of(&plain).contains(&"judge".to_owned()), "nothing is new where nothing differs");
        let asked = CheckpointsSince { judge: Some(Interval(3)), ..ask(0, 7, 5) };
        let said = serde_json::to_value(asked).unwrap();
        assert_eq!(serde_json::from_value::<CheckpointsSince>(said).unwrap(), asked);
        assert_eq!(serde_json::from_value::<CheckpointsSince>(plain).unwrap().judge, None);
        let mut kept = kept(7, 0..10);
        kept.judged.want(Interval(3));
        kept.judged.settle(Interval(3), Soundness::Damaged(Offset(9)));
        let answered = serde_json::to_value(page(&kept, &asked, 4)).unwrap();
        let answered: CheckpointsPage = serde_json::from_value(answered).unwrap();
        assert_eq!(answered.judged, Some(Soundness::Damaged(Offset(9))));
        let old = serde_json::to_value(page(&kept, &ask(0, 7, 5), 4)).unwrap();
        assert!(!of(&old).contains(&"judged".to_owned()));
        assert_eq!(serde_json::from_value::<CheckpointsPage>(old).unwrap().judged, None);
    }
}
