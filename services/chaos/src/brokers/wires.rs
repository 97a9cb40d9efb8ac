//! The wires between the brokers of a region. Every byte from one to another passes here, and waits while that way is held.
//!
//! A way that is held loses nothing and closes nothing: what was sent arrives when it is let go, late and in order, as over
//! TCP through a network that was parted. Clients do not pass here.

use crate::sockets::Socket;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many bytes are carried at once.
const CARRIED_BYTES: usize = 64 * 1024;

/// From one broker to another, by slot.
type Way = (usize, usize);

#[derive(Debug, Default)]
struct State {
    held: BTreeSet<Way>,
    /// The process of each broker.
    pids: Vec<Option<u32>>,
}

/// All wires of a region.
#[derive(Clone, Debug, Default)]
pub(super) struct Wires(Arc<(Mutex<State>, Condvar)>);

impl Wires {
    /// An address at which the listener of broker `to` on `port` is reached by the others.
    ///
    /// # Errors
    /// When there is no port or thread for it.
    pub(super) fn lead_to(&self, to: usize, port: u16) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, wires) = (listener.local_addr()?, self.clone());
        let target = SocketAddr::from(([127, 0, 0, 1], port));
        thread::Builder::new().name(format!("wires-to-{to}")).spawn(move || wires.accept(&listener, to, target))?;
        Ok(address)
    }

    /// The broker in `slot` runs as this process, or not any more.
    pub(super) fn know(&self, slot: usize, pid: Option<u32>) {
        let mut state = self.state();
        if state.pids.len() <= slot {
            state.pids.resize(slot + 1, None);
        }
        state.pids[slot] = pid;
    }

    /// Holds these ways, and no others.
    pub(super) fn hold(&self, ways: impl Iterator<Item = Way>) {
        self.state().held = ways.collect();
        self.0.1.notify_all();
    }

    fn accept(&self, listener: &TcpListener, to: usize, target: SocketAddr) {
        for stream in listener.incoming().flatten() {
            let wires = self.clone();
            // Who cannot be told from others is not let through.
            thread::spawn(move || wires.caller(&stream).and_then(|from| wires.join(stream, target, (from, to)).ok()));
        }
    }

    /// The broker whose process has opened the other end of `stream`.
    fn caller(&self, stream: &TcpStream) -> Option<usize> {
        let socket = Socket::between(stream.peer_addr().ok()?, stream.local_addr().ok()?)?;
        let pids = self.state().pids.clone();
        pids.iter().position(|pid| pid.is_some_and(|pid| socket.is_held_by(pid)))
    }

    fn join(&self, stream: TcpStream, target: SocketAddr, (from, to): Way) -> io::Result<()> {
        let other = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        other.set_nodelay(true)?;
        let back = (self.clone(), other.try_clone()?, stream.try_clone()?);
        thread::spawn(move || back.0.carry(back.1, back.2, (to, from)));
        self.carry(stream, other, (from, to));
        Ok(())
    }

    /// Carries what comes until its end, which waits like every byte.
    fn carry(&self, mut source: TcpStream, mut target: TcpStream, way: Way) {
        let mut bytes = vec![0; CARRIED_BYTES];
        loop {
            let read = source.read(&mut bytes).unwrap_or(0);
            self.wait(way);
            if read == 0 || target.write_all(&bytes[..read]).is_err() {
                // Whoever closed it already is content.
                let _ = target.shutdown(Shutdown::Write);
                let _ = source.shutdown(Shutdown::Read);
                return;
            }
        }
    }

    fn wait(&self, way: Way) {
        let waiting = self.0.1.wait_while(self.state(), |state| state.held.contains(&way));
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_way_that_is_held_brings_what_was_sent_when_it_is_let_go() {
        let (wires, server) = (Wires::default(), TcpListener::bind("127.0.0.1:0").unwrap());
        wires.know(0, Some(std::process::id()));
        let door = wires.lead_to(1, server.local_addr().unwrap().port()).unwrap();
        let mut here = TcpStream::connect(door).unwrap();
        let (mut there, _) = server.accept().unwrap();
        let mut byte = [0];
        here.write_all(b"a").unwrap();
        there.read_exact(&mut byte).unwrap();
        wires.hold([(0, 1)].into_iter());
        here.write_all(b"b").unwrap();
        there.write_all(b"c").unwrap();
        here.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"c", "the other way is open");
        there.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(there.read_exact(&mut byte).is_err(), "nothing comes through");
        wires.hold([].into_iter());
        there.set_read_timeout(None).unwrap();
        there.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"b");
        drop(here);
        assert_eq!(there.read(&mut byte).unwrap(), 0);
    }

    #[test]
    fn a_stranger_is_not_let_through() {
        let (wires, server) = (Wires::default(), TcpListener::bind("127.0.0.1:0").unwrap());
        let door = wires.lead_to(1, server.local_addr().unwrap().port()).unwrap();
        let mut here = TcpStream::connect(door).unwrap();
        assert_eq!(here.read(&mut [0]).unwrap_or(0), 0);
    }
}
