//! The history, sorted by what the rules ask for: writes by value, everything else by partition and time.

use super::{Figures, Requirements};
use crate::history::{Entry, Event, Outcome};
use model::{Offset, OffsetRange, OwnershipEpoch, RegionName, TopicPartition};
use std::collections::{BTreeMap, HashMap};

/// How a write ended, as far as its producer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Acked { at: u64, offset: Offset, region: Option<RegionName> },
    Refused,
    Unclear,
}

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Write<'a> {
    pub(super) producer: &'a str,
    pub(super) sent_at: u64,
    pub(super) idempotent: bool,
    pub(super) end: End,
}

/// A change of owner.
#[derive(Clone, Debug)]
pub(super) struct Promotion<'a> {
    pub(super) owner: &'a RegionName,
    pub(super) ownership_epoch: OwnershipEpoch,
    pub(super) base: Offset,
}

/// One log, read at the end.
pub(super) struct Scan<'a> {
    pub(super) region: &'a RegionName,
    pub(super) start: Offset,
    pub(super) tail: Offset,
    pub(super) records: &'a [(Offset, u64)],
    pub(super) hash: Option<&'a str>,
}

/// What the report of one failover says is lost of a partition.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) ranges: Vec<OffsetRange>,
    pub(super) settled: bool,
}

/// What one reader was given of one partition, in order of time.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) from: Option<Offset>,
    pub(super) polled: Vec<(Offset, u64)>,
}

/// Everything about one partition.
#[derive(Default)]
pub(super) struct Partition<'a> {
    pub(super) writes: HashMap<u64, Write<'a>>,
    pub(super) readings: BTreeMap<&'a str, Reading>,
    pub(super) promotions: Vec<Promotion<'a>>,
    pub(super) declared: BTreeMap<OwnershipEpoch, Declared>,
    pub(super) archived: Vec<OffsetRange>,
    pub(super) scans: Vec<Scan<'a>>,
}

impl Partition<'_> {
    /// The log that counts: the last owner's, or the only one there is.
    pub(super) fn surviving(&self) -> Option<&Scan<'_>> {
        let owner = self.promotions.iter().max_by_key(|p| p.ownership_epoch).map(|p| p.owner);
        match owner {
            Some(owner) => self.scans.iter().find(|scan| scan.region == owner),
            None => self.scans.first(),
        }
    }

    /// Whether a report covers the loss of `offset`: it is in a range, or, while the old log is still away, between the
    /// first range and the base of the new lineage.
    pub(super) fn declares(&self, offset: Offset) -> bool {
        self.declared.iter().any(|(epoch, declared)| {
            let named = declared.ranges.iter().any(|range| range.contains(offset));
            let behind = declared.ranges.iter().any(|range| range.start <= offset);
            named || (!declared.settled && behind && self.base(*epoch).is_none_or(|base| offset < base))
        })
    }

    fn base(&self, epoch: OwnershipEpoch) -> Option<Offset> {
        self.promotions.iter().find(|promotion| promotion.ownership_epoch == epoch).map(|promotion| promotion.base)
    }

    /// Acknowledged writes: (value, write, time, offset, region).
    pub(super) fn acked(&self) -> impl Iterator<Item = (u64, &Write<'_>, u64, Offset, Option<&RegionName>)> {
        self.writes.iter().filter_map(|(value, write)| match &write.end {
            End::Acked { at, offset, region } => Some((*value, write, *at, *offset, region.as_ref())),
            End::Refused | End::Unclear => None,
        })
    }
}

/// The whole history.
pub(super) struct Evidence<'a> {
    pub(super) partitions: BTreeMap<&'a TopicPartition, Partition<'a>>,
    faults: Vec<u64>,
}

impl<'a> Evidence<'a> {
    pub(super) fn gather(history: &'a [Entry]) -> Self {
        let mut entries: Vec<&Entry> = history.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        let mut evidence = Self { partitions: BTreeMap::new(), faults: Vec::new() };
        let mut homes = HashMap::new();
        for entry in entries {
            evidence.take(entry, &mut homes);
        }
        evidence
    }

    fn take(&mut self, entry: &'a Entry, homes: &mut HashMap<u64, &'a TopicPartition>) {
        match &entry.event {
            Event::Sent { value, partition, idempotent } => {
                homes.insert(*value, partition);
                let write =
                    Write { producer: &entry.process, sent_at: entry.at, idempotent: *idempotent, end: End::Unclear };
                self.at(partition).writes.insert(*value, write);
            }
            Event::Acked { value, offset, region } => {
                self.end(homes, *value, End::Acked { at: entry.at, offset: *offset, region: region.clone() });
            }
            Event::Refused { value, .. } => self.end(homes, *value, End::Refused),
            Event::Unclear { .. } | Event::Healed { .. } => {}
            Event::Began { reader, partition, from } => {
                self.at(partition).readings.entry(reader).or_default().from.get_or_insert(*from);
            }
            Event::Polled { reader, partition, offset, value } => {
                self.at(partition).readings.entry(reader).or_default().polled.push((*offset, *value));
            }
            Event::Fault { outcome, .. } => {
                if *outcome == Outcome::Installed {
                    self.faults.push(entry.at);
                }
            }
            Event::Promoted { partition, owner, ownership_epoch, base, .. } => {
                let promotion = Promotion { owner, ownership_epoch: *ownership_epoch, base: *base };
                self.at(partition).promotions.push(promotion);
            }
            Event::LossReport { partition, ownership_epoch, ranges, settled } => {
                self.declare(partition, *ownership_epoch, ranges, *settled);
            }
            Event::Archived { partition, range } => self.at(partition).archived.push(*range),
            Event::Scanned { region, partition, start, tail, records, hash } => {
                let scan = Scan { region, start: *start, tail: *tail, records, hash: hash.as_deref() };
                self.at(partition).scans.push(scan);
            }
        }
    }

