//! A client's first words.

use crate::council::{Council, PATIENCE};
use env::real::SystemClock;
use gateway::{Config, Gateway};
use std::net::{IpAddr, Ipv4Addr, TcpListener as FreePort};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use wire::api::metadata;
use wire::client::Connection;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a gateway that has nothing to say is listened to.
const SILENCE: Duration = Duration::from_millis(200);

fn free_port() -> u16 {
    FreePort::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn nobody_is_told_of_a_cluster_without_nodes() {
    let (bootstrap, upstream) = (free_port(), (LOCALHOST, free_port()).into());
    let council = Arc::new(Council::new(upstream, free_port()));
    let mut nodes = vec![];
    council.change(|table| nodes = std::mem::take(&mut table.virtual_nodes));
    let config = Config { name: "g1".into(), bootstrap: (LOCALHOST, bootstrap).into(), host: LOCALHOST, region: None };
    let gateway = Gateway::start(config, Arc::new(SystemClock), council.clone()).await.unwrap();
    council.heard(|ask| ask.since == 2).await;
    let address = format!("127.0.0.1:{bootstrap}");
    let asked = async {
        let connection = Connection::connect(&address, "client", PATIENCE).await.unwrap();
        let request = metadata::Request { topics: None, ..Default::default() };
        connection.call_within(PATIENCE, &request, 9).await.unwrap()
    };
    let mut asked = std::pin::pin!(asked);
    let early = timeout(SILENCE, &mut asked).await;
    assert!(early.is_err(), "told of {:?}", early.unwrap().brokers);
    council.change(|table| table.virtual_nodes = nodes);
    let told = timeout(PATIENCE, asked).await.expect("the gateway answers once it knows a node");
    assert_eq!(told.brokers.iter().map(|broker| broker.node_id).collect::<Vec<_>>(), [1]);
    gateway.shutdown().await;
}
