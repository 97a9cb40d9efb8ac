//! Apache Kafka -> Farshore -> Apache Kafka by `farshore attach`: every committed record once and in order, whatever its
//! compression, with the holes of a compacted topic and without aborted transactions; 200 consumer groups at the true
//! offset, idle ones included; also when the link is killed again and again.
//!
//! Two Apache Kafkas of their own take a minute or two of a busy machine: it is played with FARSHORE_CHAOS_ATTACHED=1.
//! FARSHORE_CHAOS_KILLS says how often it is killed [3], FARSHORE_CHAOS_BATCHES how many batches there are to begin with
//! [150 per partition].

mod kept;
mod scene;
mod secure;

use crate::setting;
use kept::At;
use scene::{Ends, Scene};
use secure::Listener::{Bare, Mutual, Plain, Secure};
use secure::{refusal, succeeds};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

/// Whether the long ones are played.
fn is_played() -> bool {
    let is_played = setting("FARSHORE_CHAOS_ATTACHED", 0u8) != 0;
    if !is_played {
        eprintln!("SKIPPED: FARSHORE_CHAOS_ATTACHED=1 plays it");
    }
    is_played
}

#[test]
fn records_and_groups_come_through_farshore_to_another_kafka_exactly() {
    if !is_played() {
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

/// The link comes as its user, over TLS.
fn protected(side: &str, mechanism: &str, password: &str) -> String {
    format!(
        "--{side}-security-protocol SASL_SSL --{side}-ca-file @ca.pem --{side}-sasl-mechanism {mechanism} --{side}-user link \
         {password}"
    )
}

#[test]
fn a_kafka_that_wants_tls_and_sasl_is_attached() {
    if !is_played() {
        return;
    }
    let scene = secure::Scene::start();
    let end = "--topics orders --exit-at-end";
    scene.write(0..40);
    scene.commit_groups();
    let as_user = |mechanism| protected("source", mechanism, "--source-password-file @password");
    succeeds(scene.inward(Secure, &format!("{end} {}", as_user("SCRAM-SHA-512"))));
    scene.everything_has_arrived();
    scene.write(40..60);
    succeeds(scene.inward(Secure, &format!("{end} {}", as_user("PLAIN"))));
    scene.everything_has_arrived();
    scene.write(60..80);
    let with_certificate = "--source-security-protocol SSL --source-ca-file @ca.pem \
                            --source-certificate-file @client.crt --source-key-file @client.key";
    succeeds(scene.inward(Mutual, &format!("{end} {with_certificate}")));
    scene.everything_has_arrived();
    scene.write_answers(30);
    // The password is in the environment this time.
    let from_environment = protected("target", "SCRAM-SHA-256", "");
    scene.follow_for_some_sessions(scene.outward(Secure, &format!("--topics answers {from_environment}")));
    let as_target_user = protected("target", "SCRAM-SHA-512", "--target-password-file @password");
    succeeds(scene.outward(Secure, &format!("--topics answers --exit-at-end {as_target_user}")));
    scene.answers_have_arrived();
    scene.forbid_topics_of_links();
    scene.write(5000..5010);
    let told = succeeds(scene.inward(Secure, &format!("{end} {}", as_user("SCRAM-SHA-512"))));
    assert!(told.contains("map not kept in the source: ") && told.contains("AUTHORIZATION_FAILED"), "{told}");
    scene.everything_has_arrived();

    let cases = [
        (
            Secure,
            protected("source", "SCRAM-SHA-512", "--source-password-file @wrong-password"),
            "does not accept user link",
        ),
        (Secure, protected("source", "PLAIN", "--source-password-file @wrong-password"), "with this password by PLAIN"),
        (Secure, as_user("PLAIN").replace("@ca.pem", "@other-ca.pem"), "authority that is not trusted here"),
        (Secure, String::new(), "speaks TLS there: use the security protocol SSL or SASL_SSL"),
        (Secure, "--source-security-protocol SSL --source-ca-file @ca.pem".into(), "asks for SASL there"),
        (Plain, as_user("PLAIN"), "speaks plain text there, not TLS"),
        (
            Plain,
            as_user("PLAIN").replace("SASL_SSL --source-ca-file @ca.pem", "SASL_PLAINTEXT"),
            "does not ask for SASL",
        ),
        (Bare, String::new(), "one of its mechanisms (SCRAM-SHA-256)"),
        (
            Bare,
            as_user("PLAIN").replace("SASL_SSL --source-ca-file @ca.pem", "SASL_PLAINTEXT"),
            "does not offer the mechanism PLAIN: choose one of those it offers (SCRAM-SHA-256)",
        ),
        (Mutual, "--source-security-protocol SSL --source-ca-file @ca.pem".into(), "refuses this client's certificate"),
    ];
    for (listener, options, expected) in cases {
        let told = refusal(scene.inward(listener, &format!("{end} {options}")));
        assert!(told.contains(expected) && told.contains("source cluster"), "{listener:?} {options}: {told}");
    }
}

#[test]
fn a_lost_map_or_directory_is_restored_from_what_is_left() {
    if !is_played() {
        return;
    }
    let scene = secure::Scene::start();
    scene.write(0..40);
    scene.commit_groups();
    scene.copy("");
    scene.both_maps_are_whole_and_the_same();
    for at in [At::Farshore, At::Kafka] {
        scene.lose_the_map(at);
        scene.copy("");
        scene.both_maps_are_whole_and_the_same();
    }
    scene.lose_the_map_of_the_target_while_a_link_follows(40);
    scene.write(41..60);
    scene.lose_the_directory();
    scene.lose_the_map(At::Farshore);
    // Commits of the link itself go on being followed, though nothing here tells which they are.
    scene.move_groups(7);
    let told = scene.copy("");
    assert!(told.contains("the copy goes on from the map in the source cluster"), "{told}");
    scene.everything_has_arrived();
    scene.both_maps_are_whole_and_the_same();
    scene.move_groups(-3);
    let next = scene.kill_a_link_and_lose_its_directory(60);
    scene.write(next..next + 20);
    let told = scene.copy("");
    assert!(told.contains("the copy goes on from the map in the"), "{told}");
    scene.everything_has_arrived();
    scene.both_maps_are_whole_and_the_same();
    scene.lose_the_directory();
    [At::Farshore, At::Kafka].into_iter().for_each(|at| scene.lose_the_map(at));
    let told = refusal(scene.inward(Plain, kept::END));
    assert!(told.contains("no map in the clusters tells what they are"), "{told}");
    scene.a_source_that_is_read_only_gets_no_map();
}

#[test]
fn a_link_does_not_send_back_what_another_brought() {
    if !is_played() {
        return;
    }
    let scene = secure::Scene::start();
    scene.write(0..20);
    scene.commit_groups();
    scene.copy("");
    let told = refusal(scene.outward(Plain, kept::END));
    assert!(told.contains("topic orders is copied from cluster") && told.contains("farshore.links"), "{told}");
    scene.write_answers(10);
    let told = succeeds(scene.outward(Plain, "--topics * --exit-at-end"));
    assert!(told.contains("left out: topic orders is copied from cluster"), "{told}");
    scene.answers_have_arrived();
    let told = succeeds(scene.inward(Plain, "--topics * --exit-at-end"));
    assert!(told.contains("left out: topic answers is copied from cluster"), "{told}");
    scene.everything_has_arrived();
}

#[test]
fn a_commit_that_is_deleted_in_the_source_goes_after_its_grace_and_comes_back_with_it() {
    if !is_played() {
        return;
    }
    let scene = secure::Scene::start();
    let usual = secure::Scene::usual;
    scene.write(0..20);
    scene.commit_groups();
    scene.copy("");
    scene.everything_has_arrived();
    scene.commit_in_the_target("group-2", 0, 1);
    ["group-2", "group-4"].into_iter().for_each(|group| scene.delete_group(group));
    scene.delete_offset("group-3", 1);
    scene.copy("");
    assert_eq!(scene.seats("group-4"), usual(4), "for as long as the grace");
    assert_eq!(scene.seats("group-3"), usual(3));
    scene.copy("--group-grace-seconds 0");
    assert_eq!(scene.seats("group-4"), []);
    assert_eq!(scene.seats("group-3"), usual(3)[..1]);
    assert_eq!(scene.seats("group-2"), [(0, 1)], "what it committed in the target is its own");
    assert_eq!(scene.seats("group-1"), usual(1));
    scene.commit_groups();
    scene.copy("--group-grace-seconds 0");
    assert_eq!((scene.seats("group-4"), scene.seats("group-3")), (usual(4), usual(3)));
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

#[test]
fn a_cluster_that_cannot_be_reached_is_told_at_once_and_given_up_after_a_while() {
    let home = tempfile::tempdir().unwrap();
    let port = chaos::platform::free_base(1).expect("a free port");
    let mut link = std::process::Command::new(crate::cluster::binary());
    link.args(["attach", "--source", &format!("127.0.0.1:{port}"), "--target", "127.0.0.1:1", "--topics", "orders"]);
    link.arg("--data-dir").arg(home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = scene::Process(link.spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let told = |side: &str, line: &str| {
        line.contains(side) && line.contains("cannot connect") && line.contains("trying again")
    };
    let mut seen = Vec::new();
    for line in lines.by_ref().map(Result::unwrap) {
        seen.push(line);
        if ["source cluster", "target cluster"].iter().any(|side| told(side, &seen[seen.len() - 1])) {
            break;
        }
    }
    assert!(running.0.try_wait().unwrap().is_none(), "it goes on trying: {seen:?}");
    let ended = running.0.wait().unwrap();
    seen.extend(lines.map_while(Result::ok));
    for side in ["source cluster", "target cluster"] {
        assert_eq!(seen.iter().filter(|line| told(side, line)).count(), 1, "{side}: {seen:?}");
    }
    let mut failed = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut failed).unwrap();
    assert_eq!(ended.code(), Some(1), "{failed}");
    let expected = format!("cannot connect to 127.0.0.1:{port}");
    assert!(
        failed.contains("source cluster") && failed.contains("has not succeeded in") && failed.contains(&expected),
        "{failed}"
    );
}
