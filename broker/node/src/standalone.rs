//! A broker alone: no council, no quorum, topics as given. For tests of the data plane.

use crate::doors::Doors;
use crate::replica::{Crossing, Gate, Leadership, Replicas};
use crate::{Broker, Config, Ports};
use broker_core::metadata::{Addresses, Answer, Boot, Command, Image, Refusal, Reign, Role, Started, TopicDraft};
use env::PortFuture;
use model::{
    Coverage, Grant, GrantState, Incarnation, LeaderEpoch, OwnershipEpoch, Pattern, ProducerId, ProtectionGroup,
    TopicId, TopicName, TopicState,
};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::producer_ids::{ProducerIdBlocks, Unavailable};

/// A topic of a broker alone.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions.
    pub partitions: usize,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

/// What is done to the only group's lease and leaders, in place of a council.
#[derive(Clone)]
pub struct Standalone {
    /// The broker.
    pub broker: Broker,
    gate: Arc<Gate>,
}

impl Topic {
    /// A topic with Kafka's defaults.
    ///
    /// # Panics
    /// When the name is none.
    pub fn new(name: &str, partitions: usize) -> Self {
        Self { name: TopicName::new(name).expect("a topic name"), partitions, config: BTreeMap::new() }
    }

    /// The same with one entry of its configuration set.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.config.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Follows from its name, so that the broker finds it again.
    pub fn id(&self) -> TopicId {
        let mix = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_01b3) ^ (hash >> 64);
        TopicId(uuid::Uuid::from_u128(self.name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u128 << 17, mix) | 1))
    }
}

impl Standalone {
    /// Starts a broker that owns `topics` and needs no lease.
    ///
    /// # Errors
    /// When a port is taken or a log cannot be opened.
    pub async fn start(config: Config, ports: Ports, topics: &[Topic]) -> io::Result<Self> {
        let doors = Doors::bind(&config.listeners()).await?;
        let addresses = doors.addresses()?;
        let broker = Broker::idle(config, ports)?;
        let _ = broker.0.addresses.set(addresses);
        let standalone = Self { broker: broker.clone(), gate: Gate::free() };
        let (topics, starting) = (topics.to_vec(), standalone.clone());
        let started = tokio::task::spawn_blocking(move || starting.hold(&topics));
        started.await.map_err(io::Error::other)??;
        broker.0.producer_ids.take_from(Arc::new(Counter(AtomicI64::new(broker.0.clock.now().0))));
        doors.open(&broker)?;
        broker.keep_up();
        Ok(standalone)
    }

    /// Closes everything in an orderly way.
    pub async fn stop(self) {
        self.broker.close_storage().await;
    }

    /// Lets the lease of all topics lapse, now and for good.
    pub fn lapse(&self) {
        self.gate.end();
    }

    /// Makes every partition a copy of region `owner`'s.
    ///
    /// # Panics
    /// When the region already belongs to somebody else.
    pub fn demote(&self, owner: &str) {
        let mut image = Image::clone(&self.broker.image());
        let owner = model::RegionName::new(owner).expect("a region name");
        let command = Command::Obey { council_index: 2, grant: Grant { owner, ..grant(&self.broker, 2) } };
        image.apply(command).expect("a later grant");
        let reflect = Command::Reflect { council_index: 2, regions: vec![], gateway: Some("127.0.0.1:9092".into()) };
        image.apply(reflect).expect("a later entry");
        self.broker.0.image.send_replace(Arc::new(image));
        for partition in self.broker.0.partitions.held().partitions() {
            partition.lead_copy(model::CopyTerm(1), false, &Replicas::alone(), &model::ModeState::default());
        }
        self.broker.0.partitions.note_change();
    }

    /// How far the first partition of a topic is on disk.
    ///
    /// # Panics
    /// When there is no such topic.
    pub fn flushed(&self, topic: TopicId) -> i64 {
        let held = self.broker.0.partitions.held();
        held.partition(topic, model::PartitionId(0)).expect("a topic of this broker").marks().flushed.0
    }

    /// Makes `standbys` the regions that keep copies of everything.
    ///
    /// # Panics
    /// When a name is none, or the region obeys another grant by now.
    pub fn copied_to(&self, standbys: &[&str]) {
        let mut image = Image::clone(&self.broker.image());
        let standbys = standbys.iter().map(|name| model::RegionName::new(name).expect("a region name")).collect();
        let command = Command::Obey { council_index: 2, grant: Grant { standbys, ..grant(&self.broker, 1) } };
        image.apply(command).expect("the same grant with other standbys");
        self.broker.0.image.send_replace(Arc::new(image));
    }

