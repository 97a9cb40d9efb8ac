//! The way to a region.

use super::Closed;
use crate::state::Routing;
use bytes::Bytes;
use model::RegionName;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A region that is there answers a connection within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One call on a connection of its own.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a region's gateways' listener.
///
/// # Errors
/// When the region is unknown or does not answer.
pub(super) async fn connect(region: &RegionName, routing: &Routing) -> io::Result<TcpStream> {
    let regions = routing.table().map(|table| table.regions.as_slice()).unwrap_or_default();
    let known = regions.iter().find(|known| &known.region == region);
    let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no region {region}")))?;
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(&known.gateways)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one whole request (without its prefix) on a connection of its own and waits for the answer, prefix included.
///
/// # Errors
/// When the region does not answer.
pub(super) async fn call(region: &RegionName, routing: &Routing, request: &[u8]) -> Result<Bytes, Closed> {
    let exchange = async {
        let mut stream = connect(region, routing).await?;
        stream.write_all(&(request.len() as u32).to_be_bytes()).await?;
        stream.write_all(request).await?;
        let (read, _write) = stream.into_split();
        let mut incoming = super::splice::Incoming::new(read);
        let broken = || Closed::BrokenOff(region.clone());
        let len = incoming.next(usize::MAX, CALL_TIMEOUT).await?.ok_or_else(broken)?;
        let answer = incoming.take(len).await?;
        Ok([&(len as u32).to_be_bytes()[..], &answer].concat().into())
    };
    timeout(CALL_TIMEOUT, exchange).await.map_err(|_| Closed::Timeout("a region does not answer"))?
}
