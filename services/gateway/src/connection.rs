//! One client connection and the one upstream connection it maps to.
//!
//! Requests are taken in order; each is answered here, refused here, or passed upstream. Answers leave in the order of
//! their requests. Bodies of passed requests and answers stream through undecoded.

mod inbound;
mod outbound;
mod peek;
mod settings;
mod splice;
mod upstream;

use crate::listener::Door;
use crate::state::State;
use inbound::{Attached, Inbound};
use model::RegionName;
use outbound::Outbound;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// How many requests of one connection may wait for their answers.
const UNANSWERED_MAX: usize = 128;

/// Why the gateway closed a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    /// A socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The length prefix is not to be believed.
    #[error(transparent)]
    Frame(#[from] wire::frame::FrameError),
    /// The request is not one.
    #[error(transparent)]
    Decode(#[from] wire::DecodeError),
    /// A request of an API answered here is not one.
    #[error(transparent)]
    Unanswered(#[from] crate::answer::Unanswered),
    /// The peer was too slow, or silent for too long.
    #[error("{0}")]
    Timeout(&'static str),
    /// The region did not answer everything it was sent.
    #[error("region {0} broke off while requests waited for it")]
    BrokenOff(RegionName),
    /// The lease on the region's grant ran out while requests waited for it.
    #[error("the lease on {0} ran out while requests waited for it")]
    Fenced(RegionName),
    /// The broker they were passed to leads nothing any more.
    #[error("the broker in slot {slot} of {region} was fenced while requests waited for it")]
    BrokerFenced {
        /// The region.
        region: RegionName,
        /// The broker.
        slot: u16,
    },
    /// The region answered something else than it was asked.
    #[error("answer {found} came where {expected} was due")]
    OutOfOrder {
        /// The correlation id that was due.
        expected: i32,
        /// The one that came.
        found: i32,
    },
    /// There is no retriable error for this API while its region is away.
    #[error("nobody can answer an API of key {0} now")]
    NobodyThere(i16),
}

/// How many requests wait for answers from upstream.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicUsize);

impl Waiting {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn remove(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Serves one client until it closes, or something is wrong.
///
/// # Errors
/// [`Closed`], when this side ended it.
pub(crate) async fn serve(stream: TcpStream, door: Door, state: Arc<State>) -> Result<(), Closed> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let (due, answers) = mpsc::channel(UNANSWERED_MAX);
    let waiting = Arc::new(Waiting::default());
    let (mut cuts, mut routing) = (state.watch_cuts(), state.watch_routing());
    cuts.mark_unchanged();
    routing.mark_unchanged();
    let inbound = Inbound::new(door, state.clone(), due, waiting.clone());
    let current = inbound.attached();
    let (reading, writing) = (inbound.run(read), Outbound::new(write, waiting.clone()).run(answers));
    tokio::pin!(reading, writing);
    let mut is_read = false;
    loop {
        tokio::select! {
            read = &mut reading, if !is_read => { read?; is_read = true; }
            written = &mut writing => return written,
            Ok(()) = cuts.changed() => {}
            Ok(()) = routing.changed() => {}
        }
        // Whatever a region still answers that was cut off, the client must not see it.
        if let Some(ended) = current.borrow().as_ref().filter(|_| waiting.any()).and_then(|at| end(at, &state)) {
            return Err(ended);
        }
    }
}

/// Why nobody should wait for answers from there any more.
fn end(Attached { region, slot, cuts }: &Attached, state: &State) -> Option<Closed> {
    if state.cuts(region) > *cuts {
        return Some(Closed::Fenced(region.clone()));
    }
    // It may be stopped and never answer; others lead what it led, which the client learns by asking.
    let is_fenced = state.routing().is_fenced(region, *slot);
    is_fenced.then(|| Closed::BrokerFenced { region: region.clone(), slot: *slot })
}
