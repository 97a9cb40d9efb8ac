//! What a drill is judged by: the history its clients wrote, the logs that survived, and what the platform says of it.

use super::journal::Journal;
use super::load::{DIRECT, READERS};
use super::scan::Log;
use api::runs::{PartitionLoss as LossDocument, RunReport, RunState, Standing as StandingDocument};
use chaos::checker::{self, Class, Requirements};
use chaos::history::{Entry, Event};
use dr_planner::drill::{Acked, Check, Inputs, Scorecard, Verdict, score};
use dr_planner::plan::{Kind, PlanId};
use dr_planner::report::{
    Archived, Conservation, Loss, PartitionFacts, PartitionLoss, Report, Standing, Times, conserve,
};
use dr_planner::run::Outcome;
use model::limits::PROMOTE_HOLE_OFFSETS;
use model::{Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, RunId, Timestamp, TopicId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Everything there is to judge by.
pub(super) struct Evidence {
    /// The drill's name.
    pub(super) drill: String,
    /// What its clients saw.
    pub(super) journal: Journal,
    /// The run's report.
    pub(super) report: Option<RunReport>,
    /// Every region's log of every partition.
    pub(super) logs: BTreeMap<(RegionName, i32), Log>,
    /// Each region's hash.
    pub(super) hashes: BTreeMap<String, Option<String>>,
    /// The topic's id.
    pub(super) topic_id: String,
    /// The new owner.
    pub(super) owner: RegionName,
    /// The longest the client may go without an acknowledgement.
    pub(super) write_gap_ms_max: u64,
    /// Whether a region was lost.
    pub(super) unplanned: bool,
}

/// A drill's outcome: the scorecard, and what the history's own checker found.
#[derive(Debug, serde::Serialize)]
pub(super) struct Judgement {
    /// Claim by claim.
    pub(super) scorecard: Scorecard,
    /// The checker's figures.
    pub(super) figures: checker::Figures,
    /// How long the client got no acknowledgement.
    pub(super) write_gap_ms: Option<u64>,
    /// What the platform reported.
    pub(super) report: Option<RunReport>,
}

impl Evidence {
    /// Judges it.
    pub(super) fn judge(self, now: Timestamp) -> Judgement {
        self.tell();
        let entries = self.journal.entries();
        let regions: Vec<RegionName> = self.hashes.keys().filter_map(|name| RegionName::new(name).ok()).collect();
        let requirements = Requirements {
            acked_min: 1,
            faults_min: u64::from(self.unplanned),
            scanned: regions,
            stake: false,
            readers_min: READERS.len() as u64,
        };
        let found = checker::check(&entries, &requirements);
        let count = |classes: &[Class]| -> u64 {
            found.anomalies.iter().filter(|found| classes.contains(&found.class)).map(|found| found.count).sum()
        };
        let write_gap_ms = self.write_gap_ms(&entries);
        let report = self.report.as_ref().and_then(|report| converted(report, &self.topic_id));
        let inputs = Inputs {
            drill: self.drill.clone(),
            acked: self.acked(&entries),
            write_gap_ms,
            write_gap_ms_max: self.write_gap_ms_max,
            skipped: Some(count(&[Class::ConsumerSkip, Class::Unseen])),
            redelivered: found.figures.redelivered,
            written_twice: count(&[Class::Duplicate]),
            fatal_errors: self.journal.fatal_errors().len() as u64,
            hashes: self.named_hashes(),
            conservation: report.as_ref().map(|report| self.conservation(report)),
            report,
        };
        let mut scorecard = score(inputs, now);
        scorecard.checks.push(self.one_writer(&entries));
        scorecard.checks.push(history_holds(&found));
        scorecard
            .checks
            .extend(self.journal.fatal_errors().into_iter().map(|error| claim("no fatal error", Verdict::Fail, error)));
        scorecard.verdict = scorecard.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown);
        Judgement { scorecard, figures: found.figures, write_gap_ms, report: self.report }
    }

    /// Adds to the history what is known only at the end.
    fn tell(&self) {
        // The checker takes the first log of a partition for the one that counts unless a promotion says otherwise.
        let owner_first = |((region, _), _): &(&(RegionName, i32), &Log)| *region != self.owner;
        let mut logs: Vec<_> = self.logs.iter().collect();
        logs.sort_by_key(owner_first);
        for loss in self.report.iter().flat_map(|report| &report.partitions) {
            if loss.topic.as_deref() == Some(self.journal.topic().as_str()) {
                self.tell_loss(loss);
            }
        }
        for ((region, partition), log) in logs {
            let event = Event::Scanned {
                region: region.clone(),
                partition: self.journal.place(*partition),
                start: log.start,
                tail: log.tail,
                records: log.records.clone(),
                hash: None,
            };
            self.journal.tell("scan", event);
        }
    }

    fn tell_loss(&self, loss: &LossDocument) {
        let Some(epoch) = self.report.as_ref().and_then(|report| report.to_epoch).map(OwnershipEpoch) else { return };
        let place = || self.journal.place(loss.partition);
        let common_end = Offset(loss.common_end);
        self.journal.tell(
            "report",
            Event::Promoted {
                partition: place(),
                owner: self.owner.clone(),
                ownership_epoch: epoch,
                common_end,
                base: common_end.plus(PROMOTE_HOLE_OFFSETS),
            },
        );
        let ranges = loss.declared_lost.map(range).into_iter().filter(|range| !range.is_empty()).collect();
        let settled = loss.tail_known;
        self.journal.tell("report", Event::LossReport { partition: place(), ownership_epoch: epoch, ranges, settled });
        if let Some(archived) = &loss.archived {
            self.journal.tell("report", Event::Archived { partition: place(), range: range(archived.range) });
        }
    }

    /// Every acknowledged value, and whether the new owner's log holds it.
    fn acked(&self, entries: &[Entry]) -> Vec<Acked> {
        let topic = topic_id(&self.topic_id).unwrap_or(TopicId::ZERO);
        let homes = homes(entries);
        let held: HashSet<(i32, Offset, u64)> = self
            .logs
            .iter()
            .filter(|((region, _), _)| *region == self.owner)
            .flat_map(|((_, partition), log)| {
                log.records.iter().map(move |(offset, value)| (*partition, *offset, *value))
            })
            .collect();
        let acked = entries.iter().filter_map(|entry| match entry.event {
            Event::Acked { value, offset, .. } => Some((value, offset, *homes.get(&value)?)),
            _ => None,
        });
        acked
            .map(|(value, offset, partition)| Acked {
                topic,
                partition: PartitionId(partition),
                offset,
                present: held.contains(&(partition, offset, value)),
            })
            .collect()
    }

    /// From the fault to the first acknowledgement of a record handed in after it, over all partitions the worst; in a
    /// planned switch the longest time without any acknowledgement in a partition.
    fn write_gap_ms(&self, entries: &[Entry]) -> Option<u64> {
        let homes = homes(entries);
        let mut acks: BTreeMap<i32, Vec<(u64, u64)>> = BTreeMap::new();
        let sent: HashMap<u64, u64> = entries
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Sent { value, .. } => Some((value, entry.at)),
                _ => None,
            })
            .collect();
        for entry in entries.iter().filter(|entry| entry.process != DIRECT) {
            if let Event::Acked { value, .. } = entry.event
                && let Some((partition, sent)) = homes.get(&value).zip(sent.get(&value))
            {
                acks.entry(*partition).or_default().push((entry.at, *sent));
            }
        }
        let fault = entries.iter().find(|entry| matches!(entry.event, Event::Fault { .. })).map(|entry| entry.at);
        let gap = |acks: &Vec<(u64, u64)>| match fault {
            Some(fault) => acks.iter().filter(|(_, sent)| *sent > fault).map(|(at, _)| at - fault).min(),
            None => acks.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).max(),
        };
        let gaps: Option<Vec<u64>> = acks.values().map(gap).collect();
        gaps?.into_iter().max().map(|nanos| nanos / 1_000_000)
    }

    /// The old region acknowledges nothing to a direct client once the new owner has begun to.
    fn one_writer(&self, entries: &[Entry]) -> Check {
        let name = "one writer at a time";
        let began = entries.iter().find(|entry| matches!(entry.event, Event::Fault { .. })).map_or(0, |entry| entry.at);
        let acks = |direct: bool| {
            let ours = entries.iter().filter(move |entry| (entry.process == DIRECT) == direct && entry.at > began);
            ours.filter(|entry| matches!(entry.event, Event::Acked { .. }))
        };
        let before_the_end = acks(true).max_by_key(|entry| entry.at);
        let first_new = match self.unplanned {
            true => self.first_of_the_new_owner(entries),
            false => return claim(name, Verdict::Pass, "the old owner stopped by itself"),
        };
        match (before_the_end, first_new) {
            (_, None) => claim(name, Verdict::Unknown, "the new owner has acknowledged nothing"),
            (Some(last), Some(first)) if last.at > first => {
                let late = (last.at - first) / 1_000_000;
                let what = format!("the old region acknowledged a write {late} ms after the new owner's first");
                claim(name, Verdict::Fail, format!("{what}: {}", of_a_write(entries, last)))
            }
            _ => claim(name, Verdict::Pass, "a direct client got nothing from the old region any more"),
        }
    }

    fn first_of_the_new_owner(&self, entries: &[Entry]) -> Option<u64> {
        let is_new = |offset: Offset| offset.0 >= PROMOTE_HOLE_OFFSETS;
        let fault = entries.iter().find(|entry| matches!(entry.event, Event::Fault { .. }))?.at;
        let acks = entries.iter().filter(|entry| entry.at > fault && entry.process != DIRECT);
        acks.filter(|entry| matches!(entry.event, Event::Acked { offset, .. } if is_new(offset)))
            .map(|entry| entry.at)
            .min()
    }

    fn named_hashes(&self) -> BTreeMap<RegionName, Option<String>> {
        let named = |(name, hash): (&String, &Option<String>)| Some((RegionName::new(name).ok()?, hash.clone()));
        self.hashes.iter().filter_map(named).collect()
    }

    /// Whether every offset of the old lineage is accounted for.
    fn conservation(&self, report: &Report) -> Conservation {
        let facts: Vec<PartitionFacts> = report.partitions.iter().filter_map(|loss| self.facts(loss)).collect();
        conserve(&facts)
    }

    fn facts(&self, loss: &PartitionLoss) -> Option<PartitionFacts> {
        let log = self.logs.get(&(self.owner.clone(), loss.partition.0))?;
        let ours = topic_id(&self.topic_id) == Some(loss.topic);
        let archived: Vec<OffsetRange> = loss.archived.iter().map(|archived| archived.range).collect();
        let lost = loss.declared().filter(|range| !range.is_empty() && archived.is_empty());
        let retired = OffsetRange::new(Offset::ZERO, log.start);
        ours.then(|| PartitionFacts {
            topic: loss.topic,
            partition: loss.partition,
            old_tail: loss.old_tail.filter(|_| loss.tail_known),
            present: log.covered_below(loss.common_end),
            declared_lost: lost.into_iter().collect(),
            archived,
            retired: Some(retired).into_iter().filter(|range| !range.is_empty()).collect(),
            holes: Vec::new(),
        })
    }
}

