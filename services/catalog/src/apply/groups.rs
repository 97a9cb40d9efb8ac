//! Protection groups and the topics that move with their coverage.

use super::ownership::check_epoch;
use super::topics::canary;
use super::{Applied, Applying, check_text};
use crate::column::{signed, to_json};
use crate::command::{CreateGroup, DeleteGroup, NewTopic, UpdateGroup};
use crate::row::{self, GroupRow, TopicRow};
use crate::{Answer, Refusal, limits};
use dr_planner::policy;
use model::{
    Coverage, ExposureReason, Grant, GrantState, Incarnation, ModeState, OwnershipEpoch, Pattern, ProtectionGroup,
    RegionAddress, RegionName, TopicName, TopicState, covering_grant,
};
use std::collections::BTreeMap;

impl Applying<'_> {
    pub(super) async fn create_group(&mut self, args: &CreateGroup) -> Applied<Answer> {
        self.check_formed().await?;
        let mut groups = GroupRow::all(self.connection).await?;
        let name = &args.policy.name;
        if let Some(there) = groups.iter().find(|group| group.name() == name) {
            return repeated(args, there);
        }
        if groups.len() >= limits::GROUPS_MAX {
            return Err(Refusal::too_many("protection groups", groups.len() + 1, limits::GROUPS_MAX).into());
        }
        self.check_policy(&args.policy, &groups).await?;
        let group = self.newborn(args).await?;
        groups.push(group.clone());
        let moves = self.moves(&groups, Some(group.name().clone())).await?;
        let group = self.insert_group(group, &moves).await?;
        self.move_topics(&groups, &moves).await?;
        // Nothing of a group that every region takes writes for is ever moved, or rehearsed.
        if group.policy.active_active.is_none() {
            self.create_canary(args).await?;
        }
        Ok(Answer::Group { grant: group.grant(), revision: group.revision })
    }

    /// The group as it would be if no topic moved to it.
    async fn newborn(&mut self, args: &CreateGroup) -> Applied<GroupRow> {
        let (home, name) = (args.policy.home.clone(), &args.policy.name);
        let last: Option<i64> = sqlx::query_scalar("SELECT max(ownership_epoch) FROM grants WHERE group_name = ?")
            .bind(name.as_str())
            .fetch_one(&mut *self.connection)
            .await?;
        let last = u32::try_from(last.unwrap_or(0)).unwrap_or(limits::OWNERSHIP_EPOCH_MAX);
        Ok(GroupRow {
            coverage: covered(&args.policy),
            policy: args.policy.clone(),
            revision: self.next_number("group revision").await?,
            owner: home.clone(),
            owner_incarnation: self.incarnation_of(&home).await?,
            ownership_epoch: OwnershipEpoch(last).next(),
            state: GrantState::Held,
            openings: vec![],
            route_owner: home,
            route_grant: OwnershipEpoch(last).next(),
            route_epoch: self.next_number("route epoch").await?,
            mode: ModeState::default(),
        })
    }

    /// Writes a new group, whose owner and epoch follow from the topics that move to it.
    async fn insert_group(&mut self, mut group: GroupRow, moves: &Moves) -> Applied<GroupRow> {
        if let Some(giver) = moves.givers_to(&group.policy.name).next() {
            group.owner = giver.owner.clone();
            group.route_owner = giver.owner.clone();
            group.owner_incarnation = giver.owner_incarnation;
        }
        let below = moves.epoch_below(group.name());
        group.ownership_epoch.advance(below.next());
        group.route_grant = group.ownership_epoch;
        check_epoch(group.name(), group.ownership_epoch, below)?;
        check_owner(&group.policy, &group.owner)?;
        sqlx::query(
            "INSERT INTO protection_groups (name, policy, home, standbys, coverage, revision, owner, owner_incarnation, \
             ownership_epoch, state, openings, route_owner, route_grant, route_epoch, created_at, changed_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'held', '[]', ?, ?, ?, ?13, ?13)",
        )
        .bind(group.name().as_str())
        .bind(to_json(&group.policy))
        .bind(group.policy.home.as_str())
        .bind(to_json(&group.policy.standbys))
        .bind(to_json(&group.coverage))
        .bind(signed(group.revision))
        .bind(group.owner.as_str())
        .bind(i64::from(group.owner_incarnation.0))
        .bind(i64::from(group.ownership_epoch.0))
        .bind(group.route_owner.as_str())
        .bind(i64::from(group.route_grant.0))
        .bind(signed(group.route_epoch))
        .bind(self.at.0)
        .execute(&mut *self.connection)
        .await?;
        self.remember_grant(&group, "created", None).await?;
        self.open_exposure(group.name(), group.mode.epoch, ExposureReason::Created).await?;
        self.touch().groups = true;
        Ok(group)
    }

    async fn create_canary(&mut self, args: &CreateGroup) -> Applied<()> {
        let topic = NewTopic {
            id: args.canary,
            name: canary(&args.policy.name),
            partitions: 1,
            config: BTreeMap::new(),
            state: TopicState::Live,
            epochs_above: None,
        };
        self.create_topic(&topic).await.map(drop)
    }

    pub(super) async fn update_group(&mut self, args: &UpdateGroup) -> Applied<Answer> {
        let mut group = self.group(&args.policy.name).await?;
        super::platform::check_revision("protection group", group.name().as_str(), args.expected, group.revision)?;
        if group.policy == args.policy {
            return Ok(Answer::Group { grant: group.grant(), revision: group.revision });
        }
        let mut groups = GroupRow::all(self.connection).await?;
        groups.retain(|other| other.name() != group.name());
        self.check_policy(&args.policy, &groups).await?;
        check_stays_active(&group.policy, &args.policy)?;
        check_owner(&args.policy, &group.owner)?;
        group.coverage = covered(&args.policy);
        group.policy = args.policy.clone();
        group.revision = self.next_number("group revision").await?;
        groups.push(group.clone());
        let moves = self.moves(&groups, None).await?;
        self.rewrite_policy(&group).await?;
        self.leave_unwanted_sync(&mut group).await?;
        self.move_topics(&groups, &moves).await?;
        let group = self.group(&args.policy.name).await?;
        Ok(Answer::Group { grant: group.grant(), revision: group.revision })
    }

    /// A policy that asks for no SYNC any more, or not with that target, ends it.
    async fn leave_unwanted_sync(&mut self, group: &mut GroupRow) -> Applied<()> {
        let Some(rule) = &group.mode.rule else { return Ok(()) };
        let is_member = group.policy.members().any(|member| *member == rule.target);
        if group.policy.mode != policy::Mode::Async && is_member {
            return Ok(());
        }
        self.check_idle(group).await?;
        self.leave_sync(group, ExposureReason::Operator).await
    }

    async fn rewrite_policy(&mut self, group: &GroupRow) -> Applied<()> {
        sqlx::query(
            "UPDATE protection_groups SET policy = ?, home = ?, standbys = ?, coverage = ?, revision = ?, \
             changed_at = ? WHERE name = ?",
        )
        .bind(to_json(&group.policy))
        .bind(group.policy.home.as_str())
        .bind(to_json(&group.policy.standbys))
        .bind(to_json(&group.coverage))
        .bind(signed(group.revision))
        .bind(self.at.0)
        .bind(group.name().as_str())
        .execute(&mut *self.connection)
        .await?;
        self.touch().groups = true;
        Ok(())
    }

    pub(super) async fn delete_group(&mut self, args: &DeleteGroup) -> Applied<Answer> {
        let group = self.group(&args.group).await?;
        super::platform::check_revision("protection group", args.group.as_str(), args.expected, group.revision)?;
        self.check_idle(&group).await?;
        let mut groups = GroupRow::all(self.connection).await?;
        groups.retain(|other| other.name() != group.name());
        if let Some(by) = groups.iter().find(|other| other.policy.depends_on.contains(group.name())) {
            let by = format!("protection group {}", by.name());
            return Err(Refusal::GroupNeeded { group: args.group.clone(), by }.into());
        }
        if let Some(canary) = TopicRow::named(self.connection, &canary(&args.group)).await? {
            self.delete_topic(canary.spec.id).await?;
        }
        groups.push(GroupRow { coverage: Coverage::default(), ..group.clone() });
        let moves = self.moves(&groups, None).await?;
        self.move_topics(&groups, &moves).await?;
        for query in
            ["DELETE FROM protection_groups WHERE name = ?", "DELETE FROM automation_blocks WHERE group_name = ?"]
        {
            sqlx::query(query).bind(args.group.as_str()).execute(&mut *self.connection).await?;
        }
        self.close_exposure(&args.group).await?;
        self.touch().groups = true;
        Ok(Answer::Done)
    }

    async fn moves(&mut self, groups: &[GroupRow], newborn: Option<ProtectionGroup>) -> Applied<Moves> {
        Moves::between(groups, TopicRow::all(self.connection).await?, newborn)
    }

    /// Makes the moves, and raises the receivers' epochs above those of the givers.
    async fn move_topics(&mut self, groups: &[GroupRow], moves: &Moves) -> Applied<()> {
        for giver in moves.givers() {
            self.check_idle(giver).await?;
        }
        for receiver in groups.iter().filter(|group| moves.is_receiver(group)) {
            self.check_idle(receiver).await?;
            check_takes_topics(receiver)?;
            self.raise(receiver, moves.epoch_below(receiver.name()), "topics moved").await?;
        }
        for (topic, to) in &moves.topics {
            sqlx::query("UPDATE topics SET group_name = ?, revision = revision + 1 WHERE id = ?")
                .bind(to.as_str())
                .bind(topic.spec.id.0.to_string())
                .execute(&mut *self.connection)
                .await?;
            self.touch().topics.insert(topic.spec.id);
        }
        Ok(())
    }

    async fn check_policy(&mut self, policy: &policy::Group, others: &[GroupRow]) -> Applied<()> {
        check_patterns(policy)?;
        let known = row::regions(self.connection).await?;
        if policy.active_active.is_some() {
            known.iter().try_for_each(|known| check_one_broker(policy, &known.address))?;
        }
        let regions: Vec<RegionName> = known.into_iter().map(|region| region.address.region).collect();
        let voters = regions.len() + row::witnesses(self.connection).await?.len();
        policy.validate(&regions, voters).map_err(Refusal::from)?;
        let all: Vec<_> = others.iter().map(|group| group.policy.clone()).chain([policy.clone()]).collect();
        Ok(policy::validate_all(&all).map_err(Refusal::from)?)
    }

    pub(super) async fn group(&mut self, name: &ProtectionGroup) -> Applied<GroupRow> {
        let found = GroupRow::find(self.connection, name).await?;
        Ok(found.ok_or_else(|| Refusal::unknown_group(name))?)
    }

    /// Refuses while a run is at work on the group or its grant is revoked: its epoch is spoken for.
    pub(super) async fn check_idle(&mut self, group: &GroupRow) -> Applied<()> {
        self.check_no_run(group).await?;
        if group.state == GrantState::Revoked {
            let (group, epoch) = (group.name().clone(), group.ownership_epoch);
            return Err(Refusal::Revoked { group, epoch }.into());
        }
        Ok(())
    }

    pub(super) async fn incarnation_of(&mut self, region: &RegionName) -> Applied<Incarnation> {
        let regions = row::regions(self.connection).await?;
        let found = regions.iter().find(|row| row.address.region == *region);
        Ok(found.ok_or_else(|| Refusal::not_found("region", region))?.address.incarnation)
    }
}

