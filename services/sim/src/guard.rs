//! The guards against loss, each of which can be taken away to see that it is needed.
//!
//! A guard is taken away outside the cores: the simulator feeds a core wrongly, does not do what it says, or does what it
//! refuses.

use crate::named::named;

named! {
    /// What keeps replication from losing or changing committed records.
    Guard {
        /// A diverged log is cut where the epochs part; without it, at its high watermark (KIP-101).
        TruncateByEpoch = "truncate-by-epoch-not-watermark",
        /// An answer of another leadership or to another fetch does not count (KAFKA-18991).
        DropStaleAnswer = "drop-stale-epoch-answer",
        /// The high watermark of an answer that shows a divergence does not count (KAFKA-14704).
        DivergenceFirst = "divergence-before-watermark",
        /// A replica counts for the watermark only while its log is a beginning of the leader's.
        CountAgreeingOnly = "count-agreeing-logs-only",
        /// While a change of the in-sync set is under way the larger set counts (KIP-497).
        MaximalIsr = "maximal-isr",
        /// A change whose outcome nobody knows is not taken for refused.
        UnknownIsNotRefused = "unknown-isr-change-is-not-refused",
        /// A change that finds the partition changed may have been made by an earlier try.
        ChangedIsNotRefused = "changed-partition-is-not-a-refusal",
        /// To join the in-sync set takes all that was there when the leadership began.
        JoinNeedsEpochStart = "join-needs-watermark-and-epoch-start",
        /// Too few in-sync replicas commit nothing (KIP-966).
        MinInsync = "min-insync-holds-the-watermark",
        /// An ack is for a set that is still large enough after the append.
        MinInsyncAfterAppend = "min-insync-after-append",
        /// A follower acknowledges what is on its disk.
        FetchOffsetIsFlushed = "fetch-offset-is-flushed",
        /// What a replica held in an earlier session of its broker does not count (KIP-903).
        SessionInProgress = "session-in-replica-progress",
        /// A fenced broker does not join an in-sync set (KIP-841).
        FencedNeverInIsr = "fenced-never-in-isr",
        /// A leader acknowledges nothing past the time for which it was told that it is alive.
        NoAckAfterNewEpoch = "no-ack-after-new-epoch",
        /// A broker starts fenced, and leads only in a new session.
        RestartBootsFenced = "restart-boots-fenced",
        /// Only a replica in sync is elected.
        ElectionOnlyFromIsr = "election-only-from-isr",
        /// A controller confirms its office before it says that a broker is alive.
        ConfirmOffice = "confirm-office-before-alive",
        /// A broker is fenced only after a silence that is longer than it may take itself for alive.
        FenceAfterLease = "fence-waits-out-the-lease",
        /// A leader that is to be replaced because it hears nobody is not told that it is alive: that might arrive yet.
        DeafNotToldAlive = "deaf-leader-not-told-alive",
        /// The end is not told before the leadership has committed what was there before it (KIP-207).
        EndAfterEpochStart = "end-not-told-before-epoch-start",
        /// What a producer wrote last is read from the log by every new leader.
        ProducersFromLog = "producer-state-follows-the-log",
        /// Who did not stop in order and acknowledged before the disk had it is counted on no more (KIP-966).
        UncleanIsDoubted = "unclean-restart-leaves-isr-and-elr",
        /// Who left the in-sync set is eligible only while too few are in it (KIP-966).
        EligibleOnlyBelowMin = "eligible-only-below-min-insync",
        /// A leader counts of its own log what is on its disk.
        OwnTailIsFlushed = "leader-counts-its-flushed-end",
    }
}
