//! librdkafka, by way of kcat, as a client of a region.

use crate::harness::{Client, eventually};
use crate::world::{World, commits};
use broker::Broker;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Runs kcat with `arguments` and gives what it prints.
async fn kcat(broker: &Broker, arguments: &[&str], input: &str) -> Vec<String> {
    let bootstrap = broker.addresses().unwrap().clients.to_string();
    let (arguments, input) = (arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(), input.to_owned());
    let running = spawn_blocking(move || {
        let mut command = Command::new("timeout");
        command.args(["60", "kcat", "-q", "-b", &bootstrap]).args(arguments);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("kcat is there; ./test installs it");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "kcat ended with {}", output.status);
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    });
    running.await.unwrap()
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("{n}:value {n}\n")).collect()
}

async fn start(world: &Arc<World>, dir: &std::path::Path) -> Broker {
    let broker = world.start("r1", dir).await;
    let loaded = async || {
        let client = Client::at(broker.addresses().unwrap().clients).await;
        let request = wire::api::list_groups::Request::default();
        client.0.call(&request, 5).await.unwrap().error_code.is_ok()
    };
    eventually("the groups are read", loaded).await;
    broker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_two_reads_everything_once_and_goes_on_after_a_restart() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = start(&world, dir.path()).await;
    world.create("t", 4).await;
    kcat(&broker, &["-P", "-t", "t", "-K:", "-X", "enable.idempotence=true"], &lines(0..200)).await;
    let half = ["-G", "g", "-c", "100", "-f", "%s\n", "-X", "auto.offset.reset=earliest", "t"];
    let (one, two) = tokio::join!(kcat(&broker, &half, ""), kcat(&broker, &half, ""));
    let mut read: Vec<_> = one.into_iter().chain(two).collect();
    read.sort();
    read.dedup();
    assert!(read.len() >= 100 && read.len() <= 200, "{}", read.len());
    let before = commits(&broker, "g").await;
    assert!(!before.is_empty());
    world.stop(broker).await;

    let broker = start(&world, dir.path()).await;
    assert_eq!(commits(&broker, "g").await, before);
    kcat(&broker, &["-P", "-t", "t", "-K:"], &lines(200..210)).await;
    let committed: i64 = before.iter().map(|(_, _, offset, _)| offset).sum();
    let left = (210 - committed).to_string();
    let rest = ["-G", "g", "-c", &left, "-f", "%s\n", "-X", "auto.offset.reset=error", "t"];
    let rest = kcat(&broker, &rest, "").await;
    assert!(rest.contains(&"value 209".to_owned()));
    let all: std::collections::BTreeSet<_> = read.into_iter().chain(rest).collect();
    assert_eq!(all.len(), 210, "nothing is skipped");
    world.stop(broker).await;
}