/// Which write `ack` acknowledges, and how long before the fault, or after it, it was handed in.
fn of_a_write(entries: &[Entry], ack: &Entry) -> String {
    let Event::Acked { value, offset, .. } = ack.event else { return String::new() };
    let is_sent = |entry: &&Entry| matches!(entry.event, Event::Sent { value: sent, .. } if sent == value);
    let fault = entries.iter().find(|entry| matches!(entry.event, Event::Fault { .. }));
    let handed_in = entries.iter().find(is_sent).zip(fault).map(|(sent, fault)| {
        let millis = |nanos: u64| nanos / 1_000_000;
        match fault.at.checked_sub(sent.at) {
            Some(before) => format!("{} ms before the fault", millis(before)),
            None => format!("{} ms after the fault", millis(sent.at - fault.at)),
        }
    });
    format!("value {value} at offset {offset}, handed in {}", handed_in.unwrap_or_default())
}

/// The partition each value was sent to.
fn homes(entries: &[Entry]) -> HashMap<u64, i32> {
    let sent = entries.iter().filter_map(|entry| match &entry.event {
        Event::Sent { value, partition, .. } => Some((*value, partition.partition.0)),
        _ => None,
    });
    sent.collect()
}

fn claim(name: &str, verdict: Verdict, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict, detail: detail.into() }
}

