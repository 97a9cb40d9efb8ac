//! What links, offset sync and gateways' metadata followers ask, on the internal listener.

mod active_fetch;
mod control;
mod link_fetch;

use crate::Broker;
use crate::api::{Call, Reply, Started};
use crate::replication;
use bytes::Bytes;
use wire::Message;

/// Starts a private request.
pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    match call.header.api_key {
        wire::internal::control::Request::KEY => control::start(broker, call, body),
        wire::internal::replica_fetch::Request::KEY => replication::start(broker, call, body),
        wire::internal::replica_progress::Request::KEY => replication::progress(broker, &call, body),
        wire::internal::active_fetch::Request::KEY => active_fetch::start(broker, call, body),
        wire::internal::link_fetch::Request::KEY => link_fetch::start(broker, call, body),
        wire::internal::shelf::Request::KEY => crate::shelf::start(broker, call, body),
        api_key => {
            tracing::warn!(api_key, peer = %call.peer, "no such private API");
            Ok(Reply::Close)
        }
    }
}
