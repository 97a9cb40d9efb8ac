//! Leases: the leader's side, which answers renewals and remembers when, and the region's side, which asks for them.
//!
//! No clocks are compared. A holder counts from before it asked; the leader answers only after it has made sure that it
//! leads, and never for a revoked grant; whoever takes over waits longer than a lease from the last answer, or from the
//! leader's own election if that is later.

use crate::council::{Call, Council, LeaseRenewal, Reply};
use crate::ports::Region;
use api::routes::{FollowRoutes, Route, RouteLease, RouteTable, RoutedRegion, RoutedTopic, VirtualNode};
use catalog::{Reader, View};
use env::{BootInstant, Clock};
use model::{GrantState, Holding, Incarnation, OwnershipEpoch, ProtectionGroup, RegionName, limits};
use quorum::Leadership;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long the region's side waits for an answer: a later one would be of little use.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How soon a region that has just been given a grant asks for its first lease again.
const FIRST_RENEWAL: Duration = Duration::from_millis(25);
/// The longest a gateway may let the leader hold its question.
const ROUTES_WAIT_MAX: Duration = Duration::from_secs(2);

/// When this node, as the leader, last answered a renewal of each group's grant, by its owner or by a gateway.
pub struct Ledger {
    leadership: watch::Receiver<Leadership>,
    clock: Arc<dyn Clock>,
    answered: watch::Sender<Answered>,
}

/// The renewals that were answered.
#[derive(Debug, Default)]
struct Answered(BTreeMap<ProtectionGroup, BTreeMap<Holder, Note>>);

/// Who may use a grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Owner,
    Gateway(String),
}

/// One renewal that was answered.
#[derive(Clone, Copy, Debug)]
struct Note {
    at: BootInstant,
    /// The council entry the answer was given by.
    council_index: u64,
}

impl Answered {
    fn note(&mut self, group: &ProtectionGroup, holder: &Holder, note: Note) {
        self.0.entry(group.clone()).or_default().insert(holder.clone(), note);
    }

    /// `holder` has stopped using the grant, as of the council entry `since`. A renewal that was answered by a later
    /// entry stands: the word was long on its way.
    fn release(&mut self, group: &ProtectionGroup, holder: &Holder, since: u64) -> bool {
        let Some(notes) = self.0.get_mut(group) else { return false };
        let is_released = notes.get(holder).is_some_and(|note| note.council_index <= since);
        is_released && notes.remove(holder).is_some()
    }

    /// When the last renewal was answered that may still be used.
    fn last(&self, group: &ProtectionGroup) -> Option<BootInstant> {
        self.0.get(group)?.values().map(|note| note.at).max()
    }
}

impl Ledger {
    pub(crate) fn new(leadership: watch::Receiver<Leadership>, clock: Arc<dyn Clock>) -> Self {
        Self { leadership, clock, answered: watch::Sender::default() }
    }

    /// Takes note that renewals of the grants that stand in `view` are being answered. The view is read under the same
    /// lock as the note is taken, so that nobody waits out a lease while an answer for it is still being written.
    fn confirm(
        &self,
        reader: &Reader,
        holder: &Holder,
        stands: impl Fn(&View, &ProtectionGroup, OwnershipEpoch) -> bool,
        asked: impl Fn(&View) -> Vec<(ProtectionGroup, OwnershipEpoch)>,
    ) -> Vec<(ProtectionGroup, OwnershipEpoch)> {
        let mut confirmed = Vec::new();
        self.answered.send_if_modified(|answered| {
            let view = reader.view();
            confirmed = asked(&view);
            confirmed.retain(|(group, epoch)| stands(&view, group, *epoch));
            let note = Note { at: self.clock.boot(), council_index: view.council_index };
            confirmed.iter().for_each(|(group, _)| answered.note(group, holder, note));
            // Nobody waits for a renewal, only for releases.
            false
        });
        confirmed
    }

    /// Takes note that a gateway serves grants no longer.
    fn release(&self, holder: &Holder, ask: &FollowRoutes) {
        self.answered.send_if_modified(|answered| {
            let released = ask.released.iter().filter(|(group, _)| answered.release(group, holder, ask.since));
            released.count() > 0
        });
    }

