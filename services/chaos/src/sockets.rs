//! Which process a TCP connection belongs to, as the kernel says. It takes milliseconds to ask.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

/// One end of a connection that a process has open, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Socket(u64);

/// Both addresses of an end of a connection: its own, and that of the other end.
type Addresses = (SocketAddr, SocketAddr);

impl Socket {
    /// The end at `local` that is connected, or connecting, to `remote`; `None` when it is there no more, or was closed.
    pub(crate) fn between(local: SocketAddr, remote: SocketAddr) -> Option<Self> {
        all().into_iter().find(|(addresses, _)| *addresses == (local, remote)).map(|(_, socket)| socket)
    }

    /// Whether it is open in the process.
    pub(crate) fn is_held_by(self, pid: u32) -> bool {
        held_by(pid).contains(&self)
    }
}

/// Every end of an IPv4 connection that some process has open.
pub(crate) fn all() -> Vec<(Addresses, Socket)> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().filter_map(row).collect()
}

/// The sockets that are open in a process; none when it is gone.
pub(crate) fn held_by(pid: u32) -> BTreeSet<Socket> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    files.filter_map(number).map(Socket).collect()
}

fn row(line: &str) -> Option<(Addresses, Socket)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number: u64 = words.get(9)?.parse().ok()?;
    let addresses = (address(words.get(1)?)?, address(words.get(2)?)?);
    (number != 0).then_some((addresses, Socket(number)))
}

/// As `/proc/net/tcp` writes it: the address as the machine holds it, the port as people do.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    Some(SocketAddr::from((address, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_socket_is_held_by_the_process_that_opened_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::between(stream.local_addr().unwrap(), stream.peer_addr().unwrap()).unwrap();
        assert!(socket.is_held_by(std::process::id()));
        assert!(!socket.is_held_by(std::os::unix::process::parent_id()));
        assert_eq!(Socket::between(listener.local_addr().unwrap(), listener.local_addr().unwrap()), None);
    }
}
