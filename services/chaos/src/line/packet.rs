//! What a line has to know of an IPv4 packet (RFC 791): who sends it to whom, and which TCP connection (RFC 9293) it
//! belongs to.

use std::net::Ipv4Addr;

const SOURCE: std::ops::Range<usize> = 12..16;
const TARGET: std::ops::Range<usize> = 16..20;
const PROTOCOL: usize = 9;
const TCP: u8 = 6;
const SYN: u8 = 2;
/// Where TCP keeps its flags, behind the ports, the numbers and the data offset.
const FLAGS: usize = 13;

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
