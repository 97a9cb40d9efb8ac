use crate::harness::{PATIENCE, alone, batch, eventually, produce_request};
use broker::standalone::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::frame;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// How many bytes of each connection wait to be read at its other end, as the kernel has them.
fn unread(streams: &[TcpStream]) -> Vec<u64> {
    const ESTABLISHED: &str = "01";
    let ends = |stream: &TcpStream| {
        [stream.peer_addr(), stream.local_addr()].map(|end| format!("{:04X}", end.unwrap().port()))
    };
    let ours: Vec<[String; 2]> = streams.iter().map(ends).collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let port = |address: &str| address.split_once(':').unwrap().1.to_owned();
    let ours = rows.filter(|row| row[3] == ESTABLISHED && ours.contains(&[port(row[1]), port(row[2])]));
    ours.map(|row| u64::from_str_radix(row[4].split_once(':').unwrap().1, 16).unwrap()).collect()
}

async fn is_closed_after(alone: &crate::harness::Alone, bytes: &[u8]) {
    let mut stream = TcpStream::connect(alone.broker.broker.addresses().unwrap().clients).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    // A reset is as good as an end.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert!(rest.is_empty());
}

#[tokio::test]
async fn frames_that_cannot_be_close_the_connection_and_take_no_memory() {
    let alone = alone(&[]).await;
    let before = resident_bytes();
    let metadata = [0, 0, 0, 15, 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff];
    for hostile in [
        &i32::MAX.to_be_bytes()[..],
        &(-1i32).to_be_bytes(),
        &0i32.to_be_bytes(),
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
        &metadata,
        &[0, 0, 0, 10, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        &[0, 0, 0, 2, 0, 0],
    ] {
        is_closed_after(&alone, hostile).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    assert!(alone.client().await.0.api_versions().await.is_ok(), "others are served as before");
}

#[tokio::test]
async fn a_frame_that_is_announced_takes_memory_only_as_it_comes() {
    let alone = alone(&[]).await;
    let before = resident_bytes();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(alone.broker.broker.addresses().unwrap().clients).await.unwrap();
        // In one piece: a broker whose budget is taken leaves what comes behind the length unread.
        stream.write_all(&[&(99_i32 << 20).to_be_bytes()[..], &[0; 1000]].concat()).await.unwrap();
        streams.push(stream);
    }
    eventually("the broker has read all that came", async || unread(&streams) == [0; 20]).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let mut stream = TcpStream::connect(alone.broker.broker.addresses().unwrap().clients).await.unwrap();
    let mut sent = Vec::new();
    const COUNT: i32 = 100;
    for number in 0..COUNT {
        let acks = if number % 3 == 0 { 0 } else { -1 };
        let request = produce_request("t", 0, batch(&[&number.to_string()]), acks);
        sent.extend(frame::encode_request(number, None, 7, &request).unwrap());
        let versions = wire::api::api_versions::Request::default();
        sent.extend(frame::encode_request(COUNT + number, None, 0, &versions).unwrap());
    }
    stream.write_all(&sent).await.unwrap();
    for number in 0..COUNT {
        if number % 3 != 0 {
            assert_eq!(correlation_id(&mut stream).await, number);
        }
        assert_eq!(correlation_id(&mut stream).await, COUNT + number);
    }
    // Nothing was promised of the last one, sent without acks: it may be a moment late.
    let client = alone.client().await;
    eventually("all are read in order", async || {
        let values = client.values("t", 0, 0).await;
        values == (0..COUNT).map(|number| number.to_string()).collect::<Vec<_>>()
    })
    .await;
}

async fn correlation_id(stream: &mut TcpStream) -> i32 {
    let len = stream.read_i32().await.unwrap();
    let mut frame = vec![0; len as usize];
    stream.read_exact(&mut frame).await.unwrap();
    i32::from_be_bytes(*frame.first_chunk().unwrap())
}
