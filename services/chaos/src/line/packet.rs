//! What a line has to know of an IPv4 packet (RFC 791): who sends it to whom, and which TCP connection (RFC 9293) it
//! belongs to.

use std::net::Ipv4Addr;

const SOURCE: std::ops::Range<usize> = 12..16;
const TARGET: std::ops::Range<usize> = 16..20;
const PROTOCOL: usize = 9;
const TCP: u8 = 6;
const SYN: u8 = 2;
const RST: u8 = 4;
/// Where TCP keeps its flags, behind the ports, the numbers and the data offset.
const FLAGS: usize = 13;
const CHECKSUM: std::ops::Range<usize> = 16..18;

/// The ports of a TCP connection: the one at the near end first.
pub(super) type Ports = (u16, u16);

/// The addresses of a packet; `None` for what is no IPv4.
pub(super) fn addresses(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if packet.first()? >> 4 != 4 {
        return None;
    }
    let at = |range| <[u8; 4]>::try_from(packet.get(range)?).ok().map(Ipv4Addr::from);
    Some((at(SOURCE)?, at(TARGET)?))
}

/// Gives a packet other addresses. All checksums stay true as long as the sum of the addresses stays the same.
pub(super) fn readdress(packet: &mut [u8], source: Ipv4Addr, target: Ipv4Addr) {
    packet[SOURCE].copy_from_slice(&source.octets());
    packet[TARGET].copy_from_slice(&target.octets());
}

/// The ports of a TCP packet, in the order (source, target), and whether it asks for a connection.
pub(super) fn tcp(packet: &[u8]) -> Option<(Ports, bool)> {
    if *packet.get(PROTOCOL)? != TCP {
        return None;
    }
    let tcp = packet.get(usize::from(packet[0] & 15) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
    Some(((port(0)?, port(2)?), tcp.get(FLAGS)? & SYN != 0))
}

/// Where TCP begins in a packet, and where what it carries does; `None` for what is no TCP.
fn tcp_parts(packet: &[u8]) -> Option<(usize, usize)> {
    if *packet.get(PROTOCOL)? != TCP {
        return None;
    }
    let begin = usize::from(packet[0] & 15) * 4;
    let header = usize::from(packet.get(begin + FLAGS - 1)? >> 4) * 4;
    (begin + header.max(CHECKSUM.end) <= packet.len()).then_some((begin, begin + header))
}

/// Whether it is a TCP packet with something for whoever listens.
pub(super) fn carries_something(packet: &[u8]) -> bool {
    tcp_parts(packet).is_some_and(|(_, carried)| carried < packet.len())
}

/// Makes a TCP packet one that breaks its connection: it says so where it was expected (RFC 9293, 3.10.7.4), and its
/// checksum stays true (RFC 1624).
pub(super) fn make_reset(packet: &mut [u8]) {
    let Some((tcp, _)) = tcp_parts(packet) else { return };
    let word = |packet: &[u8], at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let flags = tcp + FLAGS - 1;
    let before = word(packet, flags);
    packet[tcp + FLAGS] |= RST;
    let after = word(packet, flags);
    let sum = u32::from(!word(packet, tcp + CHECKSUM.start)) + u32::from(!before) + u32::from(after);
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    packet[tcp + CHECKSUM.start..tcp + CHECKSUM.end].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
pub(super) use tests::{example, is_reset};

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP packet from 10.0.0.1:258 to 10.0.0.2:772.
    fn syn() -> Vec<u8> {
        let mut packet = vec![0; 40];
        (packet[0], packet[PROTOCOL]) = (0x45, TCP);
        readdress(&mut packet, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        packet[20..24].copy_from_slice(&[1, 2, 3, 4]);
        packet[20 + FLAGS] = SYN;
        packet
    }

    /// A TCP packet that acknowledges, and carries something.
    pub(in super::super) fn example(carried: &[u8]) -> Vec<u8> {
        let mut packet = syn();
        (packet[20 + FLAGS - 1], packet[20 + FLAGS]) = (5 << 4, 16);
        packet.extend(carried);
        packet
    }

    pub(in super::super) fn is_reset(packet: &[u8]) -> bool {
        tcp(packet).is_some() && packet[20 + FLAGS] & RST != 0
    }

    /// What TCP and what it carries add to their checksum (RFC 1071), without the addresses.
    fn sum(packet: &[u8]) -> u32 {
        let words =
            packet[20..].chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
        let sum: u32 = words.sum();
        (sum & 0xffff) + (sum >> 16)
    }

    #[test]
    fn a_packet_that_breaks_its_connection_has_a_true_checksum() {
        for checksum in [0x0000_u16, 0x1234, 0xfffb, 0xffff] {
            let mut packet = example(b"abc");
            packet[20 + CHECKSUM.start..20 + CHECKSUM.end].copy_from_slice(&checksum.to_be_bytes());
            let before = sum(&packet) % 0xffff;
            make_reset(&mut packet);
            assert!(is_reset(&packet));
            assert_eq!(sum(&packet) % 0xffff, before, "{checksum:#x}");
        }
    }

    #[test]
    fn only_tcp_carries_something() {
        assert!(carries_something(&example(b"a")) && !carries_something(&example(b"")));
        assert!(!carries_something(&[]) && !carries_something(&[0x45; 12]), "cut short");
        let mut other = example(b"a");
        other[PROTOCOL] = 17;
        assert!(!carries_something(&other));
        let before = other.clone();
        make_reset(&mut other);
        assert_eq!(other, before);
    }

    #[test]
    fn a_packet_says_who_it_is_from_and_for() {
        let packet = syn();
        assert_eq!(addresses(&packet), Some((Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))));
        assert_eq!(tcp(&packet), Some(((258, 772), true)));
    }

    #[test]
    fn what_is_no_tcp_over_ipv4_is_nobodys() {
        assert_eq!(addresses(&[]), None);
        assert_eq!(addresses(&[0x60; 40]), None, "IPv6");
        let mut packet = syn();
        packet[PROTOCOL] = 17;
        assert_eq!(tcp(&packet), None);
        assert_eq!(tcp(&syn()[..25]), None, "cut short");
    }
}
