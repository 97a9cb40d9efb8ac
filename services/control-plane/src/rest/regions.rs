//! `/v1/regions`

use super::Api;
use super::asked::{Path, Query, cut, name};
use super::refused::{Answered, Refused};
use super::shapes::time;
use crate::observe::{Picture, RegionHealth};
use ::api::regions::{
    Addresses, CouncilNode, CouncilRole, Disk, DivergedTail, Holding, JournaledOrder, Region, RegionState, Signal,
};
use ::api::{Page, Paging};
use axum::Json;
use axum::extract::State;
use catalog::reader::RecordedTail;
use catalog::view;
use dr_planner::health::{CONFIDENCE_MIN, Condition, Detection, Score};
use model::{RegionName, RegionStatus, RunId, StepId, Timestamp};
use quorum::NodeId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find))
}

/// All regions, with their health and what they say of themselves.
#[utoipa::path(get, path = "/v1/regions", tag = "regions", params(Paging),
    responses((status = 200, description = "The regions.", body = Page<Region>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<Json<Page<Region>>> {
    let brief = api.regions().await?.into_iter().map(|region| Region { orders: vec![], ..region });
    Ok(Json(cut(brief, &paging, |region| &region.name)?))
}

/// One region, with its journal of orders.
#[utoipa::path(get, path = "/v1/regions/{name}", tag = "regions", params(("name", description = "Its name.")),
    responses((status = 200, description = "The region.", body = Region)))]
async fn find(State(api): State<Api>, Path(region): Path<String>) -> Answered<Json<Region>> {
    let region: RegionName = name(&region)?;
    let found = api.regions().await?.into_iter().find(|known| known.name == region.as_str());
    found.map(Json).ok_or_else(|| Refused::unknown("region", region))
}

impl Api {
    /// All regions, by name.
    pub(crate) async fn regions(&self) -> Answered<Vec<Region>> {
        let (picture, statuses, tails) = tokio::join!(self.picture(), self.statuses(), self.reader().diverged(None));
        let (view, tails) = (self.view(), tails?);
        let mut regions: Vec<_> = view
            .regions
            .iter()
            .map(|region| {
                let name = &region.address.region;
                let health = picture.as_ref().and_then(|picture| health_of(picture, name));
                let tails = tails.iter().filter(|tail| tail.region == *name);
                let tails = tails.map(|tail| self.shown_tail(tail)).collect();
                self.shown_region(region, health, statuses.get(name), tails)
            })
            .collect();
        regions.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(regions)
    }

    fn shown_region(
        &self,
        region: &view::Region,
        health: Option<&RegionHealth>,
        status: Option<&RegionStatus>,
        diverged: Vec<DivergedTail>,
    ) -> Region {
        let address = &region.address;
        let partitions = status.map(|status| &status.partitions[..]).unwrap_or_default();
        Region {
            name: address.region.to_string(),
            index: address.index,
            incarnation: address.incarnation.0,
            addresses: Addresses {
                clients: address.clients.clone(),
                gateways: address.gateways.clone(),
                internal: address.internal.clone(),
                council: address.council.clone(),
                rest: address.rest.clone(),
            },
            state: health.map_or(RegionState::Unknown, state),
            health_score: health.and_then(|health| score(&health.score)),
            signals: health.map(signals).unwrap_or_default(),
            council: CouncilNode {
                node_id: region.node_id.to_string(),
                role: self.role(NodeId::from(region.node_id), status.is_some()),
                applied_index: self.applied_index(region.node_id, status),
            },
            holdings: status.map(|status| status.holdings.iter().map(holding).collect()).unwrap_or_default(),
            disks: status.map(|status| status.disks.iter().map(disk).collect()).unwrap_or_default(),
            partitions: partitions.len() as u64,
            size_bytes: partitions.iter().map(|partition| partition.size.0).sum(),
            observed_at: status.map(|status| time(status.time)),
            diverged,
            orders: status.map(|status| status.orders.iter().map(order).collect()).unwrap_or_default(),
        }
    }

