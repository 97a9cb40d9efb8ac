//! SaslAuthenticate: refused, for the listeners take no credentials.

use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::sasl_authenticate::{Request, Response};

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let _: Request = call.decode(body)?;
    let message = "this listener takes no credentials; connect with security.protocol=PLAINTEXT";
    let error_code = ErrorCode::ILLEGAL_SASL_STATE;
    Ok(call.reply(&Response { error_code, error_message: Some(message.to_owned()), ..Default::default() }))
}
