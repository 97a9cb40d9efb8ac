//! SaslHandshake: refused, for the listeners take no credentials.

use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::sasl_handshake::{Request, Response};

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    tracing::info!(mechanism = request.mechanism, peer = %call.peer, "SASL on a plaintext listener");
    Ok(call.reply(&Response { error_code: ErrorCode::ILLEGAL_SASL_STATE, ..Default::default() }))
}
