use super::{Fact, Invariant, View};

/// No replica cuts off what is committed (I10).
pub(super) struct NoCommittedCut;

impl Invariant for NoCommittedCut {
    fn name(&self) -> &'static str {
        "no-committed-cut"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Cut { partition, broker, to, removed } = fact else { return Ok(()) };
        let committed = view.history.partitions[*partition].committed.get(*to..).unwrap_or_default();
        match committed.first().zip(removed.first()) {
            Some((known, removed)) if known == removed => {
                Err(format!("broker {broker} is cut at {to}, where {known:?} is committed"))
            }
            _ => Ok(()),
        }
    }
}
