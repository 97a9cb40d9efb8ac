//! `/v1/plans`

use super::Api;
use super::asked::{Json, Path, Query, maybe_name, page, shown};
use super::refused::{Answered, Refused};
use super::shapes;
use crate::execute::Draft;
use ::api::plans::{CreatePlan, ExpectedCost, Kind, Plan, Step};
use ::api::{Page, Paging};
use axum::extract::State;
use catalog::reader::PageOf;
use dr_planner::assess::Choice;
use dr_planner::plan::{self, Action, PlanId, Trigger};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find))
}

/// Which part of a list is wanted: of one group or all.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfGroup {
    /// Of this protection group only.
    pub(super) group: Option<String>,
    /// The most things a page may hold.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    pub(super) limit: Option<u32>,
    /// What the page before gave as `next`.
    pub(super) after: Option<String>,
}

impl OfGroup {
    pub(super) fn read(&self) -> Answered<(Option<model::ProtectionGroup>, catalog::reader::Page)> {
        let paging = Paging { limit: self.limit, after: self.after.clone() };
        Ok((maybe_name(self.group.as_deref())?, page(&paging)?))
    }
}

/// All plans that were run, the newest first.
#[utoipa::path(get, path = "/v1/plans", tag = "plans", params(OfGroup),
    responses((status = 200, description = "The plans.", body = Page<Plan>)))]
async fn list(State(api): State<Api>, Query(asked): Query<OfGroup>) -> Answered<axum::Json<Page<Plan>>> {
    let (group, page) = asked.read()?;
    let summaries = api.reader().plans(group.as_ref(), page).await?;
    let mut items = Vec::with_capacity(summaries.items.len());
    for summary in &summaries.items {
        items.extend(api.reader().plan(&summary.id).await?);
    }
    Ok(axum::Json(shown(PageOf { items, next: summaries.next }, |plan| shown_plan(&plan))))
}

/// One plan.
#[utoipa::path(get, path = "/v1/plans/{id}", tag = "plans", params(("id", description = "Its name.")),
    responses((status = 200, description = "The plan.", body = Plan)))]
async fn find(State(api): State<Api>, Path(id): Path<String>) -> Answered<axum::Json<Plan>> {
    let plan = api.reader().plan(&PlanId(id.clone())).await?;
    let plan = plan.ok_or_else(|| Refused::unknown("plan", id))?;
    Ok(axum::Json(shown_plan(&plan)))
}

/// Says what a move would do and cost, as things are now. Nothing is stored and nothing happens.
#[utoipa::path(post, path = "/v1/plans", tag = "plans", request_body = CreatePlan,
    responses((status = 200, description = "The plan, with what it is expected to cost.", body = Plan)))]
async fn create(State(api): State<Api>, Json(asked): Json<CreatePlan>) -> Answered<axum::Json<Plan>> {
    let kind = match asked.kind {
        Kind::Failover => plan::Kind::Failover,
        Kind::Switchover => plan::Kind::Switchover,
        Kind::Failback => plan::Kind::Failback,
        Kind::Drill => plan::Kind::Drill,
    };
    let wish = super::protection_groups::wish(&asked.group, kind, asked.target.as_deref(), asked.reason)?;
    Ok(axum::Json(drafted(&api.recovery().draft(wish).await?)))
}

/// A plan that was not started, and its cost.
pub(super) fn drafted(draft: &Draft) -> Plan {
    Plan { expected: draft.choice().map(expected), ..shown_plan(&draft.plan) }
}

fn expected(choice: &Choice) -> ExpectedCost {
    let loss = choice.loss.unwrap_or_default();
    ExpectedCost {
        lost_records: loss.records,
        lost_bytes: loss.bytes,
        lost_seconds: loss.seconds,
        duration_ms: choice.time_ms.unwrap_or_default(),
        objectives_met: choice.rpo_met == Some(true) && choice.rto_met == Some(true),
    }
}

fn shown_plan(plan: &plan::Plan) -> Plan {
    Plan {
        id: plan.id.to_string(),
        parent: plan.parent.as_ref().map(ToString::to_string),
        generation: plan.generation,
        kind: shapes::kind(plan.kind),
        group: plan.group.to_string(),
        source: plan.source.to_string(),
        target: plan.target.to_string(),
        ownership_epoch: plan.ownership_epoch.0,
        steps: plan.steps.iter().map(shown_step).collect(),
        created_at: shapes::time(plan.created_at),
        trigger: match &plan.trigger {
            Trigger::Manual { by } => format!("manual {by}"),
            Trigger::RegionLost { region } => format!("region_lost {region}"),
            Trigger::Schedule { name } => format!("schedule {name}"),
        },
        reason: plan.reason.clone(),
        inputs_digest: plan.inputs_digest.clone(),
        expected: None,
    }
}

fn shown_step(step: &plan::Step) -> Step {
    let (description, region) = told(&step.action);
    Step {
        id: step.id.to_string(),
        description,
        region: region.map(ToString::to_string),
        after: step.after.iter().map(ToString::to_string).collect(),
        critical: step.critical,
        timeout_ms: step.timeout.as_millis() as u64,
        undoable: step.undo.is_some(),
        pivot: step.pivot,
    }
}

/// What a step does, in words, and where.
fn told(action: &Action) -> (String, Option<&model::RegionName>) {
    match action {
        Action::Revoke => ("the council answers no renewal of the owner's lease any more".to_owned(), None),
        Action::Regrant => ("the council gives the same grant to the same owner again".to_owned(), None),
        Action::WaitOutLease { wait } => {
            (format!("wait {} ms, until the owner's lease cannot stand any more", wait.as_millis()), None)
        }
        Action::Collect { region, from } => {
            let from = from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            (format!("{region} fetches from {from} what it lacks"), Some(region))
        }
        Action::Seal { region } => (format!("{region} takes nothing more from any link"), Some(region)),
        Action::Unseal { region } => (format!("{region} follows its links again"), Some(region)),
        Action::StopWrites { region } => (format!("{region} takes no more writes"), Some(region)),
        Action::ResumeWrites { region } => (format!("{region} takes writes again"), Some(region)),
        Action::CatchUp { region } => (format!("{region} follows until it has everything"), Some(region)),
        Action::Pivot { owner, ownership_epoch } => {
            (format!("the council makes {owner} the owner, under ownership epoch {}", ownership_epoch.0), None)
        }
        Action::Open { region, .. } => (format!("{region} opens its partitions"), Some(region)),
        Action::Redirect { owner } => (format!("the council sends the gateways to {owner}"), None),
        Action::Verify { region } => (format!("a record is produced and consumed at {region}"), Some(region)),
    }
}
