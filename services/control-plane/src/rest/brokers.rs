//! `/v1/regions/{region}/brokers`

use super::Api;
use super::asked::{Json, Path, Query, cut, name};
use super::refused::{Answered, Refused};
use super::shapes::accepted;
use crate::council::{Call, Reply};
use ::api::brokers::{Broker, BrokerState, DrainBroker};
use ::api::{ErrorCode, Page, Paging, Problem};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::{BrokerOrder, BrokerOrderError, BrokerSlot, BrokerStatus, RegionName};
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a region may take to say what it knows of its brokers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it may take to agree on an order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find, unregister)).routes(routes!(drain, cancel_drain))
}

/// The brokers of a region, with what each of them holds.
#[utoipa::path(get, path = "/v1/regions/{region}/brokers", tag = "brokers",
    params(("region", description = "The region."), Paging),
    responses((status = 200, description = "The brokers.", body = Page<Broker>)))]
async fn list(
    State(api): State<Api>,
    Path(region): Path<String>,
    Query(paging): Query<Paging>,
) -> Answered<axum::Json<Page<Broker>>> {
    let brokers = api.brokers(&name(&region)?).await?;
    // As text, slots would be out of order.
    let brokers = brokers.into_iter().map(|broker| (format!("{:05}", broker.slot), broker));
    let page = cut(brokers, &paging, |(slot, _)| slot)?;
    Ok(axum::Json(Page { items: page.items.into_iter().map(|(_, broker)| broker).collect(), next: page.next }))
}

/// One broker of a region: how much it holds tells how far its drain is.
#[utoipa::path(get, path = "/v1/regions/{region}/brokers/{slot}", tag = "brokers",
    params(("region", description = "The region."), ("slot" = u16, Path, description = "The broker's slot.")),
    responses((status = 200, description = "The broker.", body = Broker)))]
async fn find(State(api): State<Api>, Path((region, slot)): Path<(String, u16)>) -> Answered<axum::Json<Broker>> {
    api.broker(&name(&region)?, slot).await.map(axum::Json)
}

/// Empties a broker: its leaderships go first, then its replicas, some at a time, to the brokers that are left or to the one
/// named. Nothing new is placed on it. Refused where the replicas of a topic would not find enough brokers.
#[utoipa::path(post, path = "/v1/regions/{region}/brokers/{slot}/drain", tag = "brokers",
    params(("region", description = "The region."), ("slot" = u16, Path, description = "The broker's slot.")),
    request_body = DrainBroker,
    responses((status = 202, description = "It has begun; the broker tells what is left.", body = Broker)))]
async fn drain(
    State(api): State<Api>,
    Path((region, slot)): Path<(String, u16)>,
    Json(asked): Json<DrainBroker>,
) -> Answered<Response> {
    let region = name(&region)?;
    let order = BrokerOrder::Drain { broker: BrokerSlot(slot), onto: asked.onto.map(BrokerSlot) };
    api.order_broker(&region, order).await?;
    accepted(api.broker(&region, slot).await?, &format!("/v1/regions/{region}/brokers/{slot}"))
}

/// Lets a broker be used as before. What has left it stays where it is; what is still on its way stays with it.
#[utoipa::path(delete, path = "/v1/regions/{region}/brokers/{slot}/drain", tag = "brokers",
    params(("region", description = "The region."), ("slot" = u16, Path, description = "The broker's slot.")),
    responses((status = 200, description = "It is in use.", body = Broker)))]
async fn cancel_drain(
    State(api): State<Api>,
    Path((region, slot)): Path<(String, u16)>,
) -> Answered<axum::Json<Broker>> {
    let region = name(&region)?;
    api.order_broker(&region, BrokerOrder::CancelDrain { broker: BrokerSlot(slot) }).await?;
    api.broker(&region, slot).await.map(axum::Json)
}

/// Forgets a broker that was drained and stopped. Refused while it holds anything or runs. The disk it had is not taken
/// back: whoever starts in its slot begins with an empty one.
#[utoipa::path(delete, path = "/v1/regions/{region}/brokers/{slot}", tag = "brokers",
    params(("region", description = "The region."), ("slot" = u16, Path, description = "The broker's slot.")),
    responses((status = 204, description = "It is forgotten.")))]
