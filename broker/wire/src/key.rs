//! The APIs by their keys.

use crate::api::*;
use crate::codec::{DecodeError, Message, Reason, Versions};
use std::fmt;

macro_rules! api_keys {
    ($($key:ident in $module:ident,)*) => {
        /// An API of Kafka that is spoken here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("[`", stringify!($module), "`]")]
                $key = $module::Request::KEY,
            )*
        }

        impl ApiKey {
            /// Every API, by key.
            pub const ALL: &[Self] = &[$(Self::$key),*];

            /// Kafka's name of it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$key => stringify!($key)),* }
            }

            /// The versions that can be read and written here.
            pub const fn versions(self) -> Versions {
                match self { $(Self::$key => $module::Request::VERSIONS),* }
            }

            /// The first version with the flexible encoding; `i16::MAX` when there is none.
            pub const fn flexible_from(self) -> i16 {
                match self { $(Self::$key => $module::Request::FLEXIBLE_FROM),* }
            }
        }
    };
}

api_keys! {
    Produce in produce,
    Fetch in fetch,
    ListOffsets in list_offsets,
    Metadata in metadata,
    OffsetCommit in offset_commit,
    OffsetFetch in offset_fetch,
    FindCoordinator in find_coordinator,
    JoinGroup in join_group,
    Heartbeat in heartbeat,
    LeaveGroup in leave_group,
    SyncGroup in sync_group,
    DescribeGroups in describe_groups,
    ListGroups in list_groups,
    SaslHandshake in sasl_handshake,
    ApiVersions in api_versions,
    CreateTopics in create_topics,
    DeleteTopics in delete_topics,
    DeleteRecords in delete_records,
    InitProducerId in init_producer_id,
    OffsetForLeaderEpoch in offset_for_leader_epoch,
    AddPartitionsToTxn in add_partitions_to_txn,
    AddOffsetsToTxn in add_offsets_to_txn,
    EndTxn in end_txn,
    TxnOffsetCommit in txn_offset_commit,
    DescribeAcls in describe_acls,
    CreateAcls in create_acls,
    DeleteAcls in delete_acls,
    DescribeConfigs in describe_configs,
    AlterConfigs in alter_configs,
    DescribeLogDirs in describe_log_dirs,
    SaslAuthenticate in sasl_authenticate,
    CreatePartitions in create_partitions,
    DeleteGroups in delete_groups,
    ElectLeaders in elect_leaders,
    IncrementalAlterConfigs in incremental_alter_configs,
    AlterPartitionReassignments in alter_partition_reassignments,
    ListPartitionReassignments in list_partition_reassignments,
    OffsetDelete in offset_delete,
    DescribeClientQuotas in describe_client_quotas,
    AlterClientQuotas in alter_client_quotas,
    DescribeUserScramCredentials in describe_user_scram_credentials,
    AlterUserScramCredentials in alter_user_scram_credentials,
    DescribeQuorum in describe_quorum,
    UpdateFeatures in update_features,
    DescribeCluster in describe_cluster,
    DescribeProducers in describe_producers,
    UnregisterBroker in unregister_broker,
    ConsumerGroupHeartbeat in consumer_group_heartbeat,
    ConsumerGroupDescribe in consumer_group_describe,
    ListConfigResources in list_config_resources,
    DescribeTopicPartitions in describe_topic_partitions,
}

impl ApiKey {
    /// The number of it.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The versions to tell clients of.
    ///
    /// Produce starts at 0, though only 3 and up are accepted: librdkafka before 2.11.1 stops compressing otherwise
    /// (KAFKA-18659).
    pub const fn advertised(self) -> Versions {
        let accepted = self.versions();
        match self {
            Self::Produce => Versions::new(0, accepted.max),
            _ => accepted,
        }
    }

    /// Whether a request of `version` has the flexible header (version 2).
    pub const fn has_flexible_request_header(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// Whether a response of `version` has the flexible header (version 1). That of ApiVersions never has: the client
    /// that reads it does not know yet what the broker speaks.
    pub const fn has_flexible_response_header(self, version: i16) -> bool {
        !matches!(self, Self::ApiVersions) && version >= self.flexible_from()
    }

    /// This API with its advertised versions, as ApiVersions lists it.
    pub fn api_version(self) -> api_versions::ApiVersion {
        let Versions { min, max } = self.advertised();
        api_versions::ApiVersion { api_key: self.number(), min_version: min, max_version: max, ..Default::default() }
    }
}

impl TryFrom<i16> for ApiKey {
    type Error = DecodeError;

