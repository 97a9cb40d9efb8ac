//! A window and what it says is done, in order, for one source.

use super::asked::{Asked, Outcome};
use super::view::Collected;
use super::{Copy, Target};
use crate::fetcher::{Served, Wish};
use crate::ports::{FetchPartition, SinkError, SourceMarks, SyncTerms};
use crate::way::{Address, Routes};
use mirror_core::gap::completes;
use mirror_core::window::{Answer, Body, Command, Event, Fetch, Ticket};
use model::{CopyTerm, Offset, OffsetRange};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// After how many answers in a row that give nothing another copy is left alone.
const REFUSALS_MAX: u32 = 4;

/// Why a session ended.
pub(super) enum End {
    /// Somebody else is to be followed.
    Retargeted,
    /// The copy is gone or was made anew.
    CopyGone,
}

pub(super) struct Session<'a> {
    copy: &'a Copy,
    target: Target,
    flushed: watch::Receiver<Offset>,
    /// The leadership of the copy that `flushed` belongs to.
    term: CopyTerm,
    connected: watch::Receiver<bool>,
    routes: watch::Receiver<Arc<Routes>>,
    /// Who is asked.
    at: Address,
    asked: Asked,
    /// Whether the last answer brought records, or nothing was asked yet.
    brings: bool,
    refusals: u32,
}

enum Happened {
    Flushed,
    Link,
    /// Other brokers of the source may lead what they did not.
    Routes,
    Asked(Box<Outcome>),
}

impl<'a> Session<'a> {
    /// A session whose window is on the board.
    pub(super) fn new(
        copy: &'a Copy,
        target: Target,
        (mut flushed, term): (watch::Receiver<Offset>, CopyTerm),
    ) -> Self {
        let (mut connected, routes) = (target.way.connected(), target.way.routes());
        connected.mark_changed();
        flushed.mark_changed();
        let at = target.way.address_of(&copy.identity.key);
        Self { copy, target, flushed, term, connected, routes, at, asked: Asked::default(), brings: true, refusals: 0 }
    }

    /// Follows until there is another target.
    ///
    /// # Errors
    /// What the sink refuses: the log is not what the window takes it for.
    pub(super) async fn run(mut self, targets: &mut watch::Receiver<Option<Target>>) -> Result<End, SinkError> {
        loop {
            let happened = tokio::select! {
                _ = targets.changed() => return Ok(End::Retargeted),
                flushed = self.flushed.changed() => match flushed {
                    Ok(()) => Happened::Flushed,
                    Err(_) => return Ok(End::CopyGone),
                },
                Ok(()) = self.connected.changed() => Happened::Link,
                Ok(()) = self.routes.changed() => Happened::Routes,
                outcome = self.asked.next() => Happened::Asked(Box::new(outcome)),
            };
            self.deal_with(happened).await?;
        }
    }

    async fn deal_with(&mut self, happened: Happened) -> Result<(), SinkError> {
        match happened {
            Happened::Flushed => {
                let to = *self.flushed.borrow_and_update();
                self.handle(Event::Flushed { to }).await?;
                self.tell();
                Ok(())
            }
            Happened::Link => self.link().await,
            Happened::Routes => self.turn().await,
            Happened::Asked(outcome) => self.settle_outcome(*outcome).await,
        }
    }

    async fn settle_outcome(&mut self, outcome: Outcome) -> Result<(), SinkError> {
        match outcome {
            Outcome::Due(fetch) => {
                self.ask(fetch);
                Ok(())
            }
            Outcome::Answered(ticket, Some(served)) => self.answered(ticket, served).await,
            Outcome::Answered(ticket, None) => self.handle(Event::Unanswered { ticket }).await,
        }
    }

    /// Asks another broker at once if that is the one to ask now, whatever becomes of what was asked before.
    async fn turn(&mut self) -> Result<(), SinkError> {
        let at = self.routes.borrow_and_update().of(&self.copy.identity.key).clone();
        if std::mem::replace(&mut self.at, at.clone()) == at {
            return Ok(());
        }
        self.link().await
    }

    async fn link(&mut self) -> Result<(), SinkError> {
        let is_up = *self.connected.borrow_and_update();
        (self.asked, self.brings) = (Asked::default(), true);
        let event = if is_up { Event::LinkUp { ownership_epoch: self.target.epoch } } else { Event::LinkDown };
        self.handle(event).await
    }

    async fn answered(&mut self, ticket: Ticket, served: Served) -> Result<(), SinkError> {
        let Served { answer, room, round_trip } = served;
        if let Some(round_trip) = round_trip {
            self.copy.board.with_window(|window| window.note_round_trip(round_trip));
        }
        self.brings = matches!(&answer.body, Body::Records(records) if !records.is_empty());
        let gives_nothing = !self.target.is_owner && self.settle(&answer);
        let event = if gives_nothing { Event::Unanswered { ticket } } else { Event::Answered { ticket, answer } };
        let done = self.handle(event).await;
        drop(room);
        done
    }

