//! Short stories for the checker's tests: one partition, one producer, a tick between any two entries.

use super::{Class, Report, Requirements, check};
use crate::history::{Entry, Event, Outcome};
use model::{Offset, OffsetRange, OwnershipEpoch, PartitionId, RegionName, TopicName, TopicPartition};

pub(crate) fn topic() -> TopicPartition {
    TopicPartition { topic: TopicName::new("orders").expect("a valid name"), partition: PartitionId(0) }
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("a valid name")
}

fn range(start: i64, end: i64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(end))
}

pub(crate) struct Story {
    entries: Vec<Entry>,
    idempotent: bool,
}

impl Story {
    pub(crate) const TICK: u64 = 1_000_000;

    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), idempotent: true }
    }

    pub(crate) fn without_idempotence() -> Self {
        Self { entries: Vec::new(), idempotent: false }
    }

    pub(crate) fn tell(&mut self, event: Event) -> &mut Self {
        let at = (self.entries.len() as u64 + 1) * Self::TICK;
        self.entries.push(Entry { at, process: "producer".into(), event });
        self
    }

    pub(crate) fn sent(&mut self, value: u64) -> &mut Self {
        let idempotent = self.idempotent;
        self.tell(Event::Sent { value, partition: topic(), idempotent })
    }

    pub(crate) fn ack(&mut self, value: u64, offset: i64, by: Option<&str>) -> &mut Self {
        self.tell(Event::Acked { value, offset: Offset(offset), region: by.map(region) })
    }

    pub(crate) fn acked(&mut self, value: u64, offset: i64) -> &mut Self {
        self.sent(value).ack(value, offset, None)
    }

    pub(crate) fn acked_by(&mut self, value: u64, offset: i64, by: &str) -> &mut Self {
        self.sent(value).ack(value, offset, Some(by))
    }

    pub(crate) fn refused(&mut self, value: u64) -> &mut Self {
        self.sent(value).tell(Event::Refused { value, reason: "too large".into() })
    }

    pub(crate) fn unclear(&mut self, value: u64) -> &mut Self {
        self.sent(value).tell(Event::Unclear { value, reason: "timed out".into() })
    }

    pub(crate) fn began(&mut self, reader: &str, from: i64) -> &mut Self {
        self.tell(Event::Began { reader: reader.into(), partition: topic(), from: Offset(from) })
    }

    pub(crate) fn polled(&mut self, reader: &str, offset: i64, value: u64) -> &mut Self {
        self.tell(Event::Polled { reader: reader.into(), partition: topic(), offset: Offset(offset), value })
    }

    pub(crate) fn fault(&mut self, kind: &str, target: &str) -> &mut Self {
        self.tell(Event::Fault { kind: kind.into(), target: target.into(), outcome: Outcome::Installed })
    }

    pub(crate) fn skipped_fault(&mut self, kind: &str, target: &str) -> &mut Self {
        self.tell(Event::Fault { kind: kind.into(), target: target.into(), outcome: Outcome::Skipped })
    }

    pub(crate) fn promoted(&mut self, owner: &str, epoch: u32, common_end: i64, base: i64) -> &mut Self {
        self.tell(Event::Promoted {
            partition: topic(),
            owner: region(owner),
            ownership_epoch: OwnershipEpoch(epoch),
            common_end: Offset(common_end),
            base: Offset(base),
        })
    }

    /// The report of the first failover, which ends with grant 2.
    pub(crate) fn reports(&mut self, start: i64, end: i64, settled: bool) -> &mut Self {
        self.reports_on(2, start, end, settled)
    }

    pub(crate) fn reports_on(&mut self, epoch: u32, start: i64, end: i64, settled: bool) -> &mut Self {
        let (ownership_epoch, ranges) = (OwnershipEpoch(epoch), vec![range(start, end)]);
        self.tell(Event::LossReport { partition: topic(), ownership_epoch, ranges, settled })
    }

    pub(crate) fn archived(&mut self, start: i64, end: i64) -> &mut Self {
        self.tell(Event::Archived { partition: topic(), range: range(start, end) })
    }

    /// A final report and the archive that belongs to it.
    pub(crate) fn loses(&mut self, start: i64, end: i64) -> &mut Self {
        self.archived(start, end).reports(start, end, true)
    }

    pub(crate) fn scan(&mut self, by: &str, records: &[(i64, u64)]) -> &mut Self {
        self.scan_from(by, 0, records, Some("same"))
    }

    pub(crate) fn scan_from(&mut self, by: &str, start: i64, records: &[(i64, u64)], hash: Option<&str>) -> &mut Self {
        self.tell(Event::Scanned {
            region: region(by),
            partition: topic(),
            start: Offset(start),
            tail: Offset(records.last().map_or(start, |(offset, _)| offset + 1)),
            records: records.iter().map(|(offset, value)| (Offset(*offset), *value)).collect(),
            hash: hash.map(str::to_owned),
        })
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    pub(crate) fn check(&self) -> Report {
        check(&self.entries, &Requirements::default())
    }

    /// The classes of what is found, without repetition.
    pub(crate) fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.check().anomalies.into_iter().map(|anomaly| anomaly.class).collect();
        classes.dedup();
        classes
    }
}
