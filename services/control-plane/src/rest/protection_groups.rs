//! `/v1/protection-groups`

mod durability;

use super::asked::{Conditions, Json, Keyed, Matched, Path, Query, cut, maybe_name, name};
use super::refused::{Answered, Refused};
use super::shapes::{accepted, asked_policy, created, keyed_name, maybe_time, shown_policy, tagged, time};
use super::{Api, unexpected};
use crate::execute::{Draft, Wish};
use ::api::plans::Plan;
use ::api::protection_groups::{
    AutomationBlock, BlockAutomationRequest, Exposure, FailoverRequest, GrantState, Mode, Policy, ProtectionGroup,
    SwitchoverRequest, UpdateProtectionGroup,
};
use ::api::runs::Run;
use ::api::{Page, Paging};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use catalog::command::{BlockAutomation, CreateGroup, DeleteGroup, UnblockAutomation, UpdateGroup};
use catalog::view::Group;
use catalog::{Answer, Change, View};
use dr_planner::plan::{Kind, PlanId, Trigger};
use durability::{
    asked_mode, asked_slow_target, asked_topic_reset, changed_auto, durability, shown_exposure, shown_judgement,
};
use model::RegionName;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find, replace, update, delete))
        .routes(routes!(failover))
        .routes(routes!(switchover))
        .routes(routes!(failback))
        .routes(routes!(block, unblock))
        .routes(routes!(acknowledge))
        .routes(routes!(exposures))
}

/// All protection groups, by name.
#[utoipa::path(get, path = "/v1/protection-groups", tag = "protection groups", params(Paging),
    responses((status = 200, description = "The groups.", body = Page<ProtectionGroup>)))]
async fn list(State(api): State<Api>, Query(paging): Query<Paging>) -> Answered<axum::Json<Page<ProtectionGroup>>> {
    let view = api.view();
    let mut groups: Vec<_> = view.groups.iter().map(|group| shown_group(&view, group)).collect();
    api.judge_lines(&mut groups).await;
    Ok(axum::Json(cut(groups.into_iter(), &paging, |group| &group.policy.name)?))
}

/// One protection group.
#[utoipa::path(get, path = "/v1/protection-groups/{name}", tag = "protection groups",
    params(("name", description = "Its name.")),
    responses((status = 200, description = "The group.", body = ProtectionGroup)))]
async fn find(State(api): State<Api>, Path(group): Path<String>) -> Answered<Response> {
    let view = api.view();
    let group = name(&group)?;
    let known = view.group(&group).ok_or_else(|| Refused::unknown("protection group", &group))?;
    let mut shown = [shown_group(&view, known)];
    api.judge_lines(&mut shown).await;
    let [shown] = shown;
    Ok(tagged(shown, known.revision))
}

/// Creates a protection group. Topics that it covers more closely than their group does move to it.
#[utoipa::path(post, path = "/v1/protection-groups", tag = "protection groups", request_body = Policy,
    params(Keyed),
    responses((status = 201, description = "It is there.", body = ProtectionGroup)))]
async fn create(State(api): State<Api>, conditions: Conditions, Json(asked): Json<Policy>) -> Answered<Response> {
    let policy = asked_policy(&asked)?;
    let group = policy.name.clone();
    api.decide_group(CreateGroup { policy, canary: api.new_topic_id() }, &conditions).await?;
    let view = api.view();
    let known = view.group(&group).ok_or_else(|| Refused::unknown("protection group", &group))?;
    created(shown_group(&view, known), &format!("/v1/protection-groups/{group}"))
}

/// Replaces what is asked of a protection group. Ownership is not touched.
#[utoipa::path(put, path = "/v1/protection-groups/{name}", tag = "protection groups", request_body = Policy,
    params(("name", description = "Its name."), Matched, Keyed),
    responses((status = 200, description = "As it is now.", body = ProtectionGroup)))]
