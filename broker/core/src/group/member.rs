use super::{InstanceId, Join, Protocol, Token};
use bytes::Bytes;
use std::time::Duration;

/// A request of a member that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Join(Token),
    Sync(Token),
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) instance: Option<InstanceId>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    pub(super) waiting: Option<Waiting>,
    /// When it is taken for dead, unless it waits for us.
    pub(super) expires: Duration,
    /// Whether it has not been in any generation yet.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn joining(join: &Join) -> Self {
        Self {
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            waiting: None,
            expires: Duration::ZERO,
            is_new: true,
        }
    }

    /// Takes over what a member that joins again brings.
    pub(super) fn update(&mut self, join: &Join) {
        self.client_id.clone_from(&join.client_id);
        self.client_host.clone_from(&join.client_host);
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        self.protocols.clone_from(&join.protocols);
    }

    /// A sign of life.
    pub(super) fn refresh(&mut self, now: Duration) {
        self.expires = now + self.session_timeout;
    }

    pub(super) fn awaits_join(&self) -> bool {
        matches!(self.waiting, Some(Waiting::Join(_)))
    }

    /// When silence ends it; `None` while it is silent because we owe it an answer. A new one is not trusted so far.
    pub(super) fn deadline(&self) -> Option<Duration> {
        (self.is_new || self.waiting.is_none()).then_some(self.expires)
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|known| known.name == protocol);
        found.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| known.name == protocol)
    }
}
