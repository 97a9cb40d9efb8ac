//! The ledger of commits in the target cluster, where the commits are: a link that has lost its directory still knows which of
//! them are its own.

use super::{AttachedError, GroupSync, Seat, Written};
use crate::attached::Side;
use crate::attached::table::{Table, unless_refused};
use mirror_core::attached::chart::Record;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::client::ClientError;

/// The topic, and what is known to be in it.
pub(super) struct KeptLedger {
    table: Table,
    there: BTreeMap<Seat, Written>,
    is_made: bool,
}

impl GroupSync {
    /// Keeps the ledger in the topic `table` of the target, too, and takes it from there when the directory had none. Other
    /// links between the same clusters keep theirs there as well: what counts are topics that are `ours`.
    pub(in crate::attached) async fn keep_in(
        &mut self,
        side: &Side,
        table: &str,
        ours: impl Fn(&str) -> bool,
    ) -> Result<(), AttachedError> {
        let kept = KeptLedger::open(Table::new(&Arc::new(side.cluster()), table)).await;
        let mut kept = kept.map_err(AttachedError::of_target)?;
        kept.there.retain(|seat, _| ours(&seat.topic));
        if !self.is_found && !kept.there.is_empty() {
            tracing::warn!(commits = kept.there.len(), "the ledger of commits is taken from the target cluster");
            self.ledger = kept.there.clone();
        }
        self.kept = Some(kept);
        Ok(())
    }
}

impl KeptLedger {
    async fn open(table: Table) -> Result<Self, ClientError> {
        let mut there = BTreeMap::new();
        unless_refused(table.topic(), table.read(|record| take(&mut there, &record)).await)?;
        Ok(Self { table, there, is_made: false })
    }

    /// Writes what has changed. What cannot be written now is written with the next change: the directory has it.
    pub(super) async fn follow(&mut self, ledger: &BTreeMap<Seat, Written>) {
        match self.try_to_follow(ledger).await {
            Ok(()) => self.there.clone_from(ledger),
            Err(error) => tracing::warn!(%error, "the ledger of commits is not kept in the target cluster"),
        }
    }

    async fn try_to_follow(&mut self, ledger: &BTreeMap<Seat, Written>) -> Result<(), ClientError> {
        let records = changes(&self.there, ledger);
        if !records.is_empty() && !self.is_made {
            self.table.make().await?;
            self.is_made = true;
        }
        self.table.write(&records).await
    }
}

fn take(there: &mut BTreeMap<Seat, Written>, record: &Record) {
    let Ok(seat) = serde_json::from_str::<Seat>(&record.key) else { return };
    match record.value.as_deref().map(serde_json::from_slice) {
        Some(Ok(written)) => _ = there.insert(seat, written),
        Some(Err(_)) | None => _ = there.remove(&seat),
    }
}

fn changes(before: &BTreeMap<Seat, Written>, now: &BTreeMap<Seat, Written>) -> Vec<Record> {
    let changed = now.iter().filter(|(seat, written)| before.get(seat) != Some(written));
    let changed = changed.filter_map(|(seat, written)| entry(seat, serde_json::to_vec(written).ok()));
    let gone = before.keys().filter(|seat| !now.contains_key(seat));
    changed.chain(gone.filter_map(|seat| entry(seat, None))).collect()
}

fn entry(seat: &Seat, value: Option<Vec<u8>>) -> Option<Record> {
    Some(Record { key: serde_json::to_string(seat).ok()?, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Offset;

    #[test]
    fn changes_lead_from_one_ledger_to_the_other() {
        let seat = |group: &str| Seat { group: group.into(), topic: "orders".into(), partition: 1 };
        let before = BTreeMap::from([
            (seat("a/\"b\""), Written::committed(Offset(1))),
            (seat("b"), Written::committed(Offset(2))),
            (seat("c"), Written::committed(Offset(3))),
        ]);
        let mut now = before.clone();
        now.remove(&seat("a/\"b\""));
        now.insert(seat("b"), Written::committed(Offset(2)).intending(Some(Offset(2)), Offset(9)));
        let records = changes(&before, &now);
        assert_eq!(records.len(), 2, "what stays is not written again");
        let mut there = BTreeMap::new();
        changes(&BTreeMap::new(), &before).iter().chain(&records).for_each(|record| take(&mut there, record));
        assert_eq!(there, now);
    }
}