    /// Answers a region's renewal, if this node leads.
    pub(crate) async fn renew(&self, council: &Council, reader: &Reader, renewal: &LeaseRenewal) -> Reply {
        if let Err(error) = council.confirm_leadership().await {
            return Reply::not_served(error);
        }
        let stands = |view: &View, group: &ProtectionGroup, epoch: OwnershipEpoch| {
            view.confirms_lease(&renewal.region, renewal.incarnation, group, epoch)
        };
        let confirmed = self.confirm(reader, &Holder::Owner, stands, |_| renewal.grants.clone());
        Reply::Leases { confirmed, ttl_ms: limits::LEASE_TTL.as_millis() as u32 }
    }

    /// Answers a gateway, if this node leads: at once when there are newer routes, otherwise at the end of its wait.
    pub(crate) async fn routes(&self, council: &Council, reader: &Reader, ask: &FollowRoutes) -> Reply {
        let holder = Holder::Gateway(ask.gateway.clone());
        self.release(&holder, ask);
        let wait = Duration::from_millis(ask.max_wait_ms.into()).min(ROUTES_WAIT_MAX);
        let mut views = reader.watch_view();
        // Without newer routes, the lease is confirmed all the same.
        let _ = timeout(wait, views.wait_for(|view| view.council_index > ask.since)).await;
        if let Err(error) = council.confirm_leadership().await {
            return Reply::not_served(error);
        }
        let confirmed = self.confirm(reader, &holder, stands_for_gateways, routed);
        let view = reader.view();
        let table = if view.council_index > ask.since { table(&view) } else { None };
        Reply::Routes(Box::new(RouteLease { table, confirmed, ttl_ms: limits::LEASE_TTL.as_millis() as u32 }))
    }

    /// Waits until no lease of `group` that this node or an earlier leader let stand can stand any more: `wait` after the
    /// last answer, or after this leader's election if that is later. A gateway that has said that it serves the grant no
    /// longer is not waited for. The grant must have been revoked before. False when this node stops leading meanwhile.
    pub async fn wait_out(&self, group: &ProtectionGroup, wait: Duration) -> bool {
        let Some(tenure) = self.leadership.borrow().tenure else { return false };
        let (mut leadership, mut answered) = (self.leadership.clone(), self.answered.subscribe());
        loop {
            let last = answered.borrow_and_update().last(group);
            let since = last.map_or(tenure.since, |last| last.max(tenure.since));
            let left = since.plus(wait).since(self.clock.boot());
            if left.is_zero() {
                return leadership.borrow().tenure == Some(tenure);
            }
            tokio::select! {
                _ = leadership.wait_for(|leadership| leadership.tenure != Some(tenure)) => return false,
                _ = answered.changed() => {}
                () = sleep(left) => {}
            }
        }
    }
}

fn routed(view: &View) -> Vec<(ProtectionGroup, OwnershipEpoch)> {
    view.groups.iter().map(|group| (group.grant.group.clone(), group.route.grant)).collect()
}

fn stands_for_gateways(view: &View, group: &ProtectionGroup, epoch: OwnershipEpoch) -> bool {
    view.group(group).is_some_and(|known| known.route.grant == epoch && view.confirms_route(group, known.route.epoch))
}

/// The route table as gateways read it.
fn table(view: &View) -> Option<RouteTable> {
    let routes = view.route_table()?;
    let groups = routes.groups.into_iter().filter_map(|route| {
        let state = view.group(&route.name)?.grant.state;
        let (group, owner, coverage, active) = (route.name, route.owner, route.coverage, route.active);
        Some(Route { group, owner, ownership_epoch: route.ownership_epoch, state, coverage, active })
    });
    Some(RouteTable {
        version: routes.version,
        cluster_id: routes.cluster_id,
        virtual_nodes: routes.virtual_nodes.into_iter().map(virtual_node).collect(),
        groups: groups.collect(),
        topics: routes.topics.into_iter().map(topic).collect(),
        regions: routes.regions.into_iter().map(region).collect(),
    })
}

fn virtual_node(node: catalog::VirtualNode) -> VirtualNode {
    let catalog::VirtualNode { id, gateway, host, port, region, slot } = node;
    VirtualNode { id, host, port, region, slot: slot.0, gateway }
}

