//! Keeps the map of every partition in both clusters, beside the journals: whoever loses one has the other.

use super::table::{Table, unless_refused};
use super::{AttachedError, Side, Views, look};
use mirror_core::attached::Copy;
use mirror_core::attached::chart::{Chart, Place, Record};
use mirror_core::attached::keep::{Home, agree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use wire::client::ClientError;

/// How often what has changed is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the topic is still there while nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Maps by topics of this name and the ids of both clusters.
const PREFIX: &str = "farshore.map.";
/// Ledgers of commits likewise.
const COMMITS_PREFIX: &str = "farshore.commits.";
/// How many characters of the id of a cluster are in the name.
const ID_CHARS_MAX: usize = 100;

/// Whether a cluster keeps the map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// As far as it was written.
    #[default]
    Yes,
    /// Nothing is to be written there.
    ReadOnly,
    /// It does not take it.
    Not(String),
}

/// Whether either cluster keeps the map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// The source.
    pub source: Kept,
    /// The target.
    pub target: Kept,
}

/// What is known of a partition from the clusters.
pub(super) type Accounts = BTreeMap<Place, Vec<(Home, Copy)>>;

/// Whether a topic is one of those, or a ledger of commits.
pub(super) fn is_map(topic: &str) -> bool {
    topic.starts_with(PREFIX) || topic.starts_with(COMMITS_PREFIX)
}

/// Where the target keeps the ledger of the commits that the link between these clusters made there.
pub(super) fn commits_topic(source: &str, target: &str) -> String {
    name(COMMITS_PREFIX, source, target)
}

fn name(prefix: &str, source: &str, target: &str) -> String {
    format!("{prefix}{}.{}", safe(source), safe(target))
}

/// The map of one link, in both clusters.
pub(super) struct Keeper {
    source: Shelf,
    target: Shelf,
}

/// The map in one of them.
struct Shelf {
    table: Table,
    kept: Kept,
    charts: BTreeMap<Place, Chart>,
    /// Partitions whose chart is known to be of the copy that runs.
    checked: BTreeSet<Place>,
    is_read: bool,
    looked_at: Instant,
}

impl Keeper {
    /// The map of the link between these clusters. Nothing is written to a source that is `read_only`.
    pub(super) fn new(source: (&Side, &str), target: (&Side, &str), read_only: bool) -> Self {
        let topic = name(PREFIX, source.1, target.1);
        let kept = if read_only { Kept::ReadOnly } else { Kept::Yes };
        Self { source: Shelf::new(source.0, &topic, kept), target: Shelf::new(target.0, &topic, Kept::Yes) }
    }

    /// What both clusters tell of each partition.
    pub(super) async fn accounts(&mut self) -> Result<Accounts, AttachedError> {
        let (source, target) = (self.source.read().await, self.target.read().await);
        unless_refused(self.source.table.topic(), source).map_err(AttachedError::of_source)?;
        unless_refused(self.target.table.topic(), target).map_err(AttachedError::of_target)?;
        let mut accounts = Accounts::new();
        for (home, shelf) in [(Home::Target, &self.target), (Home::Source, &self.source)] {
            for (place, chart) in &shelf.charts {
                let told = chart.copy().map(|copy| (home, copy));
                accounts.entry(place.clone()).or_default().extend(told);
            }
        }
        Ok(accounts)
    }

    /// Follows the copies in `views` until nobody changes them any more; then once more.
    pub(super) async fn run(mut self, mut views: watch::Receiver<Views>, keeping: Arc<watch::Sender<Keeping>>) {
        loop {
            let is_last = matches!(timeout(WRITE_EVERY, views.changed()).await, Ok(Err(_)));
            let now = views.borrow().clone();
            tokio::join!(self.source.follow(&now, "source"), self.target.follow(&now, "target"));
            keeping.send_replace(Keeping { source: self.source.kept.clone(), target: self.target.kept.clone() });
            if is_last {
                return;
            }
        }
    }
}

/// What of a cluster's id may be in the name of a topic.
fn safe(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    id.chars().take(ID_CHARS_MAX).map(safe).collect()
}

impl Shelf {
    fn new(side: &Side, topic: &str, kept: Kept) -> Self {
        let table = Table::new(&Arc::new(side.cluster()), topic);
        Self {
            table,
            kept,
            charts: BTreeMap::new(),
            checked: BTreeSet::new(),
            is_read: false,
            looked_at: Instant::now(),
        }
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        self.charts.clear();
        self.checked.clear();
        let charts = &mut self.charts;
        self.table.read(|record| Chart::take_into(charts, record)).await?;
        self.is_read = true;
        Ok(())
    }

    async fn follow(&mut self, views: &Views, side: &'static str) {
        if self.kept == Kept::ReadOnly {
            return;
        }
        let followed = self.try_to_follow(views).await;
        let now = followed.map_or_else(|error| Kept::Not(error.to_string()), |()| Kept::Yes);
        if let (Kept::Not(reason), true) = (&now, now != self.kept) {
            tracing::warn!(side, reason, "the offset map is not kept there");
        }
        // Whatever went wrong, what is there is found out anew.
        self.is_read &= now == Kept::Yes;
        self.kept = now;
    }

    async fn try_to_follow(&mut self, views: &Views) -> Result<(), ClientError> {
        if self.looked_at.elapsed() >= LOOK_EVERY {
            self.looked_at = Instant::now();
            self.is_read &= self.charts.is_empty() || self.table.is_there().await?;
        }
        if !self.is_read {
            self.table.make().await?;
            self.read().await?;
        }
        for (place, view) in views {
            let Some((records, chart)) = look(view).copy.as_ref().map(|copy| self.step(place, copy)) else { continue };
            if !records.is_empty() && self.charts.is_empty() {
                self.table.make().await?;
            }
            self.table.write(&records).await?;
            self.charts.insert(place.clone(), chart);
            self.checked.insert(place.clone());
        }
        Ok(())
    }

    fn step(&self, place: &Place, copy: &Copy) -> (Vec<Record>, Chart) {
        let chart = self.charts.get(place).cloned().unwrap_or_default();
        let is_of_it = self.checked.contains(place) || chart.copy().is_some_and(|told| agree(&told, copy));
        if is_of_it { chart.follow(place, copy) } else { chart.replace(place, copy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_named_after_both_clusters() {
        assert_eq!(safe("Zx-9_/é "), "Zx-9____");
        assert!(is_map("farshore.map.a.b") && !is_map("orders"));
    }
}
