//! The scorecard of a drill: what it claims, claim by claim, and what was seen.

use crate::report::{Conservation, PartitionLoss, Report, Standing};
use crate::run::Outcome;
use model::{Offset, PartitionId, RegionName, Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a drill found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// The drill.
    pub drill: String,
    /// When it was scored.
    pub at: Timestamp,
    /// The worst of its checks.
    pub verdict: Verdict,
    /// Each claim.
    pub checks: Vec<Check>,
    /// Values that were acknowledged and that no surviving log holds.
    pub missing: u64,
    /// Records that consumers were given more than once. Counted, not judged.
    pub redelivered: u64,
    /// The report of the run it practised.
    pub report: Option<Report>,
}

/// How a drill, or one claim of it, came out; the worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It could not have failed: nothing was at stake, or not enough was seen.
    Unknown,
    /// Not as it should be.
    Fail,
}

/// One claim and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The claim's name.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
}

/// What a drill saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The drill's name.
    pub drill: String,
    /// Every value that was acknowledged before the new owner opened, and whether a surviving log holds it.
    pub acked: Vec<Acked>,
    /// The longest time in which the client got no acknowledgement.
    pub write_gap_ms: Option<u64>,
    /// The longest that may be.
    pub write_gap_ms_max: u64,
    /// Surviving or new records that a consumer was never given; `None` where no consumer was watched.
    pub skipped: Option<u64>,
    /// Records that consumers were given more than once.
    pub redelivered: u64,
    /// Values that lie in the surviving log twice.
    pub written_twice: u64,
    /// Errors that ended a client.
    pub fatal_errors: u64,
    /// Each region's hash over the group's logs after the heal; `None` where it could not be had.
    pub hashes: BTreeMap<RegionName, Option<String>>,
    /// Whether every offset of the old lineage is accounted for.
    pub conservation: Option<Conservation>,
    /// The run's report.
    pub report: Option<Report>,
}

/// One acknowledged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The offset that its acknowledgement named.
    pub offset: Offset,
    /// Whether a surviving log holds it there.
    pub present: bool,
}

/// Judges what a drill saw.
pub fn score(inputs: Inputs, now: Timestamp) -> Scorecard {
    let checks: Vec<_> =
        [run, stake, declared, phantom, write_gap, skipped, written_twice, clients, hashes, finality, conservation]
            .into_iter()
            .map(|check| check(&inputs))
            .collect();
    Scorecard {
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown),
        checks,
        at: now,
        missing: missing(&inputs).count() as u64,
        redelivered: inputs.redelivered,
        drill: inputs.drill,
        report: inputs.report,
    }
}

fn check(name: &str, verdict: Verdict, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict, detail: detail.into() }
}

fn zero(name: &str, count: u64, what: &str) -> Check {
    check(name, if count == 0 { Verdict::Pass } else { Verdict::Fail }, format!("{count} {what}"))
}

fn missing(inputs: &Inputs) -> impl Iterator<Item = &Acked> {
    inputs.acked.iter().filter(|value| !value.present)
}

fn is_declared(inputs: &Inputs, value: &Acked) -> bool {
    let losses = inputs.report.iter().flat_map(|report| &report.partitions);
    let ours = |loss: &&PartitionLoss| loss.topic == value.topic && loss.partition == value.partition;
    let old = |loss: &PartitionLoss| match loss.declared() {
        Some(range) if loss.tail_known => range.contains(value.offset),
        _ => loss.declares(value.offset),
    };
    losses.filter(ours).any(old)
}

fn run(inputs: &Inputs) -> Check {
    let name = "the run succeeded";
    match inputs.report.as_ref().map(|report| (&report.run, report.outcome)) {
        Some((run, Some(Outcome::Succeeded))) => check(name, Verdict::Pass, format!("run {run}")),
        Some((run, Some(outcome))) => check(name, Verdict::Fail, format!("run {run} ended: {outcome}")),
        Some((run, None)) => check(name, Verdict::Fail, format!("run {run} has not ended")),
        None => check(name, Verdict::Fail, "there was no run"),
    }
}

