//! UnregisterBroker: a broker that is empty and stopped is forgotten (KIP-631).

use super::{Call, Started, cluster};
use crate::Broker;
use bytes::Bytes;
use model::{BrokerOrder, BrokerOrderError};
use wire::ErrorCode;
use wire::api::unregister_broker::{Request, Response};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let (error_code, error_message) = match unregister(&broker, request.broker_id).await {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (code, Some(message)),
        };
        Some(Response { error_code, error_message, ..Default::default() })
    }))
}

async fn unregister(broker: &Broker, node: i32) -> Result<(), (ErrorCode, String)> {
    let image = broker.image();
    let found = image.brokers().find(|(slot, _)| cluster::node_id(broker, *slot) == node);
    let unknown = || (ErrorCode::BROKER_ID_NOT_REGISTERED, format!("there is no broker {node}"));
    let (slot, _) = found.ok_or_else(unknown)?;
    let ordered = broker.order_broker(BrokerOrder::Unregister { broker: slot }).await;
    ordered.map_err(|error| (code(&error), error.to_string()))
}

fn code(error: &BrokerOrderError) -> ErrorCode {
    match error {
        BrokerOrderError::Unknown(_) => ErrorCode::BROKER_ID_NOT_REGISTERED,
        BrokerOrderError::Refused(_) => ErrorCode::INVALID_REQUEST,
        BrokerOrderError::NotNow(_) => ErrorCode::REQUEST_TIMED_OUT,
    }
}
