//! How connections to a cluster are protected, and as whom we come.
//!
//! ```text
//!              TCP --> TLS (Tls) --> ApiVersions --> SaslHandshake --> SaslAuthenticate* --> calls
//! PLAINTEXT     x                         x                                                     x
//! SSL           x          x              x                                                     x
//! SASL_*        x        (x)              x                x                   x                x
//! ```
//!
//! What is wrong with it does not mend itself: a [`SecurityFault`] is told at once, in a sentence that names the remedy.

mod fault;
mod probe;
mod sasl;
mod scram;
mod tls;

pub use fault::SecurityFault;
pub(super) use probe::mechanisms_asked_for;
pub use sasl::{Credentials, Mechanism, Password};
pub use tls::{Tls, TlsError, TlsFiles};

use super::{ClientError, Connection, Options};
use crate::codec::{Request, Versions};
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A session that the broker bounds (KIP-368) is given up after this share of its time, in percent.
const SESSION_USED_PERCENT: u32 = 85;

/// How connections to a cluster are protected: by default not at all.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// TLS, or plain text.
    pub tls: Option<Tls>,
    /// As whom we come, or as nobody.
    pub credentials: Option<Credentials>,
    /// Whether to find out by further connections what a port wants that ends one without a word. That takes a moment, which
    /// is well spent where somebody waits for the reason, and not by clients that only go on to the next broker.
    pub probes: bool,
}

/// A connection over which anything may be asked.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// What the broker speaks, by API key.
    pub(super) versions: HashMap<i16, Versions>,
    /// Until when the broker takes it for ours.
    pub(super) until: Option<Instant>,
}

/// Connects to `peer` as `options` say; nothing is asked yet but what the protection needs.
pub(super) async fn open(peer: &str, options: &Options) -> Result<Opened, ClientError> {
    let connection = connect(peer, options).await?;
    let versions = match connection.api_versions().await {
        Ok(versions) => versions,
        Err(error) => return Err(probe::closed_at_once(error, peer, options).await),
    };
    let mut opened = Opened { connection, versions, until: None };
    if let Some(credentials) = &options.security.credentials {
        let lifetime = sasl::authenticate(&opened, credentials).await?;
        opened.until = lifetime.map(|lifetime| Instant::now() + usable(lifetime));
    }
    Ok(opened)
}

impl Opened {
    /// The newest version of an API that both sides speak, and none newer than `newest`.
    pub(super) fn version<R: Request>(&self, newest: i16) -> Result<i16, ClientError> {
        let ours = Versions::new(R::VERSIONS.min, R::VERSIONS.max.min(newest));
        let theirs = self.versions.get(&R::KEY).copied();
        theirs.and_then(|theirs| ours.newest_common(theirs)).ok_or_else(|| ClientError::NoCommonVersion {
            peer: self.connection.peer().to_owned(),
            api: R::NAME,
            theirs: theirs.map_or_else(|| "not at all".to_owned(), |versions| versions.to_string()),
            ours,
        })
    }
}

fn usable(lifetime: Duration) -> Duration {
    lifetime * SESSION_USED_PERCENT / 100
}

async fn connect(peer: &str, options: &Options) -> Result<Connection, ClientError> {
    let (name, limit) = (&options.client_id, options.call_timeout);
    let Some(tls) = &options.security.tls else { return Connection::connect(peer, name, limit).await };
    let stream = tcp(peer, limit).await?;
    match tokio::time::timeout(limit, tls.connect(peer, stream)).await {
        Ok(Ok(stream)) => {
            let (read, write) = tokio::io::split(stream);
            Ok(Connection::over(read, write, peer, name, limit))
        }
        Ok(Err(error)) => Err(probe::failed_handshake(error, peer, options).await),
        Err(_) => Err(ClientError::Connect { peer: peer.to_owned(), source: io::ErrorKind::TimedOut.into() }),
    }
}

/// A connection to `peer` that may take `limit` to come about.
pub(super) async fn tcp(peer: &str, limit: Duration) -> Result<TcpStream, ClientError> {
    let connecting = tokio::time::timeout(limit, TcpStream::connect(peer));
    let connected = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    stream.map_err(|source| ClientError::Connect { peer: peer.to_owned(), source })
}
