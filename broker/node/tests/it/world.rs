//! Regions with a council that lives in memory: it decides about topics and grants, and tells every region.

use broker::{Broker, Config, ConfigChange, Council, CouncilError, Listeners, NewTopic, Ports};
use env::real::{SystemClock, SystemEntropy};
use env::{Clock, Entropy, PortFuture};
use model::{
    Action, Assignment, Coverage, Done, Grant, GrantState, GroupId, Incarnation, Opening, Order, OrderError,
    OwnershipEpoch, Pattern, ProtectionGroup, RegionAddress, RegionName, RunId, StepId, TopicId, TopicName, TopicSpec,
    TopicState,
};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a renewal lets an owner go on.
pub(crate) const LEASE: Duration = Duration::from_millis(600);

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub(crate) fn default_group() -> ProtectionGroup {
    ProtectionGroup::new("default").unwrap()
}

/// The grant of everything to `owner`.
pub(crate) fn grant(owner: &str, epoch: u32) -> Grant {
    Grant {
        group: default_group(),
        owner: region(owner),
        ownership_epoch: OwnershipEpoch(epoch),
        state: GrantState::Held,
        home: region("r1"),
        standbys: vec![region("r2")],
        coverage: Coverage { topics: vec![Pattern::Any], consumer_groups: vec![Pattern::Any] },
        openings: vec![],
        mode: model::ModeState::default(),
        active: None,
    }
}

struct Decided {
    index: u64,
    groups: Vec<Grant>,
    topics: Vec<TopicSpec>,
}

/// The council.
pub(crate) struct World {
    decided: Mutex<Decided>,
    /// Who is there, and whether its leases are renewed.
    regions: Mutex<Vec<Member>>,
    /// One change is told to everybody before the next.
    telling: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Member {
    name: RegionName,
    index: u16,
    broker: Broker,
    /// The others of its region.
    others: Vec<Broker>,
    renewed: bool,
}

impl World {
    /// Region r1 owns everything, and there are no topics.
    pub(crate) fn new() -> Arc<Self> {
        let decided = Decided { index: 1, groups: vec![grant("r1", 1)], topics: vec![] };
        let world = Arc::new(Self {
            decided: Mutex::new(decided),
            regions: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
        });
        tokio::spawn(renew(Arc::downgrade(&world)));
        world
    }

    /// Starts a region in `dir` and tells it what is decided.
    pub(crate) async fn start(self: &Arc<Self>, name: &str, dir: &Path) -> Broker {
        self.start_with(name, dir, |_| {}).await
    }

    pub(crate) async fn start_with(
        self: &Arc<Self>,
        name: &str,
        dir: &Path,
        change: impl FnOnce(&mut Config),
    ) -> Broker {
        let index = index_of(name);
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners { clients: any, gateways: any, internal: any };
        let mut config = Config::new(region(name), index, dir.to_owned(), listeners);
        config.disk_reserve = model::ByteCount(0);
        config.initial_rebalance_delay = Duration::from_millis(50);
        change(&mut config);
        let council = Arc::new(Seat(self.clone()));
        let ports = Ports { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), council };
        let broker = Broker::start(config, ports).await.unwrap();
        let member = Member { name: region(name), index, broker: broker.clone(), others: vec![], renewed: true };
        self.regions.lock().unwrap().push(member);
        self.tell().await;
        self.renew_once();
        broker
    }

    /// Stops a region in an orderly way and forgets it.
    pub(crate) async fn stop(&self, broker: Broker) {
        let name = broker.config().region.clone();
        self.regions.lock().unwrap().retain(|known| known.name != name);
        broker.shutdown().await;
    }

    /// Whether the leases of a region are renewed from now on.
    pub(crate) fn keep_leases(&self, name: &str, renewed: bool) {
        let mut regions = self.regions.lock().unwrap();
        regions.iter_mut().filter(|known| known.name.as_str() == name).for_each(|known| known.renewed = renewed);
        drop(regions);
        self.renew_once();
    }

    /// Decides, and tells every region.
    pub(crate) async fn decide(&self, change: impl FnOnce(&mut Vec<Grant>, &mut Vec<TopicSpec>)) {
        {
            let mut decided = self.decided.lock().unwrap();
            decided.index += 1;
            let Decided { groups, topics, .. } = &mut *decided;
            change(groups, topics);
        }
        self.tell().await;
    }

