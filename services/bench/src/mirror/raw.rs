//! What TCP itself brings over the line: four streams, from who listens to who connects, as a link's answers go.

use anyhow::Context;
use chaos::line::Line;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const STREAMS: usize = 4;
const CHUNK: usize = 256 << 10;
/// How long windows may grow before it counts.
const WARM_UP: Duration = Duration::from_secs(4);

/// Megabytes per second.
pub(super) fn run(line: &Line, length: Duration) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let far = SocketAddr::from((line.far(), listener.local_addr()?.port()));
    let (deadline, arrived) = (Instant::now() + WARM_UP + length, Arc::new(AtomicU64::new(0)));
    for _ in 0..STREAMS {
        let reading = TcpStream::connect_timeout(&far, Duration::from_secs(10)).context("nothing passes the line")?;
        let (writing, _) = listener.accept()?;
        let arrived = arrived.clone();
        thread::spawn(move || write(writing, deadline));
        thread::spawn(move || read(reading, &arrived));
    }
    thread::sleep(WARM_UP);
    let (began, before) = (Instant::now(), arrived.load(Ordering::Relaxed));
    thread::sleep(deadline.saturating_duration_since(began));
    let bytes = arrived.load(Ordering::Relaxed) - before;
    Ok(bytes as f64 / 1e6 / began.elapsed().as_secs_f64())
}

fn write(mut stream: TcpStream, deadline: Instant) {
    let bytes = vec![7; CHUNK];
    while Instant::now() < deadline && stream.write_all(&bytes).is_ok() {}
}

fn read(mut stream: TcpStream, arrived: &AtomicU64) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        arrived.fetch_add(read as u64, Ordering::Relaxed);
    }
}
