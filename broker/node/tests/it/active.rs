//! Topics that every region takes writes for: whatever was written where, all come to the same state, and what lost is
//! in the conflict topic.

use crate::harness::{Client, eventually};
use broker::{Broker, Config, Listeners, NoCouncil, Ports, SettleFailure};
use bytes::Bytes;
use env::PortFuture;
use env::real::{SystemClock, SystemEntropy};
use mirror::CopyKey;
use mirror::active::{ActiveLinks, ActiveSink, NotTaken};
use mirror_core::active::{
    Carried, ConflictState, Content, MarkBounds, Payload, Provenance, Row, Run, SideFile, SideIdentity, Vector,
    first_offset,
};
use model::{
    ActiveActive, ActiveRegion, Assignment, ConflictPolicy, Coverage, Grant, GrantState, Incarnation, ModeState,
    Offset, OwnershipEpoch, PartitionId, Pattern, ProtectionGroup, RegionAddress, RegionName, TopicId, TopicName,
    TopicSpec, TopicState,
};
use record::{BatchBuilder, Batches, Compression};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
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

fn story_of(path: &Path, own: Incarnation) -> (Provenance, SideFile) {
    let (known, _, file) = SideFile::read(&identity(own), &fs::read(path).unwrap()).unwrap();
    (known, file)
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

#[tokio::test]
async fn what_two_regions_write_apart_comes_to_the_same_state_and_what_lost_is_told() {
    let fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    for key in 0..20 {
        fleet.write(0, &[(&format!("k{key}"), Some(&format!("one-{key}"))), ("", Some("keyless"))]).await;
        fleet.write(1, &[(&format!("k{key}"), Some(&format!("two-{key}")))]).await;
    }
    fleet.write(1, &[("gone", Some("there")), ("gone", None)]).await;
    fleet.mesh();
    let state = fleet.converged().await;
    let told = fleet.conflicts(0, 20).await;
    assert_eq!(told, fleet.conflicts(1, 20).await, "every region tells the same");
    for (key, stands, lost) in told {
        let number = key.strip_prefix('k').unwrap();
        let written = BTreeSet::from([format!("one-{number}"), format!("two-{number}")]);
        assert_eq!(state[&key].as_ref(), Some(&stands));
        assert_eq!(BTreeSet::from([stands, lost]), written, "{key}");
    }
    assert_eq!(state["gone"], None);
    let keyless = fleet.log(1).await.iter().filter(|(key, _)| key.is_none()).count();
    assert_eq!(keyless, 20, "records without a key are carried, once");
}

#[tokio::test]
async fn a_write_that_has_seen_the_other_one_is_no_conflict() {
    let fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    for round in 0..5 {
        fleet.write(round % 2, &[("k", Some(&format!("round-{round}")))]).await;
        let state = fleet.converged().await;
        assert_eq!(state["k"], Some(format!("round-{round}")));
    }
    fleet.conflicts(0, 0).await;
    assert_eq!(fleet.log(0).await.len(), 5, "and nothing has to be repeated");
}

#[tokio::test]
async fn three_regions_in_a_row_carry_each_record_once_and_never_back() {
    let fleet = Fleet::start(3, ConflictPolicy::LastWriterWins).await;
    for at in 0..3 {
        let written: Vec<_> = (0..30).map(|n| (format!("{at}-{n}"), format!("v{n}"))).collect();
        let records: Vec<_> = written.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
        fleet.write_batch(at, batch(BatchBuilder::new().compression(Compression::Zstd), &records)).await;
    }
    fleet.join(&[(0, 1), (1, 0), (1, 2), (2, 1)]);
    let state = fleet.converged().await;
    assert_eq!(state.len(), 90);
    for region in &fleet.regions {
        let known = &region.broker.active_partitions()[0];
        assert_eq!((known.records, known.bytes), (60, known.bytes_taken), "{known:?}");
    }
    fleet.mesh();
    fleet.write(2, &[("last", Some("one"))]).await;
    fleet.converged().await;
    for at in 0..3 {
        assert_eq!(fleet.log(at).await.len(), 91, "r{}", at + 1);
    }
}

#[tokio::test]
async fn a_region_of_higher_priority_wins_whenever_it_wrote() {
    let policy = ConflictPolicy::RegionPriority { order: vec![name(1), name(0)] };
    let fleet = Fleet::start(2, policy).await;
    fleet.write(1, &[("k", Some("important"))]).await;
    fleet.write(0, &[("k", Some("later"))]).await;
    fleet.mesh();
    assert_eq!(fleet.converged().await["k"].as_deref(), Some("important"));
    let told = fleet.conflicts(0, 1).await;
    assert_eq!(told, BTreeSet::from([("k".to_owned(), "important".to_owned(), "later".to_owned())]));
}

#[tokio::test]
async fn a_region_that_was_away_goes_on_where_it_was_and_a_torn_story_is_mended() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(0, &[("a", Some("1")), ("b", Some("1"))]).await;
    fleet.converged().await;
    fleet.join(&[]);
    fleet.write(0, &[("a", Some("2"))]).await;
    fleet.write(1, &[("a", Some("3")), ("c", Some("3"))]).await;
    // What a crash leaves of a run that was being written.
    fleet
        .restart(1, |story| OpenOptions::new().append(true).open(story).unwrap().write_all(&[0, 40, 1, 2]).unwrap())
        .await;
    fleet.tell().await;
    fleet.write(1, &[("d", Some("4"))]).await;
    fleet.mesh();
    let state = fleet.converged().await;
    assert_eq!(state.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    fleet.restart(0, |_| {}).await;
    fleet.tell().await;
    fleet.mesh();
    fleet.write(0, &[("e", Some("5"))]).await;
    assert_eq!(fleet.converged().await.len(), 5);
    let told = fleet.conflicts(0, 1).await;
    assert_eq!(told, fleet.conflicts(1, 1).await, "found again, it is told once");
    assert!(told.iter().all(|(key, ..)| key == "a"), "{told:?}");
    for at in 0..2 {
        let carried = fleet.log(at).await.iter().filter(|(key, _)| key.as_deref() == Some("b")).count();
        assert_eq!(carried, 1, "nothing is carried twice after a restart");
    }
}

#[tokio::test]
async fn log_and_story_are_cut_to_what_both_have() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(0, &[("a", Some("1"))]).await;
    fleet.converged().await;
    fleet.join(&[]);
    fleet.write(1, &[("b", Some("2"))]).await;
    // What was flushed of a run whose batch was not.
    fleet
        .restart(1, |story| {
            let (known, mut file) = story_of(&story, Incarnation(2));
            let lost = Run { local: known.tail(), count: 1, content: Content::Control };
            OpenOptions::new().append(true).open(story).unwrap().write_all(&file.run(&lost)).unwrap();
        })
        .await;
    fleet.tell().await;
    fleet.write(1, &[("c", Some("3"))]).await;
    // What was flushed of a batch whose run was not, and nobody had seen.
    fleet
        .restart(1, |story| {
            let length = fs::metadata(&story).unwrap().len();
            OpenOptions::new().write(true).open(&story).unwrap().set_len(length - 1).unwrap();
            fs::remove_file(story.parent().unwrap().with_file_name("high-watermarks")).unwrap();
        })
        .await;
    fleet.tell().await;
    fleet.write(1, &[("d", Some("4"))]).await;
    fleet.mesh();
    assert_eq!(fleet.converged().await.keys().collect::<Vec<_>>(), ["a", "b", "d"]);
    assert_eq!(fleet.log(0).await.len(), 3);
}

