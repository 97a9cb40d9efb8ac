use crate::api::fetch::Sessions;
use crate::api::metadata::BeingMade;
use crate::control::{Control, Gates};
use crate::controller::Office;
use crate::data_plane::DataPlane;
use crate::facts::Facts;
use crate::groups::Groups;
use crate::heart::{Footing, Heart};
use crate::leaders::LeaderBoard;
use crate::log_dirs::LogDirs;
use crate::partitions::Partitions;
use crate::ports::{Council, Links, Ports};
use crate::producer_ids::ProducerIds;
use crate::quotas::Quotas;
use crate::region::Newest;
use crate::replica::{Flusher, News, Storage};
use crate::replication::{Fetchers, Followers};
use crate::waiting::Waiting;
use crate::{Config, Listeners};
use broker_core::group::Settings;
use broker_core::metadata::Image;
use env::{Clock, Entropy};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// One broker. Clones are the same broker.
#[derive(Clone)]
pub struct Broker(pub(crate) Arc<Inner>);

/// What all parts of a broker share.
///
/// The control side (controller, assignments, orders, groups) writes `image`, the gates of leases and who leads; the
/// storage side (produce, fetch, links) only reads those.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) council: Arc<dyn Council>,
    /// Set when the mirror is there.
    pub(crate) links: OnceLock<Arc<dyn Links>>,
    /// The council's newest assignment this broker has heard of.
    pub(crate) newest: Newest,
    /// The region's metadata as this broker has made it real.
    pub(crate) image: watch::Sender<Arc<Image>>,
    /// The partitions on this broker's disk.
    pub(crate) partitions: Partitions,
    /// What writes to the groups this region owns go through.
    pub(crate) gates: Gates,
    /// What the council has to hear of.
    pub(crate) facts: Facts,
    /// The consumer groups.
    pub(crate) groups: Groups,
    /// Who changes the metadata, once that has started.
    pub(crate) control: OnceLock<Control>,
    /// What it knows of its membership of the region.
    pub(crate) heart: Heart,
    /// What its controller knows of all brokers, while it is the active one.
    pub(crate) office: Office,
    /// What is fetched from other brokers of the region.
    pub(crate) fetchers: Fetchers,
    /// Who of them fetches from here.
    pub(crate) followers: Followers,
    /// What they share: clock, disks, flusher.
    pub(crate) storage: Arc<Storage>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) fetch_sessions: Sessions,
    /// The fetches that wait for records.
    pub(crate) waiting: Waiting,
    pub(crate) being_made: BeingMade,
    /// How much clients may use.
    pub(crate) quotas: Arc<Quotas>,
    /// What gateways are told of who leads what.
    pub(crate) leaders: LeaderBoard,
    /// Turns true when the broker stops.
    pub(crate) stop: watch::Sender<bool>,
    /// Where connections are served.
    pub(crate) data_plane: DataPlane,
    /// Held while old records are looked for.
    pub(crate) cleaning: tokio::sync::Mutex<()>,
    /// What runs until then.
    pub(crate) tasks: Mutex<JoinSet<()>>,
    /// The number of this process, drawn at its start; never 0.
    pub(crate) process: u64,
    /// Where it listens, once it does.
    pub(crate) addresses: OnceLock<Listeners>,
}

impl Broker {
    /// A broker that does not listen yet and knows of no topic. Its directories are there afterwards.
    ///
    /// # Errors
    /// When the system gives no directory or thread.
    pub(crate) fn idle(config: Config, ports: Ports) -> io::Result<Self> {
        let dir = config.diverged_dir();
        std::fs::create_dir_all(&dir)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot make {}: {error}", dir.display())))?;
        raise_open_files();
        let failures = Arc::default();
        let storage = Storage {
            clock: ports.clock.clone(),
            flusher: Flusher::start()?,
            dirs: LogDirs::open(&config, &*ports.entropy, &failures)?,
            failures,
            node_id: config.node_id(),
            replica_lag_max: config.replica_lag_max,
            isr_news: News::default(),
            conflict_news: tokio::sync::Notify::new(),
            epoch_changes: AtomicU64::new(0),
        };
        let facts = Facts::open(&config.data_dir)?;
        let quotas = Quotas::new(ports.clock.clone());
        let group_settings = config.group_settings();
        let process = (ports.entropy.next_u128() as u64).max(1);
        Ok(Self(Arc::new(Inner {
            storage: Arc::new(storage),
            leaders: LeaderBoard::new(&*ports.clock),
            clock: ports.clock,
            entropy: ports.entropy,
            council: ports.council,
            links: OnceLock::new(),
            newest: Newest::default(),
            image: watch::Sender::default(),
            partitions: Partitions::default(),
            gates: Gates::on(if config.is_clustered() { Footing::lost() } else { Footing::firm() }),
            heart: Heart::default(),
            office: Office::default(),
            control: OnceLock::new(),
            fetchers: Fetchers::default(),
            followers: Followers::default(),
            facts,
            groups: Groups::new(group_settings),
            producer_ids: ProducerIds::default(),
            fetch_sessions: Sessions::default(),
            waiting: Waiting::default(),
            being_made: BeingMade::default(),
            quotas,
            stop: watch::Sender::new(false),
            data_plane: DataPlane::start()?,
            cleaning: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
            addresses: OnceLock::new(),
            process,
            config,
        })))
    }

    /// Tells the broker who fetches what its copies lack. The first one stays.
    pub fn set_links(&self, links: Arc<dyn Links>) {
        let _ = self.0.links.set(links);
    }

    /// The region's metadata as of now.
    pub fn image(&self) -> Arc<Image> {
        self.0.image.borrow().clone()
    }

    /// The region's metadata, now and later.
    pub fn watch_image(&self) -> watch::Receiver<Arc<Image>> {
        self.0.image.subscribe()
    }

    /// Where it listens; `None` before it does.
    pub fn addresses(&self) -> Option<Listeners> {
        self.0.addresses.get().copied()
    }

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// How groups are coordinated that do not say.
    pub(crate) fn group_settings(&self) -> Settings {
        self.config().group_settings()
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broker {{ {} {} }}", self.0.config.region, self.0.config.slot.0)
    }
}

/// Every segment is an open file. The system lets a process have more than it begins with, if it asks.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        if let Err(error) = raised {
            tracing::warn!(%error, ?limit, "the number of open files cannot be raised; many partitions may not be opened");
        }
    }
}
