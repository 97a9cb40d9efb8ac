use super::BrokerEpoch;
use serde::{Deserialize, Serialize};

/// What a broker says of its process when it registers, so that it is known what its logs may lack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// A number of the process's own, drawn at its start (Kafka's incarnation id); 0 where it is not known.
    pub process: u64,
    /// The session that an earlier process stopped in, with all its logs on disk (KIP-966's previous broker epoch);
    /// `None` where it left no word of it.
    pub stopped_in: Option<BrokerEpoch>,
    /// Whether an acknowledgement waits for the page cache only, where a topic does not say what it waits for.
    pub flushes_late: bool,
    /// The newest rules it knows ([`RULES`](super::RULES)).
    pub rules: u32,
}

impl Boot {
    /// Whether nothing that was acknowledged in `session` by the process of `before` can be gone: it is the same process,
    /// or that one stopped in order. Whether the machine lost its power otherwise, nobody can tell.
    pub(super) fn continues(&self, before: &Self, session: BrokerEpoch) -> bool {
        let is_same = self.process != 0 && self.process == before.process;
        is_same || self.stopped_in == Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_process_and_one_after_an_orderly_stop_go_on() {
        let boot = |process, stopped_in: Option<u64>| {
            let stopped_in = stopped_in.map(BrokerEpoch);
            Boot { process, stopped_in, ..Boot::default() }
        };
        let (before, session) = (boot(7, None), BrokerEpoch(4));
        assert!(boot(7, None).continues(&before, session), "it was fenced and registers again");
        assert!(boot(8, Some(4)).continues(&before, session));
        assert!(!boot(8, None).continues(&before, session));
        assert!(!boot(8, Some(3)).continues(&before, session), "it has been started since that stop");
        assert!(!boot(0, None).continues(&boot(0, None), session), "nobody said which process it is");
    }
}
