//! A platform of council nodes in this process.

use crate::bird::Bird;
use crate::region::{Shelf, World};
use catalog::command::{Addresses, CreateTopics, Founder, NewTopic, RecordDiverged};
use catalog::view::Group;
use catalog::{Answer, View};
use control_plane::automation::{Automation, Options};
use control_plane::council::{Config, Council, Founding, Identity};
use control_plane::execute::failpoint::Failpoints;
use control_plane::ports::{Ports, Region};
use dr_planner::report::Report;
use dr_planner::run::{Run, State};
use env::real::{SystemClock, SystemEntropy};
use model::{ProtectionGroup, RegionName, RunId, TopicId, TopicName, TopicSpec, TopicState};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Platform {
    pub(crate) world: Arc<World>,
    pub(crate) bird: Arc<Bird>,
    pub(crate) damage: Arc<Mutex<Option<String>>>,
    pub(crate) hold: Arc<tokio::sync::RwLock<()>>,
    pub(crate) nodes: BTreeMap<String, Node>,
    founding: Founding,
    directory: TempDir,
}

pub(crate) struct Node {
    pub(crate) council: Council,
    pub(crate) automation: Automation,
    feeders: JoinSet<()>,
}

/// Waits until `found` finds something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut found: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(25)).await;
    }
}

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub(crate) fn default_group() -> ProtectionGroup {
    ProtectionGroup::new("default").unwrap()
}

/// An address nobody listens at. It lies below the ports that the system gives to whoever connects.
fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() as u16).wrapping_mul(97).wrapping_add(step) % 18_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap().to_string();
        }
    }
}

pub(crate) fn founder(name: &str) -> Founder {
    let addresses = Addresses {
        clients: free_address(),
        gateways: free_address(),
        internal: free_address(),
        council: free_address(),
        rest: free_address(),
    };
    Founder { region: region(name), disk_id: format!("disk-{name}-{}", Uuid::new_v4()), addresses }
}

impl Platform {
    /// Regions `r1`, `r2`, … and the group `default` at `r1`.
    pub(crate) async fn start(regions: usize) -> Self {
        Self::start_with(regions, |_| Failpoints::none()).await
    }

    pub(crate) async fn start_with(regions: usize, failpoints: impl Fn(&str) -> Failpoints) -> Self {
        let names: Vec<_> = (1..=regions).map(|n| format!("r{n}")).collect();
        let founding = Founding {
            cluster_id: Uuid::new_v4().to_string(),
            regions: names.iter().map(|name| founder(name)).collect(),
            witness: None,
            is_formed: false,
            canary: TopicId(Uuid::new_v4()),
        };
        let mut platform = Self {
            world: Arc::default(),
            bird: Arc::default(),
            damage: Arc::default(),
            hold: Arc::default(),
            nodes: BTreeMap::new(),
            founding,
            directory: tempfile::tempdir().unwrap(),
        };
        for name in &names {
            platform.start_node(name, failpoints(name)).await;
        }
        platform.founding.is_formed = true;
        eventually("the platform is formed", || async { (!platform.view().groups.is_empty()).then_some(()) }).await;
        platform
    }

    pub(crate) async fn start_node(&mut self, name: &str, failpoints: Failpoints) {
        let index = self.founding.regions.iter().position(|founder| founder.region.as_str() == name).unwrap();
        let founder = self.founding.regions[index].clone();
        let book = self.world.book(&founder.region);
        let shelf = Shelf {
            book: book.clone(),
            world: self.world.clone(),
            damage: self.damage.clone(),
            hold: self.hold.clone(),
        };
        let ports = Ports {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            region: Some(book.clone()),
            canary: self.bird.clone(),
            salvor: self.bird.clone(),
            archivist: Some(Arc::new(shelf)),
        };
        let config = Config {
            listen: founder.addresses.council.parse().unwrap(),
            identity: Identity::Region { index: index as u16, founder: founder.clone() },
            founding: self.founding.clone(),
            dir: self.directory.path().join(name),
        };
        let council = Council::start(config, ports.clone()).await.unwrap();
        let options = Options { repository: "shelf".into(), failpoints };
        let automation = Automation::start(&council, &ports, options);
        let mut feeders = JoinSet::new();
        feeders.spawn(assign(council.clone(), book.clone()));
        feeders.spawn(report(council.clone(), book));
        self.world.down.lock().unwrap().remove(&founder.region);
        self.nodes.insert(name.to_owned(), Node { council, automation, feeders });
    }

    /// The disk of a node that was killed is lost; the next one in its place is empty.
    pub(crate) fn replace_disk(&mut self, name: &str) {
        let founder = self.founding.regions.iter_mut().find(|founder| founder.region.as_str() == name).unwrap();
        founder.disk_id = format!("disk-{name}-{}", Uuid::new_v4());
        self.world.region(name).erase();
        std::fs::remove_dir_all(self.directory.path().join(name)).unwrap();
    }

