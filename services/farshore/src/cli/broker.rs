//! `farshore broker list|drain|...`: the brokers of a region; without any of these, a broker by itself.

use super::place::{Place, list};
use super::spinner;
use crate::alone;
use crate::http::{Api, Refused};
use crate::output::say;
use crate::table::{self, Table, or_dash};
use crate::up::control::{self, Ask};
use anyhow::{Context, Result, bail, ensure};
use api::brokers::{Broker as Member, BrokerState, DrainBroker};
use clap::Subcommand;
use model::RegionName;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

/// How often the way of a drain is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs one broker alone, or empties and replaces the brokers of a region.
///
/// Without a subcommand it runs a region of one with a council of one, nothing mirrored. It takes five ports from --port on:
/// Kafka clients, gateways, links, council and REST. For development and benchmarks; a platform that survives the loss of a
/// region is `farshore up`.
///
/// Everything is kept in --data-dir [default: farshore/broker under the user's state directory].
///
/// With --slot and --peers it is one of several brokers of a region, each a process of its own, without a council and
/// REST: three of them keep what is acknowledged when one is lost.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Brokers {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    alone: alone::Broker,
}

/// What is done about the brokers of a region.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows the brokers of a region, and what each of them holds.
    List {
        /// The region, for example r1.
        region: RegionName,
    },
    /// Empties a broker, so that it can be stopped without a partition having fewer replicas.
    ///
    /// Its leaderships go first, then its replicas, a few partitions at a time, each copied whole before the old replica
    /// goes. Nothing new is placed on it. It is refused, naming the topic, where too few brokers would be left for a topic's
    /// replicas. When `farshore broker list` says `drained`, stop the broker's process, and then
    /// `farshore broker unregister` it.
    Drain {
        /// The region, for example r1.
        region: RegionName,
        /// The broker's slot, as `farshore broker list` shows it.
        slot: u16,
        /// The slot of the one broker that takes all it holds; it must share no partition with it.
        #[arg(long, value_name = "SLOT")]
        onto: Option<u16>,
        /// Waits until it is drained, and shows what is left.
        #[arg(long, short)]
        wait: bool,
    },
    /// Ends a drain: the broker is used as before. What has left it stays where it is.
    CancelDrain {
        /// The region, for example r1.
        region: RegionName,
        /// The broker's slot.
        slot: u16,
    },
    /// Puts another broker, or an empty disk, in the place of one.
    ///
    /// With --by, a broker that runs takes exactly what the other one holds: that one is drained onto it.
    ///
    /// Without --by, a broker whose disk is lost begins anew in its slot: its process must not run. Its data directory is
    /// set aside (nothing is deleted), it is started with an empty one under its next incarnation, and everything is copied
    /// to it from the others. It counts as in sync only where it has caught up, and its old process is refused from then
    /// on. This needs the platform of `farshore up --brokers 3` in --data-dir; a broker that you started yourself you
    /// stop, empty its data directory, and start again.
    Replace {
        /// The region, for example r1.
        region: RegionName,
        /// The broker's slot.
        slot: u16,
        /// The slot of the broker that takes its place.
        #[arg(long, value_name = "SLOT")]
        by: Option<u16>,
        /// Waits until everything is copied.
        #[arg(long, short)]
        wait: bool,
    },
    /// Forgets a broker that was drained and stopped. Its disk is never taken back.
    Unregister {
        /// The region, for example r1.
        region: RegionName,
        /// The broker's slot.
        slot: u16,
    },
}

impl Brokers {
    /// Whether it is to run a broker by itself.
    pub(super) fn is_alone(&self) -> bool {
        self.command.is_none()
    }

    /// Runs that broker.
    ///
    /// # Errors
    /// When a port is taken or the data directory cannot be used.
    pub(super) fn run_alone(self, place: &Place) -> Result<()> {
        self.alone.in_directory(place.given_directory()).run()
    }

    pub(super) async fn run(self, place: &Place) -> Result<()> {
        match self.command {
            Some(command) => command.run(place).await,
            None => bail!("a broker by itself needs no platform"),
        }
    }
}

impl Command {
    async fn run(self, place: &Place) -> Result<()> {
        let api = place.api();
        match self {
            Self::List { region } => {
                let brokers: Vec<Member> = list(&api, &format!("/v1/regions/{region}/brokers")).await?;
                table::print(place.json, &brokers, |brokers| rows(brokers))
            }
            Self::Drain { region, slot, onto, wait } => drain(place, &path(&region, slot), onto, wait).await,
            Self::CancelDrain { region, slot } => {
                api.delete(&format!("{}/drain", path(&region, slot))).await?;
                tell(place, &path(&region, slot)).await
            }
            Self::Replace { region, slot, by: Some(by), wait } => {
                drain(place, &path(&region, slot), Some(by), wait).await
            }
            Self::Replace { region, slot, by: None, wait } => renew(place, &region, slot, wait).await,
            Self::Unregister { region, slot } => {
                api.delete(&path(&region, slot)).await?;
                match place.json {
                    true => say!("{}", serde_json::json!({"region": region, "unregistered": slot}))?,
                    false => say!("broker {slot} of {region} is forgotten")?,
                }
                Ok(())
            }
        }
    }
}

fn path(region: &RegionName, slot: u16) -> String {
    format!("/v1/regions/{region}/brokers/{slot}")
}

