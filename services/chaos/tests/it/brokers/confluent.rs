//! The load of `clients/confluent_kafka_load.py`, as part of a history.

use crate::load::{Journal, place};
use chaos::history::Event;
use chaos::peers::cache;
use model::Offset;
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

/// Its values begin above those of other loads.
const FIRST_VALUE: u64 = 1 << 40;

/// A running load.
pub(super) struct Confluent {
    child: Child,
    reading: JoinHandle<()>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
enum Line {
    Sent { value: u64, partition: i32 },
    Acked { value: u64, offset: i64 },
    Refused { value: u64, reason: String },
    Unclear { value: u64, reason: String },
}

impl Confluent {
    pub(super) fn start(bootstrap: &str, topic: &str, partitions: i32, per_second: u64, journal: &Journal) -> Self {
        let python = cache().expect("HOME, XDG_CACHE_HOME or FARSHORE_CACHE is set").join("python/bin/python");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/confluent_kafka_load.py");
        let mut child = Command::new(&python)
            .arg(&script)
            .args([bootstrap, topic])
            .args([partitions.to_string(), per_second.to_string(), FIRST_VALUE.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}; clients/install makes it", python.display()));
        let lines = BufReader::new(child.stdout.take().expect("its output is read")).lines();
        let (journal, topic) = (journal.clone(), topic.to_owned());
        let reading = thread::spawn(move || {
            for line in lines {
                let line = serde_json::from_str(&line.expect("its output is text")).expect("its lines are events");
                journal.tell("confluent", event(&topic, line));
            }
        });
        Self { child, reading }
    }

    /// Ends it once everything has its receipt.
    pub(super) fn finish(mut self) {
        drop(self.child.stdin.take());
        self.reading.join().expect("every line is understood");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "confluent_kafka_load.py ended with {status}");
    }
}

fn event(topic: &str, line: Line) -> Event {
    match line {
        Line::Sent { value, partition } => Event::Sent { value, partition: place(topic, partition), idempotent: true },
        Line::Acked { value, offset } => Event::Acked { value, offset: Offset(offset), region: None },
        Line::Refused { value, reason } => Event::Refused { value, reason },
        Line::Unclear { value, reason } => Event::Unclear { value, reason },
    }
}
