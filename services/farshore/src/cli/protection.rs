//! `farshore protection`

mod active;

use super::place::{Place, escaped, list};
use super::run::follow;
use crate::http::Api;
use crate::output::{remark, say};
use crate::table::{self, Table, or_dash};
use anyhow::Result;
use api::plans::Plan;
use api::protection_groups::{
    AutomationBlock, BlockAutomationRequest, Exposure, FailoverRequest, Mode, ProtectionGroup, ResetPolicy, SlowTarget,
    SwitchoverRequest, UpdateAutoLimits, UpdateProtectionGroup,
};
use api::runs::{Run, RunState};
use serde::Serialize;
use std::process::ExitCode;

/// Shows and moves protection groups: topics and consumer groups that fail over together.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows every protection group: owner, epoch, objectives.
    List,
    /// Shows one group as the REST API has it, and what auto makes of its line.
    Describe {
        /// Its name.
        #[arg(default_value = "default")]
        name: String,
    },
    /// Cuts over now and accepts the measured loss: for when the owner is lost or must not write any more.
    Failover(Failover),
    /// Cuts over after catching up: nothing is lost and nothing is written twice.
    Switchover(Move),
    /// Says what a failover and a switchover would cost now. Changes nothing.
    Assess {
        /// The group.
        #[arg(default_value = "default")]
        name: String,
    },
    /// Says that a person has looked at what was done automatically: automatic action is possible again at once.
    Acknowledge {
        /// The group.
        #[arg(default_value = "default")]
        name: String,
    },
    /// Shows the RPO ledger: every interval in which a crash of the owner would have lost writes.
    Ledger {
        /// The group.
        #[arg(default_value = "default")]
        name: String,
    },
    /// Makes a group whose topics every region takes writes for, each for its own clients.
    Active(active::Active),
    /// Changes a setting of a group.
    #[command(subcommand)]
    Set(Setting),
}

/// A failover to another region.
#[derive(Debug, clap::Args)]
pub(crate) struct Failover {
    #[command(flatten)]
    asked: Move,
    /// Also goes to copies that are no standby, where deleted keys may be back or records differ: for an owner that is gone
    /// for good, when there is nothing better.
    #[arg(long)]
    accept_unusable_copies: bool,
}

/// A move to another region.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The group.
    #[arg(default_value = "default")]
    name: String,
    /// The new owner; the best standby when it is left out.
    #[arg(long, short)]
    target: Option<String>,
    /// Why, for the report.
    #[arg(long)]
    reason: Option<String>,
    /// Only makes the plan and says what it would cost.
    #[arg(long)]
    dry_run: bool,
    /// Answers with the run at once instead of following it to its end.
    #[arg(long)]
    no_wait: bool,
    #[arg(skip)]
    accept_unusable_copies: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Setting {
    /// Whether the loss of the owner starts a failover by itself.
    Automatic {
        /// on or off.
        value: Switch,
        /// The group.
        #[arg(default_value = "default")]
        name: String,
    },
    /// What an acknowledgement with acks=all promises across regions.
    Mode {
        /// async: the write is safe in the owner region; sync: in two regions, and writers are slowed down while the copy is
        /// far behind; auto: sync while the line to the target is short and sound enough.
        value: Durability,
        /// The group.
        #[arg(default_value = "default")]
        name: String,
        /// What becomes of writes in sync while the target is slow or out of reach; as it was when it is left out.
        #[arg(long)]
        slow_target: Option<Slow>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Whether what a lost owner acknowledged and nobody else got is published in topics `<topic>.diverged.<epoch>`.
    DivergedTopics {
        /// on or off.
        value: Switch,
        /// The group.
        #[arg(default_value = "default")]
        name: String,
    },
    /// What becomes of copies when a topic is deleted and made again under its name.
    TopicReset {
        /// follow: the new topic is copied from its beginning; stop: it is not before `farshore topic follow`. What was copied
        /// of the old one is put aside for a day.
        value: Reset,
        /// The group.
        #[arg(default_value = "default")]
        name: String,
    },
    /// Allows automatic action again after it was blocked, or blocks it for a while.
    Block {
        /// on or off.
        value: Switch,
        /// The group.
        #[arg(default_value = "default")]
        name: String,
        /// For how many minutes; until it is taken away when it is left out.
        #[arg(long)]
        minutes: Option<u64>,
        /// Why.
        #[arg(long, default_value = "blocked from the command line")]
        reason: String,
    },
}

/// What auto accepts of the line to the target; as it was when it is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Limits {
    /// The longest round trip in milliseconds with which auto is in sync (100 at first).
    #[arg(long)]
    round_trip_max_ms: Option<u32>,
    /// How many of a million requests may fail with auto in sync (1000 at first, which is 0.1 %).
    #[arg(long)]
    errors_max_ppm: Option<u32>,
    /// For how many milliseconds the line has to be good before auto enters sync (10000 at first).
    #[arg(long)]
    good_for_ms: Option<u32>,
    /// For how many milliseconds the line has to be bad before auto leaves sync (3000 at first).
    #[arg(long)]
    bad_for_ms: Option<u32>,
    /// The least milliseconds between two changes of auto's mind (15000 at first).
    #[arg(long)]
    dwell_ms: Option<u32>,
}

