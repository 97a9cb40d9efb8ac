//! Topics that every region takes writes for: whatever was written where, all come to the same state, and what lost is
//! in the conflict topic.

mod agreement;
mod quarantine;
mod restarts;

use crate::harness::{Client, eventually};
use broker::{Broker, Config, Listeners, NoCouncil, Ports};
use bytes::Bytes;
use env::PortFuture;
use env::real::{SystemClock, SystemEntropy};
use mirror::CopyKey;
use mirror::active::{ActiveLinks, ActiveSink, NotTaken};
use mirror_core::active::{Carried, MarkBounds, Payload, Row, SideIdentity, Vector, first_offset};
use model::{
    ActiveActive, ActiveRegion, Assignment, ConflictPolicy, Coverage, Grant, GrantState, Incarnation, ModeState,
    Offset, OwnershipEpoch, PartitionId, Pattern, ProtectionGroup, RegionAddress, RegionName, TopicId, TopicName,
    TopicSpec, TopicState,
};
use record::{BatchBuilder, Batches};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::ErrorCode;

const TOPIC: &str = "carts";

const CONFLICTS: &str = "__farshore_conflicts";

/// Regions of one broker each, that know of each other what their links are told.
struct Fleet {
    policy: ConflictPolicy,
    regions: Vec<Region>,
    /// One that lost its disk has another number.
    incarnations: Vec<Incarnation>,
    index: u64,
}

struct Region {
    broker: Broker,
    links: ActiveLinks,
    dir: tempfile::TempDir,
}

struct Sink(Broker);

impl ActiveSink for Sink {
    fn partitions(&self) -> Vec<(CopyKey, Vector)> {
        self.0.all_active_received()
    }

    fn take(&self, key: CopyKey, brought: Vec<Carried>, rows: Vec<Row>) -> PortFuture<'_, Result<(), NotTaken>> {
        Box::pin(
            async move { self.0.take_active(key, brought, rows).await.map_err(|error| NotTaken(error.to_string())) },
        )
    }
}

fn name(at: usize) -> RegionName {
    RegionName::new(format!("r{}", at + 1)).unwrap()
}

async fn started(at: usize, dir: tempfile::TempDir) -> Region {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners { clients: any, gateways: any, internal: any };
    let mut config = Config::new(name(at), at as u16, dir.path().to_owned(), listeners);
    config.disk_reserve = model::ByteCount(0);
    let council = Arc::new(NoCouncil);
    let ports = Ports { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), council };
    let broker = Broker::start(config, ports).await.unwrap();
    let links = ActiveLinks::new(name(at), Arc::new(Sink(broker.clone())));
    Region { broker, links, dir }
}

impl Fleet {
    async fn start(count: usize, policy: ConflictPolicy) -> Self {
        let incarnations = (1..=count as u16).map(Incarnation).collect();
        let mut fleet = Self { policy, regions: Vec::new(), incarnations, index: 1 };
        for at in 0..count {
            fleet.regions.push(started(at, tempfile::tempdir().unwrap()).await);
        }
        fleet.tell().await;
        fleet
    }

    /// Tells every region what is decided.
    async fn tell(&mut self) {
        self.index += 1;
        for (at, region) in self.regions.iter().enumerate() {
            region.broker.assign(self.assignment(at, &[])).await.unwrap();
        }
    }

    /// Lets each region read from those that `joined` says, as (source, target), and from no others.
    fn join(&self, joined: &[(usize, usize)]) {
        for (at, region) in self.regions.iter().enumerate() {
            let sources: Vec<_> =
                joined.iter().filter(|(_, target)| *target == at).map(|(source, _)| *source).collect();
            region.links.assign(&self.assignment(at, &sources));
        }
    }

    fn mesh(&self) {
        let all = 0..self.regions.len();
        let pairs: Vec<_> = all.clone().flat_map(|one| all.clone().map(move |other| (one, other))).collect();
        self.join(&pairs);
    }

    fn assignment(&self, at: usize, sources: &[usize]) -> Assignment {
        let regions = self.regions.iter().enumerate().filter(|(other, _)| sources.contains(other));
        Assignment {
            council_index: self.index,
            region: name(at),
            incarnation: self.incarnations[at],
            groups: vec![self.grant(at)],
            topics: vec![topic()],
            stopped: vec![],
            regions: regions.map(|(other, region)| address(other, self.incarnations[other], &region.broker)).collect(),
            gateway: None,
        }
    }

    fn grant(&self, at: usize) -> Grant {
        let all = 0..self.regions.len();
        let regions = all.clone().map(|at| ActiveRegion { region: name(at), incarnation: self.incarnations[at] });
        Grant {
            group: group(),
            owner: name(at),
            ownership_epoch: OwnershipEpoch(3),
            state: GrantState::Held,
            home: name(0),
            standbys: all.skip(1).map(name).collect(),
            coverage: Coverage { topics: vec![Pattern::Any], consumer_groups: vec![Pattern::Any] },
            openings: vec![],
            mode: ModeState::default(),
            active: Some(ActiveActive { policy: self.policy.clone(), regions: regions.collect() }),
        }
    }

    async fn client(&self, at: usize) -> Client {
        Client::at(self.regions[at].broker.addresses().unwrap().clients).await
    }

    async fn write(&self, at: usize, records: &[(&str, Option<&str>)]) {
        self.write_batch(at, batch(BatchBuilder::new(), records)).await;
    }

    async fn write_batch(&self, at: usize, batch: Bytes) {
        let answer = self.client(at).await.produce(TOPIC, 0, batch).await;
        assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
    }

