//! A network that loses answers.

use crate::platform::{Platform, credentials, fresh};
use bytes::Bytes;
use env::{ObjectError, ObjectStore};
use object_store::{Client, Location};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Lets the first connection's request through and cuts it when the answer begins; passes everything after that.
async fn lossy_proxy(platform: &Platform) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = platform.endpoint.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut upstream = TcpStream::connect(&server).await.unwrap();
            if connection == 0 {
                let (mut from_client, _to_client) = client.split();
                let (mut from_server, mut to_server) = upstream.split();
                let mut answer = [0; 1];
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = from_server.read_exact(&mut answer) => {}
                }
                let _cut = upstream.shutdown().await;
            } else {
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut upstream).await });
            }
        }
    });
    endpoint
}

fn client_through(endpoint: String) -> Client {
    let credentials = credentials();
    Client::new(&Location { endpoint, region: "here".into(), bucket: "backups".into(), credentials })
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_finds_its_own_object() {
    let (_directory, platform, direct) = fresh().await;
    let client = client_through(lossy_proxy(&platform).await);
    client.put_new("a", Bytes::from_static(b"ours")).await.unwrap();
    assert_eq!(direct.read("a").await.unwrap().as_ref(), b"ours");
}

#[tokio::test]
async fn a_lost_answer_does_not_make_another_ones_object_ours() {
    let (_directory, platform, direct) = fresh().await;
    direct.put_new("a", Bytes::from_static(b"theirs")).await.unwrap();
    let client = client_through(lossy_proxy(&platform).await);
    let outcome = client.put_new("a", Bytes::from_static(b"ours")).await;
    assert!(matches!(outcome, Err(ObjectError::Exists { .. })));
}
