use crate::platform::{Platform, fresh};
use bytes::Bytes;
use env::ObjectStore;
use object_store::server::Server;
use std::fs;

#[tokio::test]
async fn objects_survive_a_restart_and_half_received_bodies_do_not() {
    let (directory, platform, client) = fresh().await;
    client.put_new("a/1", Bytes::from_static(b"one")).await.unwrap();
    platform.stop().await;
    fs::write(directory.path().join("staging/99"), b"half a body").unwrap();

    let platform = Platform::start(directory.path()).await;
    assert_eq!(platform.client().read("a/1").await.unwrap().as_ref(), b"one");
    assert_eq!(fs::read_dir(directory.path().join("staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn nothing_is_left_of_a_write_that_lost() {
    let (directory, _platform, client) = fresh().await;
    client.put_new("a", Bytes::from_static(b"one")).await.unwrap();
    client.put_new("a", Bytes::from_static(b"two")).await.unwrap_err();
    assert_eq!(fs::read_dir(directory.path().join("staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn two_servers_do_not_share_a_directory() {
    let (directory, platform, _client) = fresh().await;
    let refusal = Server::open(directory.path()).unwrap_err().to_string();
    assert!(refusal.contains("in use by another server"), "{refusal}");
    platform.stop().await;
    Server::open(directory.path()).unwrap();
}
