//! What others may see of a followed partition.

use super::{Identity, Target};
use crate::ports::SinkError;
use mirror_core::window::{Partition as Window, Phase, StopReason};
use model::{LinkPartitionStatus, Offset, RegionName, copy_states};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far what another copy holds has been collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collected {
    /// There is more, or nothing was heard yet.
    Pending,
    /// Everything that can be had is durable here.
    Done,
    /// It gives nothing.
    Refused,
}

/// The partition's window, shared between its task and whoever asks.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<View>>);

pub(super) struct View {
    window: Option<Window>,
    /// What there is to say without a window.
    idle_state: &'static str,
    /// Whom the window follows.
    source: Option<RegionName>,
    collected: Collected,
}

impl Default for View {
    fn default() -> Self {
        Self { window: None, idle_state: "opening", source: None, collected: Collected::Pending }
    }
}

impl Board {
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        // A window that found its own rules broken ends its task; what it showed may still be looked at.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self, source: RegionName, window: Window) {
        *self.view() = View { window: Some(window), source: Some(source), ..View::default() };
    }

    pub(super) fn close(&self, error: &SinkError) {
        let idle_state = match error {
            SinkError::NotReady(_) => "opening",
            SinkError::Sealed => "sealed",
            SinkError::Failed(_) => "log_failed",
        };
        *self.view() = View { idle_state, ..View::default() };
    }

    /// Nothing is copied, for the topic is another one than was copied before.
    pub(super) fn stop(&self) {
        *self.view() = View { idle_state: copy_states::TOPIC_RESET, ..View::default() };
    }

    pub(super) fn settle(&self, collected: Collected) {
        self.view().collected = collected;
    }

    pub(super) fn with_window<T>(&self, work: impl FnOnce(&mut Window) -> T) -> T {
        work(self.view().window.as_mut().expect("a session has a window"))
    }
}

impl View {
    pub(super) fn collected(&self, source: &RegionName) -> Collected {
        let Some(window) = self.window.as_ref().filter(|_| self.source.as_ref() == Some(source)) else {
            return Collected::Pending;
        };
        let has_all = window.source_watermark().is_some_and(|all| window.copy_watermark() >= all);
        match window.phase() {
            Phase::Fetching | Phase::Disconnected if has_all => Collected::Done,
            Phase::Stopped(_) => Collected::Refused,
            _ => self.collected,
        }
    }

    /// Whether the source was heard, and nothing of the copy is just being cut off because of it.
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = |window: &Window| {
            window.source_watermark().is_some() && matches!(window.phase(), Phase::Fetching | Phase::Full)
        };
        self.window.as_ref().is_some_and(is_settled)
    }

    pub(super) fn status(&self, identity: &Identity, target: Target, now: Duration) -> LinkPartitionStatus {
        let mut status = LinkPartitionStatus {
            topic_id: identity.key.0,
            topic: identity.topic.clone(),
            partition: identity.key.1,
            group: target.group,
            source: target.source,
            target: identity.region.clone(),
            state: self.idle_state.to_owned(),
            tail: Offset::ZERO,
            source_tail: None,
            lag_records: 0,
            lag_bytes: 0,
            lag_seconds: 0.0,
            silent_ms: u64::MAX,
            round_trip_ms: None,
            fetch_bytes: 0,
            fetches_under_way: 0,
            line: target.way.line(&identity.key),
            proof: None,
        };
        if let Some(window) = &self.window {
            let report = window.lag(now);
            (status.tail, status.source_tail) = (window.copy_watermark(), report.source_tail);
            (status.lag_records, status.lag_bytes, status.lag_seconds) = (report.records, report.bytes, report.seconds);
            let flow = window.flow();
            status.round_trip_ms = flow.map(|flow| flow.round_trip.as_secs_f64() * 1e3);
            (status.fetch_bytes, status.fetches_under_way) =
                (flow.map_or(0, |flow| flow.fetch_bytes), window.under_way() as u32);
            status.silent_ms = report.silence.map_or(u64::MAX, |silence| silence.as_millis() as u64);
            status.state = state(window.phase(), report.source_tail.is_some() && report.records == 0).to_owned();
        }
        status
    }
}

fn state(phase: Phase, lacks_nothing: bool) -> &'static str {
    match phase {
        Phase::Disconnected => "disconnected",
        Phase::Fetching if lacks_nothing => "caught_up",
        Phase::Fetching => "fetching",
        Phase::Full => "flushing",
        Phase::Archiving { .. } => "archiving",
        Phase::Truncating { .. } => "truncating",
        Phase::Stopped(StopReason::Sealed) => "sealed",
        Phase::Stopped(StopReason::TopicReset) => copy_states::TOPIC_RESET,
        Phase::Stopped(StopReason::NotOwner) => "not_owner",
        Phase::Stopped(StopReason::LineageMismatch) => "lineage_mismatch",
        Phase::Stopped(StopReason::LogFailed) => "log_failed",
    }
}