    fn role(&self, node: NodeId, answers: bool) -> CouncilRole {
        let leads = self.council().leadership().borrow().leader == Some(node);
        let votes = self.council().membership().voters().contains(&node);
        match (answers || node == self.council().id(), leads, votes) {
            (false, ..) => CouncilRole::Unreachable,
            (true, true, _) => CouncilRole::Leader,
            (true, false, true) => CouncilRole::Follower,
            (true, false, false) => CouncilRole::Learner,
        }
    }

    fn applied_index(&self, node: u64, status: Option<&RegionStatus>) -> Option<u64> {
        if u64::from(self.council().id()) == node {
            return Some(self.reader().applied_index());
        }
        status.map(|status| status.council_index)
    }

    pub(super) fn shown_tail(&self, recorded: &RecordedTail) -> DivergedTail {
        let tail = &recorded.tail;
        DivergedTail {
            topic_id: tail.topic.to_string(),
            topic: self.view().topics.of_id(tail.topic).map(|topic| topic.name.to_string()),
            partition: tail.partition.0,
            ownership_epoch: tail.ownership_epoch.0,
            range: tail.range.into(),
            records: tail.records,
            bytes: tail.bytes,
            file: tail.file.clone(),
            first_at: time(tail.first_time),
            last_at: time(tail.last_time),
        }
    }
}

pub(super) fn health_of<'a>(picture: &'a Picture, region: &RegionName) -> Option<&'a RegionHealth> {
    picture.regions.iter().find(|health| health.region == *region)
}

/// Whether it is there, and how well it does, in one word.
pub(super) const fn state(health: &RegionHealth) -> RegionState {
    match (&health.detection, health.condition) {
        (Detection::Lost { .. }, _) | (_, Condition::Failed) => RegionState::Failed,
        (Detection::Suspect { .. } | Detection::UnreachableButServing { .. }, _) | (_, Condition::Suspect) => {
            RegionState::Suspect
        }
        (Detection::Unknown, _) => RegionState::Unknown,
        (Detection::Serving, Condition::Healthy) => RegionState::Healthy,
        (Detection::Serving, Condition::Degraded) => RegionState::Degraded,
        (Detection::Serving, Condition::Recovering) => RegionState::Recovering,
    }
}

/// A score, unless too little is known for it to mean anything.
pub(super) fn score(score: &Score) -> Option<f64> {
    // Half of what would be acted upon automatically is enough to be shown.
    (score.confidence >= CONFIDENCE_MIN / 2.0).then_some(score.value)
}

fn signals(health: &RegionHealth) -> Vec<Signal> {
    let detection = Signal { name: "detection".to_owned(), value: None, detail: health.detection.to_string() };
    let parts = health.score.parts.iter().map(|part| {
        let name = match serde_json::to_value(part.signal) {
            Ok(serde_json::Value::String(word)) => word,
            _ => format!("{:?}", part.signal).to_lowercase(),
        };
        let detail = match part.value {
            Some(value) => format!("{:.0} of 100, weight {:.2}", value * 100.0, part.weight),
            None => "not measured".to_owned(),
        };
        Signal { name, value: part.value, detail }
    });
    std::iter::once(detection).chain(parts).collect()
}

fn holding(holding: &model::Holding) -> Holding {
    Holding {
        group: holding.group.to_string(),
        owner: holding.owner,
        ownership_epoch: holding.obeyed.0,
        leased: holding.leased,
        open: holding.open,
        stopped: holding.stopped,
        sealed: holding.sealed,
    }
}

fn disk(disk: &model::DiskStatus) -> Disk {
    Disk { path: disk.path.clone(), free_bytes: disk.free.0, total_bytes: disk.total.0, full: disk.full }
}

fn order((run, step, at): &(RunId, StepId, Timestamp)) -> JournaledOrder {
    JournaledOrder { run: run.to_string(), step: step.to_string(), at: time(*at) }
}
