//! `/v1/health`

use super::Api;
use super::regions::{health_of, score, state};
use crate::observe::Picture;
use crate::tenure::node_name;
use ::api::health::{Council, Finding, GroupHealth, Health, HealthStatus, RegionHealth};
use ::api::regions::RegionState;
use axum::Json;
use axum::extract::State;
use catalog::View;
use catalog::view::Group;
use dr_planner::assess::{refusals, remedy};
use dr_planner::inventory::LinkFacts;
use dr_planner::plan::Kind;
use model::{GrantState, RegionName, copy_states, limits};
use quorum::NodeId;
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long the council may take to prove that it has a quorum.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(find))
}

/// How the platform is, as this node sees it.
#[utoipa::path(get, path = "/v1/health", tag = "health",
    responses((status = 200, description = "How it is; also when it is not well.", body = Health)))]
async fn find(State(api): State<Api>) -> Json<Health> {
    Json(api.health().await)
}

impl Api {
    pub(crate) async fn health(&self) -> Health {
        let (picture, council) = tokio::join!(self.picture(), self.shown_council());
        let view = self.view();
        let regions: Vec<_> =
            view.regions.iter().map(|region| region_health(&region.address.region, picture.as_ref())).collect();
        let groups: Vec<_> = view.groups.iter().map(|group| group_health(group, picture.as_ref())).collect();
        let findings = findings(&view, &council, &regions, &groups, picture.as_ref());
        Health {
            status: findings.iter().map(|finding| finding.status).max().unwrap_or(HealthStatus::Ok),
            cluster_id: view.cluster_id.clone(),
            node: node_name(self.council()).map_or_else(|| self.council().id().to_string(), |name| name.to_string()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            council,
            regions,
            groups,
            findings,
        }
    }

    async fn shown_council(&self) -> Council {
        let quorum = matches!(timeout(QUORUM_TIMEOUT, self.council().ensure_linearizable()).await, Ok(Ok(())));
        let leadership = self.council().leadership().borrow().clone();
        let membership = self.council().membership();
        let leader = leadership.leader.map(|leader| name_of(&self.view(), leader));
        Council {
            quorum,
            leader: leader.filter(|_| quorum),
            term: leadership.term,
            voters: membership.voters().len() as u64,
            applied_index: self.reader().applied_index(),
            owners_stop_in_ms: (!quorum).then_some(limits::LEASE_TTL.as_millis() as u64),
        }
    }
}

fn name_of(view: &View, node: NodeId) -> String {
    let node_id = u64::from(node);
    let region = view.regions.iter().find(|region| region.node_id == node_id);
    let witness = view.witness.as_ref().filter(|witness| witness.node_id == node_id);
    let named = region.map(|region| region.address.region.to_string());
    named.or_else(|| witness.map(|witness| witness.name.clone())).unwrap_or_else(|| node.to_string())
}

fn region_health(region: &RegionName, picture: Option<&Picture>) -> RegionHealth {
    let health = picture.and_then(|picture| health_of(picture, region));
    RegionHealth {
        name: region.to_string(),
        state: health.map_or(RegionState::Unknown, state),
        score: health.and_then(|health| score(&health.score)),
    }
}

fn group_health(group: &Group, picture: Option<&Picture>) -> GroupHealth {
    let (grant, policy) = (&group.grant, &group.policy);
    let members = std::iter::once(&policy.home).chain(&policy.standbys).filter(|region| **region != grant.owner);
    let ready = |region: &&RegionName| {
        picture.is_some_and(|picture| refusals(&picture.inventory, policy, grant, Kind::Switchover, region).is_empty())
    };
    let lag = picture.and_then(|picture| {
        let copies = picture.inventory.links.iter().filter(|link| link.group == grant.group);
        let recent = |link: &&LinkFacts| link.source == grant.owner && picture.inventory.is_recent(link.observed_at);
        copies.filter(recent).map(|link| link.lag_seconds).reduce(f64::min)
    });
    GroupHealth {
        name: grant.group.to_string(),
        owner: grant.owner.to_string(),
        writable: grant.state == GrantState::Held
            && picture.is_some_and(|picture| picture.inventory.is_served(&grant.group)),
        ready_standbys: members.filter(ready).map(ToString::to_string).collect(),
        lag_seconds: lag,
        rpo_met: lag.is_some_and(|lag| lag <= policy.rpo.as_secs_f64()),
    }
}

/// What is not as it should be.
fn findings(
    view: &View,
    council: &Council,
    regions: &[RegionHealth],
    groups: &[GroupHealth],
    picture: Option<&Picture>,
) -> Vec<Finding> {
    let finding = |status, subject: &str, detail: String| Finding { status, subject: subject.to_owned(), detail };
    let mut findings = vec![];
    if !council.quorum {
        let what = "no majority of the council answers: owners stop within one lease, nothing can be changed; start \
                    the missing processes again";
        findings.push(finding(HealthStatus::Failing, "council", what.to_owned()));
    }
    for region in regions {
        if let Some((status, what)) = concern(region.state) {
            let seen = picture.and_then(|picture| picture.regions.iter().find(|h| h.region.as_str() == region.name));
            let seen = seen.map_or(String::new(), |health| format!(": {}", health.detection));
            findings.push(finding(status, &region.name, format!("{what}{seen}")));
        }
    }
    // Without a picture nothing is known of groups; that is said of the council already, or lasts for a moment.
    for group in groups.iter().filter(|_| picture.is_some()) {
        let known = view.groups.iter().find(|known| known.grant.group.as_str() == group.name);
        let is_active = known.is_some_and(|known| known.policy.active_active.is_some());
        // Where every region takes writes, nobody has to be ready to take over.
        findings.extend(group_finding(group).filter(|found| !is_active || found.status == HealthStatus::Failing));
    }
    for group in view.groups.iter() {
        let name = group.grant.group.as_str();
        if let Some(run) = &group.run {
            let what = format!("run {run} is in progress; see /v1/runs/{run}");
            findings.push(finding(HealthStatus::Degraded, name, what));
        }
        if let Some(block) = &group.block {
            let what = format!("automatic action is forbidden by {}: {}", block.by, block.reason);
            findings.push(finding(HealthStatus::Degraded, name, what));
        }
    }
    let links = || picture.into_iter().flat_map(|picture| &picture.inventory.links);
    findings.extend(links().filter_map(copy_finding));
    findings.extend(links().filter_map(source_finding));
    let idle = picture.into_iter().flat_map(|picture| &picture.idle);
    findings.extend(idle.map(|(group, why)| {
        finding(HealthStatus::Degraded, group.as_str(), format!("nothing is done automatically: {why}"))
    }));
    findings
}

/// What a region's state is worth saying.
const fn concern(state: RegionState) -> Option<(HealthStatus, &'static str)> {
    match state {
        RegionState::Healthy => None,
        RegionState::Degraded => Some((HealthStatus::Degraded, "it does not do well")),
        RegionState::Suspect => Some((HealthStatus::Degraded, "it may be failing")),
        RegionState::Failed => Some((HealthStatus::Degraded, "it is lost, or has failed for too long")),
        RegionState::Recovering => Some((HealthStatus::Degraded, "it came back and is watched")),
        RegionState::Unknown => Some((HealthStatus::Degraded, "too little is known of it yet")),
    }
}

/// Copies of a link that are no standby, for the first of them. Those that mend themselves are not worth a word.
fn copy_finding(link: &LinkFacts) -> Option<Finding> {
    let lasting: Vec<_> = link.unusable.iter().filter(|(_, state)| state != copy_states::INCOMPLETE).collect();
    let (partition, state) = lasting.first()?;
    let detail = format!(
        "{} of its copies in {} are no standby; that of {partition} is {state}: {}",
        lasting.len(),
        link.target,
        remedy(state)
    );
    Some(Finding { status: HealthStatus::Degraded, subject: link.group.to_string(), detail })
}

/// Partitions of a link whose source is damaged, for the first of them.
fn source_finding(link: &LinkFacts) -> Option<Finding> {
    let (partition, range) = link.source_damaged.first()?;
    let LinkFacts { source, target, group, .. } = link;
    let is_standby = !link.unusable.iter().any(|(unusable, _)| unusable == partition);
    let remedy = match is_standby {
        true => format!(
            "the copy in {target} is sound there: move the group to it (farshore protection switchover --target {target}), and \
             do not rebuild it from {source}"
        ),
        false => "see /v1/links for its copies".to_owned(),
    };
    let count = link.source_damaged.len();
    let detail = format!(
        "the disk of {source} gives something else than was written to it for {count} partitions; {partition} is damaged there \
         in offsets {range}: {remedy}"
    );
    Some(Finding { status: HealthStatus::Degraded, subject: group.to_string(), detail })
}

fn group_finding(group: &GroupHealth) -> Option<Finding> {
    let (status, detail) = if !group.writable {
        (HealthStatus::Failing, format!("{} takes no writes for it now", group.owner))
    } else if group.ready_standbys.is_empty() {
        (HealthStatus::Degraded, "no standby could take over now; see POST /v1/plans for the reasons".to_owned())
    } else if !group.rpo_met {
        let lag = group.lag_seconds.map_or("unknown".to_owned(), |lag| format!("{lag:.1} s"));
        (HealthStatus::Degraded, format!("losing {} now would miss the objective: the lag is {lag}", group.owner))
    } else {
        return None;
    };
    Some(Finding { status, subject: group.name.clone(), detail })
}
