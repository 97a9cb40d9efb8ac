//! One broker of a region of several and nothing around it, to measure and to break replication by itself:
//!
//! ```text
//! cargo run --release -p broker --example member -- DATA_DIR FIRST_PORT SLOT BROKERS os|ack
//! ```
//!
//! The broker in slot n listens from FIRST_PORT + 10 n on: for clients, gateways, other brokers, controllers.

use broker::{Broker, Config, Flush, Listeners};
use env::real::{SystemClock, SystemEntropy};
use model::{BrokerSlot, RegionName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

fn address(first_port: u16, slot: u16, listener: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], first_port + 10 * slot + listener))
}

fn config(arguments: &[String]) -> Option<Config> {
    let [dir, first_port, slot, brokers, flush] = arguments else { return None };
    let (first_port, slot, brokers) = (first_port.parse().ok()?, slot.parse().ok()?, brokers.parse::<u16>().ok()?);
    let at = |listener| address(first_port, slot, listener);
    let listeners = Listeners { clients: at(0), gateways: at(1), internal: at(2) };
    let mut config = Config::new(RegionName::new("r1").ok()?, 0, dir.into(), listeners);
    config.slot = BrokerSlot(slot);
    config.controller = Some(at(3));
    let peer = |slot| (BrokerSlot(slot), address(first_port, slot, 3).to_string());
    config.peers = (0..brokers).map(peer).collect();
    config.flush = if flush == "os" { Flush::Os } else { Flush::BeforeAck };
    config.initial_rebalance_delay = Duration::ZERO;
    Some(config)
}

#[tokio::main]
async fn main() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let config = config(&arguments).expect("usage: member DATA_DIR FIRST_PORT SLOT BROKERS os|ack");
    let broker = Broker::start_alone(config, Arc::new(SystemClock), Arc::new(SystemEntropy)).await;
    let broker = broker.expect("the broker starts");
    println!("{:?}", broker.addresses());
    std::future::pending::<()>().await;
}
