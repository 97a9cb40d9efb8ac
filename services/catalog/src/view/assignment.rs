use super::View;
use model::{Assignment, Grant, RegionName};

impl View {
    /// Everything `region` has to know; `None` for a region the council does not know.
    pub fn assignment(&self, region: &RegionName) -> Option<Assignment> {
        let known = self.region(region)?;
        Some(Assignment {
            council_index: self.council_index,
            region: region.clone(),
            incarnation: known.address.incarnation,
            groups: self.groups.iter().map(|group| self.current(&group.grant)).collect(),
            topics: self.topics.iter().map(|topic| (**topic).clone()).collect(),
            regions: self.regions.iter().map(|region| region.address.clone()).collect(),
            gateway: self.gateways.first().map(|gateway| format!("{}:{}", gateway.host, gateway.port)),
        })
    }

    /// The grant without the openings of topics that are gone.
    fn current(&self, grant: &Grant) -> Grant {
        let mut grant = grant.clone();
        grant.openings.retain(|opening| self.topics.of_id(opening.topic).is_some());
        grant
    }
}
