//! `farshore group`

use super::place::Place;
use crate::output::say;
use crate::table::{self, Table, or_dash};
use anyhow::{Result, bail};
use serde::Serialize;
use std::collections::BTreeSet;
use wire::api::list_offsets::LATEST;
use wire::api::{describe_groups, list_groups};
use wire::client::Cluster;

/// Lists consumer groups and shows how far they are.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows every consumer group.
    List {
        /// Another cluster than the gateway: host:port.
        #[arg(long, value_name = "HOST:PORT")]
        bootstrap: Option<String>,
    },
    /// Shows a group's offsets, what it has not read yet, and its members.
    Describe {
        /// Its name.
        name: String,
        /// Another cluster than the gateway: host:port.
        #[arg(long, value_name = "HOST:PORT")]
        bootstrap: Option<String>,
    },
}

#[derive(Serialize)]
struct Listed {
    group: String,
    state: String,
    protocol_type: String,
}

#[derive(Serialize)]
struct Described {
    group: String,
    state: String,
    members: Vec<String>,
    offsets: Vec<Reached>,
}

/// How far a group is in one partition.
#[derive(Serialize)]
struct Reached {
    topic: String,
    partition: i32,
    committed: i64,
    tail: Option<i64>,
    lag: Option<i64>,
    metadata: String,
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        match self {
            Self::List { bootstrap } => {
                let groups = listed(&place.cluster(bootstrap.as_deref())).await?;
                table::print(place.json, &groups, |groups| rows(groups))
            }
            Self::Describe { name, bootstrap } => {
                let group = described(&place.cluster(bootstrap.as_deref()), &name).await?;
                if !place.json {
                    say!(
                        "{}  {}  {} members {}",
                        group.group,
                        group.state,
                        group.members.len(),
                        group.members.join(" ")
                    )?;
                }
                table::print(place.json, &group, |group| offsets(&group.offsets))
            }
        }
    }
}

/// The groups of every node.
async fn listed(cluster: &Cluster) -> Result<Vec<Listed>> {
    let metadata = cluster.metadata(Some(&[])).await?;
    let (mut groups, mut known) = (Vec::new(), BTreeSet::new());
    let (mut answered, mut last) = (false, None);
    for broker in &metadata.brokers {
        let peer = format!("{}:{}", broker.host, broker.port);
        let response = match cluster.call(&peer, &list_groups::Request::default()).await {
            Ok(response) if response.error_code.is_ok() => response,
            Ok(response) => {
                last = Some(format!("{peer}: {}", response.error_code));
                continue;
            }
            Err(error) => {
                last = Some(error.to_string());
                continue;
            }
        };
        answered = true;
        for group in response.groups {
            if known.insert(group.group_id.clone()) {
                let (state, protocol_type) = (group.group_state, group.protocol_type);
                groups.push(Listed { group: group.group_id, state, protocol_type });
            }
        }
    }
    if !answered {
        bail!("no broker lists its groups: {}", last.unwrap_or_else(|| "there is none".to_owned()));
    }
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(groups)
}

async fn described(cluster: &Cluster, name: &str) -> Result<Described> {
    let committed = cluster.committed(name).await?;
    let coordinator = cluster.coordinator(name).await?;
    let request = describe_groups::Request { groups: vec![name.to_owned()], ..Default::default() };
    let response = cluster.call(&coordinator, &request).await?;
    let group = response.groups.into_iter().next();
    let state = group.as_ref().map_or_else(String::new, |group| group.group_state.clone());
    if committed.is_empty() && matches!(state.as_str(), "" | "Dead") {
        bail!("there is no consumer group {name}; see `farshore group list`");
    }
    let members = group.into_iter().flat_map(|group| group.members).map(|member| member.client_id).collect();
    let mut offsets = Vec::new();
    for found in committed {
        let tail = cluster.list_offset(&found.topic, found.partition, LATEST).await.ok().map(|listed| listed.offset);
        offsets.push(Reached {
            lag: tail.map(|tail| (tail - found.offset).max(0)),
            topic: found.topic,
            partition: found.partition,
            committed: found.offset,
            tail,
            metadata: found.metadata,
        });
    }
    offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(Described { group: name.to_owned(), state, members, offsets })
}

fn rows(groups: &[Listed]) -> Table {
    let mut table = Table::new(["group", "state", "protocol"]);
    for group in groups {
        table.row([group.group.clone(), group.state.clone(), group.protocol_type.clone()]);
    }
    table
}

fn offsets(offsets: &[Reached]) -> Table {
    let mut table = Table::new(["topic", "partition", "committed", "tail", "lag", "metadata"]);
    for reached in offsets {
        table.row([
            reached.topic.clone(),
            reached.partition.to_string(),
            reached.committed.to_string(),
            or_dash(reached.tail),
            or_dash(reached.lag),
            reached.metadata.clone(),
        ]);
    }
    table
}
