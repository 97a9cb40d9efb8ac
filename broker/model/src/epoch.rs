//! The numbers that fence: whoever holds an older one is refused.

use std::fmt;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// Moves forward to `other` if that is newer; never back.
            pub fn advance(&mut self, other: Self) {
                *self = (*self).max(other);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// Numbers the grants of a protection group to a region; fences every earlier owner. The first grant is 1.
    OwnershipEpoch(u32)
}
counter! {
    /// Numbers the leadership starts of a standby's copy inside its region. It fences replicas and links, stands in no
    /// batch and is shown to no client.
    CopyTerm(u64)
}
counter! {
    /// Numbers the changes of a protection group's durability class.
    ModeEpoch(u64)
}
counter! {
    /// Given by the council whenever a region or node starts from an empty disk; never reused. 0 is for foreign clusters.
    Incarnation(u16)
}

/// The leader epoch clients see: ownership epoch x 2^12 + n, so that (offset, leader epoch) is unique across regions.
///
/// Only the owner region allots these; `n` rises at every start of leadership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LeaderEpoch(pub i32);

/// All 4095 starts of one ownership epoch are used up; the council has to grant a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ownership epoch {0} has no leader epoch left; the region needs a new grant from the council")]
pub struct EpochExhausted(pub OwnershipEpoch);

impl LeaderEpoch {
    /// Kafka's "unknown".
    pub const NONE: Self = Self(-1);

    const STARTS_BITS: u32 = 12;

    /// The epoch of the `start`-th leadership under `ownership`.
    ///
    /// # Errors
    /// [`EpochExhausted`] when `start` does not fit.
    pub fn of(ownership: OwnershipEpoch, start: u32) -> Result<Self, EpochExhausted> {
        let fits = start < 1 << Self::STARTS_BITS && ownership.0 < 1 << (31 - Self::STARTS_BITS);
        fits.then_some(Self((ownership.0 << Self::STARTS_BITS | start) as i32)).ok_or(EpochExhausted(ownership))
    }

    /// The ownership epoch it was allotted under.
    pub const fn ownership(self) -> OwnershipEpoch {
        OwnershipEpoch(if self.0 < 0 { 0 } else { self.0 as u32 >> Self::STARTS_BITS })
    }

    /// Which leadership start under that ownership epoch it is.
    pub const fn start(self) -> u32 {
        if self.0 < 0 { 0 } else { self.0 as u32 & ((1 << Self::STARTS_BITS) - 1) }
    }

    /// The epoch of the next leadership start under the same ownership.
    ///
    /// # Errors
    /// [`EpochExhausted`] when there is none left.
    pub fn next(self) -> Result<Self, EpochExhausted> {
        Self::of(self.ownership(), self.start() + 1)
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_epoch_names_its_owner_and_start() {
        let epoch = LeaderEpoch::of(OwnershipEpoch(3), 7).unwrap();
        assert_eq!(epoch, LeaderEpoch(3 * 4096 + 7));
        assert_eq!((epoch.ownership(), epoch.start()), (OwnershipEpoch(3), 7));
    }

    #[test]
    fn an_exhausted_ownership_epoch_is_refused() {
        let last = LeaderEpoch::of(OwnershipEpoch(1), 4095).unwrap();
        assert_eq!(last.next(), Err(EpochExhausted(OwnershipEpoch(1))));
    }

    #[test]
    fn a_new_owner_is_above_every_start_of_the_old_one() {
        let last = LeaderEpoch::of(OwnershipEpoch(1), 4095).unwrap();
        assert!(LeaderEpoch::of(OwnershipEpoch(2), 0).unwrap() > last);
    }
}
