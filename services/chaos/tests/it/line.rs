//! A line is what it was set to be, as TCP and UDP see it.

use crate::cluster::start_with;
use crate::load::{create, fill, unique};
use crate::regions::equal_tails;
use crate::rest::list;
use api::links::Link;
use chaos::line::{Direction, Island, Line, Plan, Shape};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing comes where nothing can: whatever came later would fail the test as well.
const QUIET: Duration = Duration::from_millis(300);

fn open(shape: Shape) -> Line {
    Line::open(Plan { shape, ..Plan::default() }).unwrap_or_else(|error| panic!("this test needs a line: {error}"))
}

/// Both ends of a connection through the line.
fn connect(line: &Line) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = SocketAddr::from((line.far(), listener.local_addr().unwrap().port()));
    let here = TcpStream::connect_timeout(&far, PATIENCE).unwrap();
    let (there, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), line.far(), "it comes from the far end");
    for stream in [&here, &there] {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (here, there)
}

fn ping((here, there): &mut (TcpStream, TcpStream)) -> Duration {
    let (began, mut byte) = (Instant::now(), [0]);
    here.write_all(b"a").unwrap();
    there.read_exact(&mut byte).unwrap();
    there.write_all(b"b").unwrap();
    here.read_exact(&mut byte).unwrap();
    began.elapsed()
}

fn hears_nothing(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let heard = stream.read(&mut [0]);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn the_round_trip_is_what_was_set() {
    let line = open(Shape { delay: Duration::from_millis(40), ..Shape::default() });
    line.reshape(Direction::Back, |shape| shape.delay = Duration::from_millis(20));
    let mut ends = connect(&line);
    // A busy machine adds to some of them, to none of many.
    let quickest = (0..20).map(|_| ping(&mut ends)).min().unwrap();
    assert!(quickest >= Duration::from_millis(60), "{quickest:?}");
    assert!(quickest < Duration::from_millis(120), "{quickest:?}");
}

#[test]
fn a_cut_direction_carries_nothing_while_the_other_one_does() {
    let line = open(Shape::default());
    let (mut here, mut there) = connect(&line);
    line.cut(Direction::There, true);
    here.write_all(b"a").unwrap();
    there.write_all(b"b").unwrap();
    let mut byte = [0];
    here.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"b");
    assert!(hears_nothing(&mut there));
    assert!(line.count(Direction::There).cut > 0);
    line.cut(Direction::There, false);
    there.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"a", "TCP sends again what was cut off");
}

#[test]
fn forgotten_connections_stay_half_open_while_new_ones_pass() {
    let line = open(Shape::default());
    let (mut here, mut there) = connect(&line);
    line.forget_connections();
    here.write_all(b"a").unwrap();
    there.write_all(b"b").unwrap();
    assert!(hears_nothing(&mut there) && hears_nothing(&mut here), "neither end is told");
    ping(&mut connect(&line));
    line.remember_connections();
    let mut byte = [0];
    there.read_exact(&mut byte).unwrap();
    here.read_exact(&mut byte).unwrap();
}

#[test]
fn as_many_packets_are_lost_as_was_set() {
    const SENT: usize = 5000;
    let line = open(Shape { loss: 0.1, ..Shape::default() });
    let there = UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = UdpSocket::bind("0.0.0.0:0").unwrap();
    here.connect((line.far(), there.local_addr().unwrap().port())).unwrap();
    let carried = |line: &Line| {
        let count = line.count(Direction::There);
        (count.arrived + count.lost) as usize
    };
    for sent in 0..SENT {
        here.send(b"a").unwrap();
        let deadline = Instant::now() + PATIENCE;
        // Not more than the kernel's queue holds.
        while sent - carried(&line).min(sent) > 1000 {
            assert!(Instant::now() < deadline, "the line stands still");
            std::thread::yield_now();
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while carried(&line) < SENT {
        assert!(Instant::now() < deadline, "the line stands still");
        std::thread::yield_now();
    }
    let lost = line.count(Direction::There).lost;
    assert!((400..600).contains(&lost), "{lost} of {SENT}");
}

#[test]
fn tcp_brings_everything_over_a_lossy_narrow_line() {
    let shape =
        Shape { loss: 0.01, bytes_per_second: Some(20_000_000), jitter: Duration::from_millis(2), ..Shape::default() };
    let line = open(shape);
    let (mut here, mut there) = connect(&line);
    let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || here.write_all(&sent).unwrap());
    let mut found = vec![0; expected.len()];
    there.read_exact(&mut found).unwrap();
    writer.join().unwrap();
    assert!(found == expected);
    assert!(line.count(Direction::There).lost > 0);
}

#[test]
fn an_island_is_reached_by_nobody_else_and_reaches_nobody_else() {
    let line = open(Shape::default());
    let (mut here, mut there) = connect(&line);
    let port = there.local_addr().unwrap().port();
    // This process is at both ends, so that they are apart when it lives there and listens elsewhere, or the other way round.
    let island = |lives_here: bool, listens_here: bool| Island {
        pids: if lives_here { vec![std::process::id()] } else { vec![] },
        ports: if listens_here { vec![port] } else { vec![] },
    };
    let mut byte = [0];
    for (lives_here, listens_here) in [(true, false), (false, true)] {
        line.part(island(lives_here, listens_here));
        here.write_all(b"a").unwrap();
        there.write_all(b"b").unwrap();
        assert!(hears_nothing(&mut there) && hears_nothing(&mut here), "neither way is open");
        line.part(island(lives_here, lives_here));
        there.read_exact(&mut byte).unwrap();
        here.read_exact(&mut byte).unwrap();
    }
    line.join();
    ping(&mut (here, there));
}

#[test]
fn two_lines_have_ends_of_their_own() {
    let (one, other) = (open(Shape::default()), open(Shape::default()));
    assert_ne!(one.far(), other.far());
    assert_ne!(one.far(), Ipv4Addr::LOCALHOST);
    ping(&mut connect(&one));
    ping(&mut connect(&other));
}

#[test]
fn links_over_a_long_lossy_line_bring_everything_and_show_what_they_measured() {
    const RECORDS: u64 = 20_000;
    let line = open(Shape { delay: Duration::from_millis(20), loss: 0.005, ..Shape::default() });
    let platform = start_with(|options| {
        options.regions = 2;
        options.arguments = vec!["--links-at".to_owned(), line.far().to_string()];
    });
    let (gateway, topic) = (platform.endpoints().gateway.clone(), unique("far"));
    create(&gateway, &topic, 1);
    fill(&gateway, &topic, 0, 0..RECORDS);
    equal_tails(&platform, &topic, 1);
    let api = platform.endpoints().api.clone();
    let mut last = Vec::new();
    let shown = platform.wait_for("the link shows its round trip", PATIENCE, || {
        last = list::<Link>(&api, "/v1/links", "").unwrap_or_default();
        let is_shown = |link: &Link| link.round_trip_ms.is_some_and(|ms| ms >= 40.0) && link.fetch_bytes > 0;
        last.iter().any(is_shown) && line.count(Direction::Back).lost > 0
    });
    shown.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
}
