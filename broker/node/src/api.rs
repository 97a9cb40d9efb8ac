//! The Kafka APIs, one file each.
//!
//! To add one: a module with `pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started`, and a line in
//! the table below. The table is what ApiVersions advertises.

mod access;
mod admin;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_user_scram_credentials;
mod api_versions;
mod cluster;
mod configure;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod coordination;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_user_scram_credentials;
mod elect_leaders;
pub(crate) mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leader_hints;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
pub(crate) mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;
mod unregister_broker;
mod update_features;

pub(crate) use cluster::node_id;
pub(crate) use produce::TurnedAway;

use crate::Broker;
use crate::listener::{Door, FileRange, Outgoing};
use crate::quotas::Meter;
use bytes::Bytes;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use wire::{ApiKey, DecodeError, Message, Request, RequestHeader};

/// One request on its way to whoever answers it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its header.
    pub(crate) header: RequestHeader,
    /// Who sent it.
    pub(crate) peer: SocketAddr,
    /// Through which listener.
    pub(crate) door: Door,
    /// That listener's address.
    pub(crate) listener: SocketAddr,
    /// What it uses of its client's quotas, where something is limited.
    pub(crate) meter: Option<Arc<Meter>>,
    /// The writes that were turned away on its connection.
    pub(crate) turned_away: Arc<TurnedAway>,
}

/// An answer that is still being worked on; `None` closes the connection instead.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Option<Outgoing>> + Send>>;

/// What comes of a request.
pub(crate) enum Reply {
    /// The answer.
    Now(Outgoing),
    /// The answer comes; later requests may be started meanwhile.
    Later(Waiting),
    /// No answer is expected (acks=0).
    Nothing,
    /// No answer may be given; the connection is closed once those before it are out.
    Close,
}

/// Whoever answers the requests of a listener.
pub(crate) trait Dispatch: Send + Sync + 'static {
    /// Starts one request. It must not block.
    ///
    /// # Errors
    /// When it cannot be understood; the connection is closed then.
    fn start(&self, call: Call, body: Bytes) -> Result<Reply, DecodeError>;
}

/// What starting a request gives; an error closes the connection.
pub(crate) type Started = Result<Reply, DecodeError>;

macro_rules! served {
    ($($key:ident by $module:ident,)*) => {
        /// The APIs that clients are told of, in the order of their keys.
        pub(crate) const SERVED: &[ApiKey] = &[$(ApiKey::$key),*];

        fn start_kafka(broker: &Broker, key: ApiKey, call: Call, body: Bytes) -> Started {
            match key {
                $(ApiKey::$key => $module::start(broker, call, body),)*
                unserved => Ok(refuse(unserved.name(), &call)),
            }
        }
    };
}

served! {
    Produce by produce,
    Fetch by fetch,
    ListOffsets by list_offsets,
    Metadata by metadata,
    OffsetCommit by offset_commit,
    OffsetFetch by offset_fetch,
    FindCoordinator by find_coordinator,
    JoinGroup by join_group,
    Heartbeat by heartbeat,
    LeaveGroup by leave_group,
    SyncGroup by sync_group,
    DescribeGroups by describe_groups,
    ListGroups by list_groups,
    SaslHandshake by sasl_handshake,
    ApiVersions by api_versions,
    CreateTopics by create_topics,
    DeleteTopics by delete_topics,
    DeleteRecords by delete_records,
    InitProducerId by init_producer_id,
    OffsetForLeaderEpoch by offset_for_leader_epoch,
    DescribeAcls by describe_acls,
    CreateAcls by create_acls,
    DeleteAcls by delete_acls,
    DescribeConfigs by describe_configs,
    AlterConfigs by alter_configs,
    DescribeLogDirs by describe_log_dirs,
    SaslAuthenticate by sasl_authenticate,
    CreatePartitions by create_partitions,
    DeleteGroups by delete_groups,
    ElectLeaders by elect_leaders,
    IncrementalAlterConfigs by incremental_alter_configs,
    AlterPartitionReassignments by alter_partition_reassignments,
    ListPartitionReassignments by list_partition_reassignments,
    OffsetDelete by offset_delete,
    DescribeClientQuotas by describe_client_quotas,
    AlterClientQuotas by alter_client_quotas,
    DescribeUserScramCredentials by describe_user_scram_credentials,
    AlterUserScramCredentials by alter_user_scram_credentials,
    DescribeQuorum by describe_quorum,
    UpdateFeatures by update_features,
    DescribeCluster by describe_cluster,
    DescribeProducers by describe_producers,
    UnregisterBroker by unregister_broker,
    ConsumerGroupHeartbeat by consumer_group_heartbeat,
    ConsumerGroupDescribe by consumer_group_describe,
    ListConfigResources by list_config_resources,
    DescribeTopicPartitions by describe_topic_partitions,
}