/// Topics on their way to other groups.
#[derive(Default)]
pub(super) struct Moves {
    topics: Vec<(TopicRow, ProtectionGroup)>,
    /// Per receiver, the groups that give to it.
    givers: BTreeMap<ProtectionGroup, BTreeMap<ProtectionGroup, GroupRow>>,
    /// A receiver whose owner and epoch follow from its givers.
    newborn: Option<ProtectionGroup>,
}

impl Moves {
    /// Which of `topics` the groups cover otherwise than they belong now.
    fn between(groups: &[GroupRow], topics: Vec<TopicRow>, newborn: Option<ProtectionGroup>) -> Applied<Self> {
        let grants: Vec<Grant> = groups.iter().map(GroupRow::grant).collect();
        let mut moves = Self { newborn, ..Self::default() };
        for topic in topics {
            let name = &topic.spec.name;
            let to = covering_grant(&grants, name).ok_or(Refusal::Uncovered { topic: name.clone() })?;
            if to.group != topic.spec.group {
                moves.add(topic, &to.group, groups)?;
            }
        }
        Ok(moves)
    }

    fn add(&mut self, topic: TopicRow, to: &ProtectionGroup, groups: &[GroupRow]) -> Applied<()> {
        let named = |name: &ProtectionGroup| groups.iter().find(|group| group.name() == name);
        let giver = named(&topic.spec.group).ok_or_else(|| Refusal::unknown_group(&topic.spec.group))?;
        let receiver = named(to).filter(|_| self.newborn.as_ref() != Some(to));
        let is_active = |group: &GroupRow| group.policy.active_active.is_some();
        if is_active(giver) || named(to).is_some_and(is_active) {
            return Err(not_movable_active(&topic.spec.name, giver, to).into());
        }
        let other = self.givers_to(to).chain(receiver).find(|other| other.owner != giver.owner);
        if let Some(other) = other {
            return Err(not_movable(&topic.spec.name, giver, to, &other.owner).into());
        }
        self.givers.entry(to.clone()).or_default().insert(giver.name().clone(), giver.clone());
        self.topics.push((topic, to.clone()));
        Ok(())
    }