    fn try_from(number: i16) -> Result<Self, DecodeError> {
        let found = Self::ALL.binary_search_by_key(&number, |key| key.number());
        found.map(|at| Self::ALL[at]).map_err(|_| Reason::ApiKey(number).into())
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Request;

    #[test]
    fn keys_are_found_by_their_numbers() {
        assert!(ApiKey::ALL.is_sorted());
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::try_from(key.number()), Ok(*key));
        }
        assert_eq!(ApiKey::try_from(4), Err(Reason::ApiKey(4).into()));
        assert_eq!(ApiKey::try_from(1000), Err(Reason::ApiKey(1000).into()));
    }

    #[test]
    fn produce_is_advertised_from_0_and_accepted_from_3() {
        assert_eq!(ApiKey::Produce.advertised(), Versions::new(0, 13));
        assert_eq!(ApiKey::Produce.versions(), Versions::new(3, 13));
        assert_eq!(ApiKey::Fetch.advertised(), ApiKey::Fetch.versions());
    }

    #[test]
    fn the_response_header_of_api_versions_is_never_flexible() {
        assert!(ApiKey::ApiVersions.has_flexible_request_header(3));
        assert!(!ApiKey::ApiVersions.has_flexible_response_header(3));
        assert!(ApiKey::Metadata.has_flexible_response_header(9));
        assert!(!ApiKey::SaslHandshake.has_flexible_request_header(1));
    }

    #[test]
    fn a_client_is_told_to_be_silent_where_there_is_a_field_for_it() {
        use crate::codec::Message;
        assert_eq!(fetch::Response::default().throttled(7).throttle_time_ms, 7);
        assert_eq!(produce::Response::default().throttled(7).throttle_time_ms, 7);
        assert_eq!(sasl_handshake::Response::default().throttled(7), sasl_handshake::Response::default());
    }

    #[test]
    fn requests_and_responses_agree() {
        fn agree<R: Request>() {
            assert_eq!(R::KEY, R::Response::KEY);
            assert_eq!(R::VERSIONS, R::Response::VERSIONS);
            assert_eq!(R::FLEXIBLE_FROM, R::Response::FLEXIBLE_FROM);
        }
        agree::<produce::Request>();
        agree::<fetch::Request>();
        agree::<list_offsets::Request>();
        agree::<metadata::Request>();
        agree::<offset_commit::Request>();
        agree::<offset_fetch::Request>();
        agree::<find_coordinator::Request>();
        agree::<join_group::Request>();
        agree::<heartbeat::Request>();
        agree::<leave_group::Request>();
        agree::<sync_group::Request>();
        agree::<describe_groups::Request>();
        agree::<list_groups::Request>();
        agree::<sasl_handshake::Request>();
        agree::<api_versions::Request>();
        agree::<create_topics::Request>();
        agree::<delete_topics::Request>();
        agree::<delete_records::Request>();
        agree::<init_producer_id::Request>();
        agree::<offset_for_leader_epoch::Request>();
        agree::<add_partitions_to_txn::Request>();
        agree::<add_offsets_to_txn::Request>();
        agree::<end_txn::Request>();
        agree::<txn_offset_commit::Request>();
        agree::<describe_acls::Request>();
        agree::<create_acls::Request>();
        agree::<delete_acls::Request>();
        agree::<describe_configs::Request>();
        agree::<alter_configs::Request>();
        agree::<describe_log_dirs::Request>();
        agree::<sasl_authenticate::Request>();
        agree::<create_partitions::Request>();
        agree::<delete_groups::Request>();
        agree::<elect_leaders::Request>();
        agree::<incremental_alter_configs::Request>();
        agree::<alter_partition_reassignments::Request>();
        agree::<list_partition_reassignments::Request>();
        agree::<offset_delete::Request>();
        agree::<describe_client_quotas::Request>();
        agree::<alter_client_quotas::Request>();
        agree::<describe_user_scram_credentials::Request>();
        agree::<alter_user_scram_credentials::Request>();
        agree::<describe_quorum::Request>();
        agree::<update_features::Request>();
        agree::<describe_cluster::Request>();
        agree::<describe_producers::Request>();
        agree::<unregister_broker::Request>();
        agree::<consumer_group_heartbeat::Request>();
        agree::<consumer_group_describe::Request>();
        agree::<list_config_resources::Request>();
        agree::<describe_topic_partitions::Request>();
    }
}
