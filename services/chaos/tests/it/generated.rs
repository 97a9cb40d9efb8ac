//! The checker on generated histories: valid ones pass, and each kind of damage is found by its own name.

use chaos::checker::{Class, Requirements, Verdict, check};
use chaos::history::{Entry, Event, Outcome};
use model::{Offset, OffsetRange, OwnershipEpoch, PartitionId, RegionName, TopicName, TopicPartition};

const HISTORIES: u64 = 300;
const HOLE: i64 = 1 << 40;

/// Numbers that are the same in every run (Knuth's linear congruential generator).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

/// One partition, one idempotent producer, one reader; r1 is lost at a random moment and r2 takes over.
struct Failover {
    chance: Chance,
    partition: TopicPartition,
    entries: Vec<Entry>,
    log: Vec<(Offset, u64)>,
    values: u64,
}

impl Failover {
    fn tell(&mut self, event: Event) {
        self.entries.push(Entry { at: (self.entries.len() as u64 + 1) * 1000, process: "client".into(), event });
    }

    /// Sends one record; now and then nobody learns what became of it.
    fn send(&mut self, next: &mut i64, by: &str) {
        let value = self.values;
        self.values += 1;
        self.tell(Event::Sent { value, partition: self.partition.clone(), idempotent: true });
        let offset = Offset(*next);
        match self.chance.below(20) {
            0 => return self.tell(Event::Unclear { value, reason: "timed out".into() }),
            1 => self.tell(Event::Unclear { value, reason: "timed out, yet written".into() }),
            _ => self.tell(Event::Acked { value, offset, region: Some(region(by)) }),
        }
        self.log.push((offset, value));
        *next += 1;
    }

    fn generate(seed: u64) -> Self {
        let partition = TopicPartition { topic: TopicName::new("orders").unwrap(), partition: PartitionId(0) };
        let chance = Chance(seed);
        let mut story = Self { chance, partition, entries: Vec::new(), log: Vec::new(), values: 0 };
        let from = Offset::ZERO;
        story.tell(Event::Began { reader: "group".into(), partition: story.partition.clone(), from });
        let mut next = 0;
        for _ in 0..30 + story.chance.below(40) {
            story.send(&mut next, "r1");
        }
        let (kind, target) = ("kill".into(), "r1".into());
        story.tell(Event::Fault { kind, target, outcome: Outcome::Installed });
        story.fail_over(&mut next);
        for _ in 0..10 + story.chance.below(20) {
            story.send(&mut next, "r2");
        }
        story.read_and_scan();
        story
    }

    /// Between 2 and 11 records are left behind, archived and declared.
    fn fail_over(&mut self, next: &mut i64) {
        let lost = 2 + self.chance.below(10) as usize;
        let tail = *next;
        self.log.truncate(self.log.len() - lost);
        let end = Offset(tail - lost as i64);
        let (partition, range) = (self.partition.clone(), OffsetRange::new(end, Offset(tail)));
        let (owner, ownership_epoch, base) = (region("r2"), OwnershipEpoch(2), Offset(tail + HOLE));
        self.tell(Event::Promoted { partition: partition.clone(), owner, ownership_epoch, common_end: end, base });
        self.tell(Event::Archived { partition: partition.clone(), range });
        self.tell(Event::LossReport { partition, ownership_epoch, ranges: vec![range], settled: true });
        *next = tail + HOLE + 1;
    }

    fn read_and_scan(&mut self) {
        let log = self.log.clone();
        for (offset, value) in &log {
            for _ in 0..1 + self.chance.below(8) / 7 {
                let (reader, partition) = ("group".into(), self.partition.clone());
                self.tell(Event::Polled { reader, partition, offset: *offset, value: *value });
            }
        }
        let tail = log.last().map_or(Offset::ZERO, |(offset, _)| offset.plus(1));
        for name in ["r1", "r2"] {
            let (partition, hash) = (self.partition.clone(), Some("same".into()));
            let records = log.clone();
            self.tell(Event::Scanned { region: region(name), partition, start: Offset::ZERO, tail, records, hash });
        }
    }
}

fn required() -> Requirements {
    let scanned = vec![region("r1"), region("r2")];
    Requirements { acked_min: 20, faults_min: 1, scanned, stake: true, readers_min: 1 }
}

