//! `farshore consume`

use super::place::Place;
use super::produce::partitions;
use super::stamp;
use crate::output::Unwritten;
use anyhow::{Context, Result, bail};
use model::TopicName;
use record::Record;
use std::collections::BTreeMap;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::api::list_offsets::LATEST;
use wire::client::{Cluster, Consumer, FetchLimits, GroupOffset, Start};

const QUEUE: usize = 64;
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Reads records and prints their values.
#[derive(Debug, clap::Args)]
pub(crate) struct Consume {
    /// The topic.
    topic: TopicName,
    /// Where to begin: beginning, latest, or a time such as 2026-01-31T10:00:00Z.
    #[arg(long, default_value = "beginning", value_name = "PLACE")]
    from: From,
    /// Goes on where this consumer group stopped, and commits what was read.
    #[arg(long)]
    group: Option<String>,
    /// Ends after so many records.
    #[arg(long, short = 'n', value_name = "COUNT")]
    max: Option<u64>,
    /// Ends when everything that was there at the start has been read.
    #[arg(long, short = 'e')]
    exit_at_end: bool,
    /// Only these partitions.
    #[arg(long, short, value_delimiter = ',')]
    partition: Vec<i32>,
    /// Another cluster than the gateway: host:port.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct From(Start);

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = || stamp::instant(text).or_else(|| text.parse().ok().filter(|millis| *millis >= 0));
        match text {
            "beginning" => Ok(Self(Start::Earliest)),
            "latest" => Ok(Self(Start::Latest)),
            _ => time().map(|millis| Self(Start::Time(millis))).ok_or_else(|| {
                format!("{text:?} is neither beginning nor latest nor a time such as 2026-01-31T10:00:00Z")
            }),
        }
    }
}

/// What a partition's reader has to say.
enum Heard {
    /// Records, and the offset behind them.
    Records { partition: i32, records: Vec<Record>, position: i64 },
    /// Everything that was there at the start is read.
    End,
}

impl Consume {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let cluster = place.cluster(self.bootstrap.as_deref());
        let partitions = self.partitions(&cluster).await?;
        let committed = self.committed(&cluster).await?;
        let (sender, heard) = mpsc::channel(QUEUE);
        let mut readers = JoinSet::new();
        for partition in &partitions {
            let start = committed.get(partition).map_or(self.from.0, |offset| Start::Offset(*offset));
            readers.spawn(read(
                cluster.clone(),
                self.topic.clone(),
                *partition,
                start,
                self.exit_at_end,
                sender.clone(),
            ));
        }
        drop(sender);
        let commits = self.group.as_deref().map(|group| Commits::new(cluster.clone(), group, &self.topic));
        tokio::select! {
            ended = self.print(heard, partitions.len(), commits, place.json) => ended,
            failed = first_failure(&mut readers) => failed,
        }
    }

    async fn partitions(&self, cluster: &Cluster) -> Result<Vec<i32>> {
        let count = partitions(cluster, self.topic.as_str()).await?;
        let count = count.with_context(|| format!("there is no topic {}; see `farshore topic list`", self.topic))?;
        if let Some(asked) = self.partition.iter().find(|asked| !(0..count).contains(asked)) {
            bail!("{} has no partition {asked}; it has {count}, counted from 0", self.topic);
        }
        Ok(if self.partition.is_empty() { (0..count).collect() } else { self.partition.clone() })
    }

    async fn committed(&self, cluster: &Cluster) -> Result<BTreeMap<i32, i64>> {
        let Some(group) = &self.group else { return Ok(BTreeMap::new()) };
        let offsets = cluster.committed(group).await?.into_iter();
        let ours = offsets.filter(|found| found.topic == self.topic.as_str() && found.offset >= 0);
        Ok(ours.map(|found| (found.partition, found.offset)).collect())
    }

    async fn print(
        &self,
        mut heard: mpsc::Receiver<Heard>,
        partitions: usize,
        mut commits: Option<Commits>,
        json: bool,
    ) -> Result<()> {
        let (mut printed, mut ended) = (0, 0);
        while let Some(heard) = heard.recv().await {
            let (partition, records, position) = match heard {
                Heard::Records { partition, records, position } => (partition, records, position),
                Heard::End => {
                    ended += 1;
                    if ended == partitions {
                        break;
                    }
                    continue;
                }
            };
            let left = self.max.map_or(u64::MAX, |max| max - printed);
            let shown = records.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let position = if shown < records.len() { records[shown].offset.0 } else { position };
            write_records(&records[..shown], partition, json)?;
            printed += shown as u64;
            if let Some(commits) = &mut commits {
                commits.note(partition, position).await?;
            }
            if self.max == Some(printed) {
                break;
            }
        }
        match commits {
            Some(mut commits) => commits.flush().await,
            None => Ok(()),
        }
    }
}