#[tokio::test]
async fn a_region_that_lost_its_disk_gets_everything_back_and_writes_under_another_number() {
    let mut fleet = Fleet::start(3, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(1, &[("a", Some("1")), ("b", Some("1"))]).await;
    fleet.write(0, &[("c", Some("2"))]).await;
    fleet.converged().await;
    let fresh = started(1, tempfile::tempdir().unwrap()).await;
    std::mem::replace(&mut fleet.regions[1], fresh).broker.shutdown().await;
    fleet.incarnations[1] = Incarnation(9);
    fleet.tell().await;
    fleet.mesh();
    fleet.write(1, &[("a", Some("3"))]).await;
    let state = fleet.converged().await;
    let values: Vec<_> = ["a", "b", "c"].into_iter().map(|key| state[key].clone().unwrap()).collect();
    assert_eq!(values[1..], ["1", "2"]);
    let known = received(&fleet.regions[1].broker).unwrap();
    assert_eq!(
        (known.tail(Incarnation(2)), known.tail(Incarnation(1))),
        (first_offset(Incarnation(2)).plus(2), received(&fleet.regions[0].broker).unwrap().tail(Incarnation(1)))
    );
    assert!(known.tail(Incarnation(9)) > Offset::ZERO);
}

#[tokio::test]
async fn records_whose_story_is_lost_are_not_guessed_about() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.write(0, &[("a", Some("1"))]).await;
    fleet.restart(0, |story| fs::remove_file(story).unwrap()).await;
    fleet.index += 1;
    let refused = fleet.regions[0].broker.assign(fleet.assignment(0, &[])).await.unwrap_err();
    assert!(refused.to_string().contains("no story"), "{refused}");
    let answer = fleet.client(0).await.produce(TOPIC, 0, batch(BatchBuilder::new(), &[("b", Some("2"))])).await;
    assert_eq!(answer.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

#[tokio::test]
async fn what_is_in_quarantine_waits_for_a_person_who_knows_all_of_it() {
    let fleet = Fleet::start(2, ConflictPolicy::Quarantine).await;
    fleet.write(0, &[("k", Some("first"))]).await;
    fleet.write(1, &[("k", Some("second"))]).await;
    fleet.mesh();
    let standing = fleet.converged().await["k"].clone().unwrap();
    let broker = &fleet.regions[1].broker;
    let disputes = broker.disputes().await.unwrap();
    assert_eq!((disputes.len(), disputes[0].key_bytes.as_slice()), (1, &b"k"[..]));
    let [stands, other] = disputes[0].versions.as_slice() else { panic!("{disputes:?}") };
    assert_eq!(text(&stands.value), standing);
    let (at, key) = ((&TopicName::new(TOPIC).unwrap(), PartitionId(0)), b"k".to_vec());
    let ignorant = broker.settle_dispute(at, key.clone(), other.dot, vec![other.dot]).await;
    assert!(matches!(ignorant, Err(SettleFailure::Choice(_))), "{ignorant:?}");
    broker.settle_dispute(at, key, other.dot, vec![stands.dot, other.dot]).await.unwrap();
    let state = fleet.converged().await;
    assert_eq!(state["k"].as_deref(), Some(text(&other.value).as_str()));
    for region in &fleet.regions {
        assert_eq!(region.broker.disputes().await.unwrap(), []);
    }
    let told = fleet.regions[0].broker.conflicts(Offset::ZERO, 10).await.unwrap();
    assert!(told.conflicts.iter().all(|told| told.state == ConflictState::Quarantined), "{told:?}");
    assert!(!records(&fleet.client(0).await, CONFLICTS, Offset::ZERO).await.is_empty(), "clients may read them, too");
}

#[tokio::test]
async fn after_a_restart_only_what_is_not_settled_is_looked_at_again() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    let written: Vec<_> = (0..600).map(|n| (format!("k{n}"), format!("v{n}"))).collect();
    let records: Vec<_> = written.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
    fleet.write(0, &records).await;
    fleet.converged().await;
    fleet.keeps_a_mark(0).await;
    fleet.restart(0, |_| {}).await;
    fleet.tell().await;
    let replayed = |fleet: &Fleet| fleet.regions[0].broker.active_partitions()[0].replayed;
    assert!(replayed(&fleet) < 300, "{} of 600 records were looked at", replayed(&fleet));
    fleet.write(0, &[("k7", Some("one"))]).await;
    fleet.write(1, &[("k7", Some("two"))]).await;
    fleet.mesh();
    fleet.converged().await;
    let told = fleet.conflicts(0, 1).await;
    // A mark above the end of the log is none of it.
    let (bounds, first) = (fleet.bounds(0), first_offset(Incarnation(1)));
    let mut all = 0;
    fleet
        .restart(0, |story| {
            let tail = story_of(&story, Incarnation(1)).0.tail();
            all = tail.since(first);
            fs::write(story.with_file_name("settled"), bounds.encode(tail.plus(1))).unwrap();
        })
        .await;
    fleet.tell().await;
    assert!(all > 600 && replayed(&fleet) == all, "{} of {all}", replayed(&fleet));
    // The end of the log that it was taken of is lost: what another region wrote, which comes again.
    fleet.mesh();
    fleet.write(1, &[("last", Some("three"))]).await;
    let state = fleet.converged().await;
    fleet
        .restart(0, |story| {
            let tail = story_of(&story, Incarnation(1)).0.tail();
            fs::write(story.with_file_name("settled"), bounds.encode(tail)).unwrap();
            let length = fs::metadata(&story).unwrap().len();
            OpenOptions::new().write(true).open(&story).unwrap().set_len(length - 1).unwrap();
            fs::remove_file(story.parent().unwrap().with_file_name("high-watermarks")).unwrap();
        })
        .await;
    fleet.tell().await;
    assert_eq!(replayed(&fleet), all, "all but the last one");
    fleet.mesh();
    assert_eq!(fleet.converged().await, state);
    assert_eq!(fleet.conflicts(0, 1).await, told);
    assert_eq!(fleet.conflicts(1, 1).await, told);
}

#[tokio::test]
async fn a_reader_that_comes_from_another_region_is_told_that_its_place_is_none_here() {
    let fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(0, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]).await;
    fleet.converged().await;
    let (client, place) = (fleet.client(1).await, first_offset(Incarnation(1)).plus(1));
    let answer = client.fetch(TOPIC, 0, place.0).await;
    assert_eq!(answer.error_code, ErrorCode::OFFSET_OUT_OF_RANGE, "{answer:?}");
    let own = client.fetch(TOPIC, 0, first_offset(Incarnation(2)).plus(1).0).await;
    assert_eq!(own.error_code, ErrorCode::NONE, "{own:?}");
}
