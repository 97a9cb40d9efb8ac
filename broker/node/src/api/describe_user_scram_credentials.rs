//! DescribeUserScramCredentials: nobody authenticates here, so no user has any.

use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use std::collections::BTreeSet;
use wire::ErrorCode;
use wire::api::describe_user_scram_credentials::{Request, Response, UserResult};

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let users = request.users.unwrap_or_default().into_iter().map(|user| user.name);
    let users: BTreeSet<String> = users.collect();
    Ok(call.reply(&Response { results: users.into_iter().map(unknown).collect(), ..Default::default() }))
}

fn unknown(user: String) -> UserResult {
    UserResult {
        error_code: ErrorCode::RESOURCE_NOT_FOUND,
        error_message: Some(format!("there is no credential of user {user}: this broker authenticates nobody yet")),
        user,
        ..Default::default()
    }
}
