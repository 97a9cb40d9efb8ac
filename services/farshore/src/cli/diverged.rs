//! `farshore diverged`

use super::place::{Place, escaped, list};
use super::progress::spinner;
use crate::http::Api;
use crate::output::{remark, say};
use crate::table::{self, Table, or_dash};
use anyhow::{Result, bail};
use api::backups::WorkState;
use api::diverged::{Diverged, Fates, Findings, Publication, PublicationState, Reinject, Reinjection};
use std::time::Duration;
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(200);

/// Shows records that failovers left behind, and writes them again.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows every diverged tail.
    List,
    /// Shows one, compared by key and by producer with the lineage that went on.
    Show {
        /// Its name.
        id: String,
    },
    /// Writes to the owner, in order and once, what the lineage that went on lacks of it.
    Reinject {
        /// Its name.
        id: String,
        /// Leaves out records whose key the lineage that went on has written since.
        #[arg(long)]
        keys_not_newer: bool,
        /// Leaves out records without a producer id: nobody can tell whether they are there.
        #[arg(long)]
        leave_unknown: bool,
        /// Only says what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Answers at once instead of waiting for the end.
        #[arg(long)]
        no_wait: bool,
    },
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let api = place.api();
        match self {
            Self::List => {
                let tails: Vec<Diverged> = list(&api, "/v1/diverged").await?;
                table::print(place.json, &tails, |tails| rows(tails))
            }
            Self::Show { id } => show(place, &api.get(&path(&id)).await?),
            Self::Reinject { id, keys_not_newer, leave_unknown, dry_run, no_wait } => {
                let asked = Reinject { keys_not_newer, leave_unknown, dry_run };
                let before: Diverged = begun_before(&api, &id).await?;
                let answer: Diverged = api.post(&format!("{}/reinject", path(&id)), &asked).await?;
                if dry_run {
                    return show(place, &answer);
                }
                tell_if_done(&before);
                let ended = if no_wait { answer } else { ended(&api, &id, place.json).await? };
                show(place, &ended)?;
                failure(&ended)
            }
        }
    }
}

fn path(id: &str) -> String {
    format!("/v1/diverged/{}", escaped(id))
}

async fn begun_before(api: &Api, id: &str) -> Result<Diverged> {
    let tails: Vec<Diverged> = list(api, "/v1/diverged").await?;
    let found = tails.into_iter().find(|tail| tail.id == id);
    found.ok_or_else(|| anyhow::anyhow!("there is no diverged tail {id}; see `farshore diverged list`"))
}

fn tell_if_done(before: &Diverged) {
    if let Some(done) = before.reinjection.as_ref().filter(|done| done.state == WorkState::Completed) {
        let ended = done.ended_at.as_deref().unwrap_or("a while ago");
        remark!("it was written again at the wish of {} before, until {ended}; nothing is done", done.started_by);
    }
}

async fn ended(api: &Api, id: &str, json: bool) -> Result<Diverged> {
    let spinner = (!json).then(|| spinner("writing again"));
    loop {
        let tail = begun_before(api, id).await?;
        if tail.reinjection.as_ref().is_some_and(|reinjection| reinjection.state != WorkState::Running) {
            if let Some(spinner) = spinner {
                spinner.finish_and_clear();
            }
            return Ok(tail);
        }
        sleep(PAUSE).await;
    }
}

fn failure(tail: &Diverged) -> Result<()> {
    match tail.reinjection.as_ref().and_then(|reinjection| reinjection.failure.as_ref()) {
        Some(failure) => bail!("not everything of {} is written again: {failure}; ask again to go on", tail.id),
        None => Ok(()),
    }
}

fn show(place: &Place, tail: &Diverged) -> Result<()> {
    if !place.json {
        say!("{}  {} offsets [{}, {})", tail.id, name(tail), tail.tail.range.start, tail.tail.range.end)?;
        if let Some(findings) = &tail.findings {
            say!("{}", compared(findings))?;
        }
        if let Some(reason) = &tail.not_compared {
            say!("not compared: {reason}")?;
        }
        for line in published(&tail.published, tail.tail.partition) {
            say!("{line}")?;
        }
        for object in &tail.objects {
            say!("in the object store: {object}")?;
        }
        if let Some(reinjection) = &tail.reinjection {
            say!("{}", written(reinjection))?;
        }
    }
    table::print(place.json, tail, |tail| match &tail.findings {
        Some(findings) => keys(findings),
        None => rows(std::slice::from_ref(tail)),
    })
}

