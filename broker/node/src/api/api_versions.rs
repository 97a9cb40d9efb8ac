//! ApiVersions: what is spoken here.

use super::{Call, SERVED, Started};
use crate::Broker;
use bytes::Bytes;
use wire::api::api_versions::{Request, Response};
use wire::{ApiKey, ErrorCode};

/// The first version in which clients name themselves (KIP-511).
const FIRST_WITH_CLIENT_NAME: i16 = 3;

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let api_keys = SERVED.iter().map(|key| ApiKey::api_version(*key)).collect();
    let (version, mut answer) = Response::answer(call.header.api_version, api_keys);
    if answer.error_code.is_ok() {
        let request: Request = call.decode(body)?;
        if version >= FIRST_WITH_CLIENT_NAME && !request.is_valid() {
            answer = Response { error_code: ErrorCode::INVALID_REQUEST, ..Response::default() };
        }
    }
    Ok(call.in_version(version).reply(&answer))
}
