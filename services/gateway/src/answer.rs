//! What the gateway answers itself: everything that names nodes, leaders or the cluster.

mod cluster;
mod coordinator;
mod metadata;
mod versions;

pub(crate) use metadata::unknown_topics;

use crate::state::Routing;
use bytes::Bytes;
use wire::{ApiKey, DecodeError, EncodeError, ErrorCode, Request, RequestHeader};

/// Why a request could not be answered here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It is not a request.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The answer does not fit the version asked for.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Whether requests of this API are answered here.
pub(crate) fn is_local(api_key: i16) -> bool {
    let local = [ApiKey::ApiVersions, ApiKey::Metadata, ApiKey::FindCoordinator, ApiKey::DescribeCluster];
    local.iter().any(|key| key.number() == api_key)
}

/// The answer, as a frame.
///
/// # Errors
/// When the request is none.
pub(crate) fn answer(header: &RequestHeader, body: Bytes, routing: &Routing) -> Result<Bytes, Unanswered> {
    match ApiKey::try_from(header.api_key)? {
        ApiKey::ApiVersions => versions::answer(header, body),
        ApiKey::Metadata => respond(header, body, |request| metadata::answer(&request, routing)),
        ApiKey::FindCoordinator => {
            respond(header, body, |request| coordinator::answer(&request, header.api_version, routing))
        }
        ApiKey::DescribeCluster => respond(header, body, |request| cluster::answer(&request, routing)),
        other => unreachable!("{other} is not answered here"),
    }
}

/// Decodes the request, answers it, encodes the answer.
pub(crate) fn respond<R: Request>(
    header: &RequestHeader,
    body: Bytes,
    answer: impl FnOnce(R) -> R::Response,
) -> Result<Bytes, Unanswered> {
    let request = R::decode_front(body, header.api_version)?;
    Ok(wire::frame::encode_response(header.correlation_id, header.api_version, &answer(request))?)
}

/// The host and port clients reach the coordinator at, or why there is none.
type Node = Result<(i32, String, i32), ErrorCode>;
