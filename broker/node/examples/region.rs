//! One region with a council in memory, for clients to be tried on:
//!
//! ```text
//! cargo run -p broker --example region -- DATA_DIR PORT [DELAY_MS]
//! ```
//!
//! The clients' listener is at PORT, the gateways' behind it, the internal one behind that. New groups wait DELAY_MS
//! for more members, 3000 unless said otherwise.

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/world.rs"]
mod world;

use std::path::PathBuf;
use std::time::Duration;
use world::World;

#[tokio::main]
async fn main() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("the first argument is the data directory"));
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).expect("the second argument is a port");
    let delay: u64 = arguments.next().map_or(3000, |delay| delay.parse().expect("the third argument is a time"));
    let world = World::new();
    let broker = world.start_with("r1", &dir, |config| {
        config.clients.set_port(port);
        config.gateways.set_port(port + 1);
        config.internal.set_port(port + 2);
        config.initial_rebalance_delay = Duration::from_millis(delay);
    });
    let broker = broker.await;
    println!("{:?}", broker.addresses().expect("it listens"));
    tokio::signal::ctrl_c().await.expect("signals can be waited for");
    world.stop(broker).await;
}
