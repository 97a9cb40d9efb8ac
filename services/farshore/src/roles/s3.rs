//! The embedded S3 server.

use super::asked_to_end;
use super::context::Context;
use crate::up::addresses::loopback;
use anyhow::{Context as _, Result};
use object_store::server::Server;
use tokio::net::TcpListener;

/// Serves S3 until this process is asked to end.
///
/// # Errors
/// When the port is taken or the directory cannot be used.
pub(super) async fn run(context: Context) -> Result<()> {
    let address = loopback(context.platform.addresses.s3);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let server = Server::open(&context.data.join("s3"))?;
    let ended = async {
        if let Err(error) = asked_to_end().await {
            tracing::error!(%error, "signals cannot be heard");
        }
    };
    server.serve(listener, context.s3_credentials(), ended).await;
    Ok(())
}
