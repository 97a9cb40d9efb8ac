//! InitProducerId: an id for an idempotent producer. Transactional ones are refused for good.

use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::init_producer_id::{Request, Response};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    if let Some(transactional_id) = &request.transactional_id {
        tracing::info!(transactional_id, peer = %call.peer, "transactions are not offered");
        // Of all codes the one that every client takes as final.
        return Ok(call.reply(&refused(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)));
    }
    let broker = broker.clone();
    Ok(call.reply_later(async move { Some(next(&broker).await) }))
}

async fn next(broker: &Broker) -> Response {
    match broker.0.producer_ids.next().await {
        Ok(id) => Response { producer_id: id.0, producer_epoch: 0, ..Default::default() },
        Err(error) => {
            tracing::warn!(%error, "no producer id");
            refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
        }
    }
}

fn refused(error_code: ErrorCode) -> Response {
    Response { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() }
}