fn topic(topic: catalog::view::TopicRoute) -> RoutedTopic {
    let catalog::view::TopicRoute { id, name, partitions, group, config } = topic;
    RoutedTopic { id, name, partitions, group, config }
}

fn region(region: catalog::view::RegionRoute) -> RoutedRegion {
    RoutedRegion { region: region.name, gateways: region.gateways, internal: region.internal }
}

/// Keeps the leases of a region's grants standing, for ever.
pub(crate) async fn keep(council: Council, name: RegionName, region: Arc<dyn Region>, clock: Arc<dyn Clock>) {
    let mut views = council.watch_view();
    loop {
        if let Some(incarnation) = council.view().region(&name).map(|known| known.address.incarnation) {
            renew_all(&council, &name, incarnation, &*region, &*clock).await;
        }
        let waits = |view: &Arc<View>| waits_for_lease(view, &name, &region.holdings());
        let is_waiting = waits(&council.view());
        tokio::select! {
            () = sleep(if is_waiting { FIRST_RENEWAL } else { limits::LEASE_RENEWAL }) => {}
            Ok(_) = views.wait_for(waits), if !is_waiting => {}
        }
    }
}

/// Whether a grant stands for `region` that it holds no lease of yet: its clients wait.
fn waits_for_lease(view: &View, region: &RegionName, holdings: &[Holding]) -> bool {
    let granted = view.groups.iter().map(|group| &group.grant);
    let mut granted = granted.filter(|grant| grant.owner == *region && grant.state == GrantState::Held);
    granted.any(|grant| {
        let same = |holding: &&Holding| holding.group == grant.group && holding.obeyed == grant.ownership_epoch;
        !holdings.iter().find(same).is_some_and(|holding| holding.leased)
    })
}

async fn renew_all(
    council: &Council,
    name: &RegionName,
    incarnation: Incarnation,
    region: &dyn Region,
    clock: &dyn Clock,
) {
    let owned = region.holdings().into_iter().filter(|holding| holding.owner);
    let grants: Vec<_> = owned.map(|holding| (holding.group, holding.obeyed)).collect();
    if grants.is_empty() {
        return;
    }
    // A lease counts from before it was asked for.
    let asked_at = clock.boot();
    let call = Call::RenewLease(LeaseRenewal { region: name.clone(), incarnation, grants });
    match council.call_leader(&call, RENEWAL_TIMEOUT).await {
        Ok(Reply::Leases { confirmed, ttl_ms }) => {
            let until = asked_at.plus(Duration::from_millis(ttl_ms.into()));
            for (group, epoch) in confirmed {
                region.extend_lease(&group, epoch, until);
            }
        }
        Ok(other) => tracing::warn!(?other, "a renewal was answered with something else"),
        Err(error) => tracing::debug!(%error, "leases are not renewed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(seconds: u64, council_index: u64) -> Note {
        Note { at: BootInstant::after_boot(Duration::from_secs(seconds)), council_index }
    }

    #[test]
    fn a_gateway_that_dropped_its_connections_is_not_waited_for() {
        let group = ProtectionGroup::new("default").unwrap();
        let (owner, gateway) = (Holder::Owner, Holder::Gateway("g1".to_owned()));
        let mut answered = Answered::default();
        answered.note(&group, &owner, note(1, 5));
        answered.note(&group, &gateway, note(4, 6));
        assert_eq!(answered.last(&group), Some(note(4, 6).at));
        assert!(answered.release(&group, &gateway, 10));
        assert_eq!(answered.last(&group), Some(note(1, 5).at));
    }

    #[test]
    fn a_release_that_was_long_on_its_way_does_not_end_a_later_lease() {
        let group = ProtectionGroup::new("default").unwrap();
        let gateway = Holder::Gateway("g1".to_owned());
        let mut answered = Answered::default();
        // Revoked by entry 10, granted again by 12, confirmed by 13, revoked again by 20.
        answered.note(&group, &gateway, note(4, 13));
        assert!(!answered.release(&group, &gateway, 10));
        assert!(answered.release(&group, &gateway, 20));
        assert_eq!(answered.last(&group), None);
    }
}