async fn replace(
    State(api): State<Api>,
    Path(group): Path<String>,
    conditions: Conditions,
    Json(asked): Json<Policy>,
) -> Answered<Response> {
    if asked.name != group {
        let what = format!("the path names protection group {group}, the body {}; names never change", asked.name);
        return Err(Refused::unprocessable(what));
    }
    let policy = asked_policy(&asked)?;
    let group = policy.name.clone();
    api.decide_group(UpdateGroup { policy, expected: conditions.revision }, &conditions).await?;
    api.answer_group(&group)
}

/// Changes some of what is asked of a protection group, for example whether it fails over automatically.
#[utoipa::path(patch, path = "/v1/protection-groups/{name}", tag = "protection groups",
    request_body = UpdateProtectionGroup,
    params(("name", description = "Its name."), Matched, Keyed),
    responses((status = 200, description = "As it is now.", body = ProtectionGroup)))]
async fn update(
    State(api): State<Api>,
    Path(group): Path<String>,
    conditions: Conditions,
    Json(asked): Json<UpdateProtectionGroup>,
) -> Answered<Response> {
    let group: model::ProtectionGroup = name(&group)?;
    let known = api.known_group(&group)?;
    let mut policy = known.policy;
    policy.automatic_failover = asked.automatic_failover.unwrap_or(policy.automatic_failover);
    policy.rpo = asked.rpo_ms.map_or(policy.rpo, Duration::from_millis);
    policy.rto = asked.rto_ms.map_or(policy.rto, Duration::from_millis);
    policy.mode = asked.mode.map_or(policy.mode, asked_mode);
    policy.slow_target = asked.slow_target.map_or(policy.slow_target, asked_slow_target);
    policy.topic_reset = asked.topic_reset.map_or(policy.topic_reset, asked_topic_reset);
    policy.auto = asked.auto.map_or(policy.auto, |change| changed_auto(policy.auto, change));
    policy.diverged_topics = asked.diverged_topics.unwrap_or(policy.diverged_topics);
    if let Some(standbys) = asked.standbys {
        policy.standbys = standbys.iter().map(|region| name(region)).collect::<Answered<_>>()?;
    }
    // Somebody else's change in between is not undone by this one.
    let expected = Some(conditions.revision.unwrap_or(known.revision));
    api.decide_group(UpdateGroup { policy, expected }, &conditions).await?;
    api.answer_group(&group)
}

/// Deletes a protection group; its topics move to the group that covers them next.
#[utoipa::path(delete, path = "/v1/protection-groups/{name}", tag = "protection groups",
    params(("name", description = "Its name."), Matched, Keyed),
    responses((status = 204, description = "It is gone.")))]
async fn delete(State(api): State<Api>, Path(group): Path<String>, conditions: Conditions) -> Answered<StatusCode> {
    let change = DeleteGroup { group: name(&group)?, expected: conditions.revision };
    api.decide_group(change, &conditions).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Cuts over to another region now and accepts the measured loss.
#[utoipa::path(post, path = "/v1/protection-groups/{name}/failover", tag = "protection groups",
    request_body = FailoverRequest, params(("name", description = "Its name."), Keyed),
    responses((status = 202, description = "The run has begun.", body = Run),
        (status = 200, description = "With `dry_run`: the plan.", body = Plan)))]
async fn failover(
    State(api): State<Api>,
    Path(group): Path<String>,
    conditions: Conditions,
    Json(asked): Json<FailoverRequest>,
) -> Answered<Response> {
    let wish = wish(&group, Kind::Failover, asked.target.as_deref(), asked.reason)?;
    let wish = Wish { accept_unusable: asked.accept_unusable_copies, ..wish };
    api.carry_out(wish, asked.dry_run, &conditions).await
}

/// Cuts over to another region once that one has everything; nothing is lost.
#[utoipa::path(post, path = "/v1/protection-groups/{name}/switchover", tag = "protection groups",
    request_body = SwitchoverRequest, params(("name", description = "Its name."), Keyed),
    responses((status = 202, description = "The run has begun.", body = Run),
        (status = 200, description = "With `dry_run`: the plan.", body = Plan)))]
