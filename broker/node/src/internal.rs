//! What links, offset sync and gateways' metadata followers ask, on the internal listener.

use crate::Broker;
use crate::api::{Call, Reply, Started};
use bytes::Bytes;

/// Starts a private request.
pub(crate) fn start(_: &Broker, call: Call, _: Bytes) -> Started {
    tracing::warn!(api_key = call.header.api_key, peer = %call.peer, "no such private API");
    Ok(Reply::Close)
}
