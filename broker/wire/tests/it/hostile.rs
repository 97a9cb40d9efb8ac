//! Bytes that nobody vouches for: nothing panics, and no memory is taken for numbers that cannot be true.

use crate::allocation::peak_during;
use broker_wire::codec::{Message, Reason};
use broker_wire::testing::{Generate, Random};
use broker_wire::{ApiKey, RequestHeader, api, internal};
use bytes::Bytes;

/// Random and mutated bodies per message and version.
const BODIES: u64 = 150;
/// What decoding may take at most, whatever the bytes say: a fixed base and a multiple of the input.
const fn memory_allowed(len: usize) -> usize {
    (128 << 10) + 64 * len
}

fn fault<M: Message + std::fmt::Debug>(body: &[u8], version: i16) -> (String, Reason) {
    let error = M::decode(Bytes::copy_from_slice(body), version).unwrap_err();
    (error.path().to_owned(), error.reason().clone())
}

/// Decodes and checks what it took.
fn is_harmless<M: Message>(body: Vec<u8>, version: i16) {
    let len = body.len();
    let body = Bytes::from(body);
    let (_, peak) = peak_during(|| M::decode(body, version).is_ok());
    assert!(peak <= memory_allowed(len), "{} v{version}: {len} bytes made it take {peak}", M::NAME);
}

fn withstands_noise<M: Message + Generate>() {
    for version in M::VERSIONS.iter() {
        for seed in 0..BODIES {
            let mut random = Random(seed << 32 | (M::KEY as u64) << 8 | version as u64);
            is_harmless::<M>(random.bytes(64), version);
            let real = M::generate(&mut random, M::version(version)).encode(version).unwrap();
            is_harmless::<M>(real[..random.below(real.len() as u64 + 1) as usize].to_vec(), version);
            is_harmless::<M>(mutated(&real, &mut random), version);
        }
    }
}

/// `real` with a few bytes replaced, mostly by ones that make large numbers.
fn mutated(real: &[u8], random: &mut Random) -> Vec<u8> {
    let mut body = real.to_vec();
    for _ in 0..=random.below(4) {
        let Some(at) = (!body.is_empty()).then(|| random.below(body.len() as u64) as usize) else { break };
        body[at] = [0xff, 0x7f, 0x80, 0x00, random.bits() as u8][random.below(5) as usize];
    }
    body
}

macro_rules! noise {
    ($($module:ident)*) => {
        #[test]
        fn random_and_damaged_bodies_of_every_api_are_withstood() {
            $(
                withstands_noise::<api::$module::Request>();
                withstands_noise::<api::$module::Response>();
            )*
            withstands_noise::<internal::control::Request>();
            withstands_noise::<internal::control::Response>();
            withstands_noise::<internal::active_fetch::Request>();
            withstands_noise::<internal::active_fetch::Response>();
            withstands_noise::<internal::link_fetch::Request>();
            withstands_noise::<internal::link_fetch::Response>();
            withstands_noise::<internal::replica_fetch::Request>();
            withstands_noise::<internal::replica_fetch::Response>();
            withstands_noise::<internal::replica_progress::Request>();
            withstands_noise::<internal::shelf::Request>();
            let keys = [$(<api::$module::Request as Message>::KEY),*];
            assert!(ApiKey::ALL.iter().all(|key| keys.contains(&key.number())));
        }
    };
}
noise! {
    add_offsets_to_txn add_partitions_to_txn alter_client_quotas alter_configs alter_partition_reassignments
    alter_user_scram_credentials api_versions consumer_group_describe
    consumer_group_heartbeat create_acls create_partitions create_topics delete_acls delete_groups
    delete_records
    delete_topics describe_acls describe_client_quotas describe_cluster describe_configs describe_groups
    describe_log_dirs describe_producers describe_quorum describe_topic_partitions describe_user_scram_credentials elect_leaders end_txn
    fetch find_coordinator heartbeat incremental_alter_configs init_producer_id join_group leave_group
    list_config_resources list_groups list_offsets list_partition_reassignments metadata offset_commit offset_delete
    offset_fetch offset_for_leader_epoch produce sasl_authenticate sasl_handshake sync_group txn_offset_commit
    unregister_broker update_features
}

#[test]
fn a_metadata_body_of_five_bytes_takes_no_memory_for_two_billion_topics() {
    let classic = [0x7f, 0xff, 0xff, 0xff, 0x00];
    let flexible = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let (faults, peak) =
        peak_during(|| (fault::<api::metadata::Request>(&classic, 1), fault::<api::metadata::Request>(&flexible, 12)));
    let count = |count, left| Reason::Count { count, left };
    assert_eq!(faults.0, ("metadata::Request v1.topics".to_owned(), count(i32::MAX as usize, 1)));
    assert_eq!(faults.1, ("metadata::Request v12.topics".to_owned(), count(u32::MAX as usize - 1, 0)));
    assert!(peak < 4096, "it took {peak} bytes");
}

