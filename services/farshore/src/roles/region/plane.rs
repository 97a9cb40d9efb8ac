//! The region's data plane as the control plane sees it: broker and links together.

use super::links::BrokerSink;
use broker::{Broker, CollectError, Links};
use control_plane::ports::{ConsumerGroup, PortError, Region};
use env::{BootInstant, Clock, PortFuture};
use mirror::{Agent, WireConnector};
use model::{
    Assignment, DivergedTail, Done, Gap, Holding, LinkPartitionStatus, Order, OrderError, OwnershipEpoch,
    ProtectionGroup, RegionName, RegionStatus,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long one other copy may take to be caught up with.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Broker and links of one region.
pub(super) struct DataPlane {
    broker: Broker,
    region: RegionName,
    clock: Arc<dyn Clock>,
    /// Made with the first assignment, which names the region's incarnation.
    agent: OnceLock<Agent>,
}

impl DataPlane {
    pub(super) fn new(broker: Broker, region: RegionName, clock: Arc<dyn Clock>) -> Self {
        Self { broker, region, clock, agent: OnceLock::new() }
    }

    fn agent(&self, assignment: &Assignment) -> &Agent {
        self.agent.get_or_init(|| {
            let connector = WireConnector { region: self.region.clone(), incarnation: assignment.incarnation };
            Agent::new(Arc::new(BrokerSink(self.broker.clone())), Arc::new(connector), self.clock.clone())
        })
    }
}

fn failed(error: impl ToString) -> PortError {
    PortError(error.to_string())
}

impl Region for DataPlane {
    fn assign(&self, assignment: Assignment) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            let assigned = self.broker.assign(assignment.clone()).await;
            // Links follow even where a partition of the broker could not be made real.
            self.agent(&assignment).assign(&assignment);
            assigned.map_err(failed)
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

    fn links(&self) -> Vec<LinkPartitionStatus> {
        self.agent.get().map(Agent::status).unwrap_or_default()
    }

    fn consumer_groups(&self) -> PortFuture<'_, Result<Vec<ConsumerGroup>, PortError>> {
        Box::pin(async move {
            let groups = self.broker.consumer_groups().into_iter().map(|group| ConsumerGroup {
                name: group.name,
                group: group.group,
                state: group.state,
                members: group.members,
                commits: group.commits,
            });
            Ok(groups.collect())
        })
    }

    fn acknowledge(&self, diverged: Vec<DivergedTail>, gaps: Vec<Gap>) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.broker.acknowledge(&diverged, &gaps).map_err(failed) })
    }
}

impl Links for DataPlane {
    fn collect<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        from: &'a [RegionName],
    ) -> PortFuture<'a, Result<(), CollectError>> {
        Box::pin(async move {
            let agent = self.agent.get().ok_or_else(|| CollectError("the links are not started yet".to_owned()))?;
            if let Err(missed) = agent.collect(group, from, COLLECT_TIMEOUT).await {
                // What they hold and this region lacks is counted as lost; the report says so.
                tracing::warn!(%group, ?missed, "copies that could not be collected");
            }
            Ok(())
        })
    }
}
