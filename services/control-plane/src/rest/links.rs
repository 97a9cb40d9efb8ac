//! `/v1/links`

use super::Api;
use super::asked::{Path, Query, cut};
use super::refused::{Answered, Refused};
use super::shapes::{accepted, time};
use crate::council::{Call, Reply};
use ::api::links::{DamagedRange, Link, LinkGap, LinkKeyProof, LinkPartition, LinkProof, LinkReset};
use ::api::{ErrorCode, Page, Paging};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use catalog::reader::{RecordedGap, RemadeTopic};
use dr_planner::assess::remedy;
use model::{CopyProof, KeyProof, Line, LinkPartitionStatus, OffsetRange, ProtectionGroup, RegionName, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a region may take to drop copies.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(15);
/// A source that was silent for longer may be gone, and its copies all there is.
const SILENT_MAX_MS: u64 = 5_000;
/// How long brokers keep copies of deleted topics.
const KEPT: Duration = Duration::from_secs(24 * 3600);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find)).routes(routes!(rebuild))
}

/// All links, as their targets tell.
#[utoipa::path(get, path = "/v1/links", tag = "links", params(Paging),
    responses((status = 200, description = "The links of regions that answer.", body = Page<Link>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<Json<Page<Link>>> {
    let mut links = api.all_links().await;
    api.add_facts(&mut links).await?;
    Ok(Json(cut(links.into_iter(), &paging, |link| &link.name)?))
}

/// The link of one protection group from one region to another.
#[utoipa::path(get, path = "/v1/links/{source}/{target}/{group}", tag = "links",
    params(("source", description = "The source region."), ("target", description = "The target region."),
        ("group", description = "The protection group.")),
    responses((status = 200, description = "The link.", body = Link)))]
async fn find(
    State(api): State<Api>,
    Path((source, target, group)): Path<(String, String, String)>,
) -> Answered<Json<Link>> {
    let name = link_name(&source, &target, &group);
    let mut links = api.all_links().await;
    links.retain(|link| link.name == name);
    api.add_facts(&mut links).await?;
    links.pop().map(Json).ok_or_else(|| Refused::unknown("link", name))
}

/// From what copies are made again.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Rebuilding {
    /// From a source that is known to be damaged, too: the new copy may end before the damage.
    #[serde(default)]
    from_damaged_source: bool,
}

/// Has the target's copies copied anew that are no standby otherwise: `must_rebuild` or `different`. What they hold is put
/// aside for a day, unless the disk is nearly full, as whole logs beside those of other topics, called
/// `<topic>-<partition>.<milliseconds>-kept`; it is no copy any more, so it is refused while the source does not answer, a run
/// of the group has not ended, or the source is known to be damaged (`source_damaged`): what the target holds of that range may
/// be all there is.
#[utoipa::path(post, path = "/v1/links/{source}/{target}/{group}/rebuild", tag = "links",
    params(("source", description = "The source region."), ("target", description = "The target region."),
        ("group", description = "The protection group."), Rebuilding),
    responses((status = 202, description = "It has begun; the link tells how far it is.", body = Link)))]
async fn rebuild(
    State(api): State<Api>,
    Path((source, target, group)): Path<(String, String, String)>,
    Query(asked): Query<Rebuilding>,
) -> Answered<Response> {
    let (name, region) = (link_name(&source, &target, &group), super::asked::name::<RegionName>(&target)?);
    let group = super::asked::name::<ProtectionGroup>(&group)?;
    let heard = api.links().await;
    let of_link = |status: &&LinkPartitionStatus| {
        link_name(status.source.as_str(), status.target.as_str(), status.group.as_str()) == name
    };
    let partitions: Vec<_> = heard.values().flat_map(|(all, _)| all).filter(of_link).cloned().collect();
    if partitions.is_empty() {
        return Err(Refused::unknown("link", name));
    }
    let has_run = api.view().groups.iter().any(|known| known.grant.group == group && known.run.is_some());
    check_rebuild(&name, &partitions, has_run, &asked)?;
    match api.ask_region(&region, &Call::RebuildCopies(group), REBUILD_TIMEOUT).await? {
        Reply::Rebuilt(_) => {}
        other => return Err(super::brokers::unexpected(&region, &other)),
    }
    let mut links = api.all_links().await;
    links.retain(|link| link.name == name);
    let link = links.pop().ok_or_else(|| Refused::unknown("link", &name))?;
    accepted(link, &format!("/v1/links/{source}/{target}/{}", partitions[0].group))
}

