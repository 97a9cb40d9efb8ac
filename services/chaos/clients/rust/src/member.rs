//! A member of a group in a process of its own, which can be killed.

use crate::stage::{Consumer, Outcome, Stage};
use confluent_kafka::consumer::Consumer as _;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Reads a topic in a group and tells what it owns and takes; a record is told before it is committed.
pub async fn run(bootstrap: &str, group: &str, topic: &str) -> ExitCode {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1); // the check's process is gone
    });
    match take_part(bootstrap, group, topic).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error {}", error.0);
            ExitCode::FAILURE
        }
    }
}

async fn take_part(bootstrap: &str, group: &str, topic: &str) -> Outcome {
    let mut consumer = Stage::on(bootstrap).consumer(group, &[])?;
    consumer.subscribe_with_topics(vec![topic.to_owned()]).await?;
    let mut owned = BTreeSet::new();
    loop {
        let records = consumer.poll(Duration::from_millis(100)).await?;
        tell_owned(&mut consumer, &mut owned);
        for record in &records {
            let value = record.value().map(|value| String::from_utf8_lossy(value)).unwrap_or_default();
            println!("took {}:{value}", record.partition());
        }
        if !records.is_empty() {
            // Refused while the group changes; the records are then taken again.
            let _ = consumer.commit_sync_with_timeout(Duration::from_secs(5)).await;
        }
    }
}

fn tell_owned(consumer: &mut Consumer, owned: &mut BTreeSet<i32>) {
    let now: BTreeSet<i32> = consumer.assignment().iter().map(|part| part.partition()).collect();
    if now != *owned {
        let list: Vec<_> = now.iter().map(i32::to_string).collect();
        println!("owned {}", list.join(" "));
        *owned = now;
    }
}

/// What a member has told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub owned: Vec<i32>,
    pub took: BTreeSet<String>,
    pub errors: Vec<String>,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "owns {:?}, took {}, errors {:?}", self.owned, self.took.len(), self.errors)
    }
}

/// The process of a member; it dies with its owner.
pub struct Member {
    child: Child,
    told: Arc<Mutex<Told>>,
}

impl Member {
    pub fn start(stage: &Stage, group: &str, topic: &str) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--member", group, &stage.bootstrap, topic]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let told = Arc::new(Mutex::new(Told::default()));
        if let Some(output) = child.stdout.take() {
            let told = told.clone();
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                lines.for_each(|line| told.lock().unwrap_or_else(PoisonError::into_inner).hear(&line));
            });
        }
        Ok(Self { child, told })
    }

    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the process as a crash does: its connections die, and it says goodbye to nobody.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Told {
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("owned", list)) => self.owned = list.split_whitespace().filter_map(|n| n.parse().ok()).collect(),
            Some(("took", record)) => drop(self.took.insert(record.to_owned())),
            _ => self.errors.push(line.to_owned()),
        }
    }
}