fn scans(entries: &mut [Entry], mut change: impl FnMut(&mut Vec<(Offset, u64)>)) {
    for entry in entries {
        if let Event::Scanned { records, .. } = &mut entry.event {
            change(records);
        }
    }
}

/// Damages every generated history and expects the class to be among what is found.
fn found_in_all(class: Class, mut damage: impl FnMut(&mut Vec<Entry>, &mut Chance)) {
    for seed in 0..HISTORIES {
        let mut story = Failover::generate(seed);
        damage(&mut story.entries, &mut story.chance);
        let report = check(&story.entries, &required());
        assert!(report.anomalies.iter().any(|anomaly| anomaly.class == class), "seed {seed}: {report:?}");
        assert_eq!(report.verdict, Verdict::Violation);
    }
}

#[test]
fn valid_histories_raise_no_alarm() {
    for seed in 0..HISTORIES {
        let report = check(&Failover::generate(seed).entries, &required());
        assert_eq!(report.verdict, Verdict::Pass, "seed {seed}: {report:?}");
        assert!(report.figures.declared_lost > 0);
    }
}

#[test]
fn an_acknowledged_record_missing_in_every_log_is_found() {
    found_in_all(Class::UndeclaredLoss, |entries, chance| {
        let mut present = Vec::new();
        scans(entries, |records| present = records.iter().map(|(_, value)| *value).collect());
        let acked: Vec<u64> = acked_of(entries).into_iter().filter(|value| present.contains(value)).collect();
        let gone = acked[chance.below(acked.len() as u64) as usize];
        scans(entries, |records| records.retain(|(_, value)| *value != gone));
    });
}

fn acked_of(entries: &[Entry]) -> Vec<u64> {
    entries.iter().filter_map(|e| if let Event::Acked { value, .. } = e.event { Some(value) } else { None }).collect()
}

#[test]
fn a_record_written_twice_is_found() {
    found_in_all(Class::Duplicate, |entries, chance| {
        let pick = chance.below(20) as usize;
        scans(entries, |records| {
            let (last, value) = (records.last().unwrap().0, records[pick].1);
            records.push((last.plus(1), value));
        });
    });
}

#[test]
fn two_values_swapped_are_found() {
    found_in_all(Class::InconsistentOffsets, |entries, chance| {
        let pick = chance.below(20) as usize;
        scans(entries, |records| {
            let value = records[pick].1;
            records[pick].1 = records[pick + 1].1;
            records[pick + 1].1 = value;
        });
    });
}

#[test]
fn a_missing_delivery_is_found() {
    found_in_all(Class::ConsumerSkip, |entries, chance| {
        let polled: Vec<Offset> = entries
            .iter()
            .filter_map(|e| if let Event::Polled { offset, .. } = e.event { Some(offset) } else { None })
            .collect();
        let last = *polled.last().unwrap();
        let earlier: Vec<Offset> = polled.into_iter().filter(|offset| *offset < last).collect();
        let gone = earlier[chance.below(earlier.len() as u64) as usize];
        entries.retain(|e| !matches!(e.event, Event::Polled { offset, .. } if offset == gone));
    });
}

#[test]
fn a_report_that_says_nothing_is_found() {
    found_in_all(Class::UndeclaredLoss, |entries, _| entries.retain(|e| !matches!(e.event, Event::LossReport { .. })));
}

#[test]
fn a_report_that_says_too_much_is_found() {
    found_in_all(Class::PhantomLoss, |entries, chance| {
        let more = 1 + chance.below(5) as i64;
        for entry in entries {
            if let Event::LossReport { ranges, .. } = &mut entry.event {
                ranges[0].start.0 -= more;
            }
        }
    });
}

#[test]
fn an_old_owner_that_goes_on_is_found() {
    found_in_all(Class::DualWriter, |entries, _| {
        let at = entries.iter().filter(|e| matches!(e.event, Event::Acked { .. })).map(|e| e.at).max().unwrap() + 1;
        let late = entries.iter_mut().find(|e| matches!(e.event, Event::Acked { .. })).unwrap();
        late.at = at;
    });
}

#[test]
fn a_copy_that_differs_is_found() {
    found_in_all(Class::DivergedCopies, |entries, chance| {
        let pick = chance.below(20) as usize;
        let scan = entries.iter_mut().rev().find_map(|e| match &mut e.event {
            Event::Scanned { records, .. } => Some(records),
            _ => None,
        });
        scan.unwrap().remove(pick);
    });
}
