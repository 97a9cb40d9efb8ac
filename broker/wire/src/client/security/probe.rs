//! Finds out what a port is when it ends a connection without a word.

use super::{SecurityFault, connect, tcp};
use crate::ErrorCode;
use crate::api::sasl_handshake;
use crate::client::{ClientError, Connection, Options};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a port has to show what it is.
const PATIENCE: Duration = Duration::from_secs(3);
/// The head of a TLS record of the handshake, and of one that is an alert.
const TLS_RECORDS: [[u8; 2]; 2] = [[0x16, 3], [0x15, 3]];
/// The smallest ClientHello that a TLS server answers, if only with an alert: TLS 1.2, one cipher suite, no extension.
const HELLO_BODY_BYTES: u8 = 2 + 32 + 1 + 4 + 2;

/// What it means that the TLS handshake with `peer` failed with `error`.
pub(super) async fn failed_handshake(error: io::Error, peer: &str, options: &Options) -> ClientError {
    if let Some(fault) = SecurityFault::of_stream(&error, host_of(peer)) {
        return ClientError::security(peer, fault);
    }
    match options.security.probes && speaks_plain_kafka(peer, options).await {
        true => ClientError::security(peer, SecurityFault::SpeaksPlainText),
        false => ClientError::Connect { peer: peer.to_owned(), source: error },
    }
}

async fn speaks_plain_kafka(peer: &str, options: &Options) -> bool {
    let asked = async {
        let connection = Connection::connect(peer, &options.client_id, PATIENCE).await?;
        connection.api_versions().await
    };
    matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(_)))
}

/// What it means that the first question on a new connection failed with `error`.
pub(super) async fn closed_at_once(error: ClientError, peer: &str, options: &Options) -> ClientError {
    let is_puzzling = options.security.probes && matches!(error, ClientError::Closed { .. });
    match is_puzzling && options.security.tls.is_none() && speaks_tls(peer).await {
        true => ClientError::security(peer, SecurityFault::SpeaksTls),
        false => error,
    }
}

async fn speaks_tls(peer: &str) -> bool {
    let asked = async {
        let mut stream = tcp(peer, PATIENCE).await.ok()?;
        stream.write_all(&hello()).await.ok()?;
        let mut head = [0; 2];
        stream.read_exact(&mut head).await.ok()?;
        Some(TLS_RECORDS.contains(&head))
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or(false)
}

/// A ClientHello (RFC 5246, section 7.4.1.2).
fn hello() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 4 + HELLO_BODY_BYTES, 1, 0, 0, HELLO_BODY_BYTES, 3, 3];
    hello.extend([0x5a; 32]);
    // No session, one suite (ECDHE-RSA with AES-128-GCM), no compression.
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    hello
}

/// The mechanisms of a listener that asks for SASL, when this one does: it has ended a connection at the first call.
pub(in crate::client) async fn mechanisms_asked_for(peer: &str, options: &Options) -> Option<String> {
    let asked = async {
        let connection = connect(peer, options).await.ok()?;
        // Not a mechanism: a listener with SASL answers with those it has, another that it has no SASL.
        let request = sasl_handshake::Request { mechanism: "NONE".to_owned(), ..Default::default() };
        let response = connection.call(&request, 1).await.ok()?;
        (response.error_code == ErrorCode::UNSUPPORTED_SASL_MECHANISM).then(|| response.mechanisms.join(", "))
    };
    tokio::time::timeout(PATIENCE, Box::pin(asked)).await.ok().flatten()
}

/// The host of `peer` (`host:port`), an IPv6 address without its brackets.
pub(super) fn host_of(peer: &str) -> &str {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_before_the_port() {
        let hosts = ["broker-1:9092", "[::1]:9093", "10.0.0.1:1"].map(host_of);
        assert_eq!(hosts, ["broker-1", "::1", "10.0.0.1"]);
    }

    #[test]
    fn the_hello_is_as_long_as_it_says() {
        let hello = hello();
        assert_eq!(hello.len(), 5 + usize::from(hello[4]));
        assert_eq!(hello.len(), 9 + usize::from(hello[8]));
    }
}
