//! One region with a council in memory, for clients to be tried on:
//!
//! ```text
//! cargo run -p broker --example region -- DATA_DIR PORT
//! ```
//!
//! The clients' listener is at PORT, the gateways' behind it, the internal one behind that.

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/world.rs"]
mod world;

use std::path::PathBuf;
use world::World;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("the first argument is the data directory"));
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).expect("the second argument is a port");
    let world = World::new();
    let broker = world.start_with("r1", &dir, |config| {
        config.clients.set_port(port);
        config.gateways.set_port(port + 1);
        config.internal.set_port(port + 2);
    });
    let broker = broker.await;
    println!("{:?}", broker.addresses().expect("it listens"));
    tokio::signal::ctrl_c().await.expect("signals can be waited for");
    world.stop(broker).await;
}
