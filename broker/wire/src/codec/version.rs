use std::fmt;

/// The version of a message, and whether that version has the flexible encoding (KIP-482: compact lengths, tags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Kafka's number of it.
    pub number: i16,
    /// Whether lengths are compact and structures end with tagged fields.
    pub flexible: bool,
}

/// An inclusive range of versions of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Versions {
    /// The oldest.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

impl Versions {
    /// The range from `min` to `max`, both included.
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` is one of them.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The newest version both ranges have, if they meet.
    pub fn newest_common(self, other: Self) -> Option<i16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }

    /// Every version, oldest first.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_needs_an_overlap() {
        let ours = Versions::new(3, 13);
        assert_eq!(ours.newest_common(Versions::new(0, 9)), Some(9));
        assert_eq!(ours.newest_common(Versions::new(5, 20)), Some(13));
        assert_eq!(ours.newest_common(Versions::new(0, 2)), None);
        assert_eq!(ours.newest_common(Versions::new(14, 15)), None);
    }
}
