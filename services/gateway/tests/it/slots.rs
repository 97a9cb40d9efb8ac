//! A region of several brokers behind one gateway.

use crate::council::{Council, PATIENCE, region};
use api::routes::VirtualNode;
use bytes::{BufMut, Bytes, BytesMut};
use env::real::SystemClock;
use gateway::{Config, Gateway};
use model::{FollowMetadata, Leaders};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as FreePort};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use wire::codec::Message;
use wire::internal::control;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn free() -> SocketAddr {
    FreePort::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A Heartbeat of a consumer group, version 0, with its prefix.
fn heartbeat() -> BytesMut {
    let mut body = BytesMut::new();
    body.put_i16(12);
    body.put_i16(0);
    body.put_i32(7);
    body.put_i16(-1);
    body.put_slice(&[0, 1, b'g', 0, 0, 0, 1, 0, 1, b'm']);
    let mut frame = BytesMut::new();
    frame.put_i32(body.len() as i32);
    frame.put_slice(&body);
    frame
}

async fn connect(address: SocketAddr) -> TcpStream {
    let connected = async {
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    timeout(PATIENCE, connected).await.expect("the virtual node listens")
}

/// Waits until `upstream` is asked just that.
async fn asked(upstream: &TcpListener, frame: &[u8]) {
    let asked = async {
        loop {
            let (mut stream, _) = upstream.accept().await.unwrap();
            let mut received = vec![0; frame.len()];
            if stream.read_exact(&mut received).await.is_ok() && received == frame {
                return;
            }
        }
    };
    timeout(PATIENCE, asked).await.expect("the broker is asked");
}

/// A gateway in front of region r1 of three brokers: the virtual node of each, and where clients bootstrap.
struct Stage {
    gateway: Gateway,
    bootstrap: SocketAddr,
    nodes: [SocketAddr; 3],
}

async fn stage(gateways: [SocketAddr; 3], internal: &str) -> Stage {
    let (bootstrap, nodes) = (free(), [free(), free(), free()]);
    let council = Arc::new(Council::new(gateways[0], nodes[0].port()));
    council.change(|table| {
        table.regions[0].gateways = gateways.map(|address| address.to_string()).join(",");
        internal.clone_into(&mut table.regions[0].internal);
        table.virtual_nodes.extend([1, 2].map(|slot| VirtualNode {
            id: 1 + i32::from(slot),
            host: "127.0.0.1".into(),
            port: nodes[usize::from(slot)].port(),
            region: region("r1"),
            slot,
            gateway: "g1".into(),
        }));
    });
    let config = Config { name: "g1".into(), bootstrap, host: LOCALHOST, region: None };
    let gateway = Gateway::start(config, Arc::new(SystemClock), council.clone()).await.unwrap();
    council.heard(|ask| ask.since == 2).await;
    Stage { gateway, bootstrap, nodes }
}

/// Says who leads in r1 to whoever follows, as often as that changes.
async fn tell(listener: TcpListener, leaders: watch::Receiver<Leaders>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(tell_one(stream, leaders.clone()));
    }
}

async fn tell_one(mut stream: TcpStream, mut leaders: watch::Receiver<Leaders>) -> Option<()> {
    loop {
        let mut frame = vec![0; stream.read_u32().await.ok()? as usize];
        stream.read_exact(&mut frame).await.ok()?;
        let (header, body) = wire::RequestHeader::decode(Bytes::from(frame)).ok()?;
        let request = control::Request::decode_front(body, header.api_version).ok()?;
        let asked: FollowMetadata = serde_json::from_slice(&request.payload).ok()?;
        let newer = leaders.wait_for(|leaders| leaders.version > asked.since);
        let payload = serde_json::to_vec(&*newer.await.ok()?).ok()?.into();
        let answer = control::Response { payload, ..Default::default() };
        let frame = wire::frame::encode_response(header.correlation_id, header.api_version, &answer).ok()?;
        stream.write_all(&frame).await.ok()?;
    }
}

fn leaders(version: u64, fenced: Vec<u16>) -> Leaders {
    Leaders { region: region("r1"), version, topics: vec![], coordinators: vec![], brokers: vec![], fenced }
}

/// The error a heartbeat is answered with.
async fn heartbeat_error(client: &mut TcpStream) -> i16 {
    let mut answer = [0; 10];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("an answer").unwrap();
    i16::from_be_bytes([answer[8], answer[9]])
}

#[tokio::test]
async fn a_broker_that_is_fenced_is_not_waited_for_and_not_asked_until_it_is_let_in_again() {
    // Listeners that take connections and never answer are what a stopped process looks like.
    let bind = async || TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let (zero, one, two, told) = (bind().await, bind().await, bind().await, bind().await);
    let (says, heard) = watch::channel(leaders(1, vec![]));
    let (internal, all) = (told.local_addr().unwrap().to_string(), [&zero, &one, &two]);
    tokio::spawn(tell(told, heard));
    let stage = stage(all.map(|listener| listener.local_addr().unwrap()), &internal).await;
    let frame = heartbeat();
    let mut waiting = connect(stage.nodes[0]).await;
    waiting.write_all(&frame).await.unwrap();
    asked(&zero, &frame).await;
    says.send_replace(leaders(2, vec![0]));
    let ended = timeout(PATIENCE, waiting.read_u8()).await.expect("nobody waits for a fenced broker for ever");
    assert!(ended.is_err(), "the connection is closed, and the client asks who leads now");
    let mut again = connect(stage.nodes[0]).await;
    again.write_all(&frame).await.unwrap();
    assert_eq!(heartbeat_error(&mut again).await, wire::ErrorCode::NOT_COORDINATOR.0);
    let mut first = connect(stage.bootstrap).await;
    first.write_all(&frame).await.unwrap();
    asked(&one, &frame).await;
    says.send_replace(leaders(3, vec![]));
    let answered = async {
        // Until the gateway has heard of it, it turns the client away.
        loop {
            again.write_all(&frame).await.unwrap();
            tokio::select! {
                () = asked(&zero, &frame) => return,
                error = heartbeat_error(&mut again) => assert_eq!(error, wire::ErrorCode::NOT_COORDINATOR.0),
            }
        }
    };
    timeout(PATIENCE, answered).await.expect("the broker is asked again");
    stage.gateway.shutdown().await;
}

#[tokio::test]
async fn a_virtual_node_leads_to_the_broker_in_its_slot_and_bootstrap_to_one_that_is_there() {
    let (zero, two) = (free(), TcpListener::bind((LOCALHOST, 0)).await.unwrap());
    let one = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let all = [zero, one.local_addr().unwrap(), two.local_addr().unwrap()];
    let stage = stage(all, &all.map(|address| address.to_string()).join(",")).await;
    let frame = heartbeat();
    let mut client = connect(stage.nodes[2]).await;
    client.write_all(&frame).await.unwrap();
    asked(&two, &frame).await;
    // Nobody listens in slot 0: its clients are told to look elsewhere, and those who bootstrap are not sent there.
    let mut client = connect(stage.nodes[0]).await;
    client.write_all(&frame).await.unwrap();
    assert_eq!(heartbeat_error(&mut client).await, wire::ErrorCode::NOT_COORDINATOR.0);
    let mut client = connect(stage.bootstrap).await;
    client.write_all(&frame).await.unwrap();
    asked(&one, &frame).await;
    stage.gateway.shutdown().await;
}
