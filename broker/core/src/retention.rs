//! How far the records of a partition may be retired or compacted while copies in other regions follow it.
//!
//! ```text
//!      outlived by retention
//!   |-------------------------|
//!   start       floor              high watermark
//!     | gone at once | held for links |
//! ```
//!
//! Only the owner retires and compacts by its configuration. A copy follows its source's log start and nothing else:
//! what it still holds above that may be the only version left of it when the source is lost. A record that somebody
//! deleted (DeleteRecords) is not held for anybody. Retirement and compaction are held back by the same limits: time, bytes,
//! and the space left on the disk.

use model::{ByteCount, Offset, RegionName};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long records are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// By age (`retention.ms`); `None` for ever.
    pub age_max: Option<Duration>,
    /// By size (`retention.bytes`); `None` for no limit.
    pub bytes_max: Option<ByteCount>,
}

/// How much longer they are kept for a link that has not got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// By age.
    pub age: Duration,
    /// By size.
    pub bytes: ByteCount,
}

impl Default for Hold {
    fn default() -> Self {
        Self { age: Duration::from_secs(24 * 3600), bytes: ByteCount::mib(10 * 1024) }
    }
}

/// One go of retention: what has outlived `keep` and lies below `limit` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What is kept.
    pub keep: Keep,
    /// Nothing goes above.
    pub limit: Offset,
}

/// What the links of a partition have said: below the offset the region's whole in-sync set has everything on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    durable: BTreeMap<RegionName, Offset>,
}

impl Links {
    /// The link of `region` has everything below `durable`. It may be less than before: a copy is truncated or made
    /// again.
    pub fn note(&mut self, region: RegionName, durable: Offset) {
        self.durable.insert(region, durable);
    }

    /// Forgets what was said, for it was said to another leader.
    pub fn clear(&mut self) {
        self.durable.clear();
    }

    /// Below it every one of `standbys` has everything. One that was not heard of yet may have nothing.
    pub fn floor(&self, standbys: &[RegionName]) -> Offset {
        let durable = |region| self.durable.get(region).copied().unwrap_or(Offset::ZERO);
        standbys.iter().map(durable).min().unwrap_or(Offset(i64::MAX))
    }
}

impl Keep {
    fn held(self, hold: Hold) -> Self {
        Self {
            age_max: self.age_max.map(|age| age.saturating_add(hold.age)),
            bytes_max: self.bytes_max.map(|bytes| ByteCount(bytes.0.saturating_add(hold.bytes.0))),
        }
    }
}

/// What retention does: what every link has goes when it has outlived `keep`, the rest when it has outlived that by
/// `hold` too. With a disk that is short of space nothing waits for a link: the region goes before its copy.
pub fn passes(keep: Keep, hold: Hold, high_watermark: Offset, floor: Offset, is_short: bool) -> [Pass; 2] {
    let later = if is_short { keep } else { keep.held(hold) };
    [Pass { keep, limit: high_watermark.min(floor) }, Pass { keep: later, limit: high_watermark }]
}

/// Below it compaction may change what is `stable`: what every link has, and what the hold has `expired` for. With a disk
/// that is short of space nothing waits for a link.
///
/// What is cleaned above a link's floor may leave its copy a gap: it hears of that by the log's [`model::Baseline`].
pub fn clean_limit(stable: Offset, floor: Offset, expired: Offset, is_short: bool) -> Offset {
    if is_short { stable } else { stable.min(floor.max(expired)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionName {
        RegionName::new(name).unwrap()
    }

    #[test]
    fn the_slowest_standby_says_how_far() {
        let mut links = Links::default();
        links.note(region("r2"), Offset(70));
        links.note(region("r3"), Offset(50));
        let floor =
            |links: &Links, names: &[&str]| links.floor(&names.iter().map(|name| region(name)).collect::<Vec<_>>());
        assert_eq!(floor(&links, &["r2", "r3"]), Offset(50));
        assert_eq!(floor(&links, &["r2"]), Offset(70), "a region that is no standby any more is not waited for");
        assert_eq!(floor(&links, &["r2", "r4"]), Offset(0), "one that was not heard of may have nothing");
        assert_eq!(floor(&links, &[]), Offset(i64::MAX));
        links.note(region("r2"), Offset(10));
        assert_eq!(floor(&links, &["r2"]), Offset(10), "a copy that is made again begins anew");
        links.clear();
        assert_eq!(floor(&links, &["r2"]), Offset(0));
    }

    #[test]
    fn records_wait_for_a_link_as_long_as_the_hold_lasts() {
        let keep = Keep { age_max: Some(Duration::from_secs(10)), bytes_max: None };
        let hold = Hold { age: Duration::from_secs(5), bytes: ByteCount(7) };
        let [first, second] = passes(keep, hold, Offset(100), Offset(40), false);
        assert_eq!((first.keep, first.limit), (keep, Offset(40)));
        assert_eq!((second.keep.age_max, second.keep.bytes_max), (Some(Duration::from_secs(15)), None));
        assert_eq!(second.limit, Offset(100));
        let [_, second] = passes(keep, hold, Offset(100), Offset(40), true);
        assert_eq!((second.keep, second.limit), (keep, Offset(100)));
        let sized = Keep { age_max: None, bytes_max: Some(ByteCount(10)) };
        assert_eq!(passes(sized, hold, Offset(100), Offset(40), false)[1].keep.bytes_max, Some(ByteCount(17)));
    }

    #[test]
    fn compaction_waits_for_a_link_as_long_as_the_hold_lasts() {
        let limit = |floor, expired, is_short| clean_limit(Offset(100), Offset(floor), Offset(expired), is_short).0;
        assert_eq!(limit(40, 0, false), 40);
        assert_eq!(limit(40, 70, false), 70, "the hold is over");
        assert_eq!(
            (limit(i64::MAX, 0, false), limit(0, 200, false)),
            (100, 100),
            "nothing is cleaned that may be undone"
        );
        assert_eq!(limit(40, 0, true), 100, "the region goes before its copy");
    }
}
