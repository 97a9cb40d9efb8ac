//! CreateAcls: nobody authorizes here, so that every entry is refused with SECURITY_DISABLED.

use super::describe_acls::NO_AUTHORIZER;
use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::create_acls::{CreationResult, Request, Response};

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let refused = CreationResult {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHORIZER.to_owned()),
        ..Default::default()
    };
    Ok(call.reply(&Response { results: vec![refused; request.creations.len()], ..Default::default() }))
}
