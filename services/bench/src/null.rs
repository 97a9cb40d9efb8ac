//! A broker that throws everything away: it reads every request whole, answers at once, keeps nothing. What a client
//! reaches against it is the most it can reach against any broker.

use anyhow::Context;
use bytes::Bytes;
use model::{ByteCount, TopicId};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use wire::api::{api_versions, metadata, produce};
use wire::{ApiKey, Message, RequestHeader, frame};

const FRAME_MAX: ByteCount = ByteCount::mib(100);
const PARTITIONS: i32 = crate::load::PARTITIONS;

/// Serves until it is killed.
pub(crate) fn serve(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port} is taken"))?;
    accept(&listener)
}

fn accept(listener: &TcpListener) -> anyhow::Result<()> {
    let port = listener.local_addr()?.port();
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A connection that ends, in whatever way, concerns nobody else.
        thread::spawn(move || drop(converse(stream, port)));
    }
    Ok(())
}

fn converse(mut stream: TcpStream, port: u16) -> anyhow::Result<()> {
    let mut buffer = Vec::new();
    let mut offset = 0;
    loop {
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix)?;
        let len = frame::length(prefix, FRAME_MAX)?;
        buffer.clear();
        if (&mut stream).take(len as u64).read_to_end(&mut buffer)? < len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let request = Bytes::from(std::mem::take(&mut buffer));
        if let Some(answer) = answer(request.clone(), port, &mut offset)? {
            stream.write_all(&answer)?;
        }
        buffer = request.into(); // the same memory again: nothing else holds it any more
    }
}

/// The response to one request; none to a produce that wants none.
fn answer(request: Bytes, port: u16, offset: &mut i64) -> anyhow::Result<Option<Bytes>> {
    let (header, body) = RequestHeader::decode(request)?;
    let (id, version) = (header.correlation_id, header.api_version);
    Ok(match ApiKey::try_from(header.api_key)? {
        ApiKey::ApiVersions => {
            let spoken = [ApiKey::Produce, ApiKey::Metadata, ApiKey::ApiVersions].map(ApiKey::api_version);
            let (version, response) = api_versions::Response::answer(version, spoken.to_vec());
            Some(frame::encode_response(id, version, &response)?)
        }
        ApiKey::Metadata => {
            let request = metadata::Request::decode(body, version)?;
            Some(frame::encode_response(id, version, &cluster(request, port))?)
        }
        ApiKey::Produce => {
            let request = produce::Request::decode(body, version)?;
            let wanted = request.acks != 0;
            let response = thrown_away(request, offset);
            wanted.then(|| frame::encode_response(id, version, &response)).transpose()?
        }
        other => anyhow::bail!("{other} is not answered here"),
    })
}

/// This broker, leading every topic that is asked for.
fn cluster(request: metadata::Request, port: u16) -> metadata::Response {
    let broker = metadata::Broker { node_id: 1, host: "127.0.0.1".into(), port: port.into(), ..Default::default() };
    let partition = |partition_index| metadata::PartitionResponse {
        partition_index,
        leader_id: 1,
        leader_epoch: 0,
        replica_nodes: vec![1],
        isr_nodes: vec![1],
        ..Default::default()
    };
    let topic = |topic: metadata::Topic| metadata::TopicResponse {
        name: topic.name,
        topic_id: TopicId(uuid::Uuid::from_u128(1)),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    metadata::Response {
        brokers: vec![broker],
        cluster_id: Some("null".into()),
        controller_id: 1,
        topics: request.topics.unwrap_or_default().into_iter().map(topic).collect(),
        ..Default::default()
    }
}

fn thrown_away(request: produce::Request, offset: &mut i64) -> produce::Response {
    let mut partition = |partition: produce::Partition| {
        *offset += 1;
        produce::PartitionResponse { index: partition.index, base_offset: *offset, ..Default::default() }
    };
    let topic = |topic: produce::Topic| produce::TopicResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        partition_responses: topic.partition_data.into_iter().map(&mut partition).collect(),
        ..Default::default()
    };
    produce::Response { responses: request.topic_data.into_iter().map(topic).collect(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn librdkafka_takes_it_for_a_broker() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bootstrap = listener.local_addr().unwrap().to_string();
        thread::spawn(move || accept(&listener));
        let done = load::produce(&bootstrap, "nothing", 3_000_000).unwrap();
        assert_eq!(done.bytes, 3_000_320);
    }
}