impl Limits {
    /// What is to be changed, if anything is.
    fn change(self) -> Option<UpdateAutoLimits> {
        let Self { round_trip_max_ms, errors_max_ppm, good_for_ms, bad_for_ms, dwell_ms } = self;
        let change = UpdateAutoLimits { round_trip_max_ms, errors_max_ppm, good_for_ms, bad_for_ms, dwell_ms };
        (change != UpdateAutoLimits::default()).then_some(change)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Durability {
    Async,
    Sync,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Slow {
    /// They go on without it, and the ledger tells of it.
    Degrade,
    /// They wait for it.
    Block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reset {
    /// The new topic is copied from its beginning.
    Follow,
    /// Nothing of it is copied before somebody says so.
    Stop,
}

#[derive(Clone, Copy)]
enum Kind {
    Failover,
    Switchover,
}

#[derive(Serialize)]
struct Assessment {
    failover: Option<Plan>,
    switchover: Option<Plan>,
    refused: Vec<String>,
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<ExitCode> {
        let api = place.api();
        match self {
            Self::List => {
                let groups: Vec<ProtectionGroup> = list(&api, "/v1/protection-groups").await?;
                table::print(place.json, &groups, |groups| rows(groups))?;
            }
            Self::Describe { name } => {
                let group: ProtectionGroup = api.get(&path(&name)).await?;
                say!("{}", serde_json::to_string_pretty(&group)?)?;
            }
            Self::Failover(Failover { asked, accept_unusable_copies }) => {
                return Move { accept_unusable_copies, ..asked }.run(&api, place, Kind::Failover).await;
            }
            Self::Switchover(asked) => return asked.run(&api, place, Kind::Switchover).await,
            Self::Assess { name } => {
                let found = assess(&api, &name).await;
                table::print(place.json, &found, costs)?;
                found.refused.iter().for_each(|refusal| remark!("{refusal}"));
                return Ok(if found.failover.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Self::Acknowledge { name } => {
                let nothing = serde_json::json!({});
                let _: Option<serde_json::Value> = api.post(&format!("{}/acknowledge", path(&name)), &nothing).await?;
            }
            Self::Ledger { name } => {
                let ledger: Vec<Exposure> = list(&api, &format!("{}/exposures", path(&name))).await?;
                table::print(place.json, &ledger, |ledger| exposures(ledger))?;
            }
            Self::Active(active) => {
                let group = active.run(&api).await?;
                table::print(place.json, &group, |group| rows(std::slice::from_ref(group)))?;
            }
            Self::Set(setting) => setting.run(&api, place).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn path(name: &str) -> String {
    format!("/v1/protection-groups/{}", escaped(name))
}

impl Move {
    async fn run(self, api: &Api, place: &Place, kind: Kind) -> Result<ExitCode> {
        if self.dry_run {
            let plan: Plan = ask(api, &self.name, kind, &self).await?;
            table::print(place.json, &plan, steps)?;
            return Ok(ExitCode::SUCCESS);
        }
        let run: Run = ask(api, &self.name, kind, &self).await?;
        if self.no_wait {
            table::print(place.json, &run, |run| super::run::rows(std::slice::from_ref(run)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let run = follow(api, &run.id).await?;
        super::run::report(api, place, &run.id).await?;
        Ok(if run.state == RunState::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn ask<T: serde::de::DeserializeOwned>(api: &Api, name: &str, kind: Kind, asked: &Move) -> Result<T> {
    let (target, reason, dry_run) = (asked.target.clone(), asked.reason.clone(), asked.dry_run);
    match kind {
        Kind::Failover => {
            let accept_unusable_copies = asked.accept_unusable_copies;
            let asked = FailoverRequest { target, reason, dry_run, accept_unusable_copies };
            api.post(&format!("{}/failover", path(name)), &asked).await
        }
        Kind::Switchover => {
            api.post(&format!("{}/switchover", path(name)), &SwitchoverRequest { target, reason, dry_run }).await
        }
    }
}

async fn assess(api: &Api, name: &str) -> Assessment {
    let asked = Move {
        name: name.to_owned(),
        target: None,
        reason: None,
        dry_run: true,
        no_wait: true,
        accept_unusable_copies: false,
    };
    let mut refused = Vec::new();
    let mut plan = |what: &str, plan: Result<Plan>| match plan {
        Ok(plan) => Some(plan),
        Err(error) => {
            refused.push(format!("{what}: {error:#}"));
            None
        }
    };
    let failover = plan("failover", ask(api, name, Kind::Failover, &asked).await);
    let switchover = plan("switchover", ask(api, name, Kind::Switchover, &asked).await);
    Assessment { failover, switchover, refused }
}

impl Setting {
    async fn run(self, api: &Api, place: &Place) -> Result<()> {
        match self {
            Self::Automatic { value, name } => {
                let change =
                    UpdateProtectionGroup { automatic_failover: Some(value == Switch::On), ..Default::default() };
                let group: ProtectionGroup = api.patch(&path(&name), &change).await?;
                table::print(place.json, &group, |group| rows(std::slice::from_ref(group)))
            }
            Self::DivergedTopics { value, name } => {
                let change = UpdateProtectionGroup { diverged_topics: Some(value == Switch::On), ..Default::default() };
                let group: ProtectionGroup = api.patch(&path(&name), &change).await?;
                table::print(place.json, &group, |group| rows(std::slice::from_ref(group)))
            }
            Self::Mode { value, name, slow_target, limits } => {
                let change = UpdateProtectionGroup {
                    mode: Some(value.into()),
                    slow_target: slow_target.map(Into::into),
                    auto: limits.change(),
                    ..Default::default()
                };
                let group: ProtectionGroup = api.patch(&path(&name), &change).await?;
                table::print(place.json, &group, |group| rows(std::slice::from_ref(group)))
            }
            Self::TopicReset { value, name } => {
                let change = UpdateProtectionGroup { topic_reset: Some(value.into()), ..Default::default() };
                let group: ProtectionGroup = api.patch(&path(&name), &change).await?;
                table::print(place.json, &group, |group| rows(std::slice::from_ref(group)))
            }
            Self::Block { value, name, minutes, reason } => {
                let path = format!("{}/automation-block", path(&name));
                if value == Switch::Off {
                    return api.delete(&path).await;
                }
                let asked = BlockAutomationRequest { duration_ms: minutes.map(|minutes| minutes * 60_000), reason };
                let _: Option<AutomationBlock> = api.put(&path, &asked).await?;
                Ok(())
            }
        }
    }
}

fn rows(groups: &[ProtectionGroup]) -> Table {
    let mut table = Table::new([
        "group",
        "owner",
        "epoch",
        "home",
        "standbys",
        "durability",
        "automatic",
        "rpo",
        "rto",
        "topics",
        "run",
    ]);
    for group in groups {
        table.row([
            group.policy.name.clone(),
            group.owner.clone(),
            group.ownership_epoch.to_string(),
            group.policy.home.clone(),
            group.policy.standbys.join(","),
            durability(group),
            match (&group.automation_blocked, group.policy.automatic_failover) {
                (Some(_), _) => "blocked".to_owned(),
                (None, true) => "on".to_owned(),
                (None, false) => "off".to_owned(),
            },
            super::millis(group.policy.rpo_ms),
            super::millis(group.policy.rto_ms),
            group.topics.len().to_string(),
            or_dash(group.run.as_ref()),
        ]);
    }
    table
}

fn durability(group: &ProtectionGroup) -> String {
    let phase = word(&group.durability.phase);
    let to = group.durability.target.as_ref().map(|target| format!(" to {target}")).unwrap_or_default();
    // Asked for, and as it is.
    let asked = if group.policy.mode == Mode::Auto { "auto: " } else { "" };
    let slowed = if group.durability.slows_writers { ", writers slowed" } else { "" };
    format!("{asked}{phase}{to}{slowed}")
}

/// A word of the REST API.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

fn exposures(ledger: &[Exposure]) -> Table {
    let mut table = Table::new(["from", "to", "lasted", "records", "bytes", "at risk", "reason"]);
    for exposure in ledger {
        table.row([
            exposure.from.clone(),
            or_dash(exposure.to.as_ref()),
            super::millis(exposure.duration_ms),
            exposure.records.to_string(),
            super::bytes(exposure.bytes),
            super::millis(exposure.at_risk_ms),
            word(&exposure.reason),
        ]);
    }
    table
}

impl From<Durability> for Mode {
    fn from(value: Durability) -> Self {
        match value {
            Durability::Async => Self::Async,
            Durability::Sync => Self::Sync,
            Durability::Auto => Self::Auto,
        }
    }
}

impl From<Reset> for ResetPolicy {
    fn from(value: Reset) -> Self {
        match value {
            Reset::Follow => Self::Follow,
            Reset::Stop => Self::Stop,
        }
    }
}

impl From<Slow> for SlowTarget {
    fn from(value: Slow) -> Self {
        match value {
            Slow::Degrade => Self::Degrade,
            Slow::Block => Self::Block,
        }
    }
}

fn costs(found: &Assessment) -> Table {
    let mut table = Table::new(["move", "target", "records lost", "bytes", "seconds", "takes", "objectives"]);
    for (name, plan) in [("failover", &found.failover), ("switchover", &found.switchover)] {
        let Some(plan) = plan else { continue };
        let cost = plan.expected.as_ref();
        table.row([
            name.to_owned(),
            plan.target.clone(),
            or_dash(cost.map(|cost| cost.lost_records)),
            or_dash(cost.map(|cost| super::bytes(cost.lost_bytes))),
            or_dash(cost.map(|cost| super::seconds(cost.lost_seconds))),
            or_dash(cost.map(|cost| super::millis(cost.duration_ms))),
            or_dash(cost.map(|cost| if cost.objectives_met { "met" } else { "missed" })),
        ]);
    }
    table
}

fn steps(plan: &Plan) -> Table {
    let mut table = Table::new(["step", "region", "after", "what it does"]);
    for step in &plan.steps {
        let name = if step.pivot { format!("{} (no way back)", step.id) } else { step.id.clone() };
        table.row([name, or_dash(step.region.as_ref()), step.after.join(","), step.description.clone()]);
    }
    table
}
