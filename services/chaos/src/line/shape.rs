//! What becomes of packets on their way in one direction. Pure: time is an argument, chance comes from a seed.

use super::packet;
use std::collections::VecDeque;
use std::time::Duration;

/// What a direction holds at most, whatever it is asked to delay: senders are bounded by their windows long before.
const HELD_BYTES_MAX: usize = 256 << 20;

/// One direction of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How long every packet travels.
    pub delay: Duration,
    /// How much longer one may travel, drawn evenly for each packet. Packets never overtake each other.
    pub jitter: Duration,
    /// How many bytes pass in a second; `None` for as many as come.
    pub bytes_per_second: Option<u64>,
    /// How many bytes wait for their turn at most, where there are fewer of them than come; what comes then is dropped.
    pub queue_bytes: usize,
    /// Which share of packets is lost, from 0 to 1.
    pub loss: f64,
    /// Which share of the TCP packets that carry something breaks its connection in their place, from 0 to 1: as a
    /// firewall does, and as requests fail.
    pub broken: f64,
    /// Whether nothing passes at all.
    pub cut: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            bytes_per_second: None,
            queue_bytes: 4 << 20,
            loss: 0.0,
            broken: 0.0,
            cut: false,
        }
    }
}

/// What became of the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets that arrived.
    pub arrived: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were lost by chance.
    pub lost: u64,
    /// Packets that found no place in the queue.
    pub overflowed: u64,
    /// Packets that met a cut.
    pub cut: u64,
    /// Packets that broke their connection.
    pub broken: u64,
}

/// The packets on their way in one direction.
#[derive(Debug)]
pub(super) struct Lane {
    shape: Shape,
    dice: Dice,
    travelling: VecDeque<(Duration, Vec<u8>)>,
    held_bytes: usize,
    /// When the last packet has left the queue.
    idle_from: Duration,
    count: Count,
}

