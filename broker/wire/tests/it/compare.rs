//! Every API and version, both directions, byte for byte against `kafka-protocol`, an independent codec.

use broker_wire::codec::{Message, Request};
use broker_wire::testing::{Generate, Random};
use broker_wire::{ApiKey, ErrorCode, api, frame};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use std::collections::BTreeSet;

/// How many messages per direction and version.
const MESSAGES: u64 = 60;

/// Versions that `kafka-protocol` 0.18 does not have.
const NOT_THEIRS: &[(ApiKey, i16)] = &[];

/// One message: ours to theirs to ours, with the same bytes all along.
fn survives<Ours, Theirs>(message: &Ours, version: i16)
where
    Ours: Message + PartialEq + std::fmt::Debug,
    Theirs: Decodable + Encodable + std::fmt::Debug,
{
    let bytes = message.encode(version).unwrap();
    let mut rest = bytes.clone();
    let their_message = Theirs::decode(&mut rest, version)
        .unwrap_or_else(|error| panic!("{} v{version}: they cannot read {message:?}: {error}", Ours::NAME));
    assert!(rest.is_empty(), "{} v{version}: they leave {rest:?} of {message:?}", Ours::NAME);
    let mut their_bytes = bytes::BytesMut::new();
    their_message.encode(&mut their_bytes, version).unwrap();
    assert_eq!(their_bytes, bytes, "{} v{version}: {message:?} is {their_message:?} to them", Ours::NAME);
    assert_eq!(&Ours::decode(their_bytes.freeze(), version).unwrap(), message);
}

fn all_survive<Ours, Theirs>(key: ApiKey)
where
    Ours: Message + Default + Generate + PartialEq + std::fmt::Debug,
    Theirs: Decodable + Encodable + std::fmt::Debug,
{
    assert_eq!(Ours::KEY, key.number());
    for version in Ours::VERSIONS.iter().filter(|version| !NOT_THEIRS.contains(&(key, *version))) {
        let empty = Ours::decode(Ours::default().encode(version).unwrap(), version).unwrap();
        survives::<Ours, Theirs>(&empty, version);
        for seed in 0..MESSAGES {
            let mut random = Random(seed << 32 | (key.number() as u64) << 8 | version as u64);
            survives::<Ours, Theirs>(&Ours::generate(&mut random, Ours::version(version)), version);
        }
    }
}

fn headers_agree<R: Request + Default, Theirs: HeaderVersion, TheirResponse: HeaderVersion>(key: ApiKey) {
    for version in R::VERSIONS.iter() {
        let frame = frame::encode_request(-7, Some("me"), version, &R::default()).unwrap();
        let mut rest = frame.slice(4..);
        let header = theirs::RequestHeader::decode(&mut rest, Theirs::header_version(version)).unwrap();
        assert_eq!(header.request_api_key, key.number());
        assert_eq!(header.request_api_version, version);
        assert_eq!(header.correlation_id, -7);
        assert_eq!(header.client_id.as_deref(), Some("me"));
        assert_eq!(rest, R::default().encode(version).unwrap(), "{key} v{version}");
        let (header, body) = broker_wire::RequestHeader::decode(frame.slice(4..)).unwrap();
        assert_eq!((header.api_key, header.api_version, header.correlation_id), (key.number(), version, -7));
        assert_eq!(body, rest);
        let their_flexible = TheirResponse::header_version(version) == 1;
        assert_eq!(key.has_flexible_response_header(version), their_flexible, "{key} v{version}");
    }
}

macro_rules! apis {
    ($($test:ident: $key:ident, $request:ident, $response:ident;)*) => {
        $(
            #[test]
            fn $test() {
                all_survive::<api::$test::Request, theirs::$request>(ApiKey::$key);
                all_survive::<api::$test::Response, theirs::$response>(ApiKey::$key);
                headers_agree::<api::$test::Request, theirs::$request, theirs::$response>(ApiKey::$key);
            }
        )*

        #[test]
        fn every_api_is_compared() {
            let compared: BTreeSet<_> = [$(ApiKey::$key),*].into_iter().collect();
            assert_eq!(compared, ApiKey::ALL.iter().copied().collect());
        }
    };
}