    /// Makes this region the owner under `ownership_epoch`, every partition behind a hole of `distance` offsets.
    ///
    /// # Errors
    /// When a partition cannot be led.
    ///
    /// # Panics
    /// When the epoch was obeyed before.
    pub fn promote(&self, ownership_epoch: u32, distance: i64) -> io::Result<()> {
        let mut image = Image::clone(&self.broker.image());
        let index = u64::from(ownership_epoch) + 1;
        let command = Command::Obey { council_index: index, grant: grant(&self.broker, ownership_epoch) };
        image.apply(command).expect("a later grant");
        self.broker.0.image.send_replace(Arc::new(image));
        let epoch = LeaderEpoch::of(OwnershipEpoch(ownership_epoch), 0).map_err(io::Error::other)?;
        for partition in self.broker.0.partitions.held().partitions() {
            let common_end = partition.marks().tail;
            let crossing = Some(Crossing { common_end, base: common_end.plus(distance) });
            let leadership = Leadership {
                epoch,
                gate: self.gate.clone(),
                crossing,
                jumps: false,
                replicas: Replicas::alone(),
                mode: Default::default(),
                active: None,
            };
            partition.lead(&leadership).map_err(io::Error::other)?;
        }
        self.broker.0.partitions.note_change();
        Ok(())
    }

    fn hold(&self, topics: &[Topic]) -> io::Result<()> {
        let broker = &self.broker;
        let (image, started) = image(broker, topics).map_err(io::Error::other)?;
        if let Some(failed) =
            broker.hold_topics(&image, &image.topics().map(|topic| topic.id).collect()).into_iter().next()
        {
            return Err(io::Error::other(failed));
        }
        broker.0.image.send_replace(Arc::new(image));
        for Started { topic, partition, role } in started {
            let held = broker.0.partitions.held();
            let Some(partition) = held.partition(topic, partition) else { continue };
            let Role::Owner { leader_epoch } = role else { continue };
            // Nothing but the logs remembers how often the broker was started.
            let epoch = LeaderEpoch(leader_epoch.0.max(partition.last_epoch().0 + 1));
            let (gate, replicas) = (self.gate.clone(), Replicas::alone());
            let leadership = Leadership {
                epoch,
                gate,
                crossing: None,
                jumps: false,
                replicas,
                mode: Default::default(),
                active: None,
            };
            partition.lead(&leadership).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn grant(broker: &Broker, epoch: u32) -> Grant {
    Grant {
        group: ProtectionGroup::new("default").expect("a group name"),
        owner: broker.config().region.clone(),
        ownership_epoch: OwnershipEpoch(epoch),
        state: GrantState::Held,
        home: broker.config().region.clone(),
        standbys: vec![],
        coverage: Coverage { topics: vec![Pattern::Any], consumer_groups: vec![Pattern::Any] },
        openings: vec![],
        mode: model::ModeState::default(),
        active: None,
    }
}

/// The metadata of a region that has these topics, and the leaderships that were started in it.
fn image(broker: &Broker, topics: &[Topic]) -> Result<(Image, Vec<Started>), Refusal> {
    let (config, mut image) = (broker.config(), Image::default());
    image.apply(Command::Found { region: config.region.clone(), incarnation: Incarnation(1) })?;
    let addresses = broker.addresses().map_or_else(Addresses::default, |at| Addresses {
        clients: at.clients.to_string(),
        gateways: at.gateways.to_string(),
        internal: at.internal.to_string(),
    });
    let (slot, location) = (config.slot, config.location.clone());
    let incarnation = Incarnation(1);
    image.apply(Command::RegisterBroker {
        slot,
        incarnation,
        addresses,
        location,
        desk: false,
        boot: Boot::default(),
    })?;
    let session = image.broker(slot).expect("it was registered").session;
    image.apply(Command::Unfence { reign: Reign::default(), broker: slot, session })?;
    image.apply(Command::Obey { council_index: 1, grant: grant(broker, 1) })?;
    image.apply(Command::Reflect { council_index: 1, regions: vec![], gateway: None })?;
    for topic in topics {
        let draft = TopicDraft {
            id: topic.id(),
            name: topic.name.clone(),
            group: Some(grant(broker, 1).group),
            config: topic.config.clone(),
            state: TopicState::Live,
            epochs_above: None,
            placement: vec![vec![config.slot]; topic.partitions],
        };
        image.apply(Command::CreateTopic { council_index: Some(1), topic: draft })?;
    }
    let starts = image.starts_due(config.slot);
    let Answer::Started(started) = image.apply(Command::StartLeaders { broker: config.slot, session, starts })? else {
        unreachable!("leaderships are answered with what was started")
    };
    Ok((image, started.into_iter().collect::<Result<_, _>>()?))
}

/// Producer ids from the start time on: nobody else gives any out here.
struct Counter(AtomicI64);

impl ProducerIdBlocks for Counter {
    fn reserve(&self) -> PortFuture<'_, Result<(ProducerId, i64), Unavailable>> {
        let count = model::limits::PRODUCER_ID_BLOCK;
        let first = self.0.fetch_add(count, Ordering::Relaxed);
        Box::pin(async move { Ok((ProducerId(first), count)) })
    }
}
