//! Which write stands, and who carries it where.

use super::{Fleet, TOPIC, batch, name};
use mirror_core::active::first_offset;
use model::{ConflictPolicy, Incarnation};
use record::{BatchBuilder, Compression};
use std::collections::BTreeSet;
use wire::ErrorCode;

#[tokio::test]
async fn what_two_regions_write_apart_comes_to_the_same_state_and_what_lost_is_told() {
    let fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    for key in 0..20 {
        fleet.write(0, &[(&format!("k{key}"), Some(&format!("one-{key}"))), ("", Some("keyless"))]).await;
        fleet.write(1, &[(&format!("k{key}"), Some(&format!("two-{key}")))]).await;
    }
    fleet.write(1, &[("gone", Some("there")), ("gone", None)]).await;
    fleet.mesh();
    let state = fleet.converged().await;
    let told = fleet.conflicts(0, 20).await;
    assert_eq!(told, fleet.conflicts(1, 20).await, "every region tells the same");
    for (key, stands, lost) in told {
        let number = key.strip_prefix('k').unwrap();
        let written = BTreeSet::from([format!("one-{number}"), format!("two-{number}")]);
        assert_eq!(state[&key].as_ref(), Some(&stands));
        assert_eq!(BTreeSet::from([stands, lost]), written, "{key}");
    }
    assert_eq!(state["gone"], None);
    let keyless = fleet.log(1).await.iter().filter(|(key, _)| key.is_none()).count();
    assert_eq!(keyless, 20, "records without a key are carried, once");
}

#[tokio::test]
async fn a_write_that_has_seen_the_other_one_is_no_conflict() {
    let fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    for round in 0..5 {
        fleet.write(round % 2, &[("k", Some(&format!("round-{round}")))]).await;
        let state = fleet.converged().await;
        assert_eq!(state["k"], Some(format!("round-{round}")));
    }
    fleet.conflicts(0, 0).await;
    assert_eq!(fleet.log(0).await.len(), 5, "and nothing has to be repeated");
}

#[tokio::test]
async fn three_regions_in_a_row_carry_each_record_once_and_never_back() {
    let fleet = Fleet::start(3, ConflictPolicy::LastWriterWins).await;
    for at in 0..3 {
        let written: Vec<_> = (0..30).map(|n| (format!("{at}-{n}"), format!("v{n}"))).collect();
        let records: Vec<_> = written.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
        fleet.write_batch(at, batch(BatchBuilder::new().compression(Compression::Zstd), &records)).await;
    }
    fleet.join(&[(0, 1), (1, 0), (1, 2), (2, 1)]);
    let state = fleet.converged().await;
    assert_eq!(state.len(), 90);
    for region in &fleet.regions {
        let known = &region.broker.active_partitions()[0];
        assert_eq!((known.records, known.bytes), (60, known.bytes_taken), "{known:?}");
    }
    fleet.mesh();
    fleet.write(2, &[("last", Some("one"))]).await;
    fleet.converged().await;
    for at in 0..3 {
        assert_eq!(fleet.log(at).await.len(), 91, "r{}", at + 1);
    }
}

#[tokio::test]
async fn a_region_of_higher_priority_wins_whenever_it_wrote() {
    let policy = ConflictPolicy::RegionPriority { order: vec![name(1), name(0)] };
    let fleet = Fleet::start(2, policy).await;
    fleet.write(1, &[("k", Some("important"))]).await;
    fleet.write(0, &[("k", Some("later"))]).await;
    fleet.mesh();
    assert_eq!(fleet.converged().await["k"].as_deref(), Some("important"));
    let told = fleet.conflicts(0, 1).await;
    assert_eq!(told, BTreeSet::from([("k".to_owned(), "important".to_owned(), "later".to_owned())]));
}

#[tokio::test]
async fn a_reader_that_comes_from_another_region_is_told_that_its_place_is_none_here() {
    let fleet = Fleet::start(2, ConflictPolicy::LastWriterWins).await;
    fleet.mesh();
    fleet.write(0, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]).await;
    fleet.converged().await;
    let (client, place) = (fleet.client(1).await, first_offset(Incarnation(1)).plus(1));
    let answer = client.fetch(TOPIC, 0, place.0).await;
    assert_eq!(answer.error_code, ErrorCode::OFFSET_OUT_OF_RANGE, "{answer:?}");
    let own = client.fetch(TOPIC, 0, first_offset(Incarnation(2)).plus(1).0).await;
    assert_eq!(own.error_code, ErrorCode::NONE, "{own:?}");
}
