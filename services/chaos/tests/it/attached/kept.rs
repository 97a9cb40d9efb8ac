//! What a link keeps in both clusters, and what becomes of groups that are deleted.

use super::scene::{PATIENCE, Process, tail};
use super::secure::{Listener, Scene, USUAL_GROUPS, succeeds};
use mirror_core::attached::Copy;
use mirror_core::attached::chart::{Chart, Record};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;
use wire::client::{Cluster, Consumer, FetchLimits, GroupOffset, Options, Start};

pub(super) const END: &str = "--topics orders --exit-at-end";

/// Which of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Kafka,
    Farshore,
}

impl Scene {
    fn cluster(&self, at: At) -> Arc<Cluster> {
        let bootstrap = match at {
            At::Kafka => self.at(Listener::Plain),
            At::Farshore => self.middle.clone(),
        };
        Arc::new(Cluster::new(&bootstrap, Options::default()))
    }

    fn id(&self, at: At) -> String {
        self.runtime.block_on(self.cluster(at).metadata(None)).unwrap().cluster_id.unwrap()
    }

    fn map_topic(&self, source: At, target: At) -> String {
        format!("farshore.map.{}.{}", self.id(source), self.id(target))
    }

    fn has_topic(&self, at: At, topic: &str) -> bool {
        let known = self.runtime.block_on(self.cluster(at).metadata(None)).unwrap();
        known.topics.iter().any(|found| found.name.as_deref() == Some(topic))
    }

    /// Loses the map of the inward link.
    pub(super) fn lose_the_map(&self, at: At) {
        let topic = self.map_topic(At::Kafka, At::Farshore);
        self.runtime.block_on(self.cluster(at).delete_topic(&topic)).unwrap();
    }

    pub(super) fn lose_the_directory(&self) {
        fs::remove_dir_all(self.directory.join("inward")).unwrap();
    }

    /// The map of `orders` that the inward link keeps, by partition.
    fn map(&self, at: At) -> BTreeMap<i32, Copy> {
        let topic = self.map_topic(At::Kafka, At::Farshore);
        if !self.has_topic(at, &topic) {
            return BTreeMap::new();
        }
        let mut charts = BTreeMap::new();
        self.runtime.block_on(async {
            let cluster = self.cluster(at);
            let end = tail(&cluster, &topic, 0).await;
            let limits = FetchLimits::default();
            let mut reader = Consumer::open(cluster, &topic, 0, Start::Earliest, limits).await.unwrap();
            while reader.position() < end {
                for found in reader.poll().await.unwrap() {
                    let key = String::from_utf8(found.key.unwrap()).unwrap();
                    Chart::take_into(&mut charts, Record { key, value: found.value });
                }
            }
        });
        charts.into_iter().filter_map(|((_, partition), chart)| Some((partition, chart.copy()?))).collect()
    }

    /// Whether the map tells of everything there is.
    fn is_whole(&self, map: &BTreeMap<i32, Copy>) -> bool {
        let reaches_the_end = |(partition, copy): (&i32, &Copy)| {
            let end = self.runtime.block_on(tail(&self.plain, "orders", *partition));
            copy.position().0 == end
        };
        map.len() == 2 && map.iter().all(reaches_the_end)
    }

    pub(super) fn both_maps_are_whole_and_the_same(&self) {
        let (source, target) = (self.map(At::Kafka), self.map(At::Farshore));
        assert!(self.is_whole(&source) && self.is_whole(&target), "{source:?}\n{target:?}");
        assert_eq!(source, target);
    }

    fn follow(&self) -> Process {
        let log = fs::File::create(self.directory.join("follow.log")).unwrap();
        let mut link = self.inward(Listener::Plain, "--topics orders");
        Process(link.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    fn copied(&self) -> i64 {
        let target = self.cluster(At::Farshore);
        (0..2).map(|partition| self.runtime.block_on(tail(&target, "orders", partition))).sum()
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            let log = || fs::read_to_string(self.directory.join("follow.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{what}: {}", log());
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    pub(super) fn lose_the_map_of_the_target_while_a_link_follows(&self, batch: u64) {
        let link = self.follow();
        self.until("the link follows", || self.is_whole(&self.map(At::Farshore)));
        self.lose_the_map(At::Farshore);
        self.write(batch..batch + 1);
        self.until("the map is there again", || self.is_whole(&self.map(At::Farshore)));
        self.lose_the_map(At::Kafka);
        self.until("it is there again though nothing has changed", || self.is_whole(&self.map(At::Kafka)));
        drop(link);
    }

    /// Kills a link that has just copied something, and takes its directory.
    pub(super) fn kill_a_link_and_lose_its_directory(&self, from: u64) -> u64 {
        let before = self.copied();
        let mut link = self.follow();
        let mut batch = from;
        while self.copied() <= before + 20 {
            self.write(batch..batch + 1);
            batch += 1;
            assert!(batch < from + 5000 && link.0.try_wait().unwrap().is_none());
        }
        link.0.kill().unwrap();
        link.0.wait().unwrap();
        let told: i64 = self.map(At::Farshore).values().map(|copy| copy.map().target_end().0).sum();
        println!("killed: {} records in the target, the map tells of {told}", self.copied());
        self.lose_the_directory();
        batch
    }

    /// The way back leaves the source alone if it is told to.
    pub(super) fn a_source_that_is_read_only_gets_no_map(&self) {
        self.write_answers(10);
        let told = succeeds(self.outward(Listener::Plain, "--topics answers --exit-at-end --source-read-only"));
        assert!(told.contains("the source is left read-only"), "{told}");
        self.answers_have_arrived();
        let topic = self.map_topic(At::Farshore, At::Kafka);
        assert!(self.has_topic(At::Kafka, &topic) && !self.has_topic(At::Farshore, &topic));
    }

    /// Where a group stands in the target, by partition.
    pub(super) fn seats(&self, group: &str) -> Vec<(i32, i64)> {
        let found = self.runtime.block_on(self.cluster(At::Farshore).committed(group)).unwrap();
        let mut seats: Vec<_> =
            found.iter().filter(|found| found.offset >= 0).map(|found| (found.partition, found.offset)).collect();
        seats.sort_unstable();
        seats
    }

    pub(super) fn delete_group(&self, group: &str) {
        self.runtime.block_on(self.plain.delete_group(group)).unwrap();
    }

    pub(super) fn delete_offset(&self, group: &str, partition: i32) {
        self.runtime.block_on(self.plain.delete_offsets(group, &[("orders".to_owned(), partition)])).unwrap();
    }

    /// A group that reads in the target by itself.
    pub(super) fn commit_in_the_target(&self, group: &str, partition: i32, offset: i64) {
        let seat = GroupOffset { topic: "orders".into(), partition, offset, leader_epoch: -1, metadata: String::new() };
        self.runtime.block_on(self.cluster(At::Farshore).commit(group, &[seat])).unwrap();
    }

    /// An inward link that comes to its end.
    pub(super) fn copy(&self, further: &str) -> String {
        let link: Command = self.inward(Listener::Plain, &format!("{END} {further}"));
        succeeds(link)
    }

    pub(super) fn usual(group: i64) -> Vec<(i32, i64)> {
        assert!(group < USUAL_GROUPS);
        vec![(0, group * 3), (1, group * 3 + 1)]
    }
}
