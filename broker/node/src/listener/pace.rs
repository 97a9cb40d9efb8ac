//! Keeps TCP from pausing a connection over which a little is said all the time.
//!
//! BBR lets a connection nearly run dry for a fifth of a second when it has seen no shorter round trip for ten seconds, to
//! see whether there is one (PROBE_RTT, draft-cardwell-iccrg-bbr-congestion-control-02, 4.3.5). Over a line of 100 ms an
//! answer on its way takes half a second then, and everything behind it waits: of a link with a dozen connections that is
//! one in every second. A connection that fills the line has to; one that does not learns nothing by it. Set anew, BBR takes
//! the round trip and the window of the moment for its beginning, and has another ten seconds.

use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::time::Instant;

const BBR: &str = "bbr";
/// Every system has it, and lets everybody use it.
const OTHER: &str = "reno";
/// Well within BBR's ten seconds.
const RENEWED_EVERY: Duration = Duration::from_secs(4);

/// When a connection was set anew.
#[derive(Debug, Default)]
pub(super) struct Pace(Option<Instant>);

impl Pace {
    /// Called before an answer that does not fill the line.
    pub(super) fn keep(&mut self, stream: &impl AsFd) {
        if self.0.is_some_and(|renewed| renewed.elapsed() < RENEWED_EVERY) {
            return;
        }
        self.0 = Some(Instant::now());
        if let Err(error) = renew(stream) {
            tracing::debug!(%error, "the pace of a connection cannot be kept");
        }
    }
}

fn renew(stream: &impl AsFd) -> rustix::io::Result<()> {
    if tcp_congestion(stream)? != BBR {
        return Ok(());
    }
    set_tcp_congestion(stream, OTHER)?;
    set_tcp_congestion(stream, BBR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_keeps_the_control_that_it_has() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let before = tcp_congestion(&stream).unwrap();
        for control in [OTHER, &before] {
            set_tcp_congestion(&stream, control).unwrap();
            Pace::default().keep(&stream);
            assert_eq!(tcp_congestion(&stream).unwrap(), control);
        }
    }
}