    fn at(&mut self, partition: &'a TopicPartition) -> &mut Partition<'a> {
        self.partitions.entry(partition).or_default()
    }

    /// The last report of a failover counts; a provisional one never takes the place of a final one.
    fn declare(&mut self, partition: &'a TopicPartition, epoch: OwnershipEpoch, ranges: &[OffsetRange], settled: bool) {
        let declared = self.at(partition).declared.entry(epoch).or_default();
        if settled || !declared.settled {
            *declared = Declared { ranges: ranges.to_vec(), settled };
        }
    }

    fn end(&mut self, homes: &HashMap<u64, &'a TopicPartition>, value: u64, end: End) {
        let write = homes.get(&value).and_then(|home| self.partitions.get_mut(*home)?.writes.get_mut(&value));
        if let Some(write) = write {
            write.end = end;
        }
    }

    fn writes(&self) -> impl Iterator<Item = &Write<'a>> {
        self.partitions.values().flat_map(|partition| partition.writes.values())
    }

    pub(super) fn figures(&self) -> Figures {
        let mut acks: Vec<(u64, u64)> = Vec::new();
        let mut figures = Figures::default();
        for write in self.writes() {
            figures.sent += 1;
            match write.end {
                End::Acked { at, .. } => acks.push((at, write.sent_at)),
                End::Unclear => figures.unclear += 1,
                End::Refused => {}
            }
        }
        acks.sort_unstable();
        figures.acked = acks.len() as u64;
        figures.ack_gap_max_ns = acks.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0);
        figures.recovery_ns = self.faults.iter().filter_map(|fault| recovery(*fault, &acks)).collect();
        figures
    }

    /// What `requirements` ask for and the history does not show.
    pub(super) fn uncovered(&self, requirements: &Requirements, figures: &Figures) -> Vec<String> {
        let mut uncovered = Vec::new();
        let mut least = |what: &str, found: u64, wanted: u64| {
            if found < wanted {
                uncovered.push(format!("{found} {what}, at least {wanted} are needed"));
            }
        };
        least("acknowledged records", figures.acked, requirements.acked_min);
        least("faults that took hold", self.faults.len() as u64, requirements.faults_min);
        let readers =
            self.partitions.values().flat_map(|p| p.readings.keys()).collect::<std::collections::BTreeSet<_>>();
        least("readers", readers.len() as u64, requirements.readers_min);
        if requirements.stake && figures.declared_lost == 0 {
            uncovered.push("nothing was at stake: no acknowledged record was missing in the new owner's log".into());
        }
        uncovered.extend(self.unscanned(requirements));
        uncovered
    }

    fn unscanned(&self, requirements: &Requirements) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, partition) in self.partitions.iter().filter(|(_, p)| !p.writes.is_empty()) {
            if partition.surviving().is_none() {
                missing.push(format!("the surviving log of {name} was not read at the end"));
            }
            let unread = requirements.scanned.iter().filter(|r| partition.scans.iter().all(|scan| scan.region != *r));
            missing.extend(unread.map(|region| format!("the log of {name} in {region} was not read at the end")));
        }
        missing
    }
}

/// From `fault` to the first acknowledgement of a record that was handed in after it.
fn recovery(fault: u64, acks: &[(u64, u64)]) -> Option<u64> {
    acks.iter().find(|(_, sent_at)| *sent_at > fault).map(|(at, _)| at - fault)
}

#[cfg(test)]
mod tests {
    use crate::checker::story::Story;
    use crate::checker::{Requirements, Verdict, check};

    #[test]
    fn an_empty_history_passes_only_if_nothing_is_required() {
        assert_eq!(check(&[], &Requirements::default()).verdict, Verdict::Pass);
        let asked = Requirements { acked_min: 1, faults_min: 1, ..Requirements::default() };
        let report = check(&[], &asked);
        assert_eq!(report.verdict, Verdict::Unknown);
        assert_eq!(report.uncovered.len(), 2);
    }

    #[test]
    fn a_fault_that_did_not_take_hold_does_not_count() {
        let mut story = Story::new();
        story.acked(1, 0).skipped_fault("kill", "r1").scan("r1", &[(0, 1)]);
        let asked = Requirements { faults_min: 1, ..Requirements::default() };
        assert_eq!(check(&story.entries(), &asked).verdict, Verdict::Unknown);
    }

    #[test]
    fn writes_without_a_final_scan_are_unknown() {
        let mut story = Story::new();
        story.acked(1, 0);
        assert_eq!(story.check().verdict, Verdict::Unknown);
    }

    #[test]
    fn recovery_counts_from_the_fault_to_the_first_record_sent_after_it() {
        let mut story = Story::new();
        story.acked(1, 0).fault("kill", "r1").acked(2, 1).scan("r1", &[(0, 1), (1, 2)]);
        let figures = story.check().figures;
        assert_eq!(figures.recovery_ns, [2 * Story::TICK]);
        assert_eq!(figures.ack_gap_max_ns, 3 * Story::TICK);
    }
}
