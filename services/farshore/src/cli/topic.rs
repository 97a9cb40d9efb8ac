//! `farshore topic`

use super::place::{Place, escaped, list};
use crate::output::{self, say};
use crate::table::{self, Table, or_dash};
use anyhow::{Result, bail};
use api::topics::{CreateTopic, Replica, Topic, TopicState};
use model::TopicName;

/// Lists, creates, describes and deletes topics.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows every topic with its protection group and owner.
    List,
    /// Creates a topic in every region.
    Create {
        /// Its name.
        name: TopicName,
        /// How many partitions it gets.
        #[arg(long, short, default_value_t = 1)]
        partitions: i32,
        /// A configuration entry as Kafka names it, for example retention.ms=86400000; may be repeated.
        #[arg(long, short, value_name = "NAME=VALUE", value_parser = setting)]
        config: Vec<(String, String)>,
    },
    /// Shows a topic and its partitions in every region.
    Describe {
        /// Its name.
        name: TopicName,
        /// Hashes the partitions, so that copies can be compared.
        #[arg(long)]
        hash: bool,
    },
    /// Has a topic copied to other regions that was deleted and made again, where its group stops copies then (protection set
    /// topic-reset stop).
    Follow {
        /// Its name.
        name: TopicName,
    },
    /// Deletes a topic in every region. Its records are gone; only a backup brings them back.
    Delete {
        /// Its name.
        name: TopicName,
        /// Does not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        match self {
            Self::List => {
                let topics: Vec<Topic> = list(&place.api(), "/v1/topics").await?;
                table::print(place.json, &topics, |topics| rows(topics))
            }
            Self::Create { name, partitions, config } => {
                let asked = CreateTopic { name: name.to_string(), partitions, config: config.into_iter().collect() };
                let topic: Topic = place.api().post("/v1/topics", &asked).await?;
                table::print(place.json, &topic, |topic| rows(std::slice::from_ref(topic)))
            }
            Self::Describe { name, hash } => describe(place, &name, hash).await,
            Self::Follow { name } => {
                let path = format!("/v1/topics/{}/follow", escaped(name.as_str()));
                let topic: Topic = place.api().post(&path, &serde_json::json!({})).await?;
                table::print(place.json, &topic, |topic| rows(std::slice::from_ref(topic)))
            }
            Self::Delete { name, yes } => delete(place, &name, yes).await,
        }
    }
}

async fn describe(place: &Place, name: &TopicName, hash: bool) -> Result<()> {
    let query = if hash { "?hashes=true" } else { "" };
    let topic: Topic = place.api().get(&format!("/v1/topics/{}{query}", escaped(name.as_str()))).await?;
    if !place.json {
        let settings: Vec<String> = topic.config.iter().map(|(name, value)| format!("{name}={value}")).collect();
        say!("{}  id {}  group {}  owner {}  {}", topic.name, topic.id, topic.group, topic.owner, settings.join(" "))?;
    }
    table::print(place.json, &topic, |topic| replicas(&topic.replicas))
}

async fn delete(place: &Place, name: &TopicName, yes: bool) -> Result<()> {
    if !yes && !confirmed(name)? {
        bail!("{name} was not deleted");
    }
    place.api().delete(&format!("/v1/topics/{}", escaped(name.as_str()))).await?;
    match place.json {
        true => say!("{}", serde_json::json!({"deleted": name}))?,
        false => say!("topic {name} is deleted")?,
    }
    Ok(())
}

/// Asks a person; a script says --yes.
fn confirmed(name: &TopicName) -> Result<bool> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        bail!("nobody can be asked whether {name} shall be deleted: say --yes");
    }
    output::mention(format_args!("delete {name} in every region? Type its name: "));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim() == name.as_str())
}

pub(super) fn rows(topics: &[Topic]) -> Table {
    let mut table = Table::new(["topic", "partitions", "group", "owner", "state", "config"]);
    for topic in topics {
        let settings: Vec<String> = topic.config.iter().map(|(name, value)| format!("{name}={value}")).collect();
        table.row([
            topic.name.clone(),
            topic.partitions.to_string(),
            topic.group.clone(),
            topic.owner.clone(),
            match topic.state {
                TopicState::Live if topic.is_stopped => "live, not copied: made again".to_owned(),
                TopicState::Live => "live".to_owned(),
                TopicState::Restoring => "restoring".to_owned(),
            },
            settings.join(" "),
        ]);
    }
    table
}

fn replicas(replicas: &[Replica]) -> Table {
    let mut table = Table::new([
        "partition",
        "region",
        "writable",
        "epoch",
        "start",
        "tail",
        "watermark",
        "size",
        "hash",
        "failed",
    ]);
    for replica in replicas {
        table.row([
            replica.partition.to_string(),
            replica.region.clone(),
            if replica.writable { "yes" } else { "no" }.to_owned(),
            replica.leader_epoch.to_string(),
            replica.start_offset.to_string(),
            replica.tail_offset.to_string(),
            replica.high_watermark.to_string(),
            super::bytes(replica.size_bytes),
            or_dash(replica.hash.as_ref().map(|hash| hash.chars().take(12).collect::<String>())),
            or_dash(replica.failed.as_ref()),
        ]);
    }
    table
}
