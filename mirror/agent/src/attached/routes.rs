//! Writes to both clusters which topics a link copies, and leaves out those that would go round for ever.

use super::table::{Table, unless_refused};
use super::{AttachedError, Side};
use mirror_core::attached::chart::Record;
use mirror_core::attached::routes::{Leg, Ring, Route, Topic, route};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::client::ClientError;

/// Where links write their routes, in every cluster.
pub(super) const TOPIC: &str = "farshore.links";

/// The routes of one link.
pub(super) struct Routes {
    leg: Leg,
    source: Table,
    target: Table,
    source_read_only: bool,
    claimed: BTreeSet<String>,
    left_out: BTreeMap<String, Ring>,
}

impl Routes {
    /// Of the link between these clusters, each with its id.
    pub(super) fn new(source: (&Side, &str), target: (&Side, &str), source_read_only: bool) -> Self {
        let table = |side: &Side| Table::new(&Arc::new(side.cluster()), TOPIC);
        Self {
            leg: Leg { source: source.1.to_owned(), target: target.1.to_owned() },
            source: table(source.0),
            target: table(target.0),
            source_read_only,
            claimed: BTreeSet::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// Topics that would close a ring.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &Ring> {
        self.left_out.values()
    }

    /// Whether a topic is this link's to copy.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.claimed.contains(topic)
    }

    /// Takes topics of the source for this link. One that would close a ring is left out, unless it `is_named` by itself:
    /// then it is refused.
    pub(super) async fn claim(
        &mut self,
        topics: &[Topic],
        is_named: impl Fn(&str) -> bool,
    ) -> Result<(), AttachedError> {
        let is_new = |name: &String| !self.claimed.contains(name) && !self.left_out.contains_key(name);
        let new: Vec<_> = topics.iter().filter(|topic| is_new(&topic.name)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let (open, rings) = self.judged(&new).await?;
        self.leave_out(rings, &is_named)?;
        self.write(open.iter().map(entry).collect::<Result<_, _>>()?).await?;
        // Written before it is looked once more: of two links that close a ring at the same time one sees the other.
        let (open, rings) = self.judged(&new).await?;
        let taken_back = rings.iter().filter(|ring| !self.left_out.contains_key(&ring.topic));
        let key = |ring: &Ring| format!("{}>{}/{}", self.leg.source, self.leg.target, ring.topic);
        self.write(taken_back.map(|ring| Record { key: key(ring), value: None }).collect()).await?;
        self.leave_out(rings, &is_named)?;
        self.claimed.extend(open.into_iter().map(|route| route.topic));
        Ok(())
    }

    async fn judged(&self, topics: &[Topic]) -> Result<(Vec<Route>, Vec<Ring>), AttachedError> {
        let known = self.known().await?;
        let (mut open, mut rings) = (Vec::new(), Vec::new());
        for topic in topics {
            match route(topic, self.leg.clone(), &known) {
                Ok(route) => open.push(route),
                Err(ring) => rings.push(ring),
            }
        }
        Ok((open, rings))
    }

    async fn known(&self) -> Result<Vec<Route>, AttachedError> {
        let mut routes = read(&self.source).await.map_err(AttachedError::of_source)?;
        routes.extend(read(&self.target).await.map_err(AttachedError::of_target)?);
        Ok(routes)
    }

    fn leave_out(&mut self, rings: Vec<Ring>, is_named: impl Fn(&str) -> bool) -> Result<(), AttachedError> {
        for ring in rings {
            if is_named(&ring.topic) {
                return Err(AttachedError::Refused(format!(
                    "{ring}. Leave it out of --topics; or, if the links on that way have ended for good, delete the topic \
                     {TOPIC} in both clusters (links that still run write it again when they are started again)"
                )));
            }
            tracing::warn!(topic = ring.topic, %ring, "the topic is left out");
            self.left_out.insert(ring.topic.clone(), ring);
        }
        Ok(())
    }

    async fn write(&mut self, records: Vec<Record>) -> Result<(), AttachedError> {
        if records.is_empty() {
            return Ok(());
        }
        // Whoever may write in one cluster only is seen there.
        let written = put(&mut self.target, &records).await;
        unless_refused(TOPIC, written).map_err(AttachedError::of_target)?;
        if !self.source_read_only {
            let written = put(&mut self.source, &records).await;
            unless_refused(TOPIC, written).map_err(AttachedError::of_source)?;
        }
        Ok(())
    }
}

async fn read(table: &Table) -> Result<Vec<Route>, ClientError> {
    let mut routes = BTreeMap::new();
    let take = |record: Record| {
        let route = record.value.and_then(|value| serde_json::from_slice::<Route>(&value).ok());
        _ = routes.insert(record.key, route);
    };
    unless_refused(TOPIC, table.read(take).await)?;
    Ok(routes.into_values().flatten().collect())
}

async fn put(table: &mut Table, records: &[Record]) -> Result<(), ClientError> {
    table.make().await?;
    table.write(records).await
}

fn entry(route: &Route) -> Result<Record, AttachedError> {
    let value = serde_json::to_vec(route);
    let value = value.map_err(|error| AttachedError::Refused(format!("route of {}: {error}", route.topic)))?;
    Ok(Record { key: route.key(), value: Some(value) })
}
