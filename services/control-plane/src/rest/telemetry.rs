use super::Api;
use model::{LinkPartitionStatus, OwnershipEpoch, ProtectionGroup, RegionName};

/// What `/metrics` answers with. The composition root implements it over the process's instruments.
pub trait Telemetry: Send + Sync + 'static {
    /// Takes note of what is so now; called before every [`Telemetry::render`].
    fn update(&self, measured: &Measured);

    /// Everything measured so far, in the text format Prometheus reads.
    fn render(&self) -> String;
}

/// What a node knows about itself when it is asked for its metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// How far the copies of this node's region are behind.
    pub links: Vec<LinkPartitionStatus>,
    /// The ownership epoch of each protection group, and its owner.
    pub groups: Vec<(ProtectionGroup, RegionName, OwnershipEpoch)>,
    /// The score of each region; only the council's leader has any.
    pub scores: Vec<(RegionName, f64)>,
    /// The newest council log entry this node has applied.
    pub applied_index: u64,
    /// Whether this node leads the council.
    pub leads: bool,
}

/// Measures nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTelemetry;

impl Telemetry for NoTelemetry {
    fn update(&self, _measured: &Measured) {}

    fn render(&self) -> String {
        String::new()
    }
}

impl Api {
    pub(super) async fn measure(&self) -> Measured {
        let (view, node) = (self.view(), &self.0);
        let links = match &node.ports.region {
            Some(region) => region.links().await,
            None => Vec::new(),
        };
        let grants = view.groups.iter().map(|group| &group.grant);
        let picture = node.observatory.picture();
        let regions = picture.iter().flat_map(|picture| &picture.regions);
        Measured {
            links,
            groups: grants.map(|grant| (grant.group.clone(), grant.owner.clone(), grant.ownership_epoch)).collect(),
            scores: regions.map(|health| (health.region.clone(), health.score.value)).collect(),
            applied_index: self.reader().applied_index(),
            leads: self.council().leads(),
        }
    }
}
