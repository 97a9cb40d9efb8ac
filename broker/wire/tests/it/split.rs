//! Responses whose records come from elsewhere.

use broker_wire::codec::{EncodeError, Message};
use broker_wire::internal::link_fetch;
use broker_wire::testing::{Generate, Random};
use broker_wire::{Piece, Records, api::fetch, decode_response_header, frame};
use bytes::Bytes;

/// The pieces as a socket would see them, `files` filling the placeholders in order.
fn sent(pieces: &[Piece], files: &[Bytes]) -> Vec<u8> {
    let mut files = files.iter();
    let mut bytes = Vec::new();
    for piece in pieces {
        assert_ne!(piece.len(), 0, "no piece is empty");
        match piece {
            Piece::Bytes(part) => bytes.extend_from_slice(part),
            Piece::Placeholder(len) => {
                let file = files.next().unwrap();
                assert_eq!(file.len(), *len);
                bytes.extend_from_slice(file);
            }
        }
    }
    assert!(files.next().is_none());
    bytes
}

/// Turns some records into placeholders and returns what they stand for.
fn leave_out<'a>(all: impl Iterator<Item = &'a mut Records>, random: &mut Random) -> Vec<Bytes> {
    let mut left_out = Vec::new();
    for records in all {
        if random.chance(3) {
            *records = Records::Bytes(random.bytes(9000).into());
        }
        if random.chance(2) {
            let bytes = std::mem::take(records).into_bytes();
            *records = Records::Placeholder(bytes.len());
            left_out.extend((!bytes.is_empty()).then_some(bytes));
        }
    }
    left_out
}

/// Puts the bytes back where they were left out.
fn put_back<'a>(all: impl Iterator<Item = &'a mut Records>, left_out: &[Bytes]) {
    let mut left_out = left_out.iter();
    for records in all {
        match records {
            Records::Placeholder(0) => *records = Records::default(),
            Records::Placeholder(_) => *records = left_out.next().unwrap().clone().into(),
            Records::Bytes(_) => {}
        }
    }
}

/// Encodes `response` with some records left out and in one piece, and compares what arrives.
fn arrives_the_same<M: Message + PartialEq + std::fmt::Debug>(
    mut response: M,
    version: i16,
    records: impl Fn(&mut M) -> Vec<&mut Records>,
    random: &mut Random,
) {
    let left_out = leave_out(records(&mut response).into_iter(), random);
    let pieces = frame::encode_response_split(7, version, &response).unwrap();
    put_back(records(&mut response).into_iter(), &left_out);
    let arrived = Bytes::from(sent(&pieces, &left_out));
    assert_eq!(arrived, frame::encode_response(7, version, &response).unwrap());
    let (correlation_id, body) = decode_response_header(arrived.slice(4..), M::KEY, version).unwrap();
    assert_eq!(correlation_id, 7);
    assert_eq!(M::decode(body, version).unwrap(), response);
}

#[test]
fn a_fetch_response_with_records_left_out_arrives_the_same() {
    for version in fetch::Response::VERSIONS.iter() {
        for seed in 0..100 {
            let mut random = Random(seed);
            let response = fetch::Response::generate(&mut random, fetch::Response::version(version));
            arrives_the_same(response, version, fetched, &mut random);
        }
    }
}

fn fetched(response: &mut fetch::Response) -> Vec<&mut Records> {
    let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
    partitions.map(|partition| &mut partition.records).collect()
}

fn linked(response: &mut link_fetch::Response) -> Vec<&mut Records> {
    response.partitions.iter_mut().map(|partition| &mut partition.records).collect()
}

#[test]
fn a_link_fetch_response_with_records_left_out_arrives_the_same() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let response = link_fetch::Response::generate(&mut random, link_fetch::Response::version(0));
        arrives_the_same(response, 0, linked, &mut random);
    }
}

#[test]
fn large_records_are_handed_on_without_a_copy() {
    let records = Bytes::from(vec![7; 100_000]);
    let partition = link_fetch::PartitionResponse { records: records.clone().into(), ..Default::default() };
    let response = link_fetch::Response { partitions: vec![partition], ..Default::default() };
    let pieces = response.encode_split(0).unwrap();
    let shared = |piece: &Piece| matches!(piece, Piece::Bytes(bytes) if bytes.as_ptr() == records.as_ptr());
    assert_eq!(pieces.iter().filter(|piece| shared(piece)).count(), 1);
    let body = response.encode(0).unwrap();
    let decoded = link_fetch::Response::decode(body.clone(), 0).unwrap();
    let slice = decoded.partitions[0].records.bytes().unwrap();
    assert!(body.as_ptr_range().contains(&slice.as_ptr()), "decoded records are a slice of the body");
}

#[test]
fn a_placeholder_needs_pieces() {
    let partition = fetch::PartitionResponse { records: Records::Placeholder(10), ..Default::default() };
    let topic = fetch::TopicResponse { partitions: vec![partition], ..Default::default() };
    let response = fetch::Response { responses: vec![topic], ..Default::default() };
    assert_eq!(response.encode(12), Err(EncodeError::Placeholder(10)));
}

#[test]
fn empty_records_are_never_null() {
    let partition = fetch::PartitionResponse::default();
    let topic = fetch::TopicResponse { partitions: vec![partition], ..Default::default() };
    let response = fetch::Response { responses: vec![topic], ..Default::default() };
    assert!(response.encode(11).unwrap().ends_with(&[0, 0, 0, 0]), "an empty length, not -1");
    let mut null = response.encode(11).unwrap().to_vec();
    let at = null.len() - 4;
    null[at..].copy_from_slice(&[0xff; 4]);
    assert_eq!(fetch::Response::decode(null.into(), 11).unwrap(), response, "a null reads as no records");
}
