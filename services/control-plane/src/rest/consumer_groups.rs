//! `/v1/consumer-groups`

use super::Api;
use super::asked::{Path, Query, cut};
use super::refused::{Answered, Refused};
use super::shapes::time;
use crate::ports;
use ::api::consumer_groups::{ConsumerGroup, ConsumerOffset};
use ::api::{Page, Paging};
use axum::Json;
use axum::extract::State;
use model::{Commit, Opening, PartitionId, RegionName, RegionStatus, TopicName};
use std::collections::BTreeMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of a group in a region that does not coordinate it.
const COPY: &str = "Copy";

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find))
}

/// All consumer groups, by name, each as the region that coordinates it sees it.
#[utoipa::path(get, path = "/v1/consumer-groups", tag = "consumer groups", params(Paging),
    responses((status = 200, description = "The consumer groups.", body = Page<ConsumerGroup>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<Json<Page<ConsumerGroup>>> {
    Ok(Json(cut(api.coordinated().await?.into_iter(), &paging, |group| &group.name)?))
}

/// One consumer group.
#[utoipa::path(get, path = "/v1/consumer-groups/{name}", tag = "consumer groups",
    params(("name", description = "Its name.")),
    responses((status = 200, description = "The consumer group.", body = ConsumerGroup)))]
async fn find(State(api): State<Api>, Path(name): Path<String>) -> Answered<Json<ConsumerGroup>> {
    let found = api.coordinated().await?.into_iter().find(|group| group.name == name);
    found.map(Json).ok_or_else(|| Refused::unknown("consumer group", name))
}

impl Api {
    async fn coordinated(&self) -> Answered<Vec<ConsumerGroup>> {
        let (groups, statuses, holes) = tokio::join!(self.consumer_groups(), self.statuses(), self.holes());
        let holes = holes?;
        let view = self.view();
        let owner_of = |group: &ports::ConsumerGroup| {
            let grant = view.group(group.group.as_ref()?).map(|known| &known.grant)?;
            Some(grant.owner.clone())
        };
        let groups = chosen(groups, owner_of).into_iter();
        Ok(groups.map(|(region, group)| shown(&region, group, &statuses, &holes)).collect())
    }

    /// Every hole that a failover ever left: offsets nobody wrote.
    async fn holes(&self) -> Answered<Vec<Opening>> {
        let mut holes = vec![];
        for group in self.view().groups.iter() {
            let grants = self.reader().grants(&group.grant.group).await?;
            let openings = grants.into_iter().flat_map(|grant| grant.openings);
            holes.extend(openings.filter(|opening| opening.base > opening.common_end));
        }
        Ok(holes)
    }
}

/// Of what several regions say of a group, what its owner says; else what one says that coordinates it; else any.
fn chosen(
    heard: BTreeMap<RegionName, Vec<ports::ConsumerGroup>>,
    owner_of: impl Fn(&ports::ConsumerGroup) -> Option<RegionName>,
) -> Vec<(RegionName, ports::ConsumerGroup)> {
    let mut best: BTreeMap<String, (u8, RegionName, ports::ConsumerGroup)> = BTreeMap::new();
    for (region, groups) in heard {
        for group in groups {
            let rank = if owner_of(&group).as_ref() == Some(&region) { 2 } else { u8::from(group.state != COPY) };
            let known = best.get(&group.name).map(|(rank, ..)| *rank);
            if known.is_none_or(|known| known < rank) {
                best.insert(group.name.clone(), (rank, region.clone(), group));
            }
        }
    }
    best.into_values().map(|(_, region, group)| (region, group)).collect()
}

fn shown(
    region: &RegionName,
    group: ports::ConsumerGroup,
    statuses: &BTreeMap<RegionName, RegionStatus>,
    holes: &[Opening],
) -> ConsumerGroup {
    let ends = statuses.get(region).map(high_watermarks).unwrap_or_default();
    let offsets: Vec<_> = group.commits.iter().filter_map(|commit| shown_offset(commit, &ends, holes)).collect();
    ConsumerGroup {
        name: group.name,
        group: group.group.map(|group| group.to_string()),
        region: region.to_string(),
        state: group.state,
        members: group.members as u64,
        lag_records: offsets.iter().filter_map(|offset| offset.lag_records).sum(),
        offsets,
    }
}

fn high_watermarks(status: &RegionStatus) -> BTreeMap<(&TopicName, PartitionId), i64> {
    let partitions = status.partitions.iter();
    partitions.map(|partition| ((&partition.topic, partition.partition), partition.high_watermark.0)).collect()
}

fn shown_offset(
    commit: &Commit,
    ends: &BTreeMap<(&TopicName, PartitionId), i64>,
    holes: &[Opening],
) -> Option<ConsumerOffset> {
    let offset = commit.offset?.0;
    let end = ends.get(&(&commit.topic, commit.partition)).copied();
    Some(ConsumerOffset {
        topic: commit.topic.to_string(),
        partition: commit.partition.0,
        offset,
        high_watermark: end,
        lag_records: end.map(|end| lag(commit, offset, end, holes)),
        metadata: commit.metadata.clone(),
        committed_at: time(commit.commit_time),
    })
}

/// The offsets from `offset` to `end`, without those that no record was ever written at.
fn lag(commit: &Commit, offset: i64, end: i64, holes: &[Opening]) -> u64 {
    let ours = |hole: &&Opening| (hole.topic, hole.partition) == (commit.topic_id, commit.partition);
    let empty = holes.iter().filter(ours).map(|hole| hole.base.0.min(end) - hole.common_end.0.max(offset));
    let empty: i64 = empty.filter(|offsets| *offsets > 0).sum();
    end.saturating_sub(offset).saturating_sub(empty).max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{GroupId, LeaderEpoch, Offset, Timestamp, TopicId};

    fn group(state: &str) -> ports::ConsumerGroup {
        let (name, state) = ("billing".to_owned(), state.to_owned());
        ports::ConsumerGroup { name, group: None, state, members: 1, commits: vec![] }
    }

    #[test]
    fn the_owner_of_a_group_is_believed() {
        let region = |name| RegionName::new(name).unwrap();
        let heard = || {
            let said = [("r1", "Copy"), ("r2", "Empty"), ("r3", "Stable")];
            said.into_iter().map(|(name, state)| (region(name), vec![group(state)])).collect::<BTreeMap<_, _>>()
        };
        let by_owner = chosen(heard(), |_| Some(region("r3")));
        assert_eq!((by_owner.len(), &by_owner[0].0), (1, &region("r3")));
        assert_eq!(chosen(heard(), |_| None)[0].0, region("r2"), "a copy is believed last");
    }

    #[test]
    fn a_hole_is_no_lag() {
        let (topic, partition) = (TopicId::ZERO, PartitionId(0));
        let commit = Commit {
            consumer_group: GroupId::new("billing"),
            topic: TopicName::new("orders").unwrap(),
            topic_id: topic,
            partition,
            offset: Some(Offset(90)),
            leader_epoch: LeaderEpoch(-1),
            metadata: String::new(),
            commit_time: Timestamp(0),
            expire_time: None,
        };
        let hole = Opening { topic, partition, common_end: Offset(100), base: Offset(1000) };
        assert_eq!(lag(&commit, 90, 1005, &[hole]), 15);
        assert_eq!(lag(&commit, 90, 95, &[hole]), 5);
        assert_eq!(lag(&commit, 1001, 1005, &[hole]), 4);
        assert_eq!(lag(&commit, 1006, 1005, &[]), 0);
    }
}