async fn unregister(State(api): State<Api>, Path((region, slot)): Path<(String, u16)>) -> Answered<StatusCode> {
    api.order_broker(&name(&region)?, BrokerOrder::Unregister { broker: BrokerSlot(slot) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    async fn brokers(&self, region: &RegionName) -> Answered<Vec<Broker>> {
        match self.ask_region(region, &Call::Brokers, ANSWER_TIMEOUT).await? {
            Reply::Brokers(brokers) => Ok(brokers.into_iter().map(shown).collect()),
            other => Err(unexpected(region, &other)),
        }
    }

    async fn broker(&self, region: &RegionName, slot: u16) -> Answered<Broker> {
        let found = self.brokers(region).await?.into_iter().find(|broker| broker.slot == slot);
        found.ok_or_else(|| Refused::unknown("broker", slot))
    }

    async fn order_broker(&self, region: &RegionName, order: BrokerOrder) -> Answered<()> {
        match self.ask_region(region, &Call::OrderBroker(order), ORDER_TIMEOUT).await? {
            Reply::BrokerOrdered(ordered) => ordered.map_err(refused),
            other => Err(unexpected(region, &other)),
        }
    }

    /// Asks the region's own node.
    pub(super) async fn ask_region(&self, region: &RegionName, call: &Call, within: Duration) -> Answered<Reply> {
        if self.view().region(region).is_none() {
            return Err(Refused::unknown("region", region));
        }
        self.council().call_region(region, call, within).await.map_err(|error| {
            let problem = Problem::new(ErrorCode::RegionUnavailable, format!("region {region}: {}", error.what));
            if error.may_have_happened { problem.of_unknown_outcome().into() } else { problem.into() }
        })
    }
}

/// What is made of an answer to something else.
pub(super) fn unexpected(region: &RegionName, reply: &Reply) -> Refused {
    match reply {
        Reply::Failed { what, .. } => Refused::new(ErrorCode::RegionUnavailable, format!("region {region}: {what}")),
        other => Refused::new(ErrorCode::Internal, format!("region {region} answered {other:?}")),
    }
}

fn refused(error: BrokerOrderError) -> Refused {
    match error {
        BrokerOrderError::Unknown(slot) => Refused::unknown("broker", slot.0),
        BrokerOrderError::Refused(_) => Refused::new(ErrorCode::Conflict, error),
        BrokerOrderError::NotNow(_) => {
            Problem::new(ErrorCode::RegionUnavailable, error.to_string()).of_unknown_outcome().into()
        }
    }
}

fn shown(status: BrokerStatus) -> Broker {
    let state = match status.drain {
        None => BrokerState::InUse,
        Some(_) if status.replicas == 0 => BrokerState::Drained,
        Some(_) => BrokerState::Draining,
    };
    Broker {
        slot: status.slot.0,
        node_id: status.node_id,
        incarnation: status.incarnation.0,
        state,
        alive: status.alive,
        data_centre: status.data_centre,
        rack: status.rack,
        clients: status.clients,
        replicas: status.replicas,
        in_sync: status.in_sync,
        leaders: status.leaders,
        leaving: status.leaving,
        onto: status.drain.and_then(|drain| drain.onto).map(|onto| onto.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BrokerDrain, Incarnation};

    #[test]
    fn a_broker_is_drained_when_nothing_is_left_on_it() {
        let status = |replicas, drain| BrokerStatus {
            slot: BrokerSlot(2),
            node_id: 3,
            incarnation: Incarnation(1),
            alive: true,
            data_centre: String::new(),
            rack: String::new(),
            clients: String::new(),
            replicas,
            in_sync: 0,
            leaders: 0,
            leaving: 0,
            drain,
        };
        let drain = Some(BrokerDrain { onto: Some(BrokerSlot(3)) });
        assert_eq!(shown(status(0, None)).state, BrokerState::InUse);
        assert_eq!(shown(status(1, drain)).state, BrokerState::Draining);
        let drained = shown(status(0, drain));
        assert_eq!((drained.state, drained.onto), (BrokerState::Drained, Some(3)));
    }
}
