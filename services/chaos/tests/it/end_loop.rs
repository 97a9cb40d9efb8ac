//! Clients that read up to the end they were told at the beginning come to it right after a failover, also where nothing
//! is written any more: the offsets that a failover skips hold no record to wait for.

use crate::cluster::start;
use crate::load::{create, fill, unique};
use crate::matrix::java_command;
use crate::regions::equal_tails;
use crate::rest::list;
use api::runs::{Run, RunState};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const PARTITIONS: i32 = 3;
/// How long one loop may take. The clients' own metadata are up to date after a second or so.
const SECONDS_MAX: u32 = 30;

#[test]
fn a_loop_to_the_end_ends_on_idle_partitions_right_after_a_failover() {
    let mut platform = start();
    let (gateway, topic) = (platform.endpoints().gateway.clone(), unique("idle"));
    create(&gateway, &topic, PARTITIONS);
    // One partition has many records, one has one, one has none; nothing is written to any of them again.
    fill(&gateway, &topic, 0, 0..500);
    fill(&gateway, &topic, 1, 500..501);
    equal_tails(&platform, &topic, PARTITIONS);
    let mut looper = Looper::start(&gateway, &topic);
    assert_eq!(looper.records(), [501, 501, 501, 501]);
    platform.kill_region("r1").unwrap();
    let api = platform.endpoints().api.clone();
    let moved =
        || list::<Run>(&api, "/v1/runs", "").is_ok_and(|runs| runs.iter().any(|run| run.state == RunState::Succeeded));
    platform.wait_for("the failover has succeeded", Duration::from_secs(60), moved).unwrap();
    let (again, kcat) = (looper.records(), kcat(&gateway, &topic));
    assert_eq!(again, [0, 0, 501, 501], "the old consumers have read everything, the new ones read it again");
    assert_eq!(kcat, 501);
}

/// `EndLoop.java`, waiting for its next line.
struct Looper {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Looper {
    fn start(bootstrap: &str, topic: &str) -> Self {
        let arguments = [bootstrap, topic, &PARTITIONS.to_string(), &SECONDS_MAX.to_string()];
        let command = java_command("EndLoop.java", &arguments);
        let mut process = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java runs (clients/install installs it)");
        let input = process.stdin.take().expect("its input is a pipe");
        let output = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        Self { process, input, output }
    }

    /// Has it loop with every consumer; answers how many records each was given.
    fn records(&mut self) -> Vec<u64> {
        writeln!(self.input, "loop").expect("it reads");
        let (mut counts, mut line) = (Vec::new(), String::new());
        while line != "end\n" {
            line.clear();
            assert!(self.output.read_line(&mut line).expect("it writes") > 0, "EndLoop.java ended");
            print!("{line}");
            assert!(!line.starts_with("LATE"), "{line}");
            let count = line.split_once(": ").and_then(|(_, rest)| rest.split_once(" records"));
            counts.extend(count.map(|(count, _)| count.parse::<u64>().expect("a number of records")));
        }
        counts
    }
}

impl Drop for Looper {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// How many records `kcat -e` reads before it ends.
fn kcat(bootstrap: &str, topic: &str) -> usize {
    let seconds = SECONDS_MAX.to_string();
    let ran = Command::new("timeout")
        .args([&seconds, "kcat", "-C", "-e", "-q", "-b", bootstrap, "-t", topic, "-o", "beginning", "-f", "%o\n"])
        .stdin(Stdio::null())
        .output()
        .expect("kcat runs (clients/install installs it)");
    assert!(ran.status.success(), "kcat -e ended with {}: {}", ran.status, String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).lines().count()
}