fn stake(inputs: &Inputs) -> Check {
    let name = "something was at stake";
    let acked = inputs.acked.len();
    let lost = inputs.report.as_ref().map_or(0, |report| report.rpo.records);
    let unplanned = inputs.report.as_ref().is_some_and(Report::is_unplanned);
    let enough = acked > 0 && (!unplanned || lost > 0);
    let detail = format!("{acked} values acknowledged, {lost} records declared lost");
    check(name, if enough { Verdict::Pass } else { Verdict::Unknown }, detail)
}

fn declared(inputs: &Inputs) -> Check {
    let undeclared = missing(inputs).filter(|value| !is_declared(inputs, value)).count() as u64;
    zero("every missing value is declared", undeclared, "acknowledged values are missing and not declared")
}

fn phantom(inputs: &Inputs) -> Check {
    let present = inputs.acked.iter().filter(|value| value.present && is_declared(inputs, value)).count() as u64;
    zero("every declared value is missing", present, "values are declared lost and present")
}

fn write_gap(inputs: &Inputs) -> Check {
    let (name, max) = ("the write gap is short enough", inputs.write_gap_ms_max);
    match inputs.write_gap_ms {
        None => check(name, Verdict::Fail, "writes did not go on"),
        Some(gap) if gap <= max => check(name, Verdict::Pass, format!("{gap} ms of at most {max} ms")),
        Some(gap) => check(name, Verdict::Fail, format!("{gap} ms, at most {max} ms")),
    }
}

fn skipped(inputs: &Inputs) -> Check {
    let name = "consumers skipped nothing";
    let unwatched = || check(name, Verdict::Unknown, "no consumer was watched");
    inputs.skipped.map_or_else(unwatched, |skipped| zero(name, skipped, "surviving or new records were skipped"))
}

fn written_twice(inputs: &Inputs) -> Check {
    zero("nothing was written twice", inputs.written_twice, "values lie in the log twice")
}

fn clients(inputs: &Inputs) -> Check {
    zero("clients went on", inputs.fatal_errors, "clients ended with a fatal error")
}

fn hashes(inputs: &Inputs) -> Check {
    let name = "all regions hold the same";
    let of =
        |(region, hash): (&RegionName, &Option<String>)| format!("{region} {}", hash.as_deref().unwrap_or("unknown"));
    let detail = inputs.hashes.iter().map(of).collect::<Vec<_>>().join(", ");
    let mut known = inputs.hashes.values().flatten();
    let equal = known.next().is_none_or(|first| known.all(|hash| hash == first));
    let complete = inputs.hashes.len() > 1 && inputs.hashes.values().all(Option::is_some);
    let verdict = match (equal, complete) {
        (false, _) => Verdict::Fail,
        (true, false) => Verdict::Unknown,
        (true, true) => Verdict::Pass,
    };
    check(name, verdict, detail)
}

fn finality(inputs: &Inputs) -> Check {
    let name = "the report is final";
    match inputs.report.as_ref().map(|report| &report.standing) {
        Some(Standing::Final) => check(name, Verdict::Pass, "every old log came back"),
        Some(Standing::Provisional { waiting_for, region }) => {
            check(name, Verdict::Unknown, format!("{waiting_for} logs of {region} are waited for"))
        }
        None => check(name, Verdict::Unknown, "there is no report"),
    }
}

fn conservation(inputs: &Inputs) -> Check {
    let name = "every offset is accounted for";
    let unplanned = inputs.report.as_ref().is_some_and(Report::is_unplanned);
    match &inputs.conservation {
        Some(Conservation::Holds { at_stake }) => check(name, Verdict::Pass, format!("{at_stake} were at stake")),
        Some(Conservation::Violated { violations }) => {
            let first = violations.first();
            let detail = first.map_or_else(String::new, |first| {
                let accounted =
                    if first.accounted_as.is_empty() { "nothing".to_owned() } else { first.accounted_as.join(" and ") };
                format!("{} of {} {} is accounted for as {accounted}", first.range, first.topic, first.partition)
            });
            check(name, Verdict::Fail, detail)
        }
        // A planned switch leaves nothing behind that would have to be accounted for.
        _ if !unplanned && inputs.report.is_some() => check(name, Verdict::Pass, "nothing was left behind"),
        Some(Conservation::Unknown { reason }) => check(name, Verdict::Unknown, reason.clone()),
        None => check(name, Verdict::Unknown, "nobody looked"),
    }
}

impl Scorecard {
    /// Whether the drill is worth an exit code of 0.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Pass
    }
}