    fn givers_to(&self, receiver: &ProtectionGroup) -> impl Iterator<Item = &GroupRow> {
        self.givers.get(receiver).into_iter().flat_map(BTreeMap::values)
    }

    fn givers(&self) -> impl Iterator<Item = &GroupRow> {
        self.givers.values().flat_map(BTreeMap::values)
    }

    fn is_receiver(&self, group: &GroupRow) -> bool {
        self.givers.contains_key(group.name()) && self.newborn.as_ref() != Some(group.name())
    }

    /// The highest epoch of those that give to `receiver`.
    fn epoch_below(&self, receiver: &ProtectionGroup) -> OwnershipEpoch {
        self.givers_to(receiver).map(|giver| giver.ownership_epoch).max().unwrap_or_default()
    }
}

/// What its copies hold was never looked at for topics that come from elsewhere.
fn check_takes_topics(receiver: &GroupRow) -> Applied<()> {
    match receiver.mode.rule {
        None => Ok(()),
        Some(_) => {
            let (group, reason) = (receiver.name().clone(), "topics cannot move to it; set its mode to async first");
            Err(Refusal::ModeOutOfOrder { group, reason: reason.to_owned() }.into())
        }
    }
}

/// Its records have offsets of their own in every region, or would have.
fn not_movable_active(topic: &TopicName, giver: &GroupRow, to: &ProtectionGroup) -> Refusal {
    let reason =
        "topics neither come to nor leave an active-active group; delete the topic and make it anew".to_owned();
    Refusal::NotMovable { topic: topic.clone(), from: giver.name().clone(), to: to.clone(), reason }
}

