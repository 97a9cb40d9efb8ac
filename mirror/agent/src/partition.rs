//! One copied partition: keeps its window, does what the window says, in order.

use crate::fetcher::{Fetcher, Wish};
use crate::ports::{CopyKey, Sink, SinkError, SourceMarks};
use env::Clock;
use mirror_core::window::{Command, Event, Fetch, LineageStart, Partition as Window, Phase, Settings, StopReason};
use model::{LinkPartitionStatus, Offset, OwnershipEpoch, ProtectionGroup, RegionName, TopicName};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

/// How long to wait before looking again for a copy that is not there yet, or whether a seal was undone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Whom a partition follows.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The region.
    pub(crate) source: RegionName,
    /// Under which grant.
    pub(crate) epoch: OwnershipEpoch,
    /// Where lineages depart.
    pub(crate) openings: Vec<LineageStart>,
    /// The way there.
    pub(crate) fetcher: Fetcher,
}

/// What a partition is, for status pages.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Which.
    pub(crate) key: CopyKey,
    /// The topic's name.
    pub(crate) topic: TopicName,
    /// The group.
    pub(crate) group: ProtectionGroup,
    /// The region it is copied to.
    pub(crate) region: RegionName,
}

/// How far the region that answered last could be followed.
#[derive(Clone, Debug)]
struct Heard {
    source: RegionName,
    high_watermark: Offset,
}

/// A copied partition, as long as it is followed.
pub(crate) struct Follower {
    identity: Identity,
    clock: Arc<dyn Clock>,
    window: Arc<Mutex<Option<Window>>>,
    heard: watch::Receiver<Option<Heard>>,
    target: watch::Sender<Target>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    /// Follows `target` from now on.
    pub(crate) fn start(
        identity: Identity,
        settings: Settings,
        target: Target,
        sink: Arc<dyn Sink>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let window = Arc::new(Mutex::new(None));
        let (target, targets) = watch::channel(target);
        let (events, told) = mpsc::unbounded_channel();
        let (hears, heard) = watch::channel(None);
        let shell = Shell {
            identity: identity.clone(),
            settings,
            sink,
            clock: clock.clone(),
            window: window.clone(),
            targets,
            events,
            hears,
        };
        let task = tokio::spawn(shell.run(told));
        Self { identity, clock, window, heard, target, task }
    }

    /// Follows another region, or the same one under another grant.
    pub(crate) fn retarget(&self, target: Target) {
        self.target.send_if_modified(|known| {
            let is_same =
                known.epoch == target.epoch && known.source == target.source && known.fetcher.is_same(&target.fetcher);
            if !is_same {
                *known = target;
            }
            !is_same
        });
    }

    /// Whether everything that can be had from `source`, as it answered last, is on disk here.
    pub(crate) fn has_caught_up(&self, source: &RegionName) -> bool {
        let heard = self.heard.borrow().clone();
        let Some(heard) = heard.filter(|heard| heard.source == *source) else { return false };
        let window = self.window.lock().expect("no holder of this lock panics");
        let Some(window) = window.as_ref() else { return false };
        window.copy_watermark() >= heard.high_watermark
    }

    /// How far it is.
    pub(crate) fn status(&self) -> LinkPartitionStatus {
        let target = self.target.borrow();
        let window = self.window.lock().expect("no holder of this lock panics");
        let mut status = LinkPartitionStatus {
            topic_id: self.identity.key.0,
            topic: self.identity.topic.clone(),
            partition: self.identity.key.1,
            group: self.identity.group.clone(),
            source: target.source.clone(),
            target: self.identity.region.clone(),
            state: "opening".to_owned(),
            tail: Offset::ZERO,
            source_tail: None,
            lag_records: 0,
            lag_bytes: 0,
            lag_seconds: 0.0,
            silent_ms: 0,
        };
        if let Some(window) = window.as_ref() {
            let report = window.lag(self.clock.boot().since_boot());
            status.state = state(window).to_owned();
            (status.tail, status.source_tail) = (window.copy_watermark(), report.source_tail);
            (status.lag_records, status.lag_bytes, status.lag_seconds) = (report.records, report.bytes, report.seconds);
            status.silent_ms = report.silence.map_or(u64::MAX, |silence| silence.as_millis() as u64);
        }
        status
    }
}

