//! One broker with a few topics and nothing around it, to measure the data plane by itself:
//!
//! ```text
//! cargo run --release -p broker --example alone -- DATA_DIR PORT os|ack TOPIC:PARTITIONS ...
//! ```

use broker::standalone::{Standalone, Topic};
use broker::{Config, ConfigChange, Council, CouncilError, Flush, Listeners, NewTopic, Ports};
use env::PortFuture;
use env::real::{SystemClock, SystemEntropy};
use model::{ProtectionGroup, RegionName, TopicId, TopicSpec, TopicState};
use std::net::SocketAddr;
use std::sync::Arc;

/// Says of every topic that it is made: those that were given are there.
struct Given;

fn refused<T>() -> PortFuture<'static, Result<T, CouncilError>> {
    Box::pin(async { Err(CouncilError::Refused("topics are given when the broker starts".into())) })
}

impl Council for Given {
    fn create_topic(&self, topic: NewTopic, _: bool) -> PortFuture<'_, Result<TopicSpec, CouncilError>> {
        let given = Topic::new(topic.name.as_str(), 1);
        let spec = TopicSpec {
            id: given.id(),
            name: topic.name,
            partitions: topic.partitions,
            config: topic.config,
            group: ProtectionGroup::new("default").expect("a group name"),
            state: TopicState::Live,
            epochs_above: None,
        };
        Box::pin(async { Ok(spec) })
    }

    fn delete_topic(&self, _: TopicId) -> PortFuture<'_, Result<(), CouncilError>> {
        refused()
    }

    fn add_partitions(&self, _: TopicId, _: i32, _: bool) -> PortFuture<'_, Result<(), CouncilError>> {
        refused()
    }

    fn alter_config(&self, _: TopicId, _: Vec<ConfigChange>, _: bool) -> PortFuture<'_, Result<(), CouncilError>> {
        refused()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, port, flush, topics @ ..] = &args[..] else { return Err("DATA_DIR PORT os|ack TOPIC:PARTITIONS".into()) };
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let listeners = Listeners { clients: at(port.parse()?), gateways: at(0), internal: at(0) };
    let mut config = Config::new(RegionName::new("r1")?, 0, dir.into(), listeners);
    config.flush = if flush == "os" { Flush::Os } else { Flush::BeforeAck };
    let topics = topics.iter().map(|topic| {
        let (name, partitions) = topic.split_once(':').ok_or("TOPIC:PARTITIONS is expected")?;
        Ok(Topic::new(name, partitions.parse()?))
    });
    let topics: Vec<_> = topics.collect::<Result<_, Box<dyn std::error::Error>>>()?;
    let ports = Ports { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), council: Arc::new(Given) };
    let broker = Standalone::start(config, ports, &topics).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    broker.stop().await;
    Ok(())
}
