//! The scenario matrix of `clients/`, one test per client: every check of a client's script must pass, directly and
//! through the gateway. A client that is not installed is a failure (`clients/install` installs all of them).

use crate::cluster::CLUSTER;
use chaos::peers::cache;
use std::path::Path;
use std::process::{Command, Stdio};

/// The longest a script may take; its own checks give up long before.
const SECONDS_MAX: &str = "180";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `script` on every route and fails with what it printed and what the platform logged.
fn play(script: impl Fn(&str) -> Vec<String>) {
    for (route, bootstrap) in &CLUSTER.routes {
        let command = script(bootstrap);
        let ran = Command::new("timeout").arg(SECONDS_MAX).args(&command).stdin(Stdio::null()).output();
        let ran = ran.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let printed = String::from_utf8_lossy(&ran.stdout);
        println!("{route}:\n{printed}");
        if !ran.status.success() {
            let errors = String::from_utf8_lossy(&ran.stderr);
            panic!("{command:?} {route} ended with {}:\n{printed}\n{errors}\n{}", ran.status, CLUSTER.logs());
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn python(script: &str) {
    let python = cache().expect("HOME, XDG_CACHE_HOME or FARSHORE_CACHE is set").join("python/bin/python");
    let script = here().join("clients").join(script);
    play(|bootstrap| {
        words(&[&python.to_string_lossy(), &script.to_string_lossy(), bootstrap, "--platform", &CLUSTER.kind])
    });
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
fn kafka_python_passes_the_matrix() {
    python("kafka_python_matrix.py");
}

#[test]
fn kcat_passes_the_matrix() {
    let script = here().join("clients/kcat_matrix");
    play(|bootstrap| words(&[&script.to_string_lossy(), bootstrap]));
}

#[test]
fn the_java_clients_pass_the_matrix() {
    java("Matrix.java");
}

#[test]
fn the_java_tools_pass_the_matrix() {
    java("Tools.java");
}
