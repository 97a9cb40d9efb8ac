//! A council in the test's hands.

use api::routes::{FollowRoutes, Route, RouteLease, RouteTable, RoutedRegion, VirtualNode};
use env::PortFuture;
use gateway::{RouteSource, SourceError};
use model::{Coverage, GrantState, OwnershipEpoch, Pattern, ProtectionGroup, RegionName};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// How long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Answers gateways from one table, and keeps what they said last.
pub(crate) struct Council {
    table: watch::Sender<RouteTable>,
    asked: watch::Sender<Option<FollowRoutes>>,
}

pub(crate) fn group() -> ProtectionGroup {
    ProtectionGroup::new("default").unwrap()
}

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

impl Council {
    /// `r1`, reached at `upstream`, owns everything under epoch 1; its virtual node listens on `port`.
    pub(crate) fn new(upstream: SocketAddr, port: u16) -> Self {
        let node =
            VirtualNode { id: 1, host: "127.0.0.1".into(), port, region: region("r1"), slot: 0, gateway: "g1".into() };
        let route = Route {
            group: group(),
            owner: region("r1"),
            ownership_epoch: OwnershipEpoch(1),
            state: GrantState::Held,
            coverage: Coverage { topics: vec![Pattern::Any], consumer_groups: vec![Pattern::Any] },
            active: vec![],
        };
        let reached =
            RoutedRegion { region: region("r1"), gateways: upstream.to_string(), internal: upstream.to_string() };
        let table = RouteTable {
            version: 1,
            cluster_id: "cluster".into(),
            virtual_nodes: vec![node],
            groups: vec![route],
            topics: vec![],
            regions: vec![reached],
        };
        Self { table: watch::Sender::new(table), asked: watch::Sender::new(None) }
    }

    /// The grant is revoked, or stands again, by one more entry of the council.
    pub(crate) fn decide(&self, state: GrantState) {
        self.change(|table| table.groups[0].state = state);
    }

    /// One more entry of the council changes the table.
    pub(crate) fn change(&self, change: impl FnOnce(&mut RouteTable)) {
        self.table.send_modify(|table| {
            table.version += 1;
            change(table);
        });
    }

    /// Waits until the gateway asks in a way that satisfies `wanted`.
    pub(crate) async fn heard(&self, wanted: impl Fn(&FollowRoutes) -> bool) -> FollowRoutes {
        let mut asked = self.asked.subscribe();
        let heard = asked.wait_for(|ask| ask.as_ref().is_some_and(&wanted));
        let heard = tokio::time::timeout(PATIENCE, heard).await.expect("the gateway asks");
        heard.unwrap().clone().unwrap()
    }
}

impl RouteSource for Council {
    fn follow(&self, ask: FollowRoutes) -> PortFuture<'_, Result<RouteLease, SourceError>> {
        Box::pin(async move {
            let wait = Duration::from_millis(ask.max_wait_ms.into());
            let since = ask.since;
            self.asked.send_replace(Some(ask));
            let mut tables = self.table.subscribe();
            // Without a newer table the lease is confirmed all the same.
            let _ = tokio::time::timeout(wait, tables.wait_for(|table| table.version > since)).await;
            let table = self.table.borrow().clone();
            let held = table.groups.iter().filter(|route| route.state == GrantState::Held);
            let confirmed = held.map(|route| (route.group.clone(), route.ownership_epoch)).collect();
            Ok(RouteLease { table: (table.version > since).then_some(table), confirmed, ttl_ms: 60_000 })
        })
    }
}