    /// The records of a region, in order.
    async fn log(&self, at: usize) -> Vec<(Option<String>, Option<String>)> {
        records(&self.client(at).await, TOPIC, first_offset(self.incarnations[at])).await
    }

    /// The last value of each key.
    async fn standing(&self, at: usize) -> BTreeMap<String, Option<String>> {
        self.log(at).await.into_iter().filter_map(|(key, value)| Some((key?, value))).collect()
    }

    /// Waits until all regions have received all that was written anywhere, and hold the same for every key.
    async fn converged(&self) -> BTreeMap<String, Option<String>> {
        let mut states = Vec::new();
        eventually("all regions hold the same", async || {
            let received: Vec<_> = self.regions.iter().map(|region| received(&region.broker)).collect();
            states.clear();
            for at in 0..self.regions.len() {
                states.push(self.standing(at).await);
            }
            let is_same =
                received.windows(2).all(|two| two[0] == two[1]) && states.windows(2).all(|two| two[0] == two[1]);
            is_same && received[0].is_some()
        })
        .await;
        states.remove(0)
    }

    /// Waits until a region has told of `count` conflicts; (key, value that stands, value that lost).
    async fn conflicts(&self, at: usize, count: usize) -> BTreeSet<(String, String, String)> {
        let mut told = Vec::new();
        eventually(&format!("{count} conflicts are told"), async || {
            told = self.regions[at].broker.conflicts(Offset::ZERO, 10_000).await.unwrap().conflicts;
            told.len() >= count
        })
        .await;
        assert_eq!(told.len(), count, "{told:?}");
        told.iter().map(|told| (text(&told.key), text(&told.winner.value), text(&told.loser.value))).collect()
    }

    /// Whose mark of what is settled counts in a region.
    fn bounds(&self, at: usize) -> MarkBounds {
        MarkBounds { identity: identity(self.incarnations[at]), regions: self.incarnations.clone() }
    }

    /// Waits until a region keeps a mark of what is settled that lies above the beginning.
    async fn keeps_a_mark(&self, at: usize) {
        let bounds = self.bounds(at);
        let path = story(self.regions[at].dir.path()).with_file_name("settled");
        let kept = || {
            let (start, tail) = (first_offset(self.incarnations[at]), Offset(i64::MAX));
            fs::read(&path).is_ok_and(|bytes| bounds.decode(&bytes, start, tail).is_ok_and(|mark| mark > start))
        };
        eventually("a mark is kept", async || kept()).await;
    }

    /// Stops a region in an orderly way and starts it again, after `meanwhile` has seen its side log.
    async fn restart(&mut self, at: usize, meanwhile: impl FnOnce(PathBuf)) {
        let dir = tempfile::tempdir().unwrap();
        let stopped = std::mem::replace(&mut self.regions[at], started(at, dir).await);
        stopped.broker.shutdown().await;
        meanwhile(story(stopped.dir.path()));
        let spare = std::mem::replace(&mut self.regions[at], started(at, stopped.dir).await);
        spare.broker.shutdown().await;
    }
}

/// The side log of the topic's partition, wherever in `dir` its log is.
fn story(dir: &Path) -> PathBuf {
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        left.extend(entries.filter(|path| path.is_dir()));
        if dir.ends_with(format!("{TOPIC}-0")) {
            return dir.join("provenance");
        }
    }
    panic!("there is no log of {TOPIC}-0")
}

fn identity(own: Incarnation) -> SideIdentity {
    SideIdentity { topic: topic().id, partition: PartitionId(0), own }
}

fn received(broker: &Broker) -> Option<Vector> {
    broker.active_received(topic().id, PartitionId(0))
}

fn text(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn group() -> ProtectionGroup {
    ProtectionGroup::new("both").unwrap()
}

fn topic() -> TopicSpec {
    TopicSpec {
        id: TopicId(uuid::Uuid::from_u128(0xca27)),
        name: TopicName::new(TOPIC).unwrap(),
        partitions: 1,
        config: BTreeMap::new(),
        group: group(),
        state: TopicState::Live,
        epochs_above: None,
    }
}

fn address(at: usize, incarnation: Incarnation, broker: &Broker) -> RegionAddress {
    let listeners = broker.addresses().unwrap();
    RegionAddress {
        region: name(at),
        index: at as u16,
        incarnation,
        clients: listeners.clients.to_string(),
        gateways: listeners.gateways.to_string(),
        internal: listeners.internal.to_string(),
        council: "127.0.0.1:1".to_owned(),
        rest: "127.0.0.1:1".to_owned(),
    }
}

fn batch(mut builder: BatchBuilder, records: &[(&str, Option<&str>)]) -> Bytes {
    for (key, value) in records {
        let key = (!key.is_empty()).then_some(key.as_bytes());
        builder.push(model::Timestamp(1), key, value.map(str::as_bytes), &[("h", Some(b"x"))]);
    }
    builder.build().into()
}

async fn records(client: &Client, topic: &str, from: Offset) -> Vec<(Option<String>, Option<String>)> {
    let (mut found, mut next) = (Vec::new(), from.0);
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
    loop {
        let answer = client.fetch(topic, 0, next).await;
        answer.error_code.ok().unwrap();
        let bytes = answer.records.into_bytes();
        let before = next;
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            next = batch.next_offset().0;
            for record in batch.records(model::ByteCount::mib(16)).unwrap() {
                let record = record.unwrap();
                found.push((text(record.key), text(record.value)));
            }
        }
        if next == before {
            return found;
        }
    }
}
