//! Regions that were away, or come back with less than they had.

use super::{Fleet, TOPIC, batch, identity, received, started};
use mirror_core::active::{Content, Provenance, Run, SideFile, first_offset};
use model::{ConflictPolicy, Incarnation, Offset};
use record::BatchBuilder;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use wire::ErrorCode;

fn story_of(path: &Path, own: Incarnation) -> (Provenance, SideFile) {
    let (known, _, file) = SideFile::read(&identity(own), &fs::read(path).unwrap()).unwrap();
    (known, file)
}

#[tokio::test]
async fn a_region_that_was_away_goes_on_where_it_was_and_a_torn_story_is_mended() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(0, &[("a", Some("1")), ("b", Some("1"))]).await;
    fleet.converged().await;
    fleet.join(&[]);
    fleet.write(0, &[("a", Some("2"))]).await;
    fleet.write(1, &[("a", Some("3")), ("c", Some("3"))]).await;
    // What a crash leaves of a run that was being written.
    fleet
        .restart(1, |story| OpenOptions::new().append(true).open(story).unwrap().write_all(&[0, 40, 1, 2]).unwrap())
        .await;
    fleet.tell().await;
    fleet.write(1, &[("d", Some("4"))]).await;
    fleet.mesh();
    let state = fleet.converged().await;
    assert_eq!(state.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    fleet.restart(0, |_| {}).await;
    fleet.tell().await;
    fleet.mesh();
    fleet.write(0, &[("e", Some("5"))]).await;
    assert_eq!(fleet.converged().await.len(), 5);
    let told = fleet.conflicts(0, 1).await;
    assert_eq!(told, fleet.conflicts(1, 1).await, "found again, it is told once");
    assert!(told.iter().all(|(key, ..)| key == "a"), "{told:?}");
    for at in 0..2 {
        let carried = fleet.log(at).await.iter().filter(|(key, _)| key.as_deref() == Some("b")).count();
        assert_eq!(carried, 1, "nothing is carried twice after a restart");
    }
}

#[tokio::test]
async fn log_and_story_are_cut_to_what_both_have() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(0, &[("a", Some("1"))]).await;
    fleet.converged().await;
    fleet.join(&[]);
    fleet.write(1, &[("b", Some("2"))]).await;
    // What was flushed of a run whose batch was not.
    fleet
        .restart(1, |story| {
            let (known, mut file) = story_of(&story, Incarnation(2));
            let lost = Run { local: known.tail(), count: 1, content: Content::Control };
            OpenOptions::new().append(true).open(story).unwrap().write_all(&file.run(&lost)).unwrap();
        })
        .await;
    fleet.tell().await;
    fleet.write(1, &[("c", Some("3"))]).await;
    // What was flushed of a batch whose run was not, and nobody had seen.
    fleet
        .restart(1, |story| {
            let length = fs::metadata(&story).unwrap().len();
            OpenOptions::new().write(true).open(&story).unwrap().set_len(length - 1).unwrap();
            fs::remove_file(story.parent().unwrap().with_file_name("high-watermarks")).unwrap();
        })
        .await;
    fleet.tell().await;
    fleet.write(1, &[("d", Some("4"))]).await;
    fleet.mesh();
    assert_eq!(fleet.converged().await.keys().collect::<Vec<_>>(), ["a", "b", "d"]);
    assert_eq!(fleet.log(0).await.len(), 3);
}

#[tokio::test]
async fn a_region_that_lost_its_disk_gets_everything_back_and_writes_under_another_number() {
    let mut fleet = Fleet::start(3, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(1, &[("a", Some("1")), ("b", Some("1"))]).await;
    fleet.write(0, &[("c", Some("2"))]).await;
    fleet.converged().await;
    let fresh = started(1, tempfile::tempdir().unwrap()).await;
    std::mem::replace(&mut fleet.regions[1], fresh).broker.shutdown().await;
    fleet.incarnations[1] = Incarnation(9);
    fleet.tell().await;
    fleet.mesh();
    fleet.write(1, &[("a", Some("3"))]).await;
    let state = fleet.converged().await;
    let values: Vec<_> = ["a", "b", "c"].into_iter().map(|key| state[key].clone().unwrap()).collect();
    assert_eq!(values[1..], ["1", "2"]);
    let known = received(&fleet.regions[1].broker).unwrap();
    assert_eq!(
        (known.tail(Incarnation(2)), known.tail(Incarnation(1))),
        (first_offset(Incarnation(2)).plus(2), received(&fleet.regions[0].broker).unwrap().tail(Incarnation(1)))
    );
    assert!(known.tail(Incarnation(9)) > Offset::ZERO);
}

#[tokio::test]
async fn records_whose_story_is_lost_are_not_guessed_about() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.write(0, &[("a", Some("1"))]).await;
    fleet.restart(0, |story| fs::remove_file(story).unwrap()).await;
    fleet.index += 1;
    let refused = fleet.regions[0].broker.assign(fleet.assignment(0, &[])).await.unwrap_err();
    assert!(refused.to_string().contains("no story"), "{refused}");
    let answer = fleet.client(0).await.produce(TOPIC, 0, batch(BatchBuilder::new(), &[("b", Some("2"))])).await;
    assert_eq!(answer.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

#[tokio::test]
async fn after_a_restart_only_what_is_not_settled_is_looked_at_again() {
    let mut fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    let written: Vec<_> = (0..600).map(|n| (format!("k{n}"), format!("v{n}"))).collect();
    let records: Vec<_> = written.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
    fleet.write(0, &records).await;
    fleet.converged().await;
    fleet.keeps_a_mark(0).await;
    fleet.restart(0, |_| {}).await;
    fleet.tell().await;
    let replayed = |fleet: &Fleet| fleet.regions[0].broker.active_partitions()[0].replayed;
    assert!(replayed(&fleet) < 300, "{} of 600 records were looked at", replayed(&fleet));
    fleet.write(0, &[("k7", Some("one"))]).await;
    fleet.write(1, &[("k7", Some("two"))]).await;
    fleet.mesh();
    fleet.converged().await;
    let told = fleet.conflicts(0, 1).await;
    // A mark above the end of the log is none of it.
    let (bounds, first) = (fleet.bounds(0), first_offset(Incarnation(1)));
    let mut all = 0;
    fleet
        .restart(0, |story| {
            let tail = story_of(&story, Incarnation(1)).0.tail();
            all = tail.since(first);
            fs::write(story.with_file_name("settled"), bounds.encode(tail.plus(1))).unwrap();
        })
        .await;
    fleet.tell().await;
    assert!(all > 600 && replayed(&fleet) == all, "{} of {all}", replayed(&fleet));
    // The end of the log that it was taken of is lost: what another region wrote, which comes again.
    fleet.mesh();
    fleet.write(1, &[("last", Some("three"))]).await;
    let state = fleet.converged().await;
    fleet
        .restart(0, |story| {
            let tail = story_of(&story, Incarnation(1)).0.tail();
            fs::write(story.with_file_name("settled"), bounds.encode(tail)).unwrap();
            let length = fs::metadata(&story).unwrap().len();
            OpenOptions::new().write(true).open(&story).unwrap().set_len(length - 1).unwrap();
            fs::remove_file(story.parent().unwrap().with_file_name("high-watermarks")).unwrap();
        })
        .await;
    fleet.tell().await;
    assert_eq!(replayed(&fleet), all, "all but the last one");
    fleet.mesh();
    assert_eq!(fleet.converged().await, state);
    assert_eq!(fleet.conflicts(0, 1).await, told);
    assert_eq!(fleet.conflicts(1, 1).await, told);
}