fn history_holds(found: &checker::Report) -> Check {
    let name = "the history breaks no promise";
    match found.verdict {
        checker::Verdict::Pass => {
            claim(name, Verdict::Pass, format!("{} records, {} unclear", found.figures.sent, found.figures.unclear))
        }
        checker::Verdict::Violation => {
            let told: Vec<String> = found.anomalies.iter().map(ToString::to_string).collect();
            claim(name, Verdict::Fail, told.join("; "))
        }
        checker::Verdict::Unknown => claim(name, Verdict::Unknown, found.uncovered.join("; ")),
    }
}

fn range(range: api::OffsetRange) -> OffsetRange {
    OffsetRange::new(Offset(range.start), Offset(range.end))
}

fn topic_id(text: &str) -> Option<TopicId> {
    uuid::Uuid::parse_str(text).ok().map(TopicId)
}

/// The report as the planner's own judge knows it, without partitions of other topics.
fn converted(report: &RunReport, topic: &str) -> Option<Report> {
    let at = |text: &Option<String>| text.as_deref().and_then(crate::cli::instant).map(Timestamp);
    let source = RegionName::new(&report.source).ok()?;
    let ours = |loss: &&LossDocument| loss.topic_id == topic;
    Some(Report {
        run: serde_json::from_value::<RunId>(report.run.clone().into()).ok()?,
        plan: PlanId(report.plan.clone()),
        kind: match report.kind {
            api::plans::Kind::Failover => Kind::Failover,
            api::plans::Kind::Switchover => Kind::Switchover,
            api::plans::Kind::Failback => Kind::Failback,
            api::plans::Kind::Drill => Kind::Drill,
        },
        group: ProtectionGroup::new(&report.group).ok()?,
        source: source.clone(),
        target: RegionName::new(&report.target).ok()?,
        from_epoch: OwnershipEpoch(report.from_epoch),
        to_epoch: report.to_epoch.map(OwnershipEpoch),
        outcome: report.outcome.and_then(outcome),
        times: Times {
            incident: at(&report.times.incident_at),
            decision: at(&report.times.decision_at),
            pivot: at(&report.times.pivot_at),
            canary: at(&report.times.canary_at),
            recovered: at(&report.times.recovered_at),
        },
        rto_ms: report.rto_ms,
        rto_met: report.rto_met,
        rpo: loss(&report.lost),
        rpo_met: report.rpo_met,
        partitions: report.partitions.iter().filter(ours).map(partition_loss).collect::<Option<_>>()?,
        standing: match &report.standing {
            StandingDocument::Final => Standing::Final,
            StandingDocument::Provisional { waiting_for_partitions, .. } => {
                Standing::Provisional { waiting_for: *waiting_for_partitions as usize, region: source }
            }
        },
    })
}

