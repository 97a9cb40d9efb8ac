use super::{Fact, Invariant, View};

/// Whoever begins to lead has all that was committed under earlier leaderships (I1). A broker may hear late that it was
/// elected, when others lead after it.
pub(super) struct LeaderComplete;

impl Invariant for LeaderComplete {
    fn name(&self) -> &'static str {
        "leader-complete"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Led { partition, broker, epoch } = fact else { return Ok(()) };
        let log = &view.disks[*broker].logs[*partition];
        let promised = &view.history.partitions[*partition];
        let committed = promised.committed.iter().zip(&promised.committed_under);
        let mut earlier =
            committed.enumerate().filter(|(_, (_, under))| *under < epoch).map(|(at, (known, _))| (at, known));
        let lacks = earlier.find(|(at, known)| log.entry(*at) != Some(**known));
        match lacks {
            None => Ok(()),
            Some((at, known)) => {
                let has = log.entry(at);
                Err(format!("broker {broker} leads under {epoch} with {has:?} at offset {at}; committed is {known:?}"))
            }
        }
    }
}
