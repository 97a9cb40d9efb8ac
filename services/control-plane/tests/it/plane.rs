//! A node put together as a process starts it.

use crate::bird::Bird;
use crate::platform::{eventually, founder};
use crate::region::World;
use catalog::command::{Founder, NewTopic};
use control_plane::council::{Config, Founding, Identity};
use control_plane::execute::failpoint::Failpoints;
use control_plane::ports::{Ports, Region as _};
use control_plane::rest::NoTelemetry;
use control_plane::{ControlPlane, PlaneConfig, PlaneError};
use env::real::{SystemClock, SystemEntropy};
use model::{TopicId, TopicName, TopicState};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use tempfile::TempDir;
use uuid::Uuid;

struct Region {
    world: Arc<World>,
    founder: Founder,
    founding: Founding,
    directory: TempDir,
}

impl Region {
    fn new() -> Self {
        let founder = founder("r1");
        let founding = Founding {
            cluster_id: Uuid::new_v4().to_string(),
            regions: vec![founder.clone()],
            witness: None,
            is_formed: false,
            canary: TopicId(Uuid::new_v4()),
        };
        Self { world: Arc::default(), founder, founding, directory: tempfile::tempdir().unwrap() }
    }

    fn rest(&self) -> SocketAddr {
        self.founder.addresses.rest.parse().unwrap()
    }

    async fn start(&self) -> Result<ControlPlane, PlaneError> {
        let config = PlaneConfig {
            council: Config {
                listen: self.founder.addresses.council.parse().unwrap(),
                identity: Identity::Region { index: 0, founder: self.founder.clone() },
                founding: self.founding.clone(),
                dir: self.directory.path().to_owned(),
            },
            rest: Some(self.rest()),
            repository: "shelf".into(),
            failpoints: Failpoints::none(),
            telemetry: Arc::new(NoTelemetry),
        };
        let ports = Ports {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            region: Some(self.world.book(&self.founder.region)),
            canary: Arc::new(Bird::default()),
            salvor: Arc::new(Bird::default()),
            archivist: None,
        };
        ControlPlane::start(config, ports).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_serves_stops_and_goes_on_where_it_was() {
    let mut region = Region::new();
    let plane = region.start().await.unwrap();
    assert_eq!(plane.rest_address(), Some(region.rest()));
    let topic = NewTopic {
        id: TopicId(Uuid::new_v4()),
        name: TopicName::new("orders").unwrap(),
        partitions: 2,
        config: Default::default(),
        state: TopicState::Live,
        epochs_above: None,
    };
    let created = eventually("the council is formed and takes a topic", || async {
        plane.topics().create(vec![topic.clone()]).await.ok()
    })
    .await;
    assert_eq!(created[0].as_ref().map(|spec| spec.id), Ok(topic.id));
    let status = region.world.region("r1").status(false).await.unwrap();
    let real = status.partitions.iter().filter(|partition| partition.topic_id == topic.id);
    assert_eq!(real.count(), 2, "the reconciler has handed it to the region before its maker is answered");
    plane.shutdown().await;
    TcpStream::connect(region.rest()).expect_err("nobody is answered any more");

    region.founding.is_formed = true;
    let plane = region.start().await.unwrap();
    eventually("the node knows what it knew", || async {
        plane.council().view().topics.named("orders").map(|known| assert_eq!(known.id, topic.id))
    })
    .await;
    plane.shutdown().await;
}

#[tokio::test]
async fn a_taken_port_is_named_before_anything_else_happens() {
    let region = Region::new();
    let _holder = TcpListener::bind(region.rest()).unwrap();
    let refused = region.start().await.err().unwrap();
    assert!(refused.to_string().contains(&region.rest().to_string()), "{refused}");
    assert_eq!(std::fs::read_dir(region.directory.path()).unwrap().count(), 0);
}
