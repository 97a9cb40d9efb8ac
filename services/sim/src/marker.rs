//! What has to happen in some run, or the runs have not tried what they are for.

use crate::named::named;
use std::collections::BTreeMap;

named! {
    /// Something worth trying.
    Marker {
        /// A replica was cut where it had left its leader's log.
        Truncated = "replica-truncated",
        /// A leader was elected after another one.
        Elected = "leader-elected",
        /// The heir with the largest tail was preferred to the first.
        LargestTailChosen = "largest-tail-chosen",
        /// A leader had a replica taken out of the in-sync set.
        IsrShrank = "isr-shrank",
        /// A leader had one taken in.
        IsrGrew = "isr-grew",
        /// A change of the in-sync set was refused.
        IsrRefused = "isr-change-refused",
        /// Nobody knew what became of a proposal.
        ProposalUnknown = "proposal-outcome-unknown",
        /// A fetch answer of another leadership or offset was dropped.
        StaleAnswerDropped = "stale-answer-dropped",
        /// A leader said that a follower's log had left its own.
        Diverged = "divergence-told",
        /// A follower of an earlier leadership was refused.
        FetchFenced = "fetch-of-old-epoch-refused",
        /// A follower knew of a leadership before its leader did, or after it had ended.
        FetchNotLed = "fetch-of-who-does-not-lead-refused",
        /// A word of an earlier session of a broker was refused.
        OldSessionRefused = "old-session-refused",
        /// acks=all was refused before the append.
        MinInsyncRefused = "min-isr-refusal",
        /// And after it.
        MinInsyncAfterAppend = "min-isr-refusal-after-append",
        /// An ack was withheld: the leader might not lead any more.
        AckWithheld = "ack-withheld",
        /// Acks ended with their leadership.
        AcksEnded = "acks-ended-with-leadership",
        /// A retry of a producer was found in the log.
        Duplicate = "duplicate-answered-with-original",
        /// The session of a broker was fenced.
        SessionFenced = "session-fenced",
        /// The words of a leader that hears nobody counted no more.
        DeafLeader = "deaf-leader-not-counted",
        /// A broker was told that its session is over, and registered again.
        RegisteredAgain = "registered-again",
        /// The last member of an in-sync set was fenced, and nobody led.
        LastMemberStayed = "last-member-stayed",
        /// A replica led that was eligible and not in sync.
        EligibleElected = "eligible-replica-elected",
        /// The last member of an in-sync set may have lost its end, and nobody may lead.
        LastMemberDoubted = "last-member-doubted",
        /// Another controller took office.
        ControllerChanged = "controller-changed",
        /// The broker whose controller was active before was fenced sooner than others would have been, or was stopping.
        PredecessorFenced = "predecessor-fenced",
        /// What an earlier controller said was refused.
        StaleControllerRefused = "stale-controller-refused",
        /// A broker crashed with records in its page cache only.
        CrashWithUnsynced = "crash-with-unsynced-tail",
        /// A batch was torn by a loss of power.
        TornBatch = "torn-batch",
        /// All brokers lost their power at once.
        PowerLost = "all-power-lost",
        /// A disk was replaced by an empty one.
        DiskReplaced = "disk-replaced",
        /// A sync failed.
        SyncFailed = "sync-failed",
        /// A broker was paused and went on.
        Paused = "paused-and-resumed",
        /// A broker was cut off in one direction.
        OneWayCut = "one-way-cut",
        /// A broker was cut off in both directions.
        Isolated = "isolated",
        /// A message was held back by a cut and arrived late.
        ArrivedLate = "held-message-arrived",
        /// A broker handed over what it led before it stopped.
        StoppedInOrder = "controlled-stop",
        /// The end of a partition was not told yet.
        EndNotKnown = "end-not-known-yet",
    }
}

/// How often each happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage<M: Copy + Ord = Marker>(BTreeMap<M, u64>);

impl<M: Copy + Ord> Default for Coverage<M> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<M: Copy + Ord> Coverage<M> {
    /// It happened.
    pub fn hit(&mut self, marker: M) {
        *self.0.entry(marker).or_default() += 1;
    }

    /// How often it happened.
    pub fn count(&self, marker: M) -> u64 {
        self.0.get(&marker).copied().unwrap_or_default()
    }

    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        for (marker, count) in &other.0 {
            *self.0.entry(*marker).or_default() += count;
        }
    }

    /// What of `all` never happened.
    pub fn missing_of(&self, all: &[M]) -> Vec<M> {
        all.iter().copied().filter(|marker| self.count(*marker) == 0).collect()
    }
}

impl Coverage {
    /// What never happened.
    pub fn missing(&self) -> Vec<Marker> {
        self.missing_of(Marker::ALL)
    }
}
