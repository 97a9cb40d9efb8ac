//! The way to a region.

use super::Closed;
use crate::state::{Routing, bootstrap};
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

/// Connects to the gateways' listener of the broker in `slot` of a region; without a slot, of the first that is there. A
/// fenced one is not asked: if it is only stopped, it would seem to be there. Answers whose it is.
///
/// # Errors
/// When the region is unknown, has no such broker, or it does not answer.
pub(super) async fn connect(region: &RegionName, slot: Option<u16>, routing: &Routing) -> io::Result<(u16, TcpStream)> {
    let known = routing.region(region);
    let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no region {region}")))?;
    let what = || format!("region {region} has no broker in slot {slot:?} that is let in");
    let mut last = io::Error::new(io::ErrorKind::NotFound, what());
    let is_wanted = |at: &u16| slot.is_none_or(|slot| slot == *at) && !routing.is_fenced(region, *at);
    for (at, address) in (0..).zip(bootstrap(&known.gateways)).filter(|(at, _)| is_wanted(at)) {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|late| Err(late.into())) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok((at, stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Sends one whole request (without its prefix) on a connection of its own and waits for the answer, prefix included.
///
/// # Errors
/// When the region does not answer.
pub(super) async fn call(region: &RegionName, routing: &Routing, request: &[u8]) -> Result<Bytes, Closed> {
    let exchange = async {
        let (_, mut stream) = connect(region, None, routing).await?;
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
