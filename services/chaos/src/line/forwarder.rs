//! Carries packets from a TUN device back to it, as long and as far as the two lanes say.

use super::island::{Island, Passage, Shore};
use super::packet::{self, Ports};
use super::shape::{Count, Lane, Shape};
use super::{Direction, Ends};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tun_rs::SyncDevice;

/// How long it sleeps at most before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);
/// How many packets are read before those that are due are written.
const BURST: usize = 64;
const PACKET_BYTES_MAX: usize = 65536;

/// What a line and its thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) is_over: AtomicBool,
    lanes: Mutex<Lanes>,
}

#[derive(Debug)]
struct Lanes {
    there: Lane,
    back: Lane,
    /// Connections that were opened since older ones were forgotten; `None` before that.
    known: Option<HashSet<Ports>>,
    /// Around the island that is cut off.
    shore: Option<Shore>,
}

impl Shared {
    pub(super) fn new(shape: Shape, seed: u64) -> Arc<Self> {
        let lanes = Lanes { there: Lane::new(shape, seed), back: Lane::new(shape, !seed), known: None, shore: None };
        Arc::new(Self { is_over: AtomicBool::new(false), lanes: Mutex::new(lanes) })
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reshape(&self, direction: Direction, change: impl FnOnce(&mut Shape)) {
        let mut lanes = self.lanes();
        let lane = lanes.lane(direction);
        let mut shape = lane.shape();
        change(&mut shape);
        lane.reshape(shape);
    }

    pub(super) fn count(&self, direction: Direction) -> Count {
        self.lanes().lane(direction).count()
    }

    pub(super) fn forget(&self) {
        self.lanes().known = Some(HashSet::new());
    }

    pub(super) fn remember(&self) {
        self.lanes().known = None;
    }

    pub(super) fn part(&self, island: Option<Island>) {
        self.lanes().shore = island.map(Shore::of);
    }
}

impl Lanes {
    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::There => &mut self.there,
            Direction::Back => &mut self.back,
        }
    }

    fn take(&mut self, ends: &Ends, now: Duration, mut bytes: Vec<u8>) {
        let Some((direction, source, target)) = ends.way_of(&bytes) else { return };
        if !self.is_known(direction, &bytes) {
            return;
        }
        match self.passage(direction, &bytes) {
            (_, Passage::Open) => {
                packet::readdress(&mut bytes, source, target);
                self.lane(direction).offer(now, bytes);
            }
            (_, Passage::Cut) => self.lane(direction).note_cut(),
            (ports, Passage::Unknown) => self.shore.iter_mut().for_each(|shore| shore.hold(ports, bytes.clone())),
        }
    }

    /// Takes packets again that were kept until it was known who has opened their connections.
    fn settle(&mut self, ends: &Ends, now: Duration) {
        let settled = self.shore.as_mut().map_or_else(Vec::new, |shore| shore.settle(ends));
        settled.into_iter().for_each(|bytes| self.take(ends, now, bytes));
    }

    /// The connection of a packet, and whether it leads between an island and everybody else.
    fn passage(&self, direction: Direction, bytes: &[u8]) -> (Ports, Passage) {
        let (Some(shore), Some(((from, to), is_syn))) = (&self.shore, packet::tcp(bytes)) else {
            return ((0, 0), Passage::Open);
        };
        match direction {
            Direction::There => ((from, to), shore.passage((from, to), is_syn)),
            Direction::Back => ((to, from), shore.passage((to, from), false)),
        }
    }

    /// Whether the connection of a packet is none that was forgotten.
    fn is_known(&mut self, direction: Direction, bytes: &[u8]) -> bool {
        let (Some(known), Some(((from, to), is_syn))) = (&mut self.known, packet::tcp(bytes)) else { return true };
        let ports = if direction == Direction::There { (from, to) } else { (to, from) };
        if is_syn && direction == Direction::There {
            known.insert(ports);
        }
        known.contains(&ports)
    }

    fn next_due(&self) -> Option<Duration> {
        self.there.next_due().into_iter().chain(self.back.next_due()).min()
    }

    fn arrived(&mut self, now: Duration) -> Vec<Vec<u8>> {
        let mut arrived = Vec::new();
        for lane in [&mut self.there, &mut self.back] {
            arrived.extend(std::iter::from_fn(|| lane.arrived(now)));
        }
        arrived
    }
}

/// Carries packets until the line is over.
///
/// # Errors
/// When the device cannot be read or written.
pub(super) fn run(device: &SyncDevice, ends: &Ends, shared: &Shared) -> io::Result<()> {
    let (began, mut buffer) = (Instant::now(), vec![0; PACKET_BYTES_MAX]);
    while !shared.is_over.load(Ordering::Relaxed) {
        let next = shared.lanes().next_due().map_or(LOOK, |due| due.saturating_sub(began.elapsed()).min(LOOK));
        wait(device, next)?;
        let read = read(device, &mut buffer)?;
        let now = began.elapsed();
        let arrived = {
            let mut lanes = shared.lanes();
            read.into_iter().for_each(|bytes| lanes.take(ends, now, bytes));
            lanes.settle(ends, now);
            lanes.arrived(now)
        };
        arrived.iter().try_for_each(|bytes| write(device, bytes))?;
    }
    Ok(())
}

fn wait(device: &SyncDevice, at_most: Duration) -> io::Result<()> {
    let limit = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
    match poll(&mut [PollFd::new(device, PollFlags::IN)], Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn read(device: &SyncDevice, buffer: &mut [u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut read = Vec::new();
    while read.len() < BURST {
        match device.recv(buffer) {
            Ok(len) => read.push(buffer[..len].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// A packet the system does not take is lost, as on any line.
fn write(device: &SyncDevice, bytes: &[u8]) -> io::Result<()> {
    match device.send(bytes) {
        Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::InvalidInput) => Err(error),
        _ => Ok(()),
    }
}
