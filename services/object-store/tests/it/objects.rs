use crate::platform::{Platform, credentials, fresh};
use bytes::Bytes;
use env::{ObjectError, ObjectStore};
use object_store::Credentials;

/// Bytes that differ everywhere, so that a piece in the wrong place shows.
fn pattern(len: usize) -> Bytes {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[tokio::test]
async fn an_object_is_read_as_it_was_written() {
    let (_directory, _platform, client) = fresh().await;
    let body = pattern(3_500_001);
    client.put_new("seg/a b/ü+%.seg", body.clone()).await.unwrap();
    assert_eq!(client.read("seg/a b/ü+%.seg").await.unwrap(), body);
    assert_eq!(client.read_range("seg/a b/ü+%.seg", 1_048_570, 20).await.unwrap(), body.slice(1_048_570..1_048_590));
    assert_eq!(client.head("seg/a b/ü+%.seg").await.unwrap().size, 3_500_001);
    client.put_new("empty", Bytes::new()).await.unwrap();
    assert!(client.read("empty").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_range_beyond_the_end_is_refused() {
    let (_directory, _platform, client) = fresh().await;
    client.put_new("a", pattern(10)).await.unwrap();
    assert!(matches!(client.read_range("a", 5, 6).await, Err(ObjectError::Refused { .. })));
    assert!(matches!(client.read_range("a", 10, 1).await, Err(ObjectError::Refused { .. })));
    assert!(matches!(client.read_range("a", u64::MAX, 2).await, Err(ObjectError::Refused { .. })));
    assert!(client.read_range("a", 3, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_missing_is_not_found() {
    let (_directory, _platform, client) = fresh().await;
    assert!(matches!(client.read("no").await, Err(ObjectError::NotFound { key }) if key == "no"));
    assert!(matches!(client.read_range("no", 0, 1).await, Err(ObjectError::NotFound { .. })));
    assert!(matches!(client.head("no").await, Err(ObjectError::NotFound { .. })));
    assert!(client.list("no").await.unwrap().is_empty());
    client.delete("no").await.unwrap();
}

#[tokio::test]
async fn a_missing_bucket_is_refused_not_taken_for_a_missing_object() {
    let directory = tempfile::tempdir().unwrap();
    let platform = Platform::start(directory.path()).await;
    let client = platform.client();
    let error = client.read("a").await.unwrap_err();
    assert!(matches!(&error, ObjectError::Refused { reason, .. } if reason.contains("NoSuchBucket")), "{error}");
    assert!(matches!(client.put_new("a", Bytes::new()).await, Err(ObjectError::Refused { .. })));
    client.create_bucket().await.unwrap();
    client.create_bucket().await.unwrap();
    client.put_new("a", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn an_object_is_written_once() {
    let (_directory, _platform, client) = fresh().await;
    client.put_new("a", Bytes::from_static(b"first")).await.unwrap();
    assert!(
        matches!(client.put_new("a", Bytes::from_static(b"other")).await, Err(ObjectError::Exists { key }) if key == "a")
    );
    assert_eq!(client.read("a").await.unwrap().as_ref(), b"first");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_racing_writers_exactly_one_wins() {
    let (_directory, platform, client) = fresh().await;
    for round in 0..8 {
        let key = format!("race/{round}/object");
        let writers = (0..32).map(|writer| {
            let (client, key) = (platform.client(), key.clone());
            tokio::spawn(async move { (writer, client.put_new(&key, Bytes::from(format!("writer {writer}"))).await) })
        });
        let outcomes = futures::future::join_all(writers.collect::<Vec<_>>()).await;
        let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> =
            outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(writer, _)| *writer).collect();
        let losers = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Err(ObjectError::Exists { .. }))).count();
        assert_eq!((winners.len(), losers), (1, 31));
        assert_eq!(client.read(&key).await.unwrap(), format!("writer {}", winners[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_and_more_objects_are_listed_in_order() {
    let (_directory, _platform, client) = fresh().await;
    let names: Vec<String> = (0..1025).map(|n| format!("seg/{:02}/{n:05}.seg", n % 7)).collect();
    for some in names.chunks(64) {
        let writes = some.iter().map(|name| client.put_new(name, Bytes::from(name.clone())));
        futures::future::try_join_all(writes).await.unwrap();
    }
    client.put_new("other", Bytes::new()).await.unwrap();
    let mut expected = names.clone();
    expected.sort();
    let listed = client.list("seg/").await.unwrap();
    assert_eq!(listed.iter().map(|info| info.key.clone()).collect::<Vec<_>>(), expected);
    assert!(listed.iter().all(|info| info.size == info.key.len() as u64));
    assert_eq!(client.list("seg/03/").await.unwrap().len(), 146);
    assert_eq!(client.list("").await.unwrap().len(), 1026);
}

#[tokio::test]
async fn a_deleted_object_is_gone_and_its_name_free() {
    let (_directory, _platform, client) = fresh().await;
    client.put_new("a/b/c", pattern(10)).await.unwrap();
    client.delete("a/b/c").await.unwrap();
    assert!(matches!(client.head("a/b/c").await, Err(ObjectError::NotFound { .. })));
    assert!(client.list("").await.unwrap().is_empty());
    client.put_new("a/b/c", pattern(11)).await.unwrap();
    assert_eq!(client.head("a/b/c").await.unwrap().size, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_one_request_goes_up_in_parts() {
    let (_directory, _platform, client) = fresh().await;
    let body = pattern((16 << 20) + 12_345);
    client.put_new("large", body.clone()).await.unwrap();
    assert!(client.read("large").await.unwrap() == body);
    assert!(matches!(client.put_new("large", body).await, Err(ObjectError::Exists { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_deletes_side_by_side_leave_what_was_written_last() {
    let (_directory, platform, client) = fresh().await;
    let workers = (0..8).map(|worker| {
        let client = platform.client();
        tokio::spawn(async move {
            for round in 0..25 {
                let key = format!("shared/directory/{worker}");
                client.put_new(&key, Bytes::from(format!("{round}"))).await.unwrap();
                client.delete(&key).await.unwrap();
            }
            client.put_new(&format!("shared/directory/{worker}"), Bytes::new()).await.unwrap();
        })
    });
    futures::future::try_join_all(workers.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(client.list("shared/").await.unwrap().len(), 8);
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let (_directory, platform, client) = fresh().await;
    client.put_new("a", Bytes::new()).await.unwrap();
    let wrong_secret = Credentials { secret_key: "guess".into(), ..credentials() };
    let unknown_key = Credentials { access_key: "guest".into(), ..credentials() };
    for stranger in [wrong_secret, unknown_key] {
        let client = platform.client_as(stranger);
        assert!(matches!(client.read("a").await, Err(ObjectError::Refused { reason, .. }) if reason.contains("403")));
        assert!(matches!(client.put_new("b", Bytes::new()).await, Err(ObjectError::Refused { .. })));
        assert!(matches!(client.list("").await, Err(ObjectError::Refused { .. })));
    }
    assert_eq!(client.list("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_away_is_a_failure_that_may_pass() {
    let (directory, platform, client) = fresh().await;
    client.put_new("a", pattern(100)).await.unwrap();
    platform.stop().await;
    let error = client.head("a").await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("look for a"), "{error}");
    let again = Platform::start(directory.path()).await;
    assert_eq!(again.client().read("a").await.unwrap(), pattern(100));
}
