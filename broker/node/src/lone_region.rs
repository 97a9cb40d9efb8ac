//! A region on its own, without a council: it owns all of its topics for good, and any of its brokers makes them.

use crate::launch::StartError;
use crate::{Broker, Config, ConfigChange, Council, CouncilError, NewTopic, Ports};
use broker_core::metadata::{Broker as Member, Command, Image, Placement, Topic, TopicDraft, replicas_wanted};
use env::{BootInstant, Clock, Entropy, PortFuture};
use model::{
    Coverage, Grant, GrantState, Incarnation, OwnershipEpoch, Pattern, ProtectionGroup, TopicId, TopicSpec, TopicState,
};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// The entry of the council that there is not: everything is said by it.
const ONLY_ENTRY: u64 = 1;
/// How long to wait before the region is founded again.
const RETRY: Duration = Duration::from_millis(200);

impl Broker {
    /// Starts a broker of a region that has no council. The region is founded when enough of its brokers are there.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start_alone(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        let council = Arc::new(LoneCouncil::default());
        let broker = Self::start(config, Ports { clock, entropy, council: council.clone() }).await?;
        let _ = council.0.set(Arc::downgrade(&broker.0));
        broker.spawn(broker.clone().found());
        broker.spawn(broker.clone().keep_everything());
        Ok(broker)
    }

    /// Founds the region, if it is not, and has this broker registered.
    async fn found(self) {
        let mut stop = self.0.stop.subscribe();
        while let Err(error) = self.found_once().await {
            tracing::debug!(%error, "the region is not founded yet");
            tokio::select! {
                () = sleep(RETRY) => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    async fn found_once(&self) -> Result<(), crate::ControlError> {
        let (region, incarnation) = (self.config().region.clone(), Incarnation(1));
        let grant = everything(self.config());
        let founding = vec![
            Command::Found { region, incarnation },
            Command::Obey { council_index: ONLY_ENTRY, grant },
            Command::Reflect { council_index: ONLY_ENTRY, regions: vec![], gateway: None },
        ];
        self.control().change(founding).await?;
        self.control().join().await
    }

    /// Nobody else can own anything.
    async fn keep_everything(self) {
        let (mut stop, mut images) = (self.0.stop.subscribe(), self.watch_image());
        let for_ever = BootInstant::after_boot(Duration::from_nanos(u64::MAX - 1));
        loop {
            let grant = everything(self.config());
            images.borrow_and_update();
            self.extend_lease(&grant.group, grant.ownership_epoch, for_ever);
            tokio::select! {
                changed = images.changed() => if changed.is_err() { return },
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }
}

fn everything(config: &Config) -> Grant {
    Grant {
        group: ProtectionGroup::new("default").expect("the name is a name"),
        owner: config.region.clone(),
        ownership_epoch: OwnershipEpoch(1),
        state: GrantState::Held,
        home: config.region.clone(),
        standbys: vec![],
        coverage: Coverage { topics: vec![Pattern::Any], consumer_groups: vec![Pattern::Any] },
        openings: vec![],
        mode: model::ModeState::default(),
        active: None,
    }
}

/// The region's metadata in the place of a council.
#[derive(Default)]
struct LoneCouncil(OnceLock<Weak<crate::broker::Inner>>);

impl LoneCouncil {
    fn broker(&self) -> Result<Broker, CouncilError> {
        let broker = self.0.get().and_then(Weak::upgrade).map(Broker);
        broker.ok_or_else(|| CouncilError::Unavailable("the broker is starting or stopping".to_owned()))
    }

    async fn create(&self, topic: NewTopic, validate_only: bool) -> Result<TopicSpec, CouncilError> {
        let broker = self.broker()?;
        let image = broker.image();
        if image.topic_named(topic.name.as_str()).is_some() {
            return Err(CouncilError::Exists(topic.name));
        }
        let draft = draft(&broker, &image, topic)?;
        let spec = spec(&draft);
        if validate_only {
            return Ok(spec);
        }
        change(&broker, Command::CreateTopic { council_index: Some(ONLY_ENTRY), topic: draft }).await?;
        match broker.image().topic(spec.id) {
            Some(_) => Ok(spec),
            None => Err(CouncilError::Exists(spec.name)),
        }
    }

    async fn delete(&self, topic: TopicId) -> Result<(), CouncilError> {
        change(&self.broker()?, Command::DeleteTopic { council_index: ONLY_ENTRY, topic }).await
    }

    async fn grow(&self, topic: TopicId, total: i32, validate_only: bool) -> Result<(), CouncilError> {
        let broker = self.broker()?;
        let image = broker.image();
        let known = known(&image, topic)?;
        let from = known.partition_count();
        if total <= from {
            return Err(CouncilError::Invalid(format!(
                "the topic has {from} partitions already; ask for more than that"
            )));
        }
        if validate_only {
            return Ok(());
        }
        let placed = Placement::of(&image, topic, replicas_wanted(&known.config), |_| true);
        let placement = placed.partitions(from, total);
        change(&broker, Command::AddPartitions { council_index: ONLY_ENTRY, topic, from, placement }).await
    }

    async fn configure(
        &self,
        topic: TopicId,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> Result<(), CouncilError> {
        let broker = self.broker()?;
        let image = broker.image();
        let known = known(&image, topic)?;
        let mut config = known.config.clone();
        for (name, value) in changes {
            match value {
                Some(value) => config.insert(name, value),
                None => config.remove(&name),
            };
        }
        if validate_only {
            return Ok(());
        }
        let (group, state) = (everything(broker.config()).group, known.state);
        change(&broker, Command::ConfigureTopic { council_index: ONLY_ENTRY, topic, group, config, state }).await
    }
}

fn known(image: &Image, topic: TopicId) -> Result<&Topic, CouncilError> {
    image.topic(topic).ok_or_else(|| CouncilError::Unknown(topic.to_string()))
}

/// What a topic becomes. Brokers that are away hold it too, and follow when they are back.
fn draft(broker: &Broker, image: &Image, topic: NewTopic) -> Result<TopicDraft, CouncilError> {
    let NewTopic { name, partitions, config } = topic;
    let id = TopicId(uuid::Uuid::from_u128(broker.0.entropy.next_u128()));
    let wanted = broker.config().broker_count().min(replicas_wanted(&config));
    let placed = Placement::of(image, id, wanted, |_: &Member| true);
    if placed.replicas() < wanted {
        let reason = format!("{wanted} replicas need as many brokers; {} have registered", placed.replicas());
        return Err(CouncilError::Unavailable(reason));
    }
    Ok(TopicDraft {
        id,
        name,
        group: Some(everything(broker.config()).group),
        config,
        state: TopicState::Live,
        epochs_above: None,
        placement: placed.partitions(0, partitions),
    })
}

fn spec(draft: &TopicDraft) -> TopicSpec {
    TopicSpec {
        id: draft.id,
        name: draft.name.clone(),
        partitions: draft.placement.len() as i32,
        config: draft.config.clone(),
        group: draft.group.clone().expect("a lone region's topics have its group"),
        state: draft.state,
        epochs_above: draft.epochs_above,
    }
}

/// Has `command` agreed on, and the leaders started that are due then.
async fn change(broker: &Broker, command: Command) -> Result<(), CouncilError> {
    let unavailable = |error: crate::ControlError| CouncilError::Unavailable(error.to_string());
    broker.control().change(vec![command]).await.map_err(unavailable)?;
    let image = broker.image();
    let due = image.brokers().map(|(slot, known)| (slot, known.session, image.starts_due(slot)));
    let due = due.filter(|(_, _, starts)| !starts.is_empty());
    let starts = due.map(|(broker, session, starts)| Command::StartLeaders { broker, session, starts });
    broker.control().change(starts.collect()).await.map(drop).map_err(unavailable)
}

impl Council for LoneCouncil {
    fn create_topic(&self, topic: NewTopic, validate_only: bool) -> PortFuture<'_, Result<TopicSpec, CouncilError>> {
        Box::pin(self.create(topic, validate_only))
    }

    fn delete_topic(&self, topic: TopicId) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(self.delete(topic))
    }

    fn add_partitions(
        &self,
        topic: TopicId,
        total: i32,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(self.grow(topic, total, validate_only))
    }

    fn alter_config(
        &self,
        topic: TopicId,
        changes: Vec<ConfigChange>,
        validate_only: bool,
    ) -> PortFuture<'_, Result<(), CouncilError>> {
        Box::pin(self.configure(topic, changes, validate_only))
    }
}
