//! Follows the council's routes and every region's leaders.

use crate::PerRegion;
use crate::state::{Ending, State, bootstrap};
use api::routes::{FollowRoutes, RouteLease, RoutedRegion};
use env::PortFuture;
use model::{FollowMetadata, GrantState, Leaders, OwnershipEpoch, ProtectionGroup, RegionName, methods};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use wire::client::Connection;
use wire::internal::control;

const RENEWAL: Duration = model::limits::LEASE_RENEWAL;
/// Dropping connections takes moments; a connection that is stuck must not hold up the renewal of other grants.
const RELEASE_WAIT: Duration = Duration::from_millis(100);
const RELEASE_LOOK: Duration = Duration::from_millis(5);
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long a broker may wait for news of its region's leaders; one that is silent for longer than the timeout is left for
/// another one, which knows who leads instead of it.
const LEADERS_WAIT: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The council did not answer; ask again.
#[derive(Debug, thiserror::Error)]
#[error("the council does not confirm routes: {0}")]
pub struct SourceError(pub String);

/// Where a gateway learns its routes: any node of the council, which asks the leader.
pub trait RouteSource: Send + Sync + 'static {
    /// Confirms the gateway's leases, and tells it of a newer table. Answers within about the asked time.
    fn follow(&self, ask: FollowRoutes) -> PortFuture<'_, Result<RouteLease, SourceError>>;
}

/// Asks for routes for ever. A newer table is answered at once, a confirmation at every renewal interval.
pub(crate) async fn routes(gateway: String, source: Arc<dyn RouteSource>, state: Arc<State>) {
    let mut releases = Releases::default();
    loop {
        let since = state.routing().table().map_or(0, |table| table.version);
        let released = releases.over().await;
        // A lease counts from before it was asked for.
        let asked_at = state.boot();
        let max_wait_ms = RENEWAL.as_millis() as u32;
        match source.follow(FollowRoutes { gateway: gateway.clone(), since, max_wait_ms, released }).await {
            Ok(lease) => {
                adopt(&state, lease, asked_at);
                releases.end_revoked(&state);
            }
            Err(error) => {
                tracing::debug!(%error, "routes are not confirmed");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Revoked grants whose requests are being dropped. The council is told when none can be answered any more, so that a new
/// owner need not wait for the end of this gateway's lease.
#[derive(Default)]
struct Releases(BTreeMap<(ProtectionGroup, OwnershipEpoch), Ending>);

impl Releases {
    /// Serves grants no longer that the table calls revoked.
    fn end_revoked(&mut self, state: &State) {
        let routing = state.routing();
        let groups = routing.table().map_or(&[][..], |table| &table.groups);
        let is_revoked = |group: &ProtectionGroup, epoch| {
            let mut same = groups.iter().filter(|route| &route.group == group && route.ownership_epoch == epoch);
            same.any(|route| route.state == GrantState::Revoked)
        };
        self.0.retain(|(group, epoch), _| is_revoked(group, *epoch));
        for route in groups.iter().filter(|route| route.active.is_empty() && route.state == GrantState::Revoked) {
            let now = state.boot();
            if state.with_leases(|leases| leases.end(&route.group, route.ownership_epoch, now)) {
                tracing::info!(group = %route.group, region = %route.owner, "grant was revoked: connections are dropped");
                self.0.insert((route.group.clone(), route.ownership_epoch), state.cut(&route.owner));
            }
        }
    }

    /// The grants that nothing is served under any more; waits a little for those that are almost there.
    async fn over(&self) -> Vec<(ProtectionGroup, OwnershipEpoch)> {
        let deadline = tokio::time::Instant::now() + RELEASE_WAIT;
        while self.0.values().any(|ending| !ending.is_over()) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(RELEASE_LOOK).await;
        }
        self.0.iter().filter(|(_, ending)| ending.is_over()).map(|(grant, _)| grant.clone()).collect()
    }
}

fn adopt(state: &State, lease: RouteLease, asked_at: env::BootInstant) {
    let until = asked_at.plus(Duration::from_millis(lease.ttl_ms.into()));
    state.with_leases(|leases| {
        for (group, epoch) in lease.confirmed {
            leases.extend(group, epoch, until);
        }
    });
    if let Some(table) = lease.table {
        state.adopt_table(table);
    }
}

/// Follows the leaders of every region there is.
pub(crate) async fn leaders(state: Arc<State>) {
    let mut routing = state.watch_routing();
    let mut followed: PerRegion<(RoutedRegion, AbortOnDrop)> = PerRegion::new();
    loop {
        let regions = routing.borrow_and_update().table().map(|table| table.regions.clone()).unwrap_or_default();
        followed.retain(|_, (known, _)| regions.contains(known));
        for region in regions {
            followed.entry(region.region.clone()).or_insert_with(|| {
                let task = tokio::spawn(follow_region(region.region.clone(), region.internal.clone(), state.clone()));
                (region, AbortOnDrop(task.abort_handle()))
            });
        }
        if routing.changed().await.is_err() {
            return;
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows whichever of the region's brokers answers.
async fn follow_region(region: RegionName, addresses: String, state: Arc<State>) {
    loop {
        let mut has_answered = false;
        for address in bootstrap(&addresses) {
            if let Err(error) = follow_connected(&region, address, &state, &mut has_answered).await {
                tracing::debug!(%region, address, %error, "its leaders cannot be followed");
            }
        }
        // One that breaks off is asked once more before it counts as lost.
        if !has_answered {
            state.lose(&region);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn follow_connected(
    region: &RegionName,
    address: &str,
    state: &State,
    has_answered: &mut bool,
) -> Result<(), FollowError> {
    let connection = Connection::connect(address, "gateway", CONNECT_TIMEOUT).await?;
    let mut since = 0;
    loop {
        let ask = FollowMetadata { since, max_wait_ms: LEADERS_WAIT.as_millis() as u32, brief: true };
        let payload = serde_json::to_vec(&ask)?.into();
        let request = control::Request { method: methods::FOLLOW_METADATA.to_owned(), payload, ..Default::default() };
        let response = connection.call_within(CALL_TIMEOUT, &request, 0).await?;
        if response.error != wire::ErrorCode::NONE {
            return Err(FollowError::Refused(response.error));
        }
        *has_answered = true;
        state.hear(region);
        let leaders: Leaders = serde_json::from_slice(&response.payload)?;
        if leaders.version != since {
            since = leaders.version;
            state.adopt_leaders(leaders);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Connection(#[from] wire::client::ClientError),
    #[error("not understood: {0}")]
    Json(#[from] serde_json::Error),
    #[error("refused with {0:?}")]
    Refused(wire::ErrorCode),
}
