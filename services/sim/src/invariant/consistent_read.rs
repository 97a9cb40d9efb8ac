use super::{Fact, Invariant, View};

/// What a consumer reads is committed and never changes, whichever replica it asks (I5).
pub(super) struct ConsistentRead;

impl Invariant for ConsistentRead {
    fn name(&self) -> &'static str {
        "consistent-read"
    }

    fn see(&mut self, fact: &Fact<'_>, view: &View<'_>) -> Result<(), String> {
        let Fact::Read { partition, at, entry } = fact else { return Ok(()) };
        let committed = view.history.partitions[*partition].committed.get(*at);
        if committed == Some(entry) {
            return Ok(());
        }
        Err(format!("{entry:?} is read at offset {at}; committed is {committed:?}"))
    }
}
