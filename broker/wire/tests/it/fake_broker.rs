//! A broker of one topic with one partition, kept in memory, that misbehaves on request.

use broker_wire::api::*;
use broker_wire::codec::{Message, Request};
use broker_wire::{ApiKey, ErrorCode, RequestHeader, frame};
use bytes::{Bytes, BytesMut};
use model::limits::FRAME_BYTES_MAX;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The topic it has.
pub(crate) const TOPIC: &str = "orders";

/// What it holds, and how it is to misbehave.
#[derive(Default)]
pub(crate) struct Fake {
    /// The batches, each with its offset.
    pub(crate) log: Vec<(i64, Bytes)>,
    /// Committed offsets: partition, offset, metadata.
    pub(crate) committed: Vec<(i32, i64, Option<String>)>,
    /// How many more requests to lead the partition are refused.
    pub(crate) refuse_to_lead: u32,
    /// How many more produce requests are appended but not answered: the connection ends.
    pub(crate) swallow_acks: u32,
    /// Whether requests are answered with the wrong correlation id.
    pub(crate) mix_up: bool,
    /// Whether it knows ApiVersions of version 0 only.
    pub(crate) old_api_versions: bool,
    /// The last token of a SCRAM server that knows no password, and how many iterations it asks for.
    pub(crate) impostor: Option<(&'static str, u32)>,
    /// Correlation ids of all requests with acks=0 so far.
    pub(crate) unanswered: Vec<i32>,
}

impl Fake {
    fn tail(&self) -> i64 {
        self.log.last().map_or(0, |(offset, batch)| offset + i64::from(count(batch)))
    }

    fn lead(&mut self) -> ErrorCode {
        let refused = self.refuse_to_lead > 0;
        self.refuse_to_lead -= u32::from(refused);
        if refused { ErrorCode::NOT_LEADER_OR_FOLLOWER } else { ErrorCode::NONE }
    }

    /// Appends unless the same bytes are there already: an idempotent producer's batch.
    fn append(&mut self, batch: Bytes) -> i64 {
        let sequence = |batch: &Bytes| batch[43..57].to_vec();
        if let Some((offset, _)) = self.log.iter().find(|(_, known)| sequence(known) == sequence(&batch)) {
            return *offset;
        }
        let offset = self.tail();
        let mut stored = batch.to_vec();
        stored[..8].copy_from_slice(&offset.to_be_bytes());
        self.log.push((offset, stored.into()));
        offset
    }
}

fn count(batch: &[u8]) -> i32 {
    i32::from_be_bytes(batch[57..61].try_into().unwrap())
}

/// A running fake broker; it stops when this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Arc<Mutex<Fake>>,
    accepting: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Running {
    pub(crate) async fn start(fake: Fake) -> Self {
        Self::start_with(fake, None).await
    }

    /// The same, over TLS if there is an acceptor.
    pub(crate) async fn start_with(fake: Fake, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Arc::new(Mutex::new(fake));
        let shared = fake.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, address, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, address, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, fake, accepting }
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, address: SocketAddr, fake: Arc<Mutex<Fake>>) {
    let mut received = BytesMut::new();
    loop {
        while let Some(request) = frame::take(&mut received, FRAME_BYTES_MAX).unwrap() {
            let Some(answer) = answer(request, address, &mut fake.lock().unwrap()) else { return };
            if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut received).await, Ok(1..)) {
            return;
        }
    }
}

/// The answer, empty for none; `None` ends the connection.
fn answer(request: Bytes, address: SocketAddr, fake: &mut Fake) -> Option<Bytes> {
    let (header, body) = RequestHeader::decode(request).unwrap();
    assert_eq!(header.client_id.as_deref(), Some("farshore"));
    let (id, version) = (header.correlation_id, header.api_version);
    let id = if fake.mix_up && header.api_key != 18 { id + 1000 } else { id };
    let key = ApiKey::try_from(header.api_key).unwrap();
    match key {
        ApiKey::ApiVersions => api_versions(id, version, fake),
        ApiKey::Metadata => handle(id, version, body, |_: metadata::Request| metadata_of(address)),
        ApiKey::Produce => produce(id, version, body, fake),
        ApiKey::Fetch => handle(id, version, body, |request| fetch(request, fake)),
        ApiKey::ListOffsets => handle(id, version, body, |request| list_offsets(&request, fake)),
        ApiKey::InitProducerId => handle(id, version, body, |_: init_producer_id::Request| {
            init_producer_id::Response { producer_id: 7, ..Default::default() }
        }),
        ApiKey::FindCoordinator => handle(id, version, body, |request| find_coordinator(request, address)),
        ApiKey::OffsetCommit => handle(id, version, body, |request| offset_commit(request, fake)),
        ApiKey::OffsetFetch => handle(id, version, body, |request| offset_fetch(request, fake)),
        ApiKey::CreateTopics => handle(id, version, body, |request: create_topics::Request| {
            let error_code = ErrorCode::TOPIC_ALREADY_EXISTS;
            let topic =
                create_topics::TopicResponse { name: request.topics[0].name.clone(), error_code, ..Default::default() };
            create_topics::Response { topics: vec![topic], ..Default::default() }
        }),
        ApiKey::SaslHandshake => {
            handle(id, version, body, |_: sasl_handshake::Request| sasl_handshake::Response::default())
        }
        ApiKey::SaslAuthenticate => handle(id, version, body, |request| authenticate(&request, fake)),
        other => panic!("nobody was to ask for {other}"),
    }
}

fn handle<R: Request>(id: i32, version: i16, body: Bytes, answer: impl FnOnce(R) -> R::Response) -> Option<Bytes> {
    let response = answer(R::decode(body, version).unwrap());
    Some(frame::encode_response(id, version, &response).unwrap())
}

