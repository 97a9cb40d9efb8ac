//! Which regions answer, as far as following their leaders tells. It moves clients between regions that all take writes;
//! where one region owns, the council says who.

use crate::PerRegion;
use env::BootInstant;
use model::RegionName;
use std::time::Duration;

/// A region that was lost answers for so long before clients are sent to it again: it has heard by then of most of what
/// they wrote elsewhere, and one that comes and goes does not take them to and fro.
pub(crate) const RETURN_AFTER: Duration = Duration::from_secs(10);

/// The regions that were lost, each with since when it answers again. One that was never asked counts as there.
#[derive(Debug, Default)]
pub(crate) struct Reach(PerRegion<Option<BootInstant>>);

impl Reach {
    /// It does not answer. Whether that is news.
    pub(crate) fn lost(&mut self, region: &RegionName) -> bool {
        self.0.insert(region.clone(), None).is_none()
    }

    /// It answers at `now`. Whether it counts as there again from now on.
    pub(crate) fn heard(&mut self, region: &RegionName, now: BootInstant) -> bool {
        let Some(since) = self.0.get_mut(region) else { return false };
        let is_back = now.since(*since.get_or_insert(now)) >= RETURN_AFTER;
        if is_back {
            self.0.remove(region);
        }
        is_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_was_lost_has_to_answer_for_a_while() {
        let (mut reach, region) = (Reach::default(), RegionName::new("r1").unwrap());
        let at = |seconds| BootInstant::after_boot(Duration::from_secs(seconds));
        assert!(!reach.heard(&region, at(1)), "it was never lost");
        assert!(reach.lost(&region) && !reach.lost(&region));
        assert!(!reach.heard(&region, at(20)) && !reach.heard(&region, at(29)));
        assert!(!reach.lost(&region), "it is lost still, and begins again");
        assert!(!reach.heard(&region, at(31)) && !reach.heard(&region, at(40)));
        assert!(reach.heard(&region, at(41)));
        assert!(!reach.heard(&region, at(42)) && reach.lost(&region));
    }
}
