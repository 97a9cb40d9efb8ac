//! Asking the regions' own nodes, all at once. One that does not answer is left out.

use super::Api;
use crate::council::{Call, Reply};
use crate::observe::Picture;
use crate::ports::ConsumerGroup;
use futures::future::join_all;
use model::{LinkPartitionStatus, RegionName, RegionStatus, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a region may take to say how it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it may take when it hashes its partitions for it.
const HASH_TIMEOUT: Duration = Duration::from_secs(12);

impl Api {
    fn region_names(&self) -> Vec<RegionName> {
        self.view().regions.iter().map(|region| region.address.region.clone()).collect()
    }

    /// Asks the nodes of `regions` at once; those that answer what `read` understands.
    async fn ask<T>(
        &self,
        regions: Vec<RegionName>,
        call: Call,
        within: Duration,
        read: impl Fn(Reply) -> Option<T>,
    ) -> BTreeMap<RegionName, T> {
        let answers = regions.into_iter().map(|region| {
            let call = &call;
            async move { (region.clone(), self.council().call_region(&region, call, within).await) }
        });
        let mut heard = BTreeMap::new();
        for (region, answer) in join_all(answers).await {
            match answer.map(&read) {
                Ok(Some(answer)) => drop(heard.insert(region, answer)),
                Ok(None) => tracing::warn!(%region, "a region answered something else"),
                Err(error) => tracing::debug!(%region, %error, "a region does not answer"),
            }
        }
        heard
    }

    /// What all regions say of themselves.
    pub(super) async fn statuses(&self) -> BTreeMap<RegionName, RegionStatus> {
        self.statuses_of(self.region_names(), false).await
    }

    /// What some of them say, with hashes of their partitions if they are wanted.
    pub(super) async fn statuses_of(
        &self,
        regions: Vec<RegionName>,
        with_hashes: bool,
    ) -> BTreeMap<RegionName, RegionStatus> {
        let within = if with_hashes { HASH_TIMEOUT } else { ANSWER_TIMEOUT };
        let read = |reply| if let Reply::Status(status) = reply { Some(*status) } else { None };
        self.ask(regions, Call::Status { with_hashes }, within, read).await
    }

    /// How far all regions' copies are, and when they said so.
    pub(super) async fn links(&self) -> BTreeMap<RegionName, (Vec<LinkPartitionStatus>, Timestamp)> {
        let read = |reply| if let Reply::Links(links) = reply { Some((links, self.now())) } else { None };
        self.ask(self.region_names(), Call::Links, ANSWER_TIMEOUT, read).await
    }

    /// The consumer groups of all regions.
    pub(super) async fn consumer_groups(&self) -> BTreeMap<RegionName, Vec<ConsumerGroup>> {
        let read = |reply| if let Reply::ConsumerGroups(groups) = reply { Some(groups) } else { None };
        self.ask(self.region_names(), Call::ConsumerGroups, ANSWER_TIMEOUT, read).await
    }

    /// What the council's leader knows, if there is one.
    pub(super) async fn picture(&self) -> Option<Picture> {
        match self.recovery().picture().await {
            Ok(picture) => Some(picture),
            Err(error) => {
                tracing::debug!(%error, "no picture");
                None
            }
        }
    }
}
