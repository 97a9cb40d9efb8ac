//! One drill from beginning to end.

use super::card::render;
use super::journal::Journal;
use super::judge::{Evidence, Judgement};
use super::load::{Load, Shape};
use super::reader::client;
use super::scan::{Log, scan};
use super::stage::{Stage, until};
use crate::cli::{now, spinner};
use crate::output::{self, remark, say};
use anyhow::{Context, Result, bail};
use chaos::history::{Event, Outcome};
use model::{RegionName, TopicName};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

const RUN_BEGINS_WITHIN: Duration = Duration::from_secs(30);
const RUN_ENDS_WITHIN: Duration = Duration::from_secs(60);
const REPORT_FINAL_WITHIN: Duration = Duration::from_secs(60);
const EQUAL_WITHIN: Duration = Duration::from_secs(60);
const TOPIC_WITHIN: Duration = Duration::from_secs(20);
/// What was written after the heal shows that the old region follows.
const AFTER_HEAL: Duration = Duration::from_secs(2);

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// The owner is lost.
    RegionLoss {
        /// How.
        signal: Signal,
        /// Whether the platform has to notice by itself.
        automatic: bool,
    },
    /// The group moves in good order.
    Switchover,
}

/// The same for every act.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The load.
    pub(super) shape: Shape,
    /// How long it runs before anything happens.
    pub(super) warm_up: Duration,
    /// How long it runs afterwards, before the heal.
    pub(super) duration: Duration,
    /// The longest the client may go without an acknowledgement.
    pub(super) write_gap_max: Duration,
    /// Whether the topic stays.
    pub(super) keep: bool,
    /// Where the history goes, as JSON lines.
    pub(super) history: Option<PathBuf>,
}

/// Plays one drill on `stage` and judges it.
///
/// # Errors
/// When it cannot be played to its end: that says nothing of the platform's promises.
pub(super) async fn play(stage: &Stage, act: Act, script: &Script, name: &str) -> Result<Judgement> {
    let topic = TopicName::new(format!("drill-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]))?;
    let journal = Journal::new(topic.clone());
    let shape = script.shape;
    let (endpoints, owner) = (stage.endpoints()?, stage.group().await?.owner);
    let home = (RegionName::new(&owner)?, stage.region(&owner)?.bootstrap);
    let bar = spinner(format!("{name}: load on {topic}, owner {owner}"));
    let gateway = client(&endpoints.gateway);
    gateway.create_topic(topic.as_str(), shape.all_partitions(), -1, &[]).await.context("the topic is not created")?;
    stage.settled(topic.as_str(), TOPIC_WITHIN).await?;
    let load = Load::start(&endpoints.gateway, (&home.0, &home.1), shape, &journal).await?;
    sleep(script.warm_up).await;
    if journal.acked_count() == 0 {
        bail!("nothing was acknowledged in {:?} through {}", script.warm_up, endpoints.gateway);
    }
    bar.set_message(format!("{name}: {owner} is going"));
    let report = match act {
        Act::RegionLoss { signal, automatic } => {
            let lost = lose(stage, &journal, &home.0, signal, automatic).await;
            if lost.is_ok() {
                sleep(script.duration).await;
            }
            bar.set_message(format!("{name}: {owner} comes back"));
            // Whatever came of it, the region is not left behind dead.
            let healed = heal(stage, &journal, &home.0, signal).await;
            let run = lost?;
            healed?;
            let report = stage.report(&run, REPORT_FINAL_WITHIN).await?;
            sleep(AFTER_HEAL).await;
            report
        }
        Act::Switchover => {
            let run = stage.begin("switchover").await?;
            stage.over(&run, RUN_ENDS_WITHIN).await?;
            sleep(script.duration).await;
            stage.report(&run, REPORT_FINAL_WITHIN).await?
        }
    };
    bar.set_message(format!("{name}: everything is read and compared"));
    let late = load.finish().await;
    if !late.is_empty() {
        remark!("not read to the end: {}", late.join(", "));
    }
    let (hashes, topic_id) = stage.equal(topic.as_str(), EQUAL_WITHIN).await;
    let evidence = Evidence {
        drill: name.to_owned(),
        owner: RegionName::new(stage.group().await?.owner)?,
        logs: logs(stage, &journal, shape).await?,
        journal: journal.clone(),
        hashes,
        topic_id,
        report: Some(report),
        write_gap_ms_max: script.write_gap_max.as_millis() as u64,
        unplanned: matches!(act, Act::RegionLoss { .. }),
    };
    let judgement = evidence.judge(now());
    bar.finish_and_clear();
    if let Some(path) = &script.history {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        chaos::history::write(&journal.entries(), BufWriter::new(file))?;
    }
    if !script.keep {
        gateway.delete_topic(topic.as_str()).await.context("the topic of the drill is not deleted")?;
    }
    Ok(judgement)
}

/// Takes the owner away and waits until another region has taken over. Answers the run.
async fn lose(stage: &Stage, journal: &Journal, home: &RegionName, signal: Signal, automatic: bool) -> Result<String> {
    let before = stage.runs().await?;
    let kind = if signal == Signal::KILL { "kill" } else { "stop" };
    let struck = stage.signal(home.as_str(), signal)?;
    let outcome = if struck { Outcome::Installed } else { Outcome::Skipped };
    journal.tell("drill", Event::Fault { kind: kind.to_owned(), target: home.to_string(), outcome });
    let run = match automatic {
        true => stage.new_run(home.as_str(), &before, RUN_BEGINS_WITHIN).await?,
        false => until("a failover can be begun", RUN_BEGINS_WITHIN, || stage.begin("failover")).await?,
    };
    stage.over(&run, RUN_ENDS_WITHIN).await?;
    Ok(run)
}

async fn heal(stage: &Stage, journal: &Journal, home: &RegionName, signal: Signal) -> Result<()> {
    if signal == Signal::KILL {
        stage.restart(home).await?;
    } else {
        stage.signal(home.as_str(), Signal::CONT)?;
    }
    journal.tell("drill", Event::Healed { target: home.to_string() });
    Ok(())
}

async fn logs(stage: &Stage, journal: &Journal, shape: Shape) -> Result<BTreeMap<(RegionName, i32), Log>> {
    let mut logs = BTreeMap::new();
    for region in stage.endpoints()?.regions {
        let cluster = client(&region.bootstrap);
        for partition in 0..shape.all_partitions() {
            let log = scan(&cluster, journal.topic().as_str(), partition).await;
            let log = log.with_context(|| format!("the log in {} cannot be read", region.name))?;
            logs.insert((RegionName::new(&region.name)?, partition), log);
        }
    }
    Ok(logs)
}

/// Shows one drill's outcome; as JSON it is one document, or one line among `runs`.
pub(super) fn show(judgement: &Judgement, json: bool, runs: u32) -> Result<()> {
    match (json, runs) {
        (true, 1) => say!("{}", serde_json::to_string_pretty(judgement)?)?,
        (true, _) => say!("{}", serde_json::to_string(judgement)?)?,
        (false, _) => output::write(render(judgement))?,
    }
    Ok(())
}
