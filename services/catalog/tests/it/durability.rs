use crate::council::{Council, at, dump, form};
use crate::story::story;
use catalog::{Answer, Catalog, CatalogError, Entry, Position};
use std::path::{Path, PathBuf};

fn log() -> Vec<Entry> {
    (1..).zip(story()).map(|(index, command)| Entry { index, command }).collect()
}

async fn open(directory: &Path, name: &str) -> (Catalog, PathBuf) {
    let path = directory.join(name);
    (Catalog::open(&path).await.unwrap(), path)
}

async fn apply(catalog: &mut Catalog, entries: &[Entry]) {
    let last = entries.last().map_or(0, |entry| entry.index);
    for outcome in catalog.apply(entries, at(last)).await.unwrap() {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn every_change_of_the_story_takes_effect() {
    let directory = tempfile::tempdir().unwrap();
    let (mut catalog, _) = open(directory.path(), "a").await;
    for entry in log() {
        let outcome = catalog.apply(std::slice::from_ref(&entry), at(entry.index)).await.unwrap().remove(0);
        assert!(outcome.is_ok(), "{:?}: {outcome:?}", entry.command.change);
        if let Ok(Answer::Topics { outcomes }) = outcome {
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
    }
}

#[tokio::test]
async fn two_nodes_with_the_same_log_have_the_same_rows_however_it_was_batched() {
    let directory = tempfile::tempdir().unwrap();
    let (mut one, one_path) = open(directory.path(), "one").await;
    let (mut other, other_path) = open(directory.path(), "other").await;
    let log = log();
    for entry in &log {
        apply(&mut one, std::slice::from_ref(entry)).await;
    }
    for entries in log.chunks(7) {
        apply(&mut other, entries).await;
    }
    assert_eq!(dump(&one_path).await, dump(&other_path).await);
    assert_eq!(one.view(), other.view());
}

#[tokio::test]
async fn the_view_in_memory_is_the_view_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (mut catalog, path) = open(directory.path(), "a").await;
    for entry in log() {
        apply(&mut catalog, &[entry]).await;
        let view = catalog.view();
        catalog.close().await.unwrap();
        catalog = Catalog::open(&path).await.unwrap();
        assert_eq!(catalog.view(), view);
    }
}

#[tokio::test]
async fn entries_that_come_again_are_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let log = log();
    let (mut once, once_path) = open(directory.path(), "once").await;
    apply(&mut once, &log).await;
    let expected = dump(&once_path).await;
    for prefix in (0..log.len()).step_by(5) {
        let (mut catalog, path) = open(directory.path(), &format!("from-{prefix}")).await;
        apply(&mut catalog, &log[..prefix]).await;
        drop(catalog);
        let mut catalog = Catalog::open(&path).await.unwrap();
        let outcomes = catalog.apply(&log, at(log.len() as u64)).await.unwrap();
        assert!(outcomes[..prefix].iter().all(|outcome| *outcome == Ok(Answer::AppliedBefore)));
        assert_eq!(dump(&path).await, expected);
    }
}

#[tokio::test]
async fn the_position_is_stored_with_the_effects() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    assert_eq!(*council.catalog.applied(), at(2));
    let empty = Position { index: 9, token: b"a new term".to_vec() };
    assert_eq!(council.catalog.apply(&[], empty.clone()).await.unwrap(), []);
    let path = council.path();
    council.catalog.close().await.unwrap();
    assert_eq!(*Catalog::open(path).await.unwrap().applied(), empty);
}

#[tokio::test]
async fn nothing_of_a_catalog_that_was_removed_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let (mut catalog, path) = open(directory.path(), "live").await;
    apply(&mut catalog, &log()).await;
    let left = PathBuf::from(format!("{}-wal", path.display()));
    assert!(left.metadata().unwrap().len() > 0);
    std::fs::copy(left, directory.path().join("removed-wal")).unwrap();
    let (new, _) = open(directory.path(), "removed").await;
    assert_eq!(*new.applied(), Position::default());
    assert!(new.view().groups.is_empty());
}

#[tokio::test]
async fn a_batch_that_is_not_finished_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = log();
    let (mut whole, whole_path) = open(directory.path(), "whole").await;
    apply(&mut whole, &log).await;
    let expected = dump(&whole_path).await;
    let (mut catalog, path) = open(directory.path(), "torn").await;
    apply(&mut catalog, &log[..3]).await;
    let before = dump(&path).await;
    for polls in [1, 5, 25, 125] {
        abandon_after(polls, catalog.apply(&log, at(log.len() as u64))).await;
        assert_eq!(dump(&path).await, before, "after {polls} polls");
        assert_eq!(catalog.applied().index, 3);
    }
    apply(&mut catalog, &log[3..]).await;
    assert_eq!(dump(&path).await, expected);
}

/// Drops the future when it has been polled so often: the process died in the middle.
async fn abandon_after<F: Future>(polls: usize, future: F) {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(());
        }
        left -= 1;
        assert!(future.as_mut().poll(context).is_pending(), "it was done before it could be abandoned");
        std::task::Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn entries_out_of_order_are_refused() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    let backwards: Vec<Entry> = council.log.iter().rev().cloned().collect();
    let refused = council.catalog.apply(&backwards, at(2)).await;
    assert!(matches!(refused, Err(CatalogError::OutOfOrder { index: 1, applied: 2 })));
    assert!(matches!(council.catalog.apply(&[], at(1)).await, Err(CatalogError::OutOfOrder { .. })));
}

