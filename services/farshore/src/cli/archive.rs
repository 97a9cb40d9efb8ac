//! `farshore backup` and `farshore restore`

use super::place::{Place, escaped, list};
use super::progress::{advance, byte_bar};
use crate::http::Api;
use crate::table::{self, Table, or_dash};
use anyhow::{Result, bail};
use api::backups::{Backup as Document, CreateBackup, Progress, WorkState};
use api::restores::{CreateRestore, Restore as RestoreDocument, TopicChoice};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(150);
const SILENCE_MAX: u32 = 200;

/// Makes and shows backups.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Backup {
    /// Shows every backup.
    List,
    /// Backs up a protection group: topics, their configuration, and the offsets of consumer groups.
    Create {
        /// The group.
        #[arg(default_value = "default")]
        group: String,
        /// Answers at once instead of waiting for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Shows one backup.
    Show {
        /// Its name.
        id: String,
    },
}

/// Brings topics back from a backup.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Restore {
    /// Shows every restore.
    List,
    /// Restores topics that are not there any more, offset by offset, and verifies them by hash.
    Create {
        /// The backup; by default the newest one of --group.
        #[arg(long)]
        backup: Option<String>,
        /// The group whose newest backup is meant.
        #[arg(long, default_value = "default")]
        group: String,
        /// A topic, or OLD=NEW to restore it under another name; may be repeated. By default all that are missing.
        #[arg(long = "topic", value_name = "TOPIC[=NEW]", value_parser = choice)]
        topics: Vec<TopicChoice>,
        /// Leaves the offsets of consumer groups alone.
        #[arg(long)]
        no_group_offsets: bool,
        /// How many partitions are written at a time, 1 to 64; 4 by default.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
        parallel: Option<u32>,
        /// Answers at once instead of waiting for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Shows one restore.
    Show {
        /// Its name.
        id: String,
    },
}

fn choice(text: &str) -> Result<TopicChoice, String> {
    let (source, target) = text.split_once('=').map_or((text, None), |(source, target)| (source, Some(target)));
    if source.is_empty() || target.is_some_and(str::is_empty) {
        return Err(format!("{text:?} is neither TOPIC nor TOPIC=NEW"));
    }
    Ok(TopicChoice { source: source.to_owned(), target: target.map(str::to_owned) })
}

impl Backup {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let api = place.api();
        match self {
            Self::List => {
                let backups: Vec<Document> = list(&api, "/v1/backups").await?;
                table::print(place.json, &backups, |backups| backup_rows(backups))
            }
            Self::Create { group, no_wait } => {
                let begun: Document = api.post("/v1/backups", &CreateBackup { group }).await?;
                show(place, if no_wait { begun } else { finished(&api, &begun.id).await? })
            }
            Self::Show { id } => {
                let backup = api.get(&<Document as Work>::path(&id)).await?;
                table::print(place.json, &backup, |backup| Document::rows(std::slice::from_ref(backup)))
            }
        }
    }
}

impl Restore {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let api = place.api();
        match self {
            Self::List => {
                let restores: Vec<RestoreDocument> = list(&api, "/v1/restores").await?;
                table::print(place.json, &restores, |restores| restore_rows(restores))
            }
            Self::Create { backup, group, topics, no_group_offsets, parallel, no_wait } => {
                let group = backup.is_none().then_some(group);
                let asked = CreateRestore { backup, group, topics, group_offsets: !no_group_offsets, parallel };
                let begun: RestoreDocument = api.post("/v1/restores", &asked).await?;
                show(place, if no_wait { begun } else { finished(&api, &begun.id).await? })
            }
            Self::Show { id } => {
                let restore = api.get(&<RestoreDocument as Work>::path(&id)).await?;
                table::print(place.json, &restore, |restore| RestoreDocument::rows(std::slice::from_ref(restore)))
            }
        }
    }
}

