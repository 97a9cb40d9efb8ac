//! The rows that decisions and the view are made from.

mod group;
mod node;
mod topic;

pub(crate) use group::GroupRow;
pub(crate) use node::{IncarnationRow, RegionRow, WitnessRow, gateways, regions, virtual_nodes, witnesses};
pub(crate) use topic::TopicRow;