fn api_versions(id: i32, version: i16, fake: &Fake) -> Option<Bytes> {
    let keys = ApiKey::ALL.iter().map(|key| key.api_version()).collect();
    let asked = if fake.old_api_versions && version > 0 { i16::MAX } else { version };
    let (version, response) = api_versions::Response::answer(asked, keys);
    Some(frame::encode_response(id, version, &response).unwrap())
}

/// A SCRAM server that has to guess.
fn authenticate(request: &sasl_authenticate::Request, fake: &Fake) -> sasl_authenticate::Response {
    let (verdict, iterations) = fake.impostor.unwrap();
    let token = str::from_utf8(&request.auth_bytes).unwrap();
    let answer = match token.strip_prefix("n,,") {
        Some(first) => format!("r={}theirs,s=c2FsdA==,i={iterations}", first.split_once(",r=").unwrap().1),
        None => verdict.to_owned(),
    };
    sasl_authenticate::Response { auth_bytes: answer.into(), ..Default::default() }
}

fn metadata_of(address: SocketAddr) -> metadata::Response {
    let host = address.ip().to_string();
    let broker = metadata::Broker { node_id: 1, host, port: address.port().into(), ..Default::default() };
    let partition = metadata::PartitionResponse { leader_id: 1, ..Default::default() };
    let name = Some(TOPIC.to_owned());
    let topic = metadata::TopicResponse { name, partitions: vec![partition], ..Default::default() };
    metadata::Response { brokers: vec![broker], topics: vec![topic], ..Default::default() }
}

fn produce(id: i32, version: i16, body: Bytes, fake: &mut Fake) -> Option<Bytes> {
    let request = produce::Request::decode(body, version).unwrap();
    let error_code = fake.lead();
    let batch = request.topic_data[0].partition_data[0].records.clone().unwrap();
    let base_offset = if error_code.is_ok() { fake.append(batch) } else { -1 };
    if request.acks == 0 {
        fake.unanswered.push(id);
        return Some(Bytes::new());
    }
    if fake.swallow_acks > 0 && error_code.is_ok() {
        fake.swallow_acks -= 1;
        return None;
    }
    let partition = produce::PartitionResponse { error_code, base_offset, ..Default::default() };
    let name = request.topic_data[0].name.clone();
    let topic = produce::TopicResponse { name, partition_responses: vec![partition], ..Default::default() };
    let response = produce::Response { responses: vec![topic], ..Default::default() };
    Some(frame::encode_response(id, version, &response).unwrap())
}

fn fetch(request: fetch::Request, fake: &mut Fake) -> fetch::Response {
    let from = request.topics[0].partitions[0].fetch_offset;
    let error_code = fake.lead();
    let wanted = |(offset, batch): &&(i64, Bytes)| offset + i64::from(count(batch)) > from;
    let records: Vec<u8> = fake.log.iter().filter(wanted).flat_map(|(_, batch)| batch.to_vec()).collect();
    let partition = fetch::PartitionResponse {
        error_code,
        high_watermark: fake.tail(),
        records: Bytes::from(records).into(),
        ..Default::default()
    };
    let topic = request.topics[0].topic.clone();
    let topic = fetch::TopicResponse { topic, partitions: vec![partition], ..Default::default() };
    fetch::Response { responses: vec![topic], ..Default::default() }
}

fn list_offsets(request: &list_offsets::Request, fake: &mut Fake) -> list_offsets::Response {
    let offset = match request.topics[0].partitions[0].timestamp {
        list_offsets::LATEST => fake.tail(),
        list_offsets::EARLIEST => 0,
        _ => -1,
    };
    let partition = list_offsets::PartitionResponse { error_code: fake.lead(), offset, ..Default::default() };
    let topic = list_offsets::TopicResponse { partitions: vec![partition], ..Default::default() };
    list_offsets::Response { topics: vec![topic], ..Default::default() }
}

fn find_coordinator(request: find_coordinator::Request, address: SocketAddr) -> find_coordinator::Response {
    let (host, port) = (address.ip().to_string(), address.port().into());
    let coordinator =
        find_coordinator::Coordinator { key: request.coordinator_keys[0].clone(), host, port, ..Default::default() };
    find_coordinator::Response { coordinators: vec![coordinator], ..Default::default() }
}

fn offset_commit(request: offset_commit::Request, fake: &mut Fake) -> offset_commit::Response {
    let mut topics = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for found in topic.partitions {
            fake.committed.push((found.partition_index, found.committed_offset, found.committed_metadata));
            let partition_index = found.partition_index;
            partitions.push(offset_commit::PartitionResponse { partition_index, ..Default::default() });
        }
        topics.push(offset_commit::TopicResponse { name: topic.name, partitions, ..Default::default() });
    }
    offset_commit::Response { topics, ..Default::default() }
}

fn offset_fetch(request: offset_fetch::Request, fake: &mut Fake) -> offset_fetch::Response {
    let partition = |(index, offset, metadata): &(i32, i64, Option<String>)| offset_fetch::PartitionResponse {
        partition_index: *index,
        committed_offset: *offset,
        metadata: metadata.clone(),
        ..Default::default()
    };
    let partitions = fake.committed.iter().map(partition).collect();
    let topic = offset_fetch::TopicResponse { name: TOPIC.to_owned(), partitions, ..Default::default() };
    let group_id = request.groups[0].group_id.clone();
    let group = offset_fetch::GroupResponse { group_id, topics: vec![topic], ..Default::default() };
    offset_fetch::Response { groups: vec![group], ..Default::default() }
}
