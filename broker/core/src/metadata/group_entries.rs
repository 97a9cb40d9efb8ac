use super::{Answer, Image, Refusal};
use crate::config::{self, GroupEntries};
use model::GroupId;
use model::limits::CONFIGURED_GROUPS_MAX;
use std::sync::Arc;

impl Image {
    /// What consumer groups say themselves of how they are coordinated.
    pub fn group_entries(&self) -> &Arc<GroupEntries> {
        &self.group_entries
    }

    /// Sets or takes away entries of one group.
    pub(super) fn configure_group(
        &mut self,
        group: GroupId,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Answer, Refusal> {
        let mut own = self.group_entries.get(&group).cloned().unwrap_or_default();
        config::change_entries(&mut own, changes);
        if self.group_entries.get(&group).map_or(own.is_empty(), |known| *known == own) {
            return Ok(Answer::Unchanged);
        }
        let is_new = !self.group_entries.contains_key(&group);
        if is_new && self.group_entries.len() >= CONFIGURED_GROUPS_MAX {
            return Err(Refusal::TooManyConfiguredGroups { most: CONFIGURED_GROUPS_MAX });
        }
        let mut all = GroupEntries::clone(&self.group_entries);
        match own.is_empty() {
            true => all.remove(&group),
            false => all.insert(group, own),
        };
        self.group_entries = Arc::new(all);
        Ok(Answer::Applied)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;
    use crate::config::{GROUP_HEARTBEAT, GROUP_SESSION};

    fn apply(image: &mut Image, group: &str, changes: &[(&str, Option<&str>)]) -> Result<Answer, Refusal> {
        let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
        image.apply(Command::ConfigureGroup { group: GroupId::new(group), changes: changes.collect() })
    }

    #[test]
    fn entries_are_set_and_taken_away_and_survive_a_snapshot() {
        let mut image = Image::default();
        let both = [(GROUP_SESSION, Some("6000")), (GROUP_HEARTBEAT, Some("300"))];
        assert_eq!(apply(&mut image, "g", &both), Ok(Answer::Applied));
        assert_eq!(apply(&mut image, "g", &both), Ok(Answer::Unchanged));
        assert_eq!(apply(&mut image, "other", &[(GROUP_SESSION, None)]), Ok(Answer::Unchanged));
        let json = serde_json::to_string(&image).unwrap();
        assert_eq!(serde_json::from_str::<Image>(&json).unwrap(), image);
        assert_eq!(apply(&mut image, "g", &[(GROUP_SESSION, None)]), Ok(Answer::Applied));
        assert_eq!(image.group_entries()[&GroupId::new("g")].len(), 1);
        assert_eq!(apply(&mut image, "g", &[(GROUP_HEARTBEAT, None)]), Ok(Answer::Applied));
        assert!(image.group_entries().is_empty());
    }

    #[test]
    fn a_snapshot_from_before_has_none() {
        let mut json = serde_json::to_value(Image::default()).unwrap();
        json.as_object_mut().unwrap().remove("group_entries");
        assert!(serde_json::from_value::<Image>(json).unwrap().group_entries().is_empty());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let set = |value: &'static str| [(GROUP_SESSION.to_owned(), value.to_owned())].into();
        let full = (0..CONFIGURED_GROUPS_MAX).map(|n| (GroupId::new(n.to_string()), set("6000"))).collect();
        let mut image = Image::default();
        image.group_entries = Arc::new(full);
        let refused = apply(&mut image, "one more", &[(GROUP_SESSION, Some("6000"))]);
        assert_eq!(refused, Err(Refusal::TooManyConfiguredGroups { most: CONFIGURED_GROUPS_MAX }));
        assert_eq!(apply(&mut image, "0", &[(GROUP_SESSION, Some("7000"))]), Ok(Answer::Applied));
    }
}
