//! ApiVersions: what a broker speaks. The response's header is always version 0, and an unknown version of the request
//! is answered with a body of version 0, error 35 and the list.

use super::table::*;
use crate::codec::{DecodeError, Message, Versions};
use std::collections::HashMap;

message! {
    /// Who asks.
    pub struct Request (key 18, versions 0..=4, flexible 3..) -> Response {
        client_software_name: String [3..],
        client_software_version: String [3..],
    }
}

message! {
    /// What the broker speaks.
    ///
    /// Leave the features at their defaults for as long as there are none: old clients mis-read empty tagged fields.
    pub struct Response (key 18, versions 0..=4, flexible 3..) {
        error_code: ErrorCode,
        api_keys: Vec<ApiVersion>,
        throttle_time_ms: i32 [1..],
        supported_features: Vec<SupportedFeatureKey> [3..; tag 0],
        finalized_features_epoch: i64 [3..; tag 1] = -1,
        finalized_features: Vec<FinalizedFeatureKey> [3..; tag 2],
        zk_migration_ready: bool [3..; tag 3],
    }

    /// The versions of one API.
    pub struct ApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    /// A feature the broker could have.
    pub struct SupportedFeatureKey {
        name: String,
        min_version: i16,
        max_version: i16,
    }

    /// A feature the cluster has.
    pub struct FinalizedFeatureKey {
        name: String,
        max_version_level: i16,
        min_version_level: i16,
    }
}

impl Request {
    /// Whether the client's name and version are of the form KIP-511 asks for; if not, the answer is INVALID_REQUEST.
    pub fn is_valid(&self) -> bool {
        let word = |text: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
            let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = text.as_bytes();
            bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last())
        };
        word(&self.client_software_name) && word(&self.client_software_version)
    }
}

impl Response {
    /// The answer to a request of `version`, and the version to write it in: an unknown version is told what there is
    /// in version 0.
    pub fn answer(version: i16, api_keys: Vec<ApiVersion>) -> (i16, Self) {
        let known = Request::VERSIONS.contains(version);
        let error_code = if known { ErrorCode::NONE } else { ErrorCode::UNSUPPORTED_VERSION };
        (if known { version } else { 0 }, Self { error_code, api_keys, ..Default::default() })
    }

    /// Reads the answer to a request of `version`, which is one of version 0 when the broker does not know `version`.
    ///
    /// # Errors
    /// As [`Message::decode`].
    pub fn decode_any(body: Bytes, version: i16) -> Result<Self, DecodeError> {
        let unsupported = body.starts_with(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes());
        Self::decode(body, if unsupported { 0 } else { version })
    }

    /// The versions by API key.
    pub fn by_key(&self) -> HashMap<i16, Versions> {
        let versions = |api: &ApiVersion| (api.api_key, Versions::new(api.min_version, api.max_version));
        self.api_keys.iter().map(versions).collect()
    }
}
