//! The scenario matrix of `clients/`, one test per client: every check of a client's script must pass, directly and
//! through the gateway. A client that is not installed is a failure (`clients/install` installs all of them).

use crate::cluster::CLUSTER;
use chaos::peers::cache;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// The longest a script may take; its own checks give up long before.
const SECONDS_MAX: &str = "360";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `script` on every route, one after the other.
fn play(script: impl Fn(&str) -> Vec<String>) {
    for (route, bootstrap) in &CLUSTER.routes {
        play_on(route, &script(bootstrap));
    }
}

/// Runs `script` on every route at once: for scripts that mostly wait, as for the session of a killed member to end.
fn play_at_once(script: impl Fn(&str) -> Vec<String>) {
    thread::scope(|scope| {
        for (route, bootstrap) in &CLUSTER.routes {
            let command = script(bootstrap);
            scope.spawn(move || play_on(route, &command));
        }
    });
}

/// Runs `command` and fails with what it printed and what the platform logged.
fn play_on(route: &str, command: &[String]) {
    let ran = Command::new("timeout").arg(SECONDS_MAX).args(command).stdin(Stdio::null()).output();
    let ran = ran.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let printed = String::from_utf8_lossy(&ran.stdout);
    println!("{route}:\n{printed}");
    if !ran.status.success() {
        let errors = String::from_utf8_lossy(&ran.stderr);
        panic!("{command:?} {route} ended with {}:\n{printed}\n{errors}\n{}", ran.status, CLUSTER.logs());
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What `clients/install` put into the cache.
fn installed(path: &str) -> String {
    let cache = cache().expect("HOME, XDG_CACHE_HOME or FARSHORE_CACHE is set");
    cache.join(path).to_string_lossy().into_owned()
}

fn node(client: &str) {
    let script = here().join("clients/node_matrix");
    play_at_once(|bootstrap| words(&[&script.to_string_lossy(), client, bootstrap]));
}

fn python(script: &str) {
    let python = installed("python/bin/python");
    let script = here().join("clients").join(script);
    play(|bootstrap| words(&[&python, &script.to_string_lossy(), bootstrap, "--platform", &CLUSTER.kind]));
}

fn java(file: &str) {
    play(|bootstrap| java_command(file, &[bootstrap, &CLUSTER.kind]));
}

/// Runs a program of `clients/java` with Apache Kafka's jars.
pub(crate) fn java_command(file: &str, arguments: &[&str]) -> Vec<String> {
    let (kafka, file) = (here().join("peers/kafka"), here().join("clients/java").join(file));
    words(&[&[&*kafka.to_string_lossy(), "java", "-Xmx512m", &file.to_string_lossy()], arguments].concat())
}

#[test]
fn confluent_kafka_passes_the_matrix() {
    python("confluent_kafka_matrix.py");
}

#[test]
fn confluent_kafka_for_rust_passes_the_matrix() {
    let program = installed("rust/matrix");
    play_at_once(|bootstrap| words(&[&program, bootstrap]));
}

#[test]
fn franz_go_passes_the_matrix() {
    let program = installed("go/matrix");
    play_at_once(|bootstrap| words(&[&program, bootstrap]));
}

#[test]
fn kafka_python_passes_the_matrix() {
    python("kafka_python_matrix.py");
}

#[test]
fn kafkajs_passes_the_matrix() {
    node("kafkajs");
}

#[test]
fn kcat_passes_the_matrix() {
    let script = here().join("clients/kcat_matrix");
    play(|bootstrap| words(&[&script.to_string_lossy(), bootstrap]));
}

#[test]
fn platformatic_kafka_passes_the_matrix() {
    node("platformatic");
}

#[test]
fn the_java_clients_pass_the_matrix() {
    java("Matrix.java");
}

#[test]
fn the_java_tools_pass_the_matrix() {
    java("Tools.java");
}