fn state(window: &Window) -> &'static str {
    match window.phase() {
        Phase::Disconnected => "disconnected",
        Phase::Fetching => "fetching",
        Phase::Full => "flushing",
        Phase::Archiving { .. } => "archiving",
        Phase::Truncating { .. } => "truncating",
        Phase::Stopped(StopReason::Sealed) => "sealed",
        Phase::Stopped(StopReason::TopicReset) => "topic_reset",
        Phase::Stopped(StopReason::NotOwner) => "not_owner",
        Phase::Stopped(StopReason::LineageMismatch) => "lineage_mismatch",
        Phase::Stopped(StopReason::LogFailed) => "log_failed",
    }
}

/// What a partition's task works with.
struct Shell {
    identity: Identity,
    settings: Settings,
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    window: Arc<Mutex<Option<Window>>>,
    targets: watch::Receiver<Target>,
    events: mpsc::UnboundedSender<Event>,
    hears: watch::Sender<Option<Heard>>,
}

impl Shell {
    async fn run(mut self, mut told: mpsc::UnboundedReceiver<Event>) {
        loop {
            let mut flushed = self.open().await;
            let mut connected = self.link_up().await;
            loop {
                let event = tokio::select! {
                    event = told.recv() => event.expect("this task holds a sender"),
                    changed = flushed.changed() => match changed {
                        Ok(()) => Event::Flushed { to: *flushed.borrow_and_update() },
                        // The copy is gone or was made anew.
                        Err(_) => break,
                    },
                    changed = self.targets.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        connected = self.link_up().await;
                        continue;
                    }
                    Ok(()) = connected.changed() => match *connected.borrow_and_update() {
                        true => Event::LinkUp { ownership_epoch: self.targets.borrow().epoch },
                        false => Event::LinkDown,
                    },
                };
                if !self.handle(event).await {
                    break;
                }
            }
            sleep(LOOK_AGAIN).await;
            while told.try_recv().is_ok() {}
        }
    }

    /// Begins a window at what the copy holds, once there is one.
    async fn open(&mut self) -> watch::Receiver<Offset> {
        let key = self.identity.key;
        loop {
            match (self.sink.watch_flushed(key), self.sink.log_state(key).await) {
                (Ok(mut flushed), Ok(state)) => {
                    flushed.mark_changed();
                    self.settings.copy_term = self.settings.copy_term.next();
                    let window = Window::new(self.settings.clone(), state);
                    *self.window.lock().expect("no holder of this lock panics") = Some(window);
                    return flushed;
                }
                (Err(error), _) | (_, Err(error)) => tracing::trace!(?key, %error, "no copy yet"),
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Tells the window whom to follow.
    async fn link_up(&mut self) -> watch::Receiver<bool> {
        let (epoch, openings, connected) = {
            let target = self.targets.borrow_and_update();
            (target.epoch, target.openings.clone(), target.fetcher.connected())
        };
        self.with_window(|window| window.note_openings(openings));
        self.handle(Event::LinkUp { ownership_epoch: epoch }).await;
        connected
    }

    fn with_window<T>(&self, work: impl FnOnce(&mut Window) -> T) -> T {
        let mut window = self.window.lock().expect("no holder of this lock panics");
        work(window.as_mut().expect("the window is open"))
    }

    /// Does everything that follows from `event`; false when the window has to begin again.
    async fn handle(&self, event: Event) -> bool {
        let now = self.clock.boot().since_boot();
        let is_answer = matches!(event, Event::Answered { .. } | Event::Flushed { .. });
        let mut commands: VecDeque<Command> = self.with_window(|window| window.on_event(now, event)).into();
        if is_answer {
            self.note_source();
        }
        while let Some(command) = commands.pop_front() {
            match self.perform(command).await {
                Ok(None) => {}
                Ok(Some(event)) => commands.extend(self.with_window(|window| window.on_event(now, event))),
                Err(error) => return self.on_error(error).await,
            }
        }
        true
    }

    /// A window whose log is not what it takes it for begins again.
    async fn on_error(&self, error: SinkError) -> bool {
        let key = self.identity.key;
        match error {
            SinkError::NotReady(reason) => tracing::debug!(?key, reason, "the copy is opened again"),
            SinkError::Sealed => {
                self.with_window(|window| window.on_event(Duration::ZERO, Event::Seal));
                // The order may be undone; until then nothing more is taken.
                sleep(LOOK_AGAIN).await;
            }
            SinkError::Failed(reason) => tracing::error!(?key, reason, "the copy cannot be written"),
        }
        false
    }

    fn note_source(&self) {
        let now = self.clock.boot().since_boot();
        let marks = self.with_window(|window| {
            let report = window.lag(now);
            Some(SourceMarks {
                tail: report.source_tail?,
                high_watermark: window.source_watermark()?,
                missing_bytes: report.bytes,
                oldest_missing: report.oldest_missing,
            })
        });
        if let Some(marks) = marks {
            let epoch = self.targets.borrow().epoch;
            self.sink.note_source(self.identity.key, epoch, marks);
        }
    }

    /// Does one thing, and says what the window has to hear of it at once.
    async fn perform(&self, command: Command) -> Result<Option<Event>, SinkError> {
        let (key, sink) = (self.identity.key, &self.sink);
        match command {
            Command::Fetch(fetch) => self.fetch(fetch),
            Command::Append { records, range } => sink.append(key, range.start, records).await?,
            Command::Cross { record, hole, epoch } => {
                tracing::info!(?key, %hole, %epoch, "a new lineage is followed");
                sink.append(key, hole.start, record).await?;
            }
            Command::Archive { range, last_epoch } => {
                tracing::warn!(?key, %range, %last_epoch, "a diverged tail is archived");
                sink.archive(key, range).await?;
                return Ok(Some(Event::Archived { range }));
            }
            Command::Truncate { to } => {
                let tail = sink.truncate(key, to).await?;
                return Ok(Some(Event::Truncated { tail }));
            }
            Command::RecordGap(gap) => sink.record_gap(gap).await?,
            Command::Restart { at } => sink.restart(key, at).await?,
            Command::RaiseLogStart { to } => sink.raise_log_start(key, to).await?,
            Command::RaiseHighWatermark { to } => sink.raise_high_watermark(key, to),
            Command::Report(fault) => tracing::error!(?key, %fault, "the source is not believed"),
            Command::Stop { reason } => tracing::warn!(?key, ?reason, "nothing more is fetched"),
        }
        Ok(None)
    }

    /// Sends a fetch off; its answer, or the lack of one, comes back as an event.
    fn fetch(&self, fetch: Fetch) {
        let (target, events, key) = (self.targets.borrow().clone(), self.events.clone(), self.identity.key);
        let hears = self.hears.clone();
        tokio::spawn(async move {
            if !fetch.pause.is_zero() {
                sleep(fetch.pause).await;
            }
            let (reply, answer) = oneshot::channel();
            target.fetcher.ask(Wish { key, fetch, reply });
            let ticket = fetch.ticket;
            let event = match answer.await {
                Ok(answer) => {
                    let (source, high_watermark) = (target.source, answer.high_watermark);
                    hears.send_replace(Some(Heard { source, high_watermark }));
                    Event::Answered { ticket, answer }
                }
                Err(_) => Event::Unanswered { ticket },
            };
            // The partition may not be followed any more.
            let _ = events.send(event);
        });
    }
}
