//! `farshore run`

use super::place::{Place, escaped, list};
use super::progress::step_bar;
use crate::http::Api;
use crate::output;
use crate::table::{self, Table, or_dash};
use anyhow::{Context, Result};
use api::plans::Kind;
use api::runs::{ReportTimes, Run, RunEvent, RunReport, RunState, RunStep, Standing, StepState};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(150);
/// A council that elects a leader in the middle of a run does not answer for a moment.
const SILENCE_MAX: u32 = 200;

/// Shows failovers and switchovers: what they did, and what they cost.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows the runs, the newest first.
    List,
    /// Shows a run's steps.
    Show {
        /// The run; the newest when it is left out.
        id: Option<String>,
        /// Shows its events as well.
        #[arg(long, short)]
        events: bool,
    },
    /// Follows a run to its end. Exit code 0 when it succeeded.
    Watch {
        /// The run; the newest when it is left out.
        id: Option<String>,
    },
    /// Shows what a run cost: the five instants, and what was lost.
    Report {
        /// The run; the newest when it is left out.
        id: Option<String>,
    },
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<ExitCode> {
        let api = place.api();
        match self {
            Self::List => {
                let runs: Vec<Run> = list(&api, "/v1/runs").await?;
                table::print(place.json, &runs, |runs| rows(runs))?;
            }
            Self::Show { id, events } => show(&api, place, &newest(&api, id).await?, events).await?,
            Self::Watch { id } => {
                let run = follow(&api, &newest(&api, id).await?).await?;
                table::print(place.json, &run, |run| rows(std::slice::from_ref(run)))?;
                return Ok(if run.state == RunState::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Self::Report { id } => report(&api, place, &newest(&api, id).await?).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn newest(api: &Api, id: Option<String>) -> Result<String> {
    if let Some(id) = id {
        return Ok(id);
    }
    let runs: Vec<Run> = list(api, "/v1/runs").await?;
    let newest = runs.into_iter().max_by(|a, b| a.started_at.cmp(&b.started_at));
    Ok(newest.context("there has been no run yet")?.id)
}

async fn show(api: &Api, place: &Place, id: &str, events: bool) -> Result<()> {
    let run: Run = api.get(&format!("/v1/runs/{}", escaped(id))).await?;
    if !place.json {
        output::write(rows(std::slice::from_ref(&run)).render())?;
    }
    table::print(place.json, &run, |run| steps(&run.steps))?;
    if events {
        let events: Vec<RunEvent> = list(api, &format!("/v1/runs/{}/events", escaped(id))).await?;
        table::print(place.json, &events, |events| happened(events))?;
    }
    Ok(())
}

/// Follows a run to its end.
///
/// # Errors
/// When the platform does not answer for too long.
pub(crate) async fn follow(api: &Api, id: &str) -> Result<Run> {
    let bar = step_bar(id);
    let mut silent = 0;
    loop {
        match api.get::<Run>(&format!("/v1/runs/{}", escaped(id))).await {
            Ok(run) => {
                silent = 0;
                let done = run.steps.iter().filter(|step| step.state == StepState::Succeeded).count();
                let current = run.steps.iter().find(|step| step.state == StepState::Running);
                bar.set_length(run.steps.len() as u64);
                bar.set_position(done as u64);
                bar.set_message(current.map_or_else(|| state(run.state).to_owned(), |step| step.id.clone()));
                if run.state.is_over() {
                    bar.finish_and_clear();
                    return Ok(run);
                }
            }
            Err(error) if silent >= SILENCE_MAX => return Err(error),
            Err(_) => silent += 1,
        }
        sleep(PAUSE).await;
    }
}

/// Prints the report of a run.
///
/// # Errors
/// When there is none.
pub(super) async fn report(api: &Api, place: &Place, id: &str) -> Result<()> {
    let report: RunReport = api.get(&format!("/v1/runs/{}/report", escaped(id))).await?;
    if !place.json {
        output::write(summary(&report))?;
        if report.partitions.is_empty() {
            return Ok(());
        }
    }
    table::print(place.json, &report, losses)
}

/// A report in a few lines.
pub(crate) fn summary(report: &RunReport) -> String {
    let standing = match &report.standing {
        Standing::Final => "final".to_owned(),
        Standing::Provisional { waiting_for_partitions, region } => {
            format!("provisional: {waiting_for_partitions} partitions of {region} are waited for")
        }
    };
    let objective = |met: Option<bool>| match met {
        Some(true) => ", objective met",
        Some(false) => ", objective MISSED",
        None => "",
    };
    format!(
        "{} {} of {}: {} -> {}, {}, {standing}\n{}RTO  {}{}\nRPO  {} records, {}, {}{}\n",
        kind(report.kind),
        report.run,
        report.group,
        report.source,
        report.target,
        report.outcome.map_or("not ended", state),
        instants(&report.times),
        or_dash(report.rto_ms.map(super::millis)),
        objective(report.rto_met),
        report.lost.records,
        super::bytes(report.lost.bytes),
        super::seconds(report.lost.seconds),
        objective(report.rpo_met),
    )
}

/// The five instants, each with the time since the first.
fn instants(times: &ReportTimes) -> String {
    let known = [
        ("t0 incident ", &times.incident_at),
        ("t1 decision ", &times.decision_at),
        ("t2 pivot    ", &times.pivot_at),
        ("t3 canary   ", &times.canary_at),
        ("t4 recovered", &times.recovered_at),
    ];
    let first = times.incident_at.as_deref().and_then(super::stamp::instant);
    let line = |(name, at): (&str, &Option<String>)| {
        let since = at.as_deref().and_then(super::stamp::instant).zip(first).map(|(at, first)| at - first);
        let since =
            since.and_then(|since| u64::try_from(since).ok()).map(|since| format!("  +{}", super::millis(since)));
        format!("{name}  {}{}\n", or_dash(at.as_ref()), since.unwrap_or_default())
    };
    known.into_iter().map(line).collect()
}

pub(super) fn rows(runs: &[Run]) -> Table {
    let mut table = Table::new(["run", "kind", "group", "from", "to", "state", "started", "took", "by"]);
    for run in runs {
        table.row([
            run.id.clone(),
            kind(run.kind).to_owned(),
            run.group.clone(),
            run.source.clone(),
            run.target.clone(),
            state(run.state).to_owned(),
            run.started_at.clone(),
            super::millis(run.duration_ms),
            run.started_by.clone(),
        ]);
    }
    table
}

fn steps(steps: &[RunStep]) -> Table {
    let mut table = Table::new(["step", "state", "attempts", "took", "error"]);
    for step in steps {
        table.row([
            step.id.clone(),
            format!("{:?}", step.state).to_lowercase(),
            step.attempts.to_string(),
            or_dash(step.duration_ms.map(super::millis)),
            or_dash(step.error.as_ref()),
        ]);
    }
    table
}

fn happened(events: &[RunEvent]) -> Table {
    let mut table = Table::new(["seq", "at", "by", "event", "step", "message"]);
    for event in events {
        table.row([
            event.seq.to_string(),
            event.at.clone(),
            event.by.clone(),
            event.event.clone(),
            or_dash(event.step.as_ref()),
            event.message.clone(),
        ]);
    }
    table
}

fn losses(report: &RunReport) -> Table {
    let mut table =
        Table::new(["topic", "partition", "common end", "old tail", "lost", "records", "bytes", "archived in"]);
    for loss in &report.partitions {
        let tail = loss.old_tail.map(|tail| if loss.tail_known { tail.to_string() } else { format!("{tail}?") });
        table.row([
            loss.topic.clone().unwrap_or_else(|| loss.topic_id.clone()),
            loss.partition.to_string(),
            loss.common_end.to_string(),
            or_dash(tail),
            or_dash(loss.declared_lost.map(|range| format!("{}..{}", range.start, range.end))),
            loss.lost.records.to_string(),
            super::bytes(loss.lost.bytes),
            or_dash(loss.archived.as_ref().map(|archived| format!("{}: {}", archived.region, archived.file))),
        ]);
    }
    table
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Failover => "failover",
        Kind::Switchover => "switchover",
        Kind::Failback => "failback",
        Kind::Drill => "drill",
    }
}

fn state(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Unwinding => "unwinding",
        RunState::Succeeded => "succeeded",
        RunState::RolledBack => "rolled back",
        RunState::Stuck => "stuck",
        RunState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::runs::{Loss, PartitionLoss};

    pub(super) fn example() -> RunReport {
        let at = |seconds: u32| Some(format!("2026-01-01T00:00:{seconds:02}.000Z"));
        RunReport {
            run: "f-1".into(),
            plan: "p-1".into(),
            kind: Kind::Failover,
            group: "default".into(),
            source: "r1".into(),
            target: "r2".into(),
            from_epoch: 1,
            to_epoch: Some(2),
            outcome: Some(RunState::Succeeded),
            standing: Standing::Provisional { waiting_for_partitions: 1, region: "r1".into() },
            times: ReportTimes {
                incident_at: at(0),
                decision_at: at(3),
                pivot_at: at(6),
                canary_at: at(7),
                recovered_at: None,
            },
            rto_ms: Some(7000),
            rto_met: Some(true),
            lost: Loss { records: 12, bytes: 12 << 10, seconds: 0.25 },
            rpo_met: None,
            partitions: vec![PartitionLoss {
                topic_id: "id".into(),
                topic: Some("orders".into()),
                partition: 0,
                common_end: 88,
                old_tail: Some(100),
                tail_known: false,
                declared_lost: Some(api::OffsetRange { start: 88, end: 100 }),
                unproven: None,
                lost: Loss { records: 12, bytes: 12 << 10, seconds: 0.25 },
                archived: None,
            }],
            revision: 1,
            stored_at: String::new(),
        }
    }

    #[test]
    fn a_report_says_how_long_it_took_and_what_was_lost() {
        let expected = "\
failover f-1 of default: r1 -> r2, succeeded, provisional: 1 partitions of r1 are waited for
t0 incident   2026-01-01T00:00:00.000Z  +0 ms
t1 decision   2026-01-01T00:00:03.000Z  +3.0 s
t2 pivot      2026-01-01T00:00:06.000Z  +6.0 s
t3 canary     2026-01-01T00:00:07.000Z  +7.0 s
t4 recovered  -
RTO  7.0 s, objective met
RPO  12 records, 12.0 KiB, 0.25 s
";
        assert_eq!(summary(&example()), expected);
        let expected = "\
TOPIC   PARTITION  COMMON END  OLD TAIL  LOST     RECORDS  BYTES     ARCHIVED IN
orders  0          88          100?      88..100  12       12.0 KiB  -
";
        assert_eq!(losses(&example()).render(), expected);
    }
}