    /// The node, and the region behind it, are gone.
    pub(crate) async fn kill(&mut self, name: &str) {
        let node = self.nodes.remove(name).unwrap();
        let Node { council, automation, mut feeders } = node;
        self.world.down.lock().unwrap().insert(region(name), Instant::now());
        drop(automation);
        feeders.abort_all();
        while feeders.join_next().await.is_some() {}
        council.shutdown().await;
    }

    pub(crate) async fn shutdown(mut self) {
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            self.kill(&name).await;
        }
    }

    /// Makes somebody else than `unwanted` lead.
    pub(crate) async fn lead_elsewhere(
        &mut self,
        unwanted: &[&str],
        failpoints: impl Fn(&str) -> Failpoints,
    ) -> String {
        loop {
            let leader = self.leader().await;
            if !unwanted.contains(&leader.as_str()) {
                return leader;
            }
            self.kill(&leader).await;
            // The others have elected one before it is back.
            self.leader().await;
            self.start_node(&leader, failpoints(&leader)).await;
        }
    }

    pub(crate) async fn leader(&self) -> String {
        eventually("somebody leads", || async {
            let leading = self.nodes.iter().find(|(_, node)| node.council.leads());
            let (name, node) = leading?;
            node.council.confirm_leadership().await.ok().map(|_| name.clone())
        })
        .await
    }

    /// The term of the council as node `name` knows it.
    pub(crate) fn term(&self, name: &str) -> u64 {
        self.nodes[name].council.leadership().borrow().term
    }

    pub(crate) fn any(&self) -> &Node {
        self.nodes.values().next().unwrap()
    }

    /// The node that has come furthest.
    pub(crate) fn newest(&self) -> &Node {
        self.nodes.values().max_by_key(|node| node.council.reader().applied_index()).unwrap()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.newest().council.view()
    }

    pub(crate) fn group(&self) -> Group {
        self.view().group(&default_group()).unwrap().clone()
    }

    /// Waits until the leader knows of all regions and links.
    pub(crate) async fn settled(&self) {
        let regions = self.nodes.len();
        eventually("the leader sees every region serve", || async {
            let picture = self.any().automation.recovery().picture().await.ok()?;
            let served = picture.inventory.is_served(&default_group());
            let seen = picture.inventory.regions.len() >= regions;
            let links = picture.inventory.links.len() + 1 >= regions;
            let serving = picture.regions.iter().filter(|region| self.nodes.contains_key(region.region.as_str()));
            let mut serving = serving.map(|region| region.detection == dr_planner::health::Detection::Serving);
            (served && seen && links && (regions == 1 || serving.all(|serves| serves))).then_some(())
        })
        .await;
    }

    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> TopicSpec {
        let topic = NewTopic {
            id: TopicId(Uuid::new_v4()),
            name: TopicName::new(name).unwrap(),
            partitions,
            config: BTreeMap::new(),
            state: TopicState::Live,
            epochs_above: None,
        };
        match self.any().council.propose("test", CreateTopics { topics: vec![topic] }).await {
            Ok(Answer::Topics { mut outcomes }) => outcomes.remove(0).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the run has ended, and says how.
    pub(crate) async fn ended(&self, run: &RunId) -> State {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let summary = self.newest().council.reader().run_summary(run).await.unwrap();
            if let Some(state) = summary.map(|summary| summary.state).filter(|state| state.is_terminal()) {
                return state;
            }
            assert!(Instant::now() < deadline, "the run has not ended within {PATIENCE:?}: {:?}", self.run(run).await);
            sleep(Duration::from_millis(25)).await;
        }
    }

    pub(crate) async fn run(&self, run: &RunId) -> Run {
        self.newest().council.reader().run(run).await.unwrap().unwrap()
    }

    /// The one run there is or was.
    pub(crate) async fn only_run(&self) -> RunId {
        eventually("a run begins", || async {
            let runs = self.newest().council.reader().runs(None, catalog::reader::Page::default()).await.unwrap();
            assert!(runs.items.len() < 2, "{:?}", runs.items);
            runs.items.first().map(|run| run.id.clone())
        })
        .await
    }

    pub(crate) async fn report(&self, run: &RunId, wanted: impl Fn(&Report) -> bool) -> Report {
        eventually("the report is as it should be", || async {
            let stored = self.newest().council.reader().report(run).await.unwrap();
            stored.map(|stored| stored.report).filter(|report| wanted(report))
        })
        .await
    }
}

/// Hands every newer assignment to the region.
async fn assign(council: Council, book: Arc<crate::region::Book>) {
    let mut views = council.watch_view();
    loop {
        let assignment = views.borrow_and_update().assignment(&book.name);
        if let Some(assignment) = assignment {
            book.assign(assignment).await.unwrap();
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the council what the region archived.
async fn report(council: Council, book: Arc<crate::region::Book>) {
    loop {
        let tails = book.status(false).await.unwrap().diverged;
        if !tails.is_empty() {
            let record = RecordDiverged { region: book.name.clone(), tails: tails.clone() };
            if council.propose("test", record).await.is_ok() {
                book.acknowledge(tails, vec![]).await.unwrap();
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}