fn compared(findings: &Findings) -> String {
    let (all, more) = (findings.keys, if findings.keys_complete { "" } else { " or more" });
    format!(
        "{}; keys {all}{more}, of which {} were written since; records without a key {}; control batches {}",
        fates(&findings.records),
        findings.keys_held,
        findings.keyless,
        findings.control_batches,
    )
}

/// Which topic has its records, and where.
fn published(publication: &Publication, partition: i32) -> Vec<String> {
    let topic = publication.topic.as_deref().unwrap_or("no topic");
    match (publication.state, &publication.records) {
        (PublicationState::Completed, Some(records)) => {
            let count = |count: u64, what: &str| if count > 0 { format!(", {what} {count}") } else { String::new() };
            let left = [
                count(records.held, "there from another region's tail"),
                count(records.aborted, "aborted"),
                count(records.open, "of open transactions"),
            ]
            .concat();
            let head = format!("published in {topic}-{partition}: records {}{left}", records.published);
            let run = |run: &api::diverged::PublishedOffsets| {
                let (tail, topic) = (run.tail, run.topic);
                format!("  offsets [{}, {}) are [{}, {})", tail.start, tail.end, topic.start, topic.end)
            };
            std::iter::once(head).chain(records.offsets.iter().map(run)).collect()
        }
        (PublicationState::Absent, _) => {
            vec![format!("not published: {}", publication.reason.as_deref().unwrap_or("nobody says why"))]
        }
        _ => vec![format!("being published in {topic}-{partition}")],
    }
}

fn written(reinjection: &Reinjection) -> String {
    let records = reinjection.records.as_ref().map_or_else(String::new, |records| format!(": {}", fates(records)));
    format!("written again: {}{records}", state(reinjection))
}

fn fates(fates: &Fates) -> String {
    format!(
        "lacking {}, unknown {} (both written again); left out: held {}, newer key {}, unknown {}, aborted {}, open {}",
        fates.lacking, fates.unknown, fates.held, fates.newer_key, fates.unknown_left, fates.aborted, fates.open,
    )
}

fn state(reinjection: &Reinjection) -> String {
    match reinjection.state {
        WorkState::Running => "running".to_owned(),
        WorkState::Completed => "completed".to_owned(),
        WorkState::Failed => "failed".to_owned(),
    }
}

fn name(tail: &Diverged) -> String {
    let topic = tail.tail.topic.as_deref().unwrap_or(&tail.tail.topic_id);
    format!("{topic}-{}", tail.tail.partition)
}

/// The topic that has its records, or is getting them.
fn topic(publication: &Publication) -> Option<String> {
    let topic = publication.topic.as_ref()?;
    let is_there = publication.state == PublicationState::Completed;
    Some(if is_there { topic.clone() } else { format!("{topic} (not all yet)") })
}

fn rows(tails: &[Diverged]) -> Table {
    let mut table =
        Table::new(["id", "region", "partition", "epoch", "offsets", "records", "bytes", "last", "again", "topic"]);
    for known in tails {
        let tail = &known.tail;
        table.row([
            known.id.clone(),
            known.region.clone(),
            name(known),
            tail.ownership_epoch.to_string(),
            format!("[{}, {})", tail.range.start, tail.range.end),
            tail.records.to_string(),
            tail.bytes.to_string(),
            tail.last_at.clone(),
            or_dash(known.reinjection.as_ref().map(state)),
            or_dash(topic(&known.published)),
        ]);
    }
    table
}

fn keys(findings: &Findings) -> Table {
    let mut table = Table::new(["key", "versions cut off", "written since"]);
    for key in &findings.top_keys {
        let since = if key.held { "yes" } else { "no" };
        table.row([key.key.clone(), key.versions.to_string(), since.to_owned()]);
    }
    table
}
