//! Requests on their way from the client.

use super::outbound::Due;
use super::splice::Incoming;
use super::{Closed, Waiting, peek, settings, upstream};
use crate::answer::{self, unknown_topics};
use crate::listener::Door;
use crate::refuse::refuse;
use crate::state::{Entered, Routing, State};
use bytes::Bytes;
use model::{GroupId, RegionName};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use wire::api::metadata;
use wire::{ApiKey, Message, RequestHeader};

/// A connection may be silent this long (Kafka's `connections.max.idle.ms`).
const IDLE_MAX: Duration = Duration::from_secs(600);
/// What of a request is looked at: its header, and the beginning of a Produce body up to `acks`.
const HEAD: usize = 2 * (64 << 10);
/// The largest request of an API that is answered here.
const LOCAL_BYTES_MAX: usize = 16 << 20;
/// How soon to look again whether everything is answered.
const DRAIN_LOOK: Duration = Duration::from_millis(5);
/// How long a Metadata request waits for the topics it has just had created.
const CREATION_TIMEOUT: Duration = Duration::from_secs(5);

/// The reading half of a client connection.
pub(super) struct Inbound {
    door: Door,
    state: Arc<State>,
    due: mpsc::Sender<Due>,
    waiting: Arc<Waiting>,
    upstream: Option<(Attached, OwnedWriteHalf)>,
    attached: watch::Sender<Option<Attached>>,
    /// How often clients had been sent away from the region behind the door when this one came.
    departures: u64,
    /// Whether a write was turned away: its client may have sent others behind it before it heard of that.
    has_refused_write: bool,
}

/// Where requests are passed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    /// The region.
    pub(super) region: RegionName,
    /// The slot of its broker.
    pub(super) slot: u16,
    /// How often the region's connections had been cut before this one was made.
    pub(super) cuts: u64,
}

/// What becomes of a request.
struct Head {
    api_key: i16,
    correlation_id: i32,
    is_answered: bool,
    /// The consumer group whose coordinator has to answer.
    group: Option<GroupId>,
}

impl Inbound {
    pub(super) fn new(door: Door, state: Arc<State>, due: mpsc::Sender<Due>, waiting: Arc<Waiting>) -> Self {
        let departures = departures(&door, &state);
        let attached = watch::Sender::new(None);
        Self { door, state, due, waiting, upstream: None, attached, departures, has_refused_write: false }
    }

    /// Where requests are passed to.
    pub(super) fn attached(&self) -> watch::Receiver<Option<Attached>> {
        self.attached.subscribe()
    }

    /// Takes requests until the client closes its side, or is to ask where to go: it only does when its connection ends.
    /// What it asked before is answered, what it asks now it asks again. It ends, too, before a write is passed behind one
    /// that was turned away, so that the client sends both again in their order: a new owner takes a producer's first write
    /// as it comes, and what was overtaken would count as written.
    ///
    /// # Errors
    /// When either side fails, or a request is none.
    pub(super) async fn run(mut self, client: OwnedReadHalf) -> Result<(), Closed> {
        let mut incoming = Incoming::new(client);
        while let Some(len) = incoming.next(HEAD, IDLE_MAX).await? {
            if departures(&self.door, &self.state) > self.departures {
                self.drain().await;
                return Ok(());
            }
            let head = Head::look(incoming.head(len))?;
            if answer::is_local(head.api_key) {
                self.answer(&mut incoming, len).await?;
                continue;
            }
            if let Some(keeper) = self.keeper(&head, incoming.head(len)) {
                self.ask(&keeper, head.api_key, &mut incoming, len).await?;
                continue;
            }
            match self.enter(&head).await {
                Some(_) if self.has_refused_write && head.is_write() => {
                    self.drain().await;
                    return Ok(());
                }
                Some(entered) => self.pass(&head, entered, &mut incoming, len).await?,
                None => {
                    self.turn_away(&mut incoming, len).await?;
                    self.has_refused_write |= head.is_write();
                }
            }
        }
        Ok(())
    }

