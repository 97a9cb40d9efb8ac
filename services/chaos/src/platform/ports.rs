//! Ranges of free ports on 127.0.0.1.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that Linux gives to outgoing connections.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// The first of `count` ports in a row that are free now, different in every call and most likely in every process.
pub fn free_base(count: u16) -> Option<u16> {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let places = (RANGE.end - RANGE.start) / count;
    let mine = (std::process::id() % u32::from(places)) as u16;
    (0..places).find_map(|_| {
        let place = (mine + CALLS.fetch_add(1, Ordering::Relaxed)) % places;
        let base = RANGE.start + place * count;
        (base..base + count).all(is_free).then_some(base)
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_avoided() {
        let base = free_base(3).unwrap();
        let _taken = TcpListener::bind(("127.0.0.1", base + 1)).unwrap();
        assert!(!is_free(base + 1));
        for _ in 0..20 {
            let other = free_base(3).unwrap();
            assert!(!(other..other + 3).contains(&(base + 1)));
        }
    }
}
