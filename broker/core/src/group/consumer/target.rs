//! What a group reads, and who should own what of it.

use super::Topics;
use super::assignor::Subscriber;
use super::pattern::Pattern;
use super::state::{Matched, Member, State};
use crate::group::{GroupError, InstanceId, Moment};
use std::collections::BTreeSet;
use std::sync::Arc;

impl State {
    /// Finds out what the members' patterns hold for, also of those known before when the topics may have changed
    /// (`again`); patterns nobody reads by are dropped.
    ///
    /// # Errors
    /// [`GroupError::InvalidPattern`].
    pub(super) fn match_patterns(&mut self, now: Moment, topics: &Topics, again: bool) -> Result<(), GroupError> {
        let asked: BTreeSet<String> = self.members.values().filter_map(|member| member.pattern.clone()).collect();
        for pattern in asked {
            let known = self.patterns.get(&pattern);
            if known.is_some() && !again {
                continue;
            }
            let compiled = Pattern::compile(&pattern)?;
            let matched: BTreeSet<_> =
                topics.names().filter(|name| compiled.matches(name)).map(str::to_owned).collect();
            if known.is_none_or(|known| known.topics != matched) {
                self.patterns.insert(pattern, Arc::new(Matched { topics: matched, at: now.wall.0 }));
            }
        }
        self.drop_unread_patterns();
        Ok(())
    }

    /// A new group epoch, if there is a reason for one: the members or what they read have changed, or the topics have.
    pub(super) fn note_subscriptions(&mut self, changed: bool, topics: &Topics) {
        let hash = self.hash(topics);
        if changed || self.epoch == 0 || hash != self.metadata_hash {
            self.epoch += 1;
            self.metadata_hash = hash;
        }
    }

    /// FNV-1a over the topics that are read: name, identity, size. 0 is none.
    fn hash(&self, topics: &Topics) -> i64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut any = false;
        for name in self.subscribed() {
            let Some(topic) = topics.named(&name) else { continue };
            any = true;
            let bytes = name.bytes().chain([0]).chain(*topic.id.0.as_bytes()).chain(topic.partitions.to_be_bytes());
            hash = bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        }
        if any { hash as i64 } else { 0 }
    }

    /// Reckons the targets of this group epoch, if they are of an earlier one.
    pub(super) fn assign(&mut self, topics: &Topics) {
        if self.epoch <= self.target_epoch {
            return;
        }
        let subscriber = |(id, member): (_, &Arc<Member>)| Subscriber {
            instance: member.instance.as_ref().map(InstanceId::as_str).map(str::to_owned),
            topics: self.read_by(member, topics),
            before: (*self.target(id)).clone(),
        };
        let members = self.members.iter().map(|(id, member)| (id.clone(), subscriber((id, member)))).collect();
        for (id, part) in self.assignor().assign(&members) {
            let known = self.targets.get(&id);
            if known.is_none_or(|known| **known != part) {
                self.targets.insert(id, Arc::new(part));
            }
        }
        self.targets.retain(|id, _| self.members.contains_key(id));
        self.target_epoch = self.epoch;
    }
}
