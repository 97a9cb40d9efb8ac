//! The leader leads groups into SYNC and out of it, and keeps the RPO ledger.
//!
//! What is due is [`mirror_core::mode`]'s to say; here the picture is put into its words, and what it says is proposed.
//! A proposal names the mode and the grant it was decided under, so that nothing is done twice or too late.

mod auto;

use super::Observatory;
use super::picture::Picture;
use crate::tenure::system_name;
use catalog::View;
use catalog::command::{ChangeMode, NoteExposure};
use catalog::view::Group;
use dr_planner::inventory::LinkFacts;
use dr_planner::policy::Mode;
use mirror_core::mode::{Candidate, Change, Facts, Source, Wish, confirmed, decide};
use model::{
    AtRisk, ByteCount, ExposureReason, GrantState, ModeEpoch, PartitionId, PartitionStatus, ProtectionGroup,
    RegionName, RegionStatus, SyncStatus, Timestamp, TopicId, limits,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a source may have been silent to its copy for that to count as near.
const SILENCE_MAX: Duration = Duration::from_millis(1500);
/// How often the ledger's running maxima are raised.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// Looks at every new picture, for ever.
pub(super) async fn keep(observatory: &Observatory) {
    let mut pictures = observatory.watch_picture();
    let (mut noted, mut lines) = (BTreeMap::new(), auto::Lines::default());
    while pictures.changed().await.is_ok() {
        let Some(picture) = pictures.borrow_and_update().clone() else { continue };
        let view = observatory.council.view();
        for group in view.groups.iter() {
            let look = Look { picture: &picture, view: &view, group };
            let is_wished = lines.asks_for_sync(&look);
            look.change_mode(observatory, is_wished).await;
            look.note_exposure(observatory, &mut noted).await;
        }
        *observatory.auto.lock().expect("no holder of this lock panics") = lines.judgements();
    }
}

/// One group in one picture.
struct Look<'a> {
    picture: &'a Picture,
    view: &'a View,
    group: &'a Group,
}

type Place = (TopicId, PartitionId);

