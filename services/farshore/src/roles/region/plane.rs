//! The region's data plane as the control plane sees it.

use super::conflicts;
use super::failpoint::{Failpoint, Place};
use broker::Broker;
use control_plane::ports::{ConflictAnswer, ConflictAsk, ConflictRefusal, ConsumerGroup, PortError, Region};
use env::{BootInstant, PortFuture};
use mirror::active::Lag;
use model::{
    Assignment, BrokerOrder, BrokerOrderError, BrokerStatus, DivergedTail, Done, Gap, Holding, LinkPartitionStatus,
    Order, OrderError, OwnershipEpoch, ProtectionGroup, RegionName, RegionStatus,
};

/// The region's only broker, or its desk.
pub(super) struct DataPlane {
    broker: Broker,
    failpoint: Failpoint,
    /// How far the links are behind that lead into an active-active group here.
    lag: Lag,
}

impl DataPlane {
    pub(super) fn new(broker: Broker, region: &RegionName, lag: Lag) -> Self {
        Self { broker, failpoint: Failpoint::of(region), lag }
    }
}

fn failed(error: impl ToString) -> PortError {
    PortError(error.to_string())
}

impl Region for DataPlane {
    fn assign(&self, assignment: Assignment) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            self.failpoint.reach(Place::DecisionReceived);
            self.broker.assign(assignment).await.map_err(failed)?;
            self.failpoint.reach(Place::DecisionReal);
            Ok(())
        })
    }

    fn extend_lease(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant) {
        self.broker.extend_lease(group, epoch, until);
    }

    fn holdings(&self) -> Vec<Holding> {
        self.broker.holdings()
    }

    fn order(&self, order: Order) -> PortFuture<'_, Result<Done, OrderError>> {
        Box::pin(self.broker.order(order))
    }

    fn answers(&self) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.broker.answers().await.map_err(failed) })
    }

    fn status(&self, with_hashes: bool) -> PortFuture<'_, Result<RegionStatus, PortError>> {
        Box::pin(async move { self.broker.status(with_hashes).await.map_err(failed) })
    }

    fn links(&self) -> PortFuture<'_, Vec<LinkPartitionStatus>> {
        Box::pin(self.broker.links())
    }

    fn rebuild_copies(&self, group: ProtectionGroup) -> PortFuture<'_, Result<u64, PortError>> {
        Box::pin(async move { self.broker.rebuild_copies(group).await.map_err(failed) })
    }

    fn consumer_groups(&self) -> PortFuture<'_, Result<Vec<ConsumerGroup>, PortError>> {
        Box::pin(async move {
            let groups = self.broker.consumer_groups().await.into_iter().map(|group| ConsumerGroup {
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
        Box::pin(async move { Ok(self.broker.brokers()) })
    }

    fn order_broker(&self, order: BrokerOrder) -> PortFuture<'_, Result<(), BrokerOrderError>> {
        Box::pin(self.broker.order_broker(order))
    }

    fn read_diverged(&self, file: String, at: u64, max: u32) -> PortFuture<'_, Result<Vec<u8>, PortError>> {
        Box::pin(async move { self.broker.read_diverged(file, at, max).await.map_err(failed) })
    }

    fn conflicts(&self, ask: ConflictAsk) -> PortFuture<'_, Result<ConflictAnswer, ConflictRefusal>> {
        Box::pin(conflicts::answer(&self.broker, &self.lag, ask))
    }

    fn pending_facts(&self) -> PortFuture<'_, (Vec<DivergedTail>, Vec<Gap>)> {
        Box::pin(self.broker.pending_facts())
    }

    fn acknowledge(&self, diverged: Vec<DivergedTail>, gaps: Vec<Gap>) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            self.failpoint.reach(Place::FactStored);
            self.broker.acknowledge(diverged, gaps).await.map_err(failed)
        })
    }
}
