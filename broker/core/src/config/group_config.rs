use super::keys::row;
use super::{ConfigError, Key, Kind};
use crate::group::Settings;
use model::GroupId;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often members of a group are expected.
pub const GROUP_HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
/// How long they may be silent.
pub const GROUP_SESSION: &str = "consumer.session.timeout.ms";

/// Every key of a consumer group's own configuration, by name (KIP-848, KIP-1043). A group that does not say takes what
/// the broker was started with.
#[rustfmt::skip]
pub const GROUP_KEYS: &[Key] = &[
    row(GROUP_HEARTBEAT, "5000", Kind::Int { min: 100, max: 600_000 }, "How often members of the consumer protocol are expected."),
    row(GROUP_SESSION, "45000", Kind::Int { min: 1000, max: 1_800_000 }, "How long a member of the consumer protocol may be silent."),
];

/// The own entries of every group that has some, by name.
pub type GroupEntries = BTreeMap<GroupId, BTreeMap<String, String>>;

/// The key of that name.
pub fn group_key(name: &str) -> Option<&'static Key> {
    GROUP_KEYS.iter().find(|key| key.name == name)
}

/// What a group says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupConfig {
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval: Option<Duration>,
    /// `consumer.session.timeout.ms`.
    pub session_timeout: Option<Duration>,
}

impl GroupConfig {
    /// What `entries` say; what cannot be read says nothing.
    pub fn of(entries: &BTreeMap<String, String>) -> Self {
        let millis = |name| entries.get(name)?.parse().ok().map(Duration::from_millis);
        Self { heartbeat_interval: millis(GROUP_HEARTBEAT), session_timeout: millis(GROUP_SESSION) }
    }

    /// What holds for the group where `settings` hold for others. A member is expected three times in a session at least
    /// where the two numbers do not fit together, as when each was changed without knowing of the other.
    pub fn over(self, settings: &Settings) -> Settings {
        let session = self.session_timeout.unwrap_or(settings.consumer_session_timeout);
        let interval = self.heartbeat_interval.unwrap_or(settings.consumer_heartbeat_interval);
        Settings {
            consumer_session_timeout: session,
            consumer_heartbeat_interval: if interval < session { interval } else { session / 3 },
            ..settings.clone()
        }
    }
}

/// Checks the own entries of a group that otherwise is as `settings` say.
///
/// # Errors
/// [`ConfigError`] for the first entry that cannot be used, or when members would be expected too late.
pub fn check_group(entries: &BTreeMap<String, String>, settings: &Settings) -> Result<(), ConfigError> {
    for (name, value) in entries {
        group_key(name).ok_or_else(|| ConfigError::UnknownGroupKey { name: name.clone() })?.check(value)?;
    }
    let own = GroupConfig::of(entries);
    let session = own.session_timeout.unwrap_or(settings.consumer_session_timeout);
    let interval = own.heartbeat_interval.unwrap_or(settings.consumer_heartbeat_interval);
    match interval < session {
        true => Ok(()),
        false => Err(ConfigError::LateHeartbeat { interval, session }),
    }
}

/// The value of `key` in a group that does not say.
pub fn group_default(key: &Key, settings: &Settings) -> String {
    let given = match key.name {
        GROUP_SESSION => settings.consumer_session_timeout,
        _ => settings.consumer_heartbeat_interval,
    };
    given.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn check(all: &[(&str, &str)]) -> Result<(), ConfigError> {
        check_group(&entries(all), &Settings::default())
    }

    #[test]
    fn the_defaults_are_what_a_coordinator_has() {
        for key in GROUP_KEYS {
            assert_eq!(group_default(key, &Settings::default()), key.default);
            assert_eq!(key.check(key.default), Ok(()));
        }
    }

    #[test]
    fn what_a_group_says_goes_before_what_others_have() {
        let own = GroupConfig::of(&entries(&[(GROUP_SESSION, "6000")])).over(&Settings::default());
        assert_eq!(own.consumer_session_timeout, Duration::from_secs(6));
        assert_eq!(own.consumer_heartbeat_interval, Duration::from_secs(5));
        assert_eq!(GroupConfig::default().over(&Settings::default()), Settings::default());
    }

    #[test]
    fn members_are_expected_within_their_session_even_where_the_two_numbers_do_not_fit() {
        let own = GroupConfig::of(&entries(&[(GROUP_SESSION, "3000")])).over(&Settings::default());
        assert_eq!(own.consumer_heartbeat_interval, Duration::from_secs(1));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(check(&[(GROUP_SESSION, "6000"), (GROUP_HEARTBEAT, "300")]), Ok(()));
        assert!(matches!(check(&[(GROUP_SESSION, "5000")]), Err(ConfigError::LateHeartbeat { .. })));
        assert!(matches!(check(&[(GROUP_SESSION, "soon")]), Err(ConfigError::Value { .. })));
        assert!(matches!(check(&[(GROUP_SESSION, "999")]), Err(ConfigError::Value { .. })));
        assert!(matches!(check(&[("retention.ms", "1")]), Err(ConfigError::UnknownGroupKey { .. })));
    }
}