impl Look<'_> {
    async fn change_mode(&self, observatory: &Observatory, sync: bool) {
        let (grant, council) = (&self.group.grant, &observatory.council);
        if grant.state == GrantState::Revoked {
            return;
        }
        let policy = &self.group.policy;
        let otherwise = if policy.mode == Mode::Auto { ExposureReason::Line } else { ExposureReason::Operator };
        let slows_writers = policy.mode == Mode::Sync;
        let wish = Wish { sync, otherwise, slow_target: policy.slow_target, slows_writers };
        let Some(change) = decide(wish, &grant.mode, &self.facts()) else { return };
        if self.group.run.is_some() && !matches!(change, Change::Leave { .. }) {
            return;
        }
        tracing::info!(group = %grant.group, ?change, "the mode changes");
        let asked = ChangeMode {
            group: grant.group.clone(),
            ownership_epoch: grant.ownership_epoch,
            mode_epoch: grant.mode.epoch,
            change,
        };
        if let Err(error) = council.propose(&system_name(council), asked).await {
            tracing::warn!(group = %grant.group, %error, "the mode does not change");
        }
    }

    fn facts(&self) -> Facts {
        let grant = &self.group.grant;
        let standbys = self.group.policy.standbys_of(&grant.owner);
        Facts {
            now: self.picture.inventory.observed_at,
            source: grant.mode.rule.as_ref().and_then(|rule| self.source(rule.mode_epoch)),
            standbys: standbys.iter().filter_map(|region| self.candidate(region)).collect(),
        }
    }

    /// What the owner's leaders say under the rule; `None` while the owner is silent.
    fn source(&self, rule: ModeEpoch) -> Option<Source> {
        let owner = &self.group.grant.owner;
        self.picture.inventory.region(owner)?;
        let said = by_place(self.picture.statuses.get(owner)?, &self.group.grant.group);
        let of = |place: &Place| said.get(place).and_then(|status| Some((status.high_watermark, status.sync?)));
        let partitions = self.partitions();
        let longest = |millis: fn(SyncStatus) -> u64| {
            let longest = partitions.iter().filter_map(of).map(|(_, sync)| millis(sync)).max();
            Duration::from_millis(longest.unwrap_or(0))
        };
        let confirmed = !partitions.is_empty() && confirmed(rule, partitions.iter().map(of));
        Some(Source { confirmed, waiting: longest(|sync| sync.waiting_ms), lacking: longest(|sync| sync.lacking_ms) })
    }

    fn partitions(&self) -> Vec<Place> {
        self.picture.inventory.partitions(&self.group.grant.group)
    }

    fn candidate(&self, region: &RegionName) -> Option<Candidate> {
        let incarnation = self.view.region(region)?.address.incarnation;
        let link = self.link_to(region);
        let is_broken = link.is_some_and(|link| !link.unusable.is_empty()) || self.has_failed(region);
        let link = link.filter(|link| self.is_whole(link));
        let lag = link.map(|link| Duration::try_from_secs_f64(link.lag_seconds).unwrap_or(Duration::MAX));
        Some(Candidate { region: region.clone(), incarnation, lag, is_broken })
    }

    /// Whether `region` cannot use the log of one of the group's copies.
    fn has_failed(&self, region: &RegionName) -> bool {
        let status = self.picture.statuses.get(region);
        status.is_some_and(|status| {
            by_place(status, &self.group.grant.group).values().any(|partition| partition.failed.is_some())
        })
    }

    fn link_to(&self, region: &RegionName) -> Option<&LinkFacts> {
        self.picture.inventory.link(&self.group.grant.group, &self.group.grant.owner, region)
    }

    /// Whether the link is up and copies everything.
    fn is_whole(&self, link: &LinkFacts) -> bool {
        let inventory = &self.picture.inventory;
        inventory.is_recent(link.observed_at)
            && link.silence(inventory.observed_at) <= SILENCE_MAX
            && (link.never_heard, link.unusable.len(), link.partitions) == (0, 0, self.partitions().len())
    }

    async fn note_exposure(
        &self,
        observatory: &Observatory,
        noted: &mut BTreeMap<(ProtectionGroup, ModeEpoch), Timestamp>,
    ) {
        let (Some(open), now) = (&self.group.exposure, self.picture.inventory.observed_at) else { return };
        let (worst, key) = (self.at_risk(), (self.group.grant.group.clone(), open.mode_epoch));
        let is_due = noted.get(&key).is_none_or(|last| now.since(*last) >= NOTE_EVERY);
        if !is_due || !is_much_worse(worst, open.worst) {
            return;
        }
        noted.retain(|(group, _), _| *group != key.0);
        noted.insert(key, now);
        let (group, council) = (self.group.grant.group.clone(), &observatory.council);
        let asked = NoteExposure { group, mode_epoch: open.mode_epoch, worst };
        if let Err(error) = council.propose(&system_name(council), asked).await {
            tracing::debug!(group = %self.group.grant.group, %error, "the ledger is not raised");
        }
    }

    /// What a crash of the owner would lose now: what the standby that has most of it lacks.
    fn at_risk(&self) -> AtRisk {
        let grant = &self.group.grant;
        let Some(owner) = self.picture.statuses.get(&grant.owner) else { return AtRisk::default() };
        let standbys = self.group.policy.standbys_of(&grant.owner);
        let risks = standbys.iter().filter_map(|region| self.lacking(owner, region));
        risks.min_by_key(|risk| risk.records).unwrap_or_default()
    }

    fn lacking(&self, owner: &RegionStatus, region: &RegionName) -> Option<AtRisk> {
        let group = &self.group.grant.group;
        let (held, link) = (by_place(self.picture.statuses.get(region)?, group), self.link_to(region));
        let mut risk = AtRisk::default();
        for partition in by_place(owner, group).into_values() {
            let place = (partition.topic_id, partition.partition);
            let copied = held.get(&place).map_or(partition.start, |copy| copy.flushed);
            let records = without_hole(partition.high_watermark.since(copied));
            risk.records += records;
            risk.bytes += reckoned_bytes(partition, records);
        }
        if risk.records > 0 {
            let now = self.picture.inventory.observed_at;
            let silent = link.map_or(Duration::ZERO, |link| now.since(link.observed_at));
            let lag = link.map_or(0.0, |link| link.lag_seconds.max(0.0)) + silent.as_secs_f64();
            risk.millis = (lag * 1000.0) as u64;
        }
        Some(risk)
    }
}

/// As many records of a partition have about as many bytes.
fn reckoned_bytes(partition: &PartitionStatus, records: u64) -> u64 {
    let all = without_hole(partition.tail.since(partition.start)).max(1);
    let ByteCount(bytes) = partition.size;
    let reckoned = u128::from(bytes) * u128::from(records.min(all)) / u128::from(all);
    u64::try_from(reckoned).unwrap_or(u64::MAX)
}

/// Offsets without the hole that a failover leaves: as many records no partition gets.
const fn without_hole(offsets: u64) -> u64 {
    offsets % limits::PROMOTE_HOLE_OFFSETS.unsigned_abs()
}

/// Whether the ledger is to be raised: not for every record more.
const fn is_much_worse(worst: AtRisk, known: AtRisk) -> bool {
    worst.records > known.records + known.records / 8
        || worst.bytes > known.bytes + known.bytes / 8
        || worst.millis > known.millis + known.millis / 8
}

fn by_place<'a>(status: &'a RegionStatus, group: &ProtectionGroup) -> BTreeMap<Place, &'a PartitionStatus> {
    let of_group = status.partitions.iter().filter(|partition| partition.group.as_ref() == Some(group));
    of_group.map(|partition| ((partition.topic_id, partition.partition), partition)).collect()
}