/// Long work that can be watched.
trait Work: DeserializeOwned + serde::Serialize {
    const NAME: &'static str;
    fn path(id: &str) -> String;
    fn id(&self) -> &str;
    fn state(&self) -> WorkState;
    fn progress(&self) -> Option<&Progress>;
    fn failure(&self) -> Option<&str>;
    fn rows(works: &[Self]) -> Table;
}

impl Work for Document {
    const NAME: &'static str = "backup";

    fn path(id: &str) -> String {
        format!("/v1/backups/{}", escaped(id))
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn state(&self) -> WorkState {
        self.state
    }

    fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn rows(works: &[Self]) -> Table {
        backup_rows(works)
    }
}

impl Work for RestoreDocument {
    const NAME: &'static str = "restore";

    fn path(id: &str) -> String {
        format!("/v1/restores/{}", escaped(id))
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn state(&self) -> WorkState {
        self.state
    }

    fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn rows(works: &[Self]) -> Table {
        restore_rows(works)
    }
}

/// Watches the work to its end.
async fn finished<T: Work>(api: &Api, id: &str) -> Result<T> {
    let bar = byte_bar(T::NAME);
    let mut silent = 0;
    loop {
        match api.get::<T>(&T::path(id)).await {
            Ok(work) => {
                silent = 0;
                work.progress().into_iter().for_each(|progress| advance(&bar, progress));
                if work.state() != WorkState::Running {
                    bar.finish_and_clear();
                    return Ok(work);
                }
            }
            Err(error) if silent >= SILENCE_MAX => return Err(error),
            Err(_) => silent += 1,
        }
        sleep(PAUSE).await;
    }
}

fn show<T: Work>(place: &Place, work: T) -> Result<()> {
    table::print(place.json, &work, |work| T::rows(std::slice::from_ref(work)))?;
    if work.state() == WorkState::Failed {
        bail!("{} {} failed: {}", T::NAME, work.id(), work.failure().unwrap_or("nobody knows why"));
    }
    Ok(())
}

fn word(state: WorkState) -> &'static str {
    match state {
        WorkState::Running => "running",
        WorkState::Completed => "completed",
        WorkState::Failed => "failed",
    }
}

fn backup_rows(backups: &[Document]) -> Table {
    let mut table = Table::new([
        "backup",
        "group",
        "state",
        "started",
        "took",
        "topics",
        "partitions",
        "records",
        "size",
        "schedule",
    ]);
    for backup in backups {
        let summary = backup.summary.as_ref();
        table.row([
            backup.id.clone(),
            backup.group.clone(),
            word(backup.state).to_owned(),
            backup.started_at.clone(),
            super::millis(backup.duration_ms),
            or_dash(summary.map(|held| held.topics)),
            or_dash(summary.map(|held| held.partitions)),
            or_dash(summary.map(|held| held.records)),
            or_dash(summary.map(|held| super::bytes(held.bytes))),
            or_dash(backup.schedule.as_ref()),
        ]);
    }
    table
}

fn restore_rows(restores: &[RestoreDocument]) -> Table {
    let mut table = Table::new([
        "restore",
        "backup",
        "state",
        "started",
        "took",
        "topics",
        "records",
        "size",
        "at once",
        "group offsets",
    ]);
    for restore in restores {
        let summary = restore.summary.as_ref();
        let named: Vec<&str> = restore.topics.iter().map(|topic| topic.target.as_str()).collect();
        table.row([
            restore.id.clone(),
            restore.backup.clone(),
            word(restore.state).to_owned(),
            restore.started_at.clone(),
            super::millis(restore.duration_ms),
            named.join(","),
            or_dash(summary.map(|held| held.records)),
            or_dash(summary.map(|held| super::bytes(held.bytes))),
            or_dash(summary.map(|held| held.partitions_at_once)),
            or_dash(summary.map(|held| held.group_offsets)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_can_be_restored_under_another_name() {
        assert_eq!(choice("a"), Ok(TopicChoice { source: "a".into(), target: None }));
        assert_eq!(choice("a=b"), Ok(TopicChoice { source: "a".into(), target: Some("b".into()) }));
        assert!(choice("a=").is_err() && choice("=b").is_err());
    }
}
