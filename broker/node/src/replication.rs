//! Replication inside a region: brokers fetch what they follow from those who lead it.
//!
//! ```text
//!   follower                                      leader
//!   Fetcher --ReplicaFetch(wishes)-->  Session: look at the log, count what is held
//!      ^  <---- records ------------   Serving: wait for news, read up to the durable end
//!      |
//!   append -> flusher -> News --ReplicaProgress(durable)--> count: watermark, acks, in-sync set
//! ```
//!
//! There are a few connections per pair of brokers, each with a session: idle partitions are not spoken of, and one
//! partition in trouble keeps no other waiting. The next fetch goes out as soon as records are in the page cache; what
//! became durable is told beside it, so that neither waits for the other.

mod fetcher;
mod followers;
mod in_sync;
mod serving;
mod session;

pub(crate) use fetcher::Fetchers;
pub(crate) use followers::Followers;
pub(crate) use serving::{progress, start};

use crate::Broker;
use broker_core::follower::Fence;
use model::{CopyTerm, LeaderEpoch};

impl Broker {
    /// Starts what replication needs to run all the time.
    pub(crate) fn replicate(&self) {
        self.spawn(self.clone().keep_in_sync_sets());
    }
}

/// How a leadership is written: whether it is a copy's, and its number.
fn fence_fields(fence: Fence) -> (bool, i64) {
    match fence {
        Fence::Term(term) => (true, i64::try_from(term.0).unwrap_or(i64::MAX)),
        Fence::Epoch(epoch) => (false, i64::from(epoch.0)),
    }
}

/// The leadership that is written so; `None` when no leadership is.
fn fence_of((is_copy, number): (bool, i64)) -> Option<Fence> {
    if is_copy {
        return u64::try_from(number).ok().map(|term| Fence::Term(CopyTerm(term)));
    }
    i32::try_from(number).ok().map(|epoch| Fence::Epoch(LeaderEpoch(epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leadership_is_read_as_it_was_written() {
        for fence in [Fence::Term(CopyTerm(7)), Fence::Epoch(LeaderEpoch(4096))] {
            assert_eq!(fence_of(fence_fields(fence)), Some(fence));
        }
        assert_eq!(fence_of((false, 1 << 40)), None);
        assert_eq!(fence_of((true, -1)), None);
    }
}
