//! DescribeAcls: nobody authorizes here, which Kafka says with SECURITY_DISABLED.

use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::describe_acls::{Request, Response};

/// What Kafka says where no authorizer is configured, and what that means.
pub(super) const NO_AUTHORIZER: &str =
    "no authorizer is configured on the broker: every client may do everything, and there are no ACLs";

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    call.decode::<Request>(body)?;
    Ok(call.reply(&Response {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER.to_owned()),
        ..Default::default()
    }))
}
