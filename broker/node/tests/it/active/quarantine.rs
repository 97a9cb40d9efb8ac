//! Conflicts that nothing but a person may settle.

use super::{CONFLICTS, Fleet, TOPIC, records, text};
use broker::SettleFailure;
use mirror_core::active::ConflictState;
use model::{ConflictPolicy, Offset, PartitionId, TopicName};

#[tokio::test]
async fn what_is_in_quarantine_waits_for_a_person_who_knows_all_of_it() {
    let fleet = Fleet::start(2, ConflictPolicy::Quarantine).await;
    fleet.write(0, &[("k", Some("first"))]).await;
    fleet.write(1, &[("k", Some("second"))]).await;
    fleet.mesh();
    let standing = fleet.converged().await["k"].clone().unwrap();
    let broker = &fleet.regions[1].broker;
    let disputes = broker.disputes().await.unwrap();
    assert_eq!((disputes.len(), disputes[0].key_bytes.as_slice()), (1, &b"k"[..]));
    let [stands, other] = disputes[0].versions.as_slice() else { panic!("{disputes:?}") };
    assert_eq!(text(&stands.value), standing);
    let (at, key) = ((&TopicName::new(TOPIC).unwrap(), PartitionId(0)), b"k".to_vec());
    let ignorant = broker.settle_dispute(at, key.clone(), other.dot, vec![other.dot]).await;
    assert!(matches!(ignorant, Err(SettleFailure::Choice(_))), "{ignorant:?}");
    broker.settle_dispute(at, key, other.dot, vec![stands.dot, other.dot]).await.unwrap();
    let state = fleet.converged().await;
    assert_eq!(state["k"].as_deref(), Some(text(&other.value).as_str()));
    for region in &fleet.regions {
        assert_eq!(region.broker.disputes().await.unwrap(), []);
    }
    let told = fleet.regions[0].broker.conflicts(Offset::ZERO, 10).await.unwrap();
    assert!(told.conflicts.iter().all(|told| told.state == ConflictState::Quarantined), "{told:?}");
    assert!(!records(&fleet.client(0).await, CONFLICTS, Offset::ZERO).await.is_empty(), "clients may read them, too");
}