impl Lane {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            dice: Dice(seed),
            travelling: VecDeque::new(),
            held_bytes: 0,
            idle_from: Duration::ZERO,
            count: Count::default(),
        }
    }

    /// From now on it is another one. A cut takes what is on its way with it.
    pub(super) fn reshape(&mut self, shape: Shape) {
        self.shape = shape;
        if shape.cut {
            self.count.cut += self.travelling.len() as u64;
            self.travelling.clear();
            self.held_bytes = 0;
        }
    }

    pub(super) const fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) const fn count(&self) -> Count {
        self.count
    }

    /// A packet met a cut before it came here.
    pub(super) const fn note_cut(&mut self) {
        self.count.cut += 1;
    }

    /// Takes a packet at `now`, a time that never goes back.
    pub(super) fn offer(&mut self, now: Duration, mut packet: Vec<u8>) {
        if self.shape.broken > 0.0 && packet::carries_something(&packet) && self.dice.share() < self.shape.broken {
            packet::make_reset(&mut packet);
            self.count.broken += 1;
        }
        if self.shape.cut {
            self.count.cut += 1;
        } else if self.dice.share() < self.shape.loss {
            self.count.lost += 1;
        } else if self.is_full(now, packet.len()) {
            self.count.overflowed += 1;
        } else {
            let due = self.due(now, packet.len());
            self.held_bytes += packet.len();
            self.travelling.push_back((due, packet));
        }
    }

    fn is_full(&self, now: Duration, len: usize) -> bool {
        let waiting =
            self.idle_from.saturating_sub(now).as_secs_f64() * self.shape.bytes_per_second.unwrap_or(0) as f64;
        waiting + len as f64 > self.shape.queue_bytes as f64 || self.held_bytes + len > HELD_BYTES_MAX
    }

    fn due(&mut self, now: Duration, len: usize) -> Duration {
        let sending = self.shape.bytes_per_second.map_or(0.0, |rate| len as f64 / rate.max(1) as f64);
        self.idle_from = self.idle_from.max(now) + Duration::from_secs_f64(sending);
        let due = self.idle_from + self.shape.delay + self.shape.jitter.mul_f64(self.dice.share());
        self.travelling.back().map_or(due, |(last, _)| due.max(*last))
    }

    /// When the next packet arrives.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.travelling.front().map(|(due, _)| *due)
    }

    /// A packet that has arrived at `now`.
    pub(super) fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (_, packet) = self.travelling.pop_front_if(|(due, _)| *due <= now)?;
        self.held_bytes -= packet.len();
        self.count.arrived += 1;
        self.count.bytes += packet.len() as u64;
        Some(packet)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same throws.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn packet(len: usize) -> Vec<u8> {
        vec![0; len]
    }

    #[test]
    fn a_packet_arrives_after_the_delay_and_not_before() {
        let mut lane = Lane::new(Shape { delay: ms(50), ..Shape::default() }, 1);
        lane.offer(ms(10), packet(1));
        assert_eq!(lane.next_due(), Some(ms(60)));
        assert!(lane.arrived(ms(59)).is_none());
        assert!(lane.arrived(ms(60)).is_some());
        assert_eq!(lane.count(), Count { arrived: 1, bytes: 1, ..Count::default() });
    }

    #[test]
    fn jitter_delays_without_overtaking() {
        let mut lane = Lane::new(Shape { delay: ms(50), jitter: ms(20), ..Shape::default() }, 7);
        let mut dues = Vec::new();
        for at in 0..1000 {
            lane.offer(ms(at * 30), packet(1));
            dues.push(lane.travelling.back().unwrap().0 - ms(at * 30));
        }
        assert!(dues.iter().all(|due| (ms(50)..ms(70)).contains(due)));
        let mean = dues.iter().sum::<Duration>() / 1000;
        assert!((ms(59)..ms(61)).contains(&mean), "{mean:?}");
        let mut crowded = Lane::new(lane.shape(), 7);
        (0..100).for_each(|at| crowded.offer(ms(at), packet(1)));
        assert!(crowded.travelling.iter().is_sorted_by_key(|(due, _)| *due));
    }

    #[test]
    fn bytes_beyond_the_bandwidth_wait_and_overflow_the_queue() {
        let shape = Shape { bytes_per_second: Some(1000), queue_bytes: 300, ..Shape::default() };
        let mut lane = Lane::new(shape, 1);
        (0..4).for_each(|_| lane.offer(ms(0), packet(100)));
        assert_eq!((lane.travelling.len(), lane.count().overflowed), (3, 1));
        assert_eq!(lane.travelling.back().unwrap().0, ms(300));
        lane.offer(ms(100), packet(100));
        assert_eq!(lane.travelling.back().unwrap().0, ms(400), "there is room again");
    }

    #[test]
    fn the_share_that_is_lost_is_the_one_that_was_set_and_the_same_for_a_seed() {
        let lost = |seed| {
            let mut lane = Lane::new(Shape { loss: 0.1, ..Shape::default() }, seed);
            (0..100_000).for_each(|_| lane.offer(ms(0), packet(1)));
            lane.count().lost
        };
        assert!((9_500..10_500).contains(&lost(3)), "{}", lost(3));
        assert_eq!(lost(3), lost(3));
        assert_ne!(lost(3), lost(4));
    }

    #[test]
    fn a_share_of_what_carries_something_breaks_its_connection() {
        let mut lane = Lane::new(Shape { broken: 0.1, ..Shape::default() }, 3);
        for _ in 0..10_000 {
            lane.offer(ms(0), packet::example(b"abc"));
            lane.offer(ms(0), packet::example(b""));
            lane.offer(ms(0), packet(3));
        }
        assert!((900..1100).contains(&lane.count().broken), "{}", lane.count().broken);
        let broken = std::iter::from_fn(|| lane.arrived(ms(0))).filter(|packet| packet::is_reset(packet)).count();
        assert_eq!(broken as u64, lane.count().broken);
        assert_eq!(lane.count().arrived, 30_000, "each of them arrives");
    }

    #[test]
    fn a_cut_takes_what_is_on_its_way() {
        let mut lane = Lane::new(Shape { delay: ms(50), ..Shape::default() }, 1);
        lane.offer(ms(0), packet(1));
        lane.reshape(Shape { cut: true, ..lane.shape() });
        lane.offer(ms(1), packet(1));
        assert!(lane.arrived(ms(1000)).is_none());
        lane.reshape(Shape { cut: false, ..lane.shape() });
        lane.offer(ms(1000), packet(1));
        assert!(lane.arrived(ms(1050)).is_some());
        assert_eq!((lane.count().cut, lane.count().arrived), (2, 1));
    }
}