    /// Waits until everything that was passed on is answered; a region that is lost is cut off, which ends the connection.
    async fn drain(&self) {
        while self.waiting.any() {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// The region that keeps the settings a request is about, if it is not the one behind the door.
    fn keeper(&self, head: &Head, begun: &[u8]) -> Option<RegionName> {
        if !settings::may_concern(head.api_key) {
            return None;
        }
        let routing = self.state.routing();
        let keeper = settings::keeper(begun, &routing)?;
        let behind = match &self.door {
            Door::Broker(region, _) => Some(region),
            Door::Bootstrap => routing.default_owner(),
        };
        (behind != Some(&keeper)).then_some(keeper)
    }

    /// Lets another region than the one behind the door answer.
    async fn ask(&self, region: &RegionName, key: i16, incoming: &mut Incoming, len: usize) -> Result<(), Closed> {
        let frame = incoming.take(len).await?;
        if !self.state.may_serve(region) {
            return Err(Closed::NobodyThere(key));
        }
        let answer = upstream::call(region, &self.state.routing(), &frame).await?;
        self.send(Due::Ready(answer)).await
    }

    async fn answer(&self, incoming: &mut Incoming, len: usize) -> Result<(), Closed> {
        if len > LOCAL_BYTES_MAX {
            let (len, limit) = (len as i32, model::ByteCount(LOCAL_BYTES_MAX as u64));
            return Err(wire::frame::FrameError::TooLong { len, limit }.into());
        }
        let frame = incoming.take(len).await?;
        let (header, body) = RequestHeader::decode(frame.clone())?;
        if header.api_key == ApiKey::Metadata.number() {
            self.create_unknown(&header, body.clone(), &frame).await?;
        }
        let answer = answer::answer(&header, body, &self.state.routing())?;
        self.send(Due::Ready(answer)).await
    }

    /// Lets the owner of `default` create the topics a Metadata request asks for, and waits until they are routed.
    async fn create_unknown(&self, header: &RequestHeader, body: Bytes, frame: &[u8]) -> Result<(), Closed> {
        let Ok(request) = metadata::Request::decode_front(body, header.api_version) else { return Ok(()) };
        let mut routing = self.state.watch_routing();
        let now = routing.borrow_and_update().clone();
        if unknown_topics(&request, &now).is_empty() {
            return Ok(());
        }
        let Some(owner) = now.default_owner() else { return Ok(()) };
        if let Err(error) = upstream::call(owner, &now, frame).await {
            tracing::debug!(%error, "topics cannot be created now");
            return Ok(());
        }
        let deadline = Instant::now() + CREATION_TIMEOUT;
        let names = unknown_topics(&request, &now);
        let all_led = |routing: &Arc<Routing>| names.iter().all(|name| is_led(routing, name));
        // What is not there in time is answered as unknown; clients ask again.
        let _ = timeout_at(deadline, routing.wait_for(all_led)).await;
        Ok(())
    }

    /// Whether the region behind the door would refuse the request in any case: it owns nothing. It is not asked, because
    /// one that is stopped would not even refuse. One that takes writes as all regions do would not refuse a group's
    /// members, who are sent to another one: they have to be together.
    fn is_elsewhere(&self, head: &Head) -> bool {
        let Door::Broker(region, _) = &self.door else { return false };
        let routing = self.state.routing();
        let route = head.group.as_ref().and_then(|group| routing.coordinator(group));
        let has_moved = route.is_some_and(|route| !route.active.is_empty() && routing.server(route) != region);
        has_moved || head.moves_with_owner() && !routing.owns(region)
    }

    /// Begins to pass a request; `None` when nobody can be asked.
    async fn enter(&mut self, head: &Head) -> Option<Entered> {
        if self.is_elsewhere(head) || !self.attach().await {
            return None;
        }
        let (Attached { region, slot, cuts }, _) = self.upstream.as_ref()?;
        // The region may have been cut off, or its broker fenced, since the connection was begun.
        let entered = self.state.enter(region, *cuts)?;
        (!self.state.routing().is_fenced(region, *slot)).then_some(entered)
    }

    /// Makes sure there is a connection to the region requests go to; false when it cannot be asked.
    async fn attach(&mut self) -> bool {
        let routing = self.state.routing();
        let (region, slot) = match &self.door {
            Door::Broker(region, slot) => (Some(region), Some(*slot)),
            Door::Bootstrap => (routing.default_owner(), None),
        };
        let Some(region) = region.filter(|region| self.state.may_serve(region)).cloned() else { return false };
        let cuts = self.state.cuts(&region);
        let is_usable =
            |known: &Attached| known.region == region && known.cuts == cuts && !routing.is_fenced(&region, known.slot);
        if self.upstream.as_ref().is_some_and(|(known, _)| is_usable(known)) {
            return true;
        }
        self.upstream = None;
        let Ok((slot, stream)) = upstream::connect(&region, slot, &routing).await else { return false };
        let (read, write) = stream.into_split();
        let attached = Attached { region: region.clone(), slot, cuts };
        self.attached.send_replace(Some(attached.clone()));
        self.upstream = Some((attached, write));
        self.send(Due::Attach(region, read)).await.is_ok()
    }

    async fn pass(&mut self, head: &Head, entered: Entered, incoming: &mut Incoming, len: usize) -> Result<(), Closed> {
        if head.is_answered {
            // Between entering and this the connection gave nobody else a turn: whoever cuts it sees that it waits.
            self.waiting.add();
            self.send(Due::Upstream(head.correlation_id, entered)).await?;
        }
        let (_, upstream) = self.upstream.as_mut().expect("it has just been attached");
        incoming.pass(len, upstream).await
    }

    /// Answers for a region that cannot be asked.
    async fn turn_away(&mut self, incoming: &mut Incoming, len: usize) -> Result<(), Closed> {
        let frame = incoming.take(len).await?;
        let (header, body) = RequestHeader::decode(frame.clone())?;
        if !Head::look(&frame)?.is_answered {
            // Nobody hears of a lost acks=0 write but by a closed connection.
            return Err(Closed::NobodyThere(header.api_key));
        }
        let answer = match self.any_live_region(&header, &frame).await {
            Some(answer) => answer,
            None => refuse(&header, body)?.ok_or(Closed::NobodyThere(header.api_key))?,
        };
        self.send(Due::Ready(answer)).await
    }

    /// Producer ids may come from any region: they never collide.
    async fn any_live_region(&self, header: &RequestHeader, frame: &[u8]) -> Option<Bytes> {
        if header.api_key != ApiKey::InitProducerId.number() {
            return None;
        }
        let routing = self.state.routing();
        let (owners, others): (Vec<_>, Vec<_>) =
            routing.table()?.regions.iter().partition(|region| routing.owns(&region.region));
        for region in owners.into_iter().chain(others) {
            if let Ok(answer) = upstream::call(&region.region, &routing, frame).await {
                return Some(answer);
            }
        }
        None
    }

    async fn send(&self, due: Due) -> Result<(), Closed> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        Ok(self.due.send(due).await.map_err(gone)?)
    }
}

/// How often clients were sent away from the region behind a door.
fn departures(door: &Door, state: &State) -> u64 {
    match door {
        Door::Bootstrap => 0,
        Door::Broker(region, _) => state.routing().departures(region),
    }
}

/// Whether clients can be told a leader for every partition of the topic called `name`.
fn is_led(routing: &Routing, name: &str) -> bool {
    let Some(topic) = routing.topic_named(name) else { return false };
    let Some(route) = routing.route(&topic.group) else { return false };
    (0..topic.partitions).all(|partition| routing.leader(route, topic.id, partition).is_some())
}

impl Head {
    /// Looks at the beginning of a request.
    fn look(frame: &[u8]) -> Result<Self, Closed> {
        let header = RequestHeader::peek(frame)?;
        let (api_key, correlation_id, version) = (header.api_key, header.correlation_id, header.api_version);
        let is_answered = api_key != ApiKey::Produce.number() || peek::acks(frame, version) != Some(0);
        Ok(Self { api_key, correlation_id, is_answered, group: peek::group(frame, api_key, version) })
    }
}

impl Head {
    fn is_write(&self) -> bool {
        self.api_key == ApiKey::Produce.number()
    }

    /// Whether only the owner of a protection group can do what is asked, or any region that lives.
    fn moves_with_owner(&self) -> bool {
        use ApiKey::*;
        let moving = [
            Produce,
            Fetch,
            ListOffsets,
            OffsetForLeaderEpoch,
            OffsetCommit,
            OffsetFetch,
            JoinGroup,
            SyncGroup,
            Heartbeat,
            LeaveGroup,
            ConsumerGroupHeartbeat,
            InitProducerId,
        ];
        moving.iter().any(|key| key.number() == self.api_key)
    }
}
