//! What the region says of itself, put together from what its brokers say.

use super::{Ask, Told};
use crate::control::OFFSETS_TOPIC;
use crate::status::StatusError;
use crate::{Broker, ConsumerGroup};
use broker_core::metadata::Image;
use broker_core::region;
use model::{BrokerSlot, DivergedTail, Gap, GroupId, LinkPartitionStatus, PartitionId, ProtectionGroup, RegionStatus};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a broker may take to say how it is.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);
/// How long it may take where that drops logs.
const REBUILD_MAX: Duration = Duration::from_secs(10);
/// How long it may take where that reads all of its logs.
const HASHES_MAX: Duration = Duration::from_secs(60);

impl Broker {
    /// The region as it sees itself, with a hash over every partition's committed batches if `with_hashes`; that reads
    /// all of their headers. What only a broker knows that does not answer is left out.
    ///
    /// # Errors
    /// [`StatusError`] when the broker is stopping.
    pub async fn status(&self, with_hashes: bool) -> Result<RegionStatus, StatusError> {
        if !self.0.config.is_clustered() {
            return self.own_status(with_hashes).await;
        }
        let within = if with_hashes { HASHES_MAX } else { ANSWER_MAX };
        let (said, _) = self.ask_brokers(&Ask::Status { with_hashes }, within).await;
        let statuses = said.into_iter().filter_map(|(slot, told)| match told {
            Told::Status(status) => Some((slot, *status)),
            _ => None,
        });
        let own = RegionStatus { partitions: vec![], diverged: vec![], gaps: vec![], ..self.own_status(false).await? };
        // A broker that hosts partitions has answered for its own disk.
        let own = if self.0.config.is_desk() { own } else { RegionStatus { disks: vec![], ..own } };
        Ok(region::status(&self.image(), own, &statuses.collect()))
    }

    /// Answers as long as clients are served: the threads for their connections run and, in a region of several brokers, a
    /// controller is in office and at least half of the brokers are let in.
    ///
    /// # Errors
    /// [`StatusError`] says what is missing.
    pub async fn answers(&self) -> Result<(), StatusError> {
        let answered = self.0.data_plane.handle().spawn(async {}).await;
        answered.map_err(|error| StatusError::of(&error))?;
        if self.0.config.is_clustered() {
            if !self.0.gates.footing().stands(self.0.clock.boot()) {
                return Err(StatusError::of("no controller of the region answers"));
            }
            if !region::is_serving(&self.image()) {
                return Err(StatusError::of("fewer than half of the region's brokers are there"));
            }
        }
        Ok(())
    }

    /// How far the region's copies are behind their sources.
    pub async fn links(&self) -> Vec<LinkPartitionStatus> {
        let (said, _) = self.ask_brokers(&Ask::Links, ANSWER_MAX).await;
        let mut links = BTreeMap::new();
        for link in said.into_values().filter_map(|told| if let Told::Links(links) = told { Some(links) } else { None })
        {
            // A copy that has just moved to another leader is known to both; who has more of it knows it better.
            for link in link {
                let known = links.entry((link.topic_id, link.partition)).or_insert_with(|| link.clone());
                if known.tail < link.tail {
                    *known = link;
                }
            }
        }
        links.into_values().collect()
    }

    /// Has the region's copies of `group` copied anew that have to be; says how many. What they hold is dropped.
    ///
    /// # Errors
    /// When a broker could not; the others have begun. It may be asked for again.
    pub async fn rebuild_copies(&self, group: ProtectionGroup) -> Result<u64, StatusError> {
        let (said, failed) = self.ask_brokers(&Ask::Rebuild(group), REBUILD_MAX).await;
        if let Some(reason) = failed.into_values().next() {
            return Err(StatusError::of(&reason));
        }
        Ok(said.into_values().map(|told| if let Told::Rebuilt(count) = told { count } else { 0 }).sum())
    }

    /// Every consumer group that is coordinated in the region or whose commits are kept here, as its coordinator sees it.
    pub async fn consumer_groups(&self) -> Vec<ConsumerGroup> {
        let (said, _) = self.ask_brokers(&Ask::ConsumerGroups, ANSWER_MAX).await;
        let (image, mut groups) = (self.image(), BTreeMap::new());
        for (slot, told) in said {
            let Told::ConsumerGroups(known) = told else { continue };
            for group in known {
                let coordinates = coordinator(&image, &group.name) == Some(slot);
                if coordinates || !groups.contains_key(&group.name) {
                    groups.insert(group.name.clone(), group);
                }
            }
        }
        groups.into_values().collect()
    }

    /// Bytes of the file of a diverged tail from `at` on, at most `max` of them; none at its end.
    ///
    /// # Errors
    /// When no broker that answers has the file, or it cannot be read.
    pub async fn read_diverged(&self, file: String, at: u64, max: u32) -> Result<Vec<u8>, StatusError> {
        let ask = Ask::Diverged { file: file.clone(), at, max };
        let (said, failed) = self.ask_brokers(&ask, ANSWER_MAX).await;
        let bytes = said.into_values().find_map(|told| if let Told::Diverged(bytes) = told { bytes } else { None });
        let missing = || failed.into_values().next().unwrap_or_else(|| format!("no broker that answers has {file}"));
        bytes.ok_or_else(|| StatusError::of(&missing()))
    }

    /// The diverged tails and the gaps that the council has not stored yet, as far as brokers answer. It costs what there is
    /// of them, however many partitions there are.
    pub async fn pending_facts(&self) -> (Vec<DivergedTail>, Vec<Gap>) {
        let (said, _) = self.ask_brokers(&Ask::Facts, ANSWER_MAX).await;
        let (mut diverged, mut gaps) = (vec![], vec![]);
        for told in said.into_values() {
            if let Told::Facts(more_diverged, more_gaps) = told {
                add_new(&mut diverged, more_diverged);
                add_new(&mut gaps, more_gaps);
            }
        }
        (diverged, gaps)
    }

    /// The council has stored these facts: no broker need report them again.
    ///
    /// # Errors
    /// When a broker cannot keep that; it reports them again then.
    pub async fn acknowledge(&self, diverged: Vec<DivergedTail>, gaps: Vec<Gap>) -> Result<(), StatusError> {
        let (_, failed) = self.ask_brokers(&Ask::Acknowledge { diverged, gaps }, ANSWER_MAX).await;
        failed.into_values().next().map_or(Ok(()), |reason| Err(StatusError::of(&reason)))
    }
}

/// Adds what is not known yet: a partition that moves may have two brokers report the same.
fn add_new<T: PartialEq>(known: &mut Vec<T>, more: Vec<T>) {
    for fact in more {
        if !known.contains(&fact) {
            known.push(fact);
        }
    }
}

/// The broker that coordinates a consumer group, as the metadata has it.
fn coordinator(image: &Image, group: &str) -> Option<BrokerSlot> {
    let topic = image.topic_named(OFFSETS_TOPIC)?;
    let count = usize::try_from(topic.partition_count()).ok().filter(|count| *count > 0)?;
    let number = PartitionId(GroupId::new(group).offsets_partition(count) as i32);
    topic.partition(number)?.leader.map(|leader| leader.broker)
}
