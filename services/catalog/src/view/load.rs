//! Rebuilding the view from the rows that changed.

use super::{Block, Group, Region, Route, Setting, Topics, View, Witness};
use crate::CatalogError;
use crate::column::{json, maybe_time, number, text, time};
use crate::reader::exposures::exposure;
use crate::row::{self, GroupRow, RegionRow, TopicRow, WitnessRow};
use model::{Exposure, ProtectionGroup, RunId, TopicId};
use sqlx::{Row, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which parts of the view a batch of entries has changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    /// The newest entry that changed anything.
    pub(crate) index: Option<u64>,
    /// Cluster id, regions, witness, settings.
    pub(crate) platform: bool,
    pub(crate) gateways: bool,
    /// Groups, their runs and blocks.
    pub(crate) groups: bool,
    pub(crate) topics: BTreeSet<TopicId>,
}

impl View {
    /// Everything, from the database.
    pub(crate) async fn load(connection: &mut SqliteConnection) -> Result<Self, CatalogError> {
        let row = sqlx::query("SELECT view_index FROM applied").fetch_one(&mut *connection).await?;
        let all = Touched { platform: true, gateways: true, groups: true, ..Touched::default() };
        let mut view = Self::default().refreshed(connection, &all, number(&row, "view_index")?).await?;
        let topics = TopicRow::all(connection).await?;
        view.topics = Topics::default().with(topics.into_iter().map(|topic| (topic.spec.id, Some(topic))));
        view.stopped = Arc::new(stopped(connection).await?);
        Ok(view)
    }

    /// This view with the touched parts read anew, as of entry `index`.
    pub(crate) async fn refreshed(
        &self,
        connection: &mut SqliteConnection,
        touched: &Touched,
        index: u64,
    ) -> Result<Self, CatalogError> {
        let mut view = Self { council_index: index, ..self.clone() };
        if touched.platform {
            view.load_platform(connection).await?;
        }
        if touched.gateways {
            view.gateways = row::gateways(connection).await?.into();
        }
        if touched.groups {
            view.groups = groups(connection).await?.into();
        }
        if !touched.topics.is_empty() {
            view.topics = view.topics.with(rows(connection, &touched.topics).await?);
            view.stopped = Arc::new(stopped(connection).await?);
        }
        Ok(view)
    }

    async fn load_platform(&mut self, connection: &mut SqliteConnection) -> Result<(), CatalogError> {
        let platform = sqlx::query("SELECT cluster_id FROM platform").fetch_optional(&mut *connection).await?;
        self.cluster_id = platform.map(|row| row.try_get("cluster_id")).transpose()?;
        self.regions = row::regions(connection).await?.into_iter().map(Region::of).collect();
        self.witness = row::witnesses(connection).await?.into_iter().next().map(Witness::of);
        let mut settings = BTreeMap::new();
        for row in sqlx::query("SELECT * FROM settings").fetch_all(connection).await? {
            let setting = Setting { value: json(&row, "value")?, revision: number(&row, "revision")? };
            settings.insert(row.try_get("name")?, setting);
        }
        self.settings = Arc::new(settings);
        Ok(())
    }
}

async fn rows(
    connection: &mut SqliteConnection,
    ids: &BTreeSet<TopicId>,
) -> Result<Vec<(TopicId, Option<TopicRow>)>, CatalogError> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.push((*id, TopicRow::of_id(connection, *id).await?.filter(|topic| topic.deleted_at.is_none())));
    }
    Ok(rows)
}

async fn stopped(connection: &mut SqliteConnection) -> Result<BTreeSet<TopicId>, CatalogError> {
    let rows = sqlx::query("SELECT id FROM stopped_topics").fetch_all(connection).await?;
    rows.iter().map(|row| Ok(TopicId(text(row, "id")?))).collect()
}

async fn groups(connection: &mut SqliteConnection) -> Result<Vec<Group>, CatalogError> {
    let mut runs = runs_in_progress(connection).await?;
    let mut blocks = blocks(connection).await?;
    let mut exposures = open_exposures(connection).await?;
    let rows = GroupRow::all(connection).await?;
    let group = |row: GroupRow| {
        let (run, block) = (runs.remove(row.name()), blocks.remove(row.name()));
        let exposure = exposures.remove(row.name());
        Group {
            grant: row.grant(),
            owner_incarnation: row.owner_incarnation,
            policy: row.policy,
            revision: row.revision,
            route: Route { owner: row.route_owner, grant: row.route_grant, epoch: row.route_epoch },
            run,
            block,
            exposure,
        }
    };
    Ok(rows.into_iter().map(group).collect())
}

async fn runs_in_progress(connection: &mut SqliteConnection) -> Result<BTreeMap<ProtectionGroup, RunId>, CatalogError> {
    let rows = sqlx::query("SELECT id, group_name FROM runs WHERE ended_at IS NULL").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((text(row, "group_name")?, text(row, "id")?))).collect()
}

async fn open_exposures(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<ProtectionGroup, Exposure>, CatalogError> {
    let rows = sqlx::query("SELECT * FROM exposures WHERE closed_at IS NULL").fetch_all(connection).await?;
    rows.iter().map(|row| Ok((text(row, "group_name")?, exposure(row)?))).collect()
}

async fn blocks(connection: &mut SqliteConnection) -> Result<BTreeMap<ProtectionGroup, Block>, CatalogError> {
    let rows = sqlx::query("SELECT * FROM automation_blocks").fetch_all(connection).await?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let block = Block {
            until: maybe_time(row, "until")?,
            reason: row.try_get("reason")?,
            since: time(row, "blocked_at")?,
            by: row.try_get("blocked_by")?,
        };
        Ok((text(row, "group_name")?, block))
    };
    rows.iter().map(read).collect()
}

impl Region {
    fn of(row: RegionRow) -> Self {
        Self { node_id: row.node_id(), address: row.address, disk_id: row.disk_id }
    }
}

impl Witness {
    fn of(row: WitnessRow) -> Self {
        Self { node_id: row.node_id(), name: row.name, incarnation: row.incarnation, council: row.council }
    }
}

impl Topics {
    /// These topics with some replaced or (`None`) taken away.
    fn with(&self, changes: impl IntoIterator<Item = (TopicId, Option<TopicRow>)>) -> Self {
        let (mut by_name, mut names) = ((*self.by_name).clone(), (*self.names).clone());
        let (there, gone): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, row)| row.is_some());
        for (id, _) in &gone {
            if let Some(name) = names.remove(id) {
                by_name.remove(&name);
            }
        }
        for topic in there.into_iter().filter_map(|(_, row)| row) {
            names.insert(topic.spec.id, topic.spec.name.clone());
            by_name.insert(topic.spec.name.clone(), Arc::new(topic.spec));
        }
        Self { by_name: Arc::new(by_name), names: Arc::new(names) }
    }
}