/// Whether copies of a link may be dropped to be copied anew.
fn check_rebuild(name: &str, partitions: &[LinkPartitionStatus], has_run: bool, asked: &Rebuilding) -> Answered<()> {
    let due: Vec<_> = partitions.iter().filter(|status| status.must_be_rebuilt()).collect();
    let silent_ms = due.iter().map(|status| status.silent_ms).max();
    let reason = match silent_ms {
        None => format!("no copy of {name} has to be rebuilt"),
        Some(_) if has_run => format!("the group of {name} has a run that has not ended; wait for it or cancel it"),
        Some(silent) if silent > SILENT_MAX_MS => format!(
            "the source of {name} does not answer, so that its copies could not be made again; wait until it is back"
        ),
        Some(_) => match due.iter().find_map(|status| bad_source(status)) {
            Some(reason) if !asked.from_damaged_source => reason,
            _ => return Ok(()),
        },
    };
    Err(Refused::new(ErrorCode::Conflict, reason))
}

/// Why a copy is not made again from its source, if that is damaged.
fn bad_source(status: &LinkPartitionStatus) -> Option<String> {
    let LinkPartitionStatus { source, target, topic, partition, .. } = status;
    let proof = status.proof.as_ref()?;
    let range = *proof.source_damaged.first()?;
    let overlaps = |other: OffsetRange| other.start < range.end && range.start < other.end;
    let remedy = if proof.difference.is_some_and(overlaps) {
        "the copy is not known to be sound there either: restore the topic from a backup".to_owned()
    } else {
        format!(
            "the copy is sound there: fail over to it first (farshore protection failover --target {target} \
             --accept-unusable-copies)"
        )
    };
    Some(format!(
        "what {source} stores of {topic}-{partition} is damaged in offsets {range}, so that the copy in {target} could not be \
         made again as it is; {remedy}; --from-damaged-source has it made again all the same, perhaps only up to the damage"
    ))
}

impl Api {
    /// All links, by name.
    pub(crate) async fn all_links(&self) -> Vec<Link> {
        let heard = self.links().await;
        let mut links = vec![];
        for (partitions, at) in heard.into_values() {
            links.extend(links_of(partitions, at));
        }
        links.sort_by(|one: &Link, other| one.name.cmp(&other.name));
        links
    }

    /// Adds what the council has stored of the targets' copies.
    async fn add_facts(&self, links: &mut [Link]) -> Answered<()> {
        let (stored, remade) = (self.reader().gaps(None).await?, self.reader().remade_topics().await?);
        for link in links {
            link.resets = remade.iter().filter(|topic| copies(link, topic)).map(reset).collect();
            let gaps = stored.iter().filter(|stored| stored.region.as_str() == link.target);
            link.gaps = gaps.filter_map(|stored| shown(stored, &link.partitions)).collect();
        }
        Ok(())
    }
}

fn copies(link: &Link, remade: &RemadeTopic) -> bool {
    let id = remade.to.to_string();
    link.partitions.iter().any(|partition| partition.topic_id == id)
}

fn reset(remade: &RemadeTopic) -> LinkReset {
    LinkReset {
        topic: remade.name.to_string(),
        from_topic_id: remade.from.to_string(),
        to_topic_id: remade.to.to_string(),
        deleted_at: time(remade.deleted_at),
        remade_at: time(remade.remade_at),
        kept_until: time(remade.deleted_at.plus(KEPT)),
    }
}