#[test]
fn many_tiny_elements_cannot_multiply_the_frames_size() {
    // A megabyte of topics that take three bytes each here and far more as structures.
    let body: Vec<u8> =
        [0x81, 0x80, 0x40].into_iter().chain(std::iter::repeat_n([1, 1, 0], 1 << 20).flatten()).collect();
    let mut metadata = body.clone();
    metadata.truncate(3 + (1 << 20));
    is_harmless::<api::list_offsets::Request>([&[0, 0, 0, 0, 0][..], &body].concat(), 9);
    is_harmless::<api::metadata::Request>(metadata, 9);
}

#[test]
fn a_length_may_not_reach_past_the_body() {
    let body = [0x00, 0x05, b'a', b'b'];
    let at = "sasl_handshake::Request v1.mechanism".to_owned();
    assert_eq!(fault::<api::sasl_handshake::Request>(&body, 1), (at, Reason::Truncated { wanted: 5, left: 2 }));
}

#[test]
fn a_negative_length_is_no_length() {
    let at = || "sasl_handshake::Request v0.mechanism".to_owned();
    assert_eq!(fault::<api::sasl_handshake::Request>(&[0xff, 0xfe], 0), (at(), Reason::NegativeLength(-2)));
    assert_eq!(fault::<api::sasl_handshake::Request>(&[0xff, 0xff], 0), (at(), Reason::Null));
}

#[test]
fn a_varint_of_six_bytes_is_refused() {
    let body = [0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(fault::<api::api_versions::Request>(&body, 3).1, Reason::Varint);
}

#[test]
fn a_request_must_be_read_to_its_end() {
    let mut body = api::heartbeat::Request::default().encode(4).unwrap().to_vec();
    body.push(0);
    assert_eq!(fault::<api::heartbeat::Request>(&body, 4), ("heartbeat::Request v4".to_owned(), Reason::Trailing(1)));
}

#[test]
fn what_a_client_sends_behind_a_request_can_be_passed_over() {
    // librdkafka 2.16 asks for all topics so: null, and then four bytes where one is meant.
    let body = Bytes::from_static(&[0, 0, 0, 0, 1, 0, 0]);
    let request = api::metadata::Request::decode_front(body.clone(), 13).unwrap();
    assert_eq!((request.topics, request.allow_auto_topic_creation), (None, false));
    assert_eq!(fault::<api::metadata::Request>(&body, 13).1, Reason::Trailing(3));
}

#[test]
fn a_fault_names_the_field_and_the_element() {
    let mut request = api::offset_commit::Request::default();
    for name in ["a", "b"] {
        let partitions = vec![Default::default()];
        request.topics.push(api::offset_commit::Topic { name: name.to_owned(), partitions, ..Default::default() });
    }
    let body = request.encode(9).unwrap();
    let (path, _) = fault::<api::offset_commit::Request>(&body[..body.len() - 5], 9);
    assert_eq!(path, "offset_commit::Request v9.topics[1].partitions[0].committed_leader_epoch");
}

#[test]
fn tags_out_of_order_and_tags_that_lie_about_their_size_are_refused() {
    let body = |tags: &[u8]| [&[1, 1][..], tags].concat();
    let fault = |tags: &[u8]| fault::<api::api_versions::Request>(&body(tags), 3).1;
    assert_eq!(fault(&[2, 9, 0, 5, 0]), Reason::TagOrder { tag: 5, previous: 9 });
    assert_eq!(fault(&[1, 9, 200, 1, 0]), Reason::Truncated { wanted: 200, left: 1 });
    assert_eq!(fault(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Reason::Count { count: u32::MAX as usize, left: 0 });
}

#[test]
fn damaged_headers_are_withstood_and_peeking_agrees_with_reading() {
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let mut bytes = random.bytes(40);
        if let Some(key) = bytes.get_mut(..2) {
            key.copy_from_slice(&ApiKey::ALL[seed as usize % ApiKey::ALL.len()].number().to_be_bytes());
        }
        if let Some(client_id_len) = bytes.get_mut(8..10) {
            client_id_len.copy_from_slice(&(random.below(12) as i16 - 2).to_be_bytes());
        }
        let bytes = Bytes::from(bytes);
        let peeked = RequestHeader::peek(&bytes);
        if let Ok((header, _)) = RequestHeader::decode(bytes.clone()) {
            let peeked = peeked.unwrap();
            assert_eq!(peeked.client_id, header.client_id.as_deref());
            assert_eq!((peeked.api_key, peeked.api_version), (header.api_key, header.api_version));
            assert_eq!(peeked.correlation_id, header.correlation_id);
        }
    }
}

#[test]
fn an_unknown_api_can_be_peeked_at_but_not_read() {
    let frame = [0x03, 0xe9 - 100, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 1, 2];
    assert_eq!(RequestHeader::peek(&frame).unwrap().correlation_id, 7);
    let error = RequestHeader::decode(Bytes::copy_from_slice(&frame)).unwrap_err();
    assert_eq!(error.to_string(), "request header: the api key 901 is unknown");
}
