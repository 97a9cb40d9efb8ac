//! A region of several brokers behind one gateway.

use crate::council::{Council, PATIENCE, region};
use api::routes::VirtualNode;
use bytes::{BufMut, BytesMut};
use env::real::SystemClock;
use gateway::{Config, Gateway};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as FreePort};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

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

#[tokio::test]
async fn a_virtual_node_leads_to_the_broker_in_its_slot_and_bootstrap_to_one_that_is_there() {
    let (zero, two) = (free(), TcpListener::bind((LOCALHOST, 0)).await.unwrap());
    let one = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let (bootstrap, nodes) = (free(), [free(), free(), free()]);
    let council = Arc::new(Council::new(zero, nodes[0].port()));
    council.change(|table| {
        let all = [zero, one.local_addr().unwrap(), two.local_addr().unwrap()];
        let all = all.map(|address| address.to_string()).join(",");
        (table.regions[0].gateways, table.regions[0].internal) = (all.clone(), all);
        table.virtual_nodes.extend([1, 2].map(|slot| VirtualNode {
            id: 1 + i32::from(slot),
            host: "127.0.0.1".into(),
            port: nodes[usize::from(slot)].port(),
            region: region("r1"),
            slot,
            gateway: "g1".into(),
        }));
    });
    let config = Config { name: "g1".into(), bootstrap, host: LOCALHOST };
    let gateway = Gateway::start(config, Arc::new(SystemClock), council.clone()).await.unwrap();
    council.heard(|ask| ask.since == 2).await;
    let frame = heartbeat();
    let mut client = connect(nodes[2]).await;
    client.write_all(&frame).await.unwrap();
    asked(&two, &frame).await;
    // Nobody listens in slot 0: its clients are told to look elsewhere, and those who bootstrap are not sent there.
    let mut client = connect(nodes[0]).await;
    client.write_all(&frame).await.unwrap();
    let mut answer = [0; 10];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(i16::from_be_bytes([answer[8], answer[9]]), wire::ErrorCode::NOT_COORDINATOR.0);
    let mut client = connect(bootstrap).await;
    client.write_all(&frame).await.unwrap();
    asked(&one, &frame).await;
    gateway.shutdown().await;
}