    /// Gives everything to `owner` under `epoch`.
    pub(crate) async fn give(&self, owner: &str, epoch: u32, openings: Vec<Opening>) {
        self.decide(|groups, _| *groups = vec![Grant { openings, ..grant(owner, epoch) }]).await;
        self.renew_once();
    }

    async fn tell(&self) {
        let _one_at_a_time = self.telling.lock().await;
        let regions = self.regions.lock().unwrap().clone();
        for known in &regions {
            known.broker.assign(self.assignment(&known.name)).await.unwrap();
        }
    }

    /// What a region is to be.
    pub(crate) fn assignment(&self, name: &RegionName) -> Assignment {
        let regions = self.regions.lock().unwrap().iter().map(address).collect();
        let decided = self.decided.lock().unwrap();
        Assignment {
            council_index: decided.index,
            region: name.clone(),
            incarnation: Incarnation(7),
            groups: decided.groups.clone(),
            topics: decided.topics.clone(),
            stopped: vec![],
            regions,
            gateway: Some("127.0.0.1:9092".to_owned()),
        }
    }

    fn renew_once(&self) {
        let until = SystemClock.boot().plus(LEASE);
        let regions = self.regions.lock().unwrap().clone();
        for known in regions.iter().filter(|known| known.renewed) {
            for held in known.broker.holdings().iter().filter(|held| held.owner) {
                known.broker.extend_lease(&held.group, held.obeyed, until);
            }
        }
    }

    pub(crate) fn topic(&self, name: &str) -> TopicSpec {
        let decided = self.decided.lock().unwrap();
        decided.topics.iter().find(|topic| topic.name.as_str() == name).unwrap().clone()
    }

    pub(crate) async fn create(&self, name: &str, partitions: i32) -> TopicId {
        let topic = NewTopic { name: TopicName::new(name).unwrap(), partitions, config: Default::default() };
        self.create_topic(topic, false).await.unwrap().id
    }

    pub(crate) async fn create_with(&self, topic: NewTopic) -> TopicId {
        self.create_topic(topic, false).await.unwrap().id
    }

    async fn create_topic(&self, topic: NewTopic, validate_only: bool) -> Result<TopicSpec, CouncilError> {
        let NewTopic { name, partitions, config } = topic;
        let id = TopicId(uuid::Uuid::from_u128(SystemEntropy.next_u128()));
        let (group, state) = (default_group(), TopicState::Live);
        let spec = TopicSpec { id, name, partitions, config, group, state, epochs_above: None };
        if self.decided.lock().unwrap().topics.iter().any(|known| known.name == spec.name) {
            return Err(CouncilError::Exists(spec.name));
        }
        if !validate_only {
            self.decide(|_, topics| topics.push(spec.clone())).await;
        }
        Ok(spec)
    }
}

/// Regions are `r1`, `r2`, ...
fn index_of(name: &str) -> u16 {
    name.strip_prefix('r').unwrap().parse::<u16>().unwrap() - 1
}

fn address(member: &Member) -> RegionAddress {
    let all = [&member.broker].into_iter().chain(&member.others);
    let internal: Vec<_> = all.map(|broker| broker.addresses().unwrap().internal.to_string()).collect();
    let listeners = member.broker.addresses().unwrap();
    RegionAddress {
        region: member.name.clone(),
        index: member.index,
        incarnation: Incarnation(7),
        clients: listeners.clients.to_string(),
        gateways: listeners.gateways.to_string(),
        internal: internal.join(","),
        council: "127.0.0.1:1".to_owned(),
        rest: "127.0.0.1:1".to_owned(),
    }
}

async fn renew(world: std::sync::Weak<World>) {
    while let Some(world) = world.upgrade() {
        world.renew_once();
        drop(world);
        tokio::time::sleep(LEASE / 6).await;
    }
}

/// The council as one broker sees it.
struct Seat(Arc<World>);

impl Council for Seat {
    fn create_topic(&self, topic: NewTopic, validate_only: bool) -> PortFuture<'_, Result<TopicSpec, CouncilError>> {
        Box::pin(self.0.create_topic(topic, validate_only))
    }

    fn delete_topic(&self, topic: TopicId) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(async move {
            self.0.decide(|_, topics| topics.retain(|known| known.id != topic)).await;
            Ok(())
        })
    }

    fn add_partitions(&self, topic: TopicId, total: i32, validate: bool) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(async move {
            if !validate {
                self.0.decide(|_, topics| find(topics, topic).partitions = total).await;
            }
            Ok(())
        })
    }

    fn alter_config(
        &self,
        topic: TopicId,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(async move {
            if validate_only {
                return Ok(());
            }
            self.0.decide(|_, topics| changes.into_iter().for_each(|change| alter(find(topics, topic), change))).await;
            Ok(())
        })
    }
}