/// The gap, if it is in one of these partitions.
fn shown(stored: &RecordedGap, partitions: &[LinkPartition]) -> Option<LinkGap> {
    let (gap, topic) = (&stored.gap, stored.gap.topic.to_string());
    let of = partitions.iter().find(|known| known.topic_id == topic && known.partition == gap.partition.0)?;
    Some(LinkGap {
        topic: of.topic.clone(),
        partition: of.partition,
        from_offset: gap.range.start.0,
        to_offset: gap.range.end.0,
        reason: gap.reason.clone(),
        recorded_at: time(stored.recorded_at),
    })
}

fn proof(proof: &CopyProof) -> LinkProof {
    LinkProof {
        identical_from_offset: proof.identical.start.0,
        identical_to_offset: proof.identical.end.0,
        unproven_ranges: proof.unproven_ranges,
        different_from_offset: proof.difference.map(|range| range.start.0),
        different_to_offset: proof.difference.map(|range| range.end.0),
        source_damaged: proof.source_damaged.iter().map(damaged).collect(),
        keys: proof.keys.map(key_proof),
    }
}

fn damaged(range: &OffsetRange) -> DamagedRange {
    DamagedRange { from_offset: range.start.0, to_offset: range.end.0 }
}

fn key_proof(KeyProof { range, keys, compared_at }: KeyProof) -> LinkKeyProof {
    LinkKeyProof {
        identical_from_offset: range.start.0,
        identical_to_offset: range.end.0,
        keys,
        compared_at: time(compared_at),
    }
}

fn link_name(source: &str, target: &str, group: &str) -> String {
    format!("{source}->{target}/{group}")
}

fn links_of(partitions: Vec<LinkPartitionStatus>, at: Timestamp) -> Vec<Link> {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    for status in partitions {
        let (source, target, group) = (status.source.as_str(), status.target.as_str(), status.group.as_str());
        let link = links.entry(link_name(source, target, group)).or_insert_with_key(|name| Link {
            name: name.clone(),
            source: source.to_owned(),
            target: target.to_owned(),
            group: group.to_owned(),
            state: status.state.clone(),
            lag_records: 0,
            lag_bytes: 0,
            lag_seconds: 0.0,
            silent_ms: 0,
            round_trip_ms: None,
            fetch_bytes: 0,
            fetches_under_way: 0,
            requests: 0,
            failures: 0,
            different_partitions: 0,
            source_damaged_partitions: 0,
            unusable_partitions: 0,
            gaps: vec![],
            resets: vec![],
            partitions: vec![],
            observed_at: time(at),
        });
        add(link, status);
    }
    links.into_values().collect()
}

fn add(link: &mut Link, status: LinkPartitionStatus) {
    if badness(&status.state) > badness(&link.state) {
        link.state.clone_from(&status.state);
    }
    link.lag_records += status.lag_records;
    link.lag_bytes += status.lag_bytes;
    link.lag_seconds = link.lag_seconds.max(status.lag_seconds);
    link.silent_ms = link.silent_ms.max(status.silent_ms);
    let measured = link.round_trip_ms.into_iter().chain(status.round_trip_ms);
    link.round_trip_ms = measured.reduce(f64::max);
    link.fetch_bytes = link.fetch_bytes.max(status.fetch_bytes);
    link.fetches_under_way += status.fetches_under_way;
    let known = Line { round_trip_us: None, requests: link.requests, failures: link.failures };
    let worst = Line::worse(Some(known), status.line).unwrap_or_default();
    (link.requests, link.failures) = (worst.requests, worst.failures);
    let differs = status.proof.as_ref().is_some_and(|proof| proof.difference.is_some());
    link.different_partitions += u32::from(differs);
    let is_source_damaged = status.proof.as_ref().is_some_and(|proof| !proof.source_damaged.is_empty());
    link.source_damaged_partitions += u32::from(is_source_damaged);
    let unusable = status.unusable().map(|state| format!("{state}: {}", remedy(state)));
    link.unusable_partitions += u32::from(unusable.is_some());
    link.partitions.push(LinkPartition {
        topic: status.topic.to_string(),
        topic_id: status.topic_id.to_string(),
        partition: status.partition.0,
        state: status.state,
        unusable,
        tail_offset: status.tail.0,
        source_tail_offset: status.source_tail.map(|tail| tail.0),
        lag_records: status.lag_records,
        lag_bytes: status.lag_bytes,
        lag_seconds: status.lag_seconds,
        silent_ms: status.silent_ms,
        round_trip_ms: status.round_trip_ms,
        fetch_bytes: status.fetch_bytes,
        fetches_under_way: status.fetches_under_way,
        proof: status.proof.as_ref().map(proof),
    });
}

