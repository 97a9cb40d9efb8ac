use crate::plan::Plan;
use model::{
    DivergedTail, Offset, OffsetRange, Opening, OwnershipEpoch, PartitionId, RegionName, SealedPartition, Timestamp,
    TopicId,
};
use serde::{Deserialize, Serialize};

/// An amount of lost data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Seconds of writes: from the append of the oldest lost record to the last sign of the source, or to the append of
    /// the newest lost one if that is later.
    pub seconds: f64,
}

/// What one partition lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionLoss {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The last offset both lineages share: everything of the old lineage from here on is declared lost.
    pub common_end: Offset,
    /// Where the new lineage begins.
    pub base: Offset,
    /// Where the old lineage ended: exactly when `tail_known`, else as last heard of, if it ever was.
    pub old_tail: Option<Offset>,
    /// Whether that is what the old log says.
    pub tail_known: bool,
    /// Kept, but above the source's last watermark heard of: whether the source had committed it is not known yet.
    pub unproven: Option<OffsetRange>,
    /// How much: what the old log says when `tail_known`, else what was heard of it.
    pub loss: Loss,
    /// Where the old owner's records were archived, once they are.
    pub archived: Option<Archived>,
}

/// A diverged tail on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// In this region.
    pub region: RegionName,
    /// Under this name, relative to its data directory.
    pub file: String,
    /// These offsets.
    pub range: OffsetRange,
}

/// What an old owner's log held above the common end when it came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedTail {
    /// The old owner.
    pub region: RegionName,
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The grant it was written under.
    pub ownership_epoch: OwnershipEpoch,
    /// What lay above the common end; `None`: nothing.
    pub diverged: Option<DivergedTail>,
}

impl ReturnedTail {
    /// What `region` archived.
    pub fn archived(region: RegionName, diverged: DivergedTail) -> Self {
        let (topic, partition, ownership_epoch) = (diverged.topic, diverged.partition, diverged.ownership_epoch);
        Self { region, topic, partition, ownership_epoch, diverged: Some(diverged) }
    }

    fn answers(&self, opening: &Opening, plan: &Plan) -> bool {
        let partition = self.topic == opening.topic && self.partition == opening.partition;
        partition && self.region == plan.source && self.ownership_epoch == plan.ownership_epoch
    }
}

impl PartitionLoss {
    pub(super) fn of(opening: &Opening, sealed: &[SealedPartition], plan: &Plan, returned: &[ReturnedTail]) -> Self {
        let copy = sealed.iter().find(|copy| copy.topic == opening.topic && copy.partition == opening.partition);
        let returned = returned.iter().find(|tail| tail.answers(opening, plan));
        let heard = Self {
            topic: opening.topic,
            partition: opening.partition,
            common_end: opening.common_end,
            base: opening.base,
            old_tail: copy.and_then(|copy| copy.source_tail).map(|tail| tail.max(opening.common_end)),
            tail_known: false,
            unproven: copy.and_then(|copy| unproven(copy, opening.common_end)),
            loss: copy.map_or(Loss::default(), |copy| heard(copy, opening, plan)),
            archived: None,
        };
        returned.map_or(heard.clone(), |tail| heard.settled(tail, plan.incident_at))
    }

    fn settled(self, returned: &ReturnedTail, incident: Timestamp) -> Self {
        let diverged = returned.diverged.as_ref();
        Self {
            old_tail: Some(diverged.map_or(self.common_end, |tail| tail.range.end.max(self.common_end))),
            tail_known: true,
            unproven: None,
            loss: diverged.map_or(Loss::default(), |tail| exact(tail, incident)),
            archived: diverged.filter(|tail| !tail.range.is_empty()).map(|tail| Archived {
                region: returned.region.clone(),
                file: tail.file.clone(),
                range: tail.range,
            }),
            ..self
        }
    }

    /// The offsets of the old lineage that are declared lost, as far as their end is known.
    pub fn declared(&self) -> Option<OffsetRange> {
        self.old_tail.map(|tail| OffsetRange::new(self.common_end, tail.max(self.common_end)))
    }

    /// Whether `offset` of the old lineage is declared lost: everything from the common end on is, known tail or not.
    pub fn declares(&self, offset: Offset) -> bool {
        offset >= self.common_end && offset < self.base
    }

    pub(super) fn is_worth_telling(&self) -> bool {
        !self.tail_known || self.archived.is_some() || self.loss.records > 0
    }
}

fn unproven(copy: &SealedPartition, common_end: Offset) -> Option<OffsetRange> {
    let watermark = copy.source_watermark.unwrap_or(Offset::ZERO);
    let range = OffsetRange::new(watermark, common_end);
    (!range.is_empty()).then_some(range)
}

/// What was heard of the source, holes not counted.
fn heard(copy: &SealedPartition, opening: &Opening, plan: &Plan) -> Loss {
    let tail = copy.source_tail.unwrap_or(opening.common_end);
    let lost = OffsetRange::new(opening.common_end, tail.max(opening.common_end));
    let holes = plan.holes.iter().filter(|hole| hole.topic == copy.topic && hole.partition == copy.partition);
    let never_written: u64 = holes.map(|hole| overlap(&lost, &OffsetRange::new(hole.common_end, hole.base))).sum();
    let records = lost.len().saturating_sub(never_written);
    if records == 0 {
        return Loss::default();
    }
    let until = plan.incident_at.max(copy.heard_at.unwrap_or(Timestamp::NONE));
    let seconds = copy.oldest_missing.map_or(0.0, |oldest| until.since(oldest).as_secs_f64());
    Loss { records, bytes: copy.missing_bytes, seconds }
}

fn exact(tail: &DivergedTail, incident: Timestamp) -> Loss {
    if tail.records == 0 {
        return Loss::default();
    }
    let seconds = tail.last_time.max(incident).since(tail.first_time).as_secs_f64();
    Loss { records: tail.records, bytes: tail.bytes, seconds }
}

fn overlap(a: &OffsetRange, b: &OffsetRange) -> u64 {
    OffsetRange::new(a.start.max(b.start), a.end.min(b.end)).len()
}

pub(super) fn total(losses: &[PartitionLoss]) -> Loss {
    losses.iter().fold(Loss::default(), |sum, partition| Loss {
        records: sum.records + partition.loss.records,
        bytes: sum.bytes + partition.loss.bytes,
        seconds: sum.seconds.max(partition.loss.seconds),
    })
}
