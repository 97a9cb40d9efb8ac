//! The links between regions that all take writes for the same topics, and the broker as their sink.

use broker::Broker;
use env::PortFuture;
use mirror::CopyKey;
use mirror::active::{ActiveLinks, ActiveSink, Lag, NotTaken, follow};
use mirror_core::active::{Carried, Row, Vector};
use std::sync::Arc;

/// Starts the links into `broker`'s region for as long as the process lives; gives what shows how far they are behind.
pub(super) fn start(broker: &Broker) -> Lag {
    let sink = Arc::new(BrokerActive(broker.clone()));
    let links = ActiveLinks::new(broker.config().region.clone(), sink);
    let lag = links.lag();
    tokio::spawn(follow(links, broker.watch_assignment()));
    lag
}

/// Takes part for the partitions a broker leads.
struct BrokerActive(Broker);

impl ActiveSink for BrokerActive {
    fn partitions(&self) -> Vec<(CopyKey, Vector)> {
        self.0.all_active_received()
    }

    fn take(&self, key: CopyKey, brought: Vec<Carried>, rows: Vec<Row>) -> PortFuture<'_, Result<(), NotTaken>> {
        Box::pin(
            async move { self.0.take_active(key, brought, rows).await.map_err(|error| NotTaken(error.to_string())) },
        )
    }
}
