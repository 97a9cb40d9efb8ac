//! What a gateway knows.

use crate::PerRegion;
use crate::lease::Leases;
use crate::reach::Reach;
use api::routes::{Route, RouteTable, RoutedRegion, RoutedTopic, VirtualNode};
use env::{BootInstant, Clock};
use model::{GroupId, Leaders, PartitionLeader, ProtectionGroup, RegionName, TopicId, TopicLeaders};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::watch;

/// Everything connections share.
pub(crate) struct State {
    clock: Arc<dyn Clock>,
    routing: watch::Sender<Arc<Routing>>,
    leases: Mutex<Leases>,
    reach: Mutex<Reach>,
    /// How often connections to each region had to be dropped; connections watch it.
    cuts: watch::Sender<Arc<PerRegion<Generation>>>,
}

/// The requests that are passed to a region between two cuts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation {
    number: u64,
    inside: Arc<()>,
}

/// A request on its way to a region and back. While it exists, the generation it belongs to has not ended.
#[derive(Debug)]
pub(crate) struct Entered(#[expect(dead_code, reason = "it is counted")] Arc<()>);

/// The requests that were on their way when a region was cut off.
#[derive(Clone, Debug)]
pub(crate) struct Ending(Weak<()>);

impl Ending {
    /// Whether none of them can be answered any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// One consistent picture of routes and leaders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routing {
    /// The region the gateway stands in.
    own: Option<RegionName>,
    table: Option<RouteTable>,
    leaders: PerRegion<Leaders>,
    /// The regions that do not answer.
    lost: BTreeSet<RegionName>,
    /// How often clients were sent away from each region, because it was lost or they went back to another one.
    departures: PerRegion<u64>,
}

impl State {
    /// Knows nothing yet, in the region `own`.
    pub(crate) fn new(clock: Arc<dyn Clock>, own: Option<RegionName>) -> Self {
        let routing = watch::Sender::new(Arc::new(Routing { own, ..Routing::default() }));
        let cuts = watch::Sender::new(Arc::default());
        Self { clock, routing, leases: Mutex::default(), reach: Mutex::default(), cuts }
    }

    /// The picture now.
    pub(crate) fn routing(&self) -> Arc<Routing> {
        self.routing.borrow().clone()
    }

    /// Hears of every new picture.
    pub(crate) fn watch_routing(&self) -> watch::Receiver<Arc<Routing>> {
        self.routing.subscribe()
    }

    /// Hears when connections to a region have to be dropped.
    pub(crate) fn watch_cuts(&self) -> watch::Receiver<Arc<PerRegion<Generation>>> {
        self.cuts.subscribe()
    }

    /// How often connections to `region` have been cut.
    pub(crate) fn cuts(&self, region: &RegionName) -> u64 {
        self.cuts.borrow().get(region).map_or(0, |generation| generation.number)
    }

    /// Begins a request to `region` on a connection that was made after `since` cuts; `None` when it has been cut again.
    pub(crate) fn enter(&self, region: &RegionName, since: u64) -> Option<Entered> {
        let cuts = self.cuts.borrow();
        let generation = cuts.get(region).filter(|generation| generation.number == since)?;
        Some(Entered(generation.inside.clone()))
    }

    /// The boot clock.
    pub(crate) fn boot(&self) -> BootInstant {
        self.clock.boot()
    }

    /// Takes a newer table; an older one is refused.
    pub(crate) fn adopt_table(&self, table: RouteTable) {
        self.know(&table);
        self.routing.send_if_modified(|routing| {
            let is_newer = routing.table.as_ref().is_none_or(|known| known.version < table.version);
            if is_newer {
                *routing = Arc::new(Routing { table: Some(table), ..Routing::clone(routing) });
            }
            is_newer
        });
    }

    /// Gives every region of `table` its first generation.
    fn know(&self, table: &RouteTable) {
        self.cuts.send_if_modified(|cuts| {
            let mut next = PerRegion::clone(cuts);
            for region in &table.regions {
                next.entry(region.region.clone()).or_default();
            }
            let is_known = next.len() == cuts.len();
            *cuts = Arc::new(next);
            !is_known
        });
    }

    /// Takes what a region says of its leaders.
    pub(crate) fn adopt_leaders(&self, leaders: Leaders) {
        self.change(|routing| _ = routing.leaders.insert(leaders.region.clone(), leaders));
    }

    fn change(&self, change: impl FnOnce(&mut Routing)) {
        self.routing.send_modify(|routing| {
            let mut next = Routing::clone(routing);
            change(&mut next);
            *routing = Arc::new(next);
        });
    }

    /// A region does not answer: clients that another one may serve as well are sent there, and wait no longer.
    pub(crate) fn lose(&self, region: &RegionName) {
        if !self.with_reach(|reach| reach.lost(region)) {
            return;
        }
        let has_clients = self.routing().active_servers().contains(region);
        self.change(|routing| routing.change_lost(|lost| _ = lost.insert(region.clone())));
        if has_clients {
            tracing::warn!(%region, "it does not answer: clients of what every region takes writes for are sent elsewhere");
            self.cut(region);
        }
    }

    /// A region answers.
    pub(crate) fn hear(&self, region: &RegionName) {
        if self.with_reach(|reach| reach.heard(region, self.boot())) {
            tracing::info!(%region, "it answers again");
            self.change(|routing| routing.change_lost(|lost| _ = lost.remove(region)));
        }
    }

    fn with_reach<T>(&self, work: impl FnOnce(&mut Reach) -> T) -> T {
        work(&mut self.reach.lock().expect("no holder of this lock panics"))
    }

    /// Works on the leases.
    pub(crate) fn with_leases<T>(&self, work: impl FnOnce(&mut Leases) -> T) -> T {
        work(&mut self.leases.lock().expect("no holder of this lock panics"))
    }

    /// Whether requests may be passed to `region` now: it owns nothing, and so refuses by itself what it must, or one of
    /// its grants is confirmed or needs nobody to confirm it, because every region has it. What else it owns it then
    /// refuses by its own lease.
    pub(crate) fn may_serve(&self, region: &RegionName) -> bool {
        let routing = self.routing();
        let Some(table) = &routing.table else { return false };
        if table.groups.iter().any(|route| route.active.contains(region)) {
            return true;
        }
        let mut owned = table.groups.iter().filter(|route| &route.owner == region).peekable();
        let now = self.boot();
        owned.peek().is_none()
            || self.with_leases(|leases| owned.any(|route| leases.stands(&route.group, route.ownership_epoch, now)))
    }

    /// Makes every connection to `region` drop on which a request waits; no request enters on those that stay.
    pub(crate) fn cut(&self, region: &RegionName) -> Ending {
        let mut ending = Ending(Weak::new());
        self.cuts.send_modify(|cuts| {
            let mut next = PerRegion::clone(cuts);
            let generation = next.entry(region.clone()).or_default();
            ending = Ending(Arc::downgrade(&generation.inside));
            *generation = Generation { number: generation.number + 1, inside: Arc::default() };
            *cuts = Arc::new(next);
        });
        ending
    }
}

/// The addresses of a region's brokers in the order of their slots, as they are written down: separated by commas.
pub(crate) fn bootstrap(addresses: &str) -> Vec<&str> {
    addresses.split(',').map(str::trim).collect()
}

impl Routing {
    /// The table, once there is one.
    pub(crate) fn table(&self) -> Option<&RouteTable> {
        self.table.as_ref()
    }

    /// The nodes clients see, in the order of their ids.
    pub(crate) fn nodes(&self) -> &[VirtualNode] {
        self.table.as_ref().map_or(&[], |table| &table.virtual_nodes)
    }

    /// The virtual node that carries a broker slot of a region. With several gateways the partition picks one, the same
    /// whichever gateway is asked.
    pub(crate) fn node(&self, region: &RegionName, slot: u16, partition: i32) -> Option<&VirtualNode> {
        let stands_for = |node: &&VirtualNode| &node.region == region && node.slot == slot;
        let count = self.nodes().iter().filter(stands_for).count();
        let choice = usize::try_from(partition).unwrap_or(0).checked_rem(count)?;
        self.nodes().iter().filter(stands_for).nth(choice)
    }

    /// Where a region is reached.
    pub(crate) fn region(&self, name: &RegionName) -> Option<&RoutedRegion> {
        self.table()?.regions.iter().find(|known| &known.region == name)
    }

    /// The region that clients of a group are sent to: its owner; where every region takes writes the one the gateway
    /// stands in, or the first, of those that answer.
    pub(crate) fn server<'a>(&'a self, route: &'a Route) -> &'a RegionName {
        let own = || route.active.iter().filter(|region| self.own.as_ref() == Some(region));
        let order = || own().chain(&route.active);
        let there = order().find(|region| !self.lost.contains(*region));
        there.or_else(|| order().next()).unwrap_or(&route.owner)
    }

    /// Changes which regions are lost, and takes note of those that clients are sent away from by that.
    fn change_lost(&mut self, change: impl FnOnce(&mut BTreeSet<RegionName>)) {
        let before = self.active_servers();
        change(&mut self.lost);
        for (left, server) in before.into_iter().zip(self.active_servers()) {
            if left != server {
                *self.departures.entry(left).or_default() += 1;
            }
        }
    }

    /// The region that clients of each group are sent to that every region takes writes for.
    fn active_servers(&self) -> Vec<RegionName> {
        let active = self.table.iter().flat_map(|table| &table.groups).filter(|route| !route.active.is_empty());
        active.map(|route| self.server(route).clone()).collect()
    }

    /// How often clients were sent away from `region`.
    pub(crate) fn departures(&self, region: &RegionName) -> u64 {
        self.departures.get(region).copied().unwrap_or_default()
    }

    /// Whether clients of any protection group are sent to `region`.
    pub(crate) fn owns(&self, region: &RegionName) -> bool {
        self.table().is_some_and(|table| table.groups.iter().any(|route| self.server(route) == region))
    }

    /// The route of a protection group.
    pub(crate) fn route(&self, group: &ProtectionGroup) -> Option<&Route> {
        self.table()?.groups.iter().find(|route| &route.group == group)
    }

    /// The region that gets what belongs to no group: the owner of `default`, or of the first group.
    pub(crate) fn default_owner(&self) -> Option<&RegionName> {
        let groups = &self.table()?.groups;
        let default = groups.iter().find(|route| route.group.as_str() == "default").or(groups.first());
        default.map(|route| self.server(route))
    }

    /// The route of the protection group that coordinates a consumer group: the closest pattern, as in every region.
    pub(crate) fn coordinator(&self, group: &GroupId) -> Option<&Route> {
        let matches = self.table()?.groups.iter();
        let matches = matches.filter_map(|route| Some((route.coverage.consumer_group_closeness(group)?, route)));
        matches.max_by(|(n, a), (m, b)| n.cmp(m).then_with(|| b.group.cmp(&a.group))).map(|(_, route)| route)
    }

    /// The first slot of `region` whose broker was last said to lead anything.
    pub(crate) fn live_slot(&self, region: &RegionName) -> u16 {
        let coordinators = self.leaders.get(region).map(|leaders| leaders.coordinators.as_slice()).unwrap_or_default();
        coordinators.iter().flatten().min().copied().unwrap_or(0)
    }

    /// Whether `region` last said that its broker in `slot` is fenced: others serve instead of it, and it may not answer.
    pub(crate) fn is_fenced(&self, region: &RegionName, slot: u16) -> bool {
        self.leaders.get(region).is_some_and(|leaders| leaders.fenced.contains(&slot))
    }

    /// The slot of the broker in `region` that coordinates a consumer group. The first, from a region that has not said.
    pub(crate) fn coordinator_slot(&self, region: &RegionName, group: &GroupId) -> Option<u16> {
        let coordinators = self.leaders.get(region).map(|leaders| leaders.coordinators.as_slice()).unwrap_or_default();
        match coordinators.len() {
            0 => Some(0),
            count => coordinators[group.offsets_partition(count)],
        }
    }

    /// The topic of that name.
    pub(crate) fn topic_named(&self, name: &str) -> Option<&RoutedTopic> {
        self.table()?.topics.iter().find(|topic| topic.name.as_str() == name)
    }

    /// The topic of that id.
    pub(crate) fn topic_with_id(&self, id: TopicId) -> Option<&RoutedTopic> {
        self.table()?.topics.iter().find(|topic| topic.id == id)
    }

    /// What `region` last said of a topic.
    pub(crate) fn leaders(&self, region: &RegionName, topic: TopicId) -> Option<&TopicLeaders> {
        self.leaders.get(region)?.topics.iter().find(|leaders| leaders.id == topic)
    }

    /// Who leads a partition for clients, under `route`. `None` while the region has not said so under the present grant.
    pub(crate) fn leader(&self, route: &Route, topic: TopicId, partition: i32) -> Option<&PartitionLeader> {
        let leaders = self.leaders(self.server(route), topic)?;
        let leader = leaders.partitions.iter().find(|leader| leader.partition.0 == partition)?;
        (leader.ownership_epoch >= route.ownership_epoch).then_some(leader)
    }
}