fn outcome(state: RunState) -> Option<Outcome> {
    match state {
        RunState::Succeeded => Some(Outcome::Succeeded),
        RunState::RolledBack => Some(Outcome::RolledBack),
        RunState::Stuck => Some(Outcome::Stuck),
        RunState::Failed => Some(Outcome::Failed),
        RunState::Running | RunState::Paused | RunState::Unwinding => None,
    }
}

fn loss(loss: &api::runs::Loss) -> Loss {
    Loss { records: loss.records, bytes: loss.bytes, seconds: loss.seconds }
}

fn partition_loss(document: &LossDocument) -> Option<PartitionLoss> {
    let common_end = Offset(document.common_end);
    let archived = match &document.archived {
        Some(archived) => Some(Archived {
            region: RegionName::new(&archived.region).ok()?,
            file: archived.file.clone(),
            range: range(archived.range),
        }),
        None => None,
    };
    Some(PartitionLoss {
        topic: topic_id(&document.topic_id)?,
        partition: PartitionId(document.partition),
        common_end,
        base: common_end.plus(PROMOTE_HOLE_OFFSETS),
        old_tail: document.old_tail.map(Offset),
        tail_known: document.tail_known,
        unproven: document.unproven.map(range),
        loss: loss(&document.lost),
        archived,
    })
}
