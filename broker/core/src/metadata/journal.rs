use super::{Answer, Image, Refusal};
use model::{Done, OwnershipEpoch, ProtectionGroup, RunId, StepId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many orders are remembered; the runs that ended longest ago are forgotten first.
pub(super) const ORDERS_MAX: usize = 2_000;

/// One order that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournaledOrder {
    /// The group it was about.
    pub group: ProtectionGroup,
    /// The grant it was given under.
    pub ownership_epoch: OwnershipEpoch,
    /// What was answered.
    pub done: Done,
    /// When.
    pub at: Timestamp,
}

/// The orders carried out, one entry per (run, step): what makes an order that comes twice have one effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    runs: BTreeMap<RunId, BTreeMap<StepId, JournaledOrder>>,
}

impl Journal {
    /// The order, if it was carried out.
    pub fn order(&self, run: &RunId, step: &StepId) -> Option<&JournaledOrder> {
        self.runs.get(run)?.get(step)
    }

    /// All of them.
    pub fn orders(&self) -> impl Iterator<Item = (&RunId, &StepId, &JournaledOrder)> {
        self.runs.iter().flat_map(|(run, steps)| steps.iter().map(move |(step, order)| (run, step, order)))
    }

    /// Notes `order`; answers the first answer ever noted for that run and step.
    fn note(&mut self, run: RunId, step: StepId, order: JournaledOrder) -> Done {
        let noted = self.runs.entry(run.clone()).or_default().entry(step).or_insert(order).done.clone();
        self.trim(&run);
        noted
    }

    fn trim(&mut self, current: &RunId) {
        while self.runs.values().map(BTreeMap::len).sum::<usize>() > ORDERS_MAX {
            let newest = |steps: &BTreeMap<StepId, JournaledOrder>| steps.values().map(|order| order.at).max();
            let others = self.runs.iter().filter(|(run, _)| *run != current);
            let Some(oldest) = others.min_by_key(|(_, steps)| newest(steps)).map(|(run, _)| run.clone()) else {
                return;
            };
            self.runs.remove(&oldest);
        }
    }
}

impl Image {
    pub(super) fn journal_order(
        &mut self,
        run: RunId,
        step: StepId,
        group: ProtectionGroup,
        ownership_epoch: OwnershipEpoch,
        done: Done,
        at: Timestamp,
    ) -> Result<Answer, Refusal> {
        if let Some(known) = self.journal.order(&run, &step) {
            return Ok(Answer::Journaled(known.done.clone()));
        }
        self.group_at(&group, ownership_epoch)?;
        let order = JournaledOrder { group, ownership_epoch, done, at };
        Ok(Answer::Journaled(Arc::make_mut(&mut self.journal).note(run, step, order)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{founded, grant, name};
    use super::*;

    fn journal(image: &mut Image, run: &str, epoch: u32, done: Done, at: i64) -> Result<Answer, Refusal> {
        let (run, step) = (RunId::new(run).unwrap(), StepId::new("seal").unwrap());
        image.journal_order(run, step, name("orders"), OwnershipEpoch(epoch), done, Timestamp(at))
    }

    #[test]
    fn an_order_that_comes_twice_is_answered_with_the_first_answer() {
        let mut image = founded();
        image.obey(1, grant("orders", "r2", 1)).unwrap();
        let first = Done::Sealed { partitions: vec![] };
        assert_eq!(journal(&mut image, "a", 1, first.clone(), 1), Ok(Answer::Journaled(first.clone())));
        assert_eq!(journal(&mut image, "a", 1, Done::Ok, 2), Ok(Answer::Journaled(first.clone())));
        image.obey(2, grant("orders", "r3", 2)).unwrap();
        assert_eq!(journal(&mut image, "a", 1, Done::Ok, 3), Ok(Answer::Journaled(first)));
        assert!(matches!(journal(&mut image, "b", 1, Done::Ok, 4), Err(Refusal::Outdated { .. })));
    }

    #[test]
    fn the_runs_that_ended_longest_ago_are_forgotten_first() {
        let mut image = founded();
        image.obey(1, grant("orders", "r2", 1)).unwrap();
        for run in 0..=ORDERS_MAX {
            journal(&mut image, &format!("run-{run}"), 1, Done::Ok, run as i64).unwrap();
        }
        let step = StepId::new("seal").unwrap();
        assert_eq!(image.journal().orders().count(), ORDERS_MAX);
        assert!(image.journal().order(&RunId::new("run-0").unwrap(), &step).is_none());
        assert!(image.journal().order(&RunId::new("run-1").unwrap(), &step).is_some());
    }
}
