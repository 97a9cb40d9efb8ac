//! Ranges of free ports on 127.0.0.1.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that Linux gives to outgoing connections.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// Where the next process begins: far from this one.
const STRIDE: u32 = 4_111;

/// The first of `count` ports in a row that are free now. They are given to nobody else in this process until all others
/// were, and most likely to no other process.
pub fn free_base(count: u16) -> Option<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let length = u32::from(RANGE.end - RANGE.start);
    let mine = std::process::id() % length * STRIDE;
    (0..length).find_map(|_| {
        let taken = TAKEN.fetch_add(count.into(), Ordering::Relaxed);
        let base = RANGE.start + ((mine + taken) % length) as u16;
        let is_whole = RANGE.end - base >= count;
        (is_whole && (base..base + count).all(is_free)).then_some(base)
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

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

    #[test]
    fn ports_that_are_not_bound_yet_are_given_once() {
        let ranges: Vec<_> = [40, 7, 60, 40, 130, 3].map(|count| (free_base(count).unwrap(), count)).into();
        let ports: Vec<_> = ranges.iter().flat_map(|(base, count)| *base..base + count).collect();
        let distinct: BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), ports.len(), "{ranges:?}");
    }
}
