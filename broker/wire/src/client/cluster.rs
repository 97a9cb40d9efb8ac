use super::security::{self, Opened, Security, SecurityFault};
use super::{ClientError, Outcome};
use crate::api::metadata;
use crate::codec::Request;
use crate::{ApiKey, ErrorCode};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// The first pause between two attempts; it doubles ...
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// ... up to this.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How a [`Cluster`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the client calls itself.
    pub client_id: String,
    /// How long connecting and one call may take.
    pub call_timeout: Duration,
    /// How long to try again, all attempts together.
    pub deadline: Duration,
    /// How connections are protected.
    pub security: Security,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: "farshore".to_owned(),
            call_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            security: Security::default(),
        }
    }
}

/// A Kafka cluster, reached through whichever of its brokers answers.
///
/// It keeps one connection per broker and remembers who leads and who coordinates. What fails in a way that may pass is
/// tried again, after a fresh look at the metadata, until [`Options::deadline`].
#[derive(Debug)]
pub struct Cluster {
    bootstrap: Vec<String>,
    options: Options,
    state: Mutex<State>,
}

/// A call that is tried again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is tried.
    pub doing: &'static str,
    /// Since when.
    pub since: Instant,
    /// Why the last attempt failed; `None` while the first is under way.
    pub last: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// The call under way, unless its last attempt succeeded.
    trouble: Option<Trouble>,
    /// Brokers by node id, as the last metadata had them.
    nodes: HashMap<i32, String>,
    links: HashMap<String, Arc<Link>>,
    leaders: HashMap<(String, i32), i32>,
    coordinators: HashMap<String, String>,
}

/// A connection and what its broker speaks.
#[derive(Debug)]
struct Link {
    opened: Opened,
    /// Whether a call was answered: the broker takes us for somebody who may ask.
    is_proven: AtomicBool,
}

impl Cluster {
    /// The cluster that `bootstrap` (`host:port`, several separated by commas) belongs to. Nothing is asked yet.
    pub fn new(bootstrap: &str, options: Options) -> Self {
        let bootstrap = bootstrap.split(',').map(|peer| peer.trim().to_owned()).filter(|peer| !peer.is_empty());
        Self { bootstrap: bootstrap.collect(), options, state: Mutex::default() }
    }

    /// How it behaves.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What does not succeed at the moment, from its first attempt on until one succeeds.
    pub fn trouble(&self) -> Option<Trouble> {
        self.state().trouble.clone()
    }

    /// The cluster as one of its brokers sees it: `topics`, or all of them.
    ///
    /// # Errors
    /// When no broker answers until the deadline.
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<metadata::Response, ClientError> {
        self.retry("metadata", || self.metadata_once(topics)).await
    }

    async fn metadata_once(&self, topics: Option<&[&str]>) -> Result<metadata::Response, ClientError> {
        let topic = |name: &&str| metadata::Topic { name: Some((*name).to_owned()), ..Default::default() };
        let request = metadata::Request {
            topics: topics.map(|names| names.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let response = self.call_any(&request).await?;
        self.learn(&response);
        Ok(response)
    }

    /// Asks whichever broker answers, in the newest version it and we speak.
    ///
    /// # Errors
    /// When none answers; there is no second attempt.
    pub async fn call_any<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let mut last = None;
        for peer in self.peers() {
            match self.call(&peer, request).await {
                Err(fault @ (ClientError::Connect { .. } | ClientError::Closed { .. })) => last = Some(fault),
                result => return result,
            }
        }
        Err(last.unwrap_or_else(|| ClientError::Connect {
            peer: "no bootstrap address".to_owned(),
            source: std::io::ErrorKind::AddrNotAvailable.into(),
        }))
    }

    /// Asks the broker at `peer`, in the newest version it and we speak.
    ///
    /// # Errors
    /// As [`Connection::call`]; there is no second attempt.
    pub async fn call<R: Request>(&self, peer: &str, request: &R) -> Result<R::Response, ClientError> {
        self.call_limited(peer, request, i16::MAX, Duration::ZERO).await
    }

    /// The same in no newer version than `newest`, with `extra` time for a request that waits at the broker.
    pub(super) async fn call_limited<R: Request>(
        &self,
        peer: &str,
        request: &R,
        newest: i16,
        extra: Duration,
    ) -> Result<R::Response, ClientError> {
        let link = self.link(peer).await?;
        let version = link.opened.version::<R>(newest)?;
        let result = link.opened.connection.call_within(self.options.call_timeout + extra, request, version).await;
        match result {
            Ok(response) => {
                link.is_proven.store(true, Ordering::Relaxed);
                Ok(response)
            }
            Err(error) => {
                self.drop_link(&link);
                Err(self.explained(error, &link).await)
            }
        }
    }

    /// A listener with SASL answers which versions it speaks, and ends the connection at anything else.
    async fn explained(&self, error: ClientError, link: &Link) -> ClientError {
        let is_puzzling = matches!(error, ClientError::Closed { .. })
            && self.options.security.probes
            && self.options.security.credentials.is_none()
            && !link.is_proven.load(Ordering::Relaxed);
        if !is_puzzling {
            return error;
        }
        let peer = link.opened.connection.peer();
        match security::mechanisms_asked_for(peer, &self.options).await {
            Some(offered) => ClientError::security(peer, SecurityFault::AsksForSasl { offered }),
            None => error,
        }
    }

    /// Sends what has no answer.
    pub(super) async fn send<R: Request>(&self, peer: &str, request: &R, newest: i16) -> Result<(), ClientError> {
        let link = self.link(peer).await?;
        link.opened.connection.send(request, link.opened.version::<R>(newest)?).await
    }

    async fn link(&self, peer: &str) -> Result<Arc<Link>, ClientError> {
        if let Some(link) = self.state().links.get(peer).filter(|link| link.is_usable()) {
            return Ok(link.clone());
        }
        let opened = security::open(peer, &self.options).await?;
        let link = Arc::new(Link { opened, is_proven: AtomicBool::new(false) });
        self.state().links.insert(peer.to_owned(), link.clone());
        Ok(link)
    }

    /// A connection that failed a call may have answers under way that nobody waits for; the next call gets a new one.
    fn drop_link(&self, link: &Arc<Link>) {
        let links = &mut self.state().links;
        let peer = link.opened.connection.peer();
        if links.get(peer).is_some_and(|known| Arc::ptr_eq(known, link)) {
            links.remove(peer);
        }
    }

    /// Where the leader of a partition listens.
    ///
    /// # Errors
    /// When the topic is unknown or nobody leads; there is no second attempt.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<String, ClientError> {
        if let Some(peer) = self.known_leader(topic, partition) {
            return Ok(peer);
        }
        let response = self.metadata_once(Some(&[topic])).await?;
        let found = response.topics.iter().find(|found| found.name.as_deref() == Some(topic));
        let found = found.ok_or(ClientError::Missing("Metadata"))?;
        found.error_code.ok().map_err(|code| ClientError::refused(ApiKey::Metadata, code, None))?;
        if !found.partitions.iter().any(|found| found.partition_index == partition) {
            let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            return Err(ClientError::refused(ApiKey::Metadata, code, Some(format!("{topic}-{partition}"))));
        }
        let nobody = || ClientError::NoLeader { topic: topic.to_owned(), partition };
        self.known_leader(topic, partition).ok_or_else(nobody)
    }

