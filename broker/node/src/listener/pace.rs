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
        if !self.is_due(Instant::now()) {
            return;
        }
        if let Err(error) = renew(stream) {
            tracing::debug!(%error, "the pace of a connection cannot be kept");
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|renewed| now.saturating_duration_since(renewed) >= RENEWED_EVERY);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// Whether there was anything to set anew.
fn renew(stream: &impl AsFd) -> rustix::io::Result<bool> {
    if tcp_congestion(stream)? != BBR {
        return Ok(false);
    }
    set_tcp_congestion(stream, OTHER)?;
    set_tcp_congestion(stream, BBR)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn bbr_is_set_anew_and_everything_else_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set_tcp_congestion(&stream, OTHER).unwrap();
        assert_eq!((renew(&stream), tcp_congestion(&stream).unwrap().as_str()), (Ok(false), OTHER));
        if let Err(error) = set_tcp_congestion(&stream, BBR) {
            return eprintln!("SKIPPED: this system does not let a connection go by BBR: {error}");
        }
        assert_eq!((renew(&stream), tcp_congestion(&stream).unwrap().as_str()), (Ok(true), BBR));
    }

    #[test]
    fn a_connection_is_set_anew_well_before_bbr_would_pause_it_and_not_all_the_time() {
        let (began, mut pace) = (Instant::now(), Pace::default());
        let renewed: Vec<_> = (0..20).filter(|second| pace.is_due(began + Duration::from_secs(*second))).collect();
        assert_eq!(renewed, [0, 4, 8, 12, 16]);
    }
}