/// Who takes writes for a group, and which write stands, is the same for all of its records.
fn check_stays_active(before: &policy::Group, now: &policy::Group) -> Applied<()> {
    if before.active_active == now.active_active {
        return Ok(());
    }
    let reason = "active_active is given when a group is made and stays; make another group for new topics".into();
    Err(Refusal::BadPolicy { reason }.into())
}

/// Where a record comes from is not replicated inside a region yet.
fn check_one_broker(policy: &policy::Group, region: &RegionAddress) -> Applied<()> {
    let brokers = region.clients.split(',').count();
    if brokers == 1 {
        return Ok(());
    }
    let (group, region) = (&policy.name, &region.region);
    let reason = format!(
        "protection group {group} is active-active and region {region} has {brokers} brokers: that takes regions of one \
         broker in this version"
    );
    Err(Refusal::BadPolicy { reason }.into())
}

fn not_movable(topic: &TopicName, giver: &GroupRow, to: &ProtectionGroup, other: &RegionName) -> Refusal {
    let reason =
        format!("it is owned by {}, the others by {other}; switch one of them over first, then move", giver.owner);
    Refusal::NotMovable { topic: topic.clone(), from: giver.name().clone(), to: to.clone(), reason }
}

/// A command that was proposed twice finds its own group.
fn repeated(args: &CreateGroup, there: &GroupRow) -> Applied<Answer> {
    if there.policy == args.policy {
        return Ok(Answer::Group { grant: there.grant(), revision: there.revision });
    }
    Err(Refusal::Exists { what: "protection group".into(), name: args.policy.name.to_string() }.into())
}

/// What the policy covers, and the group's canary.
fn covered(policy: &policy::Group) -> Coverage {
    let mut coverage = policy.coverage.clone();
    coverage.topics.push(Pattern::Exact(canary(&policy.name).to_string()));
    coverage
}

fn check_patterns(policy: &policy::Group) -> Applied<()> {
    let coverage = &policy.coverage;
    let most = coverage.topics.len().max(coverage.consumer_groups.len());
    if most > limits::PATTERNS_PER_GROUP_MAX {
        return Err(Refusal::too_many("patterns", most, limits::PATTERNS_PER_GROUP_MAX).into());
    }
    for pattern in coverage.topics.iter().chain(&coverage.consumer_groups) {
        if let Pattern::Exact(text) | Pattern::Prefix(text) = pattern {
            check_text("pattern", text)?;
        }
    }
    for pattern in &coverage.topics {
        if let Pattern::Exact(text) | Pattern::Prefix(text) = pattern
            && text.starts_with("__")
        {
            return Err(Refusal::unusable("pattern", text, "internal topics belong to no group's user").into());
        }
    }
    Ok(())
}

/// Whether the owner keeps the group's data also under this policy.
fn check_owner(policy: &policy::Group, owner: &RegionName) -> Applied<()> {
    if policy.members().any(|member| member == owner) {
        return Ok(());
    }
    let reason = "it owns what the group covers but is neither home nor standby; name it or switch over first".into();
    Err(Refusal::NotEligible { group: policy.name.clone(), region: owner.clone(), reason }.into())
}
