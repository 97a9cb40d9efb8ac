use dr_planner::health::{Condition, Detection, Score};
use dr_planner::inventory::Inventory;
use mirror_core::mode::auto::Judgement;
use model::{ProtectionGroup, RegionName, RegionStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything the leader knows at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The facts decisions are made from.
    pub inventory: Inventory,
    /// How each region does.
    pub regions: Vec<RegionHealth>,
    /// Why nothing is done automatically about a group, in words.
    pub idle: BTreeMap<ProtectionGroup, String>,
    /// What becomes of the groups that leave their mode to the line.
    #[serde(default)]
    pub auto: BTreeMap<ProtectionGroup, Judgement>,
    /// What regions last said of themselves, in full; not given to other nodes.
    #[serde(skip)]
    pub statuses: BTreeMap<RegionName, Arc<RegionStatus>>,
}

/// How a region does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionHealth {
    /// The region.
    pub region: RegionName,
    /// Whether it is there.
    pub detection: Detection,
    /// How well it does, without flapping.
    pub condition: Condition,
    /// How well it does now.
    pub score: Score,
}

impl Picture {
    pub(super) fn detections(&self) -> Vec<(RegionName, Detection)> {
        self.regions.iter().map(|health| (health.region.clone(), health.detection.clone())).collect()
    }

    pub(super) fn conditions(&self) -> Vec<(RegionName, Condition)> {
        self.regions.iter().map(|health| (health.region.clone(), health.condition)).collect()
    }

    /// Whether any region is lost, or has failed though it answers.
    pub(super) fn shows_harm(&self) -> bool {
        self.regions.iter().any(RegionHealth::is_harmed)
    }
}

impl RegionHealth {
    pub(super) fn is_harmed(&self) -> bool {
        matches!(self.detection, Detection::Lost { .. }) || self.condition == Condition::Failed
    }
}