async fn drain(place: &Place, path: &str, onto: Option<u16>, wait: bool) -> Result<()> {
    let api = place.api();
    let _: Member = api.post(&format!("{path}/drain"), &DrainBroker { onto }).await?;
    if wait {
        until(&api, path, |broker| broker.state == BrokerState::Drained).await?;
    }
    tell(place, path).await
}

/// Starts a broker of the platform in --data-dir with an empty disk in the place of the one it had.
async fn renew(place: &Place, region: &RegionName, slot: u16, wait: bool) -> Result<()> {
    let (api, path) = (place.api(), path(region, slot));
    let before: Member = api.get(&path).await?;
    ensure!(
        !before.alive,
        "broker {slot} of {region} runs: stop it first, or name the broker that takes its place with --by"
    );
    let data = place.data_dir()?;
    let platform = data.platform()?.with_context(|| format!("{} holds no platform", data.path().display()))?;
    ensure!(
        platform.brokers > 1 && platform.log_dirs.is_empty(),
        "only the brokers of `farshore up --brokers 3`, with their logs in the data directory, are replaced by this \
         command; stop yours, empty its directories, and start it again"
    );
    let dir = data.path().join(region.as_str()).join(format!("broker-{slot}"));
    let aside = set_aside(&dir, before.incarnation)?;
    if let Err(error) = control::ask(&data, &Ask::StartRegion(region.clone())).await {
        // Nothing was started: it keeps what it has.
        std::fs::rename(&aside, &dir).with_context(|| format!("{error:#}; what it had is in {}", aside.display()))?;
        return Err(error);
    }
    let begun = |broker: &Member| broker.incarnation > before.incarnation && broker.alive;
    let is_whole = |broker: &Member| begun(broker) && broker.in_sync == broker.replicas;
    until(&api, &path, |broker| if wait { is_whole(broker) } else { begun(broker) }).await?;
    if !place.json {
        say!("what it had is set aside in {}; delete it when you no longer need it", aside.display())?;
    }
    tell(place, &path).await
}

/// Moves a broker's directory out of the way, which another process must not use.
fn set_aside(dir: &std::path::Path, incarnation: u16) -> Result<PathBuf> {
    let aside = dir
        .with_file_name(format!("{}.incarnation-{incarnation}", dir.file_name().unwrap_or_default().to_string_lossy()));
    if aside.exists() {
        bail!("{} is in the way; move it elsewhere first", aside.display());
    }
    std::fs::rename(dir, &aside)
        .with_context(|| format!("{} cannot be moved to {}", dir.display(), aside.display()))?;
    Ok(aside)
}

/// Shows what is left until the broker is as wanted.
async fn until(api: &Api, path: &str, is_wanted: impl Fn(&Member) -> bool) -> Result<()> {
    let waiting = spinner("waiting");
    loop {
        match api.get::<Member>(path).await {
            Ok(broker) if is_wanted(&broker) => break,
            Ok(broker) => waiting.set_message(format!(
                "broker {}: {} replicas, {} in sync, {} leaders, {} leaving",
                broker.slot, broker.replicas, broker.in_sync, broker.leaders, broker.leaving
            )),
            // A region that is busy is asked again; anything else is final.
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if refused.status.as_u16() == 503 => {}
                _ => return Err(error),
            },
        }
        sleep(PAUSE).await;
    }
    waiting.finish_and_clear();
    Ok(())
}

async fn tell(place: &Place, path: &str) -> Result<()> {
    let broker: Member = place.api().get(path).await?;
    table::print(place.json, &vec![broker], |brokers| rows(brokers))
}

fn rows(brokers: &[Member]) -> Table {
    let mut table = Table::new([
        "slot",
        "node",
        "state",
        "alive",
        "incarnation",
        "rack",
        "replicas",
        "in sync",
        "leads",
        "leaving",
        "onto",
    ]);
    for broker in brokers {
        table.row([
            broker.slot.to_string(),
            broker.node_id.to_string(),
            state(broker.state).to_owned(),
            if broker.alive { "yes" } else { "no" }.to_owned(),
            broker.incarnation.to_string(),
            location(broker),
            broker.replicas.to_string(),
            broker.in_sync.to_string(),
            broker.leaders.to_string(),
            broker.leaving.to_string(),
            or_dash(broker.onto),
        ]);
    }
    table
}

fn location(broker: &Member) -> String {
    let parts = [broker.data_centre.as_str(), broker.rack.as_str()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join("/") }
}

fn state(state: BrokerState) -> &'static str {
    match state {
        BrokerState::InUse => "in use",
        BrokerState::Draining => "draining",
        BrokerState::Drained => "drained",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_disk_had_is_set_aside_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (broker, aside) = (dir.path().join("broker-1"), dir.path().join("broker-1.incarnation-1"));
        std::fs::create_dir(&broker).unwrap();
        assert_eq!(set_aside(&broker, 1).unwrap(), aside);
        assert!(aside.is_dir() && !broker.exists());
        std::fs::create_dir(&broker).unwrap();
        assert!(set_aside(&broker, 1).unwrap_err().to_string().contains("is in the way"));
        assert_eq!(set_aside(&broker, 2).unwrap(), dir.path().join("broker-1.incarnation-2"));
    }
}
