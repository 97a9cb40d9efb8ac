//! DeleteAcls: nobody authorizes here, so that every filter is refused with SECURITY_DISABLED.

use super::describe_acls::NO_AUTHORIZER;
use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::delete_acls::{FilterResult, Request, Response};

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let refused = FilterResult {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER.to_owned()),
        ..Default::default()
    };
    Ok(call.reply(&Response { filter_results: vec![refused; request.filters.len()], ..Default::default() }))
}