apis! {
    produce: Produce, ProduceRequest, ProduceResponse;
    fetch: Fetch, FetchRequest, FetchResponse;
    list_offsets: ListOffsets, ListOffsetsRequest, ListOffsetsResponse;
    metadata: Metadata, MetadataRequest, MetadataResponse;
    offset_commit: OffsetCommit, OffsetCommitRequest, OffsetCommitResponse;
    offset_fetch: OffsetFetch, OffsetFetchRequest, OffsetFetchResponse;
    find_coordinator: FindCoordinator, FindCoordinatorRequest, FindCoordinatorResponse;
    join_group: JoinGroup, JoinGroupRequest, JoinGroupResponse;
    heartbeat: Heartbeat, HeartbeatRequest, HeartbeatResponse;
    leave_group: LeaveGroup, LeaveGroupRequest, LeaveGroupResponse;
    sync_group: SyncGroup, SyncGroupRequest, SyncGroupResponse;
    describe_groups: DescribeGroups, DescribeGroupsRequest, DescribeGroupsResponse;
    list_groups: ListGroups, ListGroupsRequest, ListGroupsResponse;
    sasl_handshake: SaslHandshake, SaslHandshakeRequest, SaslHandshakeResponse;
    api_versions: ApiVersions, ApiVersionsRequest, ApiVersionsResponse;
    create_topics: CreateTopics, CreateTopicsRequest, CreateTopicsResponse;
    delete_topics: DeleteTopics, DeleteTopicsRequest, DeleteTopicsResponse;
    delete_records: DeleteRecords, DeleteRecordsRequest, DeleteRecordsResponse;
    init_producer_id: InitProducerId, InitProducerIdRequest, InitProducerIdResponse;
    offset_for_leader_epoch: OffsetForLeaderEpoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    add_partitions_to_txn: AddPartitionsToTxn, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    add_offsets_to_txn: AddOffsetsToTxn, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    end_txn: EndTxn, EndTxnRequest, EndTxnResponse;
    txn_offset_commit: TxnOffsetCommit, TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    describe_acls: DescribeAcls, DescribeAclsRequest, DescribeAclsResponse;
    create_acls: CreateAcls, CreateAclsRequest, CreateAclsResponse;
    delete_acls: DeleteAcls, DeleteAclsRequest, DeleteAclsResponse;
    describe_configs: DescribeConfigs, DescribeConfigsRequest, DescribeConfigsResponse;
    alter_configs: AlterConfigs, AlterConfigsRequest, AlterConfigsResponse;
    describe_log_dirs: DescribeLogDirs, DescribeLogDirsRequest, DescribeLogDirsResponse;
    sasl_authenticate: SaslAuthenticate, SaslAuthenticateRequest, SaslAuthenticateResponse;
    create_partitions: CreatePartitions, CreatePartitionsRequest, CreatePartitionsResponse;
    delete_groups: DeleteGroups, DeleteGroupsRequest, DeleteGroupsResponse;
    elect_leaders: ElectLeaders, ElectLeadersRequest, ElectLeadersResponse;
    incremental_alter_configs: IncrementalAlterConfigs, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    alter_partition_reassignments: AlterPartitionReassignments, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
    list_partition_reassignments: ListPartitionReassignments, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    offset_delete: OffsetDelete, OffsetDeleteRequest, OffsetDeleteResponse;
    describe_client_quotas: DescribeClientQuotas, DescribeClientQuotasRequest, DescribeClientQuotasResponse;
    alter_client_quotas: AlterClientQuotas, AlterClientQuotasRequest, AlterClientQuotasResponse;
    describe_user_scram_credentials: DescribeUserScramCredentials, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
    alter_user_scram_credentials: AlterUserScramCredentials, AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
    describe_quorum: DescribeQuorum, DescribeQuorumRequest, DescribeQuorumResponse;
    update_features: UpdateFeatures, UpdateFeaturesRequest, UpdateFeaturesResponse;
    describe_cluster: DescribeCluster, DescribeClusterRequest, DescribeClusterResponse;
    describe_producers: DescribeProducers, DescribeProducersRequest, DescribeProducersResponse;
    unregister_broker: UnregisterBroker, UnregisterBrokerRequest, UnregisterBrokerResponse;
    consumer_group_heartbeat: ConsumerGroupHeartbeat, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    consumer_group_describe: ConsumerGroupDescribe, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    list_config_resources: ListConfigResources, ListConfigResourcesRequest, ListConfigResourcesResponse;
    describe_topic_partitions: DescribeTopicPartitions, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
}

#[test]
fn error_codes_have_kafkas_numbers_and_are_retriable_where_kafkas_are() {
    for code in ErrorCode::ALL.iter().filter(|code| !code.is_ok()) {
        let Some(theirs) = kafka_protocol::error::ResponseError::try_from_code(code.0) else {
            panic!("they do not know {code}");
        };
        let name = code.name().unwrap().replace('_', "").to_lowercase();
        assert_eq!(name, format!("{theirs:?}").to_lowercase());
        // Retriable in newer Kafka clients (KIP-890), not yet to them.
        let newer = *code == ErrorCode::CONCURRENT_TRANSACTIONS;
        assert_eq!(code.is_retriable(), theirs.is_retriable() || newer, "{code}");
    }
}
