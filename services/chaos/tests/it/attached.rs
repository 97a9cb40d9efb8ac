//! Apache Kafka -> Farshore -> Apache Kafka by `farshore attach`: every committed record once and in order, whatever its
//! compression, with the holes of a compacted topic and without aborted transactions; 200 consumer groups at the true
//! offset, idle ones included; also when the link is killed again and again.
//!
//! Two Apache Kafkas of their own take a minute or two of a busy machine: it is played with FARSHORE_CHAOS_ATTACHED=1.
//! FARSHORE_CHAOS_KILLS says how often it is killed [3], FARSHORE_CHAOS_BATCHES how many batches there are to begin with
//! [150 per partition].

mod scene;

use crate::setting;
use scene::{Ends, Scene};

#[test]
fn records_and_groups_come_through_farshore_to_another_kafka_exactly() {
    if setting("FARSHORE_CHAOS_ATTACHED", 0u8) == 0 {
        eprintln!("SKIPPED: FARSHORE_CHAOS_ATTACHED=1 plays it");
        return;
    }
    let mut scene = Scene::start();
    scene.write_everything(setting("FARSHORE_CHAOS_BATCHES", 150));
    scene.commit_groups();
    for kill in 0..setting("FARSHORE_CHAOS_KILLS", 3u64) {
        // There is something to copy when it is killed.
        scene.write_more(40);
        scene.kill_in_the_middle(Ends::Inward, kill);
        scene.kill_in_the_middle(Ends::Outward, kill);
        scene.no_group_is_past_the_true_offset();
    }
    scene.move_some_groups();
    scene.copy_to_the_end(Ends::Inward);
    scene.copy_to_the_end(Ends::Outward);
    scene.every_record_is_there_once();
    scene.every_group_is_exact();
    // A link that starts once more has nothing to do and changes nothing.
    scene.copy_to_the_end(Ends::Inward);
    scene.copy_to_the_end(Ends::Outward);
    scene.every_record_is_there_once();
    scene.every_group_is_exact();
}

#[test]
fn a_link_refuses_what_it_cannot_do_and_names_the_remedy() {
    let refused = |arguments: &[&str]| {
        let home = tempfile::tempdir().unwrap();
        let ran = std::process::Command::new(crate::cluster::binary())
            .arg("attach")
            .args(arguments)
            .arg("--data-dir")
            .arg(home.path())
            .output()
            .unwrap();
        assert!(!ran.status.success());
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    let told = refused(&["--source", "kafka", "--target", "127.0.0.1:1", "--topics", "orders"]);
    assert!(told.contains("--source kafka") && told.contains("HOST:PORT"), "{told}");
    let told = refused(&["--source", "127.0.0.1:1", "--target", "127.0.0.1:1"]);
    assert!(told.contains("--topics"), "{told}");
}
