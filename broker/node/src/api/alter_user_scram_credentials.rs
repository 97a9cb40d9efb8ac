//! AlterUserScramCredentials: refused, because a password that nobody asks for would promise what does not hold.

use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use std::collections::BTreeSet;
use wire::ErrorCode;
use wire::api::alter_user_scram_credentials::{Request, Response, UserResult};

const NO_AUTHENTICATION: &str =
    "this broker authenticates nobody yet, so it keeps no passwords; its listeners stay on loopback addresses";

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
    let upserted = request.upsertions.into_iter().map(|upsertion| upsertion.name);
    let users: BTreeSet<String> = deleted.chain(upserted).collect();
    Ok(call.reply(&Response { results: users.into_iter().map(refused).collect(), ..Default::default() }))
}

fn refused(user: String) -> UserResult {
    UserResult {
        user,
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some(NO_AUTHENTICATION.to_owned()),
        ..Default::default()
    }
}
