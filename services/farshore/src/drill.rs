//! `farshore drill`: rehearsals with a load of their own, judged claim by claim.

mod card;
mod journal;
mod judge;
mod lane;
mod load;
mod member;
mod play;
mod reader;
mod scan;
mod stage;
mod subscription;

use crate::cli::{Place, list};
use crate::output::{self, remark};
use crate::table::{self, Table, or_dash};
use anyhow::{Result, bail};
use api::drills::{Drill, Verdict as Word};
use dr_planner::drill::Verdict;
use load::Shape;
use play::{Act, Script, play, show};
use rustix::process::Signal;
use stage::{Scenery, Stage};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Rehearses the loss of a region and planned switches, measures them, and checks every record.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Loses the owner region under load: were all acknowledged records kept or declared lost, and how long did it take?
    ///
    /// Starts a platform of its own in a temporary directory unless --attach is given. Exit code 0: every claim holds;
    /// 1: one does not; 3: nothing was at stake or too little was seen.
    RegionLoss(RegionLoss),
    /// Moves the group in good order under load: nothing may be lost or written twice.
    Switchover(Switchover),
    /// Shows the drills that the platform has on record.
    List,
}

/// What every drill takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Plays on the running platform of --data-dir instead of one of its own.
    #[arg(long)]
    attach: bool,
    /// How many regions a platform of its own has.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=5))]
    regions: u16,
    /// How many brokers each of them has.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3))]
    brokers: u16,
    /// The protection group that is moved.
    #[arg(long, default_value = "default")]
    group: String,
    /// Records per second.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Bytes per record.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(8..=1_000_000))]
    size: u64,
    /// Partitions the load is spread over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=100))]
    partitions: i32,
    /// Seconds of load before anything happens.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    warm_up: u64,
    /// Seconds of load after the move.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    duration: u64,
    /// How often, one after the other: the group moves on each time. With --json every run is one line.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Holds every link's records back so many milliseconds, so that something is at stake (own platform only).
    #[arg(long, default_value_t = 0, value_name = "MS", conflicts_with = "attach")]
    link_delay: u64,
    /// Writes down everything the clients saw, one JSON line each.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Keeps the topics, and the directory of a platform of its own.
    #[arg(long)]
    keep: bool,
}

/// A lost region.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RegionLoss {
    #[command(flatten)]
    common: Common,
    /// kill: the region's processes are gone at once; stop: they are silent, and come back as if nothing had happened.
    #[arg(long, default_value = "kill")]
    how: How,
    /// automatic: the platform has to notice by itself; manual: the failover is asked for.
    #[arg(long, default_value = "automatic")]
    trigger: Trigger,
    /// The longest the client may go without an acknowledgement, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    write_gap_max: u64,
}

/// A planned switch.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Switchover {
    #[command(flatten)]
    common: Common,
    /// The longest the client may go without an acknowledgement, in milliseconds.
    #[arg(long, default_value_t = 3_000, value_name = "MS")]
    write_gap_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum How {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT after the failover.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Trigger {
    /// The platform notices.
    Automatic,
    /// The drill asks.
    Manual,
}

impl Command {
    pub(crate) async fn run(self, place: &Place) -> Result<ExitCode> {
        match self {
            Self::RegionLoss(asked) => {
                let signal = if asked.how == How::Kill { Signal::KILL } else { Signal::STOP };
                let act = Act::RegionLoss { signal, automatic: asked.trigger == Trigger::Automatic };
                asked.common.play(place, act, "region-loss", asked.write_gap_max).await
            }
            Self::Switchover(asked) => {
                asked.common.play(place, Act::Switchover, "switchover", asked.write_gap_max).await
            }
            Self::List => {
                let drills: Vec<Drill> = list(&place.api(), "/v1/drills").await?;
                table::print(place.json, &drills, |drills| rows(drills))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Common {
    async fn play(self, place: &Place, act: Act, name: &str, write_gap_max: u64) -> Result<ExitCode> {
        let mut stage = match self.attach {
            true => Stage::attach(place, &self.group)?,
            false => {
                let (regions, brokers, link_delay_ms) = (self.regions, self.brokers, self.link_delay);
                let scenery = Scenery { regions, brokers, link_delay_ms, keep: self.keep };
                let (group, json) = (self.group.clone(), place.json);
                tokio::task::spawn_blocking(move || Stage::build(scenery, &group, json)).await??
            }
        };
        let script = Script {
            shape: Shape { rate: self.rate, size: self.size as usize, partitions: self.partitions },
            warm_up: Duration::from_secs(self.warm_up),
            duration: Duration::from_secs(self.duration),
            write_gap_max: Duration::from_millis(write_gap_max),
            keep: self.keep || !self.attach,
            history: self.history.clone(),
        };
        let played = self.play_all(&stage, act, &script, name, place.json).await;
        if played.as_ref().map_or_else(|error| !output::is_unread(error), |verdict| *verdict != Verdict::Pass)
            && let Some(logs) = stage.logs()
        {
            remark!("{logs}");
        }
        tokio::task::spawn_blocking(move || stage.strike()).await?;
        Ok(ExitCode::from(code(played?)))
    }

    async fn play_all(&self, stage: &Stage, act: Act, script: &Script, name: &str, json: bool) -> Result<Verdict> {
        let mut worst = Verdict::Pass;
        for run in 1..=self.runs {
            let name = if self.runs == 1 { name.to_owned() } else { format!("{name} {run} of {}", self.runs) };
            if matches!(act, Act::RegionLoss { automatic: true, .. }) {
                self.armed(stage).await?;
            }
            let judgement = play(stage, act, script, &name).await?;
            show(&judgement, json, self.runs)?;
            worst = worst.max(judgement.scorecard.verdict);
            if worst == Verdict::Fail {
                break;
            }
        }
        Ok(worst)
    }

    /// Makes sure that an automatic failover is to be expected: whoever rehearses looks on, so what was done automatically
    /// before holds nothing back.
    async fn armed(&self, stage: &Stage) -> Result<()> {
        let group = stage.group().await?;
        if !group.policy.automatic_failover {
            bail!(
                "automatic failover of {} is off: say `farshore protection set automatic on` or --trigger manual",
                self.group
            );
        }
        if let Some(block) = group.automation_blocked {
            bail!(
                "automatic action on {} is blocked by {} ({}): say `farshore protection set block off` or --trigger manual",
                self.group,
                block.by,
                block.reason
            );
        }
        stage.acknowledge().await
    }
}

/// 0 for pass, 1 for fail, 3 for nothing proved.
fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Unknown => 3,
    }
}

fn rows(drills: &[Drill]) -> Table {
    let mut table = Table::new(["drill", "kind", "group", "started", "took", "verdict", "checks", "schedule"]);
    for drill in drills {
        let passed = drill.checks.iter().filter(|check| check.verdict == Word::Pass).count();
        table.row([
            drill.id.clone(),
            format!("{:?}", drill.kind).to_lowercase(),
            drill.group.clone(),
            drill.started_at.clone(),
            crate::cli::millis(drill.duration_ms),
            or_dash(drill.verdict.map(|verdict| format!("{verdict:?}").to_lowercase())),
            format!("{passed}/{}", drill.checks.len()),
            or_dash(drill.schedule.as_ref()),
        ]);
    }
    table
}
