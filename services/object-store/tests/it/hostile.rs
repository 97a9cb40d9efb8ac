use crate::platform::{Platform, fresh};
use bytes::Bytes;
use env::{ObjectError, ObjectStore};
use std::fs;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn names_that_look_like_paths_stay_in_their_bucket() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("deep/root");
    let platform = Platform::start(&root).await;
    let client = platform.client();
    client.create_bucket().await.unwrap();
    let names =
        ["%2e%2e/%2e%2e/x", "..x/y", "a//b", "//etc/passwd", "=a", "a/=b", "~root", "a\\..\\b", "c:/x", "'\"&<>"];
    for name in names {
        client.put_new(name, Bytes::from(name)).await.unwrap();
        assert_eq!(client.read(name).await.unwrap(), name, "{name}");
    }
    let mut expected: Vec<_> = names.into();
    expected.sort_unstable();
    let listed = client.list("").await.unwrap();
    assert_eq!(listed.iter().map(|info| info.key.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(files(outside.path()), files(&root));
    assert_eq!(files(&root), names.len() + 1, "the objects and the lock");
}

#[tokio::test]
async fn dots_between_slashes_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("deep/root");
    let platform = Platform::start(&root).await;
    let client = platform.client();
    client.create_bucket().await.unwrap();
    for name in ["../x", "../../x", "a/../../../x", "..", ".", "a/./b"] {
        // Whether the client can send such a name or not: nothing may appear outside.
        let _outcome = client.put_new(name, Bytes::from_static(b"x")).await;
    }
    assert_eq!(files(outside.path()), files(&root));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn names_that_no_file_can_have_are_refused() {
    let (_directory, _platform, client) = fresh().await;
    let refused = |outcome| matches!(outcome, Err(ObjectError::Refused { .. }));
    assert!(refused(client.put_new("a\0b", Bytes::new()).await));
    assert!(refused(client.put_new("a\nb", Bytes::new()).await));
    assert!(refused(client.put_new(&"x".repeat(251), Bytes::new()).await));
    assert!(refused(client.put_new(&"x".repeat(1025), Bytes::new()).await));
    let longest = ["x".repeat(250).as_str(), "y".repeat(250).as_str(), "z".repeat(250).as_str()].join("/");
    client.put_new(&longest, Bytes::from_static(b"here")).await.unwrap();
    assert_eq!(client.read(&longest).await.unwrap().as_ref(), b"here");
}

async fn send(platform: &Platform, request: &str) -> String {
    let mut stream = TcpStream::connect(platform.endpoint.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn unsigned_requests_are_refused() {
    let (directory, platform, client) = fresh().await;
    client.put_new("a", Bytes::new()).await.unwrap();
    for line in ["GET /backups/a", "GET /backups?list-type=2", "DELETE /backups/a", "PUT /backups/../../x", "GET /"] {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = send(&platform, &request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{line}: {answer}");
    }
    assert_eq!(client.list("").await.unwrap().len(), 1);
    assert_eq!(files(directory.path()), 2, "the object and the lock");
}
