//! DescribeCluster: the brokers, for admin tools.

use super::table::*;

message! {
    /// What to include.
    pub struct Request (key 60, versions 0..=2, flexible 0..) -> Response {
        include_cluster_authorized_operations: bool,
        /// 1: brokers; 2: controllers.
        endpoint_type: i8 [1..] = 1,
        include_fenced_brokers: bool [2..],
    }
}

message! {
    /// The cluster.
    pub struct Response (key 60, versions 0..=2, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        endpoint_type: i8 [1..] = 1,
        cluster_id: String,
        controller_id: i32 = -1,
        brokers: Vec<Broker>,
        cluster_authorized_operations: i32 = super::metadata::OPERATIONS_NOT_ASKED,
    }

    /// Where a broker listens.
    pub struct Broker {
        broker_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
        is_fenced: bool [2..],
    }
}