/// How far a state is from being caught up; one nobody knows is the farthest.
fn badness(state: &str) -> usize {
    const BEST_FIRST: [&str; 5] = ["caught_up", "fetching", "sealed", "archiving", "disconnected"];
    BEST_FIRST.iter().position(|known| *known == state).unwrap_or(BEST_FIRST.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Offset, OffsetRange, PartitionId, ProtectionGroup, RegionName, TopicId, TopicName};

    fn partition(number: i32, state: &str, lag: u64) -> LinkPartitionStatus {
        let region = |name| RegionName::new(name).unwrap();
        LinkPartitionStatus {
            topic_id: TopicId::ZERO,
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionId(number),
            group: ProtectionGroup::new("default").unwrap(),
            source: region("r1"),
            target: region("r2"),
            state: state.to_owned(),
            tail: Offset(7),
            source_tail: Some(Offset(7 + lag as i64)),
            lag_records: lag,
            lag_bytes: lag * 10,
            lag_seconds: lag as f64,
            silent_ms: lag,
            round_trip_ms: (lag > 0).then_some(20.5),
            fetch_bytes: 1 << 20,
            fetches_under_way: 2,
            line: None,
            proof: None,
        }
    }

    #[test]
    fn a_link_is_as_good_as_its_worst_partition() {
        let links = links_of(vec![partition(0, "caught_up", 0), partition(1, "disconnected", 3)], Timestamp(0));
        let [link] = &links[..] else { panic!("{links:?}") };
        assert_eq!((&link.name[..], &link.state[..]), ("r1->r2/default", "disconnected"));
        assert_eq!((link.lag_records, link.lag_bytes, link.lag_seconds, link.silent_ms), (3, 30, 3.0, 3));
        assert_eq!((link.round_trip_ms, link.fetch_bytes, link.fetches_under_way), (Some(20.5), 1 << 20, 4));
        assert_eq!(link.partitions.len(), 2);
    }

    #[test]
    fn a_link_counts_the_partitions_that_are_not_what_their_source_is() {
        let range = |start, end| OffsetRange::new(Offset(start), Offset(end));
        let (mut good, mut bad) = (partition(0, "caught_up", 0), partition(1, "caught_up", 0));
        let proof = CopyProof { identical: range(3, 131_072), unproven_ranges: 2, ..CopyProof::default() };
        bad.proof = Some(CopyProof { difference: Some(range(131_072, 196_608)), ..proof.clone() });
        good.proof = Some(proof);
        let [link] = &links_of(vec![good, bad], Timestamp(0))[..] else { panic!("one link") };
        let shown: Vec<_> = link.partitions.iter().map(|partition| partition.proof.clone().unwrap()).collect();
        assert_eq!((link.different_partitions, shown[0].different_from_offset), (1, None));
        assert_eq!((shown[1].identical_from_offset, shown[1].identical_to_offset), (3, 131_072));
        assert_eq!((shown[1].different_from_offset, shown[1].different_to_offset), (Some(131_072), Some(196_608)));
    }

    #[test]
    fn a_copy_that_is_no_standby_is_shown_with_its_remedy() {
        let states = ["caught_up", "must_rebuild", "incomplete"];
        let partitions = (0..).zip(states).map(|(number, state)| partition(number, state, 0)).collect();
        let [link] = &links_of(partitions, Timestamp(0))[..] else { panic!("one link") };
        assert_eq!((link.unusable_partitions, link.partitions[0].unusable.as_deref()), (2, None));
        let told = link.partitions[1].unusable.clone().unwrap();
        assert!(told.starts_with("must_rebuild: ") && told.contains("farshore link rebuild"), "{told}");
        assert!(link.partitions[2].unusable.as_deref().unwrap().contains("wait until"));
    }

    #[test]
    fn copies_are_dropped_only_while_they_can_be_made_again() {
        let silent = |state, silent_ms| LinkPartitionStatus { silent_ms, ..partition(0, state, 0) };
        let asked = Rebuilding::default();
        let refused = |status: LinkPartitionStatus, has_run| check_rebuild("l", &[status], has_run, &asked).is_err();
        assert!(!refused(silent("must_rebuild", 10), false));
        assert!(refused(silent("must_rebuild", 10), true), "a run needs what is there");
        assert!(refused(silent("must_rebuild", 60_000), false), "it may be the last copy");
        assert!(refused(silent("incomplete", 10), false), "it mends itself");
        let difference = Some(OffsetRange::new(Offset(0), Offset(65_536)));
        let proof = CopyProof { difference, ..CopyProof::default() };
        assert!(!refused(LinkPartitionStatus { proof: Some(proof), ..silent("caught_up", 10) }, false));
    }

    #[test]
    fn a_copy_is_not_made_again_from_a_source_that_is_damaged_unless_that_is_asked_for() {
        let range = |start, end| OffsetRange::new(Offset(start), Offset(end));
        let proven = |difference| CopyProof {
            difference,
            source_damaged: vec![range(65_536, 131_072), range(196_608, 262_144)],
            ..CopyProof::default()
        };
        let status = |state, proof| LinkPartitionStatus { proof: Some(proof), ..partition(0, state, 0) };
        let refusal = |status: &LinkPartitionStatus, from_damaged_source| {
            let refused = check_rebuild("l", std::slice::from_ref(status), false, &Rebuilding { from_damaged_source });
            refused.err().map(|refused| refused.0.detail.clone())
        };
        let standby = status("caught_up", proven(None));
        assert!(refusal(&standby, true).unwrap().contains("no copy of l has to be rebuilt"));
        let due = status("must_rebuild", proven(None));
        let told = refusal(&due, false).unwrap();
        assert!(told.contains("r1 stores of orders-0 is damaged in offsets [65536, 131072)"), "{told}");
        assert!(told.contains("the copy is sound there: fail over to it first"), "{told}");
        assert_eq!(refusal(&due, true), None);
        let both = status("different", proven(Some(range(65_536, 131_072))));
        assert!(refusal(&both, false).unwrap().contains("not known to be sound there either"));
        let elsewhere = status("different", proven(Some(range(0, 65_536))));
        assert!(refusal(&elsewhere, false).unwrap().contains("the copy is sound there"));
    }

    #[test]
    fn a_source_that_is_damaged_makes_its_copies_no_less_of_a_standby() {
        let mut status = partition(0, "caught_up", 0);
        let bad = OffsetRange::new(Offset(65_536), Offset(131_072));
        status.proof = Some(CopyProof { source_damaged: vec![bad], ..CopyProof::default() });
        let [link] = &links_of(vec![status, partition(1, "caught_up", 0)], Timestamp(0))[..] else {
            panic!("one link")
        };
        assert_eq!((link.source_damaged_partitions, link.different_partitions, link.unusable_partitions), (1, 0, 0));
        let shown = link.partitions[0].proof.clone().unwrap();
        assert_eq!(shown.source_damaged, [DamagedRange { from_offset: 65_536, to_offset: 131_072 }]);
        assert_eq!(link.partitions[0].unusable, None);
    }

    #[test]
    fn a_gap_is_shown_with_the_link_of_its_partition() {
        let links = links_of(vec![partition(1, "caught_up", 0)], Timestamp(0));
        let stored = |partition| RecordedGap {
            region: RegionName::new("r2").unwrap(),
            gap: model::Gap {
                topic: TopicId::ZERO,
                partition: PartitionId(partition),
                range: OffsetRange::new(Offset(5), Offset(9)),
                reason: "retention".to_owned(),
            },
            recorded_at: Timestamp(0),
        };
        let found = shown(&stored(1), &links[0].partitions).unwrap();
        assert_eq!((found.topic.as_str(), found.partition, found.from_offset, found.to_offset), ("orders", 1, 5, 9));
        assert_eq!(shown(&stored(2), &links[0].partitions), None);
    }
}
