//! The region's data plane as the control plane sees it.

use broker::Broker;
use control_plane::ports::{ConsumerGroup, PortError, Region};
use env::{BootInstant, PortFuture};
use model::{
    Assignment, BrokerOrder, BrokerOrderError, BrokerStatus, DivergedTail, Done, Gap, Holding, LinkPartitionStatus,
    Order, OrderError, OwnershipEpoch, ProtectionGroup, RegionStatus,
};

/// The region's only broker, or its desk.
pub(super) struct DataPlane(Broker);

impl DataPlane {
    pub(super) fn new(broker: Broker) -> Self {
        Self(broker)
    }
}

fn failed(error: impl ToString) -> PortError {
    PortError(error.to_string())
}

impl Region for DataPlane {
    fn assign(&self, assignment: Assignment) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.0.assign(assignment).await.map_err(failed) })
    }

    fn extend_lease(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant) {
        self.0.extend_lease(group, epoch, until);
    }

    fn holdings(&self) -> Vec<Holding> {
        self.0.holdings()
    }

    fn order(&self, order: Order) -> PortFuture<'_, Result<Done, OrderError>> {
        Box::pin(self.0.order(order))
    }

    fn answers(&self) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.0.answers().await.map_err(failed) })
    }

    fn status(&self, with_hashes: bool) -> PortFuture<'_, Result<RegionStatus, PortError>> {
        Box::pin(async move { self.0.status(with_hashes).await.map_err(failed) })
    }

    fn links(&self) -> PortFuture<'_, Vec<LinkPartitionStatus>> {
        Box::pin(self.0.links())
    }

    fn consumer_groups(&self) -> PortFuture<'_, Result<Vec<ConsumerGroup>, PortError>> {
        Box::pin(async move {
            let groups = self.0.consumer_groups().await.into_iter().map(|group| ConsumerGroup {
                name: group.name,
                group: group.group,
                state: group.state,
                members: group.members,
                commits: group.commits,
            });
            Ok(groups.collect())
        })
    }

    fn brokers(&self) -> PortFuture<'_, Result<Vec<BrokerStatus>, PortError>> {
        Box::pin(async move { Ok(self.0.brokers()) })
    }

    fn order_broker(&self, order: BrokerOrder) -> PortFuture<'_, Result<(), BrokerOrderError>> {
        Box::pin(self.0.order_broker(order))
    }

    fn read_diverged(&self, file: String, at: u64, max: u32) -> PortFuture<'_, Result<Vec<u8>, PortError>> {
        Box::pin(async move { self.0.read_diverged(file, at, max).await.map_err(failed) })
    }

    fn acknowledge(&self, diverged: Vec<DivergedTail>, gaps: Vec<Gap>) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.0.acknowledge(diverged, gaps).await.map_err(failed) })
    }
}