/// Ends with the first reader that fails; while none does, it never ends.
async fn first_failure(readers: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = readers.join_next().await {
        ended??;
    }
    std::future::pending().await
}

async fn read(
    cluster: Arc<Cluster>,
    topic: TopicName,
    partition: i32,
    start: Start,
    exit_at_end: bool,
    heard: mpsc::Sender<Heard>,
) -> Result<()> {
    let end = match exit_at_end {
        true => cluster.list_offset(topic.as_str(), partition, LATEST).await?.offset,
        false => i64::MAX,
    };
    let mut consumer = Consumer::open(cluster, topic.as_str(), partition, start, FetchLimits::default()).await?;
    while consumer.position() < end {
        let records = consumer.poll().await.with_context(|| format!("{topic}-{partition}"))?;
        let message = Heard::Records { partition, records, position: consumer.position() };
        if heard.send(message).await.is_err() {
            return Ok(());
        }
    }
    // Whoever does not listen any more needs no end.
    let _ = heard.send(Heard::End).await;
    Ok(())
}

fn write_records(records: &[Record], partition: i32, json: bool) -> Result<(), Unwritten> {
    let mut out = std::io::stdout().lock();
    for record in records {
        if json {
            serde_json::to_writer(&mut out, &document(record, partition)).map_err(std::io::Error::from)?;
        } else {
            out.write_all(record.value.as_deref().unwrap_or_default())?;
        }
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

fn document(record: &Record, partition: i32) -> serde_json::Value {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    serde_json::json!({
        "partition": partition,
        "offset": record.offset.0,
        "timestamp": record.timestamp.0,
        "key": text(&record.key),
        "value": text(&record.value),
    })
}

/// The offsets that a group has read, committed from time to time.
struct Commits {
    cluster: Arc<Cluster>,
    group: String,
    topic: TopicName,
    positions: BTreeMap<i32, i64>,
    due: tokio::time::Instant,
}

impl Commits {
    fn new(cluster: Arc<Cluster>, group: &str, topic: &TopicName) -> Self {
        let due = tokio::time::Instant::now() + COMMIT_EVERY;
        Self { cluster, group: group.to_owned(), topic: topic.clone(), positions: BTreeMap::new(), due }
    }

    async fn note(&mut self, partition: i32, position: i64) -> Result<()> {
        self.positions.insert(partition, position);
        if tokio::time::Instant::now() >= self.due {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.due = tokio::time::Instant::now() + COMMIT_EVERY;
        let offset = |(partition, offset): (i32, i64)| GroupOffset {
            topic: self.topic.to_string(),
            partition,
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let offsets: Vec<GroupOffset> = std::mem::take(&mut self.positions).into_iter().map(offset).collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let committed = self.cluster.commit(&self.group, &offsets).await;
        committed.with_context(|| format!("the offsets of {} are not committed", self.group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_can_be_given_in_words_or_as_a_time() {
        assert_eq!("beginning".parse(), Ok(From(Start::Earliest)));
        assert_eq!("latest".parse(), Ok(From(Start::Latest)));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(From(Start::Time(1000))));
        assert_eq!("1700000000000".parse(), Ok(From(Start::Time(1_700_000_000_000))));
        assert!("soon".parse::<From>().unwrap_err().contains("beginning"));
    }
}
