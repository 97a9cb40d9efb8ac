use super::{Group, View};
use model::{ActiveActive, ActiveRegion, Assignment, Grant, RegionName};

impl View {
    /// Everything `region` has to know; `None` for a region the council does not know.
    pub fn assignment(&self, region: &RegionName) -> Option<Assignment> {
        let known = self.region(region)?;
        Some(Assignment {
            council_index: self.council_index,
            region: region.clone(),
            incarnation: known.address.incarnation,
            groups: self.groups.iter().map(|group| self.grant_in(region, group)).collect(),
            topics: self.topics.iter().map(|topic| (**topic).clone()).collect(),
            stopped: self.stopped.iter().copied().collect(),
            regions: self.regions.iter().map(|region| region.address.clone()).collect(),
            gateway: self.gateways.first().map(|gateway| format!("{}:{}", gateway.host, gateway.port)),
        })
    }

    /// The grant as `region` is told of it: where every region takes writes, each is told that it is the owner.
    fn grant_in(&self, region: &RegionName, group: &Group) -> Grant {
        let grant = self.current(&group.grant);
        let Some(active) = self.active(group).filter(|active| active.incarnation_of(region).is_some()) else {
            return grant;
        };
        Grant { owner: region.clone(), active: Some(active), ..grant }
    }

    fn active(&self, group: &Group) -> Option<ActiveActive> {
        let policy = group.policy.active_active.clone()?;
        let known = group.policy.members().filter_map(|member| self.region(member));
        let region = |known: &super::Region| {
            let address = &known.address;
            ActiveRegion { region: address.region.clone(), incarnation: address.incarnation }
        };
        Some(ActiveActive { policy, regions: known.map(region).collect() })
    }

    /// The grant without the openings of topics that are gone.
    fn current(&self, grant: &Grant) -> Grant {
        let mut grant = grant.clone();
        grant.openings.retain(|opening| self.topics.of_id(opening.topic).is_some());
        grant
    }
}