#[tokio::test]
async fn commands_that_share_an_entry_are_all_applied() {
    let directory = tempfile::tempdir().unwrap();
    let (mut catalog, path) = open(directory.path(), "a").await;
    let entries: Vec<Entry> = log().into_iter().map(|entry| Entry { index: 0, ..entry }).collect();
    let outcomes = catalog.apply(&entries, Position { index: 0, token: b"first".to_vec() }).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    let before = dump(&path).await;
    let outcomes = catalog.apply(&entries, Position { index: 0, token: b"first".to_vec() }).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Ok(Answer::AppliedBefore)));
    assert_eq!(dump(&path).await, before);
}

#[tokio::test]
async fn a_snapshot_makes_another_node_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let log = log();
    let (mut source, source_path) = open(directory.path(), "source").await;
    let (mut target, target_path) = open(directory.path(), "target").await;
    apply(&mut source, &log[..20]).await;
    apply(&mut target, &log[..2]).await;
    let (reader, mut views) = (target.reader(), target.reader().watch_view());
    views.mark_unchanged();
    source.snapshot(&image).await.unwrap();
    target.install(&image, source.applied().clone()).await.unwrap();
    assert_eq!(dump(&source_path).await, dump(&target_path).await);
    assert_eq!(source.view(), target.view());
    assert!(views.has_changed().unwrap());
    assert_eq!(reader.view(), source.view());
    assert_eq!(reader.applied_index(), 20);
    assert_eq!(reader.runs(None, Default::default()).await.unwrap().items.len(), 1, "readers see the new file");
    assert!(image.exists(), "the image is the caller's");
    apply(&mut source, &log[20..]).await;
    apply(&mut target, &log[20..]).await;
    assert_eq!(dump(&source_path).await, dump(&target_path).await);
    assert!(source.snapshot(&image).await.is_err(), "a snapshot goes to a new file");
}

#[tokio::test]
async fn a_reader_that_asks_during_an_install_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let (mut source, _) = open(directory.path(), "source").await;
    let (mut target, _) = open(directory.path(), "target").await;
    apply(&mut source, &log()).await;
    source.snapshot(&image).await.unwrap();
    let reader = target.reader();
    let asking = tokio::spawn(async move {
        let mut seen = 0;
        while seen == 0 {
            seen = reader.runs(None, Default::default()).await.unwrap().items.len();
        }
        seen
    });
    target.install(&image, source.applied().clone()).await.unwrap();
    assert_eq!(asking.await.unwrap(), 1);
}

#[tokio::test]
async fn a_damaged_snapshot_changes_nothing() {
    let mut council = Council::formed().await;
    let image = council.directory.path().join("image");
    council.catalog.snapshot(&image).await.unwrap();
    let mut bytes = std::fs::read(&image).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0xab);
    std::fs::write(&image, bytes).unwrap();
    let before = council.dump().await;
    assert!(council.catalog.install(&image, at(99)).await.is_err());
    assert_eq!(council.dump().await, before);
    assert_eq!(council.catalog.applied().index, 1);
    council.create(&["orders"]).await.remove(0).expect("it goes on as before");
}

#[tokio::test]
async fn a_log_left_behind_by_another_file_is_not_played_into_a_snapshot() {
    let mut council = Council::formed().await;
    let image = council.directory.path().join("image");
    council.catalog.snapshot(&image).await.unwrap();
    council.create(&["orders"]).await;
    let position = at(1);
    let path = council.path();
    drop(council.catalog);
    // A crash right before the rename leaves the old file and its log; one right after it, the new file alone.
    let mut catalog = Catalog::open(&path).await.unwrap();
    assert!(catalog.view().topics.named("orders").is_some());
    catalog.install(&image, position).await.unwrap();
    drop(catalog);
    let catalog = Catalog::open(&path).await.unwrap();
    assert!(catalog.view().topics.named("orders").is_none());
}

#[tokio::test]
async fn a_database_of_an_earlier_version_is_brought_up_to_date() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/first.sqlite.sql");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    restore_fixture(&path, &std::fs::read_to_string(fixture).unwrap()).await;
    let mut catalog = Catalog::open(&path).await.unwrap();
    assert_eq!(catalog.applied().index, 1);
    assert_eq!(catalog.view().cluster_id.as_deref(), Some("farshore"));
    assert_eq!(catalog.view().topics.len(), 1, "the canary");
    let entries: Vec<Entry> = log();
    let outcomes = catalog.apply(&entries, at(entries.len() as u64)).await.unwrap();
    assert!(outcomes[1..].iter().all(Result::is_ok), "{outcomes:?}");
}

async fn restore_fixture(path: &Path, sql: &str) {
    use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
    // Tables stand in the order of their names, so rows may refer to rows that come later.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    use sqlx::ConnectOptions;
    let council = Council::formed().await;
    let path = council.path();
    council.catalog.close().await.unwrap();
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    drop(connection);
    assert!(Catalog::open(&path).await.is_err());
}

#[tokio::test]
async fn formation_needs_regions() {
    let mut council = Council::empty().await;
    let mut nobody = form(3);
    nobody.regions.clear();
    nobody.groups.clear();
    assert!(matches!(council.refusal(nobody).await, catalog::Refusal::Unusable { .. }));
    assert_eq!(council.catalog.view().cluster_id, None);
}
