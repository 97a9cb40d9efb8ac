//! The load of a drill: an idempotent producer over all partitions, one that talks to the home region directly, and
//! readers of every kind. None of them is started again, whatever happens.

use super::journal::Journal;
use super::lane::{Identity, Lane, Route};
use super::member::Member;
use super::reader::{alone, client};
use anyhow::{Context, Result};
use model::RegionName;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wire::client::Start;

/// Who reads.
pub(super) const READERS: [&str; 3] = ["alone", "latest", "group"];
/// The producer through the gateway.
pub(super) const PRODUCER: &str = "producer";
/// The producer that talks to the home region.
pub(super) const DIRECT: &str = "direct";

const MEMBERS: usize = 2;
const DIRECT_PER_SECOND: f64 = 50.0;
const POLL: Duration = Duration::from_millis(20);
const READ_WITHIN: Duration = Duration::from_secs(30);

/// What the load is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Records per second through the gateway, over all partitions.
    pub(super) rate: u64,
    /// Bytes per value.
    pub(super) size: usize,
    /// Partitions written through the gateway; the topic has one more, for the direct producer.
    pub(super) partitions: i32,
}

impl Shape {
    /// How many partitions the topic has.
    pub(super) fn all_partitions(&self) -> i32 {
        self.partitions + 1
    }
}

/// A running load.
pub(super) struct Load {
    journal: Journal,
    writers: JoinSet<()>,
    readers: JoinSet<()>,
    stop_writing: watch::Sender<bool>,
    stop_reading: watch::Sender<bool>,
}

impl Load {
    /// Starts everybody on the journal's topic.
    ///
    /// # Errors
    /// When no producer id is to be had.
    pub(super) async fn start(
        gateway: &str,
        home: (&RegionName, &str),
        shape: Shape,
        journal: &Journal,
    ) -> Result<Self> {
        let (stop_writing, _) = watch::channel(false);
        let (stop_reading, _) = watch::channel(false);
        let (writers, readers) = (JoinSet::new(), JoinSet::new());
        let mut load = Self { journal: journal.clone(), writers, readers, stop_writing, stop_reading };
        load.read(gateway, shape);
        load.write(gateway, home, shape).await?;
        Ok(load)
    }

    fn read(&mut self, gateway: &str, shape: Shape) {
        for partition in 0..shape.all_partitions() {
            for (name, reset) in [("alone", Start::Earliest), ("latest", Start::Latest)] {
                let (journal, stop) = (self.journal.clone(), self.stop_reading.subscribe());
                self.readers.spawn(alone(gateway.to_owned(), name, partition, reset, journal, stop));
            }
            let (reader, partition) = ("group".to_owned(), self.journal.place(partition));
            let from = model::Offset::ZERO;
            self.journal.tell("group", chaos::history::Event::Began { reader, partition, from });
        }
        let group = format!("{}-group", self.journal.topic());
        for _ in 0..MEMBERS {
            let member = Member::new(gateway, &group, shape.all_partitions(), self.journal.clone());
            self.readers.spawn(member.run("group", self.stop_reading.subscribe()));
        }
    }

    async fn write(&mut self, gateway: &str, home: (&RegionName, &str), shape: Shape) -> Result<()> {
        let values = Arc::new(AtomicU64::new(1));
        let identity = Identity::of(&client(gateway)).await.context("no producer id through the gateway")?;
        for partition in 0..shape.partitions {
            let per_second = shape.rate as f64 / f64::from(shape.partitions);
            let producer = PRODUCER.to_owned();
            let route = Route { producer, identity, partition, region: None, per_second, size: shape.size };
            self.lane(route, gateway, &values);
        }
        let (region, bootstrap) = home;
        let identity = Identity::of(&client(bootstrap)).await.context("no producer id of the home region")?;
        let route = Route {
            producer: DIRECT.to_owned(),
            identity,
            partition: shape.partitions,
            region: Some(region.clone()),
            per_second: DIRECT_PER_SECOND,
            size: shape.size,
        };
        self.lane(route, bootstrap, &values);
        Ok(())
    }

    fn lane(&mut self, route: Route, bootstrap: &str, values: &Arc<AtomicU64>) {
        let lane = Lane::new(route, client(bootstrap), self.journal.clone(), values.clone());
        self.writers.spawn(lane.run(self.stop_writing.subscribe()));
    }

    /// Ends the producers once everything has its receipt, and the readers once they have read what was acknowledged.
    /// Answers who has not.
    pub(super) async fn finish(mut self) -> Vec<String> {
        self.stop_writing.send_replace(true);
        while self.writers.join_next().await.is_some() {}
        let end = Instant::now() + READ_WITHIN;
        while !self.journal.behind(&READERS).is_empty() && Instant::now() < end {
            sleep(POLL).await;
        }
        self.stop_reading.send_replace(true);
        while self.readers.join_next().await.is_some() {}
        self.journal.behind(&READERS)
    }
}
