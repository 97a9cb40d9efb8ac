//! What only Farshore's own processes say to each other, on the internal listener: same frames and headers as Kafka's,
//! keys from 1000 on, never advertised.

pub mod active_fetch;
pub mod baseline;
pub mod control;
pub mod link_fetch;
pub mod replica_fetch;
pub mod replica_progress;
pub mod shelf;

use crate::codec::Message;

/// The first key that is ours.
pub const FIRST_KEY: i16 = 1000;

/// The first flexible version of an internal API; `None` when `api_key` is none.
pub(crate) const fn flexible_from(api_key: i16) -> Option<i16> {
    match api_key {
        active_fetch::Request::KEY => Some(active_fetch::Request::FLEXIBLE_FROM),
        control::Request::KEY => Some(control::Request::FLEXIBLE_FROM),
        link_fetch::Request::KEY => Some(link_fetch::Request::FLEXIBLE_FROM),
        replica_fetch::Request::KEY => Some(replica_fetch::Request::FLEXIBLE_FROM),
        replica_progress::Request::KEY => Some(replica_progress::Request::FLEXIBLE_FROM),
        shelf::Request::KEY => Some(shelf::Request::FLEXIBLE_FROM),
        _ => None,
    }
}

/// What the tables are written with.
mod table {
    pub(super) use super::baseline::Baseline;
    pub(super) use crate::codec::{NEVER, Records, message};
    pub(super) use crate::error::ErrorCode;
    pub(super) use bytes::Bytes;
    pub(super) use model::TopicId;
}
