//! The binary as scripts use it: arguments, output, exit codes. Whole platforms are tested in `services/chaos`.

mod metrics;
mod region;
mod unread;

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn farshore(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_farshore"))
        .args(arguments)
        .env_remove("FARSHORE_API")
        .env("FARSHORE_DATA_DIR", home.join("data"))
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let home = tempfile::tempdir().unwrap();
    let output = farshore(home.path(), &["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    let nouns = [
        "up",
        "region",
        "topic",
        "produce",
        "consume",
        "group",
        "link",
        "protection",
        "run",
        "backup",
        "restore",
        "diverged",
        "schedule",
        "health",
        "drill",
        "bench",
        "openapi",
    ];
    for noun in nouns {
        assert!(help.lines().any(|line| line.trim_start().starts_with(noun)), "{noun} is missing in\n{help}");
    }
    assert!(help.contains("Exit codes"), "{help}");
    assert!(!help.contains("\n  role"), "roles are started by the supervisor alone");
}

#[test]
fn what_is_not_understood_ends_with_2() {
    let home = tempfile::tempdir().unwrap();
    for line in
        [&["fly"][..], &["up", "--regions", "9"], &["topic", "create", "a/b"], &["drill", "region-loss", "--runs", "0"]]
    {
        assert_eq!(farshore(home.path(), line).status.code(), Some(2), "{line:?}");
    }
}

#[test]
fn without_a_platform_it_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let output = farshore(home.path(), &["region", "start", "r1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("farshore up"), "{}", told(&output));
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let output = farshore(home.path(), &["topic", "list", "--api", &api]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains(&api) && told(&output).contains("farshore up"), "{}", told(&output));
}

#[test]
fn a_second_platform_in_a_directory_is_told_who_holds_it() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("data")).unwrap();
    let lock = home.path().join("data/lock");
    fs::write(&lock, "4711\n").unwrap();
    let held = File::open(&lock).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let output = farshore(home.path(), &["up"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("4711"), "{}", told(&output));
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    // The block of a platform reaches 70 ports up, so a high port may have no room behind it.
    let taken = (0..100).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let taken =
        taken.map(|taken| (taken.local_addr().unwrap().port(), taken)).find(|(port, _)| *port < 65_400).unwrap();
    let output = farshore(home.path(), &["up", "--base-port", &taken.0.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let told = told(&output);
    assert!(told.contains(&taken.0.to_string()) && told.contains("--base-port"), "{told}");
    assert!(!home.path().join("data/endpoints.json").exists());
}

#[test]
fn the_rest_document_is_printed() {
    let home = tempfile::tempdir().unwrap();
    let output = farshore(home.path(), &["openapi"]);
    assert_eq!(output.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for noun in
        ["regions", "topics", "links", "protection-groups", "runs", "backups", "restores", "schedules", "drills"]
    {
        assert!(document["paths"].get(format!("/v1/{noun}")).is_some(), "{noun}");
    }
}

#[test]
fn the_benchmarks_name_their_remedy_when_they_are_missing() {
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("farshore");
    fs::copy(env!("CARGO_BIN_EXE_farshore"), &copy).unwrap();
    let output = Command::new(copy).args(["bench", "broker", "--quick"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("cargo build --release -p bench"), "{}", told(&output));
}