    /// Whether another copy gives nothing that is not here. What this copy has and that one lacks is never cut off.
    fn settle(&mut self, answer: &Answer) -> bool {
        let board = &self.copy.board;
        let is_behind = match answer.body {
            Body::Behind => true,
            Body::Diverging(_) | Body::OutOfRange => board.with_window(|window| {
                (answer.leader_epoch, answer.source_tail) <= (window.epochs().last_epoch(), window.tail())
            }),
            Body::Records(_) | Body::NotOwner | Body::TopicReset | Body::Unavailable => false,
        };
        let refuses = matches!(answer.body, Body::NotOwner | Body::TopicReset | Body::Unavailable);
        // With what that copy holds this one would be no standby any more.
        let is_unfit = !refuses && !is_behind && !self.completes(answer);
        self.refusals = if refuses { self.refusals + 1 } else { 0 };
        if is_behind {
            board.settle(Collected::Done);
        } else if is_unfit || self.refusals >= REFUSALS_MAX {
            board.settle(Collected::Refused);
        }
        is_behind || is_unfit
    }

    fn completes(&self, answer: &Answer) -> bool {
        self.copy.board.with_window(|window| {
            let held = OffsetRange::new(window.log_start(), window.tail());
            completes(window.baseline(), &answer.baseline, answer.source_tail, held)
        })
    }

    /// Does everything that follows from `event`.
    async fn handle(&mut self, event: Event) -> Result<(), SinkError> {
        let now = self.copy.clock.boot().since_boot();
        let tell = |event| self.copy.board.with_window(|window| window.on_event(now, event));
        let is_news = matches!(event, Event::Answered { .. } | Event::Flushed { .. });
        let mut commands = VecDeque::from(tell(event));
        if is_news {
            self.note_source();
        }
        while let Some(command) = commands.pop_front() {
            if let Some(event) = self.perform(command).await? {
                commands.extend(self.copy.board.with_window(|window| window.on_event(now, event)));
            }
        }
        Ok(())
    }

    /// Another copy's ends are not the source's.
    fn note_source(&self) {
        if !self.target.is_owner {
            return;
        }
        let now = self.copy.clock.boot().since_boot();
        let marks = self.copy.board.with_window(|window| {
            let report = window.lag(now);
            Some(SourceMarks {
                tail: report.source_tail?,
                high_watermark: window.source_watermark()?,
                missing_bytes: report.bytes,
                oldest_missing: report.oldest_missing,
            })
        });
        if let Some(marks) = marks {
            self.copy.sink.note_source(self.copy.identity.key, self.target.epoch, marks);
        }
    }

    /// Does one thing, and says what the window has to hear of it at once.
    async fn perform(&mut self, command: Command) -> Result<Option<Event>, SinkError> {
        let (key, sink) = (self.copy.identity.key, &self.copy.sink);
        match command {
            Command::Fetch(fetch) if fetch.pause.is_zero() => self.ask(fetch),
            Command::Fetch(fetch) => self.asked.ask_later(fetch),
            Command::Append { records, range } => sink.append(key, range.start, records).await?,
            Command::Cross { record, hole, epoch } => {
                tracing::info!(topic = %self.copy.identity.topic, partition = %key.1, %hole, %epoch, "a new lineage is followed");
                sink.append(key, hole.start, record).await?;
            }
            Command::Archive { range, last_epoch } => {
                tracing::warn!(topic = %self.copy.identity.topic, partition = %key.1, %range, %last_epoch, "a diverged tail is archived");
                sink.archive(key, range).await?;
                return Ok(Some(Event::Archived { range }));
            }
            Command::Truncate { to } => {
                let tail = sink.truncate(key, to).await?;
                return Ok(Some(Event::Truncated { tail }));
            }
            Command::RecordGap(gap) => {
                tracing::error!(topic = %self.copy.identity.topic, partition = %key.1, range = %gap.range, reason = %gap.reason, "the copy has a gap");
                sink.record_gap(gap).await?;
            }
            Command::Inherit(baseline) => sink.inherit(key, baseline).await?,
            Command::Restart { at } => sink.restart(key, at).await?,
            Command::RaiseLogStart { to } => sink.raise_log_start(key, to).await?,
            Command::RaiseHighWatermark { to } => sink.raise_high_watermark(key, to),
            Command::Report(fault) => {
                tracing::error!(topic = %self.copy.identity.topic, partition = %key.1, %fault, "the source is not believed");
            }
            Command::Stop { reason } => {
                tracing::warn!(topic = %self.copy.identity.topic, partition = %key.1, ?reason, "nothing more is fetched");
            }
        }
        Ok(None)
    }

    fn ask(&mut self, fetch: Fetch) {
        let reply = self.asked.ask(&fetch);
        let is_busy = self.brings || self.copy.board.with_window(|window| window.is_busy());
        let (key, asked_at, sync) = (self.copy.identity.key, Instant::now(), self.terms());
        self.target.way.ask(Wish { key, fetch, is_busy, sync, asked_at, reply });
    }

    /// Says how far the copy is to an owner that waits for it.
    fn tell(&self) {
        let Some(terms) = self.terms() else { return };
        if let Some(word) = self.copy.board.with_window(|window| window.word()) {
            self.target.way.tell(FetchPartition::of(self.copy.identity.key, word, Some(terms)));
        }
    }

    /// Under what the copy speaks. What belongs to an earlier leadership of it is not said in the name of the next.
    fn terms(&self) -> Option<SyncTerms> {
        let terms = self.target.is_owner.then(|| self.copy.sink.sync_terms(self.copy.identity.key)).flatten();
        terms.filter(|terms| terms.copy_term == self.term)
    }
}