    fn known_leader(&self, topic: &str, partition: i32) -> Option<String> {
        let state = self.state();
        let node = state.leaders.get(&(topic.to_owned(), partition))?;
        state.nodes.get(node).cloned()
    }

    /// Forgets who leads a partition, so that the next attempt asks again.
    pub(super) fn forget_leader(&self, topic: &str, partition: i32) {
        self.state().leaders.remove(&(topic.to_owned(), partition));
    }

    pub(super) fn known_coordinator(&self, group: &str) -> Option<String> {
        self.state().coordinators.get(group).cloned()
    }

    pub(super) fn learn_coordinator(&self, group: &str, peer: String) {
        self.state().coordinators.insert(group.to_owned(), peer);
    }

    pub(super) fn forget_coordinator(&self, group: &str) {
        self.state().coordinators.remove(group);
    }

    fn learn(&self, response: &metadata::Response) {
        let state = &mut *self.state();
        let node = |broker: &metadata::Broker| (broker.node_id, format!("{}:{}", broker.host, broker.port));
        state.nodes = response.brokers.iter().map(node).collect();
        for topic in &response.topics {
            let Some(name) = &topic.name else { continue };
            for partition in &topic.partitions {
                let key = (name.clone(), partition.partition_index);
                match partition.leader_id {
                    0.. => state.leaders.insert(key, partition.leader_id),
                    _ => state.leaders.remove(&key),
                };
            }
        }
    }

    /// Whom to ask when anybody will do: brokers with a connection first, then the bootstrap addresses, then the rest.
    fn peers(&self) -> Vec<String> {
        let state = self.state();
        let connected = state.links.iter().filter(|(_, link)| link.is_usable()).map(|(peer, _)| peer);
        let mut peers: Vec<String> = Vec::new();
        for peer in connected.chain(&self.bootstrap).chain(state.nodes.values()) {
            if !peers.contains(peer) {
                peers.push(peer.clone());
            }
        }
        peers
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes attempts until one succeeds, fails for good, or the time is up.
    pub(super) async fn retry<T, F>(
        &self,
        doing: &'static str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let start = Instant::now();
        let end = start + self.options.deadline;
        self.state().trouble.get_or_insert(Trouble { doing, since: start, last: None });
        let mut pause = PAUSE_MIN;
        let (mut last, mut outcome) = (None, Outcome::NotDone);
        loop {
            let fault = match timeout_at(end, attempt()).await {
                Ok(Ok(value)) => {
                    self.state().trouble = None;
                    return Ok(value);
                }
                Ok(Err(fault)) if !fault.is_retryable() && outcome == Outcome::NotDone => {
                    self.state().trouble = None;
                    return Err(fault);
                }
                Ok(Err(fault)) => fault,
                Err(_) => {
                    let after = start.elapsed();
                    return Err(ClientError::GaveUp { doing, after, last, outcome: Outcome::Unknown });
                }
            };
            if let Some(trouble) = &mut self.state().trouble {
                (trouble.doing, trouble.last) = (doing, Some(fault.to_string()));
            }
            if fault.outcome() == Outcome::Unknown {
                outcome = Outcome::Unknown;
            }
            let is_last = !fault.is_retryable() || Instant::now() + pause >= end;
            last = Some(Box::new(fault));
            if is_last {
                return Err(ClientError::GaveUp { doing, after: start.elapsed(), last, outcome });
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }
}

impl Link {
    /// Whether calls may begin on it: those under way on one that may not end there all the same.
    fn is_usable(&self) -> bool {
        let is_ours = self.opened.until.is_none_or(|until| Instant::now() < until);
        is_ours && !self.opened.connection.is_closed()
    }
}
