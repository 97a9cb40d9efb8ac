use serde::{Deserialize, Serialize};

/// What becomes of a group's copies when one of its topics is deleted and made again under its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetPolicy {
    /// What was copied is put aside for a day, and the new topic is copied from its beginning.
    #[default]
    Follow,
    /// What was copied is put aside for a day, and nothing of the new topic is copied before a person says so; until then its
    /// copies are no standby.
    Stop,
}

impl ResetPolicy {
    /// Whether it is what groups have that say nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
