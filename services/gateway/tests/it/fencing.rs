//! What a client never sees, and what the council is told.

use crate::council::{Council, PATIENCE, group};
use bytes::{BufMut, BytesMut};
use env::real::SystemClock;
use gateway::{Config, Gateway};
use model::{GrantState, OwnershipEpoch};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as FreePort};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A gateway in front of one region, which is a socket in the test's hands.
struct Stage {
    council: Arc<Council>,
    upstream: TcpListener,
    node: SocketAddr,
    gateway: Gateway,
}

async fn stage() -> Stage {
    let upstream = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let node = FreePort::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let council = Arc::new(Council::new(upstream.local_addr().unwrap(), node.port()));
    let config = Config { name: "g1".into(), bootstrap: (LOCALHOST, 0).into(), host: LOCALHOST, region: None };
    let gateway = Gateway::start(config, Arc::new(SystemClock), council.clone()).await.unwrap();
    council.heard(|ask| ask.since == 1).await;
    Stage { council, upstream, node, gateway }
}

impl Stage {
    /// A client of the virtual node, as soon as that listens.
    async fn client(&self) -> TcpStream {
        let connected = async {
            loop {
                match TcpStream::connect(self.node).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(PATIENCE, connected).await.expect("the virtual node listens")
    }

    /// The gateway's connection on which the region is asked; the ones that follow its metadata are left alone.
    async fn asked(&self, frame: &[u8]) -> TcpStream {
        let asked = async {
            loop {
                let (mut stream, _) = self.upstream.accept().await.unwrap();
                let mut received = vec![0; frame.len()];
                let read = stream.read_exact(&mut received).await;
                if read.is_ok() && received == frame {
                    return stream;
                }
                // Kept open: a follower that is refused would only come again.
                std::mem::forget(stream);
            }
        };
        timeout(PATIENCE, asked).await.expect("the region is asked")
    }
}

/// A heartbeat of a consumer group, which only the owner can answer.
fn request(correlation_id: i32) -> Vec<u8> {
    let request = wire::api::heartbeat::Request { group_id: "g".into(), member_id: "m".into(), ..Default::default() };
    wire::frame::encode_request(correlation_id, Some("client"), 3, &request).unwrap().to_vec()
}

/// A write without records: what is in it is the region's business.
fn write(correlation_id: i32) -> Vec<u8> {
    let request = wire::api::produce::Request { acks: -1, timeout_ms: 1000, ..Default::default() };
    wire::frame::encode_request(correlation_id, Some("client"), 9, &request).unwrap().to_vec()
}

/// The next answer's correlation id.
async fn read_answer(client: &mut TcpStream) -> i32 {
    let read = async {
        let mut answer = vec![0; client.read_i32().await.unwrap() as usize];
        client.read_exact(&mut answer).await.unwrap();
        i32::from_be_bytes(answer[..4].try_into().unwrap())
    };
    timeout(PATIENCE, read).await.expect("it is answered")
}

fn answer(correlation_id: i32) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_i32(4 + 6);
    frame.put_i32(correlation_id);
    frame.put_slice(&[0; 6]);
    frame.to_vec()
}

async fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut received)).await.expect("the connection ends").unwrap();
    received
}

#[tokio::test]
async fn what_waits_for_a_revoked_owner_is_dropped_and_the_council_is_told() {
    let stage = stage().await;
    let mut client = stage.client().await;
    client.write_all(&request(7)).await.unwrap();
    let mut region = stage.asked(&request(7)).await;
    stage.council.decide(GrantState::Revoked);
    assert!(read_to_end(&mut client).await.is_empty());
    let told = stage.council.heard(|ask| !ask.released.is_empty()).await;
    assert_eq!((told.since, told.released), (2, vec![(group(), OwnershipEpoch(1))]));
    // An owner that wakes up now is heard by nobody.
    let _ = region.write_all(&answer(7)).await;
    stage.gateway.shutdown().await;
}

#[tokio::test]
async fn a_grant_that_stands_again_is_served_again() {
    let stage = stage().await;
    stage.council.decide(GrantState::Revoked);
    stage.council.heard(|ask| !ask.released.is_empty()).await;
    let mut early = stage.client().await;
    early.write_all(&request(1)).await.unwrap();
    let mut refused = [0; 8];
    timeout(PATIENCE, early.read_exact(&mut refused)).await.expect("it is refused at once").unwrap();
    stage.council.decide(GrantState::Held);
    stage.council.heard(|ask| ask.since == 3 && ask.released.is_empty()).await;
    let mut client = stage.client().await;
    client.write_all(&request(8)).await.unwrap();
    let mut region = stage.asked(&request(8)).await;
    region.write_all(&answer(8)).await.unwrap();
    let mut received = vec![0; answer(8).len()];
    timeout(PATIENCE, client.read_exact(&mut received)).await.expect("the answer comes through").unwrap();
    assert_eq!(received, answer(8));
    stage.gateway.shutdown().await;
}

#[tokio::test]
async fn a_write_does_not_overtake_one_that_was_turned_away_before_it() {
    let stage = stage().await;
    stage.council.decide(GrantState::Revoked);
    stage.council.heard(|ask| !ask.released.is_empty()).await;
    let mut client = stage.client().await;
    client.write_all(&write(1)).await.unwrap();
    assert_eq!(read_answer(&mut client).await, 1, "it is refused at once");
    stage.council.decide(GrantState::Held);
    stage.council.heard(|ask| ask.since == 3 && ask.released.is_empty()).await;
    // It may have been sent before the refusal was heard.
    client.write_all(&write(2)).await.unwrap();
    assert!(read_to_end(&mut client).await.is_empty(), "neither refused nor passed");
    let mut again = stage.client().await;
    again.write_all(&write(3)).await.unwrap();
    let mut region = stage.asked(&write(3)).await;
    region.write_all(&answer(3)).await.unwrap();
    assert_eq!(read_answer(&mut again).await, 3);
    stage.gateway.shutdown().await;
}