async fn switchover(
    State(api): State<Api>,
    Path(group): Path<String>,
    conditions: Conditions,
    Json(asked): Json<SwitchoverRequest>,
) -> Answered<Response> {
    let wish = wish(&group, Kind::Switchover, asked.target.as_deref(), asked.reason)?;
    api.carry_out(wish, asked.dry_run, &conditions).await
}

/// Cuts over to the group's home once that has everything; nothing is lost.
#[utoipa::path(post, path = "/v1/protection-groups/{name}/failback", tag = "protection groups",
    request_body = SwitchoverRequest, params(("name", description = "Its name."), Keyed),
    responses((status = 202, description = "The run has begun.", body = Run),
        (status = 200, description = "With `dry_run`: the plan.", body = Plan)))]
async fn failback(
    State(api): State<Api>,
    Path(group): Path<String>,
    conditions: Conditions,
    Json(asked): Json<SwitchoverRequest>,
) -> Answered<Response> {
    let wish = wish(&group, Kind::Failback, asked.target.as_deref(), asked.reason)?;
    api.carry_out(wish, asked.dry_run, &conditions).await
}

/// Forbids automatic action on a protection group, for a while or until it is allowed again.
#[utoipa::path(put, path = "/v1/protection-groups/{name}/automation-block", tag = "protection groups",
    request_body = BlockAutomationRequest, params(("name", description = "Its name."), Keyed),
    responses((status = 200, description = "As it is now.", body = ProtectionGroup)))]
async fn block(
    State(api): State<Api>,
    Path(group): Path<String>,
    conditions: Conditions,
    Json(asked): Json<BlockAutomationRequest>,
) -> Answered<Response> {
    let group: model::ProtectionGroup = name(&group)?;
    let until = asked.duration_ms.map(|duration| api.now().plus(Duration::from_millis(duration)));
    let change = BlockAutomation { group: group.clone(), until, reason: asked.reason };
    api.decide_group(change, &conditions).await?;
    api.answer_group(&group)
}

/// Allows automatic action on a protection group again.
#[utoipa::path(delete, path = "/v1/protection-groups/{name}/automation-block", tag = "protection groups",
    params(("name", description = "Its name."), Keyed),
    responses((status = 204, description = "It is allowed.")))]
async fn unblock(State(api): State<Api>, Path(group): Path<String>, conditions: Conditions) -> Answered<StatusCode> {
    api.decide_group(UnblockAutomation { group: name(&group)? }, &conditions).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that a person has looked at what was done automatically: it holds nothing back any more.
#[utoipa::path(post, path = "/v1/protection-groups/{name}/acknowledge", tag = "protection groups",
    params(("name", description = "Its name.")),
    responses((status = 204, description = "It is noted.")))]
async fn acknowledge(State(api): State<Api>, Path(group): Path<String>) -> Answered<StatusCode> {
    api.recovery().acknowledge(&name(&group)?, super::BY).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The RPO ledger of a protection group, the newest entry first: every interval in which a crash of the owner region would
/// have lost writes. There is an open one unless the group is in `sync`.
#[utoipa::path(get, path = "/v1/protection-groups/{name}/exposures", tag = "protection groups",
    params(("name", description = "Its name.")),
    responses((status = 200, description = "The ledger.", body = Page<Exposure>)))]
async fn exposures(State(api): State<Api>, Path(group): Path<String>) -> Answered<axum::Json<Page<Exposure>>> {
    let (group, now) = (name(&group)?, api.now());
    api.known_group(&group)?;
    let ledger = api.reader().exposures(&group).await?;
    Ok(axum::Json(Page::whole(ledger.iter().map(|exposure| shown_exposure(exposure, now)).collect())))
}

/// A move as the API asks for it.
pub(super) fn wish(group: &str, kind: Kind, target: Option<&str>, reason: Option<String>) -> Answered<Wish> {
    Ok(Wish {
        group: name(group)?,
        kind,
        target: maybe_name::<RegionName>(target)?,
        trigger: Trigger::Manual { by: super::BY.to_owned() },
        reason: reason.unwrap_or_else(|| "asked for through the API".to_owned()),
        accept_unusable: false,
    })
}