/// A request nobody here answers. Clients that looked at ApiVersions do not send it.
fn refuse(api: &str, call: &Call) -> Reply {
    tracing::warn!(api, version = call.header.api_version, peer = %call.peer, door = ?call.door, "request is not served");
    Reply::Close
}

impl Dispatch for Broker {
    fn start(&self, call: Call, body: Bytes) -> Started {
        let is_private = call.header.api_key >= wire::internal::FIRST_KEY;
        match (call.door, is_private) {
            (Door::Internal, true) => crate::internal::start(self, call, body),
            (Door::Clients | Door::Gateways, true) => Ok(refuse("a private API", &call)),
            (Door::Internal, false) if call.header.api_key != ApiKey::ApiVersions.number() => {
                Ok(refuse("a Kafka API on the internal listener", &call))
            }
            (_, false) => start_kafka(self, ApiKey::try_from(call.header.api_key)?, call, body),
        }
    }
}

impl Call {
    /// The request itself.
    ///
    /// # Errors
    /// When the body is not one of the version the header names.
    pub(crate) fn decode<R: Request>(&self, body: Bytes) -> Result<R, DecodeError> {
        R::decode_front(body, self.header.api_version)
    }

    /// The same call, to be answered in `version`.
    pub(crate) fn in_version(mut self, version: i16) -> Self {
        self.header.api_version = version;
        self
    }

    /// The answer, ready to be sent. An answer that cannot be encoded is our fault and closes the connection.
    pub(crate) fn encode<M: Message>(&self, response: &M) -> Option<Outgoing> {
        let (correlation_id, version) = (self.header.correlation_id, self.header.api_version);
        let frame = match self.throttle_time_ms() {
            0 => wire::frame::encode_response(correlation_id, version, response),
            silence => wire::frame::encode_response(correlation_id, version, &response.throttled(silence)),
        };
        self.encoded(frame).map(Outgoing::from)
    }

    /// The answer with `files` in the places its records left free.
    pub(crate) fn encode_with_files<M: Message>(&self, response: &M, files: Vec<Vec<FileRange>>) -> Option<Outgoing> {
        let (correlation_id, version) = (self.header.correlation_id, self.header.api_version);
        let pieces = match self.throttle_time_ms() {
            0 => wire::frame::encode_response_split(correlation_id, version, response),
            silence => wire::frame::encode_response_split(correlation_id, version, &response.throttled(silence)),
        };
        self.encoded(pieces).map(|pieces| Outgoing::splice(pieces, files))
    }

    fn encoded<T>(&self, encoded: Result<T, wire::EncodeError>) -> Option<T> {
        encoded.inspect_err(|error| tracing::error!(%error, header = ?self.header, "answer cannot be encoded")).ok()
    }

    /// The reply with this answer.
    pub(crate) fn reply<M: Message>(&self, response: &M) -> Reply {
        self.encode(response).map_or(Reply::Close, Reply::Now)
    }

    /// The reply with the answer that `answering` comes to; its `None` closes the connection.
    pub(crate) fn reply_later<M: Message>(self, answering: impl Future<Output = Option<M>> + Send + 'static) -> Reply {
        Reply::Later(Box::pin(async move { answering.await.and_then(|response| self.encode(&response)) }))
    }
}
