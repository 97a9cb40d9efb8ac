//! ApiVersions: a set shaped like Kafka 3.5, so that clients that infer a release from it infer one that exists, with
//! the consumer protocol of Kafka 4 (KIP-848) beside it.
//!
//! Produce ends at 9 and Fetch at 15: later versions carry node addresses in the body, and bodies pass undecoded.
//! Transactions are not offered. Nor are DescribeQuorum and reassignments, which name the nodes of one region.

use super::Unanswered;
use bytes::Bytes;
use wire::api::api_versions::{ApiVersion, Request, Response};
use wire::{ApiKey, ErrorCode, Message, RequestHeader};

/// The highest version of each API that passes through; what is not listed is not offered.
const HIGHEST: &[(ApiKey, i16)] = &[
    (ApiKey::Produce, 9),
    (ApiKey::Fetch, 15),
    (ApiKey::ListOffsets, 8),
    (ApiKey::Metadata, 12),
    (ApiKey::OffsetCommit, 9),
    (ApiKey::OffsetFetch, 9),
    (ApiKey::FindCoordinator, 4),
    (ApiKey::JoinGroup, 9),
    (ApiKey::Heartbeat, 4),
    (ApiKey::LeaveGroup, 5),
    (ApiKey::SyncGroup, 5),
    (ApiKey::DescribeGroups, 5),
    (ApiKey::ListGroups, 5),
    (ApiKey::SaslHandshake, 1),
    (ApiKey::ApiVersions, 3),
    (ApiKey::CreateTopics, 7),
    (ApiKey::DeleteTopics, 6),
    (ApiKey::DeleteRecords, 2),
    (ApiKey::InitProducerId, 4),
    (ApiKey::OffsetForLeaderEpoch, 4),
    (ApiKey::DescribeAcls, 3),
    (ApiKey::CreateAcls, 3),
    (ApiKey::DeleteAcls, 3),
    (ApiKey::DescribeConfigs, 4),
    (ApiKey::AlterConfigs, 2),
    (ApiKey::SaslAuthenticate, 2),
    (ApiKey::CreatePartitions, 3),
    (ApiKey::DeleteGroups, 2),
    (ApiKey::ElectLeaders, 2),
    (ApiKey::IncrementalAlterConfigs, 1),
    (ApiKey::OffsetDelete, 0),
    (ApiKey::DescribeClientQuotas, 1),
    (ApiKey::AlterClientQuotas, 1),
    (ApiKey::DescribeUserScramCredentials, 0),
    (ApiKey::AlterUserScramCredentials, 0),
    (ApiKey::UpdateFeatures, 1),
    (ApiKey::DescribeCluster, 0),
    (ApiKey::DescribeProducers, 0),
    (ApiKey::ConsumerGroupHeartbeat, 1),
    (ApiKey::ConsumerGroupDescribe, 1),
];

pub(super) fn answer(header: &RequestHeader, body: Bytes) -> Result<Bytes, Unanswered> {
    let known = header.api_version <= highest(ApiKey::ApiVersions).unwrap_or(0);
    let (version, error_code) = match known {
        true => (header.api_version, check(header.api_version, body)?),
        // Version 0 is what every client can read; it tries again with a version from the list.
        false => (0, ErrorCode::UNSUPPORTED_VERSION),
    };
    let response = Response { error_code, api_keys: offered(), ..Default::default() };
    Ok(wire::frame::encode_response(header.correlation_id, version, &response)?)
}

fn check(version: i16, body: Bytes) -> Result<ErrorCode, Unanswered> {
    let request = Request::decode(body, version)?;
    let is_valid = version < 3 || request.is_valid();
    Ok(if is_valid { ErrorCode::NONE } else { ErrorCode::INVALID_REQUEST })
}

fn highest(key: ApiKey) -> Option<i16> {
    HIGHEST.iter().find(|(listed, _)| *listed == key).map(|(_, version)| *version)
}

fn offered() -> Vec<ApiVersion> {
    let offer = |(key, highest): &(ApiKey, i16)| {
        let mut version = key.api_version();
        version.max_version = version.max_version.min(*highest);
        version
    };
    HIGHEST.iter().map(offer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_version_can_be_read_here() {
        for offered in offered() {
            let key = ApiKey::try_from(offered.api_key).unwrap();
            assert!(key.versions().contains(offered.max_version), "{key}");
            assert!(offered.min_version <= offered.max_version, "{key}");
        }
    }

    #[test]
    fn an_unknown_version_is_answered_with_the_list_in_version_0() {
        let header = RequestHeader { api_key: 18, api_version: 5, correlation_id: 7, ..Default::default() };
        let frame = answer(&header, Bytes::new()).unwrap();
        let (correlation_id, body) = wire::decode_response_header(frame.slice(4..), 18, 0).unwrap();
        let response = Response::decode(body, 0).unwrap();
        assert_eq!((correlation_id, response.error_code), (7, ErrorCode::UNSUPPORTED_VERSION));
        assert_eq!(response.api_keys.len(), HIGHEST.len());
    }
}
