//! What the control plane asks about topics of active-active groups, of the broker.

use broker::{ActivePartition, Broker, Dispute, SettleFailure};
use control_plane::ports::{self, ConflictAnswer, ConflictAsk, ConflictRefusal, Disputed};
use mirror::active::{Behind, Lag};

/// Answers `ask`.
///
/// # Errors
/// [`ConflictRefusal`] as the broker refuses.
pub(super) async fn answer(broker: &Broker, lag: &Lag, ask: ConflictAsk) -> Result<ConflictAnswer, ConflictRefusal> {
    match ask {
        ConflictAsk::List { from, max } => {
            let page = broker.conflicts(from, max as usize).await.map_err(not_now)?;
            Ok(ConflictAnswer::List { conflicts: page.conflicts, next: page.next })
        }
        ConflictAsk::Disputes => {
            let disputes = broker.disputes().await.map_err(not_now)?;
            Ok(ConflictAnswer::Disputes(disputes.into_iter().map(disputed).collect()))
        }
        ConflictAsk::Settle { topic, partition, key, choice, known } => {
            let settled = broker.settle_dispute((&topic, partition), key, choice, known).await;
            settled.map(|settled| ConflictAnswer::Settled(settled.offset)).map_err(refused)
        }
        ConflictAsk::Partitions => {
            let known = broker.active_partitions().into_iter();
            Ok(ConflictAnswer::Partitions(known.map(|known| shown(known, lag)).collect()))
        }
    }
}

fn not_now(error: impl ToString) -> ConflictRefusal {
    ConflictRefusal::NotNow(error.to_string())
}

fn refused(failure: SettleFailure) -> ConflictRefusal {
    match failure {
        SettleFailure::Unknown(partition) => ConflictRefusal::Unknown(partition.to_string()),
        SettleFailure::Choice(what) => ConflictRefusal::Changed(what),
        SettleFailure::Unavailable(what) => ConflictRefusal::NotNow(what),
    }
}

fn disputed(dispute: Dispute) -> Disputed {
    let (topic, partition) = (dispute.partition.topic, dispute.partition.partition);
    Disputed { topic, partition, key: dispute.key_bytes, versions: dispute.versions }
}

fn shown(known: ActivePartition, lag: &Lag) -> ports::ActivePartition {
    let behind = lag.behind((known.topic_id, known.partition.partition), &known.received).into_iter();
    let behind = behind.map(|Behind { origin, records_max, time }| ports::Behind { origin, records_max, time });
    ports::ActivePartition {
        topic: known.partition.topic,
        partition: known.partition.partition,
        received: known.received.iter().collect(),
        behind: behind.collect(),
        records: known.records,
        bytes: known.bytes,
        bytes_taken: known.bytes_taken,
        repeats: known.repeats,
    }
}
