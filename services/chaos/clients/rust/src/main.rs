//! The scenario matrix with the Rust crate `confluent-kafka`, which knows the consumer protocol only (KIP-848).
//!
//! ```text
//! matrix [--only TEXT] BOOTSTRAP
//! ```
//!
//! The checks run side by side, each prints one line ("ok" or "FAIL"), and the process ends with 1 if any failed.

mod admin;
mod groups;
mod member;
mod records;
mod stage;

use stage::{Check, Stage};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// The longest a check may take.
const CHECK_TIME: Duration = Duration::from_secs(75);

fn checks() -> Vec<Check> {
    vec![
        Check::new("every codec with every acknowledgement is read back as it was sent", records::codecs),
        Check::new(
            "an idempotent producer sends to several partitions of several topics at once",
            records::several_topics,
        ),
        Check::new("seeking by offset, by time, to the beginning and to the end", records::seeks),
        Check::new("a killed member's partitions move within the group's own session", groups::kill_one),
        Check::new("a commit with metadata is read back, and the next member goes on from there", groups::commit),
        Check::new("a pattern subscribes to topics that come later", groups::pattern),
        Check::new("topics are made, described, configured, grown, trimmed and deleted", admin::topics),
        Check::new("groups are listed, described and deleted with their offsets", admin::groups),
        Check::new("a group's settings are set, described, refused and taken back", admin::group_settings),
    ]
}

/// Plays one check; whether it passed.
async fn play(check: Check, stage: Stage) -> bool {
    let (began, sentence) = (Instant::now(), check.sentence);
    let played = tokio::time::timeout(CHECK_TIME, (check.play)(stage)).await;
    let failure = match played {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure.0),
        Err(_) => Some(format!("not finished after {CHECK_TIME:?}")),
    };
    let verdict = if failure.is_none() { "ok  " } else { "FAIL" };
    let why = failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
    println!("{verdict} confluent-kafka (Rust): {sentence} ({:.1} s){why}", began.elapsed().as_secs_f64());
    failure.is_none()
}

async fn play_all(bootstrap: &str, only: &str) -> ExitCode {
    let stage = Stage::on(bootstrap);
    let chosen = checks().into_iter().filter(|check| check.sentence.contains(only));
    let running: Vec<_> = chosen.map(|check| tokio::task::spawn_local(play(check, stage.clone()))).collect();
    let (all, mut passed) = (running.len(), 0);
    for check in running {
        passed += usize::from(check.await.is_ok_and(|passed| passed));
    }
    println!("confluent-kafka (Rust): {passed} of {all} checks passed");
    if passed == all && all > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--member", group, bootstrap, topic] => member::run(bootstrap, group, topic).await,
        ["--only", text, bootstrap] => LocalSet::new().run_until(play_all(bootstrap, text)).await,
        [bootstrap] => LocalSet::new().run_until(play_all(bootstrap, "")).await,
        _ => {
            eprintln!("usage: matrix [--only TEXT] BOOTSTRAP");
            ExitCode::from(2)
        }
    }
}