fn find(topics: &mut [TopicSpec], id: TopicId) -> &mut TopicSpec {
    topics.iter_mut().find(|topic| topic.id == id).unwrap()
}

fn alter(topic: &mut TopicSpec, (name, value): ConfigChange) {
    match value {
        Some(value) => topic.config.insert(name, value),
        None => topic.config.remove(&name),
    };
}

/// An order of run `run`.
pub(crate) fn order(run: &str, step: &str, epoch: u32, action: Action) -> Order {
    Order {
        run: RunId::new(run).unwrap(),
        step: StepId::new(step).unwrap(),
        group: default_group(),
        ownership_epoch: OwnershipEpoch(epoch),
        action,
    }
}

/// Gives an order until it is carried out, as an executor does.
pub(crate) async fn carry_out(broker: &Broker, order: Order) -> Done {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match broker.order(order.clone()).await {
            Ok(done) => return done,
            Err(OrderError::NotReady { reason, .. }) => {
                assert!(tokio::time::Instant::now() < deadline, "not in time: {reason}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The commits of one consumer group in a region: (topic, partition, offset, metadata).
pub(crate) async fn commits(broker: &Broker, group: &str) -> Vec<(String, i32, i64, String)> {
    let (shelf, deadline) = (broker.region_shelf(), tokio::time::Instant::now() + Duration::from_secs(60));
    let held = loop {
        match shelf.commits(&default_group()).await {
            Ok(held) => break held,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "not in time: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let of = held.into_iter().filter(|commit| commit.consumer_group == GroupId::new(group));
    of.map(|commit| {
        (commit.topic.to_string(), commit.partition.0, commit.offset.map_or(-1, |offset| offset.0), commit.metadata)
    })
    .collect()
}

impl World {
    /// Starts a region of as many brokers as there are `dirs`, and tells it what is decided.
    pub(crate) async fn start_cluster(self: &Arc<Self>, name: &str, dirs: &[tempfile::TempDir]) -> Vec<Broker> {
        let peers: Vec<SocketAddr> = dirs.iter().map(|_| free_address().parse().unwrap()).collect();
        let mut brokers = Vec::new();
        for (slot, dir) in (0..).zip(dirs) {
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let listeners = Listeners { clients: any, gateways: any, internal: any };
            let mut config = Config::new(region(name), index_of(name), dir.path().to_owned(), listeners);
            config.slot = model::BrokerSlot(slot);
            config.controller = Some(peers[usize::from(slot)]);
            config.peers = (0..).map(model::BrokerSlot).zip(peers.iter().map(ToString::to_string)).collect();
            config.disk_reserve = model::ByteCount(0);
            let council = Arc::new(Seat(self.clone()));
            let ports = Ports { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), council };
            brokers.push(Broker::start(config, ports).await.unwrap());
        }
        self.speak_to(&brokers[0], brokers[1..].to_vec()).await;
        brokers
    }

    /// Speaks to `broker` for its region, which has `others`, from now on; returns when it has made real what is decided.
    pub(crate) async fn speak_to(&self, broker: &Broker, others: Vec<Broker>) {
        let name = broker.config().region.clone();
        self.tell_until_real(broker, &name).await;
        let index = index_of(name.as_str());
        let member = Member { name, index, broker: broker.clone(), others, renewed: true };
        self.regions.lock().unwrap().push(member);
    }

    /// The council, for one broker.
    pub(crate) fn seat(self: &Arc<Self>) -> Arc<dyn Council> {
        Arc::new(Seat(self.clone()))
    }

    async fn tell_until_real(&self, broker: &Broker, name: &RegionName) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while let Err(error) = broker.assign(self.assignment(name)).await {
            assert!(tokio::time::Instant::now() < deadline, "not in time: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// An address nobody listens at. It lies below the ports that the system gives to whoever connects.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() as u16).wrapping_mul(97).wrapping_add(step) % 18_000;
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap().to_string();
        }
    }
}
