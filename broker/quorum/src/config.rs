use crate::{NodeId, StartError};
use model::BrokerSlot;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// How a node of a quorum starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: NodeId,
    /// The quorum's name; nodes of another one are refused.
    pub cluster: String,
    /// Where it keeps its log and snapshots.
    pub dir: PathBuf,
    /// Whether `id` has never served, so that an empty directory is what it should have: when the cluster is founded, and
    /// for an id that was just allotted to a node that lost its disk. `false` everywhere else, or a node that lost its
    /// disk would vote a second time under its old id.
    pub is_new: bool,
    /// Where it listens for the others; `None` for a quorum of one.
    pub listen: Option<SocketAddr>,
    /// Where nodes are reached, by slot, if not at the address in the membership.
    pub addresses: BTreeMap<BrokerSlot, String>,
    /// How fast it notices that the leader is gone.
    pub timing: Timing,
    /// After how many log entries a snapshot is taken.
    pub snapshot_every: u64,
    /// How many entries that a snapshot covers stay in the log, for nodes that lag a little.
    pub entries_kept: u64,
    /// How long a proposal, a confirmation or a read may take unless the caller says otherwise.
    pub patience: Duration,
}

impl Config {
    /// The node `id` of `cluster` in `dir`, with the defaults for a local network.
    pub fn new(id: NodeId, cluster: impl Into<String>, dir: impl Into<PathBuf>) -> Self {
        Self {
            id,
            cluster: cluster.into(),
            dir: dir.into(),
            is_new: false,
            listen: None,
            addresses: BTreeMap::new(),
            timing: Timing::default(),
            snapshot_every: 5000,
            entries_kept: 1000,
            patience: Duration::from_secs(5),
        }
    }
}

/// How fast a leader's end is noticed. Over a wide-area network both grow with the round trip: an election below ten
/// round trips is not stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often the leader is heard of, and how long one message may take.
    pub heartbeat: Duration,
    /// How long after the leader's last word another node stands for election, chosen at random. Until the shorter time
    /// has passed, no node votes for another one.
    pub election: Range<Duration>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            election: Duration::from_millis(600)..Duration::from_millis(1200),
        }
    }
}

impl Config {
    pub(crate) fn raft(&self) -> Result<openraft::Config, StartError> {
        let millis = |duration: Duration| duration.as_millis() as u64;
        let lease = millis(self.timing.election.start);
        if self.timing.election.is_empty() || lease < 2 * millis(self.timing.heartbeat) {
            return Err(StartError::Timing(format!("{:?}; an election takes two heartbeats at least", self.timing)));
        }
        let config = openraft::Config {
            cluster_name: self.cluster.clone(),
            heartbeat_interval: millis(self.timing.heartbeat),
            // openraft's maximum is also its leader's lease; when to stand for election is ours to say.
            election_timeout_min: lease - 1,
            election_timeout_max: lease,
            enable_elect: false,
            install_snapshot_timeout: 30_000,
            snapshot_max_chunk_size: 1 << 20,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_every.max(1)),
            max_in_snapshot_log_to_keep: self.entries_kept,
            replication_lag_threshold: self.snapshot_every.saturating_add(self.entries_kept).max(1),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| StartError::Timing(error.to_string()))
    }
}