impl Api {
    async fn decide_group(&self, change: impl Into<Change>, conditions: &Conditions) -> Answered<()> {
        match self.decide(change, conditions).await? {
            Answer::Group { .. } | Answer::Done | Answer::AppliedBefore => Ok(()),
            other => unexpected(&other),
        }
    }

    pub(super) fn known_group(&self, group: &model::ProtectionGroup) -> Answered<Group> {
        self.view().group(group).cloned().ok_or_else(|| Refused::unknown("protection group", group))
    }

    /// Adds what the council's leader makes of the lines of groups in `auto`.
    async fn judge_lines(&self, groups: &mut [ProtectionGroup]) {
        if groups.iter().all(|group| group.policy.mode != Mode::Auto) {
            return;
        }
        let Some(picture) = self.picture().await else { return };
        for group in groups {
            let judged = picture.auto.iter().find(|(name, _)| name.as_str() == group.policy.name);
            group.durability.auto = judged.map(|(_, judged)| shown_judgement(judged));
        }
    }

    fn answer_group(&self, group: &model::ProtectionGroup) -> Answered<Response> {
        let view = self.view();
        let known = view.group(group).ok_or_else(|| Refused::unknown("protection group", group))?;
        Ok(tagged(shown_group(&view, known), known.revision))
    }

    /// Starts a run of the plan of `wish`, or only shows the plan. A request whose key began a run before is answered
    /// with that run.
    async fn carry_out(&self, wish: Wish, dry_run: bool, conditions: &Conditions) -> Answered<Response> {
        let plan_name = keyed_name("plan", conditions.key.as_ref(), &format!("{} {}", wish.kind, wish.group));
        if let Some(begun) = self.begun_before(plan_name.as_deref(), wish.kind).await? {
            return self.answer_run(&begun).await;
        }
        let mut draft: Draft = self.recovery().draft(wish).await?;
        if dry_run {
            return Ok(axum::Json(super::plans::drafted(&draft)).into_response());
        }
        if let Some(name) = plan_name {
            draft.plan.id = PlanId(name);
        }
        let run = self.recovery().start(draft.plan, super::BY).await?;
        self.answer_run(&run).await
    }

    async fn begun_before(&self, plan: Option<&str>, kind: Kind) -> Answered<Option<model::RunId>> {
        let Some(unique) = plan.and_then(|plan| plan.strip_prefix("plan-")) else { return Ok(None) };
        let run = name(&format!("{kind}-{unique}"))?;
        Ok(self.reader().run_summary(&run).await?.map(|run| run.id))
    }

    async fn answer_run(&self, run: &model::RunId) -> Answered<Response> {
        accepted(self.shown_run(run).await?, &format!("/v1/runs/{run}"))
    }
}

pub(super) fn shown_group(view: &View, group: &Group) -> ProtectionGroup {
    let topics = view.topics.iter().filter(|topic| topic.group == group.grant.group && !topic.name.is_internal());
    ProtectionGroup {
        policy: shown_policy(&group.policy),
        owner: group.grant.owner.to_string(),
        ownership_epoch: group.grant.ownership_epoch.0,
        grant: match group.grant.state {
            model::GrantState::Held => GrantState::Held,
            model::GrantState::Revoked => GrantState::Revoked,
        },
        durability: durability(group),
        route_owner: group.route.owner.to_string(),
        route_epoch: group.route.epoch,
        topics: topics.map(|topic| topic.name.to_string()).collect(),
        run: group.run.as_ref().map(ToString::to_string),
        automation_blocked: group.block.as_ref().map(|block| AutomationBlock {
            until: maybe_time(block.until),
            reason: block.reason.clone(),
            since: time(block.since),
            by: block.by.clone(),
        }),
        revision: group.revision,
    }
}
